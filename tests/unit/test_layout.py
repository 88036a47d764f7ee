"""Sizes and addresses of segments."""

from __future__ import annotations

import itertools

import pytest

from s3envelope.core.layout import (
    MAX_PART_SIZE,
    MAX_PUT_SIZE,
    MIN_PART_SIZE,
    Layout,
    check_part_size,
    plaintext_size,
    round_up_part_size,
    run_size,
)
from s3envelope.errors import ConfigurationError, TruncatedObjectError

S, E = 65536, 65564
NONCE = bytes(12)


@pytest.mark.parametrize(
    ("plaintext", "stored"),
    [(0, 28), (1, 29), (S - 1, E - 1), (S, E + 28), (S + 1, E + 29), (2 * S, 2 * E + 28), (1 << 40, 1099981389852)],
)
def test_run_size_when_given_a_size_then_every_segment_costs_28_bytes(plaintext: int, stored: int) -> None:
    assert run_size(plaintext) == stored
    assert plaintext_size(stored) == plaintext


@pytest.mark.parametrize("stored", [-1, 0, 1, 27, E, E + 1, E + 27, 2 * E, 2 * E + 27, 2**32 * E + 28, 2**80])
def test_plaintext_size_when_no_run_has_the_stored_size_then_it_is_refused(stored: int) -> None:
    with pytest.raises(TruncatedObjectError):
        plaintext_size(stored)


def test_plaintext_size_when_the_run_is_the_longest_then_it_is_exact() -> None:
    assert plaintext_size((2**32 - 1) * E + E - 1) == 2**48 - 1


def test_largest_put_when_sealed_then_it_fits_5_gib() -> None:
    assert run_size(5_366_416_312) == MAX_PUT_SIZE
    assert run_size(5_366_416_313) > MAX_PUT_SIZE


@pytest.mark.parametrize("size", [MIN_PART_SIZE, MIN_PART_SIZE + S, 8 << 20, MAX_PART_SIZE])
def test_part_size_when_legal_then_it_is_returned(size: int) -> None:
    assert check_part_size(size) == size


@pytest.mark.parametrize(
    "size", [0, -S, S, MIN_PART_SIZE - S, MIN_PART_SIZE + 1, MAX_PART_SIZE + S, 5.0 * 2**20, "8388608", None, True]
)
def test_part_size_when_not_legal_then_it_is_refused(size: object) -> None:
    with pytest.raises(ConfigurationError, match="part_size"):
        check_part_size(size)


def test_largest_part_when_sealed_with_an_end_then_it_fits_5_gib() -> None:
    assert MAX_PART_SIZE == 5_366_349_824
    assert run_size(MAX_PART_SIZE) <= MAX_PUT_SIZE


@pytest.mark.parametrize(
    ("size", "rounded"),
    [
        (1, MIN_PART_SIZE),
        (MIN_PART_SIZE, MIN_PART_SIZE),
        (MIN_PART_SIZE + 1, MIN_PART_SIZE + S),
        (2**40, MAX_PART_SIZE),
    ],
)
def test_part_size_when_rounded_then_it_is_the_next_legal_one(size: int, rounded: int) -> None:
    assert round_up_part_size(size) == rounded
    assert check_part_size(rounded) == rounded


@pytest.mark.parametrize("size", [0, 1, S - 1, S, S + 1, 3 * S])
def test_plain_layout_when_all_segments_are_listed_then_they_tile_the_object(size: int) -> None:
    layout = Layout.plain(run_size(size))

    segments = list(layout.all_segments())

    assert layout.plaintext_size == size
    assert [segment.index for segment in segments] == list(range(size // S + 1))
    assert segments[0].ciphertext_start == 0
    for one, two in itertools.pairwise(segments):
        assert one.ciphertext_start + one.sealed_size == two.ciphertext_start
        assert one.plaintext_start + one.plaintext_size == two.plaintext_start
    assert segments[-1].ciphertext_start + segments[-1].sealed_size == layout.ciphertext_size
    assert segments[-1].plaintext_size == size % S


@pytest.mark.parametrize(
    ("interval", "indices", "span"),
    [
        ((0, 1), [0], (0, E)),
        ((0, S), [0], (0, E)),
        ((S - 1, S + 1), [0, 1], (0, 2 * E)),
        ((S, 2 * S - 1), [1], (E, 2 * E)),
        # The end of the object: the empty segment behind it belongs to the proof.
        ((S, 2 * S), [1, 2], (E, 2 * E + 28)),
        ((2 * S - 1, 2 * S), [1, 2], (E, 2 * E + 28)),
        ((2 * S, 2 * S), [2], (2 * E, 2 * E + 28)),
    ],
)
def test_segments_of_an_interval_when_object_is_plain_then_they_prove_it(
    interval: tuple[int, int], indices: list[int], span: tuple[int, int]
) -> None:
    layout = Layout.plain(run_size(2 * S))

    assert [segment.index for segment in layout.segments(*interval)] == indices
    assert layout.span(*interval) == span


PARTS = [(1, NONCE, 10), (2, NONCE, 0), (5, NONCE, S), (7, NONCE, 0)]


@pytest.mark.parametrize(
    ("interval", "addresses"),
    [
        ((0, 10), [(1, 0)]),
        ((9, 11), [(1, 0), (5, 0)]),
        ((10, 11), [(5, 0)]),
        ((0, S + 10), [(1, 0), (5, 0), (7, 0)]),
        ((S + 9, S + 10), [(5, 0), (7, 0)]),
        ((S + 10, S + 10), [(7, 0)]),
    ],
)
def test_segments_of_an_interval_when_object_is_indexed_then_empty_runs_in_its_middle_are_left_out(
    interval: tuple[int, int], addresses: list[tuple[int, int]]
) -> None:
    layout = Layout.of_parts(PARTS, 0)

    found = [(segment.run.number, segment.index) for segment in layout.segments(*interval)]

    assert found == addresses


def test_all_segments_when_object_is_indexed_then_every_end_of_a_part_is_among_them() -> None:
    layout = Layout.of_parts(PARTS, 0)

    found = [(segment.run.number, segment.index) for segment in layout.all_segments()]

    assert found == [(1, 0), (2, 0), (5, 0), (5, 1), (7, 0)]


def test_segments_when_the_claimed_size_is_huge_then_they_come_one_by_one() -> None:
    layout = Layout.plain(run_size(2**47))

    first = next(layout.all_segments())
    later = next(layout.segments(2**46, 2**47))

    assert (first.index, later.index) == (0, 2**30)
