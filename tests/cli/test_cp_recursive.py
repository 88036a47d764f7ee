"""`s3envelope cp --recursive`: folders up, down and within S3."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import pytest

from s3envelope.cli.app import run
from s3envelope.cli.filters import Filters
from s3envelope.cli.transferring.items import Folder
from s3envelope.testing.s3_proxy import ErrorAnswer, matching
from tests.cli.commands import Place, one_line
from tests.cli.trees import NAMES, json_lines, make_tree, objects, put_tree, tree
from tests.conftest import ProxyFactory


@pytest.mark.parametrize("slash", ["", "/"])
def test_cp_when_a_folder_goes_up_and_down_keeps_names_and_bytes(place: Place, tmp_path: Path, slash: str) -> None:
    contents = make_tree(tmp_path / "up")
    up, down = f"{tmp_path}/up{slash}", f"{tmp_path}/down{slash}"

    codes = [
        run(["cp", "--recursive", *place.options, up, place.url(f"some/prefix{slash}")]),
        run(["cp", "--recursive", *place.options, place.url(f"some/prefix{slash}"), down]),
    ]

    assert codes == [0, 0]
    assert objects(place, "some/prefix/") == contents
    assert tree(tmp_path / "down") == contents


def test_cp_when_a_folder_goes_to_a_real_storage_and_back_keeps_names_and_bytes(
    real_place: Place, tmp_path: Path
) -> None:
    contents = make_tree(tmp_path / "up")
    contents["big"] = os.urandom(9 * 2**20)
    (tmp_path / "up" / "big").write_bytes(contents["big"])

    codes = [
        run(["cp", "--recursive", *real_place.options, str(tmp_path / "up"), f"s3://{real_place.bucket}"]),
        run(["cp", "--recursive", *real_place.options, f"s3://{real_place.bucket}", str(tmp_path / "down")]),
    ]

    assert codes == [0, 0]
    assert tree(tmp_path / "down") == contents


def test_cp_when_a_prefix_is_copied_within_s3_downloads_nothing(
    place: Place, http_proxy: ProxyFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    contents = {name: os.urandom(300) for name in NAMES}
    put_tree(place, "from/", contents)
    proxy, endpoint = http_proxy(place.endpoint)
    proxied = dataclasses.replace(place, endpoint=endpoint)

    code = run(["cp", "--recursive", "--json", *proxied.options, place.url("from"), place.url("to")])

    assert code == 0
    read = [request.path for request in proxy.requests if request.method == "GET" and "list-type" not in request.query]
    assert read == []
    assert objects(place, "to/") == contents
    assert json_lines(capsys.readouterr().out)[1]["done"] == len(contents)


def test_cp_when_one_object_is_copied_within_s3_keeps_it_readable(place: Place) -> None:
    place.put_sealed("one", b"content", context={"tenant": "acme"})

    code = run(["cp", *place.options, "--context", "tenant=acme", place.url("one"), place.url("folder/")])

    assert code == 0
    assert place.keys() == ["folder/one", "one"]
    client = place.sealing_client({"tenant": "acme"})
    assert client.get_object(Bucket=place.bucket, Key="folder/one")["Body"].read() == b"content"


@pytest.mark.parametrize("key", ["../out", "x/../../out", "/etc/out", "x//out", "./out", "x/.."])
def test_cp_when_a_key_would_leave_the_folder_refuses_it_and_goes_on(
    place: Place, tmp_path: Path, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    put_tree(place, "p/", {key: b"evil", "good": b"content"})
    target = tmp_path / "deep" / "target"

    code = run(["cp", "--recursive", *place.options, place.url("p"), str(target)])

    assert code == 1
    assert tree(tmp_path) == {"deep/target/good": b"content"}
    assert "does not name a file below the folder" in one_line(capsys.readouterr().err)


@pytest.mark.parametrize("name", ["", ".", "..", "a/../b", "a//b", "/a", "a/", "a\0b"])
def test_folder_when_a_name_is_no_path_below_it_refuses_it(tmp_path: Path, name: str) -> None:
    with pytest.raises(ValueError, match="below the folder"):
        Folder(tmp_path).place(name)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--exclude", "*"], set()),
        (["--exclude", "*", "--include", "*.bin"], {"b/c.bin"}),
        (["--include", "*.bin", "--exclude", "*"], set()),
        (["--exclude", "b/*"], {"a.txt"}),
        (["--exclude", "b/*", "--include", "b/d/*", "--exclude", "*.log"], {"a.txt", "b/d/empty"}),
        (["--include", "a.txt"], set(NAMES)),
    ],
)
def test_cp_when_filters_are_given_lets_the_last_that_fits_count(
    place: Place, tmp_path: Path, options: list[str], expected: set[str]
) -> None:
    make_tree(tmp_path)

    code = run(["cp", "--recursive", *options, *place.options, str(tmp_path), place.url("p")])

    assert code == 0
    assert {key.removeprefix("p/") for key in objects(place)} == expected


def test_filters_when_there_are_none_admit_everything() -> None:
    assert Filters().admit("any/thing")


def test_cp_when_it_is_a_dry_run_says_what_it_would_do_and_does_nothing(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_tree(tmp_path)

    code = run(["cp", "--recursive", "--dry-run", *place.options, str(tmp_path), place.url("p")])

    output = capsys.readouterr().out
    assert code == 0
    assert f"would upload: {tmp_path}/a.txt to {place.url('p/a.txt')}" in output
    assert "4 planned" in output
    assert place.keys() == []


def test_cp_when_asked_for_json_prints_a_line_for_each_file_and_a_summary(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "one").write_bytes(b"content")

    code = run(["cp", "--recursive", "--json", *place.options, str(tmp_path), place.url("p")])

    lines, summary = json_lines(capsys.readouterr().out)
    assert code == 0
    assert lines == [
        {
            "action": "upload",
            "source": str(tmp_path / "one"),
            "target": place.url("p/one"),
            "bytes": 7,
            "result": "done",
            "reason": None,
        }
    ]
    assert summary == {"done": 1, "skipped": 0, "planned": 0, "failed": 0, "interrupted": 0, "bytes": 7}


def test_cp_when_one_file_is_tampered_with_takes_the_others_and_names_it(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    contents = {f"{number}": os.urandom(1000) for number in range(5)}
    put_tree(place, "p/", contents)
    place.flip("p/3", 500)

    code = run(["cp", "--recursive", *place.options, place.url("p"), str(tmp_path)])

    captured = capsys.readouterr()
    assert code == 1
    assert place.url("p/3") in one_line(captured.err)
    assert "SegmentAuthenticationError" in captured.err
    assert "4 done, 1 failed" in captured.out
    assert tree(tmp_path) == {name: content for name, content in contents.items() if name != "3"}


def test_cp_when_the_server_fails_for_one_file_takes_the_others(
    place: Place,
    http_proxy: ProxyFactory,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    make_tree(tmp_path)
    proxy, endpoint = http_proxy(place.endpoint)
    proxy.inject(ErrorAnswer(500, "InternalError"), matching(method="PUT", contains="a.txt"), times=None)
    proxied = dataclasses.replace(place, endpoint=endpoint)

    code = run(["cp", "--recursive", "--json", *proxied.options, str(tmp_path), place.url("p")])

    lines, summary = json_lines(capsys.readouterr().out)
    assert code == 1
    assert (summary["done"], summary["failed"]) == (3, 1)
    (failed,) = [line for line in lines if line["result"] == "failed"]
    assert failed["target"] == place.url("p/a.txt")
    assert "InternalError" in str(failed["reason"])


def test_cp_when_a_link_leads_back_ends_and_follows_other_links(place: Place, tmp_path: Path) -> None:
    make_tree(tmp_path / "up", ("a/file",))
    (tmp_path / "outside").write_bytes(b"linked")
    (tmp_path / "up" / "a" / "loop").symlink_to(tmp_path / "up")
    (tmp_path / "up" / "link").symlink_to(tmp_path / "outside")
    (tmp_path / "up" / "broken").symlink_to(tmp_path / "absent")
    os.mkfifo(tmp_path / "up" / "pipe")

    code = run(["cp", "--recursive", *place.options, str(tmp_path / "up"), place.url("p")])

    assert code == 0
    assert place.keys() == ["p/a/file", "p/link"]


def test_cp_when_it_is_run_again_with_resume_skips_what_is_whole(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    contents = make_tree(tmp_path / "up")
    command = ["cp", "--recursive", "--resume", "--json", *place.options]
    up, down = [str(tmp_path / "up"), place.url("p")], [place.url("p"), str(tmp_path / "down")]

    summaries = []
    for direction in (up, up, down, down):
        run([*command, *direction])
        summaries.append(json_lines(capsys.readouterr().out)[1])
    (tmp_path / "down" / "a.txt").write_bytes(b"cut short")
    run([*command, *down])

    assert [(summary["done"], summary["skipped"]) for summary in summaries] == [(4, 0), (0, 4)] * 2
    assert json_lines(capsys.readouterr().out)[1]["done"] == 1
    assert tree(tmp_path / "down") == contents


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--recursive", "{folder}/absent", "s3://b/p"], "is no folder"),
        (["--recursive", "s3://b/p", "{folder}/file"], "is no folder"),
        (["--recursive", "s3://b/p", "s3://b/p/q"], "lies within"),
        (["--recursive", "-", "s3://b/p"], "is a stream"),
        (["{folder}", "s3://b/p"], "use --recursive"),
        (["s3://b/p", "s3://b/p"], "the same object"),
        (["s3://b/q/p", "s3://b/q/"], "the same object"),
        (["--exclude", "*", "{folder}/file", "s3://b/p"], "need --recursive"),
        (["--dry-run", "-", "s3://b/p"], "not for streams"),
    ],
)
def test_cp_when_used_wrongly_on_folders_says_so(
    place: Place, tmp_path: Path, arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_bytes(b"")

    code = run(["cp", *place.options, *(argument.format(folder=tmp_path) for argument in arguments)])

    assert code == 2
    assert complaint in " ".join(capsys.readouterr().err.split())
