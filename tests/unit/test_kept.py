"""Ciphertext that is kept between passes: as far as there are buffers, the same bytes, and progress goes along."""

from __future__ import annotations

import io
import random
import threading
from typing import Any, cast

import pytest

from s3envelope.engine.kept import PIECE_COUNT, PIECE_SIZE, KeptPool
from s3envelope.engine.sealing import CiphertextReader
from s3envelope.engine.sources import StreamSource
from s3envelope.errors import SourceChangedError
from s3envelope.testing.streams import ChangingSource, FailingSource, MemorySource
from tests.support.objects import SEALED, SEGMENT, new_body_key, sealed_run

KEY = new_body_key()
PLAINTEXT = random.Random(2).randbytes(3 * PIECE_COUNT * SEGMENT + 2 * SEGMENT + 100)
EXPECTED = CiphertextReader(sealed_run(PLAINTEXT, KEY)).read()
LARGE = random.Random(4).randbytes(9 * PIECE_COUNT * SEGMENT)
EXPECTED_LARGE = CiphertextReader(sealed_run(LARGE, KEY)).read()
COUNTS = [0, 1, 2, 3, 4, 100]


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("step", [1000, SEALED, 2 * SEALED + 1, PIECE_SIZE, 1 << 20])
def test_body_when_kept_as_far_as_there_are_buffers_then_every_pass_gives_the_same(count: int, step: int) -> None:
    run = sealed_run(StreamSource(MemorySource(PLAINTEXT)), KEY)
    run.keep(KeptPool(count))
    reader = CiphertextReader(run)

    for _ in range(3):
        reader.seek(0)
        assert b"".join(iter(lambda: reader.read(step), b"")) == EXPECTED


@pytest.mark.parametrize("count", COUNTS)
def test_reader_when_it_seeks_over_kept_ciphertext_then_it_does_so_like_a_file(count: int) -> None:
    run = sealed_run(StreamSource(MemorySource(PLAINTEXT)), KEY)
    run.keep(KeptPool(count))
    reader, expected, chance = CiphertextReader(run), io.BytesIO(EXPECTED), random.Random(count)

    for _ in range(60):
        position, size = chance.randrange(len(EXPECTED) + 10), chance.choice([0, 1, 20, SEALED, PIECE_SIZE])
        assert reader.seek(position) == expected.seek(position)
        assert reader.read(size) == expected.read(size)


def test_source_when_its_ciphertext_is_kept_then_it_is_read_once() -> None:
    source = MemorySource(PLAINTEXT)
    run = sealed_run(StreamSource(source), KEY)
    run.keep(KeptPool(100))
    first = CiphertextReader(run).read()
    source_of_later_passes = cast(Any, source)
    source_of_later_passes.read = lambda size=-1: b"" if size == 0 else pytest.fail("the source was read again")

    assert CiphertextReader(run).read() == first == EXPECTED


def test_source_when_it_changes_where_nothing_is_kept_then_it_is_refused() -> None:
    source: Any = ChangingSource(PLAINTEXT, offset=PIECE_COUNT * SEGMENT + 5, stable_passes=1)
    run = sealed_run(StreamSource(source), KEY)
    run.keep(KeptPool(1))
    reader = CiphertextReader(run)
    assert reader.read() == EXPECTED
    reader.seek(0)

    with pytest.raises(SourceChangedError):
        reader.read()


@pytest.mark.parametrize("step", [1, 7000, SEALED])
def test_source_when_kept_ciphertext_is_read_then_it_stands_where_the_plaintext_would(step: int) -> None:
    source = MemorySource(PLAINTEXT)
    run = sealed_run(StreamSource(source), KEY)
    run.keep(KeptPool(100))
    reader, places = CiphertextReader(run), []

    while reader.read(step if reader.tell() > 10 or step > 1 else 1):
        places.append(source.tell())
        if step == 1 and reader.tell() > 50:
            break

    assert places == sorted(places)
    assert places[-1] == (len(PLAINTEXT) if step > 1 else 51 - 12)
    reader.seek(0)
    assert source.tell() == 0


def test_source_when_its_transfer_was_cancelled_then_a_later_pass_over_kept_ciphertext_ends() -> None:
    source = MemorySource(PLAINTEXT)
    run = sealed_run(StreamSource(source), KEY)
    run.keep(KeptPool(100))
    reader = CiphertextReader(run)
    reader.read()
    reader.seek(0)
    cast(Any, source).read = _cancelled

    with pytest.raises(ConnectionAbortedError):
        reader.read(10)


def _cancelled(size: int = -1) -> bytes:
    raise ConnectionAbortedError


def _free(pool: KeptPool) -> int:
    """Return how many buffers can be taken."""
    taken = []
    while (buffer := pool.take()) is not None:
        taken.append(buffer)
    pool.give_back(taken)
    return len(taken)


def test_pool_when_calls_end_then_it_is_whole_again() -> None:
    pool = KeptPool(5)
    first, second = (sealed_run(PLAINTEXT, KEY) for _ in range(2))
    for run in (first, second):
        run.keep(pool)
        assert CiphertextReader(run).read() == EXPECTED

    # The first took the four that it needs, the second what was left.
    assert _free(pool) == 0
    second.drop()
    assert _free(pool) == 1
    for run in (first, second) * 2:
        run.drop()
        assert CiphertextReader(run).read() == EXPECTED
    assert _free(pool) == 5


def test_pool_when_a_body_is_large_then_it_keeps_its_share_only() -> None:
    pool, run = KeptPool(5, share=2), sealed_run(PLAINTEXT, KEY)
    run.keep(pool)

    assert CiphertextReader(run).read() == EXPECTED

    assert _free(pool) == 3


def test_pool_when_a_body_is_sent_then_its_buffers_are_given_back_one_by_one() -> None:
    pool, run = KeptPool(4), sealed_run(PLAINTEXT, KEY)
    run.keep(pool)
    reader = CiphertextReader(run)
    reader.read()
    reader.seek(0)
    run.begin_sending()
    sent, free = b"", []

    while piece := reader.read(100_000):
        sent += piece
        free.append(_free(pool))

    assert sent == EXPECTED
    assert free == sorted(free)
    assert set(free) == {0, 1, 2, 3, 4}


def test_body_when_it_is_sent_again_then_it_is_sealed_again_and_compared() -> None:
    source: Any = ChangingSource(PLAINTEXT, offset=5, stable_passes=1)
    run = sealed_run(StreamSource(source), KEY)
    run.keep(KeptPool(100))
    reader = CiphertextReader(run)
    for _ in range(3):
        reader.seek(0)
        assert reader.read() == EXPECTED
    run.begin_sending()
    reader.seek(0)
    assert reader.read() == EXPECTED
    reader.seek(0)

    with pytest.raises(SourceChangedError):
        reader.read()


def test_pool_when_another_body_uses_its_buffers_then_nobody_reads_them_as_his() -> None:
    pool, other = KeptPool(4), random.Random(3).randbytes(len(PLAINTEXT))
    run = sealed_run(PLAINTEXT, KEY)
    run.keep(pool)
    assert CiphertextReader(run).read() == EXPECTED
    run.begin_sending()
    half = CiphertextReader(run)
    begun = half.read(PIECE_SIZE + 10)
    second = sealed_run(other, KEY, nonce_start=b"another call")
    second.keep(pool)
    CiphertextReader(second).read()

    assert begun + half.read() == EXPECTED


def test_pool_when_the_source_fails_then_it_is_given_back_all_the_same() -> None:
    pool = KeptPool(3)
    source: Any = FailingSource(PLAINTEXT, offset=PIECE_COUNT * SEGMENT + 10, make_error=lambda: OSError("gone"))
    run = sealed_run(StreamSource(source), KEY)
    run.keep(pool)

    with pytest.raises(OSError, match="gone"):
        CiphertextReader(run).read()
    assert _free(pool) == 2
    run.drop()

    assert _free(pool) == 3


def test_pool_when_used_by_many_threads_then_no_buffer_belongs_to_two() -> None:
    pool, faults = KeptPool(3), []

    def use(number: int) -> None:
        for _ in range(200):
            buffer = pool.take()
            if buffer is None:
                continue
            buffer[:2] = bytes([number, number])
            if bytes(buffer[:2]) != bytes([number, number]):
                faults.append(number)
            pool.give_back([buffer])

    threads = [threading.Thread(target=use, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert faults == []
    assert _free(pool) == 3


def test_pool_when_buffers_come_back_late_then_only_the_beginning_of_a_body_is_kept() -> None:
    pool, source = KeptPool(2), MemorySource(PLAINTEXT)
    run = sealed_run(StreamSource(source), KEY)
    run.keep(pool)
    taken = pool.take()
    assert taken is not None
    reader = CiphertextReader(run)
    reader.read(2 * PIECE_SIZE)
    reader.read(PIECE_SIZE)
    pool.give_back([taken])

    place = reader.tell()
    assert reader.read() == EXPECTED[place:]

    # The one that came back was not taken for a later piece.
    assert _free(pool) == 1


def test_body_when_it_is_little_then_it_waits_for_no_turn() -> None:
    pool = KeptPool(100, turns=0, patience=600)
    run = sealed_run(PLAINTEXT, KEY)
    run.keep(pool)

    assert CiphertextReader(run).read() == EXPECTED


def test_turn_when_others_are_prepared_then_it_comes_when_one_of_them_is_sent() -> None:
    pool = KeptPool(100, turns=1, patience=600)
    first, second = (sealed_run(LARGE, KEY) for _ in range(2))
    for run in (first, second):
        run.keep(pool)
    CiphertextReader(first).read(1)
    read: list[bytes] = []
    thread = threading.Thread(target=lambda: read.append(CiphertextReader(second).read()))
    thread.start()
    assert read == []

    first.begin_sending()
    thread.join()

    assert read == [EXPECTED_LARGE]


@pytest.mark.parametrize("end", ["drop", "begin_sending"])
def test_turn_when_it_does_not_come_then_the_body_is_read_without_one(end: str) -> None:
    pool = KeptPool(100, turns=1, patience=0)
    first, second = (sealed_run(LARGE, KEY) for _ in range(2))
    for run in (first, second):
        run.keep(pool)
        assert CiphertextReader(run).read() == EXPECTED_LARGE

    # What had no turn ends none.
    getattr(second, end)()
    assert not pool.begin_turn()
    getattr(first, end)()
    getattr(first, end)()
    assert pool.begin_turn()
    assert not pool.begin_turn()
