"""`s3envelope rotate`: other keys for everything under a prefix, whatever happens on the way."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from s3envelope import KmsKeyring, RawAesKeyring
from s3envelope.cli.app import run
from tests.cli.commands import COMMAND, Place, environment
from tests.support.enveloped import enveloped_client

KILLS = 3


def keyring(place: Place, arn: str) -> KmsKeyring:
    return KmsKeyring(arn, place.kms.client())


def fill(place: Place, count: int, *, data_keys: int = 1, prefix: str = "p/") -> dict[str, bytes]:
    """Store objects under the place's key, with so many data keys; return what they hold."""
    contents = {f"{prefix}{number:05}": b"content %d" % number for number in range(count)}
    clients = [enveloped_client(place.endpoint, keyring(place, place.key_arn)) for _ in range(data_keys)]
    with ThreadPoolExecutor(8) as executor:
        for number, (key, body) in enumerate(contents.items()):
            executor.submit(clients[number % data_keys].put_object, Bucket=place.bucket, Key=key, Body=body)
    for client in clients:
        client.close()
    return contents


def metadata(place: Place) -> list[dict[str, str]]:
    keys = place.keys()
    return [place.stored(key)[1] for key in keys]


def contents(place: Place, ring: Any, keys: Any) -> dict[str, bytes]:
    client = enveloped_client(place.endpoint, ring)

    def read(key: str) -> bytes:
        return client.get_object(Bucket=place.bucket, Key=key)["Body"].read()

    with ThreadPoolExecutor(8) as executor:
        found = dict(zip(keys, executor.map(read, keys), strict=True))
    client.close()
    return found


def options(place: Place, *others: str, to: str) -> list[str]:
    return [
        "rotate",
        f"s3://{place.bucket}/p/",
        *place.s3_options,
        "--kms-endpoint-url",
        place.kms.endpoint_url,
        "--from-key",
        place.key_arn,
        "--to-key",
        to,
        *others,
    ]


def summary(**counts: int) -> dict[str, Any]:
    """Return what --json prints, with these counts of results and plans."""
    plans = ("keep", "rewrap", "re-encrypt", "refuse")
    results = ("done", "kept", "planned", "refused", "old_version", "failed")
    return {**{name: counts.get(name, 0) for name in results}, "plan": {name: counts.get(name, 0) for name in plans}}


def test_rotate_when_run_gives_every_object_the_new_key_and_shares_kms_calls(
    place: Place, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    stored = fill(place, 60, data_keys=3)
    other = fill(place, 2, prefix="elsewhere/")
    to, report = place.kms.create_key(alias="alias/new"), tmp_path / "report"
    place.kms.clear_calls()

    code = run(options(place, "--report", str(report), "--json", to="alias/new"))

    assert code == 0
    assert json.loads(capfd.readouterr().out) == summary(done=60, rewrap=60)
    assert place.kms.count("Decrypt") == 3
    assert place.kms.count("GenerateDataKey") == 1
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    assert sorted(line["key"] for line in lines) == sorted(stored)
    assert {line["result"] for line in lines} == {"done"}
    assert contents(place, keyring(place, to), stored) == stored
    assert contents(place, keyring(place, place.key_arn), other) == other


def test_rotate_when_run_again_does_nothing(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    fill(place, 5)
    to = place.kms.create_key()
    run(options(place, to=to))
    before = metadata(place)
    place.kms.clear_calls()
    capfd.readouterr()

    assert run(options(place, "--json", to=to)) == 0

    assert json.loads(capfd.readouterr().out)["kept"] == 5
    assert metadata(place) == before
    assert place.kms.count("Decrypt") == place.kms.count("GenerateDataKey") == 0


def test_rotate_when_only_data_keys_are_reencrypted_opens_nothing(place: Place) -> None:
    stored = fill(place, 20, data_keys=2)
    to = place.kms.create_key()
    place.kms.clear_calls()

    assert run(options(place, "--edk-only", to=to)) == 0

    assert {call.operation for call in place.kms.calls} == {"ReEncrypt"}
    assert place.kms.count("ReEncrypt") == 2
    assert contents(place, keyring(place, to), stored) == stored


def test_rotate_when_dry_changes_nothing_and_says_that_something_is_left(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    fill(place, 3)
    before = metadata(place)

    assert run(options(place, "--dry-run", to=place.kms.create_key())) == 1

    out = capfd.readouterr().out
    assert "3 planned" in out
    assert "p/00001: rewrap: other key" in out
    assert "plan: 0 keep, 3 rewrap, 0 re-encrypt, 0 refuse" in out
    assert metadata(place) == before


def test_rotate_when_objects_cannot_be_done_names_them_and_does_the_rest(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    stored = fill(place, 3)
    place.put_plain("p/plain", b"never sealed")
    body, stolen = place.stored("p/00001")
    place.put_plain("p/00001", body, {**stolen, "se1-h": "A" * len(stolen["se1-h"])})

    code = run(options(place, to=(to := place.kms.create_key())))

    out = capfd.readouterr().out
    assert code == 1
    assert "refused: s3://" in out
    assert "failed: s3://" in out
    assert "2 done, 0 kept, 0 planned, 1 refused, 0 old version, 1 failed" in out
    good = [key for key in stored if key != "p/00001"]
    assert contents(place, keyring(place, to), good) == {key: stored[key] for key in good}
    assert place.stored("p/plain")[0] == b"never sealed"


def test_rotate_when_the_new_key_is_refused_leaves_everything_as_it_was(place: Place) -> None:
    stored = fill(place, 4)
    to = place.kms.create_key()
    place.kms.client().disable_key(KeyId=to)

    assert run(options(place, to=to)) == 1

    assert contents(place, keyring(place, place.key_arn), stored) == stored


def test_rotate_when_a_context_is_given_adds_it(place: Place) -> None:
    stored = fill(place, 3)
    arguments = ["rotate", f"s3://{place.bucket}/p/", *place.s3_options]

    code = run(
        [
            *arguments,
            "--kms-endpoint-url",
            place.kms.endpoint_url,
            "--to-key",
            place.key_arn,
            "--context",
            "tenant=acme",
        ]
    )

    assert code == 0
    client = enveloped_client(
        place.endpoint, keyring(place, place.key_arn), envelope={"encryption_context": {"tenant": "acme"}}
    )
    assert client.get_object(Bucket=place.bucket, Key="p/00000")["Body"].read() == stored["p/00000"]


def test_rotate_when_leaving_kms_for_a_raw_key_and_back_keeps_the_contents(place: Place, tmp_path: Path) -> None:
    stored = fill(place, 3)
    file = tmp_path / "key"
    escrow = RawAesKeyring.from_file(file)
    arguments = ["rotate", f"s3://{place.bucket}/p/", *place.s3_options, "--kms-endpoint-url", place.kms.endpoint_url]

    assert run([*arguments, "--from-key", place.key_arn, "--to-raw-key-file", str(file)]) == 0
    assert contents(place, escrow, stored) == stored
    assert run([*arguments, "--from-raw-key-file", str(file), "--to-key", place.key_arn]) == 0
    assert contents(place, keyring(place, place.key_arn), stored) == stored


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--from-key", "alias/a"], "no key to wrap with"),
        (["--to-key", "alias/a", "--edk-only", "--bind"], "edk_only keeps the header"),
        (["--to-key", "alias/a", "--edk-only", "--reencrypt"], "edk_only opens nothing"),
        (["--to-key", "not a key"], "kms_key_id is"),
    ],
)
def test_rotate_when_told_the_wrong_things_says_so_before_any_request(
    place: Place, capfd: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    assert run(["rotate", f"s3://{place.bucket}/p/", *place.s3_options, *arguments]) == 2
    assert message in capfd.readouterr().err


def _killed_and_run_again(place: Place, to: str, report: Path, stored: dict[str, bytes]) -> None:
    choice = random.Random(1)
    command = [*COMMAND, *options(place, "--report", str(report), "--workers", "8", to=to)]
    for _ in range(KILLS):
        begun = len(report.read_text().splitlines()) if report.exists() else 0
        process = subprocess.Popen(command, env=environment(), stdout=subprocess.DEVNULL)
        share = choice.uniform(0.1, 0.25) * len(stored)
        while process.poll() is None and (not report.exists() or len(report.read_text().splitlines()) < begun + share):
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
    done = subprocess.run(command, env=environment(), capture_output=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("count", [300, pytest.param(5000, marks=pytest.mark.slow)])
def test_rotate_when_killed_three_times_ends_with_every_object_done_and_none_lost(
    place: Place, tmp_path: Path, count: int
) -> None:
    stored = fill(place, count, data_keys=10)
    to, report = place.kms.create_key(), tmp_path / "report"
    place.kms.clear_calls()

    _killed_and_run_again(place, to, report, stored)

    lines = [json.loads(line) for line in report.read_text().splitlines()]
    finished = [line["key"] for line in lines if line["result"] in ("done", "kept")]
    assert set(finished) == set(stored)
    # An object whose line was lost with the process is found done by the next run.
    assert len([line for line in lines if line["result"] == "done"]) <= count
    assert contents(place, keyring(place, to), stored) == stored
    assert place.kms.count("Decrypt") <= 10 * (KILLS + 1)
    assert place.kms.count("GenerateDataKey") <= KILLS + 1
