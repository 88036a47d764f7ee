"""Names of objects, hidden behind a keyed hash: who has the key can look for a name, nobody can guess one."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import platformdirs
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC

from s3envelope.core.secret import SecretBytes
from s3envelope.errors import ConfigurationError
from s3envelope.private_files import create_key_file, read_key_file

_KEY_SIZE = 32
_PURPOSE = b"s3envelope audit name"


def default_names_key() -> Path:
    """Return where this user's key for hiding names lies."""
    return platformdirs.user_data_path("s3envelope", appauthor=False) / "audit-names.key"


class NameHasher:
    """Hashes names of objects with HMAC-SHA256.

    Args:
        key: 32 bytes; wiped with this object.
    """

    def __init__(self, key: SecretBytes) -> None:
        if len(key) != _KEY_SIZE:
            raise ConfigurationError(f"the key for hiding names has {len(key)} bytes; use {_KEY_SIZE}")
        self._key = key

    @classmethod
    def from_file(cls, path: str | os.PathLike[str] | None = None, *, create: bool = True) -> NameHasher:
        """Return a hasher with the key of a file, by default that of this user.

        Args:
            create: Whether to make a file that does not exist. Hashes of two keys do not compare.

        Raises:
            ConfigurationError: The file cannot be made or read, or others can read it.
        """
        file = Path(path) if path is not None else default_names_key()
        if create:
            try:
                file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            except OSError as error:
                raise ConfigurationError(f"the folder {file.parent} cannot be made: {error.strerror}") from error
            create_key_file(file, _KEY_SIZE)
        return cls(SecretBytes.take(read_key_file(file, _KEY_SIZE)))

    def hash(self, bucket: str, key: str) -> str:
        """Return the hash of an object's name, in hexadecimal."""
        names = [name.encode("utf-8", "surrogatepass") for name in (bucket, key)]
        message = b"".join(struct.pack(">I", len(name)) + name for name in names)
        keyed = HMAC(self._key.view(), SHA256())
        keyed.update(_PURPOSE + message)
        return keyed.finalize().hex()
