"""`s3envelope migrate`, killed, raced and left alone: no object is lost, and nothing is left behind."""

from __future__ import annotations

import random
import re
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from s3envelope.cli.app import run
from s3envelope.rotation import migration, reencrypt
from s3envelope.s3 import replacing
from tests.cli.commands import COMMAND, Place, environment
from tests.cli.migrating import contents, is_se1, options, put, put_mixed, snapshot, summary
from tests.support.enveloped import MIB, plaintext_of
from tests.support.s3ec_objects import KmsWrap, S3ecObject, v2_object, v3_object

KILLS = 2
OBJECT_COUNT = 20
TEMPORARY = "p/object.s3envelope-" + "0" * 32


def made(place: Place, content: bytes) -> S3ecObject:
    return v3_object(content, KmsWrap(place.kms.client(), place.key_arn))


def unfinished_uploads(place: Place) -> list[str]:
    client = place.endpoint.client()
    found = client.list_multipart_uploads(Bucket=place.bucket).get("Uploads", [])
    client.close()
    return [upload["Key"] for upload in found]


def interfere(monkeypatch: pytest.MonkeyPatch, before: Callable[[Any, str, str, Mapping[str, Any]], None]) -> None:
    """Do something once, after the new object was read back and before it is put in place."""
    original = replacing.put_in_place
    done: list[str] = []

    def put_in_place(
        client: Any, bucket: str, key: str, beside: Mapping[str, Any], *, replaced: Mapping[str, Any]
    ) -> None:
        if not done:
            done.append(key)
            before(client, bucket, key, beside)
        original(client, bucket, key, beside, replaced=replaced)

    monkeypatch.setattr(reencrypt, "put_in_place", put_in_place)


def test_migrate_when_killed_twice_loses_nothing_and_leaves_nothing(
    real_place: Place, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    stored, client = put_mixed(real_place, (9 * MIB,)), real_place.endpoint.client()
    for number in range(OBJECT_COUNT):
        key, content = f"p/{number:03}", b"content %d" % number
        made(real_place, content).put(client, real_place.bucket, key)
        stored[key] = content
    client.close()
    report, choice = tmp_path / "report", random.Random(1)
    command = [*COMMAND, *options(real_place, "--report", str(report), "--workers", "4", "--delete-instruction-files")]

    for _ in range(KILLS):
        begun = len(report.read_text().splitlines()) if report.exists() else 0
        share = choice.uniform(0.1, 0.25) * len(stored)
        process = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL)
        while process.poll() is None and (not report.exists() or len(report.read_text().splitlines()) < begun + share):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL

    assert run([*command[len(COMMAND) :], "--json"]) == 0
    assert "failed" not in summary(capfd)
    assert set(real_place.keys()) == set(stored)
    assert unfinished_uploads(real_place) == []
    assert contents(real_place, stored) == stored


def test_migrate_when_an_earlier_run_left_temporary_objects_removes_them(
    real_place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    put(real_place, "p/object", made(real_place, b"content"))
    real_place.put_sealed(TEMPORARY, b"written beside it")
    real_place.put_plain(TEMPORARY.replace("object", "other"), b"somebody's, with a strange name")
    client = real_place.endpoint.client()
    client.create_multipart_upload(Bucket=real_place.bucket, Key=TEMPORARY)
    client.create_multipart_upload(Bucket=real_place.bucket, Key="p/somebodys")
    client.close()

    assert run(options(real_place, "--dry-run", "--json")) == 1
    assert summary(capfd) == {"planned": 3, "kept": 1}
    assert run(options(real_place, "--json")) == 0

    assert summary(capfd) == {"done": 1, "removed": 2, "kept": 1}
    assert sorted(real_place.keys()) == ["p/object", TEMPORARY.replace("object", "other")]
    assert unfinished_uploads(real_place) == ["p/somebodys"]


def test_migrate_when_the_object_is_overwritten_meanwhile_keeps_the_newer_one(
    real_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(real_place, "p/object", made(real_place, b"older"))
    interfere(monkeypatch, lambda *_: put(real_place, "p/object", made(real_place, b"newer")))

    assert run(options(real_place)) == 0

    assert contents(real_place, ["p/object"]) == {"p/object": b"newer"}
    assert real_place.keys() == ["p/object"]


@pytest.mark.parametrize("tries", [1, 100])
def test_migrate_when_the_object_is_overwritten_while_it_is_read_keeps_the_newer_one(
    real_place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tries: int
) -> None:
    real_place.put_plain("p/plain", b"older")
    original = replacing.stored_body
    written: list[bytes] = []

    def stored_body(client: Any, **parameters: Any) -> dict[str, Any]:
        if "IfMatch" in parameters and len(written) < tries:
            written.append(b"newer %d" % len(written))
            real_place.put_plain("p/plain", written[-1])
        return original(client, **parameters)

    monkeypatch.setattr(migration, "stored_body", stored_body)

    code = run(options(real_place, "--plaintext"))

    if tries == 1:
        assert code == 0
        assert contents(real_place, ["p/plain"]) == {"p/plain": written[-1]}
    else:
        assert code == 1
        assert "overwritten" in capfd.readouterr().out
        assert real_place.stored("p/plain") == (written[-1], {})
    assert real_place.keys() == ["p/plain"]


def test_migrate_when_a_plain_object_gets_an_envelope_meanwhile_does_not_take_ciphertext_for_plaintext(
    real_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    sealed = v2_object(b"content", KmsWrap(real_place.kms.client(), real_place.key_arn))
    real_place.put_plain("p/object", sealed.body)
    original = replacing.stored_body
    given: list[str] = []

    def stored_body(client: Any, **parameters: Any) -> dict[str, Any]:
        if "IfMatch" in parameters and not given:
            given.append("p/object")
            put(real_place, "p/object", sealed)
        return original(client, **parameters)

    monkeypatch.setattr(migration, "stored_body", stored_body)

    assert run(options(real_place, "--plaintext")) == 0

    assert given
    assert contents(real_place, ["p/object"]) == {"p/object": b"content"}


def test_migrate_when_its_temporary_object_vanishes_begins_again(
    real_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(real_place, "p/object", made(real_place, b"content"))
    interfere(
        monkeypatch,
        lambda client, bucket, _, beside: client.delete_object(Bucket=bucket, Key=beside["Key"]),
    )

    assert run(options(real_place)) == 0

    assert is_se1(real_place, "p/object")
    assert contents(real_place, ["p/object"]) == {"p/object": b"content"}


def test_migrate_when_the_object_is_deleted_meanwhile_does_not_bring_it_back(
    real_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(real_place, "p/object", made(real_place, b"content"))
    interfere(monkeypatch, lambda client, bucket, key, _: client.delete_object(Bucket=bucket, Key=key))

    assert run(options(real_place)) == 0

    assert real_place.keys() == []


def test_migrate_when_both_are_written_anew_before_the_file_is_deleted_keeps_the_new_file(
    real_place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(real_place, "p/object", made(real_place, b"older").with_instruction_file())
    original = migration._read_whole
    done: list[str] = []

    def read_whole(client: Any, where: Any) -> None:
        original(client, where)
        if not done:
            done.append("p/object")
            put(real_place, "p/object", made(real_place, b"newer").with_instruction_file())

    monkeypatch.setattr(migration, "_read_whole", read_whole)

    assert run(options(real_place, "--delete-instruction-files")) == 0

    assert contents(real_place, ["p/object"]) == {"p/object": b"newer"}
    assert real_place.keys() == ["p/object"]


def test_migrate_when_what_was_written_reads_back_otherwise_replaces_nothing(
    real_place: Place, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    put(real_place, "p/object", made(real_place, plaintext_of(70_000)))
    before, original = snapshot(real_place), reencrypt._upload

    def upload(client: Any, bucket: str, name: str, *others: Any) -> Any:
        written = original(client, bucket, name, *others)
        client.put_object(Bucket=bucket, Key=name, Body=plaintext_of(69_999))
        return written

    monkeypatch.setattr(reencrypt, "_upload", upload)

    assert run(options(real_place)) == 1

    assert re.search("failed: .*is not what was read", " ".join(capfd.readouterr().out.split()))
    assert snapshot(real_place) == before
