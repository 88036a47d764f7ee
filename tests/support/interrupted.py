"""A process whose calls are interrupted by Ctrl-C: one call per line of JSON, answered by what is left of it.

`python -m tests.support.interrupted` reads the arguments of its client, and then calls, until its input ends.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
from botocore.config import Config

import s3envelope
from s3envelope import RawAesKeyring
from s3envelope.testing.streams import NonSeekableSource
from tests.support.enveloped import MIB, plaintext_of
from tests.support.transferring import LARGE, SMALL, busy_threads, parts_of_5_mib, unnamed_files

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

MASTER_KEY = bytes(range(32))
KEY_ID = "interrupted"
# Beyond what a place for ciphertext keeps in memory.
_SPILLED = 20 * MIB


class Calls:
    """The calls of one client.

    Args:
        folder: With the files "large" and "small"; downloads go to "target".
    """

    def __init__(self, client: S3Client, bucket: str, folder: Path) -> None:
        self._client, self._bucket, self._folder = client, bucket, folder

    def call(self, name: str) -> None:
        """Make a call, by its method and a hint after a space: what, or how."""
        method, _, hint = name.partition(" ")
        find: dict[str, Callable[[str], object]] = {
            "upload_file": self._upload_file,
            "upload_fileobj": self._upload_fileobj,
            "put_object": self._put_object,
            "multipart": self._multipart,
            "download_file": self._download_file,
            "download_fileobj": self._download_fileobj,
            "get_object": self._get_object,
            "copy": self._copy,
            "copy_object": self._copy_object,
        }
        find[method](hint)

    def _upload_file(self, hint: str) -> None:
        name = "small" if hint == "small" else "large"
        config = parts_of_5_mib(use_threads=hint != "unthreaded")
        self._client.upload_file(str(self._folder / name), self._bucket, "up", Config=config)

    def _upload_fileobj(self, hint: str) -> None:
        stream: Any = NonSeekableSource(plaintext_of(LARGE)) if hint == "pipe" else io.BytesIO(plaintext_of(LARGE))
        self._client.upload_fileobj(stream, self._bucket, "up", Config=parts_of_5_mib())

    def _put_object(self, hint: str) -> None:
        body: Any = NonSeekableSource(plaintext_of(_SPILLED)) if hint == "pipe" else plaintext_of(LARGE)
        # Plain boto3 takes no stream that cannot seek over http.
        plain = hint == "pipe" and not hasattr(self._client, "_s3envelope")
        self._client.put_object(Bucket=self._bucket, Key="up", Body=plaintext_of(_SPILLED) if plain else body)

    def _multipart(self, hint: str) -> None:
        names: Any = {"Bucket": self._bucket, "Key": "up"}
        names["UploadId"] = self._client.create_multipart_upload(**names)["UploadId"]
        for number in (1, 2):
            self._client.upload_part(**names, PartNumber=number, Body=plaintext_of(5 * MIB))

    def _download_file(self, hint: str) -> None:
        config = parts_of_5_mib(use_threads=hint != "unthreaded")
        name = "small" if hint == "small" else "large"
        self._client.download_file(self._bucket, name, str(self._folder / "target"), Config=config)

    def _download_fileobj(self, hint: str) -> None:
        with (self._folder / "sink").open("wb") as sink:
            self._client.download_fileobj(self._bucket, "large", sink, Config=parts_of_5_mib())

    def _get_object(self, hint: str) -> None:
        self._client.get_object(Bucket=self._bucket, Key="large")["Body"].read()

    def _copy(self, hint: str) -> None:
        config = parts_of_5_mib(use_threads=hint != "unthreaded", multipart_threshold=5 * MIB)
        source: Any = {"Bucket": self._bucket, "Key": "small" if hint == "small" else "large"}
        self._client.copy(source, self._bucket, "up", Config=config)

    def _copy_object(self, hint: str) -> None:
        self._client.copy_object(Bucket=self._bucket, Key="up", CopySource={"Bucket": self._bucket, "Key": "small"})


def make_client(job: dict[str, Any]) -> S3Client:
    """Return the client of a job, enveloped or plain."""
    arguments = {**job["client"], "config": Config(**job["config"])}
    if job["is_plain"]:
        return boto3.session.Session().client("s3", **arguments)
    keyring = RawAesKeyring(MASTER_KEY, KEY_ID)
    return s3envelope.client("s3", keyring=keyring, state_dir=job["state_dir"], **arguments)


def main() -> None:
    """Serve until the input ends."""
    job = json.loads(sys.stdin.readline())
    folder = Path(job["folder"])
    for name, size in (("large", LARGE), ("small", SMALL)):
        (folder / name).write_bytes(plaintext_of(size))
    client = make_client(job)
    for name in ("large", "small"):
        client.upload_file(str(folder / name), job["bucket"], name)
    calls = Calls(client, job["bucket"], folder)
    threads, files = busy_threads(), unnamed_files()
    print("ready", flush=True)
    for line in sys.stdin:
        outcome = "done"
        try:
            calls.call(line.strip())
        except BaseException as error:  # noqa: BLE001 - Ctrl-C is what this is about
            outcome = type(error).__name__
        left = {
            "outcome": outcome,
            "threads": sorted(busy_threads() - threads),
            "unnamed_files": [name for name in unnamed_files() if name not in files],
        }
        print(json.dumps(left), flush=True)
    client.close()


if __name__ == "__main__":
    main()
