"""A multipart upload whose object is one GCM message: parts in sequence, sealed once, the tag at the end of the last.

The authentication runs over the parts in their order and lives in memory: such an upload has one process and one
client. What was sealed once may be sealed again if it is the same, for a part whose request failed.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from s3envelope.core.layout import MAX_PART_NUMBER, MAX_PUT_SIZE, MIN_PART_SIZE
from s3envelope.core.ports import ByteSource, SystemPorts
from s3envelope.engine.indexed_uploads import Completion, RejectedPartsError
from s3envelope.engine.messages import PlaintextLog, SealedMessage, chunks_of, seal_chunk
from s3envelope.engine.sources import PlaintextSource
from s3envelope.errors import ConfigurationError, SourceChangedError, UnsupportedOperationError
from s3envelope.formats.s3ec.bodies import MessageSealer
from s3envelope.formats.s3ec.model import MAX_PLAINTEXT_SIZE, TAG_SIZE

_IN_SEQUENCE = (
    "the object will be one GCM message, which is sealed from its start to its end. Upload the parts one after the "
    "other (TransferConfig(max_concurrency=1) for a transfer manager of your own), or use this client's upload_file "
    "or upload_fileobj, or write_format='se1'"
)


@dataclass(slots=True, repr=False)
class _Part:
    """What is known of a part.

    Args:
        offset: Of its first byte in the plaintext of the object.
        is_sealed: Whether its source was read to the end.
        has_tag: Whether the tag of the message follows its ciphertext.
        small: Its ciphertext, if it was sent and is below 5 MiB: the tag may have to follow it.
    """

    offset: int
    log: PlaintextLog
    is_sealed: bool = False
    has_tag: bool = False
    etag: str | None = None
    small: bytes | None = field(default=None)

    @property
    def size(self) -> int:
        return self.log.size + (TAG_SIZE if self.has_tag else 0)


class MessageUpload:
    """The state of one multipart upload of one message.

    Args:
        sealer: Of a message of which nothing was sealed yet; owned from now on, `finish` wipes it.
        plaintext_size: Of the whole object if it is known; the part that reaches it then carries the tag.
    """

    def __init__(self, sealer: MessageSealer, ports: SystemPorts, *, plaintext_size: int | None = None) -> None:
        self._sealer = sealer
        self._ports = ports
        self._owner = ports.process_id()
        self._plaintext_size = plaintext_size
        self._parts: list[_Part] = []
        self._tag: bytes | None = None
        self._end: tuple[tuple[int, str], ...] | None = None
        self._end_etag: str | None = None
        self._over = False
        self._lock = threading.RLock()

    def check_part(self, number: int, size: int | None = None) -> None:
        """Refuse a part that cannot be where it is, before anything of it is read.

        Args:
            number: 1 to 10000.
            size: In plaintext bytes, if it is known.

        Raises:
            ConfigurationError: The number is not legal, or the message would be larger than GCM allows.
            UnsupportedOperationError: The part is not the next one and was not sealed before, or the upload is over.
            SourceChangedError: It was sealed before, and had another size.
        """
        with self._lock:
            self._check_open()
            if not 1 <= number <= MAX_PART_NUMBER:
                raise ConfigurationError(f"PartNumber is {number}; use 1 to {MAX_PART_NUMBER}")
            if number > len(self._parts):
                self._check_next(number)
            part = self._parts[number - 1] if number <= len(self._parts) else None
            if part is not None and part.is_sealed and size not in (None, part.log.size):
                raise _changed(number)
            if size is not None:
                offset = part.offset if part is not None else self._sealed_size
                check_message_size(offset + size)
                _check_part_size(size)

    def seal_part(self, number: int, stream: ByteSource) -> Iterator[bytes]:
        """Yield what to send of a part; nothing may be sent before it was exhausted.

        Args:
            stream: Read once, to its end. If reading fails, the part begins again with the same content.

        Raises:
            SourceChangedError: The part was sealed before, or a part of it, and had other content.
            ConfigurationError: The message would be larger than GCM allows, or the stream breaks the rules of streams.
            UnsupportedOperationError: See `check_part`.
        """
        part = self._begin(number)
        size = 0
        for index, plaintext in enumerate(chunks_of(stream)):
            size += len(plaintext)
            _check_part_size(size)
            yield self._chunk(number, part, index, plaintext)
        tag = self._end_part(number, part, size)
        if tag is not None:
            yield tag

    def sealed_part(self, number: int, source: PlaintextSource) -> SealedMessage:
        """Return what to send of a part that was sealed, from the same plaintext again."""
        with self._lock:
            self._check_open()
            part = self._parts[number - 1]
            if not part.is_sealed or source.size != part.log.size:
                raise _changed(number)
            return SealedMessage(source, _Resealing(self, number, part), process_id=self._ports.process_id)

    def part_succeeded(self, number: int, etag: str, small: bytes | None) -> None:
        """Record the ETag that S3 gave to a part.

        Args:
            small: What was sent, if it is below 5 MiB.
        """
        with self._lock:
            if self._over:
                return
            self._parts[number - 1].etag = etag
            if number == len(self._parts):
                self._parts[number - 1].small = small

    def freeze(self, parts: Sequence[tuple[int, str]]) -> Completion | None:
        """Decide the end of the object, before `complete` sends anything; repeat it with the same list only.

        Args:
            parts: (number, ETag), as the caller passes them to S3.

        Returns:
            The part that carries the tag and is still to be sent; `None` if it was.

        Raises:
            RejectedPartsError: S3 would refuse the list, with this code.
            UnsupportedOperationError: These are not all the parts, one failed or is in flight, or another list was
                decided.
        """
        listed = tuple((number, etag.strip('"')) for number, etag in parts)
        with self._lock:
            self._check_usable()
            if self._end is None:
                self._check_list(listed)
                self._end = listed
                self._final_tag()
            elif self._end != listed:
                raise UnsupportedOperationError(
                    "complete was called before with another list of parts; repeat that one"
                )
            return self._completion(tuple(parts))

    def end_sent(self, etag: str) -> None:
        """Record the ETag of the part that carries the tag."""
        with self._lock:
            self._end_etag = etag

    def finish(self) -> None:
        """Forget the key: the upload was completed or aborted."""
        with self._lock:
            self._over = True
            self._parts.clear()
            self._sealer.wipe()

    @property
    def _sealed_size(self) -> int:
        """Plaintext bytes of all parts."""
        return self._parts[-1].offset + self._parts[-1].log.size if self._parts else 0

    def _begin(self, number: int) -> _Part:
        with self._lock:
            self.check_part(number)
            if number > len(self._parts):
                # INVARIANT: registered before anything is sealed.
                if self._parts:
                    self._parts[-1].small = None
                self._parts.append(_Part(self._sealed_size, PlaintextLog(self._ports.random)))
            return self._parts[number - 1]

    def _chunk(self, number: int, part: _Part, index: int, plaintext: bytes | memoryview) -> bytes:
        with self._lock:
            self._check_usable()
            if index >= part.log.chunk_count and (part.is_sealed or self._end is not None):
                raise _changed(number)
            try:
                return seal_chunk(self._sealer, part.log, index, plaintext, offset=part.offset)
            except SourceChangedError:
                raise _changed(number) from None

    def _end_part(self, number: int, part: _Part, size: int) -> bytes | None:
        with self._lock:
            self._check_open()
            if size != part.log.size:
                raise _changed(number)
            if not part.is_sealed:
                part.is_sealed = True
                part.has_tag = number == MAX_PART_NUMBER or part.offset + size == self._plaintext_size
            return self._final_tag() if part.has_tag else None

    def _final_tag(self) -> bytes:
        if self._tag is None:
            self._tag = self._sealer.finalize()
        return self._tag

    def _check_usable(self) -> None:
        if self._ports.process_id() != self._owner:
            raise UnsupportedOperationError("an upload that began before a fork cannot go on in the child process")
        if self._over:
            raise UnsupportedOperationError("the upload was completed or aborted")

    def _check_open(self) -> None:
        self._check_usable()
        if self._end is not None:
            raise UnsupportedOperationError("complete was called: the parts of the upload are decided")

    def _check_next(self, number: int) -> None:
        due = len(self._parts) + 1
        if number != due:
            raise UnsupportedOperationError(f"part {number} is refused, part {due} is due: {_IN_SEQUENCE}")
        if self._parts and not self._parts[-1].is_sealed:
            raise UnsupportedOperationError(
                f"part {number} is refused, part {due - 1} is being read or was not read to its end: {_IN_SEQUENCE}"
            )
        if self._parts and self._parts[-1].has_tag:
            raise UnsupportedOperationError(
                f"part {number} is refused: part {due - 1} was the last one, and has the tag of the message"
            )

    def _check_list(self, listed: tuple[tuple[int, str], ...]) -> None:
        if not listed:
            raise RejectedPartsError("MalformedXML")
        numbers = [number for number, _ in listed]
        if numbers != sorted(set(numbers)):
            raise RejectedPartsError("InvalidPartOrder")
        for number, etag in listed:
            known = self._parts[number - 1].etag if 1 <= number <= len(self._parts) else None
            if known is None or known.strip('"') != etag:
                raise RejectedPartsError("InvalidPart")
        if len(listed) != len(self._parts):
            raise UnsupportedOperationError(
                "the upload completes with all of its parts, or is aborted: they are one message; the list leaves "
                "one out, or one failed or is in flight"
            )
        if any(part.size < MIN_PART_SIZE for part in self._parts[:-1]):
            raise RejectedPartsError("EntityTooSmall")
        last = self._parts[-1]
        if not last.has_tag and last.size < MIN_PART_SIZE and last.small is None:
            raise UnsupportedOperationError(
                f"the ciphertext of part {len(listed)} is not here; upload that part again, then complete"
            )

    def _completion(self, parts: tuple[tuple[int, str], ...]) -> Completion | None:
        number, last = len(self._parts), self._parts[-1]
        if last.has_tag:
            return None
        if last.size >= MIN_PART_SIZE:
            return Completion(parts, number + 1, self._final_tag(), self._end_etag)
        # With a part behind it, this one would be one of the middle, where S3 wants 5 MiB.
        return Completion(parts[:-1], number, (last.small or b"") + self._final_tag(), self._end_etag)


class _Resealing:
    """The sealing of a part that was sealed before; see `Sealing`."""

    def __init__(self, upload: MessageUpload, number: int, part: _Part) -> None:
        self._upload = upload
        self._number = number
        self._part = part

    @property
    def chunk_count(self) -> int:
        return self._part.log.chunk_count

    @property
    def tail_size(self) -> int:
        return TAG_SIZE if self._part.has_tag else 0

    def chunk(self, index: int, plaintext: bytes | memoryview) -> bytes:
        return self._upload._chunk(self._number, self._part, index, plaintext)

    def tail(self) -> bytes:
        return self._upload._final_tag()


def check_message_size(size: int) -> None:
    """Raise `ConfigurationError` if one GCM message cannot have so many bytes of plaintext."""
    if size > MAX_PLAINTEXT_SIZE:
        raise ConfigurationError(
            f"the object has {size} bytes or more; in the formats of the Amazon clients at most {MAX_PLAINTEXT_SIZE} "
            "are possible (64 GiB less 32 bytes: one AES-GCM message). Use write_format='se1', or several objects"
        )


def _check_part_size(size: int) -> None:
    if size > MAX_PUT_SIZE - TAG_SIZE:
        raise ConfigurationError(f"the part has {size} bytes or more; S3 takes {MAX_PUT_SIZE}, with the tag. Cut it")


def _changed(number: int) -> SourceChangedError:
    return SourceChangedError(
        f"part {number} has other content than when it was sealed first, though that call failed; nothing of it was "
        "sent. Upload the same bytes again, or abort the upload and begin a new one"
    )
