"""From an answer of S3 to the verified plaintext of an object that an Amazon S3 Encryption Client wrote.

Source: the specification of the Amazon S3 Encryption Clients, "Content metadata" and "Decryption".
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from s3envelope.core.context import EncryptionContext
from s3envelope.core.key_uses import asked, tell_one
from s3envelope.core.occurrences import ObjectName
from s3envelope.core.ports import AuditSink, ByteSource
from s3envelope.core.ranges import ByteRange, Extent, check_answer
from s3envelope.core.secret import SecretBytes
from s3envelope.engine.opening import Answer, Condition, Fetch, same_version
from s3envelope.engine.sources import close_body, read_fully, skip
from s3envelope.engine.wholes import Place, verify_whole
from s3envelope.errors import MalformedEnvelopeError, NotEncryptedError, ObjectChangedError, TruncatedObjectError
from s3envelope.formats.s3ec import bodies, metadata, policy
from s3envelope.formats.s3ec.failure import does_not_open
from s3envelope.formats.s3ec.model import S3ecEnvelope
from s3envelope.formats.s3ec.ports import OpenedDataKey, S3ecKeyring


@dataclass(frozen=True, slots=True)
class VerifiedObject:
    """A whole object whose message was verified."""

    envelope: S3ecEnvelope
    place: Place


class FetchInstruction(Protocol):
    """Reads the instruction file of the object; must return `None` if there is none."""

    def __call__(self) -> bytes | None: ...


@dataclass(frozen=True, slots=True)
class S3ecPolicy:
    """What a reader demands before it uses a key.

    Args:
        formats: Which versions and algorithms are read.
        expected: The encryption context that the stored one must be equal to, reserved entries apart.
    """

    formats: policy.FormatPolicy
    expected: EncryptionContext


class S3ecOpener:
    """Opens answers about one object.

    Args:
        fetch: For further requests about the same object.
        fetch_instruction: For its instruction file.
        audit, about: Who is told that the data key was used, and for which object.
        make_place: Returns where plaintext of at most so many bytes waits until it is verified.
    """

    def __init__(
        self,
        keyring: S3ecKeyring,
        policy: S3ecPolicy,
        *,
        fetch: Fetch,
        fetch_instruction: FetchInstruction,
        make_place: Callable[[int], Place],
        audit: AuditSink | None,
        about: ObjectName | None = None,
    ) -> None:
        self._keyring = keyring
        self._policy = policy
        self._fetch = fetch
        self._fetch_instruction = fetch_instruction
        self._make_place = make_place
        self._audit = audit
        self._about = about

    def describe(self, answer: Answer) -> S3ecEnvelope:
        """Return the description of an object from an answer, and its instruction file where that is needed.

        Raises:
            NotEncryptedError: There is no description, or half of one.
            MalformedEnvelopeError: It breaks the rules.
            UnsupportedFormatError: It is of a format that this configuration does not read.
        """
        head = answer.head
        envelope = describe_stored(answer.metadata, self._fetch_instruction, is_missing=head.metadata_is_missing)
        # INVARIANT: this very value is used to decrypt.
        self._policy.formats.check(envelope)
        return envelope

    def check_context(self, envelope: S3ecEnvelope) -> None:
        """Raise `ContextMismatchError` if the stored encryption context is not the expected one."""
        policy.check_description(envelope, self._policy.expected)

    def verify(self, answer: Answer, condition: Condition) -> VerifiedObject:
        """Open an answer that carries the whole object; it is read to its end.

        Raises:
            EnvelopeError, DecryptionError, KeyringError: See `s3envelope.errors`. Nothing was released.
        """
        # An empty object of somebody else is not a cut object of this format: what it is comes first.
        envelope = self._unlocked(answer)
        extent = _whole_extent(answer)
        condition.check(answer.head)
        return self._verify(answer, extent, envelope)

    def verify_again(self, seen: Answer, condition: Condition) -> VerifiedObject:
        """Fetch the whole of an object of which another answer was seen, and open that."""
        condition.check(seen.head)
        envelope = self._unlocked(seen)
        tied = same_version(seen.head)
        answer = self._fetch(None, tied)
        if answer is None:
            raise TruncatedObjectError("the server refuses to send the whole object")
        try:
            extent = _whole_extent(answer)
            tied.check(answer.head)
            if dict(answer.metadata) != dict(seen.metadata):
                raise ObjectChangedError("the metadata of the object changed between two requests")
            return self._verify(answer, extent, envelope)
        finally:
            close_body(answer.body)

    def unverified_range(
        self, envelope: S3ecEnvelope, answer: Answer, extent: Extent, start: int, end: int
    ) -> UnverifiedStream:
        """Return a range of an object without any verification.

        Args:
            envelope: From `describe`.
            answer: May carry other bytes than are needed.
            extent: What it carries.
            start, end: Half-open, within the plaintext.
        """
        self.check_context(envelope)
        with self._data_key(envelope) as data_key:
            decryptor = bodies.ctr_range(envelope, data_key, start)
        if extent.start <= start and end <= extent.end:
            body = answer.body
            skip(body, start - extent.start)
        else:
            close_body(answer.body)
            body = self._exact(answer, ByteRange(start, end - 1), extent.total)
        return UnverifiedStream(body, decryptor, end - start)

    def _unlocked(self, answer: Answer) -> S3ecEnvelope:
        envelope = self.describe(answer)
        self.check_context(envelope)
        return envelope

    def _exact(self, seen: Answer, wanted: ByteRange, total: int) -> ByteSource:
        tied = same_version(seen.head)
        answer = self._fetch(wanted, tied)
        if answer is None:
            raise TruncatedObjectError("the server says that a range does not exist which it said that the object has")
        extent = check_answer(answer.head, wanted)
        tied.check(answer.head)
        if extent.total != total or dict(answer.metadata) != dict(seen.metadata):
            raise ObjectChangedError("the object changed between two requests")
        skip(answer.body, (wanted.first or 0) - extent.start)
        return answer.body

    def _data_key(self, envelope: S3ecEnvelope) -> SecretBytes:
        data_key = self._keyring.open_s3ec_data_key(envelope)
        call = data_key.call if isinstance(data_key, OpenedDataKey) else None
        tell_one(self._audit, data_key, asked("decrypt", call, self._policy.expected, self._about))
        return data_key

    def _verify(self, answer: Answer, extent: Extent, envelope: S3ecEnvelope) -> VerifiedObject:
        # INVARIANT: the key is asked for whatever the body is, so that calls do not tell what is wrong with it.
        with self._data_key(envelope) as data_key:
            decryptor = _MessageDecryptor(bodies.MessageOpener(envelope, data_key), envelope, extent.total)
        told_size = bodies.plaintext_size(envelope, extent.total)
        place = self._make_place(extent.total)
        verify_whole(answer.body, extent.total, decryptor, place)
        # INVARIANT: a HEAD has told this size, so that a body of CBC whose padding says another is not the writer's.
        if told_size not in (None, place.size):
            place.close()
            raise does_not_open()
        return VerifiedObject(envelope, place)


class UnverifiedStream:
    """A stream of plaintext that nobody has verified: whoever can change the object can flip any bit of it.

    Args:
        source: The body of an answer, at the first wanted byte.
        decryptor: Of the key stream from there on.
        size: How many bytes are wanted.
    """

    def __init__(self, source: ByteSource, decryptor: bodies.Keystream, size: int) -> None:
        self._source = source
        self._decryptor = decryptor
        self._missing = size
        self._failure: BaseException | None = None

    def read(self, size: int | None = -1) -> bytes:
        """Return up to `size` bytes, or the rest; after an error every later read raises it again.

        Raises:
            TruncatedObjectError: The answer ends before its length says.
        """
        if self._failure is not None:
            raise self._failure
        wanted = self._missing if size is None or size < 0 else min(size, self._missing)
        try:
            ciphertext = read_fully(self._source, wanted)
            if len(ciphertext) != wanted:
                raise TruncatedObjectError("the body of the answer does not end where its length says")
        except BaseException as error:
            self._failure = error
            raise
        self._missing -= wanted
        if self._missing == 0:
            # A tag may be left: with a rest, the connection could neither be used again nor be freed.
            close_body(self._source)
        return self._decryptor.update(ciphertext)

    def close(self) -> None:
        """Reading on is an error."""
        self._failure = self._failure or ValueError("I/O operation on a closed stream")
        close_body(self._source)


class _MessageDecryptor:
    """A message whose last stored bytes are its tag, where it has one."""

    def __init__(self, opener: bodies.MessageOpener, envelope: S3ecEnvelope, stored_size: int) -> None:
        self._opener = opener
        self._missing = max(0, stored_size - bodies.tag_size(envelope.content))
        self._tag = b""

    def update(self, ciphertext: bytes, /) -> bytes:
        self._tag += ciphertext[self._missing :]
        body = ciphertext[: self._missing]
        self._missing -= len(body)
        return self._opener.update(body)

    def finish(self) -> bytes:
        return self._opener.finalize(self._tag)


def describe_stored(
    stored: Mapping[str, str], fetch_instruction: FetchInstruction, *, is_missing: bool
) -> S3ecEnvelope:
    """Return the description of an object, whatever its format.

    Args:
        stored: The metadata of the object.
        is_missing: Whether the server withheld metadata.

    Raises:
        NotEncryptedError: There is no description, or half of one.
        MalformedEnvelopeError: It breaks the rules, or the server withheld a part of it.
    """
    if is_missing:
        raise MalformedEnvelopeError("the server withheld metadata of the object (x-amz-missing-meta)")
    has_file = metadata.may_have_instruction_file(stored)
    instruction = fetch_instruction() if has_file else None
    try:
        return metadata.parse(stored, instruction)
    except NotEncryptedError:
        if instruction is None:
            raise
    # INVARIANT: what has an instruction file is no plain object, which a configuration might allow.
    raise MalformedEnvelopeError("the instruction file of the object has no whole envelope")


def _whole_extent(answer: Answer) -> Extent:
    if answer.head.content_range is not None:
        raise TruncatedObjectError("the answer has a Content-Range although the whole object was asked for")
    return check_answer(answer.head, None)
