"""What each operation accepts; everything else is refused, also what AWS would only ignore."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from s3envelope.testing.local_kms.errors import KmsServiceError, invalid


class Kind(Enum):
    """The types of members in requests."""

    STRING = "string"
    BLOB = "base64 string"
    INTEGER = "integer"
    BOOLEAN = "boolean"
    STRING_MAP = "object of strings"
    STRING_LIST = "list of strings"
    TAG_LIST = "list of tags"


@dataclass(frozen=True, slots=True)
class Member:
    """One member of a request.

    Args:
        minimum, maximum: Of the value of integers, of the length of everything else (of blobs: decoded).
    """

    kind: Kind
    required: bool = False
    minimum: int | None = None
    maximum: int | None = None
    choices: frozenset[str] | None = None
    pattern: str | None = None


Members = Mapping[str, Member]
Value = str | bytes | int | bool | dict[str, str] | list[str]


def _choice(*choices: str) -> Member:
    return Member(Kind.STRING, choices=frozenset(choices))


KEY_SPECS = frozenset(
    [
        "SYMMETRIC_DEFAULT",
        "HMAC_224",
        "HMAC_256",
        "HMAC_384",
        "HMAC_512",
        "RSA_2048",
        "RSA_3072",
        "RSA_4096",
        "ECC_NIST_P256",
        "ECC_NIST_P384",
        "ECC_NIST_P521",
        "ECC_SECG_P256K1",
        "SM2",
    ]
)
_KEY_ID = Member(Kind.STRING, required=True, minimum=1, maximum=2048)
_OPTIONAL_KEY_ID = Member(Kind.STRING, minimum=1, maximum=2048)
_ALIAS = Member(Kind.STRING, required=True, minimum=1, maximum=256, pattern=r"[a-zA-Z0-9:/_-]+")
_CONTEXT = Member(Kind.STRING_MAP)
_ALGORITHM = _choice("SYMMETRIC_DEFAULT", "RSAES_OAEP_SHA_1", "RSAES_OAEP_SHA_256", "SM2PKE")
_POLICY = Member(Kind.STRING, minimum=1, maximum=131072, pattern=r"[\t\n\r\x20-\xff]+")
_REQUIRED_POLICY = Member(Kind.STRING, required=True, minimum=1, maximum=131072, pattern=r"[\t\n\r\x20-\xff]+")
_POLICY_NAME = Member(Kind.STRING, minimum=1, maximum=128, pattern=r"\w+")
_DESCRIPTION = Member(Kind.STRING, maximum=8192)
_BOOLEAN = Member(Kind.BOOLEAN)
_TAGS = Member(Kind.TAG_LIST, maximum=50)
_CIPHERTEXT = Member(Kind.BLOB, required=True, minimum=1, maximum=6144)
_PAGE: Members = {
    "Limit": Member(Kind.INTEGER, minimum=1, maximum=1000),
    "Marker": Member(Kind.STRING, minimum=1, maximum=1024),
}
_CRYPTO: Members = {
    "DryRun": _BOOLEAN,
    "GrantTokens": Member(Kind.STRING_LIST, maximum=10),
}
_DATA_KEY: Members = {
    "KeyId": _KEY_ID,
    "EncryptionContext": _CONTEXT,
    "KeySpec": _choice("AES_256", "AES_128"),
    "NumberOfBytes": Member(Kind.INTEGER, minimum=1, maximum=1024),
    **_CRYPTO,
}
_ONLY_KEY: Members = {"KeyId": _KEY_ID}

REQUESTS: Mapping[str, Members] = {
    "CreateKey": {
        "Policy": _POLICY,
        "Description": _DESCRIPTION,
        "KeyUsage": _choice("ENCRYPT_DECRYPT", "SIGN_VERIFY", "GENERATE_VERIFY_MAC", "KEY_AGREEMENT"),
        "CustomerMasterKeySpec": Member(Kind.STRING, choices=KEY_SPECS),
        "KeySpec": Member(Kind.STRING, choices=KEY_SPECS),
        "Origin": _choice("AWS_KMS", "EXTERNAL", "AWS_CLOUDHSM", "EXTERNAL_KEY_STORE"),
        "CustomKeyStoreId": Member(Kind.STRING, minimum=1, maximum=64),
        "BypassPolicyLockoutSafetyCheck": _BOOLEAN,
        "Tags": _TAGS,
        "MultiRegion": _BOOLEAN,
    },
    "ReplicateKey": {
        "KeyId": _KEY_ID,
        "ReplicaRegion": Member(Kind.STRING, required=True, minimum=1, maximum=32, pattern=r"([a-z]+-){2,3}\d+"),
        "Policy": _POLICY,
        "BypassPolicyLockoutSafetyCheck": _BOOLEAN,
        "Description": _DESCRIPTION,
        "Tags": _TAGS,
    },
    "UpdatePrimaryRegion": {
        "KeyId": _KEY_ID,
        "PrimaryRegion": Member(Kind.STRING, required=True, minimum=1, maximum=32, pattern=r"([a-z]+-){2,3}\d+"),
    },
    "DescribeKey": {"KeyId": _KEY_ID, "GrantTokens": Member(Kind.STRING_LIST, maximum=10)},
    "ListKeys": _PAGE,
    "UpdateKeyDescription": {
        "KeyId": _KEY_ID,
        "Description": Member(Kind.STRING, required=True, maximum=8192),
    },
    "EnableKey": _ONLY_KEY,
    "DisableKey": _ONLY_KEY,
    "ScheduleKeyDeletion": {
        "KeyId": _KEY_ID,
        "PendingWindowInDays": Member(Kind.INTEGER, minimum=7, maximum=30),
    },
    "CancelKeyDeletion": _ONLY_KEY,
    "CreateAlias": {"AliasName": _ALIAS, "TargetKeyId": _KEY_ID},
    "UpdateAlias": {"AliasName": _ALIAS, "TargetKeyId": _KEY_ID},
    "DeleteAlias": {"AliasName": _ALIAS},
    "ListAliases": {"KeyId": _OPTIONAL_KEY_ID, **_PAGE},
    "EnableKeyRotation": {
        "KeyId": _KEY_ID,
        "RotationPeriodInDays": Member(Kind.INTEGER, minimum=90, maximum=2560),
    },
    "DisableKeyRotation": _ONLY_KEY,
    "GetKeyRotationStatus": _ONLY_KEY,
    "RotateKeyOnDemand": _ONLY_KEY,
    "ListKeyRotations": {
        "KeyId": _KEY_ID,
        "IncludeKeyMaterial": _choice("ALL_KEY_MATERIAL", "ROTATIONS_ONLY"),
        **_PAGE,
    },
    "PutKeyPolicy": {
        "KeyId": _KEY_ID,
        "PolicyName": _POLICY_NAME,
        "Policy": _REQUIRED_POLICY,
        "BypassPolicyLockoutSafetyCheck": _BOOLEAN,
    },
    "GetKeyPolicy": {"KeyId": _KEY_ID, "PolicyName": _POLICY_NAME},
    "ListGrants": {"KeyId": _KEY_ID, **_PAGE},
    "TagResource": {"KeyId": _KEY_ID, "Tags": Member(Kind.TAG_LIST, required=True, maximum=50)},
    "UntagResource": {
        "KeyId": _KEY_ID,
        "TagKeys": Member(Kind.STRING_LIST, required=True, maximum=50),
    },
    "ListResourceTags": {"KeyId": _KEY_ID, **_PAGE},
    "GenerateDataKey": _DATA_KEY,
    "GenerateDataKeyWithoutPlaintext": _DATA_KEY,
    "Encrypt": {
        "KeyId": _KEY_ID,
        "Plaintext": Member(Kind.BLOB, required=True, minimum=1, maximum=4096),
        "EncryptionContext": _CONTEXT,
        "EncryptionAlgorithm": _ALGORITHM,
        **_CRYPTO,
    },
    "Decrypt": {
        "CiphertextBlob": _CIPHERTEXT,
        "EncryptionContext": _CONTEXT,
        "KeyId": _OPTIONAL_KEY_ID,
        "EncryptionAlgorithm": _ALGORITHM,
        **_CRYPTO,
    },
    "ReEncrypt": {
        "CiphertextBlob": _CIPHERTEXT,
        "SourceEncryptionContext": _CONTEXT,
        "SourceKeyId": _OPTIONAL_KEY_ID,
        "DestinationKeyId": _KEY_ID,
        "DestinationEncryptionContext": _CONTEXT,
        "SourceEncryptionAlgorithm": _ALGORITHM,
        "DestinationEncryptionAlgorithm": _ALGORITHM,
        **_CRYPTO,
    },
}


def validate(operation: str, parameters: Mapping[str, object]) -> dict[str, Value]:
    """Return the parameters of a request as Python values, blobs decoded.

    Raises:
        KmsServiceError: ValidationException, or SerializationException for a wrong JSON type.
    """
    members = REQUESTS[operation]
    unknown = sorted(parameters.keys() - members.keys())
    if unknown:
        raise invalid(f"LocalKms has no parameter {', '.join(unknown)} for {operation}")
    values: dict[str, Value] = {}
    for name, member in members.items():
        raw = parameters.get(name)
        if raw is not None:
            values[name] = _read(name, member, raw)
        elif member.required:
            raise _violation(name, "null", "Member must not be null")
    return values


def _read(name: str, member: Member, raw: object) -> Value:
    value = _deserialize(name, member.kind, raw)
    size = value if isinstance(value, int) else len(value)
    what = "value" if member.kind is Kind.INTEGER else "length"
    # Blobs, which may be secret, and contexts stay out of error messages.
    shown = f"'{value}'" if isinstance(value, str | int) else ""
    if member.minimum is not None and size < member.minimum:
        raise _violation(name, shown, f"Member must have {what} greater than or equal to {member.minimum}")
    if member.maximum is not None and size > member.maximum:
        raise _violation(name, shown, f"Member must have {what} less than or equal to {member.maximum}")
    if isinstance(value, str):
        if member.choices is not None and value not in member.choices:
            choices = ", ".join(sorted(member.choices))
            raise _violation(name, shown, f"Member must satisfy enum value set: [{choices}]")
        if member.pattern is not None and not re.fullmatch(member.pattern, value):
            raise _violation(name, shown, f"Member must satisfy regular expression pattern: {member.pattern}")
    return value


def _deserialize(name: str, kind: Kind, raw: object) -> Value:
    """Turn a JSON value into a Python value of the member's kind."""
    if kind is Kind.STRING and isinstance(raw, str):
        return raw
    if kind is Kind.BLOB and isinstance(raw, str):
        try:
            return base64.b64decode(raw, validate=True)
        except binascii.Error:
            raise KmsServiceError("SerializationException", f"{name} is not base64") from None
    if kind is Kind.BOOLEAN and isinstance(raw, bool):
        return raw
    if kind is Kind.INTEGER and isinstance(raw, int) and not isinstance(raw, bool):
        return raw
    if kind is Kind.STRING_MAP and isinstance(raw, dict):
        if all(isinstance(value, str) for value in raw.values()):
            return dict(raw)
    elif kind is Kind.STRING_LIST and isinstance(raw, list):
        if all(isinstance(value, str) for value in raw):
            return list(raw)
    elif kind is Kind.TAG_LIST and isinstance(raw, list):
        return _read_tags(raw)
    raise KmsServiceError("SerializationException", f"{name} is not a JSON {kind.value}")


def _read_tags(raw: list[object]) -> dict[str, str]:
    tags: dict[str, str] = {}
    for tag in raw:
        if not isinstance(tag, dict) or tag.keys() != {"TagKey", "TagValue"}:
            raise KmsServiceError("SerializationException", "a tag is not an object of TagKey and TagValue")
        key, value = tag["TagKey"], tag["TagValue"]
        if not isinstance(key, str) or not isinstance(value, str):
            raise KmsServiceError("SerializationException", "TagKey or TagValue is not a string")
        if not 1 <= len(key) <= 128 or len(value) > 256 or key.startswith("aws:") or key in tags:
            raise KmsServiceError("TagException", "a tag key is reserved, doubled, or a tag is too long")
        tags[key] = value
    return tags


def _violation(name: str, shown: str, constraint: str) -> KmsServiceError:
    member = name[0].lower() + name[1:]
    value = f"Value {shown} at" if shown else "Value at"
    return invalid(f"1 validation error detected: {value} '{member}' failed to satisfy constraint: {constraint}")
