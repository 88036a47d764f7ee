"""The index at the end of an object in the indexed layout: which upload calls make up the object.

Source: FORMAT.md, section "Indexed layout".
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

from s3envelope.core.kdf import BodyKey
from s3envelope.core.layout import MAX_PART_NUMBER, Layout, run_size
from s3envelope.core.segments import INDEX_RUN, SEGMENT_OVERHEAD, authenticate_only, is_authentic
from s3envelope.errors import IndexAuthenticationError

_ROW = struct.Struct(">I12sQ")
_COUNT = struct.Struct(">I")
_FRAME = SEGMENT_OVERHEAD + _COUNT.size
MAX_INDEX_SIZE = MAX_PART_NUMBER * _ROW.size + _FRAME

# The first request for the tail of an indexed object; it holds the index of up to 1,364 parts.
INDEX_PROBE_SIZE = 32768


class IndexRow(NamedTuple):
    """One part: its number, the 12-byte nonce of its first segment, and its plaintext size in bytes."""

    part_number: int
    nonce_start: bytes
    plaintext_size: int


def index_size(part_count: int) -> int:
    """Return the stored size of an index of this many parts, in bytes."""
    return part_count * _ROW.size + _FRAME


def seal_index(body_key: BodyKey, rows: Sequence[IndexRow], nonce: bytes) -> bytes:
    """Return the index that ends an object of these parts, in ascending order of their numbers."""
    table = b"".join(_ROW.pack(*row) for row in rows)
    return table + authenticate_only(body_key, INDEX_RUN, nonce, table) + _COUNT.pack(len(rows))


def size_of_index_at_end(tail: bytes, total: int) -> int:
    """Return the size that the index at the end of `tail` claims, in bytes.

    Args:
        tail: The last bytes of the object, at least 4.
        total: The stored size of the object.

    Raises:
        IndexAuthenticationError: There cannot be an index of that size.
    """
    count = _COUNT.unpack(tail[-_COUNT.size :])[0] if len(tail) >= _COUNT.size else 0
    if not 1 <= count <= MAX_PART_NUMBER or index_size(count) > total:
        raise IndexAuthenticationError("the object does not end with an index of parts")
    return index_size(count)


def open_index(body_key: BodyKey, index: bytes, total: int) -> Layout:
    """Verify an index and return the layout that it describes.

    Args:
        body_key: Of the object.
        index: The last `size_of_index_at_end` bytes of the object.
        total: The stored size of the object.

    Raises:
        IndexAuthenticationError: It does not authenticate, or contradicts the size of the object.
    """
    table, sealed = index[: -_FRAME or None], index[-_FRAME : -_COUNT.size]
    if not is_authentic(body_key, INDEX_RUN, sealed, table):
        raise IndexAuthenticationError("the index of parts does not authenticate: it is not the writer's")
    rows = [IndexRow(*row) for row in _ROW.iter_unpack(table)]
    numbers = [row.part_number for row in rows]
    if numbers[0] < 1 or numbers[-1] > MAX_PART_NUMBER or any(low >= high for low, high in pairwise(numbers)):
        raise IndexAuthenticationError("the part numbers of the index are not ascending from 1 to 10000")
    if sum(run_size(row.plaintext_size) for row in rows) + len(index) != total:
        raise IndexAuthenticationError("the index of parts and the length of the object contradict each other")
    return Layout.of_parts(rows, total)
