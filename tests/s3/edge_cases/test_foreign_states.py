"""States of uploads that are not what they seem: older ones, of somebody else, and stray things beside them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ClientError

from s3envelope import RawAesKeyring
from s3envelope.errors import NoMatchingKeyError, UnsupportedOperationError
from tests.s3.edge_cases.conftest import KEYRING, ClientWith, Watched
from tests.support.enveloped import CANARY, enveloped_client, plaintext_of
from tests.support.uploading import PART, Uploading, read

pytestmark = pytest.mark.skipif(os.name != "posix", reason="links and pipes cannot be planted on Windows")


def _entry(folder: Path) -> Path:
    (entry,) = (path for path in folder.iterdir() if path.is_dir())
    return entry


def test_state_that_was_rolled_back_makes_no_wrong_object(
    watched: Watched, client_with: ClientWith, tmp_path: Path
) -> None:
    folder, old = tmp_path / "states", tmp_path / "old"
    upload = Uploading(client_with(folder), watched[2])
    upload.part(1, b"first" + bytes(PART))
    upload.part(2, b"old tail")
    entry = _entry(folder)
    shutil.copytree(entry, old)
    upload.part(1, b"again" + bytes(PART))
    upload.part(2, b"new tail")

    shutil.rmtree(entry)
    shutil.copytree(old, entry)
    with pytest.raises(ClientError, match="InvalidPart"):
        upload.complete(client=client_with(folder))
    upload.complete()

    assert read(upload.client, watched[2]) == b"again" + bytes(PART) + b"new tail"


@pytest.mark.parametrize("foreign", ["other upload", "other key of the bucket", "other keyring"])
def test_state_of_another_upload_in_the_place_of_ours_is_refused(
    watched: Watched, client_with: ClientWith, tmp_path: Path, foreign: str
) -> None:
    endpoint, proxy, bucket = watched
    folder, theirs = tmp_path / "states", tmp_path / "theirs"
    upload = Uploading(client_with(folder), bucket)
    upload.part(1, plaintext_of(PART))
    keyring = RawAesKeyring(bytes(32), "stranger") if foreign == "other keyring" else KEYRING
    stranger = enveloped_client(endpoint, keyring, envelope={"state_dir": theirs})
    other = Uploading(stranger, bucket, "other" if foreign == "other key of the bucket" else "k")
    other.part(1, plaintext_of(PART))
    entry = _entry(folder)
    shutil.rmtree(entry)
    shutil.copytree(_entry(theirs), entry)
    if foreign == "other keyring":
        # It names our upload: whoever planted it can write the names, but not under our key.
        state = entry / "state"
        state.write_bytes(state.read_bytes().replace(other.upload_id.encode(), upload.upload_id.encode()))
    proxy.clear()

    with pytest.raises(NoMatchingKeyError if foreign == "other keyring" else UnsupportedOperationError):
        upload.part(2, CANARY, client=client_with(folder))

    assert {request.method for request in proxy.requests} <= {"GET"}
    upload.part(2, b"tail")
    upload.complete()
    assert read(upload.client, bucket) == plaintext_of(PART) + b"tail"
    stranger.close()


@pytest.mark.parametrize("stray", ["file", "folder", "link", "dangling link", "pipe"])
def test_stray_things_beside_the_states_are_left_alone(
    watched: Watched, client_with: ClientWith, tmp_path: Path, stray: str
) -> None:
    folder, elsewhere = tmp_path / "states", tmp_path / "elsewhere"
    folder.mkdir(mode=0o700)
    elsewhere.write_bytes(b"kept")
    thing = folder / ("a" * 64)
    make: dict[str, Callable[[], Any]] = {
        "file": lambda: thing.write_bytes(b"stray"),
        "folder": lambda: (thing / "state").mkdir(parents=True),
        "link": lambda: thing.symlink_to(elsewhere),
        "dangling link": lambda: thing.symlink_to(tmp_path / "nowhere"),
        "pipe": lambda: os.mkfifo(thing),
    }
    make[stray]()

    upload = Uploading(client_with(folder), watched[2])
    upload.part(1, plaintext_of(PART))
    upload.part(2, b"tail", client=client_with(folder))
    upload.complete(client=client_with(folder))

    assert read(upload.client, watched[2]) == plaintext_of(PART) + b"tail"
    assert sorted(os.listdir(folder)) == ["a" * 64, "lock"]
    assert elsewhere.read_bytes() == b"kept"
