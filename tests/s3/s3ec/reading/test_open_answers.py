"""However a read of an Amazon object ends, every answer that it took is at its end or closed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from botocore.exceptions import ClientError

from s3envelope.errors import S3EnvelopeError
from tests.support.enveloped import plaintext_of
from tests.support.open_answers import Answers, noted_answers
from tests.support.s3ec_objects import S3ecObject, cbc_object, v2_object, v3_object
from tests.support.s3ec_reading import BOTH, IN_A_FILE, KEY, WITH_SE1, S3ecScene

SIZE = 200_000
UNVERIFIED = {"unsafe_unverified_ranges": True}
FIELDS: dict[str, dict[str, Any]] = {"memory": {}, "file": IN_A_FILE, "unverified": UNVERIFIED}
EXISTING = (None, "bytes=0-0", "bytes=5-70000", f"bytes={SIZE - 1}-", "bytes=-1", f"bytes=-{SIZE}")
BEHIND = (f"bytes={SIZE}-", f"bytes={SIZE + 5}-", f"bytes={SIZE + 1000}-", "bytes=-0")


@pytest.fixture
def answers() -> Iterator[Answers]:
    """Yield the answers of a test; none of them is closed by being forgotten."""
    with noted_answers() as noted:
        yield noted


def _asked(header: str | None) -> dict[str, Any]:
    return {} if header is None else {"Range": header}


@pytest.mark.parametrize("formats", [BOTH, WITH_SE1], ids=["alone", "with SE1"])
@pytest.mark.parametrize("fields", FIELDS)
def test_object_when_read_to_its_end_or_closed_then_no_answer_is_left_open(
    s3ec: S3ecScene, answers: Answers, formats: tuple[str, ...], fields: str
) -> None:
    s3ec.put(v3_object(plaintext_of(SIZE), s3ec.wrap))
    client = s3ec.client(*formats, **FIELDS[fields])
    kept = []

    # Twice: the second time it is known of which format the object is.
    for header in (*EXISTING, *EXISTING):
        read, closed = (client.get_object(Bucket=s3ec.bucket, Key=KEY, **_asked(header)) for _ in range(2))
        kept.append(read)
        read["Body"].read()
        closed["Body"].close()

        assert answers.left_open() == [], header


@pytest.mark.parametrize("formats", [BOTH, WITH_SE1], ids=["alone", "with SE1"])
@pytest.mark.parametrize("fields", FIELDS)
@pytest.mark.parametrize("operation", ["get_object", "head_object"])
def test_range_when_it_does_not_exist_then_no_answer_is_left_open(
    s3ec: S3ecScene, answers: Answers, formats: tuple[str, ...], fields: str, operation: str
) -> None:
    s3ec.put(v2_object(plaintext_of(SIZE), s3ec.wrap))
    client = s3ec.client(*formats, **FIELDS[fields])

    for header in (*BEHIND, *BEHIND):
        with pytest.raises(ClientError) as error:
            getattr(client, operation)(Bucket=s3ec.bucket, Key=KEY, Range=header)

        assert error.value.response["ResponseMetadata"]["HTTPStatusCode"] == 416
        assert answers.left_open() == [], header


REFUSED: dict[str, Callable[[S3ecObject], S3ecObject]] = {
    "body": lambda stored: stored.flipped(7),
    "tag": lambda stored: stored.flipped(-1),
    "cut": lambda stored: stored.with_body(stored.body[:-1]),
    "empty": lambda stored: stored.with_body(b""),
    "key": lambda stored: stored.with_metadata(x_amz_3="AAAA"),
    "description": lambda stored: stored.with_metadata(x_amz_i=None),
    "instruction": lambda stored: stored.with_instruction_file().with_instruction(bytes(100_000)),
    "nothing": lambda stored: S3ecObject(stored.body, {}),
}


@pytest.mark.parametrize("change", REFUSED)
@pytest.mark.parametrize("fields", FIELDS)
def test_object_when_refused_then_no_answer_is_left_open(
    s3ec: S3ecScene, answers: Answers, change: str, fields: str
) -> None:
    s3ec.put(REFUSED[change](v3_object(plaintext_of(SIZE), s3ec.wrap)))
    refused_count = 0

    for formats in (BOTH, WITH_SE1):
        client = s3ec.client(*formats, **FIELDS[fields])
        for header in (*EXISTING, *BEHIND):
            try:
                client.get_object(Bucket=s3ec.bucket, Key=KEY, **_asked(header))["Body"].read()
            except (S3EnvelopeError, ClientError):
                refused_count += 1
            with suppress(S3EnvelopeError, ClientError):
                client.head_object(Bucket=s3ec.bucket, Key=KEY, **_asked(header))

            assert answers.left_open() == [], header
    # What is wrong with the bytes of the body is not seen where a reader wants ranges unverified.
    assert refused_count >= 2 * len(BEHIND) + 2


@pytest.mark.parametrize("formats", [("s3ec-v2",), ("se1",)], ids=["another", "SE1"])
def test_object_when_its_format_is_not_read_then_no_answer_is_left_open(
    s3ec: S3ecScene, answers: Answers, formats: tuple[str, ...]
) -> None:
    s3ec.put(v3_object(plaintext_of(SIZE), s3ec.wrap))
    client = s3ec.client(*formats)

    for header in (*EXISTING, *BEHIND):
        with pytest.raises(S3EnvelopeError):
            client.get_object(Bucket=s3ec.bucket, Key=KEY, **_asked(header))

        assert answers.left_open() == [], header


def test_object_of_cbc_when_its_size_is_asked_for_then_no_answer_is_left_open(
    s3ec: S3ecScene, answers: Answers
) -> None:
    wrap = dataclasses.replace(s3ec.wrap, name="kms")
    s3ec.put(cbc_object(plaintext_of(SIZE), wrap, tells_size=False))
    client = s3ec.client("s3ec-v2", "s3ec-kms", "s3ec-cbc")

    head = client.head_object(Bucket=s3ec.bucket, Key=KEY)

    assert head["ContentLength"] == SIZE
    assert answers.left_open() == []
