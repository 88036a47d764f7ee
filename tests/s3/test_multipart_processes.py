"""Low-level multipart uploads that several clients, processes or machines go on with."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from mypy_boto3_s3 import S3Client

from s3envelope import RawAesKeyring
from s3envelope.errors import DecryptionError, UnsupportedOperationError
from tests.support.endpoints import Endpoint
from tests.support.enveloped import enveloped_client
from tests.support.uploading import PART, Uploading, read

KEYRING = RawAesKeyring(bytes(range(32)), "multipart")

SCRIPT = """
import json, os, signal, sys
from s3envelope import RawAesKeyring
import s3envelope
job = json.loads(sys.argv[1])
client = s3envelope.client("s3", keyring=RawAesKeyring(bytes(range(32)), "multipart"), state_dir=job["state_dir"],
                           endpoint_url=job["url"], aws_access_key_id="test", aws_secret_access_key="test",
                           region_name="us-east-1")
names = {"Bucket": job["bucket"], "Key": "k"}
upload_id = client.create_multipart_upload(**names)["UploadId"]
etags = [client.upload_part(**names, UploadId=upload_id, PartNumber=n, Body=bytes([n]) * size)["ETag"]
         for n, size in ((1, 5 << 20), (2, 1000))]
print(json.dumps([upload_id, etags]), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_upload_when_its_process_is_killed_is_completed_by_another(
    moto_s3: Endpoint, new_bucket: Callable[[Endpoint], str], tmp_path: Path
) -> None:
    bucket = new_bucket(moto_s3)
    job = {"state_dir": str(tmp_path), "url": moto_s3.url, "bucket": bucket}
    done = subprocess.run([sys.executable, "-c", SCRIPT, json.dumps(job)], capture_output=True, check=False, text=True)
    upload_id, etags = json.loads(done.stdout)
    client = enveloped_client(moto_s3, KEYRING, envelope={"state_dir": str(tmp_path)})
    names = {"Bucket": bucket, "Key": "k", "UploadId": upload_id}

    third = client.upload_part(**names, PartNumber=3, Body=b"tail")["ETag"]
    # Part 2 is below 5 MiB and not the last one any more: it is left out, as S3 would demand.
    parts: Any = [{"PartNumber": 1, "ETag": etags[0]}, {"PartNumber": 3, "ETag": third}]
    client.complete_multipart_upload(**names, MultipartUpload={"Parts": parts})

    assert done.returncode == -9
    assert read(client, bucket) == b"\1" * PART + b"tail"
    assert os.listdir(tmp_path) == ["lock"]
    client.close()


def test_upload_when_exported_goes_on_elsewhere_and_edits_of_it_are_refused(
    moto_s3: Endpoint, new_bucket: Callable[[Endpoint], str], tmp_path: Path
) -> None:
    bucket = new_bucket(moto_s3)
    here = enveloped_client(moto_s3, KEYRING, envelope={"state_dir": None})
    there: Any = enveloped_client(moto_s3, KEYRING, envelope={"state_dir": str(tmp_path / "there")})
    upload = Uploading(here, bucket)
    upload.part(1, b"a" * PART)
    upload.part(2, b"last")
    exporting: Any = here
    state = exporting.export_upload(**upload.names)
    document = json.loads(state)
    document["state"] = document["state"].replace(f'"key":"{upload.key}"', '"key":"x"')

    with pytest.raises((DecryptionError, UnsupportedOperationError)):
        there.import_upload(**upload.names, State=json.dumps(document).encode())
    with pytest.raises(UnsupportedOperationError):
        there.import_upload(**{**upload.names, "Key": "other"}, State=state)
    there.import_upload(**upload.names, State=state)
    upload.complete(client=there)

    assert read(there, bucket) == b"a" * PART + b"last"
    for client in (here, there):
        client.close()


def test_upload_when_two_clients_record_parts_at_once_loses_none(
    moto_s3: Endpoint, new_bucket: Callable[[Endpoint], str], tmp_path: Path
) -> None:
    bucket = new_bucket(moto_s3)
    clients = [enveloped_client(moto_s3, KEYRING, envelope={"state_dir": str(tmp_path)}) for _ in range(2)]
    upload = Uploading(clients[0], bucket)
    numbers = list(range(1, 9))
    random.Random(1).shuffle(numbers)

    def send(client: S3Client, mine: list[int]) -> None:
        for number in mine:
            upload.part(number, bytes([number]) * (PART if number < 8 else 3), client=client)

    threads = [threading.Thread(target=send, args=(client, numbers[place::2])) for place, client in enumerate(clients)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    upload.complete(client=clients[1])

    assert read(clients[0], bucket) == b"".join(bytes([n]) * (PART if n < 8 else 3) for n in range(1, 9))
    for client in clients:
        client.close()


def test_stored_small_part_when_it_was_changed_is_not_sent_on(
    moto_s3: Endpoint, new_bucket: Callable[[Endpoint], str], tmp_path: Path
) -> None:
    bucket = new_bucket(moto_s3)
    upload = Uploading(enveloped_client(moto_s3, KEYRING, envelope={"state_dir": str(tmp_path)}), bucket)
    upload.part(1, b"genuine")
    (part,) = tmp_path.glob("*/part-1-*")
    part.write_bytes(part.read_bytes()[:-1] + b"\0")
    other = enveloped_client(moto_s3, KEYRING, envelope={"state_dir": str(tmp_path)})

    with pytest.raises(UnsupportedOperationError, match="upload part 1 again"):
        upload.complete(client=other)
    upload.part(1, b"genuine", client=other)
    upload.complete(client=other)

    assert read(other, bucket) == b"genuine"
    for client in (upload.client, other):
        client.close()
