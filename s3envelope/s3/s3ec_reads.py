"""get_object and head_object of objects that an Amazon S3 Encryption Client wrote, through the same client.

Such a body is one message, so the whole object is verified before a byte of it is released. A range costs the whole
object once; as long as somebody reads it, further ranges cost a request of one byte each, which ties them to it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from s3envelope.core.envelope import is_envelope_name
from s3envelope.core.occurrences import ObjectName, Occurrence
from s3envelope.core.ranges import ByteRange, Extent, check_answer
from s3envelope.engine.opening import Answer, Condition, Fetch, version_of
from s3envelope.engine.s3ec_opening import S3ecOpener, S3ecPolicy, VerifiedObject, describe_stored
from s3envelope.engine.sources import close_body
from s3envelope.engine.wholes import MemoryPlace, Place, SealedFile, WholeReader
from s3envelope.errors import ConfigurationError, TruncatedObjectError, UnsupportedFormatError
from s3envelope.formats import names
from s3envelope.formats.s3ec import bodies
from s3envelope.formats.s3ec.metadata import is_reserved_name, is_s3ec_metadata
from s3envelope.formats.s3ec.model import TAG_SIZE, S3ecEnvelope
from s3envelope.formats.s3ec.policy import FormatPolicy
from s3envelope.s3.auditing import failure_teller, tell_open
from s3envelope.s3.bodies import PlaintextStream, no_body
from s3envelope.s3.calls import Read
from s3envelope.s3.config import EnvelopeConfig
from s3envelope.s3.instruction_files import read_instruction_file
from s3envelope.s3.responses import invalid_range, present_get, tell_size_in_error
from s3envelope.s3.wholes import Lease
from s3envelope.stores.spill import temporary_file

if TYPE_CHECKING:
    from s3envelope.s3.seam import Seam

# Asked for to learn which object stands there, where its content is at hand or will be fetched whole.
_PROBE = ByteRange(0, 0)


@dataclass(frozen=True, slots=True)
class Seen:
    """An answer that shows what object it is.

    Args:
        sent: The range that was asked for, in ciphertext terms.
        is_first: Whether it is the answer to the caller's own request; else that one was a 416.
    """

    answer: Answer
    sent: ByteRange | None
    is_first: bool


@dataclass(frozen=True, slots=True)
class OpenedWhole:
    """What of a verified object is handed out: `[start, end)` of `total`."""

    total: int
    start: int
    end: int
    stream: PlaintextStream | None
    answer: Answer
    answer_changed: bool = False


def may_be_s3ec(stored: Mapping[str, str]) -> bool:
    """Tell whether an object is to be opened as one of the Amazon formats, where these are read: it is not SE1."""
    return not any(is_envelope_name(name) for name in stored)


def is_marked(stored: Mapping[str, str]) -> bool:
    """Tell whether metadata has any name of the Amazon formats. INVARIANT: such an object is never passed on as is."""
    return any(is_reserved_name(name) for name in stored)


def check_format(config: EnvelopeConfig, stored: Mapping[str, str]) -> None:
    """Refuse an object whose metadata is of a format that the configuration does not name.

    Raises:
        UnsupportedFormatError: It is SE1, or one of the Amazon formats.
    """
    formats = config.read_formats
    if not may_be_s3ec(stored):
        if names.SE1 not in formats:
            raise UnsupportedFormatError("the object is of a format that read_formats does not name; add 'se1'")
    elif not config.reads_s3ec and is_s3ec_metadata(stored):
        raise UnsupportedFormatError(
            "the object was written by an Amazon S3 Encryption Client, which read_formats does not name; add 's3ec-v3' "
            "or 's3ec-v2' to read it"
        )


def range_to_ask(seam: Seam, read: Read) -> ByteRange | None:
    """Return the range to ask S3 for, in ciphertext terms, before the format of the object is known."""
    config, requested = seam.config, read.requested
    if requested is None or not config.reads_s3ec:
        return read.se1_range
    is_expected = names.SE1 not in config.read_formats or seam.wholes.is_expected(*_place_of(read))
    if not is_expected:
        return read.se1_range
    if config.unsafe_unverified_ranges and not read.asks_nothing:
        # A byte of ciphertext stands where its plaintext does; the last 16 stored bytes are the tag.
        return requested if requested.first is not None else ByteRange.suffix((requested.last or 0) + TAG_SIZE)
    return _PROBE


def open_get(seam: Seam, read: Read, seen: Seen, fetch: Fetch, parsed: dict[str, Any]) -> None:
    """Open the answer to a GET; rewrite `parsed` in place.

    Raises:
        EnvelopeError, DecryptionError, KeyringError: See `s3envelope.errors`. Nothing was released.
    """
    opener, requested = _opener(seam, read, fetch), read.requested
    if requested is None:
        _open_whole(seam, read, seen, opener, parsed)
        return
    extent = check_answer(seen.answer.head, seen.sent)
    _condition(read).check(seen.answer.head)
    envelope = opener.describe(seen.answer) if seam.config.unsafe_unverified_ranges else None
    if envelope is not None and envelope.content.is_authenticated:
        _open_unverified(seam, read, seen, opener, parsed, envelope=envelope, extent=extent)
        return
    lease = _lease(seam, read, opener, seen.answer, extent)
    try:
        _tell_open(seam, read, parsed, lease.whole.envelope)
        total = lease.whole.place.size
        interval = _interval(seam, read, seen, total, parsed)
    except BaseException:
        lease.end()
        raise
    if interval is None:
        lease.end()
        return
    stream = lease.reader(*interval)
    answer = Answer(seen.answer.head, seen.answer.metadata, no_body())
    _present(seam, read, parsed, lease.whole.envelope, OpenedWhole(total, *interval, stream, answer))


def _present(seam: Seam, read: Read, parsed: dict[str, Any], envelope: S3ecEnvelope, opened: OpenedWhole) -> None:
    present_get(
        parsed,
        opened,
        read.requested,
        is_ours=is_reserved_name,
        on_end=None if seam.metering is None else seam.metering.counting(opened.stream, _format_of(envelope)),
        on_failure=failure_teller(seam.audit, read.parameters, parsed),
    )


def _format_of(envelope: S3ecEnvelope) -> str:
    return f"s3ec-v{envelope.version}"


def _tell_open(
    seam: Seam,
    read: Read,
    parsed: dict[str, Any],
    envelope: S3ecEnvelope,
    close: Callable[[], None] = lambda: None,
    *,
    verified: bool = True,
) -> None:
    if seam.audit is None:
        return
    told = Occurrence(
        operation="open",
        format=_format_of(envelope),
        commitment=envelope.commitment,
        context=read.expected,
        details=() if verified else (("verified", "no"),),
    )
    tell_open(seam.audit, read, parsed, told, close)


def _open_whole(seam: Seam, read: Read, seen: Seen, opener: S3ecOpener, parsed: dict[str, Any]) -> None:
    if not seen.is_first:
        raise TruncatedObjectError("the server refuses to send an object that it has")
    verified = opener.verify(seen.answer, _condition(read))
    place = verified.place
    _tell_open(seam, read, parsed, verified.envelope, place.close)
    seam.wholes.expect(*_place_of(read))
    # Only ranges share a whole: this one is gone as soon as it was read.
    stream = WholeReader(place, 0, place.size, lambda _: place.close())
    opened = OpenedWhole(place.size, 0, place.size, stream, seen.answer)
    _present(seam, read, parsed, verified.envelope, opened)


def _open_unverified(
    seam: Seam,
    read: Read,
    seen: Seen,
    opener: S3ecOpener,
    parsed: dict[str, Any],
    *,
    envelope: S3ecEnvelope,
    extent: Extent,
) -> None:
    total = bodies.plaintext_size(envelope, extent.total) or 0
    seam.wholes.expect(*_place_of(read))
    interval = _interval(seam, read, seen, total, parsed)
    if interval is None:
        close_body(seen.answer.body)
        return
    stream = opener.unverified_range(envelope, seen.answer, extent, *interval)
    _tell_open(seam, read, parsed, envelope, stream.close, verified=False)
    answer = Answer(seen.answer.head, seen.answer.metadata, stream)
    _present(seam, read, parsed, envelope, OpenedWhole(total, *interval, stream, answer))


def _interval(seam: Seam, read: Read, seen: Seen, total: int, parsed: dict[str, Any]) -> tuple[int, int] | None:
    """Return what of a range exists; `None` if nothing does and `parsed` says so already.

    Raises:
        ClientError: Nothing of it exists, though S3 had something to send.
        TruncatedObjectError: S3 said that nothing of it exists, which is not true.
    """
    header = read.parameters.get("Range")
    start, end = read.requested.resolve(total) if read.requested is not None else (0, total)
    if start >= total:
        if seen.is_first:
            close_body(seen.answer.body)
            raise invalid_range(seam, header, total, parsed)
        tell_size_in_error(parsed, header, total)
        return None
    if not seen.is_first:
        raise TruncatedObjectError(
            "the server says that a range does not exist which the object has. If it is being replaced, read again"
        )
    return start, end


def head_size(seam: Seam, read: Read, answer: Answer, fetch: Fetch) -> int:
    """Return the plaintext size for an answer to HEAD.

    It is a claim of the server, without a key. Only the size of an AES-CBC object that does not tell it takes its
    decryption: it is read whole, and kept for a while.

    Raises:
        EnvelopeError, DecryptionError, KeyringError: See `s3envelope.errors`.
    """
    envelope = _opener(seam, read, fetch).describe(answer)
    extent = check_answer(answer.head, None)
    _condition(read).check(answer.head)
    size = bodies.plaintext_size(envelope, extent.total)
    seam.wholes.expect(*_place_of(read))
    return proved_size(seam, read, answer, fetch) if size is None else size


def proved_size(seam: Seam, read: Read, answer: Answer, fetch: Fetch) -> int:
    """Return the plaintext size of the object of an answer to HEAD, after all of it was verified.

    Raises:
        EnvelopeError, DecryptionError, KeyringError: See `s3envelope.errors`.
    """
    extent = check_answer(answer.head, None)
    lease = _lease(seam, read, _opener(seam, read, fetch), answer, extent, is_head=True)
    _tell_open(seam, read, {"VersionId": answer.head.version_id}, lease.whole.envelope, lease.end)
    size = lease.whole.place.size
    lease.end()
    return size


def describe(seam: Seam, parameters: Mapping[str, Any], answer: Answer) -> S3ecEnvelope:
    """Return the description of an object from the answer to a HEAD, unverified; of any format.

    Raises:
        EnvelopeError: There is none, or it breaks the rules.
    """
    config = seam.config

    def fetch_instruction() -> bytes | None:
        return read_instruction_file(seam.inner, config.instruction_suffix, parameters) if config.reads_s3ec else None

    return describe_stored(answer.metadata, fetch_instruction, is_missing=answer.head.metadata_is_missing)


def _lease(
    seam: Seam, read: Read, opener: S3ecOpener, answer: Answer, extent: Extent, *, is_head: bool = False
) -> Lease[VerifiedObject]:
    """Return the use of the verified whole that an answer belongs to; the answer's body is closed."""
    has_all = not is_head and (extent.start, extent.end) == (0, extent.total)
    if not has_all:
        _drop(answer, extent)

    def load() -> VerifiedObject:
        if has_all and answer.head.content_range is None:
            return opener.verify(answer, _condition(read))
        return opener.verify_again(answer, _condition(read))

    try:
        lease = seam.wholes.lease(_name(seam, read, answer, extent.total), load)
    finally:
        close_body(answer.body)
    seam.wholes.expect(*_place_of(read))
    return lease


def _drop(answer: Answer, extent: Extent) -> None:
    if extent.end - extent.start == 1:
        # A single byte is read, so that its connection can be used again.
        answer.body.read()
    close_body(answer.body)


def _name(seam: Seam, read: Read, answer: Answer, stored_size: int) -> Hashable:
    # INVARIANT: everything that decides whether and how an object opens is a part of the name: a call with another
    # encryption context, or an object with other metadata, is opened for itself.
    expected = read.expected
    metadata = tuple(sorted(answer.metadata.items()))
    return (*_place_of(read), *version_of(answer.head), stored_size, metadata, expected.canonical)


def _opener(seam: Seam, read: Read, fetch: Fetch) -> S3ecOpener:
    config, parameters, keyring = seam.config, read.parameters, seam.s3ec_keyring
    if keyring is None:
        raise ConfigurationError("read_formats names no format of the Amazon clients")
    return S3ecOpener(
        keyring,
        S3ecPolicy(FormatPolicy(config.read_formats), read.expected),
        fetch=fetch,
        fetch_instruction=lambda: read_instruction_file(seam.inner, config.instruction_suffix, parameters),
        make_place=lambda stored_size: _place(seam, stored_size),
        audit=seam.audit,
        about=ObjectName(*_place_of(read)),
    )


def _place(seam: Seam, stored_size: int) -> Place:
    if stored_size - TAG_SIZE <= seam.config.verify_in_memory:
        return MemoryPlace(stored_size)
    return SealedFile(temporary_file(), seam.ports.random)


def _place_of(read: Read) -> tuple[str, str]:
    return read.parameters["Bucket"], read.parameters["Key"]


def _condition(read: Read) -> Condition:
    return Condition(etag=read.parameters.get("IfMatch"), version_id=read.parameters.get("VersionId"))
