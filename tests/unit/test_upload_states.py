"""The store of upload states: modes, atomic replacement, hostile folders."""

from __future__ import annotations

import multiprocessing
import os
import stat
from pathlib import Path

import pytest

from s3envelope.errors import ConfigurationError
from s3envelope.stores.upload_states import DirectoryUploadStates, default_state_dir

NAME = ("https://s3.example", "bucket", "../../key", "upload/id")


def test_state_when_written_is_read_back_and_deleted(tmp_path: Path) -> None:
    store = DirectoryUploadStates(tmp_path / "states")

    with store.locked(NAME) as entry:
        assert entry.read() is None
        entry.write(b"{}", "tag", {2: ('"e"', b"small")})
        stored = entry.read()
    assert stored is not None
    assert (stored.text, stored.tag, stored.small_parts) == (b"{}", "tag", {2: ('"e"', b"small")})

    with store.locked(NAME) as entry:
        entry.delete()
        assert entry.read() is None
    assert os.listdir(tmp_path / "states") == ["lock"]


def test_files_when_written_are_for_their_owner_only(tmp_path: Path) -> None:
    store = DirectoryUploadStates(tmp_path / "states")

    with store.locked(NAME) as entry:
        entry.write(b"{}", "tag", {1: ('"e"', b"x")})

    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "states").rglob("*")}
    assert stat.S_IMODE((tmp_path / "states").stat().st_mode) == 0o700
    assert {mode for name, mode in modes.items() if name == "state" or name.startswith("part-")} == {0o600}


def test_names_when_hostile_stay_in_the_folder(tmp_path: Path) -> None:
    store = DirectoryUploadStates(tmp_path / "states")

    with store.locked(NAME) as entry:
        entry.write(b"{}", "tag", {})

    assert os.listdir(tmp_path) == ["states"]
    (folder,) = [name for name in os.listdir(tmp_path / "states") if name != "lock"]
    assert len(folder) == 64


def test_names_when_cut_elsewhere_are_other_entries(tmp_path: Path) -> None:
    store = DirectoryUploadStates(tmp_path)
    with store.locked(("a", "bc")) as entry:
        entry.write(b"{}", "tag", {})

    with store.locked(("ab", "c")) as entry:
        assert entry.read() is None


def test_folder_when_others_can_write_to_it_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "states"
    folder.mkdir()
    folder.chmod(0o777)

    with pytest.raises(ConfigurationError, match="others can write"), DirectoryUploadStates(folder).locked(NAME):
        pass


def test_folder_when_it_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "states").write_bytes(b"")

    with (
        pytest.raises(ConfigurationError, match="cannot be used"),
        DirectoryUploadStates(tmp_path / "states").locked(NAME),
    ):
        pass


def test_small_parts_when_superseded_are_removed(tmp_path: Path) -> None:
    store = DirectoryUploadStates(tmp_path)

    with store.locked(NAME) as entry:
        entry.write(b"1", "tag", {1: ('"old"', b"old"), 2: ('"x"', b"x")})
        entry.write(b"2", "tag", {1: ('"new"', b"new")})
        stored = entry.read()

    assert stored is not None
    assert stored.small_parts == {1: ('"new"', b"new")}


def _append(folder: str, letter: str) -> None:
    store = DirectoryUploadStates(folder)
    for _ in range(50):
        with store.locked(NAME) as entry:
            stored = entry.read()
            entry.write((b"" if stored is None else stored.text) + letter.encode(), "tag", {})


def test_writers_when_two_processes_take_turns_lose_nothing(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    writers = [context.Process(target=_append, args=(str(tmp_path), letter)) for letter in "ab"]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()

    with DirectoryUploadStates(tmp_path).locked(NAME) as entry:
        stored = entry.read()

    assert stored is not None
    assert sorted(stored.text.decode()) == ["a"] * 50 + ["b"] * 50


def test_default_folder_is_of_the_user_and_not_made_by_asking() -> None:
    assert default_state_dir().parts[-2:] == ("s3envelope", "uploads")
