"""Ranges, and the rules that answers obey."""

from __future__ import annotations

import dataclasses

import pytest

from s3envelope.core.ranges import MAX_OFFSET, AnswerHead, ByteRange, Extent, check_answer, normalised_etag
from s3envelope.errors import MalformedEnvelopeError, ObjectChangedError, S3EnvelopeError, TruncatedObjectError

S, E = 65536, 65564


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", ByteRange(0, 0)),
        ("bytes=1-9", ByteRange(1, 9)),
        ("bytes=5-", ByteRange(5, None)),
        ("bytes=-5", ByteRange(None, 5)),
        ("bytes=-0", ByteRange(None, 0)),
        ("bytes=007-010", ByteRange(7, 10)),
        ("bytes=1-9 ", ByteRange(1, 9)),
        (" \tbytes=1-9\t ", ByteRange(1, 9)),
        ("bytes=" + "0" * 50 + "7-", ByteRange(7, None)),
    ],
)
def test_range_when_it_is_one_then_it_is_read(header: str, expected: ByteRange) -> None:
    assert ByteRange.parse(header) == expected


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "bytes=",
        "bytes=-",
        "bytes=5-4",
        "bytes=0-1,2-3",
        "bytes= 0-1",
        "bytes=0 - 1",
        "Bytes=0-1",
        "bits=0-1",
        "bytes=+1-2",
        "bytes=-1-2",
        "bytes=a-b",
        "bytes=\u0661-\u0662",
        "bytes=0-1\n",
    ],
)
def test_range_when_s3_ignores_it_then_it_is_none(header: str | None) -> None:
    assert ByteRange.parse(header) is None


def test_range_when_digits_are_endless_then_it_lies_behind_every_object() -> None:
    parsed = ByteRange.parse("bytes=" + "9" * 10_000 + "-")

    assert parsed is not None
    assert parsed.resolve(2**63) >= (2**63, 2**63)
    assert parsed.to_ciphertext() == ByteRange(MAX_OFFSET, None)


@pytest.mark.parametrize(
    ("header", "interval"),
    [
        ("bytes=0-9", (0, 10)),
        ("bytes=5-99", (5, 10)),
        ("bytes=9-", (9, 10)),
        ("bytes=10-", (10, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-30", (0, 10)),
        ("bytes=-0", (10, 10)),
    ],
)
def test_range_when_total_is_known_then_it_is_clipped(header: str, interval: tuple[int, int]) -> None:
    parsed = ByteRange.parse(header)

    assert parsed is not None
    assert parsed.resolve(10) == interval


@pytest.mark.parametrize(
    ("header", "ciphertext"),
    [
        ("bytes=0-0", f"bytes=0-{E - 1}"),
        (f"bytes=0-{S - 2}", f"bytes=0-{E - 1}"),
        # The object may end with this full segment: the empty one behind it is asked for as well.
        (f"bytes=0-{S - 1}", f"bytes=0-{E + 27}"),
        (f"bytes={S - 1}-{S}", f"bytes=0-{2 * E - 1}"),
        (f"bytes={S}-{2 * S - 1}", f"bytes={E}-{2 * E + 27}"),
        (f"bytes={2 * S}-", f"bytes={2 * E}-"),
        ("bytes=-1", f"bytes=-{1 + S + 56}"),
        (f"bytes=-{S}", f"bytes=-{2 * S + 84}"),
        (f"bytes=0-{2**70}", f"bytes=0-{MAX_OFFSET}"),
        (f"bytes=-{2**70}", f"bytes=-{MAX_OFFSET}"),
    ],
)
def test_range_when_put_in_ciphertext_terms_then_whole_segments_are_asked_for(header: str, ciphertext: str) -> None:
    parsed = ByteRange.parse(header)

    assert parsed is not None
    assert parsed.header() == header
    assert parsed.to_ciphertext().header() == ciphertext


WHOLE = AnswerHead(200, '"e"', None, 100, None)
PARTIAL = AnswerHead(206, '"e"', None, 10, "bytes 5-14/100")
ASKED = ByteRange(5, 14)


def test_answer_when_honest_then_its_extent_is_returned() -> None:
    assert check_answer(WHOLE, None) == Extent(0, 100, 100)
    assert check_answer(PARTIAL, ASKED) == Extent(5, 15, 100)
    assert check_answer(PARTIAL, ByteRange(5, 14)) == Extent(5, 15, 100)
    # A server may ignore a range.
    assert check_answer(WHOLE, ASKED) == Extent(0, 100, 100)


@pytest.mark.parametrize(
    ("requested", "content_range"),
    [
        (ByteRange(90, 200), "bytes 90-99/100"),
        (ByteRange(90, None), "bytes 90-99/100"),
        (ByteRange(None, 10), "bytes 90-99/100"),
    ],
)
def test_answer_when_it_ends_with_the_object_then_it_is_accepted(requested: ByteRange, content_range: str) -> None:
    head = dataclasses.replace(PARTIAL, content_range=content_range)

    assert check_answer(head, requested) == Extent(90, 100, 100)


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"metadata_is_missing": True}, MalformedEnvelopeError),
        ({"etag": None}, ObjectChangedError),
        ({"etag": ""}, ObjectChangedError),
        ({"content_range": None}, TruncatedObjectError),
        ({"content_range": "bytes 4-13/100"}, TruncatedObjectError),
        ({"content_range": "bytes 5-13/100", "content_length": 9}, TruncatedObjectError),
        ({"content_range": "bytes 5-15/100", "content_length": 11}, TruncatedObjectError),
        ({"content_range": "bytes 5-14/14"}, TruncatedObjectError),
        ({"content_range": "bytes 5-14/*"}, TruncatedObjectError),
        ({"content_range": "bytes */100"}, TruncatedObjectError),
        ({"content_range": "bytes=5-14/100"}, TruncatedObjectError),
        ({"content_range": "bytes 14-5/100"}, TruncatedObjectError),
        ({"content_range": "bytes 5-14/" + "9" * 20}, TruncatedObjectError),
        ({"content_range": "bytes \u0665-14/100"}, TruncatedObjectError),
        ({"content_length": 9}, TruncatedObjectError),
        ({"content_length": -10}, TruncatedObjectError),
        ({"status": 204}, TruncatedObjectError),
        ({"status": 200, "content_length": 0}, TruncatedObjectError),
        ({"status": 200, "content_length": None}, TruncatedObjectError),
        ({"status": 200, "content_length": -1}, TruncatedObjectError),
    ],
)
def test_answer_to_a_range_when_it_breaks_a_rule_then_it_is_refused(
    changes: dict[str, object], error: type[S3EnvelopeError]
) -> None:
    head = dataclasses.replace(PARTIAL, **changes)  # type: ignore[arg-type]

    with pytest.raises(error):
        check_answer(head, ASKED)


@pytest.mark.parametrize("content_range", [None, "bytes 0-9/10"])
def test_answer_when_nothing_partial_was_asked_then_a_206_is_refused(content_range: str | None) -> None:
    head = dataclasses.replace(PARTIAL, content_range=content_range)

    with pytest.raises(TruncatedObjectError):
        check_answer(head, None)


@pytest.mark.parametrize("etag", ['"e-1"', 'W/"e-1"', "e-1"])
def test_etag_when_normalised_then_quotes_and_weakness_are_gone(etag: str) -> None:
    assert normalised_etag(etag) == "e-1"
