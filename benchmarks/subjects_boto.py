"""Plain boto3, and s3envelope, which is used in the same way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from benchmarks.clients import BUCKET, OURS, PLAIN, Place, make_client, transfer_config


class _BotoSubject:
    """Makes the calls with a client."""

    def __init__(self, client: Any) -> None:
        self._client = client

    def put(self, key: str, plaintext: bytes) -> None:
        self._client.put_object(Bucket=BUCKET, Key=key, Body=plaintext)

    def get(self, key: str) -> bytes:
        content: bytes = self._client.get_object(Bucket=BUCKET, Key=key)["Body"].read()
        return content

    def upload(self, file: Path, key: str) -> None:
        self._client.upload_file(str(file), BUCKET, key, Config=transfer_config())

    def download(self, key: str, file: Path) -> None:
        self._client.download_file(BUCKET, key, str(file), Config=transfer_config())

    def range(self, key: str, start: int, size: int) -> bytes:
        wanted = f"bytes={start}-{start + size - 1}"
        content: bytes = self._client.get_object(Bucket=BUCKET, Key=key, Range=wanted)["Body"].read()
        return content

    def close(self) -> None:
        self._client.close()


class PlainSubject(_BotoSubject):
    """Plain boto3."""

    def __init__(self, place: Place) -> None:
        super().__init__(make_client(PLAIN, place))

    def rewrap(self, key: str) -> None:
        """Copy the object over itself: what a rewrap costs at the least."""
        source = {"Bucket": BUCKET, "Key": key}
        self._client.copy_object(Bucket=BUCKET, Key=key, CopySource=source, MetadataDirective="REPLACE")


class EnvelopeSubject(_BotoSubject):
    """s3envelope, with a cache of data keys in memory."""

    def __init__(self, place: Place) -> None:
        super().__init__(make_client(OURS, place))

    def rewrap(self, key: str) -> None:
        self._client.rewrap_object(Bucket=BUCKET, Key=key)
