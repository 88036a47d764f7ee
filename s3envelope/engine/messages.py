"""The sealed form of a body that is one GCM message: read it as often as you like, it is the same every time.

The SDK reads a body for a checksum, to sign it, to send it, and again for each retry. There is one key and one IV for
all of these, so they may only ever meet one plaintext: a chunk of 64 KiB that was sealed once is known again by a
keyed digest, and other content is refused before a byte of its ciphertext exists.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Protocol

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from s3envelope.core.ports import ByteSource, ProcessId, Random
from s3envelope.engine.sources import PlaintextSource, read_fully
from s3envelope.errors import ConfigurationError, SourceChangedError, UnsupportedOperationError
from s3envelope.formats.s3ec.bodies import MessageSealer
from s3envelope.formats.s3ec.model import TAG_SIZE

CHUNK_SIZE = 65536
_DIGEST_KEY_SIZE = 32
_DIGEST_SIZE = 16
_NONCE_SIZE = 12
_CHANGED = (
    "the source of the upload {}; nothing of the changed content was sent. "
    "Upload it again, and keep it unchanged while the call runs"
)


class PlaintextLog:
    """Knows again what was sealed, chunk by chunk, without keeping it."""

    __slots__ = ("_aead", "_digests", "size")

    def __init__(self, random: Random) -> None:
        self._aead = AESGCM(random(_DIGEST_KEY_SIZE))
        self._digests = bytearray()
        self.size = 0

    @property
    def chunk_count(self) -> int:
        """How many chunks were recorded; all but the last one are full."""
        return len(self._digests) // _DIGEST_SIZE

    def record(self, plaintext: bytes | memoryview) -> None:
        """Remember the next chunk."""
        self._digests += self._digest(self.chunk_count, plaintext)
        self.size += len(plaintext)

    def is_same(self, index: int, plaintext: bytes | memoryview) -> bool:
        """Tell whether a chunk is the one that was recorded."""
        known = self._digests[index * _DIGEST_SIZE : (index + 1) * _DIGEST_SIZE]
        return known == self._digest(index, plaintext)

    def _digest(self, index: int, plaintext: bytes | memoryview) -> bytes:
        # INVARIANT: GMAC under a key of its own. Its nonce repeats when a chunk is read again, which would give the
        # key away if the tags were published; they never leave this object.
        return self._aead.encrypt(index.to_bytes(_NONCE_SIZE, "big"), b"", plaintext)


class Sealing(Protocol):
    """A stretch of a message: its chunks are sealed in their order once, and any of them again if it is the same."""

    @property
    def chunk_count(self) -> int:
        """How many chunks were sealed."""
        ...

    @property
    def tail_size(self) -> int:
        """In bytes: 16 if the tag of the message is behind this stretch, else 0."""
        ...

    def chunk(self, index: int, plaintext: bytes | memoryview) -> bytes:
        """Return the ciphertext of a chunk: the next one, or one that was sealed.

        Must raise `SourceChangedError`, and return nothing, for other content than before.
        """
        ...

    def tail(self) -> bytes:
        """Return what is behind the last chunk."""
        ...


class WholeMessage:
    """The sealing of a message from its start to its end.

    Args:
        sealer: Of a message of which nothing was sealed yet.
        log: New.
    """

    def __init__(self, sealer: MessageSealer, log: PlaintextLog) -> None:
        self._sealer = sealer
        self._log = log
        self._tag: bytes | None = None

    @property
    def chunk_count(self) -> int:
        return self._log.chunk_count

    @property
    def tail_size(self) -> int:
        return TAG_SIZE

    def chunk(self, index: int, plaintext: bytes | memoryview) -> bytes:
        """See `Sealing`."""
        return seal_chunk(self._sealer, self._log, index, plaintext)

    def tail(self) -> bytes:
        """Return the tag."""
        if self._tag is None:
            self._tag = self._sealer.finalize()
        return self._tag


def seal_chunk(
    sealer: MessageSealer, log: PlaintextLog, index: int, plaintext: bytes | memoryview, *, offset: int = 0
) -> bytes:
    """Return the ciphertext of the next chunk of a stretch, or of one that was sealed.

    Args:
        log: Of the stretch.
        offset: Of the stretch in its message.

    Raises:
        SourceChangedError: The chunk was sealed before, with other content, or the one before it was the last.
    """
    if index < log.chunk_count:
        # INVARIANT: compared before it is encrypted with counters that were used before.
        if not log.is_same(index, plaintext):
            raise SourceChangedError(_CHANGED.format("gives other bytes than in an earlier pass"))
        return sealer.ctr_at(offset + index * CHUNK_SIZE).update(plaintext)
    # INVARIANT: sealed where it is going to be looked for. A chunk that is not full ends its stretch: nothing behind it
    # would be at its place, and its counters are those of what follows.
    if log.size != index * CHUNK_SIZE or sealer.size != offset + log.size:
        raise SourceChangedError(_CHANGED.format("has more bytes than in an earlier pass"))
    ciphertext = sealer.update(plaintext)
    # INVARIANT: recorded before anybody has the ciphertext.
    log.record(plaintext)
    return ciphertext


class SealedMessage:
    """The stored form of a source, readable at any position by any number of readers.

    Args:
        source: The plaintext.
        sealing: Of a stretch of the size of the source.
        process_id: To refuse a forked child, where the digests of the parent would not be seen.
    """

    def __init__(self, source: PlaintextSource, sealing: Sealing, *, process_id: ProcessId) -> None:
        self._source = source
        self._plaintext_size = source.size
        self._sealing = sealing
        self._is_dead = False
        self._process_id = process_id
        self._owner = process_id()
        self._lock = threading.RLock()
        self._kept_index = -1
        self._kept = b""

    @property
    def size(self) -> int:
        """The stored size in bytes."""
        return self._plaintext_size + self._sealing.tail_size

    def read_at(self, position: int, size: int) -> bytes:
        """Return up to `size` stored bytes at `position`.

        Raises:
            SourceChangedError: The source gives other or fewer bytes than before; nothing of them is returned.
            UnsupportedOperationError: This is another process than the one that began the upload.
        """
        end = min(position + size, self.size)
        pieces = []
        with self._lock:
            self._check_usable()
            try:
                while position < end:
                    piece = self._piece(position, end)
                    pieces.append(piece)
                    position += len(piece)
            except SourceChangedError:
                self._is_dead = True
                raise
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def rewind(self, position: int) -> None:
        """Begin another pass at `position`: nothing kept of the earlier pass is used, the source is read again."""
        with self._lock:
            self._kept_index, self._kept = -1, b""
            self._source.rewind(min(position // CHUNK_SIZE * CHUNK_SIZE, self._plaintext_size))

    def _check_usable(self) -> None:
        if self._process_id() != self._owner:
            raise UnsupportedOperationError("an upload that began before a fork cannot go on in the child process")
        if self._is_dead:
            raise SourceChangedError(_CHANGED.format("changed in an earlier pass"))

    def _piece(self, position: int, end: int) -> bytes:
        if position >= self._plaintext_size:
            self._seal_until(-(-self._plaintext_size // CHUNK_SIZE))
            return self._sealing.tail()[position - self._plaintext_size : end - self._plaintext_size]
        index, offset = divmod(position, CHUNK_SIZE)
        if index != self._kept_index:
            self._seal_until(index)
            self._kept = self._sealing.chunk(index, self._plaintext(index))
            self._kept_index = index
        return self._kept[offset : offset + end - position]

    def _seal_until(self, chunk_count: int) -> None:
        """Seal what is in front of a place and was not read yet: the tag is of everything, in its order."""
        while (index := self._sealing.chunk_count) < chunk_count:
            self._sealing.chunk(index, self._plaintext(index))

    def _plaintext(self, index: int) -> bytes | memoryview:
        start = index * CHUNK_SIZE
        wanted = min(CHUNK_SIZE, self._plaintext_size - start)
        # INVARIANT: held in an immutable object, so that what is compared is what is encrypted.
        plaintext = self._source.read_at(start, wanted)
        if len(plaintext) < wanted:
            raise SourceChangedError(_CHANGED.format("has fewer bytes than when the call began"))
        if len(plaintext) > wanted:
            raise SourceChangedError(_CHANGED.format("returns more than was asked for"))
        return plaintext


def chunks_of(stream: ByteSource) -> Iterator[bytes]:
    """Yield a stream to its end in chunks of 64 KiB, the last one shorter; nothing for an empty one.

    Raises:
        ConfigurationError: The stream returns more bytes than it was asked for.
    """
    while plaintext := read_fully(stream, CHUNK_SIZE):
        if len(plaintext) > CHUNK_SIZE:
            raise ConfigurationError("Body returns more bytes than it is asked for; use a stream that obeys read(size)")
        yield plaintext
        if len(plaintext) < CHUNK_SIZE:
            return


def sealed_message(stream: ByteSource, sealer: MessageSealer) -> Iterator[bytes]:
    """Yield ciphertext and tag of a message for a stream that is read once, of any length.

    Raises:
        ConfigurationError: The stream returns more bytes than it was asked for, or more than a message can hold.
    """
    for plaintext in chunks_of(stream):
        yield sealer.update(plaintext)
    yield sealer.finalize()
