"""Ciphertext that is kept between passes: within its budget, the same bytes, and progress that goes along."""

from __future__ import annotations

import io
import random
import threading
from typing import Any, cast

import pytest

from s3envelope.engine.kept import KeptBudget, plaintext_offset
from s3envelope.engine.sealing import CiphertextReader
from s3envelope.engine.sources import StreamSource
from s3envelope.errors import SourceChangedError
from s3envelope.testing.streams import ChangingSource, FailingSource, MemorySource
from tests.support.objects import SEALED, SEGMENT, new_body_key, sealed_run

KEY = new_body_key()
PLAINTEXT = random.Random(2).randbytes(3 * SEGMENT + 100)
EXPECTED = CiphertextReader(sealed_run(PLAINTEXT, KEY)).read()
BUDGETS = [0, SEALED - 1, SEALED, 2 * SEALED + 5, len(EXPECTED) - 1, len(EXPECTED), 1 << 30]


@pytest.mark.parametrize("budget_size", BUDGETS)
@pytest.mark.parametrize("step", [1000, SEALED, 2 * SEALED + 1, 1 << 20])
def test_body_when_kept_as_far_as_the_budget_goes_then_every_pass_gives_the_same(budget_size: int, step: int) -> None:
    run = sealed_run(StreamSource(MemorySource(PLAINTEXT)), KEY)
    run.keep(KeptBudget(budget_size))
    reader = CiphertextReader(run)

    for _ in range(3):
        reader.seek(0)
        assert b"".join(iter(lambda: reader.read(step), b"")) == EXPECTED


@pytest.mark.parametrize("budget_size", BUDGETS)
def test_reader_when_it_seeks_over_kept_ciphertext_then_it_does_so_like_a_file(budget_size: int) -> None:
    run = sealed_run(StreamSource(MemorySource(PLAINTEXT)), KEY)
    run.keep(KeptBudget(budget_size))
    reader, expected, chance = CiphertextReader(run), io.BytesIO(EXPECTED), random.Random(budget_size)

    for _ in range(60):
        position, size = chance.randrange(len(EXPECTED) + 10), chance.choice([0, 1, 20, SEALED, 3 * SEALED])
        assert reader.seek(position) == expected.seek(position)
        assert reader.read(size) == expected.read(size)


def test_source_when_its_ciphertext_is_kept_then_it_is_read_once() -> None:
    source = MemorySource(PLAINTEXT)
    run = sealed_run(StreamSource(source), KEY)
    run.keep(KeptBudget(1 << 30))
    first = CiphertextReader(run).read()
    source_of_later_passes = cast(Any, source)
    source_of_later_passes.read = lambda size=-1: b"" if size == 0 else pytest.fail("the source was read again")

    assert CiphertextReader(run).read() == first == EXPECTED


def test_source_when_it_changes_where_nothing_is_kept_then_it_is_refused() -> None:
    source: Any = ChangingSource(PLAINTEXT, offset=2 * SEGMENT + 5, stable_passes=1)
    run = sealed_run(StreamSource(source), KEY)
    run.keep(KeptBudget(SEALED))
    reader = CiphertextReader(run)
    assert reader.read() == EXPECTED
    reader.seek(0)

    with pytest.raises(SourceChangedError):
        reader.read()


@pytest.mark.parametrize("step", [1, 7000, SEALED])
def test_source_when_kept_ciphertext_is_read_then_it_stands_where_the_plaintext_would(step: int) -> None:
    source = MemorySource(PLAINTEXT)
    run = sealed_run(StreamSource(source), KEY)
    run.keep(KeptBudget(1 << 30))
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
    run.keep(KeptBudget(1 << 30))
    reader = CiphertextReader(run)
    reader.read()
    reader.seek(0)
    cast(Any, source).read = _cancelled

    with pytest.raises(ConnectionAbortedError):
        reader.read(10)


def _cancelled(size: int = -1) -> bytes:
    raise ConnectionAbortedError


def test_budget_when_calls_end_then_it_is_whole_again() -> None:
    budget = KeptBudget(5 * SEALED + 3)
    first, second = (sealed_run(PLAINTEXT, KEY) for _ in range(2))

    drops = [first.keep(budget), second.keep(budget)]

    # The first took all it needed, the second whole segments of what was left, a third would get nothing.
    assert budget.reserve(SEALED) == 0
    assert CiphertextReader(second).read() == CiphertextReader(first).read() == EXPECTED
    for drop in drops * 2:
        drop()
    assert budget.reserve(5 * SEALED + 3) == 5 * SEALED + 3


def test_budget_when_the_source_fails_then_it_is_given_back_all_the_same() -> None:
    budget = KeptBudget(1 << 20)
    source: Any = FailingSource(PLAINTEXT, offset=10, make_error=lambda: OSError("gone"))
    run = sealed_run(StreamSource(source), KEY)
    drop = run.keep(budget)

    with pytest.raises(OSError, match="gone"):
        CiphertextReader(run).read()
    drop()

    assert budget.reserve(1 << 20) == 1 << 20


def test_budget_when_used_by_many_threads_then_it_is_never_exceeded() -> None:
    budget, most = KeptBudget(10 * SEALED), []
    lock, held = threading.Lock(), [0]

    def use() -> None:
        for _ in range(200):
            granted = budget.reserve(3 * SEALED)
            with lock:
                held[0] += granted
                most.append(held[0])
            with lock:
                held[0] -= granted
            budget.give_back(granted)

    threads = [threading.Thread(target=use) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert max(most) <= 10 * SEALED
    assert budget.reserve(10 * SEALED) == 10 * SEALED


def test_plaintext_offset_when_the_position_moves_then_it_counts_plaintext_only() -> None:
    assert [plaintext_offset(position) for position in (0, 12, 13, SEALED - 16, SEALED, SEALED + 12, SEALED + 13)] == [
        0,
        0,
        1,
        SEGMENT,
        SEGMENT,
        SEGMENT,
        SEGMENT + 1,
    ]
