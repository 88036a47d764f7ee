"""Where the key of the disk cache comes from. It never lies in the folder of the cache."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, runtime_checkable

import platformdirs
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from s3envelope.caches.sealed import CACHE_KEY_SIZE
from s3envelope.core.secret import SecretBytes
from s3envelope.errors import CacheError, ConfigurationError
from s3envelope.private_files import create_key_file, read_key_file, replace_key_file

KEY_VARIABLE = "S3ENVELOPE_CACHE_KEY"
_FILE_VARIABLE = "S3ENVELOPE_CACHE_KEY_FILE"
_SALT_NAME, _SALT_SIZE = "salt", 16
_SCRYPT = {"n": 2**16, "r": 8, "p": 2}
_LEAST_PASSPHRASE = 12


@runtime_checkable
class CacheKeySource(Protocol):
    """Gives the 32-byte key under which a disk cache seals its entries.

    Another key makes every entry a miss, and that is all.
    """

    def load(self, folder: Path) -> SecretBytes:
        """Return the key, for the caller to wipe. Must raise `CacheError` when there is none.

        Args:
            folder: Of the cache. It exists, and only its owner can write to it.
        """
        ...

    def replace(self, folder: Path) -> None:
        """Make another key. Must raise `CacheError` when that cannot be done from here."""
        ...


class CacheKeyFile:
    """A file of 32 random bytes with mode 0600, made when it is first needed.

    Args:
        path: Outside the folder of the cache; by default what `S3ENVELOPE_CACHE_KEY_FILE` says, or `cache.key` in the
            user's data folder.
    """

    def __init__(self, path: str | os.PathLike[str] | None = None) -> None:
        self._path = None if path is None else Path(path)

    def load(self, folder: Path) -> SecretBytes:
        """See `CacheKeySource`."""
        path = self._checked_path(folder)
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            create_key_file(path, CACHE_KEY_SIZE)
            return SecretBytes.take(read_key_file(path, CACHE_KEY_SIZE))
        except (OSError, ConfigurationError) as error:
            raise CacheError(f"the key of the data-key cache cannot be had: {error}") from error

    def replace(self, folder: Path) -> None:
        """See `CacheKeySource`."""
        path = self._checked_path(folder)
        try:
            replace_key_file(path, CACHE_KEY_SIZE)
        except ConfigurationError as error:
            raise CacheError(str(error)) from error

    def _checked_path(self, folder: Path) -> Path:
        path = self._path or Path(os.environ.get(_FILE_VARIABLE) or _default_key_file())
        if self._path is None and not path.is_absolute():
            raise CacheError(f"there is no home folder to keep the cache key in; set {_FILE_VARIABLE} to a whole path")
        if folder.resolve() in path.resolve().parents:
            raise CacheError(f"the key file {path} is in the folder of the cache; keep it elsewhere")
        return path


class CacheKeyVariable:
    """An environment variable with 32 bytes in base64.

    Args:
        name: Of the variable.
    """

    def __init__(self, name: str = KEY_VARIABLE) -> None:
        self._name = name

    def load(self, folder: Path) -> SecretBytes:
        """See `CacheKeySource`."""
        value = os.environ.get(self._name)
        if value is None:
            raise CacheError(f"{self._name} is not set; set it to 32 random bytes in base64")
        return _decoded(value, self._name)

    def replace(self, folder: Path) -> None:
        """Refuse: who set the variable must set it anew."""
        raise CacheError(f"{self._name} cannot be changed from here; set it to another value")


class CacheKeyPassphrase:
    """A passphrase, stretched with scrypt. The salt lies with the cache.

    Args:
        passphrase: 12 characters at least, or a function that returns them when they are needed.

    Raises:
        ConfigurationError: It is shorter.
    """

    def __init__(self, passphrase: str | Callable[[], str]) -> None:
        if isinstance(passphrase, str):
            _check_passphrase(passphrase)
        self._passphrase = passphrase

    def load(self, folder: Path) -> SecretBytes:
        """See `CacheKeySource`."""
        passphrase = self._passphrase if isinstance(self._passphrase, str) else self._passphrase()
        _check_passphrase(passphrase)
        try:
            create_key_file(folder / _SALT_NAME, _SALT_SIZE)
            salt = bytes(read_key_file(folder / _SALT_NAME, _SALT_SIZE))
        except ConfigurationError as error:
            raise CacheError(f"the salt of the passphrase cannot be had: {error}") from error
        return SecretBytes.take(Scrypt(salt=salt, length=CACHE_KEY_SIZE, **_SCRYPT).derive(passphrase.encode("utf-8")))

    def replace(self, folder: Path) -> None:
        """Draw another salt; the passphrase stays."""
        try:
            replace_key_file(folder / _SALT_NAME, _SALT_SIZE)
        except ConfigurationError as error:
            raise CacheError(str(error)) from error

    def __repr__(self) -> str:
        return "<CacheKeyPassphrase>"


class CacheKeyInKeyring:
    """An entry of the operating system's keyring, made when it is first needed. It takes the extra `[keyring]`.

    Args:
        service, name: Of the entry.
    """

    def __init__(self, service: str = "s3envelope", name: str = "data-key cache") -> None:
        self._service = service
        self._name = name

    def load(self, folder: Path) -> SecretBytes:
        """See `CacheKeySource`."""
        keyring = _keyring_package()
        try:
            stored = keyring.get_password(self._service, self._name)
            if stored is None:
                self._store_new(keyring)
                # Somebody else may have been faster.
                stored = keyring.get_password(self._service, self._name)
        except (keyring.errors.KeyringError, RuntimeError, OSError) as error:
            raise CacheError(f"the keyring of the operating system cannot be used: {error}") from error
        return _decoded(stored or "", f"the entry {self._name!r} of the keyring")

    def replace(self, folder: Path) -> None:
        """See `CacheKeySource`."""
        keyring = _keyring_package()
        try:
            self._store_new(keyring)
        except (keyring.errors.KeyringError, RuntimeError, OSError) as error:
            raise CacheError(f"the keyring of the operating system cannot be used: {error}") from error

    def _store_new(self, keyring: _KeyringPackage) -> None:
        key = base64.b64encode(os.urandom(CACHE_KEY_SIZE)).decode("ascii")
        keyring.set_password(self._service, self._name, key)


class _KeyringErrors(Protocol):
    KeyringError: type[Exception]


class _KeyringPackage(Protocol):
    """What is used of the package `keyring`."""

    errors: _KeyringErrors

    def get_password(self, service_name: str, username: str) -> str | None: ...

    def set_password(self, service_name: str, username: str, password: str) -> None: ...


def default_key_source() -> CacheKeySource:
    """Return the environment variable `S3ENVELOPE_CACHE_KEY` if it is set, else the key file."""
    return CacheKeyVariable() if KEY_VARIABLE in os.environ else CacheKeyFile()


def _default_key_file() -> Path:
    return platformdirs.user_data_path("s3envelope", appauthor=False) / "cache.key"


def _keyring_package() -> _KeyringPackage:
    try:
        import keyring
        import keyring.errors
    except ModuleNotFoundError as error:
        raise CacheError(
            "the package keyring is not installed; install it with: pip install 's3envelope[keyring]'"
        ) from error
    package: _KeyringPackage = keyring
    return package


def _decoded(text: str, where: str) -> SecretBytes:
    try:
        key = SecretBytes.take(base64.b64decode(text.encode("ascii"), validate=True))
    except (ValueError, TypeError):
        raise CacheError(f"{where} is not base64; use 32 random bytes in base64") from None
    if len(key) != CACHE_KEY_SIZE:
        key.wipe()
        raise CacheError(f"{where} has not {CACHE_KEY_SIZE} bytes in base64")
    return key


def _check_passphrase(passphrase: str) -> None:
    if len(passphrase) < _LEAST_PASSPHRASE:
        raise ConfigurationError(
            f"the passphrase of the cache is too short; use {_LEAST_PASSPHRASE} characters at least"
        )
