"""`s3envelope mv`: the source goes last, and only when its replacement was read."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
from pathlib import Path

import pytest

from s3envelope.cli.app import run
from s3envelope.testing.s3_proxy import ErrorAnswer, Latency, RecordedRequest, flip_byte, matching
from tests.cli.commands import COMMAND, Place, environment, one_line
from tests.cli.resuming import SIZE, Behind, states_left
from tests.cli.trees import make_tree, objects, put_tree, tree, unfinished
from tests.conftest import ProxyFactory

KEY = "folder/object"
GET = matching(method="GET", contains=KEY)


@pytest.mark.parametrize("server", ["place", "real_place"])
def test_mv_when_it_succeeds_leaves_the_target_alone(
    request: pytest.FixtureRequest, server: str, tmp_path: Path
) -> None:
    place: Place = request.getfixturevalue(server)
    file, back = tmp_path / "file", tmp_path / "back"
    content = os.urandom(100_000)
    file.write_bytes(content)

    codes = [run(["mv", *place.options, str(file), place.url(KEY)])]
    after_first = (file.exists(), place.keys())
    codes.append(run(["mv", *place.options, place.url(KEY), place.url("other")]))
    after_second = place.keys()
    codes.append(run(["mv", *place.options, place.url("other"), str(back)]))

    assert codes == [0, 0, 0]
    assert after_first == (False, [KEY])
    assert after_second == ["other"]
    assert place.keys() == []
    assert back.read_bytes() == content


def test_mv_when_a_folder_is_moved_takes_what_the_filters_admit(place: Place, tmp_path: Path) -> None:
    contents = make_tree(tmp_path, ("a", "d/b", "c.log"))

    code = run(["mv", "--recursive", "--exclude", "*.log", *place.options, str(tmp_path), place.url("p")])

    assert code == 0
    assert objects(place, "p/") == {"a": contents["a"], "d/b": contents["d/b"]}
    assert tree(tmp_path) == {"c.log": contents["c.log"]}


def test_mv_when_it_is_a_dry_run_moves_nothing(place: Place, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")

    code = run(["mv", "--dry-run", *place.options, str(tmp_path / "file"), place.url(KEY)])

    assert code == 0
    assert (place.keys(), tree(tmp_path)) == ([], {"file": b"content"})


@pytest.mark.parametrize("target", ["p/one", "p/"])
def test_mv_when_the_target_is_the_source_refuses_it(place: Place, target: str) -> None:
    put_tree(place, "p/", {"one": b"content"})

    codes = [
        run(["mv", *place.options, place.url("p/one"), place.url(target)]),
        run(["mv", "--recursive", *place.options, place.url("p"), place.url("p/")]),
    ]

    assert codes == [2, 2]
    assert objects(place, "p/") == {"one": b"content"}


@pytest.mark.parametrize("what", ["the upload fails", "it cannot be read back", "it was tampered with"])
def test_mv_when_a_file_does_not_arrive_keeps_it(
    place: Place, http_proxy: ProxyFactory, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    proxy, endpoint = http_proxy(place.endpoint)
    if what == "it was tampered with":
        proxy.on_response(GET, flip_byte(50))
    else:
        moment = GET if what == "it cannot be read back" else matching(method="PUT", contains=KEY)
        proxy.inject(ErrorAnswer(500, "InternalError"), moment)
    (tmp_path / "file").write_bytes(b"content" * 100)

    code = run(["mv", *dataclasses.replace(place, endpoint=endpoint).options, str(tmp_path / "file"), place.url(KEY)])

    assert code == 1
    assert tree(tmp_path) == {"file": b"content" * 100}


@pytest.mark.parametrize("is_local", [True, False])
def test_mv_when_the_source_changes_meanwhile_keeps_it(
    place: Place, http_proxy: ProxyFactory, tmp_path: Path, capsys: pytest.CaptureFixture[str], *, is_local: bool
) -> None:
    proxy, endpoint = http_proxy(place.endpoint)
    proxied = dataclasses.replace(place, endpoint=endpoint)
    file = tmp_path / "file"
    file.write_bytes(b"old")
    put_tree(place, "p/", {"one": b"old"})

    def change(request: RecordedRequest) -> bool:
        if GET(request):
            # The target is read back: it is complete, and the source is about to be deleted.
            file.write_bytes(b"new")
            put_tree(place, "p/", {"one": b"new"})
        return False

    proxy.inject(Latency(0), change, times=None)

    code = run(["mv", *proxied.options, str(file) if is_local else place.url("p/one"), place.url(KEY)])

    assert code == 1
    assert "deleted" in one_line(capsys.readouterr().err)
    assert (file.read_bytes(), objects(place, "p/")) == (b"new", {"one": b"new"})


def test_mv_when_the_source_turns_out_to_be_the_target_keeps_it(
    place: Place, http_proxy: ProxyFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    # As where a bucket has a second name: what is stored under one is stored under the other.
    proxy, endpoint = http_proxy(place.endpoint)
    put_tree(place, "p/", {"one": b"content"})

    def alias(request: RecordedRequest) -> bool:
        if GET(request):
            # The same object in a new envelope: what a copy onto itself leaves.
            with_copy = place.sealing_client()
            where = {"Bucket": place.bucket, "Key": "p/one"}
            with_copy.copy_object(**where, CopySource=where, MetadataDirective="REPLACE")  # type: ignore[arg-type]
            with_copy.close()
        return False

    proxy.inject(Latency(0), alias, times=None)
    options = dataclasses.replace(place, endpoint=endpoint).options

    code = run(["mv", *options, place.url("p/one"), place.url(KEY)])

    assert code == 1
    assert "not deleted" in one_line(capsys.readouterr().err)
    assert objects(place, "p/") == {"one": b"content"}


@pytest.mark.parametrize("method", [pytest.param("PUT", marks=pytest.mark.slow), "GET"])
def test_mv_when_interrupted_keeps_the_source(
    place: Place, http_proxy: ProxyFactory, tmp_path: Path, method: str
) -> None:
    proxy, endpoint = http_proxy(place.endpoint)
    running: list[subprocess.Popen[bytes]] = []

    def press(request: RecordedRequest) -> bool:
        if not running or not matching(method=method, contains=KEY)(request):
            return False
        running.pop().send_signal(signal.SIGINT)
        return True

    proxy.inject(Latency(1), press)
    (tmp_path / "file").write_bytes(b"content")
    options = dataclasses.replace(place, endpoint=endpoint).options
    command = [*COMMAND, "mv", *options, str(tmp_path / "file"), place.url(KEY)]

    with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment(), start_new_session=True) as process:
        running.append(process)
        _, error = process.communicate(timeout=90)

    assert (process.returncode, error.decode().strip()) == (130, "s3envelope: interrupted")
    assert tree(tmp_path) == {"file": b"content"}


def test_mv_when_it_was_killed_goes_on_with_resume(really_behind: Behind, source: Path, states: Path) -> None:
    moving, content = dataclasses.replace(really_behind, verb="mv"), source.read_bytes()
    command = ["--resume", str(source), moving.place.url(KEY)]

    killed = moving.signalled(signal.SIGKILL, *command)
    kept = (unfinished(moving.place), source.read_bytes() == content)
    moving.take_parts()
    code = moving.run(*command)

    assert (killed.returncode, kept) == (-signal.SIGKILL, ([KEY], True))
    assert code == 0
    assert moving.take_parts() == {2}
    assert objects(moving.place) == {KEY: content}
    assert not source.exists()
    assert (unfinished(moving.place), states_left(states)) == ([], [])


def test_mv_when_it_failed_after_the_upload_compares_and_sends_nothing_again(
    behind: Behind, source: Path, states: Path
) -> None:
    moving, content = dataclasses.replace(behind, verb="mv"), source.read_bytes()
    command = ["--resume", str(source), moving.place.url(KEY)]
    moving.proxy.inject(ErrorAnswer(500, "InternalError"), matching(method="GET", contains=KEY))
    failed = moving.run(*command)
    was_there = source.exists()
    moving.take_parts()

    code = moving.run(*command)

    assert (failed, was_there, code) == (1, True, 0)
    assert [request for request in moving.proxy.take_requests() if request.method in ("PUT", "POST")] == []
    assert objects(moving.place) == {KEY: content}
    assert not source.exists()
    assert (unfinished(moving.place), states_left(states)) == ([], [])


def test_mv_when_another_file_of_this_size_is_the_target_sends_this_one(
    behind: Behind, source: Path, states: Path
) -> None:
    moving, content = dataclasses.replace(behind, verb="mv"), source.read_bytes()
    moving.place.put_sealed(KEY, os.urandom(SIZE))

    code = moving.run("--resume", str(source), moving.place.url(KEY))

    assert code == 0
    assert moving.take_parts() == {1, 2}
    assert objects(moving.place) == {KEY: content}
    assert not source.exists()


def test_mv_when_another_file_of_this_size_is_the_target_keeps_what_an_earlier_run_sent(
    behind: Behind, source: Path, states: Path
) -> None:
    moving, content = dataclasses.replace(behind, verb="mv"), source.read_bytes()
    command = ["--resume", str(source), moving.place.url(KEY)]
    moving.place.put_sealed(KEY, os.urandom(SIZE))
    assert moving.fail_once(*command) == 1
    moving.take_parts()

    code = moving.run(*command)

    assert code == 0
    assert moving.take_parts() == {2}
    assert objects(moving.place) == {KEY: content}
    assert (unfinished(moving.place), states_left(states)) == ([], [])


def test_mv_when_the_target_is_the_same_in_clear_seals_it(
    behind: Behind, source: Path, states: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("S3ENVELOPE_UNENCRYPTED", "allow")
    moving, content = dataclasses.replace(behind, verb="mv"), source.read_bytes()
    moving.place.put_plain(KEY, content)

    code = moving.run("--resume", str(source), moving.place.url(KEY))

    assert code == 0
    assert content not in moving.place.stored(KEY)[0]
    assert objects(moving.place) == {KEY: content}
    assert not source.exists()


def test_mv_when_the_target_has_another_context_seals_it_anew(behind: Behind, source: Path, states: Path) -> None:
    moving, content = dataclasses.replace(behind, verb="mv"), source.read_bytes()
    moving.place.put_sealed(KEY, content, context={"tenant": "a"})

    code = moving.run("--resume", "--context", "tenant=b", str(source), moving.place.url(KEY))

    assert code == 0
    assert moving.take_parts() == {1, 2}
    assert not source.exists()


@pytest.mark.parametrize("is_local", [True, False])
def test_mv_when_the_target_of_no_upload_has_the_size_replaces_it_before_the_source_goes(
    behind: Behind, tmp_path: Path, states: Path, *, is_local: bool
) -> None:
    moving, target = dataclasses.replace(behind, verb="mv"), tmp_path / "target"
    moving.place.put_sealed(KEY, b"content")
    target.write_bytes(b"another")
    moving.place.put_sealed("target", b"another")

    code = moving.run("--resume", moving.place.url(KEY), str(target) if is_local else moving.place.url("target"))

    assert code == 0
    assert objects(moving.place) == {"target": b"another" if is_local else b"content"}
    assert target.read_bytes() == (b"content" if is_local else b"another")


def test_mv_when_an_object_of_several_cannot_be_read_keeps_that_one(place: Place, tmp_path: Path) -> None:
    contents = {"a": os.urandom(500), "b": os.urandom(500)}
    put_tree(place, "p/", contents)
    place.flip("p/b", 100)

    code = run(["mv", "--recursive", *place.options, place.url("p"), str(tmp_path)])

    assert code == 1
    assert place.keys() == ["p/b"]
    assert tree(tmp_path) == {"a": contents["a"]}


def test_mv_when_a_stream_is_given_refuses_it(capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["mv", "-", "s3://bucket/key"])

    assert code == 2
    assert "a stream cannot be moved" in capsys.readouterr().err
