"""Objects overwritten on real servers by somebody who may write to the bucket: the same refusals over sockets."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from mypy_boto3_s3 import S3Client

from s3envelope.errors import (
    HeaderAuthenticationError,
    MalformedEnvelopeError,
    NameBindingError,
    NotEncryptedError,
    ObjectChangedError,
    S3EnvelopeError,
    SegmentAuthenticationError,
    TruncatedObjectError,
)
from s3envelope.testing.s3_proxy import StoredAnswers, flip_byte, matching, replay, swap_answers
from tests.conftest import ProxyFactory
from tests.support.endpoints import Endpoint
from tests.support.enveloped import KIB, MIB, SEGMENT_SIZE, ClientFactory, NewBucket, plaintext_of
from tests.support.hostile import KEY, RANGE_START, READERS, SEALED_SEGMENT_SIZE, Stored

SIZE = 200 * KIB
OTHER_KEY = "other"
EVERY_READER = pytest.mark.parametrize("reader", READERS)


@dataclass(frozen=True, slots=True)
class Scene:
    """A reader, an attacker with a plain client, and two genuine objects of `SIZE` bytes."""

    reader: S3Client
    attacker: S3Client
    bucket: str

    def stored(self, key: str = KEY) -> Stored:
        """Return what the server holds."""
        answer = self.attacker.get_object(Bucket=self.bucket, Key=key)
        return Stored(answer["Body"].read(), answer["Metadata"])

    def plant(self, stored: Stored, key: str = KEY) -> None:
        """Overwrite an object."""
        self.attacker.put_object(Bucket=self.bucket, Key=key, Body=stored.body, Metadata=dict(stored.metadata))


@pytest.fixture
def scene(any_s3: Endpoint, new_bucket: NewBucket, sealed: ClientFactory) -> Scene:
    bucket = new_bucket(any_s3)
    writer = sealed(any_s3)
    for key in (KEY, OTHER_KEY):
        writer.put_object(Bucket=bucket, Key=key, Body=plaintext_of(SIZE))
    # Whoever reads has not seen the genuine versions.
    return Scene(sealed(any_s3), any_s3.client(), bucket)


def _joined(*order: int) -> Callable[[Stored, Stored], Stored]:
    return lambda ours, _: ours.with_body(b"".join(ours.segments[index] for index in order))


def _flipped_metadata(name: str) -> Callable[[Stored, Stored], Stored]:
    def edit(ours: Stored, _: Stored) -> Stored:
        value = ours.metadata[name]
        return ours.with_metadata(name, value[:60] + ("A" if value[60] != "A" else "B") + value[61:])

    return edit


# What the attacker plants, made of both genuine objects; the class; the plaintext that may be released before it.
EDITS: dict[str, tuple[Callable[[Stored, Stored], Stored], type[S3EnvelopeError], int]] = {
    "flip first byte": (lambda ours, _: ours.flipped(0), SegmentAuthenticationError, 0),
    "flip third segment": (
        lambda ours, _: ours.flipped(2 * SEALED_SEGMENT_SIZE + 12),
        SegmentAuthenticationError,
        2 * SEGMENT_SIZE,
    ),
    "flip last byte": (lambda ours, _: ours.flipped(-1), SegmentAuthenticationError, 3 * SEGMENT_SIZE),
    "flip header": (_flipped_metadata("se1-h"), NameBindingError, 0),
    "flip data key": (_flipped_metadata("se1-k"), HeaderAuthenticationError, 0),
    "cut in a segment": (lambda ours, _: ours.with_body(ours.body[:100_000]), SegmentAuthenticationError, SEGMENT_SIZE),
    "cut at a border": (lambda ours, _: ours.with_body(ours.body[:SEALED_SEGMENT_SIZE]), TruncatedObjectError, 0),
    "swap segments": (_joined(0, 2, 1, 3), SegmentAuthenticationError, SEGMENT_SIZE),
    "repeat a segment": (_joined(0, 0, 1, 2, 3), SegmentAuthenticationError, SEGMENT_SIZE),
    "drop a segment": (_joined(0, 1, 3), SegmentAuthenticationError, 2 * SEGMENT_SIZE),
    "append": (lambda ours, _: ours.with_body(ours.body + b"x"), SegmentAuthenticationError, 3 * SEGMENT_SIZE),
    "other object": (lambda _, theirs: theirs, NameBindingError, 0),
    "other body": (lambda ours, theirs: ours.with_body(theirs.body), SegmentAuthenticationError, 0),
    "other metadata": (lambda ours, theirs: Stored(ours.body, theirs.metadata), NameBindingError, 0),
    "no envelope": (lambda ours, _: Stored(ours.body, {}), NotEncryptedError, 0),
    "half an envelope": (
        lambda ours, _: Stored(ours.body, {"se1-h": ours.metadata["se1-h"]}),
        MalformedEnvelopeError,
        0,
    ),
}


@pytest.mark.parametrize("edit", EDITS)
def test_object_when_overwritten_by_a_bucket_writer_then_every_reader_refuses_it(
    scene: Scene, edit: str, tmp_path: Path
) -> None:
    change, expected, verified_size = EDITS[edit]
    scene.plant(change(scene.stored(), scene.stored(OTHER_KEY)))

    for name, read in READERS.items():
        released, error = read(scene.reader, scene.bucket, KEY, tmp_path)

        start = RANGE_START if name == "range" else 0
        assert type(error) is expected, name
        assert released == plaintext_of(SIZE)[start : start + len(released)]
        assert start + len(released) <= max(start, verified_size)


def test_object_when_its_older_body_is_put_under_newer_metadata_then_refused(scene: Scene, tmp_path: Path) -> None:
    older, newer = scene.stored(OTHER_KEY), scene.stored()
    scene.plant(newer.with_body(older.body))

    for read in READERS.values():
        released, error = read(scene.reader, scene.bucket, KEY, tmp_path)

        assert (type(error), released) == (SegmentAuthenticationError, b"")


def test_reader_when_object_is_restored_then_reads_it_again(scene: Scene, tmp_path: Path) -> None:
    genuine = scene.stored()
    scene.plant(genuine.flipped(5))
    assert READERS["download_file"](scene.reader, scene.bucket, KEY, tmp_path)[1] is not None

    scene.plant(genuine)

    assert READERS["download_file"](scene.reader, scene.bucket, KEY, tmp_path) == (plaintext_of(SIZE), None)


@pytest.mark.parametrize("scheme", ["http", "https"])
@EVERY_READER
def test_answer_when_flipped_on_its_way_then_refused(
    request: pytest.FixtureRequest,
    moto_s3: Endpoint,
    new_bucket: NewBucket,
    sealed: ClientFactory,
    scheme: str,
    reader: str,
    tmp_path: Path,
) -> None:
    make: ProxyFactory = request.getfixturevalue(f"{scheme}_proxy")
    proxy, endpoint = make(moto_s3)
    client, bucket = sealed(endpoint, response_checksum_validation="when_required"), new_bucket(moto_s3)
    client.put_object(Bucket=bucket, Key=KEY, Body=plaintext_of(SIZE))
    proxy.on_response(matching(method="GET"), flip_byte(SEALED_SEGMENT_SIZE + 20))

    released, error = READERS[reader](client, bucket, KEY, tmp_path)

    start = RANGE_START if reader == "range" else 0
    assert type(error) is SegmentAuthenticationError
    assert released == plaintext_of(SEGMENT_SIZE)[start : start + len(released)]


@EVERY_READER
def test_answers_when_swapped_on_their_way_then_refused(
    moto_s3: Endpoint,
    http_proxy: ProxyFactory,
    new_bucket: NewBucket,
    sealed: ClientFactory,
    reader: str,
    tmp_path: Path,
) -> None:
    proxy, endpoint = http_proxy(moto_s3)
    client, bucket = sealed(endpoint), new_bucket(moto_s3)
    seen = StoredAnswers()
    proxy.on_response(matching(), seen)
    for key in (KEY, OTHER_KEY):
        client.put_object(Bucket=bucket, Key=key, Body=plaintext_of(SIZE))
        for read in READERS.values():
            assert read(client, bucket, key, tmp_path)[1] is None
    proxy.on_response(matching(), swap_answers(seen, f"/{bucket}/{KEY}", f"/{bucket}/{OTHER_KEY}"))

    released, error = READERS[reader](client, bucket, KEY, tmp_path)

    assert (type(error), released) == (NameBindingError, b"")


def test_ranges_of_a_download_when_the_object_is_overwritten_meanwhile_then_no_mixture(
    moto_s3: Endpoint, http_proxy: ProxyFactory, new_bucket: NewBucket, sealed: ClientFactory
) -> None:
    proxy, endpoint = http_proxy(moto_s3)
    client, bucket = sealed(endpoint), new_bucket(moto_s3)
    seen = StoredAnswers()
    rule = proxy.on_response(matching(method="GET"), seen)
    client.put_object(Bucket=bucket, Key=KEY, Body=plaintext_of(9 * MIB))
    client.download_fileobj(bucket, KEY, io.BytesIO())
    assert rule.hit_count == 2
    first, second = (request.header("range") for request in proxy.requests if request.method == "GET")
    client.put_object(Bucket=bucket, Key=KEY, Body=bytes(9 * MIB))
    # The second range is answered from the older upload, under its older ETag.
    later = max(first, second, key=lambda header: int(header[6:].split("-")[0]))
    old = seen.latest(path=f"/{bucket}/{KEY}", byte_range=later)
    proxy.on_response(lambda request: request.header("range") == later, replay(old))

    with pytest.raises(ObjectChangedError):
        client.download_fileobj(bucket, KEY, io.BytesIO())
