"""A full disk under the log: what must be written down and cannot, does not happen."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from s3envelope import KmsKeyring
from s3envelope.testing import LocalKms
from tests.conftest import ProxyFactory
from tests.support.auditing import entries_of
from tests.support.endpoints import Endpoint
from tests.support.enveloped import CANARY, NewBucket, enveloped_client

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="there is no limit for the size of files")
_LARGE = 6 << 20


class Ended:
    """What became of the calls of a client with a log in a folder."""

    def __init__(self, folder: Path, endpoint: Endpoint, kms: LocalKms, bucket: str, key: str) -> None:
        self._folder, self._job = folder, {"s3": endpoint.url, "kms": kms.endpoint_url, "bucket": bucket, "key": key}

    def calls(self, policy: str, room: int | None) -> tuple[dict[str, str], str]:
        """Make the calls in a process of its own; return how each ended, and what was printed beside."""
        job = {**self._job, "folder": str(self._folder), "policy": policy, "room": room}
        done = subprocess.run(
            [sys.executable, "-m", "tests.support.audit_client"],
            input=json.dumps(job),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout), done.stderr


@pytest.mark.parametrize("room", [0, 100], ids=["full", "part of a record"])
def test_call_when_its_record_cannot_be_written_gives_no_plaintext_and_sends_no_body(
    moto_s3: Endpoint, http_proxy: ProxyFactory, new_bucket: NewBucket, tmp_path: Path, room: int
) -> None:
    bucket = new_bucket(moto_s3)
    proxy, endpoint = http_proxy(moto_s3)
    path = tmp_path / "log" / "audit.jsonl"
    (tmp_path / "large").write_bytes(bytes(_LARGE))
    with LocalKms() as kms:
        key = kms.create_key()
        writer = enveloped_client(moto_s3, KmsKeyring(key, kms.client()))
        writer.put_object(Bucket=bucket, Key="old", Body=CANARY)
        writer.close()

        ended, printed = Ended(tmp_path, endpoint, kms, bucket, key).calls("required", room)

    assert len(ended) == 18
    for name, end in ended.items():
        assert end.startswith("AuditError: "), (name, end)
    plain = moto_s3.client()
    assert [item["Key"] for item in plain.list_objects_v2(Bucket=bucket)["Contents"]] == ["old"]
    uploads = plain.list_multipart_uploads(Bucket=bucket)["Uploads"]
    parts = [plain.list_parts(Bucket=bucket, Key="begun", UploadId=upload["UploadId"]) for upload in uploads]
    assert [listed.get("Parts") for listed in parts] == [None, None]
    plain.close()
    methods = [request.method for request in proxy.take_requests()]
    assert (set(methods), methods.count("POST")) == ({"GET", "HEAD", "POST"}, 2)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["large", "log"]
    assert CANARY not in printed.encode("utf-8", "surrogateescape")
    assert path.read_bytes() == path.with_name("before").read_bytes()


def test_call_when_its_record_cannot_be_written_goes_on_if_the_policy_says_so(
    moto_s3: Endpoint, new_bucket: NewBucket, tmp_path: Path
) -> None:
    bucket = new_bucket(moto_s3)
    (tmp_path / "large").write_bytes(b"")
    with LocalKms() as kms:
        key = kms.create_key()
        writer = enveloped_client(moto_s3, KmsKeyring(key, kms.client()))
        writer.put_object(Bucket=bucket, Key="old", Body=CANARY)
        writer.close()

        ended, printed = Ended(tmp_path, moto_s3, kms, bucket, key).calls("best-effort", 0)

    assert ended["put_object"] == "done"
    assert ended["get_object"] == "plaintext"
    assert printed.count("audit records were not written") == 1
    log = tmp_path / "log"
    assert (log / "audit.jsonl").read_bytes() == (log / "before").read_bytes()


def test_calls_when_there_is_room_are_all_in_the_log(moto_s3: Endpoint, new_bucket: NewBucket, tmp_path: Path) -> None:
    bucket = new_bucket(moto_s3)
    (tmp_path / "large").write_bytes(bytes(_LARGE))
    with LocalKms() as kms:
        key = kms.create_key()
        writer = enveloped_client(moto_s3, KmsKeyring(key, kms.client()))
        writer.put_object(Bucket=bucket, Key="old", Body=CANARY)
        writer.close()

        ended, printed = Ended(tmp_path, moto_s3, kms, bucket, key).calls("required", None)

    failed = {name: end for name, end in ended.items() if end not in ("done", "plaintext")}
    assert set(failed) == {"complete_multipart_upload", "get_object of nothing"}, failed
    assert not printed
    operations = [entry.content["operation"] for entry in entries_of(tmp_path / "log" / "audit.jsonl")[1:]]
    assert operations.count("generate") == 7
    assert operations.count("decrypt") >= 3
