"""`s3envelope cp` when it cannot do what it is told: one line, and an exit code that says whose fault it is."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from s3envelope.cli.app import run
from tests.cli.commands import Place, one_line, run_process

KEY = "orders/1.bin"


def test_cp_when_the_object_is_missing_fails_in_one_line(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["cp", *place.options, place.url("absent"), str(tmp_path / "target")])

    assert code == 1
    assert "does not exist" in one_line(capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


def test_cp_when_the_bucket_is_missing_fails_in_one_line(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"content")

    code = run(["cp", *place.options, str(source), "s3://absent-bucket/key"])

    assert code == 1
    assert "the bucket does not exist" in one_line(capsys.readouterr().err)


def test_cp_when_the_local_file_is_missing_fails_in_one_line(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["cp", *place.options, str(tmp_path / "absent"), place.url(KEY)])

    assert code == 1
    assert "absent: No such file" in one_line(capsys.readouterr().err)
    assert place.keys() == []


def test_cp_when_the_object_is_not_encrypted_fails_in_one_line(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place.put_plain(KEY, b"plain")

    code = run(["cp", *place.options, place.url(KEY), str(tmp_path / "target")])

    assert code == 1
    assert "NotEncryptedError" in one_line(capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


def test_cp_when_the_key_is_another_fails_in_one_line(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place.put_sealed(KEY, b"content")
    other = place.kms.create_key()

    code = run(["cp", *place.options[:-1], other, place.url(KEY), str(tmp_path / "target")])

    assert code == 1
    assert "NoMatchingKeyError" in one_line(capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


def test_cp_when_kms_denies_the_key_fails_in_one_line(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"content")
    place.kms.perform("DisableKey", KeyId=place.key_arn)

    code = run(["cp", *place.options, str(source), place.url(KEY)])

    assert code == 1
    assert "KeyAccessError" in one_line(capsys.readouterr().err)
    assert place.keys() == []


def test_cp_when_there_are_no_credentials_fails_in_one_line(place: Place, tmp_path: Path) -> None:
    nobody = {"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}
    options = [*place.s3_options, "--raw-key-file", str(tmp_path / "key"), "--create-key"]

    done = run_process("cp", *options, place.url(KEY), str(tmp_path / "target"), changes=nobody)

    assert done.returncode == 1
    assert "name a profile with --profile" in one_line(done.stderr)


def test_cp_when_no_server_answers_fails_in_one_line(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")

    code = run(
        ["cp", "--endpoint-url", "http://127.0.0.1:9", *place.options[2:], place.url(KEY), str(tmp_path / "target")]
    )

    assert code == 1
    assert "http://127.0.0.1:9" in one_line(capsys.readouterr().err)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["file", "other"], "neither SRC nor DST is in S3"),
        (["s3://bucket", "file"], "names a bucket"),
        (["file", "s3://"], "no S3 location"),
        (["-", "s3://bucket/folder/"], "stdin has no name"),
        (["s3://bucket/key", "file", "--content-type", "a/b"], "is for uploads"),
        (["--context", "tenant", "s3://bucket/key", "file"], "not of the form name=value"),
        (["--context", "a=1", "--context", "a=2", "s3://bucket/key", "file"], "given twice"),
        (["--create-key", "s3://bucket/key", "file"], "needs --raw-key-file"),
        (["--kms-key-id", "alias/a", "--raw-key-file", "b", "s3://bucket/key", "file"], "exclude each other"),
        (["s3://bucket/key", "file"], "there is no key"),
        (["s3://bucket/key"], "Missing argument"),
    ],
)
def test_cp_when_used_wrongly_says_how_to_use_it(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["cp", *arguments])

    error = capsys.readouterr().err
    assert code == 2
    assert complaint in " ".join(error.split())
    assert "Traceback" not in error


@pytest.mark.parametrize("key_id", ["alias/", "not a key", "arn:aws:s3:::bucket"])
def test_cp_when_the_key_id_is_malformed_refuses_it_as_usage(key_id: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["cp", "--kms-key-id", key_id, "s3://bucket/key", "file"])

    assert code == 2
    assert "kms_key_id" in one_line(capsys.readouterr().err)


def test_cp_when_the_context_has_a_reserved_name_refuses_it_as_usage(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"content")

    code = run(["cp", *place.options, "--context", "s3envelope:a=b", str(source), place.url(KEY)])

    assert code == 2
    assert "s3envelope" in one_line(capsys.readouterr().err)
    assert place.keys() == []


def test_cp_when_the_folder_of_the_target_is_missing_fails_in_one_line(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place.put_sealed(KEY, b"content")

    code = run(["cp", *place.options, place.url(KEY), os.fspath(tmp_path / "absent" / "target")])

    assert code == 1
    assert "No such file or directory" in one_line(capsys.readouterr().err)
