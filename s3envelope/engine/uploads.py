"""A multipart upload in the plain layout: its parts are slices of one run, written once, completed whole.

The rules count attempts, not successes: the server has the bytes of a call that failed. They are the only rules whose
breach a reader could not see, since a genuine early end is a genuine end.  Source: FORMAT.md, section "Plain layout".
"""

from __future__ import annotations

import enum
import threading
from collections.abc import Sequence
from dataclasses import dataclass

from s3envelope.core.kdf import BodyKey
from s3envelope.core.layout import MAX_PART_NUMBER
from s3envelope.core.ports import SystemPorts
from s3envelope.core.segments import NONCE_SIZE, SEGMENT_SIZE
from s3envelope.engine.sealing import Attempt, SealedRun
from s3envelope.engine.sources import BufferSource, PlaintextSource
from s3envelope.errors import ConfigurationError, SourceChangedError, UnsupportedOperationError

_MAX_CALLS = 2**20
_MAX_SEGMENTS = 2**32


class _Progress(enum.Enum):
    IN_FLIGHT = enum.auto()
    FAILED = enum.auto()
    SUCCEEDED = enum.auto()


@dataclass(slots=True)
class _Part:
    attempt: Attempt
    progress: _Progress
    etag: str | None = None


class PlainUpload:
    """The state of one plain multipart upload. It lives in one process and one client.

    Args:
        body_key: Owned by the upload from now on; `finish` wipes it.
        part_size: Plaintext bytes of every part but the last, a multiple of 65536.
        plaintext_size: Of the whole object if it is known; the last part then carries the end of the run.
    """

    def __init__(
        self, body_key: BodyKey, part_size: int, ports: SystemPorts, *, plaintext_size: int | None = None
    ) -> None:
        self._body_key = body_key
        self._part_size = part_size
        self._ports = ports
        self._owner = ports.process_id()
        self._last_number = None if plaintext_size is None else max(1, -(-plaintext_size // part_size))
        self._parts: dict[int, _Part] = {}
        # The largest number of all parts, and that of the part that ends the run: behind it there is none.
        self._highest = 0
        self._ending: int | None = None
        self._end: tuple[tuple[int, str], ...] | None = None
        self._end_attempt: Attempt | None = None
        self._over = False
        self._call_count = self._segment_count = 0
        self._lock = threading.RLock()

    @property
    def part_size(self) -> int:
        """In plaintext bytes."""
        return self._part_size

    def begin_part(self, number: int, source: PlaintextSource) -> SealedRun:
        """Register a call for a part and return what to send; `part_succeeded` or `part_failed` must follow.

        Args:
            number: 1 to 10000.
            source: The plaintext of the part.

        Raises:
            ConfigurationError: The part has a size or a number that this upload cannot have.
            UnsupportedOperationError: The part was sent already, is in flight, or lies behind the end.
            SourceChangedError: A call for this part failed before, and had other content.
        """
        with self._lock:
            self._check_open()
            ends = self._ends(number, source.size)
            part = self._parts.get(number)
            self._check_order(number, ends, source.size, part)
            if part is None:
                # INVARIANT: registered before anything is produced.
                attempt = Attempt(self._ports.random(NONCE_SIZE), source.size, ends_run=ends)
                part = self._parts[number] = _Part(attempt, _Progress.FAILED)
                self._highest = max(self._highest, number)
                self._ending = number if ends else self._ending
            self._count(part.attempt.segment_count)
            run = self._run(source, part.attempt, number)
            part.progress = _Progress.IN_FLIGHT
            return run

    def part_succeeded(self, number: int, etag: str) -> None:
        """Record the ETag that S3 gave to a part."""
        with self._lock:
            self._parts[number].progress = _Progress.SUCCEEDED
            self._parts[number].etag = etag

    def part_failed(self, number: int) -> None:
        """Record that a call for a part failed; the server may have its bytes all the same."""
        with self._lock:
            self._parts[number].progress = _Progress.FAILED

    def freeze(self, parts: Sequence[tuple[int, str]]) -> tuple[int, SealedRun] | None:
        """Decide the end of the upload, before `complete` sends anything.

        Args:
            parts: (number, ETag), as the caller passes them to S3.

        Returns:
            One more part to send and to list, if the end of the run is not in the parts yet: 28 bytes.

        Raises:
            UnsupportedOperationError: These are not all the parts, or one is missing, failed or in flight.
        """
        listed = tuple((number, etag.strip('"')) for number, etag in parts)
        with self._lock:
            self._check_process()
            if self._over:
                raise UnsupportedOperationError("the upload was completed or aborted")
            if self._end is None:
                self._check_complete(listed)
                self._end = listed
            elif self._end != listed:
                raise UnsupportedOperationError(
                    "complete was called before with another list of parts; repeat that one"
                )
            if self._parts[len(listed)].attempt.ends_run:
                return None
            if self._end_attempt is None:
                self._end_attempt = Attempt(self._ports.random(NONCE_SIZE), 0, ends_run=True)
            number = len(listed) + 1
            return number, self._run(BufferSource(b""), self._end_attempt, number)

    def finish(self) -> None:
        """Forget the key: the upload was completed or aborted."""
        with self._lock:
            self._over = True
            self._body_key.wipe()

    def _run(self, source: PlaintextSource, attempt: Attempt, number: int) -> SealedRun:
        first_segment = (number - 1) * (self._part_size // SEGMENT_SIZE)
        return SealedRun(
            source,
            attempt,
            self._body_key,
            run=0,
            first_segment=first_segment,
            process_id=self._ports.process_id,
        )

    def _ends(self, number: int, size: int) -> bool:
        if not 1 <= number <= MAX_PART_NUMBER:
            raise ConfigurationError(f"PartNumber is {number}; use 1 to {MAX_PART_NUMBER}")
        if size > self._part_size:
            raise ConfigurationError(
                f"part {number} has {size} bytes, but this upload was created for parts of {self._part_size}"
            )
        return size < self._part_size or number == MAX_PART_NUMBER or number == self._last_number

    def _check_process(self) -> None:
        if self._ports.process_id() != self._owner:
            raise UnsupportedOperationError("an upload that began before a fork cannot go on in the child process")

    def _check_open(self) -> None:
        self._check_process()
        if self._over or self._end is not None:
            raise UnsupportedOperationError("the upload is completing, completed or aborted; no part can be added")

    def _check_order(self, number: int, ends: bool, size: int, part: _Part | None) -> None:
        if part is not None and part.progress is not _Progress.FAILED:
            raise UnsupportedOperationError(
                f"part {number} is in flight or was uploaded; a part of an upload with PartSize is written once. "
                "Create the upload without PartSize, or abort it and begin again"
            )
        if part is not None and (part.attempt.ends_run, part.attempt.plaintext_size) != (ends, size):
            raise SourceChangedError(
                f"part {number} has another size than in an earlier call, which failed but may have been stored; "
                "upload the same bytes again, or abort"
            )
        is_behind_end = self._ending is not None and self._ending < number
        if is_behind_end or (ends and number < self._highest):
            raise UnsupportedOperationError(
                f"part {number} of {self._part_size}-byte parts cannot be where it is: a shorter part is the last one"
            )

    def _check_complete(self, listed: tuple[tuple[int, str], ...]) -> None:
        known = [
            (number, (part.etag or "").strip('"'))
            for number, part in sorted(self._parts.items())
            if part.progress is _Progress.SUCCEEDED
        ]
        whole = len(known) == len(self._parts) and [number for number, _ in known] == list(range(1, len(known) + 1))
        if not listed or not whole or listed != tuple(known):
            raise UnsupportedOperationError(
                "an upload with PartSize completes with all of its parts, numbered 1 to N, or is aborted; "
                "the list of parts is another one, or a part failed or is in flight"
            )

    def _count(self, segments: int) -> None:
        self._call_count += 1
        self._segment_count += segments
        if self._call_count >= _MAX_CALLS or self._segment_count >= _MAX_SEGMENTS:
            raise UnsupportedOperationError("too many attempts for one upload; abort it and begin again")
