"""The folder of upload states when it is hostile or broken: resumption is lost, never a call and never a secret."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from s3envelope.errors import UnsupportedOperationError
from s3envelope.testing.s3_proxy import S3Proxy
from tests.s3.edge_cases.conftest import ClientWith, Watched
from tests.support.endpoints import Endpoint
from tests.support.enveloped import CANARY, plaintext_of
from tests.support.owners import give_away
from tests.support.uploading import PART, Uploading, read

NOBODY = 65_534
pytestmark = pytest.mark.skipif(os.name != "posix", reason="Windows has no modes and owners to check")


def _goes_on_here_only(make: ClientWith, proxy: S3Proxy, upload: Uploading, folder: Path) -> None:
    """Assert that the client of an upload with a large first part ends it, and that nobody else can touch it."""
    proxy.clear()
    other = make(folder)
    for act in (lambda: upload.part(9, CANARY, client=other), lambda: upload.complete(client=other)):
        with pytest.raises(UnsupportedOperationError):
            act()
    # S3 is asked whether it knows the upload, and sent nothing.
    assert {request.method for request in proxy.requests} == {"GET"}
    upload.part(2, b"tail")
    upload.complete()
    assert read(upload.client, upload.bucket) == plaintext_of(PART) + b"tail"
    assert proxy.leaks == []


# ---- folders that are wrong from the beginning ----


def _open_to_all(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o777)


def _open_to_the_group(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o770)


def _of_another_user(folder: Path) -> None:
    folder.mkdir(mode=0o700)


def _link_to_another_user(folder: Path) -> None:
    target = folder.with_name("target")
    _of_another_user(target)
    folder.symlink_to(target)


def _link_to_a_folder_open_to_all(folder: Path) -> None:
    target = folder.with_name("target")
    _open_to_all(target)
    folder.symlink_to(target)


def _dangling_link(folder: Path) -> None:
    folder.symlink_to(folder.with_name("nowhere"))


def _link_to_itself(folder: Path) -> None:
    folder.symlink_to(folder)


def _file(folder: Path) -> None:
    folder.write_bytes(b"a file")


def _folder_for_a_lock(folder: Path) -> None:
    (folder / "lock").mkdir(parents=True)
    folder.chmod(0o700)


WRONG = [
    _open_to_all,
    _open_to_the_group,
    _of_another_user,
    _link_to_another_user,
    _link_to_a_folder_open_to_all,
    _dangling_link,
    _link_to_itself,
    _file,
    _folder_for_a_lock,
]


def _written(folder: Path) -> list[str]:
    """Return what a client would have written."""
    return sorted(path.name for path in folder.rglob("*") if path.name != "lock") if folder.is_dir() else []


@pytest.fixture(params=WRONG, ids=lambda spoil: spoil.__name__.strip("_"))
def wrong_folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a state folder that must not be used, wrong in one way after the other."""
    folder = tmp_path / "states"
    request.param(folder)
    if request.param in (_of_another_user, _link_to_another_user):
        give_away(folder.resolve(), monkeypatch)
    return folder


def test_wrong_state_folder_is_not_used_and_the_upload_goes_on_in_memory(
    watched: Watched,
    client_with: ClientWith,
    wrong_folder: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    folder = wrong_folder

    upload = Uploading(client_with(folder), watched[2])
    upload.part(1, plaintext_of(PART))

    assert "kept in memory" in caplog.text
    assert _written(folder) == []
    _goes_on_here_only(client_with, watched[1], upload, folder)
    assert _written(folder) == []


def test_abort_with_a_wrong_state_folder_is_made(
    watched: Watched,
    client_with: ClientWith,
    moto_s3: Endpoint,
    wrong_folder: Path,
) -> None:
    upload = Uploading(client_with(wrong_folder), watched[2])

    client_with(wrong_folder).abort_multipart_upload(**upload.names)

    assert "Uploads" not in moto_s3.client().list_multipart_uploads(Bucket=watched[2])


def test_link_to_a_folder_of_ones_own_is_used(watched: Watched, client_with: ClientWith, tmp_path: Path) -> None:
    target, folder = tmp_path / "target", tmp_path / "states"
    target.mkdir(mode=0o700)
    folder.symlink_to(target)

    upload = Uploading(client_with(folder), watched[2])
    upload.part(1, b"body")
    upload.complete(client=client_with(target))

    assert read(upload.client, watched[2]) == b"body"
    assert os.listdir(target) == ["lock"]


def test_state_folder_that_is_made_is_for_its_user_only(
    watched: Watched, client_with: ClientWith, tmp_path: Path
) -> None:
    folder = tmp_path / "new" / "states"
    before = os.umask(0)

    try:
        Uploading(client_with(folder), watched[2]).part(1, CANARY)
    finally:
        os.umask(before)

    assert folder.stat().st_mode & 0o777 == 0o700
    for path in folder.rglob("*"):
        assert path.name == "lock" or path.stat().st_mode & 0o077 == 0
        assert path.is_dir() or CANARY not in path.read_bytes()


# ---- folders that become wrong, or that cannot be written ----


@contextmanager
def _small_disk(folder: Path, size: str) -> Iterator[None]:
    folder.mkdir(mode=0o700)
    mounted = shutil.which("mount") is not None and (
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", str(folder)],
            capture_output=True,
            check=False,
        ).returncode
        == 0
    )
    if not mounted:
        pytest.skip("mounting a tmpfs takes root; the test with RLIMIT_FSIZE covers writes that fail")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def _fill(folder: Path) -> None:
    with (folder / "filler").open("wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass


@pytest.mark.parametrize("when", ["before", "after the first part"])
def test_state_folder_on_a_full_disk_costs_resumption_only(
    watched: Watched,
    client_with: ClientWith,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    when: str,
) -> None:
    folder = tmp_path / "states"
    with _small_disk(folder, "64k"):
        if when == "before":
            _fill(folder)
        upload = Uploading(client_with(folder), watched[2])
        upload.part(1, plaintext_of(PART))
        _fill(folder)
        upload.part(2, plaintext_of(PART))

        assert "could not be stored" in caplog.text or "kept in memory" in caplog.text
        with pytest.raises((UnsupportedOperationError, ClientError), match=r"no state|InvalidPart"):
            upload.complete(client=client_with(folder))
        upload.complete()

        assert read(upload.client, watched[2]) == plaintext_of(PART) * 2
        assert watched[1].leaks == []


def test_state_folder_that_is_read_only_costs_resumption_only(
    watched: Watched, client_with: ClientWith, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "states"
    with _small_disk(folder, "1m"):
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)

        upload = Uploading(client_with(folder), watched[2])
        upload.part(1, plaintext_of(PART))

        assert "kept in memory" in caplog.text
        _goes_on_here_only(client_with, watched[1], upload, folder)


LIMITED = """
import json, logging, resource, sys
import s3envelope
logging.basicConfig()
job = json.loads(sys.argv[1])
keyring = s3envelope.RawAesKeyring(bytes(range(32)), "edge-cases")
client = s3envelope.client("s3", keyring=keyring, state_dir=job["folder"], endpoint_url=job["url"],
                           aws_access_key_id="test", aws_secret_access_key="test", region_name="us-east-1")
resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
names = {"Bucket": job["bucket"], "Key": "k"}
names["UploadId"] = client.create_multipart_upload(**names)["UploadId"]
parts = [{"PartNumber": n, "ETag": client.upload_part(**names, PartNumber=n, Body=b"tail")["ETag"]} for n in (1,)]
client.complete_multipart_upload(**names, MultipartUpload={"Parts": parts})
print(client.get_object(Bucket=job["bucket"], Key="k")["Body"].read().decode())
"""


def test_state_that_the_operating_system_lets_nobody_write_costs_resumption_only(
    watched: Watched, tmp_path: Path
) -> None:
    job = {"folder": str(tmp_path / "states"), "url": watched[0].url, "bucket": watched[2]}

    done = subprocess.run(
        [sys.executable, "-c", LIMITED, json.dumps(job)], capture_output=True, text=True, check=False, timeout=60
    )

    assert (done.returncode, done.stdout) == (0, "tail\n"), done.stderr
    assert "could not be stored" in done.stderr


def _remove(folder: Path) -> None:
    shutil.rmtree(folder)


def _remove_states(folder: Path) -> None:
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)


def _replace_by_a_file(folder: Path) -> None:
    shutil.rmtree(folder)
    folder.write_bytes(b"")


def _replace_states_by_folders(folder: Path) -> None:
    for state in folder.glob("*/state"):
        state.unlink()
        (state / "below").mkdir(parents=True)


def _open_to_all_now(folder: Path) -> None:
    folder.chmod(0o777)


SPOILED = [_remove, _remove_states, _replace_by_a_file, _replace_states_by_folders, _open_to_all_now]


@pytest.mark.parametrize("spoil", SPOILED, ids=lambda spoil: spoil.__name__.strip("_"))
def test_state_folder_that_is_spoiled_meanwhile_costs_resumption_only(
    watched: Watched, client_with: ClientWith, tmp_path: Path, spoil: Callable[[Path], None]
) -> None:
    folder = tmp_path / "states"
    upload = Uploading(client_with(folder), watched[2])
    upload.part(1, plaintext_of(PART))

    spoil(folder)

    _goes_on_here_only(client_with, watched[1], upload, folder)
