"""Rotation of many objects by any executor.

Nothing but the objects themselves says what is done: a run that was killed is begun again, and what was done is kept.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from dataclasses import dataclass
from typing import Any, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

from s3envelope.core.envelope import Envelope
from s3envelope.core.ports import Keyring
from s3envelope.errors import (
    NotEncryptedError,
    ObjectChangedError,
    RotationError,
    S3EnvelopeError,
    UnsupportedFormatError,
)
from s3envelope.rotation.plan import Action, Goal, Plan
from s3envelope.rotation.reencrypt import is_temporary, reencrypt_object
from s3envelope.s3.replacing import stored_head

_Result = TypeVar("_Result")
_TRIES = 5
_IN_FLIGHT_PER_WORKER = 4
_GONE = frozenset({"404", "NoSuchKey", "NoSuchVersion"})
LEFT = ("planned", "refused", "old_version", "failed")
RESULTS = ("done", "kept", *LEFT)


@dataclass(frozen=True, slots=True)
class Location:
    """One object; with a version id a version of it that may be an old one."""

    bucket: str
    key: str
    version_id: str | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one object.

    Args:
        result: "done", "kept", "planned" (a dry run), "refused", "old_version" (it still needs a key to replace, and
            cannot be changed) or "failed".
        reason: Why, in words.
        error: The class of the error, or "".
        key_hints: As they are now.
        plan: "keep", "rewrap", "re-encrypt", "refuse"; "" if it did not come to a plan.
        version_id: Of an old version.
        left_behind: What became of the version that was current before, if that is asked for.
    """

    bucket: str
    key: str
    result: str
    reason: str
    error: str = ""
    key_hints: tuple[str, ...] = ()
    plan: str = ""
    version_id: str | None = None
    left_behind: Outcome | None = None

    @property
    def is_left(self) -> bool:
        """Whether the object is not as it should be."""
        return self.result in LEFT

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        fields = dataclasses.asdict(dataclasses.replace(self, left_behind=None))
        del fields["left_behind"]
        return {**fields, "key_hints": list(self.key_hints)}


@dataclass(frozen=True, slots=True)
class Job:
    """What is done with each object.

    Args:
        goal: How it is to be.
        to: What wraps new data keys.
        edk_only: See `client.rewrap_object`.
        dry_run: Only say what would be done.
        versions: Also tell of the version that a new envelope puts behind it.
        writer: The client that writes objects of other formats anew; `None`: there is none.
    """

    goal: Goal
    to: Keyring
    edk_only: bool = False
    dry_run: bool = False
    versions: bool = False
    writer: Any = None


@dataclass(frozen=True, slots=True)
class _Found:
    """What HEAD says of an object, and what is to be done with it."""

    where: Location
    head: Mapping[str, Any]
    envelope: Envelope | None
    plan: Plan

    @property
    def key_hints(self) -> tuple[str, ...]:
        return _hints(self.envelope)

    def outcome(self, result: str, **fields: Any) -> Outcome:
        given = {"key_hints": self.key_hints, "reason": self.plan.reason, **fields}
        where = self.where
        return Outcome(
            where.bucket, where.key, result, plan=self.plan.action.value, version_id=where.version_id, **given
        )


def rotate_object(client: Any, job: Job, where: Location) -> Outcome:
    """Bring one object to the goal; an overwritten one is looked at again.

    An old version is only looked at: it cannot be changed, only be put in front of the current one.
    """

    def outcome(result: str, reason: object, error: str = "") -> Outcome:
        return Outcome(where.bucket, where.key, result, str(reason), error, version_id=where.version_id)

    if is_temporary(where.key):
        return outcome("kept", "a temporary object of a replacement; if none is going on, delete it")
    for _ in range(_TRIES):
        try:
            return _attempt(client, job, where)
        except ObjectChangedError as error:
            failure: Exception = error
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in _GONE:
                return outcome("kept", "it was deleted meanwhile")
            return outcome("failed", error, code or type(error).__name__)
        except (S3EnvelopeError, BotoCoreError) as error:
            return outcome("failed", error, type(error).__name__)
    return outcome("failed", failure, type(failure).__name__)


def _attempt(client: Any, job: Job, where: Location) -> Outcome:
    if where.version_id is not None:
        old = _look(client, job.goal, where)
        if old.plan.action is Action.KEEP:
            return old.outcome("kept")
        if not _is_current(client, where):
            return old.outcome("old_version")
    try:
        found = _look(client, job.goal, Location(where.bucket, where.key))
    except (NotEncryptedError, UnsupportedFormatError) as error:
        refusal = Action.REFUSE.value
        return Outcome(where.bucket, where.key, "refused", str(error), type(error).__name__, plan=refusal)
    action = found.plan.action
    if action is Action.KEEP:
        return found.outcome("kept")
    if action is Action.REFUSE:
        return found.outcome("refused", error=UnsupportedFormatError.__name__)
    if job.dry_run:
        return found.outcome("planned")
    written, version_id = _reencrypt(client, job, found) if action is Action.REENCRYPT else _rewrap(client, job, found)
    return found.outcome("done", key_hints=written, left_behind=_left_behind(job, found, version_id))


def _look(client: Any, goal: Goal, where: Location) -> _Found:
    """Raise `NotEncryptedError` for an object that nothing is planned for."""
    version = {} if where.version_id is None else {"VersionId": where.version_id}
    head = stored_head(client, Bucket=where.bucket, Key=where.key, **version)
    metadata = head.get("Metadata") or {}
    foreign = goal.plan_foreign(metadata)
    try:
        envelope = Envelope.parse(metadata)
    except NotEncryptedError:
        if where.version_id is not None:
            return _Found(where, head, None, _plan_of_foreign_version(foreign))
        if foreign is None:
            raise
        return _Found(where, head, None, foreign)
    hints = frozenset(_hints(envelope))
    if where.version_id is not None:
        return _Found(where, head, envelope, goal.plan_old_version(hints))
    return _Found(where, head, envelope, goal.plan(hints, envelope.context, bound=envelope.header.bound))


def _plan_of_foreign_version(foreign: Plan | None) -> Plan:
    if foreign is None:
        return Plan(Action.KEEP, "an old version that is not encrypted")
    # Its metadata does not tell which key it needs.
    return Plan(Action.REFUSE, "an old version of an Amazon S3 Encryption Client, whose key is not known")


def _is_current(client: Any, where: Location) -> bool:
    try:
        head = stored_head(client, Bucket=where.bucket, Key=where.key)
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in _GONE:
            return False
        raise
    return bool(head.get("VersionId", "null") == where.version_id)


def _rewrap(client: Any, job: Job, found: _Found) -> tuple[tuple[str, ...], str | None]:
    names = {"Bucket": found.where.bucket, "Key": found.where.key}
    if job.edk_only:
        written = client.rewrap_object(**names, to=job.to, edk_only=True)
    else:
        stored = {} if found.envelope is None else found.envelope.context
        context = {**stored, **job.goal.context}
        written = client.rewrap_object(**names, to=job.to, encryption_context=context, adopt=job.goal.bind)
    return written.key_hints, written.version_id


def _reencrypt(client: Any, job: Job, found: _Found) -> tuple[tuple[str, ...], str | None]:
    if job.writer is None:
        raise RotationError("there is no client that writes objects anew")
    reencrypt_object(client, job.writer, found.where.bucket, found.where.key)
    head = stored_head(client, Bucket=found.where.bucket, Key=found.where.key)
    return _hints(Envelope.parse(head.get("Metadata") or {})), head.get("VersionId")


def _left_behind(job: Job, found: _Found, version_id: str | None) -> Outcome | None:
    """Return the outcome of the version that was current, if it is there still."""
    before = found.head.get("VersionId")
    if not job.versions or before is None or before == version_id:
        return None
    if found.envelope is None:
        plan = _plan_of_foreign_version(found.plan)
    else:
        plan = job.goal.plan_old_version(frozenset(found.key_hints))
    old = dataclasses.replace(found, where=dataclasses.replace(found.where, version_id=before), plan=plan)
    return old.outcome("kept" if plan.action is Action.KEEP else "old_version")


def _hints(envelope: Envelope | None) -> tuple[str, ...]:
    return () if envelope is None else tuple(key.hint.hex() for key in envelope.encrypted_data_keys)


def rotate(
    locations: Iterable[Location], work: Callable[[Location], Outcome], executor: Executor, workers: int
) -> Iterator[Outcome]:
    """Yield the outcome of each object, as it comes, and that of the version it left behind.

    Args:
        work: `rotate_object` for a client and a job; for executors of other processes it must be picklable.
    """
    for where, future in in_flight(locations, work, executor, workers):
        error = future.exception()
        if error is None:
            outcome = future.result()
            yield outcome
            if outcome.left_behind is not None:
                yield outcome.left_behind
        elif isinstance(error, Exception):
            # A worker that died, or an error of the executor itself: the object is as it was, or done.
            yield Outcome(
                where.bucket, where.key, "failed", str(error), type(error).__name__, version_id=where.version_id
            )
        else:
            raise error


def in_flight(
    locations: Iterable[Location], work: Callable[[Location], _Result], executor: Executor, workers: int
) -> Iterator[tuple[Location, Future[_Result]]]:
    """Yield each object with its finished work, as it comes; only a few are in flight, however many there are."""
    limit = workers * _IN_FLIGHT_PER_WORKER
    running: dict[Future[_Result], Location] = {}
    for where in locations:
        running[executor.submit(work, where)] = where
        if len(running) >= limit:
            yield from _finished(running)
    while running:
        yield from _finished(running)


def _finished(running: dict[Future[_Result], Location]) -> Iterator[tuple[Location, Future[_Result]]]:
    done, _ = wait(running, return_when=FIRST_COMPLETED)
    for future in done:
        yield running.pop(future), future


def list_locations(client: Any, bucket: str, prefix: str) -> Iterator[Location]:
    """Yield every object under a prefix."""
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        for entry in page.get("Contents", []):
            yield Location(bucket, entry["Key"])


def list_versions(client: Any, bucket: str, prefix: str) -> Iterator[Location]:
    """Yield every object under a prefix, and every old version with its id; delete markers are none."""
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket, Prefix=prefix):
        for entry in page.get("Versions", []):
            yield Location(bucket, entry["Key"], None if entry["IsLatest"] else entry["VersionId"])
