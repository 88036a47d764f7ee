"""A message that is verified as a whole before a byte of it is released.

AES-GCM has one tag for all of a message, at its end. Until it has been verified the plaintext waits: in memory, or in a
temporary file, sealed again under a key that exists only in this process.
"""

from __future__ import annotations

import io
import threading
import weakref
from collections.abc import Callable
from typing import Protocol

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from s3envelope.core.ports import ByteSource, Random, SpillFile
from s3envelope.core.secret import SecretBytes
from s3envelope.errors import SegmentAuthenticationError, TruncatedObjectError

CHUNK_SIZE = 65536
_SEAL_OVERHEAD = 16
_SEALED_CHUNK_SIZE = CHUNK_SIZE + _SEAL_OVERHEAD
_READ_SIZE = 4 * CHUNK_SIZE
_NOTHING = memoryview(b"")


class MessageDecryptor(Protocol):
    """Decrypts one message from front to back. INVARIANT: nothing that it returns is verified before `finish`."""

    def update(self, ciphertext: bytes, /) -> bytes:
        """Return the plaintext of the next piece of the stored bytes, as far as it can be told."""
        ...

    def finish(self) -> bytes:
        """Return the rest of the plaintext. Must raise if the message is not the writer's."""
        ...


class Place(Protocol):
    """Where plaintext waits until it is verified, and from where it is read then."""

    @property
    def size(self) -> int:
        """The number of plaintext bytes."""
        ...

    @property
    def memory_size(self) -> int:
        """How many of them are in memory."""
        ...

    def add(self, plaintext: bytes) -> None:
        """Append unverified plaintext."""
        ...

    def complete(self) -> None:
        """Take note that all of it is there."""
        ...

    def chunk(self, index: int) -> bytes:
        """Return the 64 KiB at `index`; fewer at the end."""
        ...

    def close(self) -> None:
        """Overwrite or drop the plaintext. Harmless when repeated."""
        ...


class MemoryPlace:
    """Plaintext in one buffer, which is overwritten when it is closed.

    Args:
        capacity: In bytes, allocated at once; bounded by the caller.
    """

    def __init__(self, capacity: int) -> None:
        self._buffer = bytearray(capacity)
        self._size = 0

    @property
    def size(self) -> int:
        return self._size

    @property
    def memory_size(self) -> int:
        return len(self._buffer)

    def add(self, plaintext: bytes) -> None:
        self._buffer[self._size : self._size + len(plaintext)] = plaintext
        self._size += len(plaintext)

    def complete(self) -> None:
        """Do nothing: it is all there."""

    def chunk(self, index: int) -> bytes:
        start = index * CHUNK_SIZE
        return bytes(self._buffer[start : min(start + CHUNK_SIZE, self._size)])

    def close(self) -> None:
        self._buffer[:] = bytes(len(self._buffer))
        self._buffer, self._size = bytearray(), 0


class SealedFile:
    """Plaintext in a temporary file, each chunk an AES-GCM message of its own under a key that is never stored.

    Args:
        file: An unnamed one; closed with this.
    """

    def __init__(self, file: SpillFile, random: Random) -> None:
        self._file = file
        # Nobody may be left to close it when a client is freed.
        weakref.finalize(self, file.close)
        with SecretBytes.take(random(32)) as key:
            self._aead: AESGCM | None = AESGCM(key.view())
        self._pending = bytearray()
        self._count = self._size = 0
        self._lock = threading.Lock()

    @property
    def size(self) -> int:
        return self._size

    @property
    def memory_size(self) -> int:
        return 0

    def add(self, plaintext: bytes) -> None:
        self._size += len(plaintext)
        position = 0
        if self._pending:
            position = CHUNK_SIZE - len(self._pending)
            self._pending += plaintext[:position]
            if len(self._pending) < CHUNK_SIZE:
                return
            self._flush()
        view = memoryview(plaintext)
        while len(view) - position >= CHUNK_SIZE:
            self._seal(view[position : position + CHUNK_SIZE])
            position += CHUNK_SIZE
        self._pending += view[position:]

    def complete(self) -> None:
        if self._pending:
            self._flush()

    def chunk(self, index: int) -> bytes:
        """See `Place`.

        Raises:
            SegmentAuthenticationError: Somebody has changed the file.
        """
        with self._lock:
            aead = self._aead
            if aead is None:
                raise ValueError("I/O operation on a closed stream")
            self._file.seek(index * _SEALED_CHUNK_SIZE, io.SEEK_SET)
            sealed = self._file.read(_SEALED_CHUNK_SIZE)
        try:
            return aead.decrypt(_nonce(index), sealed, None)
        except InvalidTag:
            raise SegmentAuthenticationError(
                "a temporary file of this process was changed by somebody else; nothing of it is released"
            ) from None

    def close(self) -> None:
        with self._lock:
            self._aead = None
            self._pending[:] = bytes(len(self._pending))
            self._file.close()

    def _flush(self) -> None:
        self._seal(self._pending)
        self._pending[:] = bytes(len(self._pending))
        self._pending.clear()

    def _seal(self, chunk: memoryview | bytearray) -> None:
        if self._aead is None:
            raise ValueError("I/O operation on a closed stream")
        # INVARIANT: the key is of this file alone, and no chunk is written twice, so that no nonce is used twice. The
        # nonce is the address: chunks cannot change places.
        self._file.write(self._aead.encrypt(_nonce(self._count), chunk, None))
        self._count += 1


def _nonce(index: int) -> bytes:
    return index.to_bytes(12, "big")


def verify_whole(source: ByteSource, stored_size: int, decryptor: MessageDecryptor, place: Place) -> None:
    """Decrypt a stored message into `place`; it is verified when this returns.

    Args:
        source: The body of an answer, from its first byte.
        stored_size: How many bytes the answer says that it has.

    Raises:
        TruncatedObjectError: The answer does not end where it says.
        S3ecDecryptionError: The message is not the writer's; or whatever the source raises. The place is closed then.
    """
    try:
        missing = stored_size
        while missing > 0 and (piece := source.read(min(missing, _READ_SIZE))):
            missing -= len(piece)
            if missing < 0:
                break
            place.add(decryptor.update(piece))
        # One more read at the end lets the transport check its own checksum and length.
        if missing != 0 or source.read(1):
            raise TruncatedObjectError("the body of the answer does not end where its length says")
        place.add(decryptor.finish())
        place.complete()
    except BaseException:
        # INVARIANT: whatever it was, nothing that was not verified stays where it could be read.
        place.close()
        raise


class WholeReader:
    """A stream of the plaintext `[start, end)` of a verified message.

    Args:
        place: With a whole that was verified.
        on_end: Called once: after the last byte, on `close`, or after a failure.
    """

    def __init__(self, place: Place, start: int, end: int, on_end: Callable[[int], None]) -> None:
        self._place: Place | None = place
        self._position = start
        self._missing = self._size = end - start
        self._chunk = _NOTHING
        self._on_end = on_end
        self._failure: BaseException | None = None
        if not self._missing:
            self._end()

    def read(self, size: int | None = -1) -> bytes:
        """Return up to `size` bytes, or the rest.

        Raises:
            SegmentAuthenticationError: The temporary file was changed; every later read raises again.
        """
        if self._failure is not None:
            raise self._failure
        wanted = self._missing if size is None or size < 0 else min(size, self._missing)
        try:
            released = self._release(wanted)
        except BaseException as error:
            self._fail(error)
            raise
        if not self._missing:
            self._end()
        return released

    def close(self) -> None:
        """Give the whole back; reading on is an error."""
        if self._failure is None:
            self._fail(ValueError("I/O operation on a closed stream"))

    def _release(self, wanted: int) -> bytes:
        if wanted <= len(self._chunk):
            return bytes(self._take(wanted))
        released = io.BytesIO()
        while wanted > 0:
            if not self._chunk:
                self._load()
            wanted -= released.write(self._take(wanted))
        return released.getvalue()

    def _take(self, wanted: int) -> memoryview:
        piece = self._chunk[:wanted]
        self._chunk = self._chunk[len(piece) :]
        self._position += len(piece)
        self._missing -= len(piece)
        return piece

    def _load(self) -> None:
        if self._place is None:
            raise ValueError("I/O operation on a closed stream")
        index, offset = divmod(self._position, CHUNK_SIZE)
        self._chunk = memoryview(self._place.chunk(index))[offset : offset + self._missing]
        if not self._chunk:
            raise TruncatedObjectError("a verified object ends before its size says")

    def _fail(self, error: BaseException) -> None:
        self._failure = error
        self._end()

    def _end(self) -> None:
        self._chunk = _NOTHING
        if self._place is not None:
            self._place = None
            self._on_end(self._size - self._missing)
