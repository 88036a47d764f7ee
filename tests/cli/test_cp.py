"""`s3envelope cp` between files and objects."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from s3envelope.cli.app import run
from s3envelope.core.layout import run_size
from tests.cli.commands import Place, one_line, run_process

KEY = "orders/1.bin"


@pytest.mark.parametrize("size", [0, 1, 65_535, 65_536, 65_537, 2 * 65_536])
def test_cp_when_a_file_goes_up_and_down_keeps_its_bytes(place: Place, tmp_path: Path, size: int) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(os.urandom(size))

    codes = [
        run(["cp", *place.options, str(source), place.url(KEY)]),
        run(["cp", *place.options, place.url(KEY), str(target)]),
    ]

    assert codes == [0, 0]
    assert target.read_bytes() == source.read_bytes()


def test_cp_when_a_file_goes_up_stores_ciphertext_of_the_right_size(place: Place, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"a line of plaintext that must not be seen\n" * 1000)

    run(["cp", *place.options, str(source), place.url(KEY)])

    body, metadata = place.stored(KEY)
    assert b"a line of plaintext" not in body
    assert len(body) == run_size(source.stat().st_size)
    assert {"se1-h", "se1-k"} <= set(metadata)


def test_cp_when_a_big_file_goes_to_a_real_storage_and_back_keeps_its_bytes(real_place: Place, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(os.urandom(20 * 2**20 + 1))

    codes = [
        run(["cp", *real_place.options, str(source), real_place.url(KEY)]),
        run(["cp", *real_place.options, real_place.url(KEY), str(target)]),
    ]

    assert codes == [0, 0]
    assert target.read_bytes() == source.read_bytes()


def test_cp_when_a_content_type_is_given_stores_it(place: Place, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"{}")

    run(["cp", *place.options, "--content-type", "application/json", str(source), place.url(KEY)])

    client = place.endpoint.client()
    assert client.head_object(Bucket=place.bucket, Key=KEY)["ContentType"] == "application/json"


@pytest.mark.parametrize(("target", "key"), [("", "name.txt"), ("/", "name.txt"), ("/folder/", "folder/name.txt")])
def test_cp_when_the_target_is_a_folder_in_s3_appends_the_name(
    place: Place, tmp_path: Path, target: str, key: str
) -> None:
    source = tmp_path / "name.txt"
    source.write_bytes(b"content")

    code = run(["cp", *place.options, str(source), f"s3://{place.bucket}{target}"])

    assert code == 0
    assert place.keys() == [key]


def test_cp_when_the_target_is_a_local_folder_appends_the_name(place: Place, tmp_path: Path) -> None:
    place.put_sealed(KEY, b"content")

    code = run(["cp", *place.options, place.url(KEY), str(tmp_path)])

    assert code == 0
    assert (tmp_path / "1.bin").read_bytes() == b"content"


@pytest.mark.parametrize("key", ["folder/..", "folder/.", "folder/"])
def test_cp_when_the_key_names_no_file_refuses_a_local_folder(
    place: Place, tmp_path: Path, key: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()

    code = run(["cp", *place.options, place.url(key), str(folder)])

    assert code == 2
    assert "name the file" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [folder]


def test_cp_when_a_raw_key_file_is_created_works_with_it_again(place: Place, tmp_path: Path) -> None:
    source, target, key_file = tmp_path / "source", tmp_path / "target", tmp_path / "key"
    source.write_bytes(b"content")

    up = run(["cp", *place.s3_options, "--raw-key-file", str(key_file), "--create-key", str(source), place.url(KEY)])
    down = run(["cp", *place.s3_options, "--raw-key-file", str(key_file), place.url(KEY), str(target)])

    assert (up, down) == (0, 0)
    assert target.read_bytes() == b"content"
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600


def test_cp_when_the_raw_key_file_is_missing_makes_none(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key_file = tmp_path / "key"

    code = run(["cp", *place.s3_options, "--raw-key-file", str(key_file), place.url(KEY), str(tmp_path / "target")])

    assert code == 2
    assert str(key_file) in one_line(capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


def test_cp_when_the_key_comes_from_the_environment_uses_it(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.put_sealed(KEY, b"content")
    monkeypatch.setenv("S3ENVELOPE_KMS_KEY_ID", place.key_arn)
    options = [*place.s3_options, "--kms-endpoint-url", place.kms.endpoint_url]

    code = run(["cp", *options, place.url(KEY), str(tmp_path / "target")])

    assert code == 0
    assert (tmp_path / "target").read_bytes() == b"content"


def test_cp_when_the_context_is_given_again_reads_the_object(place: Place, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    source.write_bytes(b"content")
    context = ["--context", "tenant=acme", "--context", "note=a=b"]

    codes = [
        run(["cp", *place.options, *context, str(source), place.url(KEY)]),
        run(["cp", *place.options, *context, place.url(KEY), str(target)]),
    ]

    assert codes == [0, 0]
    assert target.read_bytes() == b"content"
    assert place.kms.calls[-1].encryption_context.items() >= {("tenant", "acme"), ("note", "a=b")}


def test_cp_when_the_context_is_another_writes_no_file(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place.put_sealed(KEY, b"content", context={"tenant": "acme"})

    code = run(["cp", *place.options, "--context", "tenant=globex", place.url(KEY), str(tmp_path / "target")])

    assert code == 1
    assert "ContextMismatchError" in one_line(capsys.readouterr().err)
    assert list(tmp_path.iterdir()) == []


def test_cp_when_the_object_was_tampered_with_leaves_an_existing_file_alone(place: Place, tmp_path: Path) -> None:
    target = tmp_path / "target"
    target.write_bytes(b"older")
    place.put_sealed(KEY, os.urandom(3 * 65_536))
    place.flip(KEY, 2 * 65_564 + 50)

    done = run_process("cp", *place.options, place.url(KEY), str(target))

    assert done.returncode == 1
    assert "SegmentAuthenticationError" in one_line(done.stderr)
    assert target.read_bytes() == b"older"
    assert list(tmp_path.iterdir()) == [target]


def test_cp_when_a_big_object_was_tampered_with_leaves_no_file(real_place: Place, tmp_path: Path) -> None:
    real_place.put_sealed(KEY, os.urandom(20 * 2**20))
    real_place.flip(KEY, 15 * 2**20)

    done = run_process("cp", *real_place.options, real_place.url(KEY), str(tmp_path / "target"))

    assert done.returncode == 1
    assert list(tmp_path.iterdir()) == []


def test_cp_when_the_object_was_truncated_leaves_no_file(place: Place, tmp_path: Path) -> None:
    place.put_sealed(KEY, os.urandom(3 * 65_536))
    body, metadata = place.stored(KEY)
    place.put_plain(KEY, body[: 2 * 65_564], metadata)

    done = run_process("cp", *place.options, place.url(KEY), str(tmp_path / "target"))

    assert done.returncode == 1
    assert "TruncatedObjectError" in one_line(done.stderr)
    assert list(tmp_path.iterdir()) == []
