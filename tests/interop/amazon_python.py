"""Amazon's client for Python, in the form in which the tests use it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from s3_encryption import S3EncryptionClient, S3EncryptionClientConfig
from s3_encryption.materials.kms_keyring import KmsKeyring
from s3_encryption.materials.materials import AlgorithmSuite, CommitmentPolicy

from s3envelope.formats.names import S3EC_V2, S3EC_V3
from s3envelope.testing import LocalKms
from tests.support.endpoints import Endpoint

PART_SIZE = 5 << 20
WAYS = ("put_object", "multipart")


@dataclass(frozen=True, slots=True)
class AmazonClient:
    """Amazon's client over boto3 clients of a test server and of a KMS.

    Args:
        bucket: Of all its objects.
        official: The client itself.
    """

    bucket: str
    official: Any

    @classmethod
    def of(cls, endpoint: Endpoint, kms: LocalKms, key_arn: str, bucket: str, version: str = S3EC_V3) -> AmazonClient:
        """Return a client that writes one of the two formats, and reads both if it writes the older one."""
        older = version == S3EC_V2
        suite = AlgorithmSuite.ALG_AES_256_GCM_IV12_TAG16_NO_KDF
        policy = CommitmentPolicy.FORBID_ENCRYPT_ALLOW_DECRYPT
        chosen = {"encryption_algorithm": suite, "commitment_policy": policy} if older else {}
        config = S3EncryptionClientConfig(keyring=KmsKeyring(kms.client(), key_arn), **chosen)
        return cls(bucket, S3EncryptionClient(endpoint.client(), config))

    def write(
        self, key: str, content: bytes, context: Mapping[str, str] | None = None, way: str = "put_object"
    ) -> None:
        """Write an object in one of `WAYS`."""
        more: dict[str, Any] = {} if context is None else {"EncryptionContext": dict(context)}
        if way == "put_object":
            self.official.put_object(Bucket=self.bucket, Key=key, Body=content, **more)
        else:
            self._write_parts({"Bucket": self.bucket, "Key": key}, content, more)

    def _write_parts(self, where: dict[str, Any], content: bytes, more: dict[str, Any]) -> None:
        upload = self.official.create_multipart_upload(**where, **more)["UploadId"]
        pieces = [content[at : at + PART_SIZE] for at in range(0, len(content), PART_SIZE)] or [b""]
        parts = []
        for number, piece in enumerate(pieces, 1):
            answer = self.official.upload_part(
                **where, UploadId=upload, PartNumber=number, Body=piece, IsLastPart=number == len(pieces)
            )
            parts.append({"PartNumber": number, "ETag": answer["ETag"]})
        self.official.complete_multipart_upload(**where, UploadId=upload, MultipartUpload={"Parts": parts})

    def read(self, key: str, context: Mapping[str, str] | None = None) -> bytes:
        """Return the content of an object."""
        more: dict[str, Any] = {} if context is None else {"EncryptionContext": dict(context)}
        content: bytes = self.official.get_object(Bucket=self.bucket, Key=key, **more)["Body"].read()
        return content

    def close(self) -> None:
        """Close the boto3 client inside."""
        self.official.wrapped_s3_client.close()
