"""`s3envelope bench`: both clients, interleaved; random bytes only; nothing left behind."""

from __future__ import annotations

import json
import signal
import subprocess
import threading
from typing import Any

import pytest

from s3envelope.cli.app import run
from tests.cli.commands import COMMAND, Place, environment
from tests.conftest import ProxyFactory
from tests.support.servers import MotoLog

SIZES = ["--size", "1000", "--size", "100KiB"]


def test_bench_when_run_compares_both_clients_and_leaves_nothing(
    place: Place, moto_log: MotoLog, capsys: pytest.CaptureFixture[str]
) -> None:
    place.put_plain("mine", b"content")
    place.put_plain("folder/mine", b"content")
    client = place.endpoint.client()
    client.put_bucket_versioning(Bucket=place.bucket, VersioningConfiguration={"Status": "Enabled"})
    moto_log.clear()

    code = run(["bench", *place.options, *SIZES, "--rounds", "2", "--json", place.url("folder")])

    captured = capsys.readouterr()
    found = json.loads(captured.out)
    versions = client.list_object_versions(Bucket=place.bucket)
    client.close()
    assert code == 0
    assert [(row["size"], row["call"], row["rounds"]) for row in found["results"]] == [
        (size, call, 2) for size in (1000, 102_400) for call in ("put_object", "get_object")
    ]
    assert all(
        row["boto3_seconds"] > 0 and row["s3envelope_seconds"] > 0 and row["ratio"] > 0 for row in found["results"]
    )
    assert [one["Key"] for one in versions["Versions"]] == ["folder/mine", "mine"]
    assert "DeleteMarkers" not in versions
    # Two clients, two sizes, two rounds and one to warm up.
    assert found["deleted"] == 12
    puts = [one["path"] for one in moto_log.requests() if one["method"] == "PUT"]
    assert len(puts) == 12
    assert all(path.startswith(f"/{place.bucket}/{found['prefix']}") for path in puts)
    assert [path.rpartition("/")[2].partition("-")[0] for path in puts] == ["boto3", "s3envelope"] * 6
    assert found["prefix"] in captured.err
    assert found["prefix"].startswith("folder/s3envelope-bench-")


@pytest.mark.slow
def test_bench_when_read_by_a_person_shows_the_ratios(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["bench", *place.options, "--size", "1KiB", "--rounds", "1", place.url("")])

    shown = capsys.readouterr().out
    assert code == 0
    assert f"writing random bytes under s3://{place.bucket}/s3envelope-bench-" in shown
    assert "ratio" in shown
    assert "1,024 bytes" in shown
    assert place.keys() == []


def test_bench_when_interrupted_deletes_what_it_wrote(place: Place, http_proxy: ProxyFactory) -> None:
    proxy, endpoint = http_proxy(place.endpoint)
    reached, release = threading.Event(), threading.Event()

    def wait(answer: Any) -> Any:
        reached.set()
        release.wait(60)
        return answer

    proxy.on_response(lambda request: request.method == "GET" and "/s3envelope-1024" in request.path, wait, times=1)
    options = ["--endpoint-url", endpoint.url, *place.options[2:], "--size", "1KiB"]
    command = [*COMMAND, "bench", *options, "--json", place.url("")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment())

    assert reached.wait(60)
    assert len(place.keys()) == 2
    process.send_signal(signal.SIGINT)
    release.set()
    out, err = process.communicate(timeout=60)

    assert process.returncode == 130
    assert json.loads(out) == {"error": {"class": "Interrupted", "message": "interrupted"}}
    assert b"Traceback" not in err
    assert place.keys() == []


def test_bench_when_the_key_is_denied_leaves_nothing(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.kms.perform("DisableKey", KeyId=place.key_arn)

    code = run(["bench", *place.options, "--size", "1KiB", "--json", place.url("")])

    assert code == 1
    assert json.loads(capsys.readouterr().out)["error"]["class"] == "KeyAccessError"
    assert place.keys() == []


@pytest.mark.parametrize("size", ["x", "-1", "2GiB", "1KB", ""])
def test_bench_when_the_size_is_none_refuses_it_as_usage(size: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["bench", "--size", size, "s3://bucket"])

    assert code == 2
    assert "is no size" in capsys.readouterr().err
