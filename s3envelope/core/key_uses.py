"""What an audit sink is told of the uses of data keys."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from s3envelope.core.context import EncryptionContext
from s3envelope.core.hints import key_hint
from s3envelope.core.occurrences import KeyServiceCall, ObjectName, Occurrence, Operation, Source
from s3envelope.core.ports import AuditSink, DataKey, EncryptedDataKey, Keyring
from s3envelope.core.secret import SecretBytes

_FRESH = (("age_seconds", "0"),)


def asked(
    operation: Operation, call: KeyServiceCall | None, context: EncryptionContext, about: ObjectName | None
) -> Occurrence:
    """Return what to tell of a request to the key service, or of a key that needs none."""
    told = key_use(operation, "key service", context, about)
    if call is None:
        return told
    return replace(
        told,
        key_arns=(call.key_arn,),
        kms_request_ids=call.request_ids,
        duration_seconds=call.duration_seconds,
    )


def key_use(
    operation: Operation,
    source: Source,
    context: EncryptionContext,
    about: ObjectName | None,
    age_seconds: float | None = None,
) -> Occurrence:
    """Return what to tell of the use of a data key; its age counts since the key service gave it out."""
    bucket, key = (None, None) if about is None else about
    details: tuple[tuple[str, str], ...] = () if age_seconds is None else (("age_seconds", str(round(age_seconds))),)
    return Occurrence(operation=operation, source=source, bucket=bucket, key=key, context=context, details=details)


def arns_of(keyring: Keyring, hints: Collection[bytes]) -> tuple[str, ...]:
    """Return the ARNs of those keys of a keyring that have one of the hints, as far as they are configured."""
    named = keyring.key_ids.union(getattr(keyring, "key_arns", ()))
    return tuple(sorted(name for name in named if name.startswith("arn:") and key_hint(name) in hints))


def opened_with(entry: EncryptedDataKey, context: EncryptionContext, about: ObjectName | None) -> Occurrence:
    """Return what to tell of a data key that the key service opened."""
    return replace(asked("decrypt", entry.call, context, about), details=_FRESH)


def tell_made(audit: AuditSink | None, data_key: DataKey, context: EncryptionContext, about: ObjectName | None) -> None:
    """Tell of a new data key, and of each further key that wrapped it.

    Raises:
        AuditError: It was not written down; the data key is wiped.
    """
    if audit is None:
        return
    first, *others = data_key.encrypted
    try:
        audit.record(asked("generate", first.call, context, about))
        for entry in others:
            audit.record(asked("wrap", entry.call, context, about))
    except BaseException:
        data_key.plaintext.wipe()
        raise


def tell_one(audit: AuditSink | None, plaintext: SecretBytes, told: Occurrence) -> None:
    """Tell of a data key.

    Raises:
        AuditError: It was not written down; the data key is wiped.
    """
    if audit is None:
        return
    try:
        audit.record(told)
    except BaseException:
        plaintext.wipe()
        raise
