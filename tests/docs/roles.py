"""What the roles of POLICIES.md do: every call that their policies are for."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from boto3.s3.transfer import TransferConfig

import s3envelope
from s3envelope.cli.app import run
from s3envelope.testing import LocalKms
from tests.support.endpoints import Endpoint
from tests.support.rotating_reads import finish

OLD, NEW = "alias/orders", "alias/orders-2027"
REGION = "eu-west-1"
PART_SIZE = 5 << 20
_PARTS = TransferConfig(multipart_threshold=PART_SIZE, multipart_chunksize=PART_SIZE, max_concurrency=2)


@dataclass(frozen=True, slots=True)
class Stage:
    """A bucket and two keys, behind the default endpoints.

    Args:
        file: Of two parts.
        is_versioned: Whether the bucket keeps old versions.
    """

    endpoint: Endpoint
    kms: LocalKms
    bucket: str
    file: Path
    is_versioned: bool

    def arn_of(self, key_id: str) -> str:
        """Return the ARN of a key, however it is named."""
        metadata: Any = self.kms.perform("DescribeKey", REGION, KeyId=key_id)["KeyMetadata"]
        return str(metadata["Arn"])

    def client(self, **configuration: Any) -> Any:
        """Return a client that opens nothing from a cache."""
        given = {"kms_key_id": OLD, "cache": None, "region_name": REGION, **configuration}
        return s3envelope.client("s3", **given)

    def fill(self) -> None:
        """Put the objects that others have written: sealed, plain, and of an Amazon client."""
        own = self.client()
        for body in (b"0", b"1"):
            own.put_object(Bucket=self.bucket, Key="sealed/1", Body=body, Tagging="a=b")
        upload = own.create_multipart_upload(Bucket=self.bucket, Key="sealed/parts")["UploadId"]
        _complete(own, self.bucket, "sealed/parts", upload)
        amazon = self.client(write_format="s3ec-v3", read_formats=("s3ec-v3",))
        amazon.put_object(Bucket=self.bucket, Key="amazon/1", Body=b"1")
        plain = self.endpoint.client()
        plain.put_object(Bucket=self.bucket, Key="plain/1", Body=b"1", Tagging="a=b")
        # What a migration that was killed leaves behind.
        mark = ".s3envelope-" + "0" * 32
        own.put_object(Bucket=self.bucket, Key=f"plain/1{mark}", Body=b"1")
        own.create_multipart_upload(Bucket=self.bucket, Key=f"plain/2{mark}")
        for client in (own, amazon, plain):
            client.close()


def _complete(client: Any, bucket: str, key: str, upload: str) -> None:
    where = {"Bucket": bucket, "Key": key, "UploadId": upload}
    etag = client.upload_part(**where, PartNumber=1, Body=b"part")["ETag"]
    client.complete_multipart_upload(**where, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": etag}]})


def _run(*arguments: str, code: int = 0) -> None:
    assert run(list(arguments)) == code, arguments


def write(stage: Stage) -> None:
    """Seal objects in every way."""
    client = stage.client()
    client.put_object(Bucket=stage.bucket, Key="written/1", Body=b"1", Tagging="a=b")
    client.upload_file(str(stage.file), stage.bucket, "written/2", Config=_PARTS)
    upload = client.create_multipart_upload(Bucket=stage.bucket, Key="written/3")["UploadId"]
    _complete(client, stage.bucket, "written/3", upload)
    upload = client.create_multipart_upload(Bucket=stage.bucket, Key="written/4")["UploadId"]
    client.abort_multipart_upload(Bucket=stage.bucket, Key="written/4", UploadId=upload)
    client.close()


def read(stage: Stage) -> None:
    """Open objects in every way."""
    client = stage.client(list_sizes="exact")
    for key in ("sealed/1", "sealed/parts"):
        where = {"Bucket": stage.bucket, "Key": key}
        answer = client.get_object(**where)
        answer["Body"].read()
        if "VersionId" in answer:
            client.get_object(**where, VersionId=answer["VersionId"])["Body"].read()
        client.get_object(**where, Range="bytes=0-0")["Body"].read()
        client.head_object(**where)
        client.download_file(stage.bucket, key, str(stage.file.with_name("down")))
    client.list_objects_v2(Bucket=stage.bucket, Prefix="sealed/")
    client.close()


def rotate(stage: Stage) -> None:
    """Give objects another key, by the command, by a call, and while they are read."""
    client = stage.client(
        kms_key_id=NEW, retired_kms_key_ids=[OLD], rotate_on_read=datetime.timedelta(days=1), cache=None
    )
    client.get_object(Bucket=stage.bucket, Key="sealed/1")["Body"].read()
    # Closing forgets a rewrap that has not begun.
    finish(client)
    both = stage.client(keyring=s3envelope.SuccessionKeyring(*_keyrings(stage)), kms_key_id=None)
    both.rewrap_object(Bucket=stage.bucket, Key="sealed/1", to=_keyrings(stage)[0])
    both.close()
    order = ("rotate", f"s3://{stage.bucket}/sealed/", "--from-key", OLD, "--to-key", NEW)
    _run(*order)
    # In a bucket with versions the old ones are left.
    _run(*order, "--versions", code=int(stage.is_versioned))


def _keyrings(stage: Stage) -> list[s3envelope.KmsKeyring]:
    return [s3envelope.KmsKeyring(alias, stage.kms.client(REGION)) for alias in (NEW, OLD)]


def rotate_without_reading(stage: Stage) -> None:
    """Let KMS re-encrypt the data keys."""
    order = ("rotate", f"s3://{stage.bucket}/sealed/", "--from-key", OLD, "--to-key", NEW, "--edk-only")
    _run(*order)
    _run(*order, "--versions", code=int(stage.is_versioned))


def migrate(stage: Stage) -> None:
    """Seal objects of an Amazon client and plain ones, after a run that was killed."""
    bucket = f"s3://{stage.bucket}"
    _run("migrate", f"{bucket}/amazon/", "--kms-key-id", NEW, "--s3ec-kms-key", OLD)
    _run("migrate", f"{bucket}/plain/", "--kms-key-id", NEW, "--plaintext")


def audit(stage: Stage) -> None:
    """Look at envelopes, without a key."""
    bucket = f"s3://{stage.bucket}/sealed/"
    _run("inspect", f"{bucket}1")
    _run("keys", "status", bucket)
    _run("keys", "status", bucket, "--search-region", REGION)
    _run("keys", "status", bucket, "--deny-deletion-of", OLD, code=1)
    _run("keys", "export", bucket)
    _run("keys", "export", bucket, "--versions")


def ask_the_doctor(stage: Stage) -> None:
    """Look at a key and a bucket."""
    _run("doctor", "--kms-key", OLD, "--bucket", stage.bucket)


# By the heading of the policy.
ROLES: Mapping[str, Callable[[Stage], None]] = {
    "Who writes": write,
    "Who reads": read,
    "Who rotates": rotate,
    "Who rotates without reading": rotate_without_reading,
    "Who migrates": migrate,
    "Who audits": audit,
    "Who runs `doctor`": ask_the_doctor,
}
