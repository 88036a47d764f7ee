"""Envelopes for the present names of objects that were copied, moved or renamed by something that knows no envelopes.

A bound header opens under the key that the object was written to. Whoever says what key that was gets a header for the
present key, if the object proves it: the old header must open under the old key, and the first segment of the body
under that header. Nothing is taken on trust from the storage: objects that were exchanged on the way do not prove
their names.

Source: FORMAT.md, section "Copying".
"""

from __future__ import annotations

from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from s3envelope.core.envelope import Envelope, open_header
from s3envelope.core.kdf import BodyKey
from s3envelope.core.occurrences import ObjectName
from s3envelope.core.secret import SecretBytes
from s3envelope.engine.opening import ReadPolicy
from s3envelope.errors import (
    KeyCommitmentError,
    NameBindingError,
    NotEncryptedError,
    ObjectChangedError,
    S3EnvelopeError,
    SegmentAuthenticationError,
)
from s3envelope.rotation.reencrypt import is_temporary
from s3envelope.rotation.run import Location, Outcome
from s3envelope.s3.calls import Read
from s3envelope.s3.proofs import begins_as
from s3envelope.s3.replacing import stored_head

RESULTS = ("done", "kept", "planned", "refused", "failed")
_PLAN = "rebind"
_TRIES = 5
_GONE = frozenset({"404", "NoSuchKey"})


def rebind_object(client: Any, where: Location, old_key: str, *, dry_run: bool = False) -> Outcome:
    """Bind one object to its present key; its body stays where it is.

    Args:
        client: An enveloped client of the object's key.
        where: The object as it is now; only the current version can be changed.
        old_key: The key that it was written to. The bucket is no part of the binding.
        dry_run: Only prove that it could be done.

    Returns:
        "done"; "kept": it is bound to its present key already; "planned"; "refused": it does not prove that it was
        written to `old_key`, is bound to no key, or has no envelope; "failed".
    """

    def outcome(result: str, reason: object, error: str = "", hints: tuple[str, ...] = ()) -> Outcome:
        return Outcome(where.bucket, where.key, result, str(reason), error, hints, plan=_PLAN)

    if is_temporary(where.key):
        return outcome("kept", "a temporary object of a replacement; if none is going on, delete it")
    for _ in range(_TRIES):
        try:
            return _attempt(client, where, old_key, dry_run=dry_run)
        except ObjectChangedError as error:
            failure: Exception = error
        except (NameBindingError, NotEncryptedError) as error:
            return outcome("refused", error, type(error).__name__)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            if code in _GONE:
                return outcome("failed", "the object does not exist", code)
            return outcome("failed", error, code or type(error).__name__)
        except (S3EnvelopeError, BotoCoreError) as error:
            return outcome("failed", error, type(error).__name__)
    return outcome("failed", failure, type(failure).__name__)


def _attempt(client: Any, where: Location, old_key: str, *, dry_run: bool) -> Outcome:
    parameters = {"Bucket": where.bucket, "Key": where.key}
    head = stored_head(client, **parameters)
    envelope = Envelope.parse(head.get("Metadata") or {})
    hints = tuple(key.hint.hex() for key in envelope.encrypted_data_keys)

    def outcome(result: str, reason: str, hints: tuple[str, ...] = hints) -> Outcome:
        return Outcome(where.bucket, where.key, result, reason, key_hints=hints, plan=_PLAN)

    # INVARIANT: an object that is bound to no key proves no name: anybody may have put it there.
    ReadPolicy(client._s3envelope.config.context_for(where.bucket, where.key), require_bound=True).check(envelope)
    if _opens_under(client, where, envelope, where.key):
        return outcome("kept", "it is bound to its present key")
    if old_key == where.key or not _opens_under(client, where, envelope, old_key):
        raise NameBindingError(
            f"the object does not prove that it was written to {old_key!r}: it was written to another key, or its "
            "metadata was changed, or objects were exchanged when they were moved"
        )
    _check_body(client, where, envelope, old_key, str(head["ETag"]))
    if dry_run:
        return outcome("planned", f"it proves that it was written to {old_key!r}")
    # Everything that was proved is of this upload; the commitment ties the rewrap to it.
    written = client.rewrap_object(**parameters, bound_name=old_key, commitment=envelope.header.commitment.hex())
    _read_back(client, where, written.version_id, envelope.header.commitment)
    return outcome("done", f"it was bound to {old_key!r}", written.key_hints)


def _opens_under(client: Any, where: Location, envelope: Envelope, name: str) -> bool:
    """Tell whether the header opens under a name.

    Raises:
        KeyringError: There is no data key to try it with.
    """

    def attempt(data_key: SecretBytes) -> tuple[SecretBytes, BodyKey]:
        return open_header(data_key, envelope.header, envelope.context, name)

    try:
        object_key, body_key = client._s3envelope.materials.open_with_data_key(
            envelope.encrypted_data_keys, envelope.context, attempt, about=ObjectName(where.bucket, where.key)
        )
    except NameBindingError:
        return False
    object_key.wipe()
    body_key.wipe()
    return True


def _check_body(client: Any, where: Location, envelope: Envelope, old_key: str, etag: str) -> None:
    """Refuse an envelope that was put onto another body: the new one would vouch for it no better, but look newer."""
    parameters = {"Bucket": where.bucket, "Key": where.key, "IfMatch": etag}
    read = Read(parameters, None, client._s3envelope.config.context_for(where.bucket, where.key))
    if not begins_as(client._s3envelope, read, envelope, old_key):
        raise SegmentAuthenticationError(
            "the envelope proves the old key, but the body is not the one that it was made for; nothing was changed"
        )


def _read_back(client: Any, where: Location, version_id: str | None, commitment: bytes) -> None:
    """See that the object opens under its present key, as any reader does."""
    version = {} if version_id is None else {"VersionId": version_id}
    parameters = {"Bucket": where.bucket, "Key": where.key, **version}
    envelope = Envelope.parse(stored_head(client, **parameters).get("Metadata") or {})
    if envelope.header.commitment != commitment:
        raise KeyCommitmentError("the object was replaced by another upload after it was bound to its key")
    read = Read(parameters, None, client._s3envelope.config.context_for(where.bucket, where.key))
    if not begins_as(client._s3envelope, read, envelope, where.key):
        raise SegmentAuthenticationError(
            f"the object was bound to {where.key!r}, and does not open there: the storage has changed it since"
        )
