"""A scene for tests of rewrap_object."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from s3envelope import KmsKeyring
from s3envelope.testing import LocalKms, S3Proxy
from tests.conftest import ProxyFactory
from tests.support.endpoints import Endpoint
from tests.support.enveloped import CANARY, NewBucket, enveloped_client, plaintext_of

SMALL = plaintext_of(70_000)


@dataclass(frozen=True, slots=True)
class Scene:
    """A bucket behind a proxy, a client with key A, and key B."""

    endpoint: Endpoint
    proxy: S3Proxy
    bucket: str
    kms: LocalKms
    client: Any
    plain: Any
    second: KmsKeyring
    second_arn: str

    def put(self, key: str = "k", body: bytes = SMALL, **arguments: Any) -> dict[str, str]:
        """Store an object and return its metadata as stored."""
        self.client.put_object(Bucket=self.bucket, Key=key, Body=body, **arguments)
        self.forget()
        return self.stored(key)[1]

    def stored(self, key: str = "k") -> tuple[bytes, dict[str, str]]:
        answer = self.plain.get_object(Bucket=self.bucket, Key=key)
        return answer["Body"].read(), answer["Metadata"]

    def rewrap(self, key: str = "k", **arguments: Any) -> Any:
        return self.client.rewrap_object(Bucket=self.bucket, Key=key, **arguments)

    def forget(self) -> None:
        self.proxy.clear()
        self.kms.clear_calls()

    def with_keyring(self, keyring: Any, **fields: Any) -> Any:
        return enveloped_client(self.endpoint, keyring, envelope=fields)


def scenes(
    server: Endpoint, http_proxy: ProxyFactory, new_bucket: NewBucket, kms: LocalKms, key_arn: str
) -> Iterator[Scene]:
    """Yield a scene on a server; a canary in any request fails at its end."""
    proxy, endpoint = http_proxy(server)
    proxy.forbid(CANARY)
    second_arn = kms.create_key()
    nothing: Any = None
    client = enveloped_client(endpoint, nothing, envelope={"kms_key_id": key_arn, "kms_client": kms.client()})
    yield Scene(
        endpoint,
        proxy,
        new_bucket(server),
        kms,
        client,
        server.client(),
        KmsKeyring(second_arn, kms.client()),
        second_arn,
    )
    client.close()
    assert proxy.leaks == []
