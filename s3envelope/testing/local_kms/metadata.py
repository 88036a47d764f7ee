"""KeyMetadata, the description of a key."""

from __future__ import annotations

from s3envelope.testing.local_kms.keys import ENABLED, RegionalKey
from s3envelope.testing.local_kms.request import Answer
from s3envelope.testing.local_kms.store import KeyStore


def describe(store: KeyStore, key: RegionalKey) -> Answer:
    """Return the KeyMetadata of a key, with the members that AWS gives to a key of its kind and state."""
    family = key.family
    described: Answer = {
        "AWSAccountId": store.account_id,
        "KeyId": key.key_id,
        "Arn": key.arn,
        "CreationDate": key.created,
        "Enabled": key.state == ENABLED,
        "Description": key.description,
        "KeyUsage": family.usage,
        "KeyState": key.state,
        "Origin": family.origin,
        "KeyManager": "CUSTOMER",
        "CustomerMasterKeySpec": family.spec,
        "KeySpec": family.spec,
        "MultiRegion": family.multi_region,
        **_algorithms(family.spec, family.usage),
    }
    if family.is_symmetric_encryption and family.origin == "AWS_KMS":
        described["CurrentKeyMaterialId"] = family.current.material_id.hex()
    if family.custom_key_store_id is not None:
        described["CustomKeyStoreId"] = family.custom_key_store_id
    if key.deletion_date is not None:
        described["DeletionDate"] = key.deletion_date
    elif key.pending_window_days is not None:
        described["PendingDeletionWindowInDays"] = key.pending_window_days
    if family.multi_region:
        described["MultiRegionConfiguration"] = _multi_region_configuration(store, key)
    return described


def _algorithms(spec: str, usage: str) -> Answer:
    """Return the algorithms of the kinds of key that tests look at."""
    if spec == "SYMMETRIC_DEFAULT":
        return {"EncryptionAlgorithms": ["SYMMETRIC_DEFAULT"]}
    if spec.startswith("HMAC_"):
        return {"MacAlgorithms": [spec.replace("HMAC_", "HMAC_SHA_")]}
    if spec.startswith("RSA_") and usage == "ENCRYPT_DECRYPT":
        return {"EncryptionAlgorithms": ["RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256"]}
    return {}


def _multi_region_configuration(store: KeyStore, key: RegionalKey) -> Answer:
    replicas = store.replicas(key.family)
    entries = {each.region: {"Arn": each.arn, "Region": each.region} for each in replicas}
    primary = entries.pop(key.family.primary_region, None)
    return {
        "MultiRegionKeyType": "PRIMARY" if key.is_primary else "REPLICA",
        "PrimaryKey": primary,
        "ReplicaKeys": list(entries.values()),
    }
