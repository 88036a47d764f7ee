"""A bucket with objects of the Amazon S3 Encryption Clients, and clients that read it through a proxy."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import pytest
from mypy_boto3_s3 import S3Client

from s3envelope import KmsKeyring
from s3envelope.errors import S3EnvelopeError
from s3envelope.testing.local_kms import LocalKms
from s3envelope.testing.s3_proxy import S3Proxy
from tests.support.endpoints import Endpoint
from tests.support.enveloped import enveloped_client
from tests.support.hostile import READERS
from tests.support.s3ec_objects import KmsWrap, S3ecObject, v2_object, v3_object

KEY = "folder/object"
BOTH = ("s3ec-v3", "s3ec-v2")
WITH_SE1 = ("se1", *BOTH)
MAKERS: dict[str, Callable[[bytes, KmsWrap], S3ecObject]] = {"v3": v3_object, "v2": v2_object}
# Of these nothing is kept in memory: the plaintext waits in a temporary file.
IN_A_FILE = {"verify_in_memory": 0}


@dataclass(frozen=True, slots=True)
class S3ecScene:
    """Where objects are put, and how they are read.

    Args:
        plain: Goes around the proxy.
        wrap: Of a key of the KMS, without an encryption context of the caller.
    """

    endpoint: Endpoint
    proxy: S3Proxy
    kms: LocalKms
    keyring: KmsKeyring
    wrap: KmsWrap
    plain: S3Client
    bucket: str
    folder: Path
    clients: list[S3Client]

    def client(self, *formats: str, **fields: Any) -> S3Client:
        """Return a client that reads some formats, by default both without weaknesses."""
        envelope = {"read_formats": formats or BOTH, "cache": None, **fields}
        client = enveloped_client(self.endpoint, self.keyring, envelope=envelope)
        self.clients.append(client)
        return client

    def put(self, stored: S3ecObject, key: str = KEY, **arguments: Any) -> None:
        """Store an object as a client of Amazon's does."""
        stored.put(self.plain, self.bucket, key, **arguments)

    def get(self, client: S3Client, byte_range: str | None = None, key: str = KEY) -> bytes:
        """Read an object, or a range of it."""
        asked: dict[str, Any] = {} if byte_range is None else {"Range": f"bytes={byte_range}"}
        return client.get_object(Bucket=self.bucket, Key=key, **asked)["Body"].read()

    def kms_calls(self) -> list[str]:
        """Return the operations that the KMS was asked for since they were forgotten."""
        return [call.operation for call in self.kms.calls]

    def requests(self) -> list[str]:
        """Return method and range of the requests since they were forgotten."""
        return [
            " ".join(filter(None, (request.method, request.header("range")))) for request in self.proxy.take_requests()
        ]

    def forget(self) -> None:
        """Forget the requests and calls so far."""
        self.proxy.take_requests()
        self.kms.clear_calls()


@contextmanager
def s3ec_scene(
    endpoint: Endpoint, behind: Endpoint, proxy: S3Proxy, *, kms: LocalKms, key_arn: str, bucket: str, folder: Path
) -> Iterator[S3ecScene]:
    """Yield a scene; `behind` is the endpoint as reached through the proxy."""
    kms_client = kms.client()
    keyring, wrap = KmsKeyring(key_arn, kms_client), KmsWrap(kms_client, key_arn)
    clients: list[S3Client] = [endpoint.client()]
    try:
        yield S3ecScene(behind, proxy, kms, keyring, wrap, clients[0], bucket, folder, clients)
    finally:
        for client in clients:
            client.close()


def watched_files(monkeypatch: pytest.MonkeyPatch, folder: Path | None = None) -> list[IO[bytes]]:
    """Return a list that every temporary file is added to from now on."""
    files: list[IO[bytes]] = []
    make = tempfile.TemporaryFile

    def watched() -> IO[bytes]:
        files.append(make(dir=folder))
        return files[-1]

    monkeypatch.setattr(tempfile, "TemporaryFile", watched)
    return files


def refusals(scene: S3ecScene, client: S3Client, key: str = KEY) -> dict[str, S3EnvelopeError]:
    """Read an object in every way; return the errors, after it was seen that no byte came out."""
    errors: dict[str, S3EnvelopeError] = {}
    for name, read in READERS.items():
        released, error = read(client, scene.bucket, key, scene.folder)
        assert released == b"", f"{name} released {len(released)} bytes"
        assert isinstance(error, S3EnvelopeError), f"{name} was not refused"
        errors[name] = error
    return errors
