"""A storage that changes bodies: refused with the right class, and not one unverified byte comes out.

The loops run against a storage in memory; `test_hostile_servers.py` does the same over real sockets.
"""

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from mypy_boto3_s3 import S3Client

from s3envelope import RawAesKeyring
from s3envelope.errors import (
    DecryptionError,
    NotEncryptedError,
    SegmentAuthenticationError,
    TruncatedObjectError,
)
from tests.support.endpoints import Endpoint
from tests.support.enveloped import KIB, MIB, SEGMENT_SIZE, enveloped_client, plaintext_of
from tests.support.hostile import (
    BUCKET,
    KEY,
    RANGE_START,
    READERS,
    SEALED_SEGMENT_SIZE,
    MemoryStorage,
    Outcome,
    Stored,
)

NOWHERE = Endpoint("memory", "http://127.0.0.1:1", "test", "test")
EVERY_READER = pytest.mark.parametrize("reader", READERS)


@dataclass(frozen=True, slots=True)
class Victim:
    """A client, and the storage that answers it."""

    client: S3Client
    storage: MemoryStorage

    def store(self, size: int, key: str = KEY) -> Stored:
        """Put an object of `plaintext_of(size)` and return what is stored."""
        self.client.put_object(Bucket=BUCKET, Key=key, Body=plaintext_of(size))
        return self.storage.stored

    def read(self, reader: str, stored: Stored, folder: Path, key: str = KEY) -> Outcome:
        """Return what a reader released of `stored`, and its error."""
        self.storage.stored = stored
        return READERS[reader](self.client, BUCKET, key, folder)


@pytest.fixture
def victim() -> Iterator[Victim]:
    client = enveloped_client(NOWHERE, RawAesKeyring(bytes(range(32)), "raw:test"))
    yield Victim(client, MemoryStorage(client))
    client.close()


def _check(outcome: Outcome, reader: str, size: int, verified_size: int, *classes: type[DecryptionError]) -> None:
    """Assert the class of the error, and that only verified plaintext came out."""
    released, error = outcome
    assert type(error) in classes
    start = RANGE_START if reader == "range" else 0
    assert released == plaintext_of(size)[start : start + len(released)]
    assert start + len(released) <= max(verified_size, start)


@EVERY_READER
def test_object_when_unchanged_then_every_reader_of_these_tests_gets_it(
    victim: Victim, reader: str, tmp_path: Path
) -> None:
    stored = victim.store(200 * KIB)

    released, error = victim.read(reader, stored, tmp_path)

    assert error is None
    assert released == plaintext_of(200 * KIB)[RANGE_START if reader == "range" else 0 :]


@pytest.mark.parametrize("header", ["bytes=0-9", "bytes=0-65535", "bytes=65536-131071", "bytes=131072-", "bytes=-9"])
def test_range_when_read_to_its_end_then_nothing_of_the_answer_is_left_on_the_connection(
    victim: Victim, header: str
) -> None:
    victim.store(3 * SEGMENT_SIZE)

    body = victim.client.get_object(Bucket=BUCKET, Key=KEY, Range=header)["Body"]
    body.read()

    assert victim.storage.unread_size == 0
    body.close()


@EVERY_READER
def test_small_object_when_any_byte_is_flipped_then_refused_and_nothing_released(
    victim: Victim, reader: str, tmp_path: Path
) -> None:
    stored = victim.store(100)
    assert len(stored.body) == 128

    for offset, mask in itertools.product(range(len(stored.body)), (0x01, 0x80)):
        outcome = victim.read(reader, stored.flipped(offset, mask), tmp_path)
        _check(outcome, reader, 100, 0, SegmentAuthenticationError)


@EVERY_READER
def test_1_mib_object_when_random_bytes_are_flipped_then_refused_and_only_segments_before_it_released(
    victim: Victim, reader: str, tmp_path: Path
) -> None:
    stored = victim.store(MIB)
    offsets = random.Random(0).sample(range(len(stored.body)), 300)

    for offset in offsets:
        outcome = victim.read(reader, stored.flipped(offset, 0x10), tmp_path)
        verified_size = offset // SEALED_SEGMENT_SIZE * SEGMENT_SIZE
        # The last byte waits for the end, which is a segment of its own here.
        held_back = verified_size == MIB
        _check(outcome, reader, MIB, verified_size - held_back, SegmentAuthenticationError)


def _cuts(stored_size: int) -> list[int]:
    borders = range(0, stored_size, SEALED_SEGMENT_SIZE)
    around = {border + step for border in borders for step in (-1, 0, 1, 27, 28, 29)}
    return sorted(cut for cut in {*around, stored_size - 1} if 0 <= cut < stored_size)


@EVERY_READER
def test_200_kib_object_when_cut_at_segment_borders_then_refused(victim: Victim, reader: str, tmp_path: Path) -> None:
    stored = victim.store(200 * KIB)
    cuts = _cuts(len(stored.body))
    assert {0, 1, 27, 28, SEALED_SEGMENT_SIZE - 1, SEALED_SEGMENT_SIZE, SEALED_SEGMENT_SIZE + 1} <= set(cuts)

    for cut in cuts:
        released, error = victim.read(reader, stored.with_body(stored.body[:cut]), tmp_path)
        full, rest = divmod(cut, SEALED_SEGMENT_SIZE)
        if cut == 0 and reader == "range":
            assert (type(error), released) == (NotEncryptedError, b"")
        elif rest < 28:
            _check((released, error), reader, 200 * KIB, 0, TruncatedObjectError)
        else:
            # Cut to 28 bytes, the rest claims to be an empty end: then the last byte before it is held back.
            verified_size = full * SEGMENT_SIZE - (rest == 28)
            _check((released, error), reader, 200 * KIB, verified_size, SegmentAuthenticationError)


def _other_orders() -> list[tuple[int, ...]]:
    """Return every order, omission and single repetition of four segments in which the last one stays last."""
    orders = [
        (*order, 3) for length in range(4) for order in itertools.permutations(range(3), length) if order != (0, 1, 2)
    ]
    orders += [(*order[:place], order[place], *order[place:], 3) for order in [(0, 1, 2)] for place in range(3)]
    orders += [(0, 1, 2, 0, 3), (0, 1, 2, 3, 3)]
    return orders


@EVERY_READER
def test_200_kib_object_when_segments_are_swapped_repeated_or_dropped_then_refused(
    victim: Victim, reader: str, tmp_path: Path
) -> None:
    stored = victim.store(200 * KIB)

    for order in _other_orders():
        changed = stored.with_body(b"".join(stored.segments[index] for index in order))
        intact = sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], enumerate(order)))
        outcome = victim.read(reader, changed, tmp_path)
        _check(outcome, reader, 200 * KIB, intact * SEGMENT_SIZE, SegmentAuthenticationError)


@EVERY_READER
def test_object_when_its_last_segment_is_missing_or_comes_first_then_refused(
    victim: Victim, reader: str, tmp_path: Path
) -> None:
    stored = victim.store(200 * KIB)
    missing = stored.with_body(b"".join(stored.segments[:3]))
    first = stored.with_body(b"".join(stored.segments[3:] + stored.segments[:3]))

    _check(victim.read(reader, missing, tmp_path), reader, 200 * KIB, 0, TruncatedObjectError)
    _check(victim.read(reader, first, tmp_path), reader, 200 * KIB, 0, SegmentAuthenticationError)


@EVERY_READER
@pytest.mark.parametrize("size", [0, 1, SEGMENT_SIZE, 200 * KIB])
@pytest.mark.parametrize("appended", [1, 27, 28, SEALED_SEGMENT_SIZE])
def test_object_when_bytes_are_appended_then_refused(
    victim: Victim, reader: str, size: int, appended: int, tmp_path: Path
) -> None:
    stored = victim.store(size)
    verified_size = size // SEGMENT_SIZE * SEGMENT_SIZE

    outcome = victim.read(reader, stored.with_body(stored.body + bytes(appended)), tmp_path)

    _check(outcome, reader, size, verified_size, SegmentAuthenticationError)


@EVERY_READER
def test_object_when_its_own_end_is_appended_again_then_refused(victim: Victim, reader: str, tmp_path: Path) -> None:
    stored = victim.store(2 * SEGMENT_SIZE)
    assert len(stored.segments[-1]) == 28

    outcome = victim.read(reader, stored.with_body(stored.body + stored.segments[-1]), tmp_path)

    _check(outcome, reader, 2 * SEGMENT_SIZE, 2 * SEGMENT_SIZE, SegmentAuthenticationError)


@EVERY_READER
def test_body_when_it_is_an_older_one_under_newer_metadata_then_refused(
    victim: Victim, reader: str, tmp_path: Path
) -> None:
    older = victim.store(100)
    newer = victim.store(100)

    outcome = victim.read(reader, newer.with_body(older.body), tmp_path)

    _check(outcome, reader, 100, 0, SegmentAuthenticationError)


@EVERY_READER
def test_end_when_forged_behind_genuine_segments_then_last_byte_is_not_released(
    victim: Victim, reader: str, tmp_path: Path
) -> None:
    stored = victim.store(200 * KIB)
    short = stored.with_body(b"".join(stored.segments[:2]) + bytes(28))

    outcome = victim.read(reader, short, tmp_path)

    _check(outcome, reader, 200 * KIB, 2 * SEGMENT_SIZE - 1, SegmentAuthenticationError)


@pytest.mark.parametrize("header", ["bytes=65536-131071", "bytes=131071-131071", "bytes=100000-999999", "bytes=-1"])
def test_range_when_it_ends_at_a_forged_end_then_refused(victim: Victim, header: str) -> None:
    stored = victim.store(200 * KIB)
    victim.storage.stored = stored.with_body(b"".join(stored.segments[:2]) + bytes(28))

    body = victim.client.get_object(Bucket=BUCKET, Key=KEY, Range=header)["Body"]

    with pytest.raises(SegmentAuthenticationError):
        body.read()


@pytest.mark.parametrize("header", ["bytes=0-9", "bytes=70000-70009", "bytes=65530-65540", "bytes=200000-"])
def test_range_when_any_of_its_segments_is_flipped_then_refused_else_right(victim: Victim, header: str) -> None:
    stored = victim.store(200 * KIB)
    first = int(header[6:].split("-")[0])
    last = int(header.split("-")[1] or 200 * KIB - 1)
    touched = range(first // SEGMENT_SIZE, last // SEGMENT_SIZE + 1)

    for segment in range(4):
        victim.storage.stored = stored.flipped(segment * SEALED_SEGMENT_SIZE + 50)
        body = victim.client.get_object(Bucket=BUCKET, Key=KEY, Range=header)["Body"]
        if segment in touched:
            with pytest.raises(SegmentAuthenticationError):
                body.read()
        else:
            assert body.read() == plaintext_of(200 * KIB)[first : last + 1]


def test_multipart_download_when_a_later_range_is_flipped_then_only_a_prefix_is_released(
    victim: Victim, tmp_path: Path
) -> None:
    stored = victim.store(17 * MIB)
    changed = stored.flipped(9 * MIB)

    released, error = victim.read("download_fileobj", changed, tmp_path)

    assert type(error) is SegmentAuthenticationError
    # A stream that can seek is written range by range: what was never written is a hole of zeros.
    plaintext = plaintext_of(17 * MIB)
    assert all(
        released[start : start + KIB] in (plaintext[start : start + KIB], bytes(len(released[start : start + KIB])))
        for start in range(0, len(released), KIB)
    )
    _check(victim.read("download_file", changed, tmp_path), "download_file", 17 * MIB, 0, SegmentAuthenticationError)
