"""rotate_on_read: an object that only a retired key opens is rewrapped in the background after it was read.

Reading never waits for it and never fails by it. A rewrap replaces an object in one step, or not at all, so that a
process may end at any time.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from s3envelope.core.envelope import Envelope
from s3envelope.core.hints import key_hint
from s3envelope.core.ports import Keyring, ProcessId, RemoteKeyring, SystemPorts
from s3envelope.errors import NotEncryptedError, ObjectChangedError, S3EnvelopeError
from s3envelope.keyrings.succession import SuccessionKeyring
from s3envelope.s3.rewrap import RewrapRequest, rewrap

if TYPE_CHECKING:
    from s3envelope.s3.seam import Seam

_log = logging.getLogger("s3envelope.rotation")
_MOST_PENDING = 64
_MOST_REMEMBERED = 65_536
_PAUSE_SECONDS = 60.0
_EXIT_SECONDS = 10.0
_LOCK_SECONDS = 0.05
_ALIAS = "alias/"
_CARRIED = ("RequestPayer", "ExpectedBucketOwner")
# A read of one version says nothing of the current one; and a key of the caller's is not kept beyond the call.
_UNSUITABLE = ("VersionId", "SSECustomerKey")
_GONE = frozenset({"404", "NoSuchKey"})
_LOCKS = ("ObjectLockMode", "ObjectLockLegalHoldStatus")
Hints = frozenset[bytes]


@dataclass(frozen=True, slots=True)
class Candidate:
    """An object that was read, and what was said with it."""

    bucket: str
    key: str
    carried: tuple[tuple[str, str], ...] = ()

    @property
    def name(self) -> tuple[str, str]:
        return self.bucket, self.key


@dataclass(slots=True)
class _State:
    """What belongs to one process."""

    process: int
    lock: threading.Lock = field(default_factory=threading.Lock)
    pending: deque[Candidate] = field(default_factory=deque)
    tried: OrderedDict[tuple[str, str], float] = field(default_factory=OrderedDict)
    noticed: OrderedDict[tuple[str, str], Candidate] = field(default_factory=OrderedDict)
    thread: threading.Thread | None = None
    is_closed: bool = False
    paused_until: float | None = None


class ReadRotation:
    """Rewraps what was read under a retired key, one object at a time.

    There is a thread only while there is something to do. A full queue, an object that was tried within the interval,
    or a failure less than a minute ago: then nothing is done until it is read again.

    Args:
        client: Weakly: while nobody uses it, nothing is rewrapped.
        keyring: Tells which keys are retired.
        interval_seconds: Each object is tried at most once in it.
        ports: Clock and process of this machine.
    """

    def __init__(
        self, client: weakref.ref[Any], keyring: SuccessionKeyring, interval_seconds: float, ports: SystemPorts
    ) -> None:
        self._client = client
        self._keyring = keyring
        self._interval_seconds = interval_seconds
        self._ports = ports
        self._hints: tuple[Hints, Hints] | None = None
        self._state = _State(ports.process_id())
        # A process that ends lets the running one come to its end, for a while.
        weakref.finalize(self, _finish, self._state, ports.process_id, _EXIT_SECONDS)

    def candidate(self, parameters: Mapping[str, Any], envelope: Envelope) -> Candidate | None:
        """Return what a read object is offered as; `None` if it needs nothing, as far as can be told now."""
        if any(name in parameters for name in _UNSUITABLE) or not self._may_need(envelope):
            return None
        carried = tuple((name, parameters[name]) for name in _CARRIED if name in parameters)
        return Candidate(parameters["Bucket"], parameters["Key"], carried)

    def notice(self, candidate: Candidate) -> None:
        """Remember an object of which a part was read: it is offered when its download is complete."""
        state = self._current()
        if not state.lock.acquire(timeout=_LOCK_SECONDS):
            return
        try:
            _put(state.noticed, candidate.name, candidate)
        finally:
            state.lock.release()

    def offer_noticed(self, bucket: str, key: str) -> None:
        """Offer an object whose download is complete, if it was noticed."""
        candidate = self._current().noticed.pop((bucket, key), None)
        if candidate is not None:
            self.offer(candidate)

    def offer(self, candidate: Candidate) -> None:
        """Schedule a rewrap; return at once."""
        state = self._current()
        # Bodies are also closed while garbage is collected, perhaps in the midst of this very method.
        if not state.lock.acquire(timeout=_LOCK_SECONDS):
            return
        try:
            self._schedule(state, candidate)
        finally:
            state.lock.release()

    def close(self) -> None:
        """Forget what is scheduled, and wait for the running rewrap."""
        _finish(self._current(), self._ports.process_id, None)

    def _current(self) -> _State:
        # In a forked child nobody holds, or will ever release, what was held in the parent, and there is no thread.
        if self._state.process != self._ports.process_id():
            self._state = _State(self._ports.process_id())
        return self._state

    def _schedule(self, state: _State, candidate: Candidate) -> None:
        now = self._ports.clock()
        last = state.tried.get(candidate.name)
        is_paused = state.paused_until is not None and now < state.paused_until
        if state.is_closed or is_paused or (last is not None and now - last < self._interval_seconds):
            return
        if len(state.pending) >= _MOST_PENDING:
            _log.info("rotate_on_read has enough to do; %r waits until it is read again", _shown(candidate))
            return
        if state.thread is None:
            thread = threading.Thread(target=self._work, args=(state,), name="s3envelope-rotate-on-read", daemon=True)
            try:
                thread.start()
            except RuntimeError:
                # The interpreter is going down.
                return
            state.thread = thread
        _put(state.tried, candidate.name, now)
        state.pending.append(candidate)

    def _work(self, state: _State) -> None:
        try:
            while (candidate := self._next(state)) is not None:
                client = self._client()
                if client is None:
                    return
                self._attempt(client._s3envelope, state, candidate)
                # Not kept alive while the next one is waited for.
                del client
        finally:
            with state.lock:
                # Another one may have been started since this one found nothing more to do.
                if state.thread is threading.current_thread():
                    state.thread = None

    def _next(self, state: _State) -> Candidate | None:
        with state.lock:
            if state.is_closed or not state.pending:
                state.thread = None
                return None
            return state.pending.popleft()

    def _attempt(self, seam: Seam, state: _State, candidate: Candidate) -> None:
        try:
            is_done = self._rotate(seam, candidate)
        except ObjectChangedError:
            _log.info("rotate_on_read: %r was overwritten meanwhile; the newer object stays", _shown(candidate))
        except (S3EnvelopeError, ClientError, BotoCoreError) as error:
            code = error.response.get("Error", {}).get("Code") if isinstance(error, ClientError) else None
            if code in _GONE:
                return
            # INVARIANT: what went wrong is told by its kind; messages of others may hold what they were sent.
            reason = code or type(error).__name__
            _log.warning("rotate_on_read: %r keeps its retired key: %s", _shown(candidate), reason)
            with state.lock:
                for waiting in state.pending:
                    state.tried.pop(waiting.name, None)
                state.pending.clear()
                state.paused_until = self._ports.clock() + _PAUSE_SECONDS
        else:
            if is_done:
                _log.info("rotate_on_read: %r has the current key now", _shown(candidate))

    def _rotate(self, seam: Seam, candidate: Candidate) -> bool:
        self._hints = _all_hints(self._keyring.current), _all_hints(*self._keyring.retired)
        carried = dict(candidate.carried)
        head = seam.inner("HeadObject", {"Bucket": candidate.bucket, "Key": candidate.key, **carried})
        try:
            envelope = Envelope.parse(head.get("Metadata") or {})
        except NotEncryptedError:
            return False
        if not self._may_need(envelope):
            return False
        # The copy is tied to the ETag that rewrap finds: an object that is overwritten meanwhile stays the newer one.
        rewrap(
            seam,
            RewrapRequest(
                bucket=candidate.bucket,
                key=candidate.key,
                version_id=None,
                to=None,
                encryption_context=None,
                share_key=False,
                adopt=False,
                commitment=None,
                bound_name=None,
                edk_only=False,
                copy_acl=False,
                copy_object_lock=any(head.get(name) for name in _LOCKS),
                request=carried,
            ),
        )
        return True

    def _may_need(self, envelope: Envelope) -> bool:
        """Tell whether a retired key opens an object and no current one does; yes, while that is not known."""
        if self._hints is None:
            return True
        hints = {key.hint for key in envelope.encrypted_data_keys}
        current, retired = self._hints
        return not hints & current and bool(hints & retired)


def _all_hints(*keyrings: Keyring) -> Hints:
    """Return the hints of keyrings; asks for the keys behind aliases that are not known yet."""
    found: set[bytes] = set()
    for keyring in keyrings:
        inner = getattr(keyring, "keyrings", None)
        if inner is not None:
            found |= _all_hints(*inner)
            continue
        names: Iterable[str] = keyring.key_ids
        if isinstance(keyring, RemoteKeyring):
            for alias in keyring.unresolved_aliases():
                keyring.resolve_alias(alias)
            names = (*names, *keyring.key_arns)
        found |= {key_hint(name) for name in names if _ALIAS not in name}
    return frozenset(found)


def _put(entries: OrderedDict[tuple[str, str], Any], name: tuple[str, str], value: Any) -> None:
    entries[name] = value
    entries.move_to_end(name)
    if len(entries) > _MOST_REMEMBERED:
        entries.popitem(last=False)


def _shown(candidate: Candidate) -> str:
    return f"s3://{candidate.bucket}/{candidate.key}"


def _finish(state: _State, process_id: ProcessId, timeout_seconds: float | None) -> None:
    if state.process != process_id():
        # A forked child: its parent's lock may never be released here.
        return
    with state.lock:
        state.is_closed = True
        state.pending.clear()
        thread = state.thread
    if thread is not None and thread is not threading.current_thread():
        thread.join(timeout_seconds)
