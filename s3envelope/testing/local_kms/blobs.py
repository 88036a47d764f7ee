"""The ciphertexts of the service: 152 bytes longer than their plaintext, as long as AWS's for a 32-byte data key.

prefix 5 | flags 1 | key id 16 | key material id 32 | padding 38 | nonce 12 | ciphertext and tag N + 16 | seal 32

The tag covers everything before the nonce and the encryption context. The seal is a MAC under a secret of the service:
it tells a ciphertext that was changed from a whole one whose key is not in this Region, which AWS answers differently.
"""

from __future__ import annotations

import hmac
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from s3envelope.testing.local_kms.errors import KmsServiceError

PREFIX = bytes.fromhex("0102030078")
NONCE_SIZE = 12
_MULTI_REGION = 1
_KEY_ID_START = len(PREFIX) + 1
_MATERIAL_START = _KEY_ID_START + 16
_PADDING_START = _MATERIAL_START + 32
_PADDING = bytes(38)
_NONCE_START = _PADDING_START + len(_PADDING)
_BODY_START = _NONCE_START + NONCE_SIZE
_SEAL_SIZE = 32


@dataclass(frozen=True, slots=True)
class Blob:
    """A ciphertext whose seal is whole: this service made it."""

    key_id: str
    material_id: bytes
    nonce: bytes
    body: bytes
    header: bytes


def canonical_context(context: Mapping[str, str]) -> bytes:
    """Return one spelling per encryption context, different for different ones."""
    return json.dumps(dict(context), sort_keys=True, separators=(",", ":")).encode("ascii")


def _seal(service_secret: bytes, sealed: bytes) -> bytes:
    return hmac.digest(service_secret, sealed, "sha256")


def _encode_key_id(key_id: str) -> bytes:
    multi_region = key_id.startswith("mrk-")
    digits = key_id[4:] if multi_region else key_id
    return bytes([_MULTI_REGION if multi_region else 0]) + uuid.UUID(digits).bytes


def _decode_key_id(raw: bytes) -> str:
    digits = uuid.UUID(bytes=raw[1:])
    return f"mrk-{digits.hex}" if raw[0] & _MULTI_REGION else str(digits)


@dataclass(frozen=True, slots=True, repr=False)
class WrappingKey:
    """One key material of one key, as ciphertexts need it: 32 bytes each of name and secret."""

    key_id: str
    material_id: bytes
    secret: bytes


def seal_blob(
    key: WrappingKey, plaintext: bytes, context: Mapping[str, str], *, nonce: bytes, service_secret: bytes
) -> bytes:
    """Return the ciphertext of a plaintext under a key material and a context."""
    header = PREFIX + _encode_key_id(key.key_id) + key.material_id + _PADDING
    body = AESGCM(key.secret).encrypt(nonce, plaintext, header + canonical_context(context))
    sealed = header + nonce + body
    return sealed + _seal(service_secret, sealed)


def parse_blob(ciphertext: bytes, service_secret: bytes) -> Blob:
    """Read what a ciphertext says about itself.

    Raises:
        KmsServiceError: InvalidCiphertextException, for anything that this service did not make.
    """
    sealed, seal = ciphertext[:-_SEAL_SIZE], ciphertext[-_SEAL_SIZE:]
    # INVARIANT: nothing of a ciphertext is read before its seal is checked, so that every flipped bit is one answer.
    if not hmac.compare_digest(seal, _seal(service_secret, sealed)):
        raise KmsServiceError("InvalidCiphertextException")
    return Blob(
        key_id=_decode_key_id(sealed[_KEY_ID_START - 1 : _MATERIAL_START]),
        material_id=sealed[_MATERIAL_START:_PADDING_START],
        nonce=sealed[_NONCE_START:_BODY_START],
        body=sealed[_BODY_START:],
        header=sealed[:_NONCE_START],
    )


def open_blob(blob: Blob, secret: bytes, context: Mapping[str, str]) -> bytes:
    """Return the plaintext.

    Raises:
        KmsServiceError: InvalidCiphertextException, for another context than the one it was made under.
    """
    try:
        return AESGCM(secret).decrypt(blob.nonce, blob.body, blob.header + canonical_context(context))
    except InvalidTag:
        raise KmsServiceError("InvalidCiphertextException") from None
