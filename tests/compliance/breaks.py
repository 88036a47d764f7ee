"""Ways to break the good set-up, one for each check."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

import moto.kms.models
import moto.kms.utils
import pytest
from moto.s3.models import FakeKey, s3_backends

from s3envelope.compliance.policy import CompliancePolicy
from s3envelope.compliance.subject import TEST_PREFIX
from s3envelope.core.secret import SecretBytes
from tests.support.compliant import ACCOUNT, TRAIL, SetUp, key_policy

Break = Callable[[SetUp, pytest.MonkeyPatch], CompliancePolicy | None]
_BACKEND = moto.kms.models.KmsBackend
EVERYONE = {"Sid": "Open", "Effect": "Allow", "Principal": "*", "Action": "kms:Decrypt", "Resource": "*"}


def key_id(good: SetUp) -> str:
    """Return the id of the key: not every operation of moto takes an ARN."""
    return good.key_arn.rpartition("/")[2]


def _state(good: SetUp, _: pytest.MonkeyPatch) -> None:
    good.kms.disable_key(KeyId=key_id(good))


def _origin(_: SetUp, __: pytest.MonkeyPatch) -> CompliancePolicy:
    return CompliancePolicy(key_origins=("EXTERNAL",))


def _regions(_: SetUp, __: pytest.MonkeyPatch) -> CompliancePolicy:
    return CompliancePolicy(multi_region="required")


def _key_policy(good: SetUp, _: pytest.MonkeyPatch) -> None:
    good.kms.put_key_policy(KeyId=good.key_arn, PolicyName="default", Policy=key_policy(EVERYONE))


def _rotation(good: SetUp, _: pytest.MonkeyPatch) -> None:
    good.kms.disable_key_rotation(KeyId=good.key_arn)


def _same_data_key(_: SetUp, patch: pytest.MonkeyPatch) -> None:
    original = _BACKEND.generate_data_key

    def generate(self: Any, **arguments: Any) -> Any:
        return (bytes(range(32)), *original(self, **arguments)[1:])

    patch.setattr(_BACKEND, "generate_data_key", generate)


def _another_data_key(_: SetUp, patch: pytest.MonkeyPatch) -> None:
    original = _BACKEND.decrypt

    def decrypt(self: Any, **arguments: Any) -> Any:
        return (bytes(32), *original(self, **arguments)[1:])

    patch.setattr(_BACKEND, "decrypt", decrypt)


def _no_context(_: SetUp, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(moto.kms.utils, "_serialize_encryption_context", lambda encryption_context: b"")


def _same_ciphertext(_: SetUp, patch: pytest.MonkeyPatch) -> None:
    original = _BACKEND.re_encrypt

    def re_encrypt(self: Any, ciphertext_blob: bytes, *arguments: Any, **keywords: Any) -> Any:
        return (ciphertext_blob, *original(self, ciphertext_blob, *arguments, **keywords)[1:])

    patch.setattr(_BACKEND, "re_encrypt", re_encrypt)


def _other_bytes(_: SetUp, patch: pytest.MonkeyPatch) -> None:
    original = FakeKey.value.fget

    def changed(self: Any) -> bytes:
        found: bytes = original(self)
        return found[:-1] + bytes([found[-1] ^ 1]) if self.name.startswith(TEST_PREFIX) else found

    patch.setattr(FakeKey, "value", FakeKey.value.getter(changed))


def _kept_keys(_: SetUp, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(SecretBytes, "wipe", lambda self: None)


def _no_tls(good: SetUp, _: pytest.MonkeyPatch) -> None:
    good.s3.delete_bucket_policy(Bucket=good.bucket)


def _public(good: SetUp, _: pytest.MonkeyPatch) -> None:
    good.s3.put_public_access_block(
        Bucket=good.bucket,
        PublicAccessBlockConfiguration={"BlockPublicAcls": True, "IgnorePublicAcls": True, "BlockPublicPolicy": True},
    )


def _unversioned(good: SetUp, _: pytest.MonkeyPatch) -> None:
    good.s3.put_bucket_versioning(Bucket=good.bucket, VersioningConfiguration={"Status": "Suspended"})


def _unencrypted(good: SetUp, _: pytest.MonkeyPatch) -> None:
    good.s3.delete_bucket_encryption(Bucket=good.bucket)


def _plain_object(good: SetUp, _: pytest.MonkeyPatch) -> None:
    good.s3.put_object(Bucket=good.bucket, Key="plain", Body=b"plain")


def _old_object(good: SetUp, _: pytest.MonkeyPatch) -> None:
    stored = s3_backends[ACCOUNT]["aws"].get_object(good.bucket, "first")
    stored.last_modified -= timedelta(days=366)


def _no_kms_events(good: SetUp, _: pytest.MonkeyPatch) -> None:
    selector = {"ReadWriteType": "All", "ExcludeManagementEventSources": ["kms.amazonaws.com"]}
    good.trails.put_event_selectors(TrailName=TRAIL, EventSelectors=[selector])


def _one_region(good: SetUp, _: pytest.MonkeyPatch) -> None:
    good.trails.update_trail(Name=TRAIL, IsMultiRegionTrail=False)


def _unvalidated(good: SetUp, _: pytest.MonkeyPatch) -> None:
    good.trails.update_trail(Name=TRAIL, EnableLogFileValidation=False)


def _stopped(good: SetUp, _: pytest.MonkeyPatch) -> None:
    good.trails.stop_logging(Name=TRAIL)


def _long_cache(_: SetUp, __: pytest.MonkeyPatch) -> CompliancePolicy:
    return CompliancePolicy(cache_fresh_seconds=299)


def _changed_log(good: SetUp, _: pytest.MonkeyPatch) -> None:
    content = good.audit_log.read_bytes()
    good.audit_log.write_bytes(content.replace(b"key-1", b"key-9"))


BREAKS: Mapping[str, Break] = {
    "key-state": _state,
    "key-origin": _origin,
    "key-regions": _regions,
    "key-policy": _key_policy,
    "key-rotation": _rotation,
    "kms-data-key": _same_data_key,
    "kms-decrypt": _another_data_key,
    "kms-context": _no_context,
    "kms-reencrypt": _same_ciphertext,
    "object-round-trip": _other_bytes,
    "key-wiped": _kept_keys,
    "bucket-tls": _no_tls,
    "bucket-public-access": _public,
    "bucket-versioning": _unversioned,
    "bucket-encryption": _unencrypted,
    "bucket-objects": _plain_object,
    "data-key-age": _old_object,
    "trail-kms-events": _no_kms_events,
    "trail-multi-region": _one_region,
    "trail-validation": _unvalidated,
    "trail-logging": _stopped,
    "cache-limits": _long_cache,
    "audit-chain": _changed_log,
}
