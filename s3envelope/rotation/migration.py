"""Migration: what Amazon's S3 encryption clients wrote, and on request what nobody encrypted, becomes SE1.

Nothing but the objects themselves says what is done: a run that was killed is begun again, and what was done is kept.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from enum import Enum
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from s3envelope.core.envelope import Envelope, is_envelope_name
from s3envelope.errors import NotEncryptedError, ObjectChangedError, S3EnvelopeError, UnsupportedFormatError
from s3envelope.formats.s3ec.metadata import (
    KEY_V1,
    KEY_V2,
    KEY_V3,
    MAX_INSTRUCTION_FILE_SIZE,
    is_reserved_name,
    is_s3ec_metadata,
)
from s3envelope.rotation.reencrypt import is_temporary, remove_temporary, replace_object
from s3envelope.rotation.run import Location, Outcome, list_locations
from s3envelope.s3.replacing import stored_body, stored_head

RESULTS = ("done", "kept", "removed", "planned", "refused", "failed")
_TRIES = 5
_PIECE_SIZE = 1 << 20
_LONGEST_KEY = 1024
_GONE = frozenset({"404", "NoSuchKey", "NoSuchVersion"})
_CHANGED = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})
_WITHOUT_UPLOADS = frozenset({"NotImplemented", "MethodNotAllowed"})
_KEYS_OF_FILES = frozenset({KEY_V1, KEY_V2, KEY_V3})


@dataclass(frozen=True, slots=True)
class Migration:
    """What is done with each object.

    Args:
        instruction_suffix: What the key of an instruction file has behind that of its object.
        plaintext: Whether objects that are not encrypted are sealed; else they are refused.
        delete_instruction_files: Whether those are deleted whose object is SE1 and reads back.
        dry_run: Only say what would be done.
    """

    instruction_suffix: str = ".instruction"
    plaintext: bool = False
    delete_instruction_files: bool = False
    dry_run: bool = False


class _Kind(Enum):
    """What an object is; the value is for the report."""

    SE1 = "it is SE1"
    AMAZON = "an object of an Amazon S3 Encryption Client"
    INSTRUCTION_FILE = "an instruction file"
    PLAIN = "not encrypted"


@dataclass(frozen=True, slots=True)
class _Found:
    """An object, as HEAD shows it."""

    where: Location
    head: Mapping[str, Any]
    kind: _Kind

    @property
    def names(self) -> dict[str, str]:
        return {"Bucket": self.where.bucket, "Key": self.where.key}

    @property
    def tied(self) -> dict[str, str]:
        """Arguments of a GET of this version and no other."""
        version = {"VersionId": self.head["VersionId"]} if self.head.get("VersionId") else {}
        return {**self.names, **version, "IfMatch": self.head["ETag"]}

    def outcome(self, result: str, reason: str) -> Outcome:
        return Outcome(self.where.bucket, self.where.key, result, reason)


def migrate_object(client: Any, job: Migration, where: Location) -> Outcome:
    """Make one object SE1; an overwritten one is looked at again.

    Args:
        client: An enveloped client that writes SE1, reads it and the formats to migrate from, and refuses whatever is
            not encrypted.
    """

    def outcome(result: str, reason: object, error: str) -> Outcome:
        return Outcome(where.bucket, where.key, result, str(reason), error)

    for _ in range(_TRIES):
        try:
            return _attempt(client, job, where)
        except ObjectChangedError as error:
            failure: Exception = error
        except (NotEncryptedError, UnsupportedFormatError) as error:
            return outcome("refused", error, type(error).__name__)
        except ClientError as error:
            if _code(error) not in _GONE:
                return outcome("failed", error, _code(error) or type(error).__name__)
            # INVARIANT: gone is the object only if it is: what vanished may be a temporary object beside it, which
            # another run took for a leftover.
            if _is_gone(client, where):
                return outcome("kept", "it was deleted meanwhile", "")
            failure = error
        except (S3EnvelopeError, BotoCoreError) as error:
            return outcome("failed", error, type(error).__name__)
    return outcome("failed", failure, type(failure).__name__)


def migration_locations(locations: Iterator[Location]) -> Iterator[Location]:
    """Yield the objects that are somebody's, and not temporary ones of a run."""
    return (where for where in locations if not is_temporary(where.key))


def remove_leftovers(client: Any, bucket: str, prefix: str, *, dry_run: bool = False) -> Iterator[Outcome]:
    """Remove what a killed run left under a prefix; yield what became of each.

    What a run that goes on at the same time has there is removed as well. It begins that object again.
    """
    for where in list_locations(client, bucket, prefix):
        if is_temporary(where.key):
            yield _remove_leftover(client, where, dry_run=dry_run)
    try:
        uploads = list(_leftover_uploads(client, bucket, prefix))
    except ClientError as error:
        if _code(error) not in _WITHOUT_UPLOADS:
            raise
        uploads = []
    for key, upload_id in uploads:
        result, reason = ("planned", "would be aborted") if dry_run else ("removed", "aborted")
        if not dry_run:
            client.abort_multipart_upload(Bucket=bucket, Key=key, UploadId=upload_id)
        yield Outcome(bucket, key, result, f"an unfinished upload of a run that was killed; {reason}")


def _leftover_uploads(client: Any, bucket: str, prefix: str) -> Iterator[tuple[str, str]]:
    for page in client.get_paginator("list_multipart_uploads").paginate(Bucket=bucket, Prefix=prefix):
        for upload in page.get("Uploads", []):
            if is_temporary(upload["Key"]):
                yield upload["Key"], upload["UploadId"]


def _remove_leftover(client: Any, where: Location, *, dry_run: bool) -> Outcome:
    try:
        metadata = stored_head(client, Bucket=where.bucket, Key=where.key).get("Metadata") or {}
        if not _is_se1(metadata):
            return Outcome(where.bucket, where.key, "kept", "it has the name of a temporary object, but is none")
        if dry_run:
            return Outcome(where.bucket, where.key, "planned", "left by a run that was killed; would be removed")
        remove_temporary(client, where.bucket, where.key)
    except (ClientError, BotoCoreError) as error:
        return Outcome(where.bucket, where.key, "failed", str(error), type(error).__name__)
    return Outcome(where.bucket, where.key, "removed", "left by a run that was killed")


def _attempt(client: Any, job: Migration, where: Location) -> Outcome:
    found = _look(client, job, where)
    if found.kind is _Kind.SE1:
        # One whose envelope is broken is not as it should be.
        Envelope.parse(found.head.get("Metadata") or {})
        return found.outcome("kept", found.kind.value)
    if found.kind is _Kind.INSTRUCTION_FILE:
        return _attempt_file(client, job, found)
    if found.kind is _Kind.AMAZON:
        return _replace(client, job, found, str(client.describe_envelope(**found.names).format))
    if not job.plaintext:
        raise NotEncryptedError("the object is not encrypted; --plaintext seals such objects too")
    return _replace(client, job, found, found.kind.value)


def _look(client: Any, job: Migration, where: Location) -> _Found:
    head = stored_head(client, Bucket=where.bucket, Key=where.key)
    metadata = head.get("Metadata") or {}
    if _is_se1(metadata):
        return _Found(where, head, _Kind.SE1)
    # INVARIANT: whatever has a trace of an envelope is not plain, not even where plain objects are sealed: else
    # ciphertext whose key is lost would pass for the content.
    if is_s3ec_metadata(metadata):
        return _Found(where, head, _Kind.AMAZON)
    suffix = job.instruction_suffix
    has_name_of_file = where.key.endswith(suffix) and where.key != suffix
    if has_name_of_file and _file_etag(client, where) == head["ETag"]:
        return _Found(where, head, _Kind.INSTRUCTION_FILE)
    has_file = _file_etag(client, Location(where.bucket, where.key + suffix)) is not None
    return _Found(where, head, _Kind.AMAZON if has_file else _Kind.PLAIN)


def _is_se1(metadata: Mapping[str, str]) -> bool:
    return any(is_envelope_name(name.lower()) for name in metadata)


def _file_etag(client: Any, where: Location) -> str | None:
    """Return the ETag of an instruction file; `None` if there is none, or it is something else."""
    if len(where.key.encode()) > _LONGEST_KEY:
        return None
    try:
        answer = stored_body(client, Bucket=where.bucket, Key=where.key)
    except ClientError as error:
        if _code(error) in _GONE:
            return None
        raise
    with closing(answer["Body"]) as body:
        content = body.read(MAX_INSTRUCTION_FILE_SIZE + 1)
    return str(answer["ETag"]) if _is_instruction_file(content) else None


def _is_instruction_file(content: bytes) -> bool:
    if len(content) > MAX_INSTRUCTION_FILE_SIZE:
        return False
    try:
        fields = json.loads(content)
    except (ValueError, RecursionError):
        return False
    return isinstance(fields, dict) and any(name.lower() in _KEYS_OF_FILES for name in fields)


def _replace(client: Any, job: Migration, found: _Found, before: str) -> Outcome:
    if job.dry_run:
        return found.outcome("planned", f"{before}; would be sealed as SE1")
    metadata = found.head.get("Metadata") or {}
    kept = {name: value for name, value in metadata.items() if not is_reserved_name(name)}
    where, open_source = found.where, _opener(client, job, found)
    replace_object(client, where.bucket, where.key, {**found.head, "Metadata": kept}, open_source)
    file = Location(where.bucket, where.key + job.instruction_suffix)
    if found.kind is _Kind.AMAZON and job.delete_instruction_files and _delete_file(client, file, where):
        return found.outcome("done", f"was {before}; its instruction file is deleted")
    return found.outcome("done", f"was {before}")


def _opener(client: Any, job: Migration, found: _Found) -> Callable[[], Any]:
    def opened() -> Any:
        return client.get_object(**found.tied)["Body"]

    def plain() -> Any:
        answer = stored_body(client, **found.tied)
        # INVARIANT: an ETag says nothing of the metadata, which may have been given back to a stripped object.
        metadata = answer.get("Metadata") or {}
        if _is_se1(metadata) or is_s3ec_metadata(metadata):
            answer["Body"].close()
            raise ObjectChangedError("the object was given an envelope before it was read; look at it again")
        return answer["Body"]

    def open_source() -> Any:
        try:
            return plain() if found.kind is _Kind.PLAIN else opened()
        except ClientError as error:
            if _code(error) in _CHANGED:
                raise ObjectChangedError("the object was overwritten before it was read; look at it again") from error
            raise

    return open_source


def _attempt_file(client: Any, job: Migration, found: _Found) -> Outcome:
    word = found.kind.value
    if not job.delete_instruction_files:
        return found.outcome("kept", word)
    base = Location(found.where.bucket, found.where.key[: -len(job.instruction_suffix)])
    try:
        metadata = stored_head(client, Bucket=base.bucket, Key=base.key).get("Metadata") or {}
    except ClientError as error:
        if _code(error) in _GONE:
            return found.outcome("kept", f"{word} without an object")
        raise
    if not _is_se1(metadata):
        return found.outcome("kept", f"{word}, which its object still needs")
    if job.dry_run:
        return found.outcome("planned", f"{word} that nothing needs; would be deleted")
    _delete_file(client, found.where, base)
    return found.outcome("removed", f"{word} that nothing needed")


def _delete_file(client: Any, file: Location, base: Location) -> bool:
    """Delete an instruction file once its object, which is SE1, has been read whole; tell whether there was one."""
    etag = _file_etag(client, file)
    if etag is None:
        return False
    _read_whole(client, base)
    try:
        # INVARIANT: tied to what was there before the object was read. Another client may have written both anew
        # meanwhile, and without its file the new object would be lost.
        client.delete_object(Bucket=file.bucket, Key=file.key, IfMatch=etag)
    except ClientError as error:
        if _code(error) in _CHANGED:
            raise ObjectChangedError("the instruction file was overwritten; look at its object again") from error
        raise
    return True


def _read_whole(client: Any, where: Location) -> None:
    head = stored_head(client, Bucket=where.bucket, Key=where.key)
    if not _is_se1(head.get("Metadata") or {}):
        raise ObjectChangedError("the object was overwritten before its instruction file was deleted")
    with closing(client.get_object(**_Found(where, head, _Kind.SE1).tied)["Body"]) as body:
        for _ in body.iter_chunks(_PIECE_SIZE):
            pass


def _is_gone(client: Any, where: Location) -> bool:
    try:
        stored_head(client, Bucket=where.bucket, Key=where.key)
    except ClientError as error:
        return _code(error) in _GONE
    return False


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
