"""Peak memory of s3envelope beside plain boto3, one child process per call.

    python -m benchmarks.memory [--size-mib 2048] [--https] [--json FILE]

Every call is made against the same memory sink, whose process keeps the object: the machine needs as much free memory
as the object has bytes, and the temporary folder twice as much space. The KMS runs in this process, and the source is
a sparse file. The exit code is 1 if s3envelope needs more than 64 MiB more than plain boto3 for any call.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.clients import BUCKET, MIB, OURS, PLAIN, Place, make_client
from benchmarks.machine import describe_machine
from benchmarks.memory_child import CALLS
from benchmarks.surroundings import child_environment, isolate, memory_sink, working_folder
from s3envelope.testing.local_kms import LocalKms

LIMIT = 64 * MIB


@dataclass(frozen=True, slots=True)
class Peaks:
    """The peaks of one call, in bytes, and the idle process before it."""

    transport: str
    call: str
    plain_idle: int
    plain: int
    ours_idle: int
    ours: int

    @property
    def difference(self) -> int:
        return self.ours - self.plain


def measure(size: int, folder: Path, *, https: bool) -> Iterator[Peaks]:
    """Yield the peaks of every call with an object of `size` bytes."""
    file = folder / "source"
    with file.open("wb") as sparse:
        sparse.truncate(size)
    with LocalKms() as kms, memory_sink(folder, https=https) as (url, ca_file):
        place = Place(url, kms.endpoint_url, kms.create_key(), ca_file)
        transport = "https" if https else "http"
        for call in CALLS:
            plain, ours = (_child(kind, call, place, file) for kind in (PLAIN, OURS))
            yield Peaks(transport, call, plain["idle"], plain["peak"], ours["idle"], ours["peak"])
            if call == "upload_file":
                _delete(place)


def _delete(place: Place) -> None:
    """Delete the objects, so that the sink does not keep them while others replace them."""
    client = make_client(PLAIN, place)
    for kind in (PLAIN, OURS):
        client.delete_object(Bucket=BUCKET, Key=kind)
    client.close()


def _child(kind: str, call: str, place: Place, file: Path) -> dict[str, int]:
    plan = {"kind": kind, "call": call, "place": dataclasses.asdict(place), "file": str(file)}
    command = [sys.executable, "-m", "benchmarks.memory_child", json.dumps(plan)]
    done = subprocess.run(command, env=child_environment(), stdout=subprocess.PIPE, check=True)
    figures: dict[str, int] = json.loads(done.stdout)
    return figures


def table(peaks: Sequence[Peaks]) -> str:
    """Return the peaks as a Markdown table, in MiB."""
    lines = [
        "| call | boto3 peak | s3envelope peak | difference | of it before the call |",
        "|---|---:|---:|---:|---:|",
    ]
    for peak in peaks:
        figures = (peak.plain, peak.ours, peak.difference, peak.ours_idle - peak.plain_idle)
        cells = (f"{figure / MIB:.1f}" for figure in figures)
        lines.append(f"| `{peak.call}`, {peak.transport} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; return 1 if a difference is above the limit."""
    parser = argparse.ArgumentParser(prog="benchmarks.memory", description="Peak memory beside plain boto3.")
    parser.add_argument("--size-mib", type=int, default=2048, help="size of the object (default: 2048)")
    parser.add_argument("--https", action="store_true", help="measure over https as well")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures to FILE")
    options = parser.parse_args(arguments)
    isolate(os.environ)
    peaks: list[Peaks] = []
    for https in (False, True) if options.https else (False,):
        with working_folder() as folder:
            peaks.extend(measure(options.size_mib * MIB, folder, https=https))
    machine = describe_machine()
    print(f"Peak resident memory in MiB, objects of {options.size_mib} MiB; {machine.line()}\n")
    print(table(peaks))
    if options.json is not None:
        rows = [{**dataclasses.asdict(peak), "difference": peak.difference} for peak in peaks]
        figures = {"machine": dataclasses.asdict(machine), "size_mib": options.size_mib, "calls": rows}
        options.json.write_text(json.dumps(figures, indent=2) + "\n")
    over = [peak for peak in peaks if peak.difference > LIMIT]
    for peak in over:
        print(f"\n{peak.call} over {peak.transport} needs {peak.difference / MIB:.1f} MiB more; 64 are allowed")
    return 1 if over else 0


if __name__ == "__main__":
    sys.exit(main())
