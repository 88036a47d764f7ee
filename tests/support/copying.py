"""A bucket for tests of copies."""

from __future__ import annotations

from typing import Any

from mypy_boto3_s3 import S3Client

from s3envelope.testing import S3Proxy
from tests.support.endpoints import Endpoint
from tests.support.enveloped import plaintext_of

SMALL = plaintext_of(70_000)


class Copying:
    """A bucket with objects, behind a proxy that knows the canary."""

    def __init__(self, endpoint: Endpoint, proxy: S3Proxy, bucket: str, client: S3Client, plain: S3Client) -> None:
        self.endpoint, self.proxy, self.bucket, self.client, self.plain = endpoint, proxy, bucket, client, plain

    def source(self, key: str = "source") -> Any:
        return {"Bucket": self.bucket, "Key": key}

    def put(self, key: str = "source", body: bytes = SMALL, **arguments: Any) -> None:
        self.client.put_object(Bucket=self.bucket, Key=key, Body=body, **arguments)
        self.proxy.clear()

    def downloads(self) -> list[str]:
        """Return what was fetched."""
        return [request.target for request in self.proxy.requests if request.method == "GET"]
