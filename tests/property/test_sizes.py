"""Sizes: exact inverses, strictly monotone, and ranges that cover what they prove."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from s3envelope.core.layout import Layout, check_part_size, plaintext_size, round_up_part_size, run_size
from s3envelope.core.ranges import ByteRange
from s3envelope.core.segments import SEALED_SEGMENT_SIZE, SEGMENT_SIZE
from s3envelope.errors import TruncatedObjectError

MAX_SIZE = 2**48 - 1
# Half of the examples lie at a boundary.
sizes = st.one_of(
    st.integers(0, MAX_SIZE),
    st.builds(lambda count, near: max(0, count * SEGMENT_SIZE + near), st.integers(0, 2**31), st.integers(-2, 2)),
)
near_a_run = st.builds(lambda size, near: run_size(size) + near, sizes, st.integers(-60, 60))
small_parts = st.lists(
    st.one_of(st.integers(0, 3), st.integers(SEGMENT_SIZE - 2, SEGMENT_SIZE + 2), st.integers(0, 200_000)),
    min_size=1,
    max_size=5,
)


@given(sizes)
def test_sizes_when_converted_back_then_they_are_the_same(size: int) -> None:
    assert plaintext_size(run_size(size)) == size
    assert run_size(size) - size == 28 * (size // SEGMENT_SIZE + 1)


@given(sizes, sizes)
def test_stored_size_when_the_plaintext_grows_then_it_grows(one: int, two: int) -> None:
    assume(one < two)

    assert run_size(one) < run_size(two)


@given(st.one_of(st.integers(-5, 2**49), near_a_run))
def test_stored_size_when_a_run_has_it_then_it_is_the_size_of_its_plaintext_and_else_refused(stored: int) -> None:
    try:
        size = plaintext_size(stored)
    except TruncatedObjectError:
        rest = stored % SEALED_SEGMENT_SIZE
        assert stored < 0 or rest < 28 or stored // SEALED_SEGMENT_SIZE >= 2**32
    else:
        assert run_size(size) == stored


@given(st.integers(0, 2**33))
def test_part_size_when_rounded_then_it_is_legal_and_not_smaller_unless_it_is_the_largest(size: int) -> None:
    rounded = check_part_size(round_up_part_size(size))

    assert rounded >= size or rounded == round_up_part_size(2**60)


def _layouts(parts: list[int]) -> list[Layout]:
    rows = [(number, bytes(12), size) for number, size in enumerate(parts, 1)]
    return [Layout.plain(run_size(sum(parts))), Layout.of_parts(rows, sum(map(run_size, parts)))]


@given(small_parts, st.data())
def test_segments_of_an_interval_when_put_together_then_they_cover_it_within_their_span(
    parts: list[int], data: st.DataObject
) -> None:
    total = sum(parts)
    start = data.draw(st.integers(0, total))
    end = data.draw(st.integers(start, total))
    for layout in _layouts(parts):
        if start == end != total:
            continue
        segments = list(layout.segments(start, end))
        first, last = layout.span(start, end)

        covered = [(max(s.plaintext_start, start), min(s.plaintext_start + s.plaintext_size, end)) for s in segments]
        assert sum(max(0, high - low) for low, high in covered) == end - start
        assert min(s.ciphertext_start for s in segments) == first
        assert max(s.ciphertext_start + s.sealed_size for s in segments) == last
        if end == total:
            assert (segments[-1].run, segments[-1].index) == (layout.runs[-1], layout.runs[-1].segment_count - 1)


@given(sizes, st.data())
def test_plain_range_when_asked_in_ciphertext_terms_then_every_segment_that_proves_it_is_in_the_answer(
    total: int, data: st.DataObject
) -> None:
    assume(total > 0)
    first = data.draw(st.integers(0, total - 1))
    last = data.draw(st.integers(first, min(first + 3 * SEGMENT_SIZE, 2 * total)))
    layout = Layout.plain(run_size(total))
    for requested in (ByteRange(first, last), ByteRange(first, None), ByteRange(None, min(total - first, 10**6))):
        start, end = requested.resolve(total)
        needed_start, needed_end = layout.span(start, end)

        answer_start, answer_end = requested.to_ciphertext().resolve(layout.ciphertext_size)

        assert answer_start <= needed_start
        assert needed_end <= answer_end


@given(st.integers(0, 2**70), st.integers(0, 2**70), st.sampled_from(["{0}-{1}", "{0}-", "-{1}"]))
def test_range_header_when_parsed_and_written_then_it_is_the_same(first: int, last: int, form: str) -> None:
    header = "bytes=" + form.format(first, first + last)

    parsed = ByteRange.parse(header)

    assert parsed is not None
    assert parsed.header() == header


@pytest.mark.parametrize("count", [1, 2])
def test_all_segments_when_counted_then_they_are_one_more_than_the_full_ones(count: int) -> None:
    assert len(list(Layout.plain(run_size(count * SEGMENT_SIZE)).all_segments())) == count + 1
