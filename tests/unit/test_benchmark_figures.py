"""The arithmetic of the benchmarks: what is printed is what the samples say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import baseline, figures, report
from benchmarks.baseline import regressions
from benchmarks.clients import OURS, PLAIN
from benchmarks.harness import Cell, Measured, Row, Sample, Weight
from benchmarks.report import ratios, tables
from benchmarks.work import GIB, KIB, MIB, Case, cases_of, full_plan, quick_plan, scaling_plan, tiny_plan


def _row(case: Case, **walls: list[float]) -> Row:
    """Return a row in which every sample took half of its time on a core."""
    return Row(case, "http", {kind: Cell([Sample(wall, wall / 2) for wall in found]) for kind, found in walls.items()})


def _weight(writes: int, reads: int, kms_calls: int) -> Weight:
    return Weight(MIB, 2 * MIB, writes, reads, kms_calls)


def test_spread_when_there_are_five_values_then_the_second_and_fourth_are_the_quartiles() -> None:
    found = figures.spread([5.0, 1.0, 4.0, 2.0, 3.0])

    assert found == figures.Spread(3.0, 2.0, 4.0)


def test_spread_when_there_is_one_value_then_it_is_all_three() -> None:
    assert figures.spread([2.5]) == figures.Spread(2.5, 2.5, 2.5)


def test_ratio_when_rounds_differ_then_each_is_compared_with_itself() -> None:
    row = _row(Case("put", MIB), boto3=[1.0, 10.0, 2.0], s3envelope=[2.0, 10.0, 8.0])

    # The ratios of the rounds are 0.5, 1 and 0.25; that of the medians would be 0.25.
    assert figures.ratio(row, OURS) == 0.5
    assert figures.cpu_ratio(row, OURS) == 0.5
    assert figures.ratio(row, PLAIN) == 1.0


def test_figure_when_the_object_is_large_then_it_is_megabytes_per_second() -> None:
    row = _row(Case("put", MIB, count=10), boto3=[0.5])

    assert figures.figure(row, PLAIN).middle == pytest.approx(20.97152)


def test_figure_when_the_object_is_small_then_it_is_milliseconds_per_call() -> None:
    row = _row(Case("get", KIB, count=10), boto3=[0.5])

    assert figures.figure(row, PLAIN).middle == pytest.approx(50.0)


@pytest.mark.parametrize(
    ("case", "expected"), [(Case("put", MIB, count=8), 64.0), (Case("range", GIB, count=16), 512.0)]
)
def test_cpu_per_gib_when_computed_then_only_the_bytes_that_moved_count(case: Case, expected: float) -> None:
    assert figures.cpu_per_gib(_row(case, boto3=[1.0]), PLAIN) == expected


@pytest.mark.parametrize(
    ("weight", "dollars"),
    [
        (_weight(1000, 0, 0), 5.0),
        (_weight(0, 1000, 0), 0.4),
        (_weight(0, 0, 1000), 3.0),
        (_weight(2000, 1000, 1), 10.403),
    ],
)
def test_dollars_when_a_thousand_calls_were_made_then_they_are_those_of_a_million(
    weight: Weight, dollars: float
) -> None:
    case = Case("put", KIB, count=1000, objects=1000)

    assert figures.dollars_per_million(case, weight) == pytest.approx(dollars)


def test_line_when_the_points_are_on_one_then_it_is_found() -> None:
    points = [(float(x), 0.003 + 2e-9 * x) for x in (KIB, MIB, GIB)]

    found = figures.fit_line(points)

    assert found.fixed == pytest.approx(0.003)
    assert found.slope == pytest.approx(2e-9)
    assert found.at(MIB) == pytest.approx(0.003 + 2e-9 * MIB)


def test_line_when_one_large_point_is_off_then_small_ones_keep_their_weight() -> None:
    found = figures.fit_line([(0.0, 1.0), (1.0, 2.0), (1000.0, 1501.0)])

    # By absolute errors the last point would decide alone, and the first would be a hundred times off.
    assert 0.5 < found.at(0.0) < 1.5


@pytest.mark.parametrize(
    ("points", "fixed", "slope"),
    [([(1.0, 0.5), (2.0, 2.0)], 0.0, 0.6), ([(1.0, 2.0), (2.0, 1.0)], 1.2, 0.0)],
)
def test_line_when_a_part_of_the_cost_would_be_negative_then_it_is_zero(
    points: list[tuple[float, float]], fixed: float, slope: float
) -> None:
    found = figures.fit_line(points)

    assert found.fixed == pytest.approx(fixed)
    assert found.slope == pytest.approx(slope)


def test_line_when_there_is_one_size_only_then_it_is_refused() -> None:
    with pytest.raises(ValueError, match="two different"):
        figures.fit_line([(1.0, 2.0), (1.0, 3.0)])


@pytest.mark.parametrize("exponent", [0.5, 1.0, 2.0])
def test_power_when_cost_follows_one_then_its_exponent_is_found(exponent: float) -> None:
    points = [(float(count), 3.0 * count**exponent) for count in (10, 100, 1000)]

    assert figures.fit_power(points) == pytest.approx(exponent)


@pytest.mark.parametrize(("now", "is_worse"), [(1.0, False), (0.86, False), (0.84, True), (2.0, False)])
def test_regressions_when_a_ratio_falls_by_more_than_the_tolerance_then_it_is_one(now: float, is_worse: bool) -> None:
    found = regressions({"a": 1.0, "only before": 1.0}, {"a": now, "only now": 0.1}, higher_is_better=True)

    assert [one.name for one in found] == ["a"] * is_worse


@pytest.mark.parametrize(("now", "is_worse"), [(100, False), (114, False), (116, True), (10, False)])
def test_regressions_when_instructions_grow_by_more_than_the_tolerance_then_it_is_one(now: int, is_worse: bool) -> None:
    found = regressions({"a": 100}, {"a": now}, higher_is_better=False)

    assert [str(one) for one in found] == ["a: 116, was 100 (+16%)"] * is_worse


def test_baseline_when_a_plan_is_stored_then_others_and_the_instructions_stay(tmp_path: Path) -> None:
    file = tmp_path / "baseline.json"
    about = {"date": "2026-01-01", "machine": "one"}
    baseline.store("full", {"a": 1.0}, {"seal": 10}, about, file)

    baseline.store("quick", {"a": 0.5}, {}, about, file)

    known = baseline.load(file)
    assert {plan: of["values"] for plan, of in known["ratios"].items()} == {"full": {"a": 1.0}, "quick": {"a": 0.5}}
    assert known["instructions"]["values"] == {"seal": 10}


_NAME = "speed: put_object 1 KiB, http"


@pytest.mark.parametrize(
    ("found", "instructions", "code"),
    [([0.9], 10, 0), ([0.5, 0.9], 10, 0), ([0.5, 0.6], 10, 1), ([0.9], 20, 1), ([0.9], 0, 0)],
    ids=["as before", "better the second time", "worse twice", "more instructions", "no valgrind"],
)
def test_check_when_figures_are_compared_then_only_what_stays_worse_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, found: list[float], instructions: int, code: int
) -> None:
    file, measured = tmp_path / "baseline.json", iter(found)
    about = {"date": "2026-01-01", "machine": "one"}
    baseline.store("quick", {_NAME: 1.0}, {"seal": 10}, about, file)
    monkeypatch.setattr(baseline, "_ratios", lambda plan, tell: {_NAME: next(measured)})
    monkeypatch.setattr(baseline, "_instructions", lambda tell: {"seal": instructions} if instructions else {})

    ended = baseline.check(lambda text: None, file)

    assert ended == code
    assert list(measured) == []


def test_check_when_there_is_no_baseline_then_it_fails(tmp_path: Path) -> None:
    assert baseline.check(lambda text: None, tmp_path / "baseline.json") == 1


def test_plans_when_listed_then_no_two_cases_have_one_name() -> None:
    plans = [tiny_plan(), quick_plan(), full_plan(), full_plan(large=True), scaling_plan(), scaling_plan(large=True)]

    for plan in plans:
        names = [case.name for case in cases_of(plan) if not case.prepares]

        assert len(set(names)) == len(names), plan.name


def test_ratios_when_a_peer_was_measured_too_then_only_ours_are_kept() -> None:
    row = _row(Case("put", KIB), **{"boto3": [1.0], "s3envelope": [2.0], "rclone crypt": [4.0]})

    assert ratios([row]) == {_NAME: 0.5, "cpu: put_object 1 KiB, http": 0.5}


def test_tables_when_a_subject_cannot_do_a_case_then_its_cell_says_so() -> None:
    put, ranges = Case("put", MIB), Case("range", GIB, count=2)
    rows = [_row(put, boto3=[1.0], s3envelope=[2.0], peer=[4.0]), _row(ranges, boto3=[1.0], s3envelope=[2.0])]
    rows[0].cells[OURS].weight = _weight(1, 0, 1)

    found = tables([Measured(rows, [0.2, 0.4, 0.3])])

    assert "| `put_object 1 MiB` | http | 1 MB/s (1–1) | 1 MB/s (1–1) | 0 MB/s (0–0) |" in found
    assert "| `64 KiB ranges of 1 GiB` | http | 1.00 | 0.50 | – |" in found
    assert "0.300 s/GiB" in found
    assert "|  | 2 (1) |  |" in found
    assert "1 + 1, $8.00" in found


def test_json_when_made_then_every_sample_is_in_it() -> None:
    row = _row(Case("put", MIB), boto3=[1.0, 2.0], s3envelope=[2.0, 4.0])

    found = json.loads(json.dumps(report.to_json(Measured([row], [0.25]))))

    ours = found["calls"][0]["of"]["s3envelope"]
    assert (ours["wall_seconds"], ours["cpu_seconds"], ours["speed_ratio"]) == ([2.0, 4.0], [1.0, 2.0], 0.5)
    assert found["aes_floor_cpu_seconds_per_gib"] == 0.25
