"""Data keys under a 32-byte master key of one's own, for use without a key service.

Source: FORMAT.md, section "Raw AES keyring".
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
import struct
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from s3envelope.core.context import EncryptionContext
from s3envelope.core.ports import DataKey, EncryptedDataKey
from s3envelope.core.secret import SecretBytes
from s3envelope.errors import ConfigurationError, KeyAccessError, NoMatchingKeyError

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

    Args:
        master_key: 32 uniformly random bytes; not a password.
        key_id: 1 to 64 characters 0x21-0x7E. One master key per key id, for ever. By default it is derived from the
            master key, and so cannot be given to two.
        random: A source of random bytes.

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
    ) -> None:
        self._master_key = master_key.copy() if isinstance(master_key, SecretBytes) else SecretBytes(master_key)
        if len(self._master_key) != _KEY_SIZE:
            raise ConfigurationError(f"the master key has {len(self._master_key)} bytes; use {_KEY_SIZE} random ones")
        if key_id is None:
            key_id = _hkdf(self._master_key, b"", _KEY_ID_INFO)[:8].hex()
        if not _KEY_ID.fullmatch(key_id):
            raise ConfigurationError("the key id of a raw keyring must be 1 to 64 printable characters without spaces")
        self._key_id = key_id
        self._hint = hashlib.sha256(f"raw:{key_id}".encode()).digest()[:4]
        self._random = random

    @classmethod
    def from_file(
        cls, path: str | os.PathLike[str], key_id: str | None = None, *, create: bool = True
    ) -> RawAesKeyring:
        """Return the keyring of the master key in a file of 32 bytes that only its owner can read.

        Args:
            path: Of the file.
            key_id: See the class.
            create: Make the file, with a random key and mode 0600, if it does not exist. Keep a copy of it: without
                it every object written with it is lost.

        Raises:
            ConfigurationError: The file does not exist and `create` is false, others can read or write it, or it has
                not 32 bytes.
        """
        location = Path(path)
        if create:
            _create_key_file(location)
        with SecretBytes.take(_read_key_file(location)) as master_key:
            return cls(master_key, key_id)

    @property
    def key_ids(self) -> frozenset[str]:
        """The key id, with the prefix `raw:`."""
        return frozenset({f"raw:{self._key_id}"})

    @property
    def encrypted_data_key_sizes(self) -> tuple[int, ...]:
        """One key of 80 bytes."""
        return (_WRAPPED_SIZE,)

    def generate_data_key(self, context: EncryptionContext) -> DataKey:
        """Return a random data key, wrapped once."""
        plaintext = SecretBytes(self._random(_KEY_SIZE))
        return DataKey(plaintext, (self.encrypt_data_key(plaintext, context),))

    def encrypt_data_key(self, plaintext: SecretBytes, context: EncryptionContext) -> EncryptedDataKey:
        """Wrap a data key under a key-encryption key that is used once."""
        salt = self._random(_SALT_SIZE)
        sealed = self._aead(salt).encrypt(_NONCE, plaintext.view(), self._associated(context))
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

    def _unwrap(self, key: EncryptedDataKey, context: EncryptionContext) -> SecretBytes | None:
        if len(key.ciphertext) != _WRAPPED_SIZE:
            return None
        salt, sealed = key.ciphertext[:_SALT_SIZE], key.ciphertext[_SALT_SIZE:]
        try:
            return SecretBytes(self._aead(salt).decrypt(_NONCE, sealed, self._associated(context)))
        except InvalidTag:
            return None

    def _aead(self, salt: bytes) -> AESGCM:
        # INVARIANT: the nonce is constant because this key seals one message only: its salt is fresh for every wrap.
        return AESGCM(_hkdf(self._master_key, salt, _INFO))

    def _associated(self, context: EncryptionContext) -> bytes:
        key_id = self._key_id.encode("ascii")
        return _INFO + struct.pack(">I", len(key_id)) + key_id + context.canonical_for_key_service()

    def __repr__(self) -> str:
        return f"<RawAesKeyring {self._key_id!r}>"


def _hkdf(key: SecretBytes, salt: bytes, info: bytes) -> bytearray:
    output = bytearray(_KEY_SIZE)
    HKDF(algorithm=SHA512(), length=_KEY_SIZE, salt=salt or None, info=info).derive_into(key.view(), output)
    return output


def _create_key_file(path: Path) -> None:
    """Create a key file that never exists with less than its whole content; keep one that is there."""
    if path.exists():
        return
    try:
        # A name of its own for every attempt, and mode 0600 from the start.
        descriptor, temporary = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".tmp", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(os.urandom(_KEY_SIZE))
                file.flush()
                os.fsync(file.fileno())
            # A hard link fails if somebody else was faster; that key then counts.
            os.link(temporary, path)
        finally:
            os.unlink(temporary)
    except FileExistsError:
        pass
    except OSError as error:
        raise ConfigurationError(f"the key file {path} cannot be created: {error.strerror}") from error


def _read_key_file(path: Path) -> bytearray:
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            if os.name == "posix" and stat.S_IMODE(status.st_mode) & 0o077:
                raise ConfigurationError(
                    f"the key file {path} has mode {stat.S_IMODE(status.st_mode):04o}; others must not read it: "
                    "chmod 600, and think of the key as known"
                )
            content = bytearray(_KEY_SIZE + 1)
            size = file.readinto(content)
    except OSError as error:
        raise ConfigurationError(f"the key file {path} cannot be read: {error.strerror}") from error
    if size != _KEY_SIZE:
        content[:] = bytes(len(content))
        raise ConfigurationError(f"the key file {path} has not {_KEY_SIZE} bytes; it is no raw master key")
    del content[_KEY_SIZE:]
    return content
