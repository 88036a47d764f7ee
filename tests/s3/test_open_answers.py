"""However a read ends, every answer that it took is at its end or closed: no connection waits for a garbage collection.

Source: a `ResourceWarning` of a socket that a refused read had left open, in another test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any

import pytest
from botocore.exceptions import ClientError, IncompleteReadError, ResponseStreamingError
from mypy_boto3_s3 import S3Client

from s3envelope import Occurrence, RawAesKeyring
from s3envelope.core.context import EncryptionContext
from s3envelope.core.envelope import Envelope
from s3envelope.errors import (
    AuditError,
    ContextMismatchError,
    IndexAuthenticationError,
    NoMatchingKeyError,
    NotEncryptedError,
    ObjectChangedError,
    SegmentAuthenticationError,
    UnsupportedFormatError,
)
from s3envelope.s3.calls import Read
from s3envelope.s3.proofs import begins_as
from s3envelope.testing.s3_proxy import Forwarded, ResetResponse, S3Proxy, TruncatedResponse, matching, set_header
from tests.conftest import ProxyFactory
from tests.support.endpoints import Endpoint
from tests.support.enveloped import SEGMENT_SIZE, ClientFactory, NewBucket, plaintext_of
from tests.support.open_answers import Answers, noted_answers
from tests.support.uploading import Uploading

SIZE = 3 * SEGMENT_SIZE + 1000
LAYOUTS = ("plain", "indexed")
ONE_SEGMENT = "bytes=5-10"
# The whole object, ranges at both ends and in the middle, and those that do not exist.
EXISTING = (None, "bytes=0-0", ONE_SEGMENT, "bytes=70000-140000", f"bytes={SIZE - 1}-", "bytes=100-", "bytes=-10")
BEHIND = (f"bytes={SIZE}-", f"bytes={SIZE + SEGMENT_SIZE}-", "bytes=-0")
GET = matching(method="GET")


@dataclass(frozen=True, slots=True)
class Scene:
    """A bucket with an object "k", and what reads it."""

    sealed: ClientFactory
    endpoint: Endpoint
    client: S3Client
    plain: S3Client
    bucket: str

    @property
    def where(self) -> Any:
        return {"Bucket": self.bucket, "Key": "k"}

    def put(self, layout: str, plaintext: bytes = b"") -> None:
        """Store a sealed object."""
        content = plaintext or plaintext_of(SIZE)
        if layout == "plain":
            self.client.put_object(**self.where, Body=content)
        else:
            upload = Uploading(self.client, self.bucket)
            upload.part(1, content)
            upload.complete()

    def put_empty(self, layout: str) -> None:
        """Store a sealed object of no bytes."""
        if layout == "plain":
            self.client.put_object(**self.where, Body=b"")
        else:
            upload = Uploading(self.client, self.bucket)
            upload.part(1, b"")
            upload.complete()

    def flip(self, offset: int) -> None:
        """Flip a bit of the stored body."""
        answer = self.plain.get_object(**self.where)
        body = bytearray(answer["Body"].read())
        body[offset] ^= 0x01
        self.plain.put_object(**self.where, Body=bytes(body), Metadata=answer["Metadata"])

    def get(self, header: str | None = None, *, client: S3Client | None = None, **arguments: Any) -> Any:
        """Return the answer to a GET; its body is not read."""
        return (client or self.client).get_object(**self.where, **_asked(header), **arguments)


def _asked(header: str | None) -> Any:
    return {} if header is None else {"Range": header}


@pytest.fixture
def scene(any_s3: Endpoint, new_bucket: NewBucket, sealed: ClientFactory) -> Scene:
    return Scene(sealed, any_s3, sealed(any_s3), any_s3.client(), new_bucket(any_s3))


@pytest.fixture
def proxied(
    moto_s3: Endpoint, http_proxy: ProxyFactory, new_bucket: NewBucket, sealed: ClientFactory
) -> tuple[Scene, S3Proxy]:
    """Return a scene on moto, and the proxy that its enveloped clients go through."""
    proxy, behind = http_proxy(moto_s3)
    return Scene(sealed, behind, sealed(behind), moto_s3.client(), new_bucket(moto_s3)), proxy


@pytest.fixture
def answers() -> Iterator[Answers]:
    """Yield the answers of a test; none of them is closed by being forgotten."""
    with noted_answers() as noted:
        yield noted


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "read",
    [
        lambda body, size: body.read(),
        lambda body, size: body.read(size),
        lambda body, size: list(body.iter_chunks(1000)),
        lambda body, size: list(body.iter_lines()),
    ],
    ids=["read", "read its size", "chunks", "lines"],
)
def test_body_when_read_to_its_end_and_not_closed_then_its_connections_are_used_again(
    scene: Scene, answers: Answers, layout: str, read: Callable[[Any, int], object]
) -> None:
    scene.put(layout)
    kept = []

    for header in EXISTING:
        answer = scene.get(header)
        kept.append(answer)
        read(answer["Body"], answer["ContentLength"])

        assert answers.left_open() == [], header
    # Of an indexed object a range is asked for twice: the answer to the first request shows only where it lies.
    assert answers.closed_early() == [] or layout == "indexed"


@pytest.mark.parametrize("size", [1, SEGMENT_SIZE - 1, SEGMENT_SIZE, SEGMENT_SIZE + 1, 2 * SEGMENT_SIZE])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_whole_object_when_read_to_its_end_then_its_connections_are_used_again(
    scene: Scene, answers: Answers, layout: str, size: int
) -> None:
    scene.put(layout, plaintext_of(size))

    answer = scene.get()
    answer["Body"].read()

    assert (answers.left_open(), answers.closed_early()) == ([], [])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_empty_object_when_read_or_closed_then_no_answer_is_left_open(
    scene: Scene, answers: Answers, layout: str
) -> None:
    scene.put_empty(layout)

    read, closed = scene.get(), scene.get()
    read["Body"].read()
    closed["Body"].close()
    for header in ("bytes=0-", "bytes=-1", "bytes=0-0"):
        with pytest.raises(ClientError, match="InvalidRange"):
            scene.get(header)
    scene.client.head_object(**scene.where)

    assert answers.left_open() == []


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("size", [0, 1, SEGMENT_SIZE + 1])
def test_body_when_closed_early_then_no_answer_is_left_open(
    scene: Scene, answers: Answers, layout: str, size: int
) -> None:
    scene.put(layout)

    for header in EXISTING:
        answer = scene.get(header)
        answer["Body"].read(min(size, answer["ContentLength"] - 1))
        answer["Body"].close()

        assert answers.left_open() == [], header


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("header", BEHIND)
def test_range_when_it_does_not_exist_then_no_answer_is_left_open(
    scene: Scene, answers: Answers, layout: str, header: str
) -> None:
    scene.put(layout)

    with pytest.raises(ClientError) as got:
        scene.get(header)
    with pytest.raises(ClientError) as head:
        scene.client.head_object(**scene.where, Range=header)

    assert [error.value.response["ResponseMetadata"]["HTTPStatusCode"] for error in (got, head)] == [416, 416]
    assert answers.left_open() == []


@pytest.mark.parametrize("content", [b"", b"0123456789", bytes(SIZE)], ids=["empty", "small", "large"])
@pytest.mark.parametrize("header", [None, "bytes=0-0", "bytes=5-", "bytes=999999-", "bytes=-0"])
@pytest.mark.parametrize("operation", ["get_object", "head_object"])
def test_unencrypted_object_when_refused_or_passed_on_then_no_answer_is_left_open(
    scene: Scene, answers: Answers, content: bytes, header: str | None, operation: str
) -> None:
    scene.plain.put_object(**scene.where, Body=content)
    allowing = scene.sealed(scene.endpoint, envelope={"unencrypted": "allow"})

    with pytest.raises((NotEncryptedError, ClientError)) as refused:
        getattr(scene.client, operation)(**scene.where, **_asked(header))

    assert isinstance(refused.value, NotEncryptedError)
    assert answers.left_open() == []
    with suppress(ClientError):
        answer = getattr(allowing, operation)(**scene.where, **_asked(header))
        if "Body" in answer:
            answer["Body"].read()
    assert answers.left_open() == []


@pytest.mark.parametrize("layout", LAYOUTS)
def test_head_when_answered_then_no_answer_is_left_open(scene: Scene, answers: Answers, layout: str) -> None:
    scene.put(layout)

    heads = [scene.client.head_object(**scene.where, **_asked(header)) for header in EXISTING]

    assert heads[0]["ContentLength"] == SIZE
    assert answers.left_open() == []


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["k", "another"])
def test_begins_as_when_it_is_or_is_not_so_then_no_answer_is_left_open(
    scene: Scene, answers: Answers, layout: str, name: str
) -> None:
    scene.put(layout)
    envelope = Envelope.parse(scene.plain.head_object(**scene.where)["Metadata"])
    seam: Any = scene.client._s3envelope  # type: ignore[attr-defined]

    is_so = begins_as(seam, Read(dict(scene.where), None, EncryptionContext()), envelope, name)

    assert is_so == (name == "k")
    assert answers.left_open() == []


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("header", [*EXISTING, *BEHIND])
def test_read_when_key_or_context_or_format_is_another_then_no_answer_is_left_open(
    scene: Scene, answers: Answers, layout: str, header: str | None
) -> None:
    scene.put(layout)
    stranger = scene.sealed(scene.endpoint, envelope={"keyring": RawAesKeyring(bytes(range(32)), "another")})
    demanding = scene.sealed(scene.endpoint, envelope={"encryption_context": {"tenant": "acme"}})
    another = scene.sealed(scene.endpoint, envelope={"read_formats": ("s3ec-v3",)})

    for client, error in (
        (stranger, NoMatchingKeyError),
        (demanding, ContextMismatchError),
        (another, UnsupportedFormatError),
    ):
        with pytest.raises(error):
            scene.get(header, client=client)

        assert answers.left_open() == []


@pytest.mark.parametrize("operation", ["get_object", "head_object"])
@pytest.mark.parametrize("header", [None, ONE_SEGMENT, f"bytes={SIZE}-"])
def test_index_when_damaged_then_no_answer_is_left_open(
    scene: Scene, answers: Answers, operation: str, header: str | None
) -> None:
    scene.put("indexed")
    scene.flip(-20)

    with pytest.raises(IndexAuthenticationError):
        getattr(scene.client, operation)(**scene.where, **_asked(header))

    assert answers.left_open() == []


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("header", [None, "bytes=10-", "bytes=70000-70001"])
def test_segment_when_damaged_then_no_answer_is_left_open(
    scene: Scene, answers: Answers, layout: str, header: str | None
) -> None:
    scene.put(layout)
    scene.flip(SEGMENT_SIZE + 5000)

    answer = scene.get(header)
    with pytest.raises(SegmentAuthenticationError):
        answer["Body"].read()

    assert answers.left_open() == []


class _FullDisk:
    """A sink that cannot take the record of an opened object."""

    def record(self, occurrence: Occurrence) -> None:
        if occurrence.operation == "open":
            raise OSError("the disk is full")


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("header", [None, ONE_SEGMENT, f"bytes={SIZE}-"])
def test_read_when_it_cannot_be_recorded_then_no_answer_is_left_open(
    scene: Scene, answers: Answers, layout: str, header: str | None
) -> None:
    scene.put(layout)
    client = scene.sealed(scene.endpoint, envelope={"audit": _FullDisk(), "audit_policy": "required"})

    with pytest.raises(AuditError):
        scene.get(header, client=client)

    assert answers.left_open() == []


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("fault", [TruncatedResponse(SEGMENT_SIZE + 100), ResetResponse(SEGMENT_SIZE + 100)])
def test_answer_when_it_breaks_off_then_no_answer_is_left_open(
    proxied: tuple[Scene, S3Proxy], answers: Answers, layout: str, fault: Any
) -> None:
    scene, proxy = proxied
    scene.put(layout)
    rule = proxy.inject(fault, GET)

    answer = scene.get()
    with pytest.raises((IncompleteReadError, ResponseStreamingError)):
        answer["Body"].read()

    assert rule.hit_count == 1
    assert answers.left_open() == []


@pytest.mark.parametrize("header", [None, ONE_SEGMENT, f"bytes={SIZE}-"])
def test_tail_when_it_is_of_another_object_then_no_answer_is_left_open(
    proxied: tuple[Scene, S3Proxy], answers: Answers, header: str | None
) -> None:
    scene, proxy = proxied
    scene.put("indexed")
    proxy.on_response(
        lambda request: request.method == "GET" and request.header("range").startswith("bytes=-"),
        set_header("ETag", '"another"'),
    )

    with pytest.raises(ObjectChangedError):
        scene.get(header)

    assert answers.left_open() == []


def _without_range(forwarded: Forwarded) -> Forwarded:
    return replace(forwarded, headers=tuple(pair for pair in forwarded.headers if pair[0].lower() != "range"))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_server_when_it_sends_the_whole_object_for_a_range_then_no_answer_is_left_open(
    proxied: tuple[Scene, S3Proxy], answers: Answers, layout: str
) -> None:
    scene, proxy = proxied
    scene.put(layout)
    proxy.on_request(GET, _without_range)
    kept = []

    for header in EXISTING:
        answer = scene.get(header)
        kept.append(answer)

        answer["Body"].read()

        assert answers.left_open() == [], header
    for header in BEHIND:
        with pytest.raises(ClientError):
            scene.get(header)
        assert answers.left_open() == [], header
