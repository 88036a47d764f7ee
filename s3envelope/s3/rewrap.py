"""rewrap_object: another key, another context or another binding for an object whose body stays where it is.

Source: FORMAT.md, section "Copying".
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from s3envelope.core.context import EncryptionContext
from s3envelope.core.envelope import MAX_ENCRYPTED_DATA_KEYS, Envelope, open_header, without_envelope
from s3envelope.core.hints import key_hint
from s3envelope.core.kdf import BodyKey
from s3envelope.core.key_uses import asked
from s3envelope.core.occurrences import ObjectName, Occurrence
from s3envelope.core.ports import EncryptedDataKey, Keyring
from s3envelope.core.secret import SecretBytes
from s3envelope.engine.opening import ReadPolicy
from s3envelope.errors import (
    ConfigurationError,
    KeyCommitmentError,
    KeyringError,
    ObjectChangedError,
    RotationError,
    UnsupportedOperationError,
)
from s3envelope.keyrings.kms_errors import is_not_this_entry
from s3envelope.s3.auditing import about_copy, refusals, request_ids, undertaken
from s3envelope.s3.calls import Read
from s3envelope.s3.copies import PRESERVED, refuse_other_format
from s3envelope.s3.copy_over import OVERWRITTEN, CopiedObject, copy_over
from s3envelope.s3.proofs import begins_as
from s3envelope.s3.responses import drop_wire_coding
from s3envelope.s3.s3ec_copies import refuse_s3ec

if TYPE_CHECKING:
    from s3envelope.s3.seam import Seam

_SSE_C = ("SSECustomerAlgorithm", "SSECustomerKey", "SSECustomerKeyMD5")
_WHO = ("RequestPayer", "ExpectedBucketOwner")
# What a copy loses unless it is said again.
KEPT = ("WebsiteRedirectLocation", "StorageClass", "ServerSideEncryption", "SSEKMSKeyId", "BucketKeyEnabled")
_HASH = re.compile(r'"[0-9a-f]{32}"')
_LOCK = ("ObjectLockMode", "ObjectLockRetainUntilDate", "ObjectLockLegalHoldStatus")
_GRANTS = {
    "FULL_CONTROL": "GrantFullControl",
    "READ": "GrantRead",
    "READ_ACP": "GrantReadACP",
    "WRITE_ACP": "GrantWriteACP",
}


@dataclass(frozen=True, slots=True)
class RewrapRequest:
    """What is to be done with one object.

    Args:
        bucket, key, version_id: The object; a version must be the current one.
        to: A keyring, or KMS key ids, that wrap the new data key; `None` is the client's own keyring.
        encryption_context: Replaces the object's; `None` keeps it.
        share_key: With `bound_name`: allows readers of new keys, while the object under that name stays.
        adopt: Binds an object that was not bound to its key, though anybody may have put it there.
        commitment: Instead of `adopt`: 64 hexadecimal digits that the object must have.
        bound_name: The key that the object was bound to, if it was copied here by a client that knows no envelopes.
        edk_only: Wrap the data keys anew inside KMS; the header stays, and nothing is opened here.
        copy_acl, copy_object_lock: Keep these too; S3 does not copy them.
        request: `SSECustomer*`, `RequestPayer`, `ExpectedBucketOwner`.
    """

    bucket: str
    key: str
    version_id: str | None
    to: Keyring | str | Sequence[str] | None
    encryption_context: Mapping[str, str] | None
    share_key: bool
    adopt: bool
    commitment: str | None
    bound_name: str | None
    edk_only: bool
    copy_acl: bool
    copy_object_lock: bool
    request: Mapping[str, Any]

    def __post_init__(self) -> None:
        unknown = sorted(set(self.request) - {*_SSE_C, *_WHO})
        if unknown:
            raise ConfigurationError(
                f"rewrap_object takes no {unknown[0]}; it takes SSECustomer*, RequestPayer, ExpectedBucketOwner"
            )
        rewriting = (self.encryption_context, self.commitment, self.bound_name, self.adopt or None)
        if self.edk_only and any(value is not None for value in rewriting):
            raise ConfigurationError("edk_only keeps the header: encryption context, binding and name stay as they are")


def rewrap(seam: Seam, wanted: RewrapRequest) -> tuple[Envelope, dict[str, Any]]:
    """Replace the envelope of an object; return the new one and the raw answer to HEAD.

    Raises:
        ObjectChangedError: The object was overwritten meanwhile. Nothing is lost.
        UnsupportedOperationError: The version is not the current one, or the object would be readable by others.
        KeyringError, DecryptionError: The old envelope does not open, or there is no new data key.
        RotationError: The storage let another writer replace the body at the same time; S3 does not.
    """
    with refusals(seam, "RewrapObject", {"Bucket": wanted.bucket, "Key": wanted.key}):
        return _rewrap(seam, wanted)


def _rewrap(seam: Seam, wanted: RewrapRequest) -> tuple[Envelope, dict[str, Any]]:
    refuse_other_format(seam, "rewrap_object")
    where = {"Bucket": wanted.bucket, "Key": wanted.key}
    carried = {name: wanted.request[name] for name in (*_SSE_C, *_WHO) if name in wanted.request}
    head = seam.inner("HeadObject", {**where, **carried, "ChecksumMode": "ENABLED"})
    if wanted.version_id is not None and head.get("VersionId") != wanted.version_id:
        raise UnsupportedOperationError(
            f"version {wanted.version_id} is not the current one; a new envelope for it would be a new object in front "
            "of the current one. Old versions keep their keys until they are deleted"
        )
    refuse_s3ec(seam, head.get("Metadata") or {}, {**where, **carried})
    envelope = Envelope.parse(head.get("Metadata") or {})
    user_metadata = without_envelope(head.get("Metadata") or {})
    metadata = _reencrypted(seam, wanted, envelope, user_metadata) if wanted.edk_only else None
    if metadata is None:
        metadata = _rewrapped(seam, wanted, envelope, user_metadata)
    arguments = {**where, **carried, **_preserved(seam, wanted, head, carried), "Metadata": metadata}
    arguments["MetadataDirective"] = "REPLACE"
    source = {**where, **({"VersionId": head["VersionId"]} if head.get("VersionId") else {})}
    copied = CopiedObject(source, int(head["ContentLength"]), head["ETag"])
    with undertaken(seam, _told(wanted, envelope, metadata)) as undertaking:
        written = copy_over(seam, arguments, copied, replaced_etag=head["ETag"])
        found, answer = _verified(seam, {**where, **carried}, arguments, written)
        if written and _is_another_body(head, answer):
            _check_body(seam, {**where, **carried}, envelope, wanted, answer)
        undertaking.saw(request_ids(head))
        undertaking.succeeded({**written, "VersionId": answer.get("VersionId")})
    return found, answer


def _told(wanted: RewrapRequest, envelope: Envelope, metadata: Mapping[str, str]) -> Occurrence:
    new = Envelope.parse(metadata)
    hints = {
        "old_key_hints": ",".join(key.hint.hex() for key in envelope.encrypted_data_keys),
        "new_key_hints": ",".join(key.hint.hex() for key in new.encrypted_data_keys),
    }
    told = about_copy({"Bucket": wanted.bucket, "Key": wanted.key}, new.header.commitment)
    return replace(told, context=new.context, details=tuple(hints.items()))


def _rewrapped(seam: Seam, wanted: RewrapRequest, envelope: Envelope, user_metadata: dict[str, str]) -> dict[str, str]:
    bucket, key = wanted.bucket, wanted.key
    binds = envelope.header.bound or _may_bind(wanted, envelope)
    ReadPolicy(seam.config.context_for(bucket, key), seam.config.bind_key_name and not binds).check(envelope)
    target = seam.targets.of(wanted.to)
    _check_sharing(seam, wanted, target.keyring)
    entries = dict(envelope.context) if wanted.encryption_context is None else dict(wanted.encryption_context)
    context = seam.config.context_for(bucket, key, entries)
    target.envelopes.check(key, context, user_metadata)

    def attempt(data_key: SecretBytes) -> tuple[SecretBytes, BodyKey]:
        return open_header(data_key, envelope.header, envelope.context, wanted.bound_name or key)

    object_key, body_key = seam.materials.open_with_data_key(
        envelope.encrypted_data_keys, envelope.context, attempt, about=ObjectName(bucket, key)
    )
    body_key.wipe()
    with object_key:
        new = target.envelopes.rewrap(
            object_key, envelope.header, ObjectName(bucket, key), context, user_metadata, bound=binds
        )
    new.body_key.wipe()
    return new.metadata


def _may_bind(wanted: RewrapRequest, envelope: Envelope) -> bool:
    if wanted.commitment is not None and wanted.commitment != envelope.header.commitment.hex():
        raise KeyCommitmentError("the object is another upload than the one whose commitment is expected")
    return wanted.adopt or wanted.commitment is not None


def _check_sharing(seam: Seam, wanted: RewrapRequest, target: Keyring) -> None:
    # The object under the first name stays, and whoever can open one of the two can forge the other.
    is_other_name = wanted.bound_name not in (None, wanted.key)
    if is_other_name and not wanted.share_key and not target.key_ids <= seam.keyring.key_ids:
        raise UnsupportedOperationError(
            f"the rewrap is refused: what was written as {wanted.bound_name!r} may still be there, and whoever can "
            "open one of the two can forge the other; the new key has readers that the old one has not. Pass "
            "share_key=True if they may; or read the object and put it again"
        )


def _reencrypted(
    seam: Seam, wanted: RewrapRequest, envelope: Envelope, user_metadata: dict[str, str]
) -> dict[str, str]:
    target = seam.targets.of(wanted.to)
    sources = {key_hint(name): name for name in sorted(seam.keyring.key_ids) if name.startswith("arn:")}
    # INVARIANT: entries of keys that are not configured are dropped: re-encrypted, a stranger's object would be ours.
    # All others are kept: which of them opens the header cannot be told here, and anybody can put one in front.
    found = [(key, sources[key.hint]) for key in envelope.encrypted_data_keys if key.hint in sources]
    if not found:
        raise ConfigurationError(
            "none of the object's encrypted data keys belongs to a key of this client that is named by its ARN; "
            "edk_only takes the ARN of the key that it re-encrypts from"
        )
    keys: list[EncryptedDataKey] = []
    refusal: KeyringError | None = None
    for key, arn in found:
        try:
            keys += [target.reencrypted(keyring, key, envelope.context, arn) for keyring in target.keyrings]
        except KeyringError as error:
            if not is_not_this_entry(error):
                raise
            refusal = error
    if refusal is not None and not keys:
        raise refusal
    if len(keys) > MAX_ENCRYPTED_DATA_KEYS:
        raise UnsupportedOperationError(
            f"the object would have {len(keys)} encrypted data keys, {MAX_ENCRYPTED_DATA_KEYS} are possible; without "
            "edk_only it gets one for each key"
        )
    if seam.audit is not None:
        for key in keys:
            seam.audit.record(asked("reencrypt", key.call, envelope.context, ObjectName(wanted.bucket, wanted.key)))
    return {**user_metadata, **Envelope(envelope.header, tuple(keys), envelope.context).to_metadata()}


def _preserved(
    seam: Seam, wanted: RewrapRequest, head: Mapping[str, Any], carried: Mapping[str, Any]
) -> dict[str, Any]:
    """Return everything that a replacing copy would lose."""
    kept = {name: head[name] for name in (*PRESERVED, *KEPT) if head.get(name) is not None}
    drop_wire_coding(kept)
    kept.update({f"CopySource{name}": value for name, value in carried.items() if name in _SSE_C})
    algorithms = [name[8:] for name in head if name.startswith("Checksum") and name != "ChecksumType"]
    if algorithms:
        kept["ChecksumAlgorithm"] = algorithms[0]
    if "ExpectedBucketOwner" in carried:
        kept["ExpectedSourceBucketOwner"] = carried["ExpectedBucketOwner"]
    if wanted.copy_object_lock:
        kept.update({name: head[name] for name in _LOCK if head.get(name) is not None})
        # S3 demands a checksum with a lock.
        kept.setdefault("ChecksumAlgorithm", "CRC32")
    if wanted.copy_acl:
        kept.update(_grants(seam, wanted))
    return kept


def _grants(seam: Seam, wanted: RewrapRequest) -> dict[str, str]:
    who = {name: wanted.request[name] for name in _WHO if name in wanted.request}
    answer = seam.inner("GetObjectAcl", {"Bucket": wanted.bucket, "Key": wanted.key, **who})
    grants: dict[str, list[str]] = {}
    for grant in answer.get("Grants", []):
        grantee, name = grant["Grantee"], _GRANTS.get(grant["Permission"])
        if name is None:
            continue
        named = next((field for field in ("ID", "URI", "EmailAddress") if field in grantee), None)
        if named is not None:
            kind = {"ID": "id", "URI": "uri", "EmailAddress": "emailAddress"}[named]
            grants.setdefault(name, []).append(f'{kind}="{grantee[named]}"')
    return {name: ", ".join(values) for name, values in grants.items()}


def _verified(
    seam: Seam, where: dict[str, Any], arguments: Mapping[str, Any], written: Mapping[str, Any]
) -> tuple[Envelope, dict[str, Any]]:
    if written.get("VersionId"):
        where = {**where, "VersionId": written["VersionId"]}
    answer = seam.inner("HeadObject", where)
    sent, found = Envelope.parse(arguments["Metadata"]), Envelope.parse(answer.get("Metadata") or {})
    if sent.to_metadata() != found.to_metadata():
        raise ObjectChangedError(OVERWRITTEN)
    return found, answer


def _is_another_body(before: Mapping[str, Any], after: Mapping[str, Any]) -> bool:
    """Tell whether two answers to HEAD are of two bodies, or may be: an ETag need not be a hash of the content."""
    is_hash = all(_HASH.fullmatch(str(head["ETag"])) and head.get("SSEKMSKeyId") is None for head in (before, after))
    return before["ContentLength"] != after["ContentLength"] or (is_hash and before["ETag"] != after["ETag"])


def _check_body(
    seam: Seam, where: dict[str, Any], envelope: Envelope, wanted: RewrapRequest, answer: Mapping[str, Any]
) -> None:
    """See that the body is still that of the old envelope, whose data key is at hand.

    S3 decides about conditions and writes in one step. Some storages do not: then the body of another writer may stand
    under this header, and neither is of use any more. That cannot be undone here, but it is told.
    """
    if not wanted.edk_only:
        read = Read({**where, "IfMatch": answer["ETag"]}, None, EncryptionContext())
        if begins_as(seam, read, envelope, wanted.bound_name or wanted.key):
            return
    raise RotationError(
        "another writer replaced the body while its envelope was replaced: this storage checks conditions and writes "
        "in two steps. The object does not open any more. Take an older version, or write it again; and let nobody "
        "write while envelopes are replaced on this storage"
    )
