"""Answers that break off are read again; answers that were changed are not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import IncompleteReadError, ResponseStreamingError
from mypy_boto3_s3 import S3Client

from s3envelope.core.segments import NONCE_SIZE
from s3envelope.errors import S3EnvelopeError, SegmentAuthenticationError, TruncatedObjectError
from s3envelope.testing.s3_proxy import S3Proxy, TruncatedResponse, matching
from tests.conftest import ProxyFactory
from tests.support.endpoints import Endpoint
from tests.support.enveloped import SEGMENT_SIZE, ClientFactory, NewBucket, plaintext_of
from tests.support.hostile import SEALED_SEGMENT_SIZE, Stored

TAG_SIZE = 16
SIZE = 2 * SEGMENT_SIZE + 1000
STORED_SIZE = SIZE + 3 * 28
GET = matching(method="GET")


@dataclass(frozen=True, slots=True)
class Scene:
    """A client that would try five times, the proxy before its storage, and a bucket with an object of `SIZE`."""

    client: S3Client
    plain: S3Client
    proxy: S3Proxy
    bucket: str

    def stored(self, key: str = "k") -> Stored:
        """Return what the storage has."""
        answer = self.plain.get_object(Bucket=self.bucket, Key=key)
        return Stored(answer["Body"].read(), answer["Metadata"])

    def read(self, released: bytearray, step: int | None) -> None:
        """Append what a read of the object in pieces releases."""
        body: Any = self.client.get_object(Bucket=self.bucket, Key="k")["Body"]
        while piece := body.read(step):
            released += piece

    def gets(self) -> list[str]:
        """Return the ranges of the GET requests."""
        return [request.header("range") for request in self.proxy.requests if request.method == "GET"]


@pytest.fixture(params=["http", "https"])
def scene(
    request: pytest.FixtureRequest,
    moto_s3: Endpoint,
    new_bucket: NewBucket,
    sealed: ClientFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Scene:
    """Return the scene over http and https; botocore does not wait between attempts."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    make: ProxyFactory = request.getfixturevalue(f"{request.param}_proxy")
    proxy, endpoint = make(moto_s3)
    client = sealed(endpoint, retries={"mode": "standard", "total_max_attempts": 5})
    bucket = new_bucket(moto_s3)
    client.put_object(Bucket=bucket, Key="k", Body=plaintext_of(SIZE))
    client.put_object(Bucket=bucket, Key="other", Body=plaintext_of(SIZE))
    proxy.clear()
    return Scene(client, moto_s3.client(), proxy, bucket)


def _positions() -> list[int]:
    """Return every kind of place in a stored body: before, in and behind nonce, ciphertext and tag of each segment."""
    positions: set[int] = set()
    for start in range(0, STORED_SIZE, SEALED_SEGMENT_SIZE):
        end = min(start + SEALED_SEGMENT_SIZE, STORED_SIZE)
        positions |= {start, start + 1, start + NONCE_SIZE - 1, start + NONCE_SIZE, start + NONCE_SIZE + 1}
        positions |= {(start + end) // 2, end - TAG_SIZE - 1, end - TAG_SIZE, end - TAG_SIZE + 1, end - 1}
    return sorted(positions)


def test_answer_that_breaks_off_at_any_position_in_a_segment_is_botocore_s_error(scene: Scene) -> None:
    for position in _positions():
        for step in (None, 10_000):
            rule = scene.proxy.inject(TruncatedResponse(position), GET)
            released = bytearray()

            with pytest.raises((IncompleteReadError, ResponseStreamingError)):
                scene.read(released, step)

            assert rule.hit_count == 1
            # Whole segments only; all of the last one would be the end, which was not proved.
            assert len(released) <= position // SEALED_SEGMENT_SIZE * SEGMENT_SIZE
            assert plaintext_of(SIZE).startswith(released)


def test_download_whose_answer_breaks_off_at_any_position_is_tried_again_and_right(
    scene: Scene, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    config = TransferConfig(use_threads=False)

    for position in _positions():
        seen: list[int] = []
        rule = scene.proxy.inject(TruncatedResponse(position), GET)

        scene.client.download_file(scene.bucket, "k", str(path), Callback=seen.append, Config=config)

        assert rule.hit_count == 1, position
        assert path.read_bytes() == plaintext_of(SIZE)
        assert sum(seen) == SIZE
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


CHANGES: dict[str, tuple[Callable[[Stored, Stored], Stored], int]] = {
    "flipped byte": (lambda ours, _: ours.flipped(SEALED_SEGMENT_SIZE + 500), 1),
    "flipped tag": (lambda ours, _: ours.flipped(-1), 2),
    "swapped segments": (lambda ours, _: _of(ours, ours.segments[1], ours.segments[0], ours.segments[2]), 0),
    "dropped last segment": (lambda ours, _: _of(ours, *ours.segments[:2]), 1),
    "segment of another object": (
        lambda ours, other: _of(ours, ours.segments[0], other.segments[1], ours.segments[2]),
        1,
    ),
    "last segment of another object": (lambda ours, other: _of(ours, *ours.segments[:2], other.segments[2]), 2),
}


def _of(stored: Stored, *segments: bytes) -> Stored:
    return stored.with_body(b"".join(segments))


@pytest.mark.parametrize("change", CHANGES)
def test_changed_object_is_an_error_of_integrity_that_nobody_retries_and_leaves_no_file(
    scene: Scene, change: str, tmp_path: Path
) -> None:
    edit, good_segments = CHANGES[change]
    edited = edit(scene.stored(), scene.stored("other"))
    scene.plain.put_object(Bucket=scene.bucket, Key="k", Body=edited.body, Metadata=dict(edited.metadata))
    expected: tuple[type[S3EnvelopeError], ...] = (SegmentAuthenticationError, TruncatedObjectError)

    with pytest.raises(expected):
        scene.client.download_file(scene.bucket, "k", str(tmp_path / "file"))

    assert list(tmp_path.iterdir()) == []
    # A size that no object has is seen in the answer to HEAD.
    assert len(scene.proxy.requests) == (1 if change == "dropped last segment" else 2)
    scene.proxy.clear()
    released = bytearray()
    with pytest.raises(expected):
        scene.read(released, 1000)
    assert len(scene.gets()) == 1
    assert plaintext_of(SIZE).startswith(released)
    assert len(released) <= good_segments * SEGMENT_SIZE
