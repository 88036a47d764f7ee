"""Bodies between a loop and threads: what is read in a thread, what is awaited, and what aiohttp sends."""

from __future__ import annotations

import asyncio
import inspect
import io
from collections.abc import AsyncIterable, AsyncIterator
from typing import Any, NoReturn

from aiobotocore.response import AioStreamingBody
from aiohttp import ClientPayloadError
from botocore.exceptions import ResponseStreamingError

from s3envelope.aio.bridge import Bridge
from s3envelope.errors import ConfigurationError
from s3envelope.s3.bodies import SpilledBody, UploadBody
from s3envelope.s3.calls import Call
from s3envelope.stores.spill import temporary_spill

# How much of an answer is taken from the network at once, if it is there; it is ciphertext.
_AHEAD_SIZE = 512 << 10
_SEND_SIZE = 256 << 10
_STORE_SIZE = 1 << 20


class BrokenAnswerError(ResponseStreamingError, ClientPayloadError):  # type: ignore[misc]  # as its module's
    """An answer that ended before its end: an error for which s3transfer asks again, and for programs aiohttp's."""


class BlockingBody:
    """The body of an answer of an asynchronous client, read in a thread.

    Args:
        original: Read on the loop.
    """

    def __init__(self, original: Any, bridge: Bridge) -> None:
        self.original = original
        self._bridge = bridge
        self._ahead = bytearray()

    def read(self, size: int | None = -1) -> bytes:
        """Return `size` bytes, fewer only at the end; the rest for None or a negative size."""
        wanted = None if size is None or size < 0 else size
        if wanted is None or len(self._ahead) < wanted:
            self._ahead += self._bridge.wait_for(lambda: self._more(wanted))
        piece = bytes(self._ahead[:wanted])
        del self._ahead[: len(piece)]
        return piece

    async def _more(self, wanted: int | None) -> bytes:
        try:
            return await self._from_network(wanted)
        except ClientPayloadError as exc:
            raise BrokenAnswerError(error=exc) from exc

    async def _from_network(self, wanted: int | None) -> bytes:
        if wanted is None:
            rest: bytes = await self.original.read()
            return rest
        pieces, size = [], len(self._ahead)
        while size < wanted:
            piece = await self.original.read(max(wanted, _AHEAD_SIZE) - size)
            if not piece:
                break
            pieces.append(piece)
            size += len(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """Close the answer, without waiting for that."""
        self._bridge.soon(self.original.close)


class AsyncBody(AioStreamingBody):  # type: ignore[misc]  # its package is optional, and not typed
    """The body of an opened answer, as aiobotocore's: every byte of it was verified.

    Reading that fails, or is cancelled, closes it.

    Args:
        plaintext: botocore's `StreamingBody`, read in a thread.
    """

    def __init__(self, plaintext: Any, bridge: Bridge) -> None:
        # INVARIANT: nothing here leads to the answer as it came from the network.
        super().__init__(plaintext._raw_stream, None)
        self._plaintext = plaintext
        self._bridge = bridge
        self._is_at_end = self._was_cancelled = False

    @property
    def blocking(self) -> Any:
        """The same body for threads."""
        return self._plaintext

    async def read(self, amt: int | None = None) -> bytes:
        """Return `amt` bytes, fewer only at the end; all that is left for None."""
        if self._was_cancelled:
            raise ValueError("the body is closed, because reading it was cancelled; get the object again")
        try:
            piece: bytes = await self._bridge.read(self._plaintext.read, amt)
        except asyncio.CancelledError:
            # How much of it was read is not known.
            self._was_cancelled = True
            self.close()
            raise
        self._is_at_end = amt is None or amt < 0 or (amt > 0 and not piece)
        return piece

    async def readinto(self, b: bytearray) -> int:
        """Read into a buffer, which sees verified bytes only."""
        piece = await self.read(len(b))
        b[: len(piece)] = piece
        return len(piece)

    def readable(self) -> bool:
        return not self._is_at_end

    def tell(self) -> int:
        position: int = self._plaintext.tell()
        return position

    def close(self) -> None:
        """Close the body and give its connection up."""
        self._is_at_end = True
        self._plaintext.close()


class StoredBody:
    """A sealed body that is ready to be sent: sums, signatures and sockets read it on the loop, without waiting.

    s3transfer reports progress from the plaintext: what it calls on a body is passed on, and its source is moved along.

    Args:
        place: Where the ciphertext is.
        size: Of it, in bytes.
        plaintext: What it was sealed from, if that reports progress.
    """

    def __init__(self, place: Any, size: int, plaintext: Any = None) -> None:
        self.failure: Exception | None = None
        self._place = place
        self._size = size
        self._plaintext = plaintext if hasattr(plaintext, "signal_transferring") else None

    def read(self, size: int | None = -1) -> bytes:
        piece: bytes = self._place.read(-1 if size is None else size)
        self._follow()
        return piece

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place.seek(offset, whence)
        self._follow()
        return self.tell()

    def tell(self) -> int:
        position: int = self._place.tell()
        return position

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Yield the rest in pieces: by this aiohttp knows what it can send."""
        while piece := self.read(_SEND_SIZE):
            yield piece

    def __len__(self) -> int:
        return self._size

    def _follow(self) -> None:
        if self._plaintext is not None:
            self._plaintext.seek(len(self._plaintext) * self.tell() // self._size)

    def signal_transferring(self) -> None:
        if self._plaintext is not None:
            self._plaintext.signal_transferring()

    def signal_not_transferring(self) -> None:
        if self._plaintext is not None:
            self._plaintext.signal_not_transferring()

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("the body of an upload cannot be copied or pickled")


def store_body(call: Call, parameters: dict[str, Any]) -> None:
    """Make the sealed body of a call one that can be read on the loop; in a thread.

    What is sealed while it is read, from a source that may itself wait for the loop, is sealed here: it is kept in
    memory while it is small, and in an unnamed temporary file beyond that.
    """
    body = call.body
    if isinstance(body, SpilledBody):
        call.body = parameters["Body"] = StoredBody(body, len(body))
    elif isinstance(body, UploadBody):
        place = temporary_spill()
        call.cleanups.append(place.close)
        body.begin_sending()  # This is the only pass over it.
        while piece := body.read(_STORE_SIZE):
            place.write(piece)
        place.seek(0)
        stored = StoredBody(place, len(body), body.plaintext)
        # What reports progress begins anew; other sources stay at their end, as after every put.
        stored.seek(0)
        call.body = parameters["Body"] = stored


def is_async_source(source: object) -> bool:
    """Tell whether something can be read only by awaiting."""
    return inspect.iscoroutinefunction(getattr(source, "read", None)) or (
        isinstance(source, AsyncIterable) and not hasattr(source, "read")
    )


class BlockingSource:
    """An asynchronous stream, or an iterable of pieces, as a binary stream for a thread; it cannot seek."""

    def __init__(self, source: Any, bridge: Bridge) -> None:
        self._source = source
        self._bridge = bridge
        self._pieces: Any = None if hasattr(source, "read") else aiter(source)
        self._ahead = b""

    def read(self, size: int = -1, /) -> bytes:
        """Return up to `size` bytes; all that is left for a negative size."""
        if self._pieces is None:
            return self._bridge.wait_for(lambda: self._read(size))
        return self._bridge.wait_for(lambda: self._join(size))

    async def _read(self, size: int) -> bytes:
        return _bytes(await self._source.read(size))

    async def _join(self, size: int) -> bytes:
        pieces, joined = [self._ahead], len(self._ahead)
        while size < 0 or joined < size:
            try:
                pieces.append(_bytes(await anext(self._pieces)))
            except StopAsyncIteration:
                break
            joined += len(pieces[-1])
        everything = b"".join(pieces)
        end = len(everything) if size < 0 else size
        self._ahead = everything[end:]
        return everything[:end]

    def seekable(self) -> bool:
        return False


class BlockingSink:
    """An asynchronous stream to write to, for a thread; it cannot seek."""

    def __init__(self, sink: Any, bridge: Bridge) -> None:
        self._sink = sink
        self._bridge = bridge

    def write(self, piece: bytes, /) -> int:
        self._bridge.wait_for(lambda: self._write(piece))
        return len(piece)

    async def _write(self, piece: bytes) -> None:
        await self._sink.write(piece)

    def seekable(self) -> bool:
        return False


def _bytes(piece: object) -> bytes:
    if not isinstance(piece, bytes | bytearray | memoryview):
        raise ConfigurationError(
            f"the asynchronous source gives {type(piece).__name__}, not bytes; open the file in binary mode"
        )
    return bytes(piece)
