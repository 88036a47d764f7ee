"""Our client, with the keys of a recording."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import s3envelope
from s3envelope import KmsKeyring, RawAesKeyring, RawRsaKeyring, S3ecAesKeyring
from s3envelope.formats import names
from s3envelope.testing import LocalKms
from tests.interop.recorded import INSTRUCTION_SUFFIX, Recording, StoredObject
from tests.support.endpoints import Endpoint

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_LEGACY_WRAPS = {
    "kms": names.S3EC_KMS,
    "AESWrap": names.S3EC_AES_WRAP,
    "RSA/ECB/OAEPWithSHA-256AndMGF1Padding": names.S3EC_RSA_OAEP_SHA256,
}


def formats_of(stored: StoredObject) -> tuple[str, ...]:
    """Return what `read_formats` must name for an object: no more, and no less."""
    envelope = stored.envelope
    if "x-amz-3" in envelope:
        return (names.S3EC_V3,)
    if "x-amz-key" in envelope:
        wrap = names.S3EC_RSA_PKCS1 if stored.wrap == "rsa" else names.S3EC_AES_ECB
        return (names.S3EC_V1, names.S3EC_CBC, wrap)
    found = [names.S3EC_V2]
    if "CBC" in envelope["x-amz-cek-alg"]:
        found.append(names.S3EC_CBC)
    if envelope["x-amz-wrap-alg"] in _LEGACY_WRAPS:
        found.append(_LEGACY_WRAPS[envelope["x-amz-wrap-alg"]])
    return tuple(found)


@dataclass(frozen=True, slots=True)
class Reader:
    """Reads objects of a recording from a bucket."""

    recording: Recording
    endpoint: Endpoint
    bucket: str
    kms: LocalKms
    key_arn: str
    _clients: list[S3Client] = field(default_factory=list)

    def keyring(self, stored: StoredObject) -> Any:
        """Return the keyring that opens an object."""
        if stored.wrap == "kms":
            return KmsKeyring(self.key_arn, self.kms.client())
        if stored.wrap == "rsa":
            return RawRsaKeyring(private_key=self.recording.rsa_private_key)
        return S3ecAesKeyring(self.recording.aes_keys[stored.wrap])

    def client(self, stored: StoredObject, formats: Sequence[str] | None = None, **fields: Any) -> S3Client:
        """Return a client for objects of a form.

        Args:
            formats: By default those that it needs.
            fields: Other fields of the configuration.
        """
        own = {
            "s3ec_keyring": self.keyring(stored),
            "keyring": RawAesKeyring(bytes(32), "unused"),
            "read_formats": formats_of(stored) if formats is None else formats,
            "encryption_context": dict(stored.context) or None,
        }
        client: S3Client = s3envelope.client("s3", **{**own, **fields}, **self.endpoint.client_arguments())
        self._clients.append(client)
        return client

    def read(self, stored: StoredObject, formats: Sequence[str] | None = None, **fields: Any) -> bytes:
        """Return the content of an object; arguments as for `client`."""
        return self.client(stored, formats, **fields).get_object(Bucket=self.bucket, Key=stored.key)["Body"].read()

    def read_all(self, objects: Sequence[StoredObject]) -> list[bytes]:
        """Return the contents of objects of one form."""
        client = self.client(objects[0])
        return [client.get_object(Bucket=self.bucket, Key=one.key)["Body"].read() for one in objects]

    def store(self, stored: StoredObject) -> None:
        """Put an object where the reader finds it, byte for byte."""
        client = self.endpoint.client()
        metadata = dict(stored.metadata)
        client.put_object(Bucket=self.bucket, Key=stored.key, Body=stored.body, Metadata=metadata)
        if stored.instruction_file is not None:
            key = stored.key + INSTRUCTION_SUFFIX
            client.put_object(Bucket=self.bucket, Key=key, Body=stored.instruction_file)
        client.close()

    def close(self) -> None:
        """Close all clients."""
        for client in self._clients:
            client.close()
