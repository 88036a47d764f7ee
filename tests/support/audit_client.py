"""A client whose audit log stands on a full disk: python -m tests.support.audit_client, with a job as JSON on stdin.

The limit of the size of files stands for the disk: the write of a record comes back short, or fails.
"""

from __future__ import annotations

import json
import logging
import resource
import sys
from pathlib import Path
from typing import Any

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

import s3envelope
from s3envelope.audit.json_lines import JsonLinesAuditSink
from s3envelope.audit.trail import AuditTrail
from tests.support.enveloped import CANARY


def _begun(client: Any, bucket: str) -> dict[str, dict[str, str]]:
    """Begin uploads, with and without a size of parts."""
    names = {"Bucket": bucket, "Key": "begun"}
    created = {
        "indexed": client.create_multipart_upload(**names),
        "plain": client.create_multipart_upload(**names, PartSize=5 << 20),
    }
    return {kind: {**names, "UploadId": answer["UploadId"]} for kind, answer in created.items()}


class _Stream:
    """A body that can be read once."""

    def __init__(self) -> None:
        self._rest = CANARY

    def read(self, size: int = -1) -> bytes:
        piece, self._rest = self._rest, b""
        return piece


def _calls(client: Any, job: dict[str, Any], folder: Path, begun: dict[str, dict[str, str]]) -> dict[str, Any]:
    bucket, small, large = job["bucket"], {"Body": CANARY}, folder / "large"
    config = TransferConfig(multipart_threshold=1, multipart_chunksize=5 << 20)

    old, parts = {"Bucket": bucket, "Key": "old"}, {"Parts": [{"PartNumber": 1, "ETag": '"0"'}]}

    def get(**wanted: str) -> Any:
        return client.get_object(**old, **wanted)["Body"].read()

    return {
        "put_object": lambda: client.put_object(Bucket=bucket, Key="new", **small),
        "upload_file": lambda: client.upload_file(str(large), bucket, "new", Config=config),
        "create_multipart_upload": lambda: client.create_multipart_upload(Bucket=bucket, Key="new"),
        "upload_part": lambda: client.upload_part(**begun["indexed"], PartNumber=1, **small),
        "upload_part of a stream": lambda: client.upload_part(**begun["indexed"], PartNumber=1, Body=_Stream()),
        "upload_part with PartSize": lambda: client.upload_part(**begun["plain"], PartNumber=1, **small),
        "upload_part_copy": lambda: client.upload_part_copy(**begun["indexed"], PartNumber=1, CopySource=old),
        "complete_multipart_upload": lambda: client.complete_multipart_upload(**begun["plain"], MultipartUpload=parts),
        "get_object": get,
        "get_object of a range": lambda: get(Range="bytes=1-3"),
        "get_object of the end": lambda: get(Range="bytes=-1"),
        "get_object of nothing": lambda: get(Range="bytes=-0"),
        "rewrap_object": lambda: client.rewrap_object(**old),
        "rewrap_object inside KMS": lambda: client.rewrap_object(**old, edk_only=True),
        "download_file": lambda: client.download_file(bucket, "old", str(folder / "downloaded")),
        "copy_object": lambda: client.copy_object(
            Bucket=bucket, Key="new", CopySource={"Bucket": bucket, "Key": "old"}
        ),
        "delete_object": lambda: client.delete_object(**old),
        "delete_objects": lambda: client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "old"}]}),
    }


def main() -> None:
    """Make every call, and print how it ended."""
    job = json.load(sys.stdin)
    folder = Path(job["folder"])
    arguments: dict[str, Any] = {
        "aws_access_key_id": "test",
        "aws_secret_access_key": "test",
        "region_name": "us-east-1",
    }
    kms = boto3.client("kms", endpoint_url=job["kms"], config=Config(proxies={}), **arguments)
    sink = JsonLinesAuditSink(folder / "log" / "audit.jsonl", fsync="always")
    client = s3envelope.client(
        "s3",
        endpoint_url=job["s3"],
        config=Config(s3={"addressing_style": "path"}),
        kms_key_id=job["key"],
        kms_client=kms,
        cache=None,
        audit=AuditTrail(sink),
        audit_policy=job["policy"],
        **arguments,
    )
    begun = _begun(client, job["bucket"])
    if job["room"] is not None:
        written = (folder / "log" / "audit.jsonl").read_bytes()
        (folder / "log" / "before").write_bytes(written)
        limit = len(written) + job["room"]
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    ended = {}
    for name, call in _calls(client, job, folder, begun).items():
        try:
            answer = call()
        except Exception as error:  # noqa: BLE001  # whatever it is, the parent has to see it
            ended[name] = f"{type(error).__name__}: {error}"
        else:
            ended[name] = "plaintext" if answer == CANARY else "done"
    print(json.dumps(ended))


if __name__ == "__main__":
    logging.basicConfig()
    main()
