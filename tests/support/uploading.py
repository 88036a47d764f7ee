"""Low-level multipart uploads of tests, with what was sent."""

from __future__ import annotations

from typing import Any

from mypy_boto3_s3 import S3Client

from tests.support.enveloped import MIB, plaintext_of

PART = 5 * MIB


class Uploading:
    """One upload through a client, with what was sent."""

    def __init__(self, client: S3Client, bucket: str, key: str = "k", **arguments: Any) -> None:
        self.client, self.bucket, self.key = client, bucket, key
        answer = client.create_multipart_upload(Bucket=bucket, Key=key, **arguments)
        self.upload_id = answer["UploadId"]
        self.names: Any = {"Bucket": bucket, "Key": key, "UploadId": self.upload_id}
        self.parts: dict[int, dict[str, Any]] = {}

    def part(self, number: int, body: Any, *, client: S3Client | None = None, **arguments: Any) -> dict[str, Any]:
        answer: Any = (client or self.client).upload_part(**self.names, PartNumber=number, Body=body, **arguments)
        checksums = {name: answer[name] for name in answer if name.startswith("Checksum") and name != "ChecksumType"}
        self.parts[number] = {"PartNumber": number, "ETag": answer["ETag"], **checksums}
        return self.parts[number]

    def complete(self, *numbers: int, client: S3Client | None = None) -> None:
        parts: Any = [self.parts[number] for number in numbers or sorted(self.parts)]
        (client or self.client).complete_multipart_upload(**self.names, MultipartUpload={"Parts": parts})


def read(client: S3Client, bucket: str, key: str = "k", **arguments: Any) -> bytes:
    return client.get_object(Bucket=bucket, Key=key, **arguments)["Body"].read()


def pieces(*sizes: int) -> list[bytes]:
    """Cut the test's plaintext into parts of these sizes."""
    plaintext, found, position = plaintext_of(sum(sizes)), [], 0
    for size in sizes:
        found.append(plaintext[position : position + size])
        position += size
    return found
