"""Bodies as botocore and s3transfer want them: of requests, and of answers."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any, NoReturn, Protocol

from s3envelope.core.ports import ByteSource, SpillFile
from s3envelope.engine.sealing import CiphertextReader, FixedCiphertext
from s3envelope.errors import S3EnvelopeError

_AHEAD_SIZE = 8192


class SealedUpload(Protocol):
    """The sealed body of a request."""

    failure: Exception | None

    def __len__(self) -> int: ...


class UploadBody(CiphertextReader):
    """The ciphertext of a source that can be read again, sealed anew in every pass.

    s3transfer reports progress from the plaintext source: what it calls on the body of a request is passed on.
    """

    def __init__(self, run: FixedCiphertext, plaintext: object) -> None:
        super().__init__(run)
        self.failure: Exception | None = None
        self.on_sending: Callable[[], None] | None = None
        self.plaintext = plaintext

    def read(self, size: int | None = -1) -> bytes:
        """See `CiphertextReader.read`."""
        try:
            return super().read(size)
        except S3EnvelopeError as error:
            # The transport wraps it; the call unwraps it again.
            self.failure = error
            raise

    def begin_sending(self) -> None:
        """Take note that the next pass is the one that is sent."""
        if self.on_sending is not None:
            self.on_sending()

    def signal_transferring(self) -> None:
        self._pass_on("signal_transferring")

    def signal_not_transferring(self) -> None:
        self._pass_on("signal_not_transferring")

    def enable_callback(self) -> None:
        self._pass_on("enable_callback")

    def disable_callback(self) -> None:
        self._pass_on("disable_callback")

    def _pass_on(self, name: str) -> None:
        method = getattr(self.plaintext, name, None)
        if callable(method):
            method()


class SpilledBody:
    """Ciphertext that is at hand as a whole: of a small body, or of a source that could be read once only."""

    def __init__(self, spill: SpillFile, size: int) -> None:
        self._spill = spill
        self._size = size
        self.failure: Exception | None = None

    def read(self, size: int | None = -1) -> bytes:
        return self._spill.read(-1 if size is None else size)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._spill.seek(offset, whence)

    def tell(self) -> int:
        return self._spill.tell()

    def seekable(self) -> bool:
        return True

    def readable(self) -> bool:
        return True

    def __len__(self) -> int:
        return self._size

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("the body of an upload cannot be copied or pickled")


class PlaintextStream(Protocol):
    """Plaintext that may be released; reading on after an error raises it again."""

    def read(self, size: int | None = -1) -> bytes: ...

    def close(self) -> None: ...


class PlaintextRaw(io.RawIOBase):
    """The raw stream inside the `StreamingBody` of an answer.

    Args:
        stream: Verified plaintext; or what the caller wants unverified.
        answer: The original `StreamingBody`, to close.
        on_end: Called once, with the size that was read: at the end of the stream, or when this is closed before. It
            must neither wait nor raise.
        on_failure: Called with what a read is going to raise. It must not raise.
    """

    def __init__(
        self,
        stream: PlaintextStream,
        answer: Any,
        on_end: Callable[[int], None] | None = None,
        on_failure: Callable[[BaseException], None] | None = None,
    ) -> None:
        super().__init__()
        self._on_failure = on_failure
        self._on_end = on_end
        self._stream = stream
        self._answer = answer
        self._position = 0
        self._ahead = b""

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        """Return up to `size` bytes; more than one segment where asked, unlike a socket."""
        wanted = -1 if size is None else size
        piece = self._ahead if wanted < 0 else self._ahead[:wanted]
        self._ahead = self._ahead[len(piece) :]
        if wanted < 0 or len(piece) < wanted:
            more = self._read_on(wanted if wanted < 0 else wanted - len(piece))
            piece = piece + more if piece else more
        self._position += len(piece)
        if wanted < 0 or (wanted > 0 and not piece):
            self._tell_end()
        return piece

    def _tell_end(self) -> None:
        on_end, self._on_end = self._on_end, None
        if on_end is not None:
            on_end(self._position)

    def peek(self, size: int = 0) -> bytes:
        """Return what comes next without moving: `readline` looks for the end of a line here, not byte by byte."""
        if not self._ahead:
            self._ahead = self._read_on(_AHEAD_SIZE)
        return self._ahead

    def _read_on(self, size: int) -> bytes:
        try:
            return self._stream.read(size)
        except BaseException as error:
            # Nothing more is read after a failure; half an answer must not stay on a connection of the pool.
            self._answer.close()
            if self._on_failure is not None:
                self._on_failure(error)
            raise

    def readall(self) -> bytes:
        return self.read()

    def readinto(self, buffer: Any) -> int:
        # INVARIANT: the caller's buffer only ever sees bytes that were verified elsewhere first.
        view = memoryview(buffer).cast("B")
        piece = self.read(len(view))
        view[: len(piece)] = piece
        return len(piece)

    def stream(self, amt: int = 65536, decode_content: bool | None = None) -> Iterator[bytes]:
        """Yield pieces, as urllib3's response does."""
        while piece := self.read(amt):
            yield piece

    def tell(self) -> int:
        return self._position

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
            self._answer.close()
            self._tell_end()
        super().close()

    @property
    def _fp(self) -> Any:
        # StreamingBody.set_socket_timeout looks for the socket here.
        return self._answer._raw_stream._fp


class ClosedBody:
    """The body of an answer that has none, or whose body was drained."""

    def read(self, size: int = -1, /) -> bytes:
        return b""

    def close(self) -> None:
        """Do nothing."""


def no_body() -> ByteSource:
    """Return an empty body."""
    return ClosedBody()
