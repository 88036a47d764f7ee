"""The benchmarks run, at sizes where their figures mean nothing."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

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


def test_memory_when_small_then_every_call_has_peaks_of_both_clients(tmp_path: Path) -> None:
    printed, figures = _run("memory", "--size-mib", "1", json_file=tmp_path / "figures.json")

    calls = figures["calls"]
    assert all(call[kind] > 0 for call in calls for kind in ("plain", "ours"))
    assert printed.count("\n| `") == len(calls) == 4
