"""Clients that write a format of the Amazon clients, each with its independent reader."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from mypy_boto3_s3 import S3Client

from s3envelope import KmsKeyring, RawAesKeyring, RawRsaKeyring
from s3envelope.core.secret import SecretBytes
from s3envelope.testing import S3Proxy
from s3envelope.testing.local_kms import LocalKms
from tests.support.endpoints import Endpoint
from tests.support.enveloped import ClientFactory
from tests.support.s3ec_reader import Unwrap, aes_unwrap, kms_unwrap, read_message, rsa_unwrap

AES_KEY = bytes(range(100, 132))
WRAPS = ("kms", "aes", "rsa")
FORMATS = ("s3ec-v3", "s3ec-v2")


@functools.lru_cache(maxsize=1)
def rsa_key() -> rsa.RSAPrivateKey:
    """Return the one RSA key of the tests."""
    return rsa.generate_private_key(65537, 2048)


class Huge(io.RawIOBase):
    """A stream that claims a size, and must not be read."""

    def __init__(self, size: int) -> None:
        self._size, self._position = size, 0

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._position = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence] + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def read(self, size: int = -1) -> bytes:
        raise AssertionError("read")


@dataclass(frozen=True)
class Writing:
    """A bucket behind a proxy, and what is needed to write to it and to look at it.

    Args:
        stored: A plain client of the server itself.
    """

    endpoint: Endpoint
    proxy: S3Proxy
    bucket: str
    stored: S3Client
    kms: LocalKms
    key_arn: str
    sealed: ClientFactory = field(repr=False)

    def client(self, format_name: str = "s3ec-v3", wrap: str = "kms", *, retries: int = 1, **envelope: Any) -> S3Client:
        """Return a client that writes a format with a kind of key."""
        makers: dict[str, Callable[[], Any]] = {
            "kms": lambda: KmsKeyring(self.key_arn, self.kms.client()),
            "aes": lambda: RawAesKeyring(SecretBytes(AES_KEY)),
            "rsa": lambda: RawRsaKeyring(public_key=rsa_key().public_key()),
        }
        fields = {"write_format": format_name, "s3ec_keyring": makers[wrap](), **envelope}
        return self.sealed(self.endpoint, envelope=fields, retries={"total_max_attempts": retries})

    def read(self, key: str = "k", wrap: str = "kms", *, suffix: str | None = None) -> bytes:
        """Return the plaintext of a stored object, by the independent reader."""
        unwraps: dict[str, Unwrap] = {
            "kms": kms_unwrap(self.kms.client(), self.key_arn),
            "aes": aes_unwrap(AES_KEY),
            "rsa": rsa_unwrap(rsa_key()),
        }
        return read_message(self.stored, self.bucket, key, unwraps[wrap], suffix=suffix)

    def uploads(self) -> list[Any]:
        """Return the unfinished uploads of the bucket."""
        return list(self.stored.list_multipart_uploads(Bucket=self.bucket).get("Uploads", []))

    def keys(self) -> list[str]:
        """Return the keys of the bucket."""
        return [str(entry.get("Key")) for entry in self.stored.list_objects_v2(Bucket=self.bucket).get("Contents", [])]
