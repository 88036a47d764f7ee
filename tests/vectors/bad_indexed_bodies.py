"""Indexed bodies and indexes that are not the writer's, and some that are sealed validly against the rules."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from tests.vectors.edits import BodyEdit, NegativeVector, body_vectors, cut, flip, pieces
from tests.vectors.positive import Built
from tests.vectors.sealing import INDEX_DOMAIN, OVERHEAD, SEALED, SEGMENT, STATE_DOMAIN, Call, seal_index, shake

_BASE = "indexed-small-parts"
_segment = partial(body_vectors, "SegmentAuthenticationError")
_index = partial(body_vectors, "IndexAuthenticationError", stage="open")


class _Parts:
    """The small indexed object, and its index sealed anew over other rows."""

    def __init__(self, built: Built) -> None:
        self.built = built
        self.rows = list(built.rows)
        self.start = len(built.body) - len(built.index)
        self.table_end = self.start + 24 * len(self.rows)
        self.total = len(built.body)
        self.runs: list[tuple[int, int]] = []
        offset = 0
        for _, _, size in self.rows:
            stored = size + OVERHEAD * (size // SEGMENT + 1)
            self.runs.append((offset, offset + stored))
            offset += stored

    def with_rows(self, rows: Sequence[tuple[int, bytes, int]], domain: bytes = INDEX_DOMAIN) -> BodyEdit:
        """Return the edit that puts a validly sealed index of these rows behind the parts."""
        nonce = shake("defect/index", 12)
        return cut(self.start, append=seal_index(self.built.body_key, rows, nonce, domain=domain))

    def renumbered(self, place: int, number: int) -> BodyEdit:
        """Return the edit that gives the part at this place another number in a validly sealed index."""
        rows = list(self.rows)
        rows[place] = (number, *rows[place][1:])
        return self.with_rows(rows)

    def resized(self, place: int, size: int) -> BodyEdit:
        """Return the edit that gives the part at this place another length in a validly sealed index."""
        rows = list(self.rows)
        rows[place] = (*rows[place][:2], size)
        return self.with_rows(rows)


def indexed_vectors(built: Mapping[str, Built]) -> list[NegativeVector]:
    """Return defects of indexed bodies and of their index."""
    parts = _Parts(built[_BASE])
    return [
        *_flipped(parts),
        *_counts(parts),
        *_sealed_defects(parts),
        *_lengths(parts),
        *_dropped(parts),
        *_moved(parts),
    ]


def _flipped(parts: _Parts) -> list[NegativeVector]:
    start, table_end, total = parts.start, parts.table_end, parts.total
    places = [
        ("number", start + 3, "The first part number"),
        ("nonce-start", start + 4, "The first nonce start"),
        ("length", start + 23, "The first length"),
        ("last-row", table_end - 1, "The last byte of the table"),
        ("index-nonce", table_end, "The nonce of the index"),
        ("tag", table_end + 12, "The tag of the index"),
        ("tag-end", total - 5, "The last byte of the tag"),
        ("count", total - 1, "The count"),
    ]
    return _index(_BASE, [(f"index-flip-{name}", f"{what} is changed.", flip(at), 0) for name, at, what in places])


def _counts(parts: _Parts) -> list[NegativeVector]:
    counts = [("0", 0), ("10000", 10000), ("10001", 10001), ("ffffffff", 0xFFFFFFFF)]
    return _index(
        _BASE,
        [
            (f"index-count-{name}", f"The count is {count}.", cut(parts.total - 4, append=count.to_bytes(4, "big")), 0)
            for name, count in counts
        ],
    )


def _sealed_defects(parts: _Parts) -> list[NegativeVector]:
    rows = parts.rows
    more = [*rows[:-1], (9999, bytes(12), 1), rows[-1]]
    table = [
        ("empty-table", "An index of no parts", parts.with_rows([])),
        ("descending", "Two rows in descending order", parts.with_rows([rows[1], rows[0], *rows[2:]])),
        ("equal-numbers", "Two parts of one number", parts.renumbered(1, 1)),
        ("number-0", "A part of number 0", parts.renumbered(0, 0)),
        ("number-10001", "A part of number 10001", parts.renumbered(5, 10001)),
        ("number-reserved", "A part with the number of the index", parts.renumbered(5, 0xFFFFFFFF)),
        ("length-plus-1", "Lengths that exceed the object by one byte", parts.resized(5, 34)),
        ("length-minus-1", "Lengths that leave one byte over", parts.resized(0, 69999)),
        ("length-huge", "A length of 2^64 - 1", parts.resized(5, 2**64 - 1)),
        ("row-missing", "A part without a row", parts.with_rows(rows[:-1])),
        ("row-too-many", "A row without a part", parts.with_rows(more)),
        ("in-state-domain", "A table under a tag of the upload state", parts.with_rows(rows, STATE_DOMAIN)),
    ]
    return _index(_BASE, [(f"index-{name}", f"{what}, validly sealed.", edit, 0) for name, what, edit in table])


def _lengths(parts: _Parts) -> list[NegativeVector]:
    start, total = parts.start, parts.total
    index, count = (start, total), (total - 4, total)
    table = [
        ("index-cut-last-byte", "The last byte is gone.", cut(total - 1), 0),
        ("index-gone", "The whole index is gone.", cut(start), 0),
        ("index-alone", "Only the index is left.", pieces(index), 0),
        ("index-cut-to-4", "Only the count is left.", pieces(count), 0),
        ("index-cut-to-3", "Only three bytes are left.", pieces((total - 3, total)), 0),
        ("index-extended-1", "One byte behind the index.", BodyEdit(append=b"\0"), 0),
        ("index-extended-4", "The count once more.", pieces((0, total), count), 0),
        ("index-twice", "The index once more.", pieces((0, total), index), 0),
        ("index-bytes-before", "28 bytes in front of the index.", pieces((0, start), (0, 28), index), 0),
    ]
    return _index(_BASE, table)


def _dropped(parts: _Parts) -> list[NegativeVector]:
    runs, index = parts.runs, (parts.start, parts.total)
    rest = [(parts.start, parts.table_end - 24), (parts.table_end, parts.total - 4)]
    fewer = BodyEdit(pieces=[*runs[:-1], *rest], append=(len(runs) - 1).to_bytes(4, "big"))
    table = [
        ("part-first-dropped", "The first part is gone.", pieces(*runs[1:], index), 0),
        ("part-last-dropped", "The last part is gone.", pieces(*runs[:-1], index), 0),
        ("part-empty-dropped", "An empty part is gone.", pieces(runs[0], *runs[2:], index), 0),
        ("part-and-row-dropped", "The last part and its row are gone, and the count is one less.", fewer, 0),
    ]
    return _index(_BASE, table)


def _moved(parts: _Parts) -> list[NegativeVector]:
    runs, index, key = parts.runs, (parts.start, parts.total), parts.built.body_key
    a, b, c, d, *rest = runs
    last, before_last = runs[-1][0], sum(size for _, _, size in parts.rows[:-1])
    older = BodyEdit(replace=(last, Call(10000, 0, 33, True, shake("superseded/call", 12)).seal(key, bytes(33))))
    other = BodyEdit(replace=(last, Call(9999, 0, 33, True, parts.rows[-1][1]).seal(key, bytes(33))))
    table = [
        ("part-swapped", "Two parts of equal length change places.", pieces(c, b, a, d, *rest, index), 0),
        ("part-duplicated", "A part stands in the place of another.", pieces(a, b, a, d, *rest, index), 70000),
        ("part-empty-swapped", "Two empty parts change places.", pieces(a, d, c, b, *rest, index), 70000),
        ("part-superseded", "An older upload of the last part, validly sealed.", older, before_last),
        ("part-of-other-number", "A part that is validly sealed for another number.", other, before_last),
        ("part-flip", "A byte of the second segment of the first part is changed.", flip(SEALED + 20), SEGMENT),
        ("part-flip-empty", "A byte of an empty part is changed.", flip(b[0] + 13), 70000),
        ("part-end-flip", "The empty end of a part in the middle is changed.", flip(runs[4][1] - 1), 140000 + SEGMENT),
    ]
    return _segment(_BASE, table)
