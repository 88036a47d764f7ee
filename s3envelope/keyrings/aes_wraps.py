"""Data keys of the Amazon formats under an AES key of 16, 24 or 32 bytes."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap

from s3envelope.core.secret import SecretBytes, overwrite_bytes, overwrite_cipher_stack
from s3envelope.formats.s3ec.failure import does_not_open
from s3envelope.formats.s3ec.model import DATA_KEY_SIZE, TAG_SIZE, ContentAlgorithm, S3ecEnvelope, WrapAlgorithm
from s3envelope.formats.s3ec.ports import S3ecDataKey

WRAPS = frozenset({WrapAlgorithm.AES_GCM, WrapAlgorithm.AES_WRAP, WrapAlgorithm.AES_ECB})
KEY_SIZES = (16, 24, 32)
_IV_SIZE = 12
_PADDING = bytes([16]) * 16


def make_data_key(
    wrapping_key: SecretBytes,
    content: ContentAlgorithm,
    description: Mapping[str, str] | None,
    random: Callable[[int], bytes],
) -> S3ecDataKey:
    """Return a random data key, wrapped by AES-GCM and bound to the content algorithm."""
    plaintext = SecretBytes.take(random(DATA_KEY_SIZE))
    try:
        # INVARIANT: a fresh IV for every wrap, for the wrapping key is used again and again.
        iv = random(_IV_SIZE)
        sealed = AESGCM(wrapping_key.view()).encrypt(iv, plaintext.view(), content.value.encode("ascii"))
    except BaseException:
        plaintext.wipe()
        raise
    finally:
        overwrite_cipher_stack()
    return S3ecDataKey(plaintext, iv + sealed, WrapAlgorithm.AES_GCM, dict(description or {}))


def open_data_key(wrapping_key: SecretBytes, envelope: S3ecEnvelope) -> SecretBytes:
    """Return the data key of an object that is wrapped by one of `WRAPS`.

    Raises:
        S3ecDecryptionError: The wrapping key does not open it.
    """
    unwrap = {
        WrapAlgorithm.AES_GCM: _open_gcm,
        WrapAlgorithm.AES_WRAP: _open_key_wrap,
        WrapAlgorithm.AES_ECB: _open_ecb,
    }[envelope.wrap]
    try:
        return unwrap(wrapping_key, envelope)
    finally:
        overwrite_cipher_stack()


def _open_gcm(wrapping_key: SecretBytes, envelope: S3ecEnvelope) -> SecretBytes:
    wrapped = envelope.encrypted_data_key
    plaintext = bytearray(DATA_KEY_SIZE)
    if len(wrapped) != _IV_SIZE + DATA_KEY_SIZE + TAG_SIZE:
        raise does_not_open()
    # INVARIANT: the name of the content algorithm is authenticated, so that no key is used for another one.
    associated = envelope.content.value.encode("ascii")
    try:
        AESGCM(wrapping_key.view()).decrypt_into(wrapped[:_IV_SIZE], wrapped[_IV_SIZE:], associated, plaintext)
    except InvalidTag:
        plaintext[:] = bytes(len(plaintext))
        raise does_not_open() from None
    return SecretBytes.take(plaintext)


def _open_key_wrap(wrapping_key: SecretBytes, envelope: S3ecEnvelope) -> SecretBytes:
    try:
        plaintext = aes_key_unwrap(wrapping_key.view(), envelope.encrypted_data_key)
    except InvalidUnwrap:
        raise does_not_open() from None
    return _taken(plaintext, len(plaintext) == DATA_KEY_SIZE)


def _open_ecb(wrapping_key: SecretBytes, envelope: S3ecEnvelope) -> SecretBytes:
    if len(envelope.encrypted_data_key) != DATA_KEY_SIZE + len(_PADDING):
        raise does_not_open()
    decryptor = Cipher(algorithms.AES(wrapping_key.view()), modes.ECB()).decryptor()  # noqa: S305  # what V1 wrote
    padded = decryptor.update(envelope.encrypted_data_key)
    # INVARIANT: only a whole block of padding is legal, so that nobody learns one byte after the other from it.
    is_padded = hmac.compare_digest(memoryview(padded)[DATA_KEY_SIZE:], _PADDING)
    return _taken(padded, is_padded)


def _taken(plaintext: bytes, is_legal: bool) -> SecretBytes:
    """Return the data key at the beginning of what was decrypted, which is overwritten."""
    try:
        if not is_legal:
            raise does_not_open()
        return SecretBytes(memoryview(plaintext)[:DATA_KEY_SIZE])
    finally:
        overwrite_bytes(plaintext)
