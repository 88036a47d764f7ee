"""A multipart upload in the indexed layout: any parts in any order, each a run of its own, listed in an index.

Every upload call has nonces of its own, so nothing needs to be agreed on: which call counts is decided by the ETags
that `complete` lists.  Source: FORMAT.md, sections "Indexed layout" and "Upload state".
"""

from __future__ import annotations

import io
import threading
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from s3envelope.core.index import IndexRow, seal_index
from s3envelope.core.kdf import BodyKey
from s3envelope.core.layout import MAX_PART_NUMBER, MIN_PART_SIZE, Layout, Run, run_size
from s3envelope.core.ports import ByteSource, SystemPorts
from s3envelope.core.ranges import Extent
from s3envelope.core.segments import NONCE_SIZE, SEGMENT_SIZE
from s3envelope.core.upload_state import RecordedPart, UploadEnd, UploadState, seal_state, verify_state
from s3envelope.engine.one_pass import sealed_segments
from s3envelope.engine.sealing import Attempt, SealedRun
from s3envelope.engine.sources import PlaintextSource
from s3envelope.engine.streams import VerifiedStream
from s3envelope.errors import ConfigurationError, DecryptionError, UnsupportedOperationError

_MAX_CALLS = 2**20
_MAX_SEGMENTS = 2**32


class RejectedPartsError(Exception):
    """What S3 itself would answer to a list of parts; the code is the only argument. It never leaves this library."""


@dataclass(frozen=True, slots=True)
class Completion:
    """What `complete` has to send.

    Args:
        parts: (number, ETag) of the parts that are listed as they are.
        number: Of the part that carries the index.
        body: Of that part: the index alone, or behind the last part if that is small.
        etag: Of that part, if it was sent before.
    """

    parts: tuple[tuple[int, str], ...]
    number: int
    body: bytes
    etag: str | None


class IndexedUpload:
    """The state of one multipart upload in the indexed layout.

    Args:
        state: What is known so far; of a new upload, no parts.
        body_key: Owned by the upload from now on; `finish` wipes it.
        small_parts: Ciphertext of parts below 5 MiB, by number, each with its ETag.
    """

    def __init__(
        self,
        state: UploadState,
        body_key: BodyKey,
        ports: SystemPorts,
        *,
        small_parts: Mapping[int, tuple[str, bytes]] | None = None,
    ) -> None:
        self._begun = state
        self._end = state.end
        self._parts: list[RecordedPart] = []
        self._by_number: dict[int, list[RecordedPart]] = {}
        for part in state.parts:
            self._record(part)
        self._body_key = body_key
        self._ports = ports
        self._owner = ports.process_id()
        self._small = dict(small_parts or {})
        self._over = False
        self._call_count = self._segment_count = 0
        self._lock = threading.RLock()

    @property
    def state(self) -> UploadState:
        """The state as it is now."""
        with self._lock:
            return replace(self._begun, parts=tuple(self._parts), end=self._end)

    @property
    def small_parts(self) -> dict[int, tuple[str, bytes]]:
        """Ciphertext of the parts below 5 MiB, by number, each with its ETag."""
        with self._lock:
            return dict(self._small)

    def verified(self, text: bytes, tag: str) -> UploadState:
        """Return a stored state of this upload.

        Raises:
            DecryptionError, MalformedEnvelopeError: It is not one.
        """
        state = verify_state(self._body_key, text, tag)
        mine = (self._begun.bucket, self._begun.key, self._begun.upload_id, dict(self._begun.metadata))
        if (state.bucket, state.key, state.upload_id, dict(state.metadata)) != mine:
            raise DecryptionError("the upload state belongs to another upload")
        return state

    def sealed_state(self) -> tuple[bytes, str]:
        """Return the text of the state and its tag."""
        with self._lock:
            text = self.state.serialise()
            return text, seal_state(self._body_key, text, self._ports.random(NONCE_SIZE))

    def begin_part(self, number: int, source: PlaintextSource) -> SealedRun:
        """Return what to send for a call; each call has nonces of its own.

        Args:
            number: 1 to 10000.
            source: The plaintext of the part, of any size.

        Raises:
            ConfigurationError: The number is not legal.
            UnsupportedOperationError: The upload is completing or over.
        """
        with self._lock:
            self._check_part(number)
            attempt = Attempt(self._ports.random(NONCE_SIZE), source.size, ends_run=True)
            self._count(attempt.segment_count)
            return SealedRun(
                source, attempt, self._body_key, run=number, first_segment=0, process_id=self._ports.process_id
            )

    def begin_stream(self, number: int, stream: ByteSource) -> tuple[bytes, Iterator[bytes]]:
        """Return the nonce and the segments of a part that is read once, to be kept until it was sent; as `begin_part`.

        The segments are to be exhausted before anything else is done with the upload by this caller.
        """
        with self._lock:
            self._check_part(number)
            self._count(1)
            nonce_start = self._ports.random(NONCE_SIZE)
            return nonce_start, sealed_segments(stream, self._body_key, nonce_start, run=number)

    def part_succeeded(self, row: IndexRow, etag: str, small: bytes | None) -> None:
        """Record a call that succeeded.

        Args:
            row: What the index will say of it.
            etag: As S3 gave it.
            small: The ciphertext, if it is below 5 MiB: the index may have to follow it.

        Raises:
            DecryptionError: The server gave the ETag of an earlier call for this part, which had other nonces.
        """
        with self._lock:
            if self._over:
                return
            self._record(RecordedPart(row, etag))
            self._small.pop(row.part_number, None)
            if small is not None:
                self._small[row.part_number] = (etag, small)

    def adopt(self, state: UploadState, small_parts: Mapping[int, tuple[str, bytes]]) -> None:
        """Take over what was recorded of this upload elsewhere; the state was verified under this upload's key.

        Its order counts: what is known only here comes behind it.
        """
        with self._lock:
            theirs = set(state.parts)
            mine = [part for part in self._parts if part not in theirs]
            self._parts, self._by_number = [], {}
            for part in (*state.parts, *mine):
                self._record(part)
            for number, (etag, ciphertext) in small_parts.items():
                if number in self._by_number and _same_etag(self._by_number[number][-1].etag, etag):
                    self._small[number] = (etag, ciphertext)
            self._end = state.end or self._end

    def freeze(self, parts: Sequence[tuple[int, str]]) -> Completion:
        """Decide the parts of the object, before `complete` sends anything; repeat it with the same list only.

        Raises:
            RejectedPartsError: S3 would refuse the list, with this code.
            UnsupportedOperationError: Another list was decided, there is no number for the index, or the last part is
                small and its ciphertext is not here.
        """
        listed = tuple(parts)
        with self._lock:
            self._check_open()
            end = self._end
            if end is None:
                rows = self._check_list(listed)
                index = seal_index(self._body_key, rows, self._ports.random(NONCE_SIZE))
                # INVARIANT: one sealed index per upload: each is a valid end of the object.
                end = UploadEnd(listed, index, None)
                self._end = end
            elif end.parts != listed:
                raise UnsupportedOperationError(
                    "complete was called before with another list of parts; repeat that one"
                )
            return self._completion(end)

    def end_sent(self, etag: str) -> None:
        """Record the ETag of the part that carries the index."""
        with self._lock:
            if self._end is not None:
                self._end = replace(self._end, etag=etag)

    def finish(self) -> None:
        """Forget the key: the upload was completed or aborted."""
        with self._lock:
            self._over = True
            self._small.clear()
            self._body_key.wipe()

    def _completion(self, end: UploadEnd) -> Completion:
        number, etag = end.parts[-1]
        if self._is_small(number, etag):
            return Completion(end.parts[:-1], number, self._kept(number, etag) + end.index, end.etag)
        return Completion(end.parts, number + 1, end.index, end.etag)

    def _check_list(self, listed: tuple[tuple[int, str], ...]) -> list[IndexRow]:
        if not listed:
            raise RejectedPartsError("MalformedXML")
        numbers = [number for number, _ in listed]
        if numbers != sorted(set(numbers)):
            raise RejectedPartsError("InvalidPartOrder")
        rows = []
        for number, etag in listed:
            known = self._by_number.get(number, [])
            if not known or not _same_etag(known[-1].etag, etag):
                raise RejectedPartsError("InvalidPart")
            rows.append(known[-1].row)
        if any(run_size(row.plaintext_size) < MIN_PART_SIZE for row in rows[:-1]):
            raise RejectedPartsError("EntityTooSmall")
        last_number, last_etag = listed[-1]
        if self._is_small(last_number, last_etag):
            self._kept(last_number, last_etag)
        elif last_number == MAX_PART_NUMBER:
            raise UnsupportedOperationError(
                f"part {MAX_PART_NUMBER} has 5 MiB or more, so no number is left for the index; use larger parts"
            )
        return rows

    def _is_small(self, number: int, etag: str) -> bool:
        row = next(part.row for part in reversed(self._by_number[number]) if _same_etag(part.etag, etag))
        return run_size(row.plaintext_size) < MIN_PART_SIZE

    def _kept(self, number: int, etag: str) -> bytes:
        known_etag, ciphertext = self._small.get(number, ("", b""))
        # What was kept on disk may have been changed there; sent on, it would make an object that nobody can read.
        if not _same_etag(known_etag, etag) or not self._is_whole(number, etag, ciphertext):
            raise UnsupportedOperationError(
                f"the last part, number {number}, is below 5 MiB and its ciphertext is not here, or was changed; "
                f"upload part {number} again with this client, then complete with its new ETag"
            )
        return ciphertext

    def _is_whole(self, number: int, etag: str, ciphertext: bytes) -> bool:
        row = next(part.row for part in reversed(self._by_number[number]) if _same_etag(part.etag, etag))
        layout = Layout((Run(number, row.nonce_start, 0, row.plaintext_size, 0),), len(ciphertext), indexed=True)
        if len(ciphertext) != run_size(row.plaintext_size):
            return False
        stream = VerifiedStream(
            io.BytesIO(ciphertext),
            Extent(0, len(ciphertext), len(ciphertext)),
            layout.all_segments(),
            self._body_key,
            0,
            row.plaintext_size,
        )
        try:
            while stream.read(SEGMENT_SIZE):
                pass
        except DecryptionError:
            return False
        return True

    def _record(self, part: RecordedPart) -> None:
        known = self._by_number.setdefault(part.row.part_number, [])
        if any(_same_etag(other.etag, part.etag) and other.row != part.row for other in known):
            raise DecryptionError("the server gave one ETag to two uploads of a part; abort the upload")
        known.append(part)
        self._parts.append(part)

    def _check_part(self, number: int) -> None:
        self._check_open()
        if self._end is not None:
            raise UnsupportedOperationError("complete was called: the parts of the upload are decided")
        if not 1 <= number <= MAX_PART_NUMBER:
            raise ConfigurationError(f"PartNumber is {number}; use 1 to {MAX_PART_NUMBER}")

    def _check_open(self) -> None:
        if self._ports.process_id() != self._owner:
            raise UnsupportedOperationError("an upload that began before a fork cannot go on in the child process")
        if self._over:
            raise UnsupportedOperationError("the upload was completed or aborted")

    def _count(self, segments: int) -> None:
        self._call_count += 1
        self._segment_count += segments
        if self._call_count >= _MAX_CALLS or self._segment_count >= _MAX_SEGMENTS:
            raise UnsupportedOperationError("too many attempts for one upload; abort it and begin again")


def _same_etag(one: str, other: str) -> bool:
    return one.strip('"') == other.strip('"')
