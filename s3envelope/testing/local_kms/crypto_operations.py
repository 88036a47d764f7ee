"""The cryptographic operations."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass

from s3envelope.testing.local_kms.blobs import NONCE_SIZE, open_blob, parse_blob, seal_blob
from s3envelope.testing.local_kms.errors import KmsServiceError, invalid, unsupported
from s3envelope.testing.local_kms.keys import RegionalKey
from s3envelope.testing.local_kms.request import Answer, Request

_KEY_SPEC_SIZES = {"AES_256": 32, "AES_128": 16}
_SYMMETRIC = "SYMMETRIC_DEFAULT"


def _base64(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")


def _material_id(raw: bytes) -> str:
    return raw.hex()


def _require_algorithm(request: Request, name: str, key: RegionalKey) -> None:
    """Raise unless the algorithm fits the key, and is one that this server has."""
    algorithm = request.text(name) or _SYMMETRIC
    if algorithm == _SYMMETRIC:
        return
    if not key.family.spec.startswith("RSA_"):
        raise KmsServiceError(
            "InvalidKeyUsageException", f"{algorithm} is not valid for the key spec {key.family.spec}."
        )
    raise unsupported("LocalKms keeps asymmetric keys but does not encrypt with them")


def _seal(request: Request, key: RegionalKey, plaintext: bytes, context: Mapping[str, str]) -> bytes:
    store = request.store
    return seal_blob(
        key.family.wrapping_key(),
        plaintext,
        context,
        nonce=store.random(NONCE_SIZE),
        service_secret=store.service_secret,
    )


def _encryption_key(
    request: Request, name: str, *, action: str, algorithm: str, context: Mapping[str, str]
) -> RegionalKey:
    """Return the key that is to encrypt, after every check."""
    key = request.store.resolve(request.caller.region, request.text(name), aliases=True)
    request.authorize(key, action, context)
    _require_algorithm(request, algorithm, key)
    key.require_encryption(request.operation)
    return key


@dataclass(frozen=True, slots=True, repr=False)
class _Opened:
    key: RegionalKey
    material_id: bytes
    plaintext: bytes


def _open(request: Request, key_name: str, *, action: str, algorithm: str, context: Mapping[str, str]) -> _Opened:
    """Decrypt the request's ciphertext, in AWS's order of checks."""
    store, region = request.store, request.caller.region
    expected = None
    if request.text(key_name):
        expected = store.resolve(region, request.text(key_name), aliases=True)
        _require_algorithm(request, algorithm, expected)
    blob = parse_blob(request.blob("CiphertextBlob"), store.service_secret)
    if expected is not None and expected.key_id != blob.key_id:
        raise KmsServiceError(
            "IncorrectKeyException",
            "The key ID in the request does not identify a CMK that can perform this operation.",
        )
    key = store.find(region, blob.key_id)
    if key is None:
        raise KmsServiceError(
            "AccessDeniedException",
            "The ciphertext refers to a customer master key that does not exist, does not exist in this region, "
            "or you are not allowed to access.",
        )
    request.authorize(key, action, context)
    _require_algorithm(request, algorithm, key)
    key.require_encryption(request.operation)
    secret = key.family.secret_of(blob.material_id)
    return _Opened(key, blob.material_id, open_blob(blob, secret, context))


def _data_key_size(request: Request) -> int:
    key_spec, size = request.text("KeySpec"), request.integer("NumberOfBytes")
    if bool(key_spec) is bool(size):
        raise invalid("Please specify either number of bytes or key spec.")
    return size or _KEY_SPEC_SIZES[key_spec]


def _generate(request: Request) -> tuple[bytes, Answer]:
    """Return a data key and the answer without it."""
    size = _data_key_size(request)
    context = request.mapping("EncryptionContext")
    key = _encryption_key(request, "KeyId", action=request.operation, algorithm="EncryptionAlgorithm", context=context)
    request.stop_if_dry_run()
    plaintext = request.store.random(size)
    return plaintext, {
        "KeyId": key.arn,
        "CiphertextBlob": _base64(_seal(request, key, plaintext, context)),
        "KeyMaterialId": _material_id(key.family.current.material_id),
    }


def generate_data_key(request: Request) -> Answer:
    """GenerateDataKey."""
    plaintext, answer = _generate(request)
    return {"Plaintext": _base64(plaintext), **answer}


def generate_data_key_without_plaintext(request: Request) -> Answer:
    """GenerateDataKeyWithoutPlaintext."""
    return _generate(request)[1]


def encrypt(request: Request) -> Answer:
    """Encrypt."""
    context = request.mapping("EncryptionContext")
    key = _encryption_key(request, "KeyId", action="Encrypt", algorithm="EncryptionAlgorithm", context=context)
    request.stop_if_dry_run()
    return {
        "KeyId": key.arn,
        "CiphertextBlob": _base64(_seal(request, key, request.blob("Plaintext"), context)),
        "EncryptionAlgorithm": _SYMMETRIC,
    }


def decrypt(request: Request) -> Answer:
    """Decrypt."""
    opened = _open(
        request,
        "KeyId",
        action="Decrypt",
        algorithm="EncryptionAlgorithm",
        context=request.mapping("EncryptionContext"),
    )
    request.stop_if_dry_run()
    return {
        "KeyId": opened.key.arn,
        "Plaintext": _base64(opened.plaintext),
        "EncryptionAlgorithm": _SYMMETRIC,
        "KeyMaterialId": _material_id(opened.material_id),
    }


def re_encrypt(request: Request) -> Answer:
    """ReEncrypt."""
    opened = _open(
        request,
        "SourceKeyId",
        action="ReEncryptFrom",
        algorithm="SourceEncryptionAlgorithm",
        context=request.mapping("SourceEncryptionContext"),
    )
    context = request.mapping("DestinationEncryptionContext")
    key = _encryption_key(
        request,
        "DestinationKeyId",
        action="ReEncryptTo",
        algorithm="DestinationEncryptionAlgorithm",
        context=context,
    )
    request.stop_if_dry_run()
    return {
        "CiphertextBlob": _base64(_seal(request, key, opened.plaintext, context)),
        "SourceKeyId": opened.key.arn,
        "KeyId": key.arn,
        "SourceEncryptionAlgorithm": _SYMMETRIC,
        "DestinationEncryptionAlgorithm": _SYMMETRIC,
        "SourceKeyMaterialId": _material_id(opened.material_id),
        "DestinationKeyMaterialId": _material_id(key.family.current.material_id),
    }
