"""The table of controls, and the scores."""

from __future__ import annotations

from pathlib import Path

import pytest

from s3envelope.compliance.catalogue import CHECK_IDS, CHECKS
from s3envelope.compliance.controls import TABLE, read_controls, scores
from s3envelope.compliance.model import Result, Status
from s3envelope.errors import ConfigurationError

HEAD = "framework,control,title,oscal_id,checks\n"


def results(**statuses: Status) -> list[Result]:
    """Return results of all checks: passed, but for those that are named."""
    return [Result(one, one, "", statuses.get(one.replace("-", "_"), Status.PASSED), ()) for one in CHECK_IDS]


def test_table_when_read_has_every_control_that_was_promised_and_every_check() -> None:
    controls = read_controls()

    assert {f"{control.framework} {control.number}" for control in controls} == {
        "SOC 2 CC6.1",
        "SOC 2 CC6.7",
        "ISO/IEC 27001:2013 A.10.1",
        "ISO/IEC 27001:2022 8.24",
        "NIST SP 800-53 SC-8",
        "NIST SP 800-53 SC-12",
        "NIST SP 800-53 SC-13",
        "NIST SP 800-53 AU-9",
        "NIST SP 800-53 AU-10",
        "NIST CSF PR.DS",
    }
    assert {check for control in controls for check in control.checks} == set(CHECK_IDS)


def test_checks_when_listed_come_after_those_that_they_need() -> None:
    for number, check in enumerate(CHECKS):
        assert set(check.needs) <= set(CHECK_IDS[:number])


def test_scores_when_nothing_passed_are_0_and_when_all_did_100() -> None:
    controls = read_controls()
    failed = [Result(one.id, "", "", Status.FAILED, ()) for one in results()]

    assert {score.percent for score in scores(controls, results())} == {100}
    assert {score.percent for score in scores(controls, failed)} == {0}


def test_score_when_one_check_is_of_several_controls_counts_it_once_and_is_rounded_down(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text(f"{HEAD}F,1,One,f-1,key-state key-policy\nF,2,Two,f-2,key-policy key-origin\n")

    (score,) = scores(read_controls(table), results(key_policy=Status.NOT_ASSESSED))

    assert (score.percent, score.formula) == (66, "100 x 2 / (2 + 0 + 1)")


@pytest.mark.parametrize("status", [Status.FAILED, Status.NOT_ASSESSED])
def test_control_when_a_check_did_not_pass_is_not_satisfied(status: Status) -> None:
    (control, *_) = read_controls()
    found = {one.id: one for one in results(key_state=status)}

    assert control.counts(found).status is status


@pytest.mark.parametrize(
    "text",
    [
        "",
        HEAD,
        "framework,control,title,checks\nF,1,One,key-state\n",
        f"{HEAD}F,1,One,f-1\n",
        f"{HEAD}F,1,One,f-1,key-state,more\n",
        f"{HEAD}F,1,One,f-1,\n",
        f"{HEAD}F,1,One,f-1,no-such-check\n",
        f"{HEAD}F,1,One,1-f,key-state\n",
        f"{HEAD}F,1,One,f-1,key-state\nF,2,Two,f-1,key-state\n",
        f'{HEAD}F,1,"One\nTwo",f-1,key-state\n',
    ],
)
def test_table_when_it_is_wrong_is_refused(tmp_path: Path, text: str) -> None:
    table = tmp_path / "table.csv"
    table.write_text(text)

    with pytest.raises(ConfigurationError):
        read_controls(table)


def test_table_when_it_is_shipped_lies_beside_the_code() -> None:
    assert TABLE.is_file()
