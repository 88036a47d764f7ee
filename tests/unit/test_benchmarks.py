"""The benchmarks run, at sizes where their figures mean nothing."""

import dataclasses
import json
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from benchmarks import memory_child
from benchmarks.clients import BUCKET, OURS, PLAIN, Place, make_client
from benchmarks.memsink import COUNTS_PATH
from benchmarks.surroundings import memory_sink
from benchmarks.work import Case
from benchmarks.worker import Assignment, Worker, source_file
from s3envelope.testing.local_kms import LocalKms

_ROOT = Path(__file__).resolve().parents[2]


def _run(module: str, *arguments: str, json_file: Path) -> tuple[str, dict[str, Any]]:
    # In a process of its own: a benchmark clears the environment of its process.
    command = [sys.executable, "-m", f"benchmarks.{module}", *arguments, "--json", str(json_file)]
    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    figures: dict[str, Any] = json.loads(json_file.read_text())
    return done.stdout, figures


def test_throughput_when_quick_then_every_call_has_figures_of_both_clients(tmp_path: Path) -> None:
    printed, figures = _run("throughput", "--quick", "--https", "--rounds", "1", json_file=tmp_path / "figures.json")

    calls = figures["calls"]
    assert {call["transport"] for call in calls} == {"http", "https"}
    assert all(len(call[kind]["wall"]) == 1 for call in calls for kind in ("boto3", "s3envelope"))
    assert printed.count("\n| `") == len(calls) == 20


def test_keys_when_quick_then_the_calls_are_those_of_each_cache(tmp_path: Path) -> None:
    printed, figures = _run("keys", "--quick", "--rounds", "1", json_file=tmp_path / "figures.json")

    rows = {row["name"]: row for row in figures["rows"]}
    count = figures["count"]
    assert {name: (row["put_calls"], row["get_calls"]) for name, row in rows.items()} == {
        "none": (count, count),
        "memory": (0, 1),
        "disk": (0, 1),
    }
    assert [len(rows[name]["hits"]) for name in ("none", "memory", "disk")] == [0, 1, 1]
    assert printed.count("\n| `") == 3


def test_passes_when_counted_then_every_byte_is_sealed_once_over_https() -> None:
    command = [sys.executable, "-m", "benchmarks.passes", "--size", "1"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=_ROOT, timeout=120).stdout

    rows = {tuple(cells[:2]): cells[2:] for cells in map(_cells, printed.splitlines()[2:])}
    assert len(rows) == 16
    for call in ("put_object", "upload_file"):
        crc32, _, _, aes, copies, sent = rows[f"`{call}`, s3envelope", "https"]
        assert [cell.split(" ")[0] for cell in (crc32, aes, copies, sent)] == ["1.00"] * 4
        assert rows[f"`{call}`, boto3", "https"][3] == ""
        # A body that is kept is sealed once over http as well.
        assert rows[f"`{call}`, s3envelope", "http"][3].split(" ")[0] == "1.00"


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_failover_when_quick_then_every_trouble_has_figures(tmp_path: Path) -> None:
    printed, figures = _run("failover", "--quick", "--reads", "2", json_file=tmp_path / "figures.json")

    rows = {row["trouble"]: row for row in figures["rows"]}
    assert list(rows) == ["none", "refuses connections", "never answers"]
    # The timeout of the quick settings is 0.2 seconds: what waits, waits at least so long.
    assert min(rows["never answers"]["first"], rows["never answers"]["forgetful"]) >= 0.2
    assert all(len(row["following"]) == 2 for row in figures["rows"])
    assert printed.count("\n| ") == 4


def test_memory_child_when_each_call_is_made_then_it_prints_its_peak(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "source"
    file.write_bytes(bytes(9 << 20))

    with LocalKms() as kms, memory_sink(tmp_path) as (url, ca_file):
        place = dataclasses.asdict(Place(url, kms.endpoint_url, kms.create_key(), ca_file))
        plans = [
            {"kind": kind, "call": call, "place": place, "file": str(file)}
            for call in memory_child.CALLS
            for kind in (PLAIN, OURS)
        ]
        codes = [memory_child.main([json.dumps(plan)]) for plan in plans]

    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert codes == [0] * 8
    assert [figures["peak"] > 0 for figures in printed] == [True] * 8


def test_benchmarks_when_tiny_then_both_clients_have_every_figure(tmp_path: Path) -> None:
    wanted = ["--tiny", "--subjects", "boto3,s3envelope", "--no-plots", "--no-instructions", "--no-scaling"]
    command = [sys.executable, "-m", "benchmarks", *wanted, "--transports", "https", "--out", str(tmp_path)]

    done = subprocess.run(command, cwd=_ROOT, capture_output=True, text=True, timeout=120, check=False)

    assert done.returncode == 0, done.stderr[-2000:]
    figures = json.loads((tmp_path / "figures.json").read_text())
    calls = {call["name"]: call["of"] for call in figures["transports"]["https"]["calls"]}
    assert len(calls) == 7
    assert all(list(of) == [PLAIN, OURS] for of in calls.values())
    assert all(len(one["wall_seconds"]) == 2 for of in calls.values() for one in of.values())
    put, rewrap = calls["put_object 1 KiB"], calls["rewrap 1 KiB, 2 objects by 2 threads"]
    assert (put[PLAIN]["new_process"]["writes"], put[PLAIN]["new_process"]["kms_calls"]) == (2, 0)
    assert (put[OURS]["new_process"]["writes"], put[OURS]["new_process"]["kms_calls"]) == (2, 1)
    assert (put[OURS]["warm_requests"], put[OURS]["warm_kms_calls"]) == (2, 0)
    assert (rewrap[PLAIN]["new_process"]["writes"], rewrap[OURS]["new_process"]["writes"]) == (2, 2)
    assert {one["layout"]: one["end_size"] for one in figures["simulation"]} == {"plain": 28, "indexed": 60_008}
    assert (tmp_path / "tables.md").read_text() in done.stdout


class _ForgetfulSubject:
    """Returns zeros, of the right size, whatever was stored."""

    def put(self, key: str, plaintext: bytes) -> None:
        """Forget it."""

    def get(self, key: str) -> bytes:
        return bytes(1024)

    def upload(self, file: Path, key: str) -> None:
        """Forget it."""

    def download(self, key: str, file: Path) -> None:
        file.write_bytes(bytes(1024))

    def range(self, key: str, start: int, size: int) -> bytes:
        return bytes(size)

    def rewrap(self, key: str) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Do nothing."""


@pytest.mark.parametrize("call", ["get", "download"])
def test_worker_when_a_subject_returns_other_bytes_then_it_is_not_measured(tmp_path: Path, call: str) -> None:
    place = Place("http://127.0.0.1:1", "http://127.0.0.1:1", "key")
    worker = Worker(Assignment("boto3", place, tmp_path), _ForgetfulSubject())
    source_file(tmp_path, 1024).write_bytes(b"x" * 1024)

    with pytest.raises(AssertionError, match="other bytes"):
        worker.verify(Case(call, 1024))


def test_worker_when_a_subject_returns_fewer_bytes_then_the_measurement_fails(tmp_path: Path) -> None:
    place = Place("http://127.0.0.1:1", "http://127.0.0.1:1", "key")
    worker = Worker(Assignment("boto3", place, tmp_path), _ForgetfulSubject())

    with pytest.raises(AssertionError, match="1024 bytes"):
        worker.measure(Case("get", 2048))


def test_memory_sink_when_an_object_is_copied_over_itself_then_only_its_metadata_changes(tmp_path: Path) -> None:
    with LocalKms() as kms, memory_sink(tmp_path) as (url, _):
        client = make_client(PLAIN, Place(url, kms.endpoint_url, "none"))
        where: Any = {"Bucket": BUCKET, "Key": "dir/a key"}
        client.put_object(**where, Body=b"content", Metadata={"old": "1"}, ContentType="text/x")
        before = client.head_object(**where)

        client.copy_object(**where, CopySource=where, Metadata={"new": "2"}, MetadataDirective="REPLACE")

        after = client.get_object(**where)
        client.close()
        assert after["Body"].read() == b"content"
        assert (after["Metadata"], after["ETag"], after["ContentType"]) == ({"new": "2"}, before["ETag"], "text/x")


def test_memory_sink_when_asked_for_counts_then_they_are_those_since_the_last_time(tmp_path: Path) -> None:
    with LocalKms() as kms, memory_sink(tmp_path) as (url, _):
        client = make_client(PLAIN, Place(url, kms.endpoint_url, "none"))
        where: Any = {"Bucket": BUCKET, "Key": "key"}
        client.put_object(**where, Body=b"content")
        client.head_object(**where)
        client.get_object(**where)["Body"].read()
        client.list_objects_v2(Bucket=BUCKET)
        client.delete_object(**where)
        client.close()

        counts = [json.loads(urllib.request.urlopen(url + COUNTS_PATH).read()) for _ in range(2)]

    assert counts == [{"writes": 2, "reads": 2}, {"writes": 0, "reads": 0}]


@pytest.mark.slow
def test_memory_when_small_then_every_call_has_peaks_of_both_clients(tmp_path: Path) -> None:
    printed, figures = _run("memory", "--size-mib", "1", json_file=tmp_path / "figures.json")

    calls = figures["calls"]
    assert all(call[kind] > 0 for call in calls for kind in ("plain", "ours"))
    assert printed.count("\n| `") == len(calls) == 4
