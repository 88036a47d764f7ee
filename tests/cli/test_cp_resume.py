"""`s3envelope cp --resume`: uploads that were killed, interrupted or failed go on, and are never mixed of two files."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from s3envelope.cli.app import run
from s3envelope.cli.locations import S3Location
from s3envelope.cli.transferring import transfers
from s3envelope.cli.transferring.records import Records
from s3envelope.testing.s3_proxy import ErrorAnswer, Latency, RecordedRequest, matching
from tests.cli.commands import one_line
from tests.cli.resuming import SECOND_PART, SIZE, Behind, states_left
from tests.cli.trees import make_tree, objects, tree, unfinished

MIB = 2**20
KEY = "folder/object"


def test_cp_when_it_was_killed_goes_on_with_resume(
    really_behind: Behind, source: Path, states: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = really_behind.place.url(KEY)

    killed = really_behind.signalled(signal.SIGKILL, "--resume", str(source), target)
    kept = unfinished(really_behind.place)
    really_behind.take_parts()
    code = really_behind.run("--resume", str(source), target)

    assert (killed.returncode, kept) == (-signal.SIGKILL, [KEY])
    assert code == 0
    assert "1 of 2 parts exist" in one_line(capsys.readouterr().err)
    assert really_behind.take_parts() == {2}
    assert objects(really_behind.place) == {KEY: source.read_bytes()}
    assert (unfinished(really_behind.place), states_left(states)) == ([], [])


@pytest.mark.slow
def test_cp_when_it_was_killed_while_the_upload_began_leaves_none_after_the_next_run(
    really_behind: Behind, source: Path, states: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["--resume", str(source), really_behind.place.url(KEY)]

    really_behind.signalled(signal.SIGKILL, *command, moment=matching(method="POST", contains="?uploads"))
    # The proxy passes the request on, to an S3 that nobody waits for any more.
    while not unfinished(really_behind.place):
        pass
    code = really_behind.run(*command)

    assert code == 0
    # Nothing had been sent, so nothing is lost.
    assert capsys.readouterr().err == ""
    assert objects(really_behind.place) == {KEY: source.read_bytes()}
    assert (unfinished(really_behind.place), states_left(states)) == ([], [])


def test_cp_when_interrupted_with_resume_keeps_the_upload_and_says_so(
    behind: Behind, source: Path, states: Path
) -> None:
    target = behind.place.url(KEY)

    interrupted = behind.signalled(signal.SIGINT, "--resume", str(source), target)
    kept = unfinished(behind.place)
    behind.take_parts()
    code = behind.run("--resume", str(source), target)

    assert interrupted.returncode == 130
    told = interrupted.stderr.decode().splitlines()
    assert told[-1] == "s3envelope: interrupted"
    assert "is kept: run the command again" in told[0]
    assert kept == [KEY]
    assert code == 0
    assert 1 not in behind.take_parts()
    assert objects(behind.place) == {KEY: source.read_bytes()}
    assert (unfinished(behind.place), states_left(states)) == ([], [])


def test_cp_when_it_failed_with_resume_goes_on_and_without_aborts(behind: Behind, source: Path, states: Path) -> None:
    command = [str(source), behind.place.url(KEY)]

    codes = [behind.fail_once("--resume", *command)]
    kept = unfinished(behind.place)
    codes.append(behind.fail_once(*command))
    aborted = (unfinished(behind.place), [name for name in states_left(states) if name.endswith(".json")])
    behind.take_parts()
    # What is left of the first is aborted by the next that uploads in this way.
    codes.append(behind.run("--resume", *command))

    assert codes == [1, 1, 0]
    assert kept == [KEY]
    assert aborted == ([], [])
    assert behind.take_parts() == {1, 2}
    assert objects(behind.place) == {KEY: source.read_bytes()}
    assert (unfinished(behind.place), states_left(states)) == ([], [])


@pytest.mark.parametrize("change", ["content", "another file", "context"])
def test_cp_when_something_changed_since_begins_anew_and_leaves_no_upload(
    behind: Behind, source: Path, states: Path, change: str
) -> None:
    command = ["--resume", str(source), behind.place.url(KEY)]
    behind.fail_once(*command)
    before = source.stat()
    behind.take_parts()
    if change == "content":
        # Of the same size, in the same file, and with the old time.
        with source.open("r+b") as file:
            file.write(b"other")
        os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))
    elif change == "another file":
        other = source.with_name("other")
        other.write_bytes(os.urandom(SIZE))
        os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))
        other.replace(source)
    else:
        command += ["--context", "tenant=acme"]

    code = behind.run(*command)

    assert code == 0
    assert behind.take_parts() == {1, 2}
    assert (unfinished(behind.place), states_left(states)) == ([], [])
    if change != "context":
        assert objects(behind.place) == {KEY: source.read_bytes()}


def test_cp_when_the_file_changes_while_it_is_uploaded_fails_and_leaves_nothing(
    behind: Behind, source: Path, states: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def change(request: RecordedRequest) -> bool:
        if SECOND_PART(request):
            with source.open("r+b") as file:
                file.write(b"other")
        return False

    behind.proxy.inject(Latency(0), change, times=None)

    code = behind.run("--resume", "--jobs", "1", str(source), behind.place.url(KEY))

    assert code == 1
    assert "SourceChangedError" in one_line(capsys.readouterr().err)
    assert behind.place.keys() == []
    assert (unfinished(behind.place), states_left(states)) == ([], [])


def test_cp_when_s3_has_aborted_the_upload_begins_anew(behind: Behind, source: Path, states: Path) -> None:
    command = ["--resume", str(source), behind.place.url(KEY)]
    behind.fail_once(*command)
    client = behind.place.endpoint.client()
    (upload,) = client.list_multipart_uploads(Bucket=behind.place.bucket)["Uploads"]
    client.abort_multipart_upload(Bucket=behind.place.bucket, Key=KEY, UploadId=upload["UploadId"])
    client.close()

    code = behind.run(*command)

    assert code == 0
    assert objects(behind.place) == {KEY: source.read_bytes()}
    assert (unfinished(behind.place), states_left(states)) == ([], [])


def test_cp_when_the_target_is_whole_by_now_aborts_what_is_left_of_its_upload(
    behind: Behind, source: Path, states: Path
) -> None:
    command = ["--resume", str(source), behind.place.url(KEY)]
    behind.fail_once(*command)
    behind.place.put_sealed(KEY, source.read_bytes())

    code = behind.run(*command)

    assert code == 0
    assert (unfinished(behind.place), states_left(states)) == ([], [])


def test_cp_when_it_stopped_while_the_upload_was_completed_goes_on(behind: Behind, source: Path, states: Path) -> None:
    command = ["--resume", str(source), behind.place.url(KEY)]
    behind.proxy.inject(ErrorAnswer(500, "InternalError"), matching(method="POST", contains="?uploadId="))
    failed = behind.run(*command)
    behind.take_parts()

    code = behind.run(*command)

    assert (failed, code) == (1, 0)
    assert behind.take_parts() == set()
    assert objects(behind.place) == {KEY: source.read_bytes()}
    assert (unfinished(behind.place), states_left(states)) == ([], [])


def test_cp_when_another_process_uploads_the_same_refuses_to(
    behind: Behind, source: Path, states: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place = S3Location(behind.place.bucket, KEY)

    with Records(states).locked(str(source), behind.place.endpoint.url, place):
        code = behind.run("--resume", str(source), str(place))

    assert code == 1
    assert "another process" in one_line(capsys.readouterr().err)
    assert (behind.place.keys(), unfinished(behind.place)) == ([], [])


def test_cp_when_others_can_write_to_the_states_refuses_to_resume_and_uploads_without(
    behind: Behind, source: Path, states: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(transfers, "RESUMABLE_SIZE", SIZE)
    states.mkdir()
    states.chmod(0o777)
    command = [str(source), behind.place.url(KEY)]

    refused = behind.run("--resume", *command)
    error = one_line(capsys.readouterr().err)
    code = behind.run(*command)

    assert (refused, code) == (2, 0)
    assert "chmod it to 700" in error
    assert objects(behind.place) == {KEY: source.read_bytes()}


def test_cp_when_the_client_writes_another_format_refuses_to_resume(
    behind: Behind, source: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("S3ENVELOPE_WRITE_FORMAT", "s3ec-v3")

    code = behind.run("--resume", str(source), behind.place.url(KEY))

    assert code == 2
    assert "--resume needs" in one_line(capsys.readouterr().err)
    assert behind.place.keys() == []


def test_uploads_when_one_was_interrupted_lists_it_and_aborts_it_without_a_key(
    behind: Behind, source: Path, states: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = behind.place.url(KEY)
    behind.fail_once("--resume", str(source), target)
    capsys.readouterr()

    run(["uploads", "list"])
    listed = capsys.readouterr().out
    others = [
        run(["uploads", "abort", *behind.place.s3_options, behind.place.url("another")]),
        run(["uploads", "abort", "--endpoint-url", "http://127.0.0.1:9", target]),
    ]
    kept = unfinished(behind.place)
    capsys.readouterr()
    code = run(["uploads", "abort", *behind.place.s3_options, f"s3://{behind.place.bucket}"])

    assert f"{source} to {target}" in listed
    assert (others, kept) == ([0, 0], [KEY])
    assert (code, capsys.readouterr().out) == (0, "1 aborted\n")
    assert (unfinished(behind.place), states_left(states)) == ([], [])


@pytest.mark.slow
def test_cp_when_a_folder_is_interrupted_leaves_nothing_half_done_and_goes_on_with_the_rest(
    behind: Behind, tmp_path: Path, states: Path
) -> None:
    contents = make_tree(tmp_path / "up")
    for name in ("l1", "l2"):
        contents[name] = os.urandom(SIZE)
        (tmp_path / "up" / name).write_bytes(contents[name])
    up, down = [str(tmp_path / "up"), behind.place.url("p")], [behind.place.url("p"), str(tmp_path / "down")]

    interrupted = behind.signalled(signal.SIGINT, "--recursive", *up)
    left = (unfinished(behind.place), states_left(states))
    code = behind.run("--recursive", "--resume", *up)
    behind.run("--recursive", *down)

    assert interrupted.returncode == 130
    assert interrupted.stderr.decode().strip() == "s3envelope: interrupted"
    assert left == ([], [])
    assert code == 0
    assert tree(tmp_path / "down") == contents
    assert (unfinished(behind.place), states_left(states)) == ([], [])


@pytest.mark.slow
def test_cp_when_it_was_killed_without_resume_goes_on_with_a_large_file(
    behind: Behind, source: Path, states: Path
) -> None:
    source.write_bytes(os.urandom(65 * MIB))
    command = [str(source), behind.place.url(KEY)]

    behind.signalled(signal.SIGKILL, *command)
    kept = unfinished(behind.place)
    behind.take_parts()
    code = behind.run("--resume", *command)

    assert (code, kept) == (0, [KEY])
    assert 1 not in behind.take_parts()
    assert objects(behind.place) == {KEY: source.read_bytes()}
    assert (unfinished(behind.place), states_left(states)) == ([], [])
