"""Data keys under a 32-byte master key of one's own, for use without a key service.

Source: FORMAT.md, section "Raw AES keyring".
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from s3envelope.core.context import EncryptionContext
from s3envelope.core.hints import RAW_PREFIX, key_hint
from s3envelope.core.ports import DataKey, EncryptedDataKey
from s3envelope.core.secret import SecretBytes, overwrite_cipher_stack
from s3envelope.errors import ConfigurationError, KeyAccessError, NoMatchingKeyError
from s3envelope.formats.s3ec.model import ContentAlgorithm, S3ecEnvelope, WrapAlgorithm
from s3envelope.formats.s3ec.ports import S3ecDataKey
from s3envelope.keyrings import aes_wraps
from s3envelope.keyrings.material_descriptions import check_is_own, check_material_description, check_no_context
from s3envelope.private_files import create_key_file, read_key_file

_KEY_SIZE = 32
_SALT_SIZE = 32
_WRAPPED_SIZE = _SALT_SIZE + _KEY_SIZE + 16
_INFO = b"s3envelope/SE1/raw"
_KEY_ID_INFO = b"s3envelope/raw key id"
_KEY_ID = re.compile(r"[!-~]{1,64}", re.ASCII)
_NONCE = bytes(12)


class RawAesKeyring:
    """Wraps data keys under a master key that this process holds.

    Whoever has the master key can open every object that was written with it; there is no audit trail and no way to
    disable it. Use a key service where there is one.

    It serves the Amazon formats too, where the master key is the wrapping key; `S3ecAesKeyring` takes shorter ones.

    Args:
        master_key: 32 uniformly random bytes; not a password.
        key_id: 1 to 64 characters 0x21-0x7E. One master key per key id, for ever. By default it is derived from the
            master key, and so cannot be given to two.
        random: A source of random bytes.
        material_description: For the Amazon formats only: is stored beside what is written in them, and only objects
            that have exactly it are read. `None` writes an empty one and reads objects of every description.

    Raises:
        ConfigurationError: The master key has not 32 bytes, or the key id has other characters.

    Source: FORMAT.md, section "Raw AES keyring".
    """

    def __init__(
        self,
        master_key: bytes | bytearray | SecretBytes,
        key_id: str | None = None,
        *,
        random: Callable[[int], bytes] = os.urandom,
        material_description: Mapping[str, str] | None = None,
    ) -> None:
        self._master_key = master_key.copy() if isinstance(master_key, SecretBytes) else SecretBytes(master_key)
        if len(self._master_key) != _KEY_SIZE:
            raise ConfigurationError(f"the master key has {len(self._master_key)} bytes; use {_KEY_SIZE} random ones")
        if key_id is None:
            key_id = _hkdf(self._master_key, b"", _KEY_ID_INFO)[:8].hex()
        if not _KEY_ID.fullmatch(key_id):
            raise ConfigurationError("the key id of a raw keyring must be 1 to 64 printable characters without spaces")
        self._key_id = key_id
        self._hint = key_hint(f"{RAW_PREFIX}{key_id}")
        self._random = random
        self._description = check_material_description(material_description)

    @classmethod
    def from_file(
        cls,
        path: str | os.PathLike[str],
        key_id: str | None = None,
        *,
        create: bool = True,
        material_description: Mapping[str, str] | None = None,
    ) -> RawAesKeyring:
        """Return the keyring of the master key in a file of 32 bytes that only its owner can read.

        Args:
            path: Of the file.
            key_id: See the class.
            create: Make the file, with a random key and mode 0600, if it does not exist. Keep a copy of it: without
                it every object written with it is lost.
            material_description: See the class.

        Raises:
            ConfigurationError: The file does not exist and `create` is false, others can read or write it, or it has
                not 32 bytes.
        """
        location = Path(path)
        if create:
            create_key_file(location, _KEY_SIZE)
        with SecretBytes.take(read_key_file(location, _KEY_SIZE)) as master_key:
            return cls(master_key, key_id, material_description=material_description)

    @property
    def key_ids(self) -> frozenset[str]:
        """The key id, with the prefix `raw:`."""
        return frozenset({f"{RAW_PREFIX}{self._key_id}"})

    @property
    def encrypted_data_key_sizes(self) -> tuple[int, ...]:
        """One key of 80 bytes."""
        return (_WRAPPED_SIZE,)

    def generate_data_key(self, context: EncryptionContext) -> DataKey:
        """Return a random data key, wrapped once."""
        plaintext = SecretBytes.take(self._random(_KEY_SIZE))
        return DataKey(plaintext, (self.encrypt_data_key(plaintext, context),))

    def encrypt_data_key(self, plaintext: SecretBytes, context: EncryptionContext) -> EncryptedDataKey:
        """Wrap a data key under a key-encryption key that is used once."""
        salt = self._random(_SALT_SIZE)
        sealed = self._aead(salt).encrypt(_NONCE, plaintext.view(), self._associated(context))
        overwrite_cipher_stack()
        return EncryptedDataKey(self._hint, salt + sealed)

    def decrypt_data_keys(
        self, keys: Sequence[EncryptedDataKey], context: EncryptionContext
    ) -> Iterator[tuple[EncryptedDataKey, SecretBytes]]:
        """See `Keyring`."""
        candidates = [key for key in keys if key.hint == self._hint]
        if not candidates:
            raise NoMatchingKeyError(
                f"none of the object's {len(keys)} encrypted data keys belongs to the raw key {self._key_id!r}"
            )
        for key in candidates:
            plaintext = self._unwrap(key, context)
            if plaintext is not None:
                yield key, plaintext

    def reencrypt_data_key(
        self, key: EncryptedDataKey, context: EncryptionContext, *, source_key_arn: str
    ) -> EncryptedDataKey:
        """Wrap a data key of this keyring anew, under a fresh salt; `source_key_arn` must be its own key id."""
        if source_key_arn not in self.key_ids:
            raise KeyAccessError(f"the raw key {self._key_id!r} cannot open data keys of {source_key_arn!r}")
        plaintext = self._unwrap(key, context) if key.hint == self._hint else None
        if plaintext is None:
            raise NoMatchingKeyError(f"the encrypted data key does not belong to the raw key {self._key_id!r}")
        with plaintext:
            return self.encrypt_data_key(plaintext, context)

    @property
    def material_description(self) -> Mapping[str, str] | None:
        """What objects of the Amazon formats are described by; `None` if anything."""
        return self._description

    @property
    def s3ec_wraps(self) -> frozenset[WrapAlgorithm]:
        """All that AES has."""
        return aes_wraps.WRAPS

    def make_s3ec_data_key(self, content: ContentAlgorithm, context: Mapping[str, str]) -> S3ecDataKey:
        """See `S3ecKeyring`; the master key wraps by AES-GCM, and takes no context."""
        check_no_context(context)
        return aes_wraps.make_data_key(self._master_key, content, self._description, self._random)

    def open_s3ec_data_key(self, envelope: S3ecEnvelope) -> SecretBytes:
        """See `S3ecKeyring`."""
        check_is_own(envelope, self.s3ec_wraps, self._description, repr(self))
        return aes_wraps.open_data_key(self._master_key, envelope)

    def _unwrap(self, key: EncryptedDataKey, context: EncryptionContext) -> SecretBytes | None:
        if len(key.ciphertext) != _WRAPPED_SIZE:
            return None
        salt, sealed = key.ciphertext[:_SALT_SIZE], key.ciphertext[_SALT_SIZE:]
        plaintext = bytearray(_KEY_SIZE)
        try:
            self._aead(salt).decrypt_into(_NONCE, sealed, self._associated(context), plaintext)
        except InvalidTag:
            return None
        finally:
            overwrite_cipher_stack()
        return SecretBytes.take(plaintext)

    def _aead(self, salt: bytes) -> AESGCM:
        # INVARIANT: the nonce is constant because this key seals one message only: its salt is fresh for every wrap.
        with SecretBytes.take(_hkdf(self._master_key, salt, _INFO)) as wrapping_key:
            return AESGCM(wrapping_key.view())

    def _associated(self, context: EncryptionContext) -> bytes:
        key_id = self._key_id.encode("ascii")
        return _INFO + struct.pack(">I", len(key_id)) + key_id + context.canonical_for_key_service()

    def __repr__(self) -> str:
        return f"<RawAesKeyring {self._key_id!r}>"


def _hkdf(key: SecretBytes, salt: bytes, info: bytes) -> bytearray:
    output = bytearray(_KEY_SIZE)
    HKDF(algorithm=SHA512(), length=_KEY_SIZE, salt=salt or None, info=info).derive_into(key.view(), output)
    return output
