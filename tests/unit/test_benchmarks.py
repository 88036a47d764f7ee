"""The benchmarks run, at sizes where their figures mean nothing."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import memory_child
from benchmarks.clients import OURS, PLAIN, Place
from benchmarks.surroundings import memory_sink
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


@pytest.mark.slow
def test_memory_when_small_then_every_call_has_peaks_of_both_clients(tmp_path: Path) -> None:
    printed, figures = _run("memory", "--size-mib", "1", json_file=tmp_path / "figures.json")

    calls = figures["calls"]
    assert all(call[kind] > 0 for call in calls for kind in ("plain", "ours"))
    assert printed.count("\n| `") == len(calls) == 4
