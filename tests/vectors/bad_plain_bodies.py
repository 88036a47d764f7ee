"""Plain bodies that are not the writer's, and some that are sealed validly against the rules."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from tests.vectors.edits import BodyEdit, NegativeVector, body_vectors, cut, flip, pieces
from tests.vectors.positive import Built
from tests.vectors.sealing import SEALED, SEGMENT, Call, seal_segment, shake

_truncated = partial(body_vectors, "TruncatedObjectError", stage="open")
_segment = partial(body_vectors, "SegmentAuthenticationError")
_FORGED_END = cut(2 * SEALED, append=bytes(28))
_FORGED_LONGER_END = cut(2 * SEALED, append=bytes(38))


def plain_vectors(built: Mapping[str, Built]) -> list[NegativeVector]:
    """Return defects of plain bodies."""
    return [
        *_impossible_lengths(),
        *_possible_lengths(),
        *_ranges(),
        *_flips(),
        *_moves(),
        *_extensions(),
        *_sealed_defects(built),
    ]


def _impossible_lengths() -> list[NegativeVector]:
    tiny = [(f"cut-to-{size}", f"Only {size} bytes are left.", cut(size), 0) for size in (0, 1, 11, 12, 16, 27)]
    boundary = [
        ("cut-at-first-boundary", "Only the first segment is left.", cut(SEALED), 0),
        ("cut-at-last-boundary", "The empty segment that ends the run is gone.", cut(2 * SEALED), 0),
        ("cut-boundary-27", "27 bytes behind a boundary.", cut(SEALED + 27), 0),
        ("cut-last-byte-of-end", "The last byte of the empty end is gone.", cut(2 * SEALED + 27), 0),
    ]
    empty = [("cut-empty-object", "The empty object without its last byte.", cut(27), 0)]
    return [*_truncated("put-100", tiny), *_truncated("put-0", empty), *_truncated("put-131072", boundary)]


def _possible_lengths() -> list[NegativeVector]:
    small = [
        ("cut-to-28", "A length that the empty object has.", cut(28), 0),
        ("cut-one-byte", "The last byte is gone.", cut(127), 0),
    ]
    posing = "28 bytes behind a boundary: the start of a full segment poses as the end."
    large = [
        ("cut-boundary-28", posing, cut(SEALED + 28), SEGMENT - 1),
        ("cut-in-second-segment", "The middle of the second segment.", cut(SEALED + 1000), SEGMENT),
    ]
    short = [("cut-short-end", "The last byte of a last segment of one byte.", cut(SEALED + 28), SEGMENT - 1)]
    forged = [("forged-end", "An end of zero bytes behind two genuine segments.", _FORGED_END, 2 * SEGMENT - 1)]
    return [
        *_segment("put-100", small),
        *_segment("put-131072", large),
        *_segment("put-65537", short),
        *_segment("put-196608", forged),
    ]


def _ranges() -> list[NegativeVector]:
    three, last = "put-196608", flip(SEALED + 40000)
    table = [
        ("forged-end-range", three, "A range that reaches a forged end.", _FORGED_END, "65536-131071", SEGMENT - 1),
        ("forged-end-last-byte", three, "The last byte before a forged end.", _FORGED_END, "131071-131071", 0),
        ("forged-longer-end-range", three, "A range beyond a forged end.", _FORGED_LONGER_END, "131000-999999", 72),
        ("flip-second-segment-range", "put-131072", "A range over a changed segment.", last, "65530-65540", 6),
    ]
    return [
        NegativeVector(
            name=name,
            base=base,
            what=what,
            body=edit,
            byte_range=f"bytes={interval}",
            error="SegmentAuthenticationError",
            stage="read",
            released=released,
        )
        for name, base, what, edit, interval, released in table
    ]


def _flips() -> list[NegativeVector]:
    offsets = [("nonce", 0), ("ciphertext", 12), ("tag", 112), ("last-byte", 127)]
    small = [(f"flip-{name}", f"Byte {offset} is changed.", flip(offset), 0) for name, offset in offsets]
    empty = [("flip-empty-end-nonce", "The nonce of the empty object is changed.", flip(0), 0)]
    end = [("flip-empty-end-tag", "The tag of the empty end is changed.", flip(SEALED + 27), SEGMENT - 1)]
    second = [("flip-second-segment", "A byte of the second segment is changed.", flip(SEALED + 40000), SEGMENT)]
    return [
        *_segment("put-100", small),
        *_segment("put-0", empty),
        *_segment("put-65536", end),
        *_segment("put-131072", second),
    ]


def _moves() -> list[NegativeVector]:
    a, b, c = (0, SEALED), (SEALED, 2 * SEALED), (2 * SEALED, 3 * SEALED)
    end = (3 * SEALED, 3 * SEALED + 28)
    moves = [
        ("swap-segments", "The first two segments are swapped.", pieces(b, a, c, end), 0),
        ("swap-later-segments", "The second and the third segment are swapped.", pieces(a, c, b, end), SEGMENT),
        ("duplicate-segment", "The first segment stands in the place of the second.", pieces(a, a, c, end), SEGMENT),
        ("insert-segment", "The first segment is inserted once more.", pieces(a, a, b, c, end), SEGMENT),
        ("drop-first-segment", "The first segment is gone.", pieces(b, c, end), 0),
        ("drop-middle-segment", "The second segment is gone.", pieces(a, c, end), SEGMENT),
        ("drop-before-end", "The last full segment is gone; the genuine end is left.", pieces(a, b, end), 131071),
        ("extend-by-own-end", "The genuine end once more.", pieces(a, b, c, end, end), 3 * SEGMENT),
        ("extend-by-segment", "A genuine segment behind the end.", pieces(a, b, c, end, a), 3 * SEGMENT),
    ]
    return _segment("put-196608", moves)


def _extensions() -> list[NegativeVector]:
    other = Call(0, 0, 100, True, shake("other-object/call", 12)).seal(shake("other-object/k", 32), bytes(100))
    behind = [
        ("extend-1", "One byte behind the end.", BodyEdit(append=b"\0"), 2 * SEGMENT),
        ("extend-28", "28 bytes behind the end.", BodyEdit(append=bytes(28)), 2 * SEGMENT),
    ]
    foreign = ("body-of-other-object", "The body of another object of the same size.", cut(0, append=other), 0)
    return [*_segment("put-131072", behind), *_segment("put-100", [foreign])]


def _sealed_defects(built: Mapping[str, Built]) -> list[NegativeVector]:
    key, small = built["put-131072"].body_key, built["put-100"].body_key

    def piece(body_key: bytes, index: int, size: int, run: int = 0) -> bytes:
        return seal_segment(body_key, run, index, shake(f"defect/{run}/{index}/{size}", 12), bytes(size))

    mid_run = cut(SEALED, append=piece(key, 1, 60) + piece(key, 2, 40))
    of_small = [
        ("sealed-short-first", "Two short segments.", cut(0, append=piece(small, 0, 60) + piece(small, 1, 40)), 0),
        ("sealed-wrong-index", "The only segment is sealed for place 1.", cut(0, append=piece(small, 1, 100)), 0),
        ("sealed-wrong-run", "The only segment is sealed for run 1.", cut(0, append=piece(small, 0, 100, run=1)), 0),
    ]
    of_large = [
        ("sealed-short-in-mid-run", "A short segment behind a full one, then another.", mid_run, SEGMENT),
        ("sealed-two-ends", "Two ends, one behind the other.", BodyEdit(append=piece(key, 3, 0)), 2 * SEGMENT),
    ]
    vectors = [*_segment("put-100", of_small), *_segment("put-131072", of_large)]
    return [_validly_sealed(vector) for vector in vectors]


def _validly_sealed(vector: NegativeVector) -> NegativeVector:
    """Return the vector with a word more: only a holder of the key can make this defect."""
    return replace(vector, what=f"{vector.what} Validly sealed.")
