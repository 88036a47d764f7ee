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
from s3envelope.errors import DecryptionError, MalformedEnvelopeError, UnsupportedOperationError
from tests.conftest import ProxyFactory
from tests.support.endpoints import Endpoint
from tests.support.enveloped import enveloped_client
from tests.support.owners import give_away
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


def test_upload_when_it_is_imported_again_learns_the_parts_recorded_since(
    moto_s3: Endpoint, new_bucket: Callable[[Endpoint], str]
) -> None:
    bucket = new_bucket(moto_s3)
    here, there = (enveloped_client(moto_s3, KEYRING, envelope={"state_dir": None}) for _ in range(2))
    exporting: Any = here
    importing: Any = there
    upload = Uploading(here, bucket)
    upload.part(1, b"a" * PART)
    early = exporting.export_upload(**upload.names)
    importing.import_upload(**upload.names, State=early)
    upload.part(3, b"c" * PART, client=there)
    upload.part(2, b"b" * PART)
    late = exporting.export_upload(**upload.names)

    importing.import_upload(**upload.names, State=late)
    # An old state takes nothing away.
    importing.import_upload(**upload.names, State=early)
    upload.complete(client=there)

    assert read(there, bucket) == b"a" * PART + b"b" * PART + b"c" * PART
    for client in (here, there):
        client.close()


def test_export_has_the_parts_that_another_process_recorded(
    moto_s3: Endpoint, new_bucket: Callable[[Endpoint], str], tmp_path: Path
) -> None:
    bucket = new_bucket(moto_s3)
    one, two = (enveloped_client(moto_s3, KEYRING, envelope={"state_dir": str(tmp_path / "shared")}) for _ in range(2))
    elsewhere: Any = enveloped_client(moto_s3, KEYRING, envelope={"state_dir": None})
    exporting: Any = one
    upload = Uploading(one, bucket)
    upload.part(1, b"a" * PART)
    upload.part(2, b"tail", client=two)

    elsewhere.import_upload(**upload.names, State=exporting.export_upload(**upload.names))
    upload.complete(client=elsewhere)

    assert read(elsewhere, bucket) == b"a" * PART + b"tail"
    for client in (one, two, elsewhere):
        client.close()


@pytest.mark.parametrize("sizes", [(PART, PART), (PART, 5)])
def test_upload_when_completed_elsewhere_lists_a_checksum_for_the_index_too(
    moto_s3: Endpoint,
    http_proxy: ProxyFactory,
    new_bucket: Callable[[Endpoint], str],
    tmp_path: Path,
    sizes: tuple[int, int],
) -> None:
    bucket = new_bucket(moto_s3)
    proxy, endpoint = http_proxy(moto_s3, keep_bodies=True)
    begun, resumed = (enveloped_client(endpoint, KEYRING, envelope={"state_dir": str(tmp_path)}) for _ in range(2))
    upload = Uploading(begun, bucket, ChecksumAlgorithm="SHA256")
    for number, size in enumerate(sizes, 1):
        upload.part(number, bytes(size), ChecksumAlgorithm="SHA256")

    upload.complete(client=resumed)

    (completed,) = [body for request in proxy.requests if b"<Part>" in (body := request.body or b"")]
    assert completed.count(b"<ChecksumSHA256>") == completed.count(b"<PartNumber>")
    assert read(resumed, bucket) == b"".join(map(bytes, sizes))
    for client in (begun, resumed):
        client.close()


@pytest.mark.parametrize("stray", ["part-1", "part-x-0", "part-2-0123456789abcdef", ".state.77", "other"])
@pytest.mark.parametrize("is_folder", [True, False])
def test_upload_when_something_strange_lies_beside_its_state_is_completed(
    moto_s3: Endpoint, new_bucket: Callable[[Endpoint], str], tmp_path: Path, stray: str, is_folder: bool
) -> None:
    bucket = new_bucket(moto_s3)
    clients = [enveloped_client(moto_s3, KEYRING, envelope={"state_dir": str(tmp_path)}) for _ in range(2)]
    upload = Uploading(clients[0], bucket)
    upload.part(1, b"first")
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    if is_folder:
        (folder / stray / "below").mkdir(parents=True)
    else:
        (folder / stray).write_bytes(b"strange")

    upload.part(1, b"whole", client=clients[1])
    upload.complete(client=clients[0])

    assert read(clients[0], bucket) == b"whole"
    assert os.listdir(tmp_path) == ["lock"]
    for client in clients:
        client.close()


@pytest.mark.parametrize(
    "edit", [bytes.upper, lambda text: text[:-9], lambda _: b"", lambda text: b"A" * 38 + text[38:]]
)
def test_upload_when_its_stored_state_was_changed_goes_on_here_and_is_refused_elsewhere(
    moto_s3: Endpoint, new_bucket: Callable[[Endpoint], str], tmp_path: Path, edit: Callable[[bytes], bytes]
) -> None:
    bucket = new_bucket(moto_s3)
    here, elsewhere = (enveloped_client(moto_s3, KEYRING, envelope={"state_dir": str(tmp_path)}) for _ in range(2))
    upload = Uploading(here, bucket)
    upload.part(1, b"one" + bytes(PART))
    (state,) = tmp_path.glob("*/state")
    state.write_bytes(edit(state.read_bytes()))

    with pytest.raises((DecryptionError, MalformedEnvelopeError)):
        upload.part(2, b"two", client=elsewhere)
    upload.part(2, b"two")
    upload.complete()

    assert read(here, bucket) == b"one" + bytes(PART) + b"two"
    for client in (here, elsewhere):
        client.close()


@pytest.mark.skipif(os.name != "posix", reason="Windows has no owners to check")
def test_state_folder_when_it_belongs_to_somebody_else_is_not_used(
    moto_s3: Endpoint,
    new_bucket: Callable[[Endpoint], str],
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bucket = new_bucket(moto_s3)
    client = enveloped_client(moto_s3, KEYRING, envelope={"state_dir": str(tmp_path)})
    give_away(tmp_path, monkeypatch)

    upload = Uploading(client, bucket)
    upload.part(1, b"kept in memory")
    upload.complete()

    assert read(client, bucket) == b"kept in memory"
    assert os.listdir(tmp_path) == []
    assert "belongs to another user" in caplog.text
    client.close()
