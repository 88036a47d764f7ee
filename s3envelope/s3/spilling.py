"""Bodies from streams that can be read once: sealed into a place from where they can be sent, and sent again."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from s3envelope.core.layout import MAX_PUT_SIZE
from s3envelope.core.ports import ByteSource
from s3envelope.errors import ConfigurationError
from s3envelope.s3.bodies import SpilledBody
from s3envelope.s3.calls import Call
from s3envelope.s3.sizes import check_declared_size, check_put_size

if TYPE_CHECKING:
    from s3envelope.s3.seam import Seam


class _Counted:
    """Counts what is read, and stops at a limit."""

    def __init__(self, stream: ByteSource, limit: int) -> None:
        self._stream = stream
        self._limit = limit
        self.size = 0

    def read(self, size: int = -1, /) -> bytes:
        piece = self._stream.read(size)
        if isinstance(piece, str):
            raise ConfigurationError("Body is a text stream; open the file in binary mode")
        self.size += len(piece)
        if self.size > self._limit:
            raise ConfigurationError(
                f"the body cannot seek and has more than {self._limit} bytes (unseekable_limit); "
                "use upload_fileobj, or a seekable body"
            )
        return piece


def spill(
    seam: Seam,
    call: Call,
    stream: ByteSource,
    seal: Callable[[ByteSource], Iterator[bytes]],
    declared_size: int | None,
) -> tuple[SpilledBody, int]:
    """Seal a stream; return the body to send and the plaintext size in bytes.

    Args:
        call: Closes the place when it ends.
        seal: Gives the segments of a stream.
        declared_size: `ContentLength`, if the caller gave it.

    Raises:
        ConfigurationError: The stream is larger than is allowed, has another size than declared, or gives text.
    """
    counted = _Counted(stream, seam.config.unseekable_limit)
    place = seam.spill_store()
    call.cleanups.append(place.close)
    size = 0
    for segment in seal(counted):
        place.write(segment)
        size += len(segment)
        if size > MAX_PUT_SIZE:
            check_put_size(counted.size)
    check_declared_size(counted.size, declared_size)
    place.seek(0, io.SEEK_SET)
    return SpilledBody(place, size), counted.size
