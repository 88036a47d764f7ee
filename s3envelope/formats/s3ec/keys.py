"""From the data key to what the body is encrypted with."""

from __future__ import annotations

import hmac

from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from s3envelope.core.ports import Random
from s3envelope.core.secret import SecretBytes
from s3envelope.errors import ConfigurationError, KeyCommitmentError
from s3envelope.formats.s3ec.failure import does_not_open
from s3envelope.formats.s3ec.metadata import COMMITMENT_SIZE, IV_SIZES
from s3envelope.formats.s3ec.model import DATA_KEY_SIZE, ContentAlgorithm, S3ecEnvelope
from s3envelope.formats.s3ec.ports import S3ecDataKey

_SUITE = b"\x00\x73"
_KEY_INFO, _COMMITMENT_INFO = _SUITE + b"DERIVEKEY", _SUITE + b"COMMITKEY"
# INVARIANT: constant, because a derived key encrypts one message only: its message id is fresh for each.
_V3_IV = bytes([1]) * 12
_CONTENTS = {2: ContentAlgorithm.GCM, 3: ContentAlgorithm.GCM_COMMITTED}


def content_of(version: int) -> ContentAlgorithm:
    """Return the content algorithm that a version is written with, 2 or 3."""
    return _CONTENTS[version]


def new_envelope(
    version: int, data_key: S3ecDataKey, random: Random, *, plaintext_size: int | None = None
) -> S3ecEnvelope:
    """Return the description of an object to be written.

    Args:
        version: 2 or 3; the data key was made for `content_of(version)`.
        data_key: Stays the caller's, to be wiped.
        random: Gives the IV, or the message id of V3.
        plaintext_size: In bytes, where it is known; only V2 stores it.

    Raises:
        ConfigurationError: The source of random bytes does not work.
    """
    content = content_of(version)
    iv = random(IV_SIZES[content])
    if len(iv) != IV_SIZES[content] or not any(iv):
        raise ConfigurationError("the source of random bytes returned none; use a working one")
    commitment = None
    if version == 3:
        commitment = _commitment(data_key.plaintext, iv)
    return S3ecEnvelope(
        version=version,
        content=content,
        wrap=data_key.wrap,
        encrypted_data_key=data_key.encrypted,
        iv=iv,
        commitment=commitment,
        description=data_key.description,
        plaintext_size=plaintext_size,
    )


def derive(data_key: SecretBytes, message_id: bytes) -> tuple[SecretBytes, bytes]:
    """Return (key of the body, commitment) of V3; the caller wipes the key."""
    return SecretBytes.take(_hkdf(data_key, message_id, _KEY_INFO, DATA_KEY_SIZE)), _commitment(data_key, message_id)


def content_key(envelope: S3ecEnvelope, data_key: SecretBytes) -> SecretBytes:
    """Return the key of an object's body; the caller wipes it, and the data key too.

    Raises:
        KeyCommitmentError: The data key is not the one that the object commits to.
        S3ecDecryptionError: The data key has not 32 bytes.
    """
    if len(data_key) != DATA_KEY_SIZE:
        raise does_not_open()
    if envelope.content is not ContentAlgorithm.GCM_COMMITTED:
        return data_key.copy()
    # INVARIANT: compared before the key of the body exists, and in constant time.
    if not hmac.compare_digest(_commitment(data_key, envelope.iv), envelope.commitment or b""):
        raise KeyCommitmentError("the object's key opens, but it is not the one that the object commits to")
    return SecretBytes.take(_hkdf(data_key, envelope.iv, _KEY_INFO, DATA_KEY_SIZE))


def content_iv(envelope: S3ecEnvelope) -> bytes:
    """Return the IV of an object's body: 12 bytes for GCM, 16 for CBC."""
    return _V3_IV if envelope.content is ContentAlgorithm.GCM_COMMITTED else envelope.iv


def content_associated(envelope: S3ecEnvelope) -> bytes:
    """Return the associated data of an object's body; nothing but the algorithm's number in V3."""
    return _SUITE if envelope.content is ContentAlgorithm.GCM_COMMITTED else b""


def _commitment(data_key: SecretBytes, message_id: bytes) -> bytes:
    return bytes(_hkdf(data_key, message_id, _COMMITMENT_INFO, COMMITMENT_SIZE))


def _hkdf(data_key: SecretBytes, message_id: bytes, info: bytes, size: int) -> bytearray:
    output = bytearray(size)
    HKDF(algorithm=SHA512(), length=size, salt=message_id, info=info).derive_into(data_key.view(), output)
    return output
