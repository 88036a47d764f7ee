"""The figures as SVG; needs matplotlib, which is in the extra [bench]."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from benchmarks import figures
from benchmarks.clients import PLAIN
from benchmarks.harness import Row
from benchmarks.report import Point, kinds_of, scaling_points, threads_points
from benchmarks.work import MIB, size_label

_COLOURS = ("#6b7280", "#2563eb", "#f59e0b", "#dc2626", "#16a34a")
_GIB = 1 << 30
_LEAST_MEMORY = 32


def _pyplot() -> Any:
    import matplotlib

    # No display is needed, text stays text, and the same figures give the same file.
    matplotlib.use("Agg")
    matplotlib.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": "s3envelope", "font.size": 9})
    from matplotlib import pyplot

    return pyplot


def _save(figure: Any, file: Path) -> Path:
    figure.tight_layout()
    figure.savefig(file, metadata={"Date": None})
    _pyplot().close(figure)
    return file


def draw_speed(rows: Sequence[Row], file: Path, title: str) -> Path:
    """Draw how fast the subjects are beside plain boto3, call by call."""
    # Plain boto3 is the line at 1.
    kinds, pyplot = [kind for kind in kinds_of(rows) if kind != PLAIN], _pyplot()
    height = 0.8 / max(1, len(kinds))
    drawn, axes = pyplot.subplots(figsize=(9, 0.5 * len(rows) + 1.5))
    for place, kind in enumerate(kinds, 1):
        present = [(number, row) for number, row in enumerate(rows) if kind in row.cells]
        places = [number + (place - 0.5) * height - 0.4 for number, _ in present]
        values = [figures.ratio(row, kind) for _, row in present]
        axes.barh(places, values, height, label=kind, color=_COLOURS[place % len(_COLOURS)])
    axes.axvline(1.0, color="black", linewidth=0.8)
    axes.set_yticks(range(len(rows)), [row.case.name for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("speed beside plain boto3 (1 is the same, more is faster)")
    axes.set_title(title, loc="left")
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncol=2, fontsize=8)
    return _save(drawn, file)


def draw_scaling(rows: Sequence[Row], file: Path, title: str) -> Path:
    """Draw time, CPU time and memory against the size of a file, with the fitted lines."""
    pyplot = _pyplot()
    drawn, axes = pyplot.subplots(2, 3, figsize=(13, 7.5))
    for line, call in zip(axes, ("upload", "download"), strict=True):
        _costs(line[0], rows, call, lambda point: point.wall, f"{call}_file: seconds")
        _costs(line[1], rows, call, lambda point: point.cpu, f"{call}_file: CPU seconds of the client")
        _peaks(line[2], rows, call)
    drawn.suptitle(title)
    return _save(drawn, file)


def _costs(axes: Any, rows: Sequence[Row], call: str, cost: Callable[[Point], float], label: str) -> None:
    for place, kind in enumerate(kinds_of(rows)):
        points = scaling_points(rows, call, kind)
        if len(points) < 2:
            continue
        fitted = figures.fit_line([(point.size, cost(point)) for point in points])
        sizes, colour = [point.size for point in points], _COLOURS[place % len(_COLOURS)]
        name = f"{kind}: {fitted.fixed * 1000:.1f} ms + {fitted.slope * _GIB:.2f} s/GiB"
        axes.plot(sizes, [cost(point) for point in points], "o", color=colour, markersize=3)
        axes.plot(sizes, [fitted.at(size) for size in sizes], color=colour, linewidth=1, label=name)
    axes.set(yscale="log", title=label)
    _size_ticks(axes, rows, call)
    axes.legend(loc="best", fontsize=7)


def _peaks(axes: Any, rows: Sequence[Row], call: str) -> None:
    for place, kind in enumerate(kinds_of(rows)):
        points = scaling_points(rows, call, kind)
        peaks = [point.peak / MIB for point in points]
        axes.plot([point.size for point in points], peaks, "o-", color=_COLOURS[place % len(_COLOURS)], markersize=3)
    axes.set_yscale("log", base=2)
    axes.yaxis.set_major_formatter("{x:.0f}")
    axes.set_ylim(bottom=_LEAST_MEMORY)
    axes.set_title(f"{call}_file: peak memory, MiB")
    _size_ticks(axes, rows, call)


def _size_ticks(axes: Any, rows: Sequence[Row], call: str) -> None:
    sizes = sorted({row.case.size for row in rows if row.case.call == call})
    axes.set_xscale("log")
    axes.minorticks_off()
    axes.set_xticks(sizes, [size_label(size) for size in sizes], rotation=45)


def draw_threads(rows: Sequence[Row], file: Path, title: str) -> Path:
    """Draw small calls per second against the number of threads."""
    pyplot = _pyplot()
    drawn, axes = pyplot.subplots(1, 2, figsize=(9, 3.6))
    for one, call in zip(axes, ("put", "get"), strict=True):
        for place, kind in enumerate(kinds_of(rows)):
            points = threads_points(rows, call, kind)
            if points:
                threads, rates = zip(*points, strict=True)
                one.plot(threads, rates, "o-", label=kind, color=_COLOURS[place % len(_COLOURS)], markersize=3)
        one.set(xscale="log", xlabel="threads", title=f"{call}_object of 1 KiB: calls per second")
        one.set_ylim(bottom=0)
        one.minorticks_off()
        one.set_xticks([1, 2, 4, 8, 16], ["1", "2", "4", "8", "16"])
    axes[0].legend(loc="best", fontsize=8)
    drawn.suptitle(title)
    return _save(drawn, file)
