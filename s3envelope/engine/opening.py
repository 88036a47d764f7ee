"""From an answer of S3 to verified plaintext: envelope, policy, keys, layout, ranges, the end of the object.

Source: FORMAT.md, section "Reading".
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from s3envelope.core.context import EncryptionContext
from s3envelope.core.envelope import Envelope, is_envelope_name, open_header
from s3envelope.core.index import INDEX_PROBE_SIZE, open_index, size_of_index_at_end
from s3envelope.core.kdf import BodyKey
from s3envelope.core.layout import Layout
from s3envelope.core.occurrences import ObjectName
from s3envelope.core.ports import ByteSource, MaterialsManager
from s3envelope.core.ranges import LAST_SEGMENT, AnswerHead, ByteRange, Extent, check_answer, normalised_etag
from s3envelope.core.secret import SecretBytes
from s3envelope.engine.sources import read_fully, skip
from s3envelope.engine.streams import VerifiedStream
from s3envelope.errors import (
    ContextMismatchError,
    IndexAuthenticationError,
    NameBindingError,
    NotEncryptedError,
    ObjectChangedError,
    TruncatedObjectError,
)

_SESSION_LIMIT = 65_536
_UNVERSIONED = "null"


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer of S3 to a GET, and how the object was asked for."""

    head: AnswerHead
    metadata: Mapping[str, str]
    body: ByteSource


@dataclass(frozen=True, slots=True)
class Condition:
    """What ties a request to one version of the object: at most one of ETag and version id is needed."""

    etag: str | None = None
    version_id: str | None = None

    def check(self, head: AnswerHead) -> None:
        """Raise `ObjectChangedError` if the answer is not about the version that was asked for.

        The server may ignore a condition; this library does not.
        """
        if self.etag not in (None, "*") and normalised_etag(self.etag or "") != normalised_etag(head.etag or ""):
            raise ObjectChangedError("the answer has another ETag than the one that was asked for")
        # A bucket that never had versions names none, and its objects are the version "null".
        if self.version_id is not None and (head.version_id or _UNVERSIONED) != self.version_id:
            raise ObjectChangedError("the answer is of another version of the object than the one that was asked for")


class Fetch(Protocol):
    """Sends one more GET for the same object, with the same arguments but for range and condition.

    Must return `None` for a 416. Any other failure is raised.
    """

    def __call__(self, wanted: ByteRange | None, condition: Condition, /) -> Answer | None: ...


@dataclass(frozen=True, slots=True)
class ReadPolicy:
    """What a reader demands before it uses a key.

    Args:
        expected: Entries that the stored encryption context must have, with these values.
        require_bound: Whether an object must be bound to its key name.
    """

    expected: EncryptionContext
    require_bound: bool

    def check(self, envelope: Envelope) -> None:
        """Raise `ContextMismatchError` or `NameBindingError` if the envelope does not meet the policy."""
        wrong = sorted(name for name, value in self.expected.items() if envelope.context.get(name) != value)
        if wrong:
            raise ContextMismatchError(
                f"the stored encryption context has not the expected value for {', '.join(wrong)}"
            )
        if self.require_bound and not envelope.header.bound:
            raise NameBindingError(
                "the object is not bound to its key name, but this client requires it; "
                "read it with bind_key_name=False if that is right"
            )


class ReadingSessions:
    """Remembers which upload each version was, so that one version cannot be two uploads.

    Args:
        limit: Entries to keep; the least recently used ones go first.
    """

    def __init__(self, limit: int = _SESSION_LIMIT) -> None:
        self._commitments: OrderedDict[tuple[str, ...], bytes] = OrderedDict()
        self._limit = limit
        self._lock = threading.Lock()

    def check(self, scope: tuple[str, ...], commitment: bytes) -> None:
        """Record the commitment of a header that has opened; raise `ObjectChangedError` if another was recorded."""
        with self._lock:
            known = self._commitments.setdefault(scope, commitment)
            self._commitments.move_to_end(scope)
            if len(self._commitments) > self._limit:
                self._commitments.popitem(last=False)
        if known != commitment:
            raise ObjectChangedError("the same version of the object was another upload when it was read before")


@dataclass(frozen=True, slots=True)
class OpenedObject:
    """A verified answer.

    Args:
        envelope: Of the object, authenticated.
        total: The plaintext size of the object in bytes. Proved in the indexed layout; in the plain layout a claim
            of the server until the end of the object was read.
        start, end: What `stream` gives, half-open.
        stream: `None` when nothing of the requested range exists, which was proved.
        answer: The answer whose body is read.
        answer_changed: Whether `answer` is another than the first one, whose body is then not used.
    """

    envelope: Envelope
    total: int
    start: int
    end: int
    stream: VerifiedStream | None
    answer: Answer
    answer_changed: bool


@dataclass(frozen=True, slots=True, repr=False)
class _Unlocked:
    envelope: Envelope
    body_key: BodyKey
    layout: Layout
    extent: Extent


class ObjectOpener:
    """Opens answers about one object.

    Args:
        scope: (endpoint, bucket, key), for the reading session.
        name: The object's key.
        fetch: For further requests: the index, the last segment, an exact range.
    """

    def __init__(
        self,
        materials: MaterialsManager,
        sessions: ReadingSessions,
        policy: ReadPolicy,
        *,
        scope: tuple[str, str, str],
        name: str,
        fetch: Fetch,
    ) -> None:
        self._materials = materials
        self._sessions = sessions
        self._policy = policy
        self._scope = scope
        self._name = name
        self._fetch = fetch

    def open(
        self, first: Answer | None, requested: ByteRange | None, condition: Condition | None = None
    ) -> OpenedObject:
        """Open an answer to `requested.to_ciphertext()`, or to a request for the whole object.

        Args:
            first: The answer; `None` for a 416, or if nothing was asked because the range is `bytes=-0`.
            requested: The plaintext range; `None` for the whole object.
            condition: What the caller's own request was tied to.

        Raises:
            EnvelopeError, DecryptionError, KeyringError: See `s3envelope.errors`. Nothing was released.
        """
        condition = condition or Condition()
        if first is None:
            return self._prove_nothing_there(requested, condition)
        wanted = None if requested is None else requested.to_ciphertext()
        unlocked = self._unlock(first, wanted, condition)
        total = unlocked.layout.plaintext_size
        start, end = (0, total) if requested is None else requested.resolve(total)
        if requested is not None and start >= total:
            if not unlocked.layout.indexed:
                self._stream(first, unlocked, total, total).prove()
            return OpenedObject(unlocked.envelope, total, total, total, None, first, answer_changed=False)
        answer = first
        if unlocked.layout.indexed and requested is not None:
            answer, unlocked = self._exact(unlocked, first, start, end)
        stream = self._stream(answer, unlocked, start, end, whole=requested is None)
        return OpenedObject(unlocked.envelope, total, start, end, stream, answer, answer is not first)

    def size(self, answer: Answer, condition: Condition | None = None) -> tuple[Envelope, int]:
        """Return the envelope and the plaintext size for an answer to HEAD.

        In the plain layout both are unverified claims and no key is needed; the index of the other layout is read
        and verified.
        """
        condition = condition or Condition()
        extent = _extent_of(answer, None)
        condition.check(answer.head)
        envelope = Envelope.parse(answer.metadata)
        if not envelope.header.indexed:
            return envelope, Layout.plain(extent.total).plaintext_size
        return envelope, self._unlock(answer, None, condition).layout.plaintext_size

    def _unlock(self, answer: Answer, wanted: ByteRange | None, condition: Condition) -> _Unlocked:
        """Check answer, policy, keys, session and layout, in this order; only then there is a key."""
        extent = _extent_of(answer, wanted)
        condition.check(answer.head)
        envelope = Envelope.parse(answer.metadata)
        self._policy.check(envelope)

        def attempt(data_key: SecretBytes) -> tuple[SecretBytes, BodyKey]:
            return open_header(data_key, envelope.header, envelope.context, self._name)

        object_key, body_key = self._materials.open_with_data_key(
            envelope.encrypted_data_keys, envelope.context, attempt, about=ObjectName(*self._scope[1:])
        )
        object_key.wipe()
        self._sessions.check((*self._scope, *version_of(answer.head)), body_key.commitment)
        if envelope.header.indexed:
            layout = self._read_index(body_key, answer.head, extent.total)
        else:
            layout = Layout.plain(extent.total)
        return _Unlocked(envelope, body_key, layout, extent)

    def _read_index(self, body_key: BodyKey, head: AnswerHead, total: int) -> Layout:
        tail = self._tail(head, total, INDEX_PROBE_SIZE)
        size = size_of_index_at_end(tail, total)
        if size > len(tail):
            tail = self._tail(head, total, size)
            if size_of_index_at_end(tail, total) != size:
                raise IndexAuthenticationError("the index of parts changed between two requests")
        return open_index(body_key, tail[-size:], total)

    def _tail(self, head: AnswerHead, total: int, size: int) -> bytes:
        wanted = ByteRange.suffix(size)
        condition = same_version(head)
        answer = self._fetch(wanted, condition)
        if answer is None:
            raise TruncatedObjectError("the server has no bytes where the index of the object must be")
        extent = check_answer(answer.head, wanted)
        condition.check(answer.head)
        if extent.total != total:
            raise ObjectChangedError("the length of the object changed between two requests")
        # A server may ignore the range and answer with the whole object.
        skip(answer.body, max(0, total - size) - extent.start)
        tail = read_fully(answer.body, min(size, total))
        if len(tail) != min(size, total):
            raise TruncatedObjectError("the end of the object is shorter than the answer says")
        return tail

    def _exact(self, unlocked: _Unlocked, first: Answer, start: int, end: int) -> tuple[Answer, _Unlocked]:
        """Ask again for a range of an indexed object, now that its layout is known."""
        ciphertext_start, ciphertext_end = unlocked.layout.span(start, end)
        wanted = ByteRange(ciphertext_start, ciphertext_end - 1)
        condition = same_version(first.head)
        answer = self._fetch(wanted, condition)
        if answer is None:
            raise TruncatedObjectError("the server says that a range which the index proves does not exist")
        extent = check_answer(answer.head, wanted)
        condition.check(answer.head)
        if extent.total != unlocked.extent.total:
            raise ObjectChangedError("the length of the object changed between two requests")
        return answer, _Unlocked(unlocked.envelope, unlocked.body_key, unlocked.layout, extent)

    def _stream(
        self, answer: Answer, unlocked: _Unlocked, start: int, end: int, *, whole: bool = False
    ) -> VerifiedStream:
        layout = unlocked.layout
        segments = layout.all_segments() if whole else layout.segments(start, end)
        stream = VerifiedStream(answer.body, unlocked.extent, segments, unlocked.body_key, start, end)
        unlocked.body_key.wipe()
        return stream

    def _prove_nothing_there(self, requested: ByteRange | None, condition: Condition) -> OpenedObject:
        """Answer a 416 of the server, or `bytes=-0`: the end of the object says whether it is honest."""
        tail = self._fetch(LAST_SEGMENT, condition)
        if tail is None:
            raise NotEncryptedError(
                "the object is empty; an object of s3envelope never is, so it was not written by s3envelope. "
                'To read unencrypted objects as well, configure unencrypted="allow"'
            )
        unlocked = self._unlock(tail, LAST_SEGMENT, condition)
        total = unlocked.layout.plaintext_size
        if not unlocked.layout.indexed:
            self._stream(tail, unlocked, total, total).prove()
        if requested is None or requested.resolve(total)[0] < total:
            # An honest server says so of an object that was replaced by a longer one before its end was read.
            raise TruncatedObjectError(
                "the server says that a range does not exist which the object has. If it is being replaced, read again"
            )
        return OpenedObject(unlocked.envelope, total, total, total, None, tail, answer_changed=True)


def _extent_of(answer: Answer, wanted: ByteRange | None) -> Extent:
    """Return what `check_answer` does; of an answer that breaks its rules, say first if the object is none of ours.

    An empty object of somebody else, such as a folder marker, is not a cut object of ours. Nor is an answer of a stub.
    """
    try:
        return check_answer(answer.head, wanted)
    except (TruncatedObjectError, ObjectChangedError):
        if not any(is_envelope_name(name) for name in answer.metadata):
            Envelope.parse(answer.metadata)
        raise


def version_of(head: AnswerHead) -> tuple[str, str]:
    """Return what names the version of an answer. The version "null" is overwritten in place: its ETag names it."""
    if head.version_id not in (None, _UNVERSIONED):
        return "version", head.version_id or ""
    return "etag", normalised_etag(head.etag or "")


def same_version(head: AnswerHead) -> Condition:
    """Return the condition that ties a further request to the version of an answer."""
    if head.version_id not in (None, _UNVERSIONED):
        return Condition(version_id=head.version_id)
    return Condition(etag=head.etag)
