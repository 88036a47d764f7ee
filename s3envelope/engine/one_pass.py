"""Sealing in one pass: a stream that is read once, or a small body in memory."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

from s3envelope.core.kdf import BodyKey
from s3envelope.core.layout import run_size
from s3envelope.core.ports import ByteSource
from s3envelope.core.segments import SEGMENT_OVERHEAD, SEGMENT_SIZE, SegmentSealer, segment_nonce
from s3envelope.engine.buffers import ResultBuffer
from s3envelope.engine.sources import read_fully
from s3envelope.errors import ConfigurationError


def sealed_segments(source: ByteSource, body_key: BodyKey, nonce_start: bytes, *, run: int = 0) -> Iterator[bytes]:
    """Yield the segments of a run for a stream that is read once, of any length.

    Args:
        source: Read to its end.
        nonce_start: 12 random bytes that nothing else uses.

    Raises:
        ConfigurationError: The stream returns more bytes than it was asked for.
    """
    sealer = SegmentSealer(body_key, run)
    for index in itertools.count():
        plaintext = read_fully(source, SEGMENT_SIZE)
        if len(plaintext) > SEGMENT_SIZE:
            raise ConfigurationError("Body returns more bytes than it is asked for; use a stream that obeys read(size)")
        out = bytearray(len(plaintext) + SEGMENT_OVERHEAD)
        sealer.seal_into(index, segment_nonce(nonce_start, index), plaintext, memoryview(out))
        yield bytes(out)
        if len(plaintext) < SEGMENT_SIZE:
            return


def seal_at_once(plaintext: bytes, body_key: BodyKey, nonce_start: bytes) -> bytes:
    """Return the run of a small body that is in memory, and cannot change.

    Args:
        plaintext: The whole object.
        nonce_start: 12 random bytes that nothing else uses.
    """
    sealer, buffer, filled = SegmentSealer(body_key, 0), ResultBuffer(run_size(len(plaintext))), 0
    view = memoryview(plaintext)
    for index in range(len(plaintext) // SEGMENT_SIZE + 1):
        piece = view[index * SEGMENT_SIZE : (index + 1) * SEGMENT_SIZE]
        out = buffer.view[filled : filled + len(piece) + SEGMENT_OVERHEAD]
        sealer.seal_into(index, segment_nonce(nonce_start, index), piece, out)
        filled += len(out)
        out.release()
    return buffer.take(filled)
