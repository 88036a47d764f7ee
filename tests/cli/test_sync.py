"""`s3envelope sync`: what is missing or differs is transferred, once."""

from __future__ import annotations

import os
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from s3envelope.cli.app import run
from tests.cli.commands import Place, one_line
from tests.cli.trees import json_lines, make_tree, objects, put_tree, tree

PART = 5 * 2**20


@pytest.fixture
def summary(capsys: pytest.CaptureFixture[str]) -> Any:
    """Return what runs `sync --json` and returns its exit code and summary."""

    def sync(*arguments: str) -> tuple[int, dict[str, int]]:
        code = run(["sync", "--json", *arguments])
        return code, json_lines(capsys.readouterr().out)[1]

    return sync


def _age(path: Path, seconds: int) -> None:
    """Make a file older, or with a negative number newer."""
    before = path.stat().st_mtime
    os.utime(path, (before - seconds, before - seconds))


@pytest.mark.parametrize("server", ["place", pytest.param("real_place", marks=pytest.mark.slow)])
def test_sync_when_run_again_transfers_nothing_in_each_direction(
    request: pytest.FixtureRequest, server: str, tmp_path: Path, summary: Any
) -> None:
    place: Place = request.getfixturevalue(server)
    contents = make_tree(tmp_path / "up")
    pairs = [
        (str(tmp_path / "up"), place.url("one")),
        (place.url("one"), place.url("two/")),
        (place.url("two"), str(tmp_path / "down")),
    ]

    first = [summary(*place.options, *pair) for pair in pairs]
    second = [summary(*place.options, *pair) for pair in pairs]

    assert [(code, found["done"], found["skipped"]) for code, found in first] == [(0, 4, 0)] * 3
    assert [(code, found["done"], found["skipped"]) for code, found in second] == [(0, 0, 4)] * 3
    assert tree(tmp_path / "down") == contents


def test_sync_when_files_differ_transfers_those_alone(place: Place, tmp_path: Path, summary: Any) -> None:
    contents = make_tree(tmp_path, ("same", "older", "newer", "longer", "missing"))
    put_tree(place, "p/", {name: content for name, content in contents.items() if name != "missing"})
    (tmp_path / "longer").write_bytes(contents["longer"] + b"more")
    for name in ("older", "newer"):
        (tmp_path / name).write_bytes(os.urandom(300))
    for name, seconds in (("older", 100), ("newer", -100), ("longer", 100), ("same", 100)):
        _age(tmp_path / name, seconds)

    code, found = summary(*place.options, str(tmp_path), place.url("p"))

    assert (code, found["done"], found["skipped"]) == (0, 3, 2)
    assert objects(place, "p/") == {**tree(tmp_path), "older": contents["older"]}


def test_sync_when_only_sizes_count_takes_no_newer_file(place: Place, tmp_path: Path, summary: Any) -> None:
    contents = make_tree(tmp_path, ("one",))
    put_tree(place, "p/", contents)
    (tmp_path / "one").write_bytes(os.urandom(300))
    _age(tmp_path / "one", -100)

    code, found = summary("--size-only", *place.options, str(tmp_path), place.url("p"))

    assert (code, found["done"]) == (0, 0)
    assert objects(place, "p/") == contents


@pytest.mark.parametrize("direction", ["up", "down"])
def test_sync_when_contents_are_compared_finds_what_times_hide(
    place: Place, tmp_path: Path, summary: Any, direction: str
) -> None:
    contents = make_tree(tmp_path, ("same", "other"))
    put_tree(place, "p/", contents)
    (tmp_path / "other").write_bytes(os.urandom(300))
    for name in contents:
        # Times say in both directions that nothing is new.
        _age(tmp_path / name, 100 if direction == "up" else -100)
    pair = [str(tmp_path), place.url("p")]

    code, found = summary("--checksum", *place.options, *(pair if direction == "up" else pair[::-1]))

    assert (code, found["done"], found["skipped"]) == (0, 1, 1)
    assert objects(place, "p/") == tree(tmp_path)
    assert (tree(tmp_path) == contents) == (direction == "down")


def test_sync_when_contents_are_compared_and_an_object_was_tampered_with_fails(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_tree(place, "p/", make_tree(tmp_path, ("one",)))
    place.flip("p/one", 100)

    code = run(["sync", "--checksum", *place.options, str(tmp_path), place.url("p")])

    assert code == 1
    assert "SegmentAuthenticationError" in one_line(capsys.readouterr().err)


def test_sync_when_an_object_was_uploaded_in_any_parts_knows_its_exact_size(
    place: Place, tmp_path: Path, summary: Any
) -> None:
    # Its listed size is computed, and too high: it has an index.
    plaintext = os.urandom(PART + 1000)
    (tmp_path / "big").write_bytes(plaintext)
    with closing(place.sealing_client()) as client:
        names: Any = {"Bucket": place.bucket, "Key": "p/big"}
        names["UploadId"] = client.create_multipart_upload(**names)["UploadId"]
        parts: Any = [
            {"PartNumber": number, "ETag": client.upload_part(**names, PartNumber=number, Body=body)["ETag"]}
            for number, body in ((1, plaintext[:PART]), (2, plaintext[PART:]))
        ]
        client.complete_multipart_upload(**names, MultipartUpload={"Parts": parts})
        (listed,) = client.list_objects_v2(Bucket=place.bucket)["Contents"]
    _age(tmp_path / "big", 100)

    _, same = summary(*place.options, str(tmp_path), place.url("p"))
    # What the listing says is the size of a file that is another one.
    (tmp_path / "big").write_bytes(os.urandom(listed["Size"]))
    _age(tmp_path / "big", 100)
    _, differing = summary(*place.options, str(tmp_path), place.url("p"))

    assert listed["Size"] > len(plaintext)
    assert (same["done"], same["skipped"]) == (0, 1)
    assert (differing["done"], differing["skipped"]) == (1, 0)


@pytest.mark.parametrize("direction", ["up", "down"])
def test_sync_when_told_to_deletes_what_only_the_target_has_and_is_not_excluded(
    place: Place, tmp_path: Path, summary: Any, direction: str
) -> None:
    contents = make_tree(tmp_path, ("both", "extra", "keep.log", "d/extra"))
    pair = [str(tmp_path), place.url("p")]
    if direction == "up":
        put_tree(place, "p/", contents)
        for name in set(contents) - {"both"}:
            (tmp_path / name).unlink()
    else:
        pair.reverse()
        put_tree(place, "p/", {"both": contents["both"]})
        _age(tmp_path / "both", -100)
    options = ["--delete", "--exclude", "*.log", *place.options, *pair]

    _, planned = summary("--dry-run", *options)
    kept = (objects(place, "p/"), tree(tmp_path))
    code, found = summary(*options)

    assert planned["planned"] == 2
    assert contents in kept
    assert (code, found["done"]) == (0, 2)
    target = objects(place, "p/") if direction == "up" else tree(tmp_path)
    assert sorted(target) == ["both", "keep.log"]


def test_sync_when_told_to_delete_leaves_what_another_process_may_be_downloading(place: Place, tmp_path: Path) -> None:
    put_tree(place, "p/", {"a": b"content"})
    partial = "b.0123abcd.s3envelope-partial"
    (tmp_path / partial).write_bytes(b"half")
    (tmp_path / "old").write_bytes(b"old")

    code = run(["sync", "--delete", *place.options, place.url("p"), str(tmp_path)])

    assert code == 0
    assert tree(tmp_path) == {"a": b"content", partial: b"half"}


def test_sync_when_not_told_to_deletes_nothing(place: Place, tmp_path: Path) -> None:
    put_tree(place, "p/", {"extra": b"content"})

    code = run(["sync", *place.options, str(tmp_path), place.url("p")])

    assert code == 0
    assert place.keys() == ["p/extra"]


def test_sync_when_a_folder_cannot_be_read_deletes_nothing(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put_tree(place, "p/", make_tree(tmp_path, ("a", "closed/b")))
    scandir = os.scandir

    def refuse(path: Any) -> Any:
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)

    code = run(["sync", "--delete", *place.options, str(tmp_path), place.url("p")])

    assert code == 1
    assert place.keys() == ["p/a", "p/closed/b"]
    assert "nothing is deleted" in capsys.readouterr().err


def test_sync_when_the_source_folder_does_not_exist_deletes_nothing(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put_tree(place, "p/", {"extra": b"content"})

    code = run(["sync", "--delete", *place.options, str(tmp_path / "absent"), place.url("p")])

    assert code == 2
    assert "is no folder" in capsys.readouterr().err
    assert place.keys() == ["p/extra"]


def test_sync_when_two_ways_to_compare_are_given_refuses_them(capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["sync", "--size-only", "--checksum", "a", "s3://b/p"])

    assert code == 2
    assert "exclude each other" in capsys.readouterr().err
