"""What changed since a baseline."""

from __future__ import annotations

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import pytest

from s3envelope.cli.app import run
from s3envelope.compliance.assessment import Assessment
from s3envelope.compliance.bundle import write_bundle
from s3envelope.compliance.bundle_names import MANIFEST, RESULTS
from s3envelope.compliance.drift import drift, read_baseline
from s3envelope.compliance.model import Status
from s3envelope.errors import ConfigurationError
from tests.compliance.breaks import BREAKS
from tests.support.compliant import ACCOUNT, SetUp, key_policy
from tests.support.compliant_assessment import assessment
from tests.support.compliant_command import checked

READER = {
    "Sid": "Reader",
    "Effect": "Allow",
    "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:role/reader"},
    "Action": "kms:Decrypt",
    "Resource": "*",
}


def between(before: Assessment, after: Assessment, folder: Path) -> list[tuple[str, str]]:
    """Return kind and name of what changed."""
    write_bundle(before, folder)
    return [(one.kind, one.name) for one in drift(read_baseline(folder / RESULTS), after)]


def with_settings(made: Assessment, check_id: str, **settings: str) -> Assessment:
    """Return an assessment with settings of one check."""
    results = [dataclasses.replace(one, settings=settings) if one.id == check_id else one for one in made.results]
    return dataclasses.replace(made, results=tuple(results))


def test_drift_run_when_nothing_changed_exits_0(good: SetUp, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    checked(capfd, good, "--output", str(tmp_path / "bundle"))

    code, summary = checked(capfd, good, "--baseline", str(tmp_path / "bundle"))

    assert (code, summary["drift"]) == (0, [])


def test_drift_run_when_a_check_fails_and_the_key_policy_changed_exits_2_and_prints_what(
    good: SetUp, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    checked(capfd, good, "--output", str(tmp_path / "bundle"))
    BREAKS["trail-logging"](good, monkeypatch)
    BREAKS["key-rotation"](good, monkeypatch)
    good.kms.put_key_policy(KeyId=good.key_arn, PolicyName="default", Policy=key_policy(READER))

    code = run(["compliance", "check", *good.options, "--baseline", str(tmp_path / "bundle" / RESULTS)])

    out = capfd.readouterr().out
    assert code == 2
    assert "drift: check trail-logging: passed -> failed" in out
    assert "drift: check key-rotation: passed -> failed" in out
    assert 'drift: setting key rotation: {"enabled": true' in out
    assert "drift: setting key policy: " in out
    assert f"added: {json.dumps(READER, sort_keys=True)}" in out


@pytest.mark.parametrize("status", [Status.FAILED, Status.NOT_ASSESSED])
def test_drift_when_a_check_that_passed_does_not_any_more_is_told(status: Status, tmp_path: Path) -> None:
    assert between(assessment(), assessment(key_policy=status), tmp_path) == [("check", "key-policy")]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (Status.FAILED, Status.FAILED),
        (Status.FAILED, Status.PASSED),
        (Status.NOT_ASSESSED, Status.FAILED),
        (Status.PASSED, Status.PASSED),
    ],
)
def test_drift_when_a_check_had_not_passed_or_passes_is_none(before: Status, after: Status, tmp_path: Path) -> None:
    assert between(assessment(key_policy=before), assessment(key_policy=after), tmp_path) == []


def test_drift_when_a_check_is_left_out_on_purpose_is_none(tmp_path: Path) -> None:
    after = assessment(key_policy=Status.NOT_ASSESSED)
    results = [dataclasses.replace(one, is_skipped=one.id == "key-policy") for one in after.results]

    assert between(assessment(), dataclasses.replace(after, results=tuple(results)), tmp_path) == []


def test_drift_when_a_setting_changed_while_the_check_passes_is_told(tmp_path: Path) -> None:
    before = with_settings(assessment(), "key-rotation", **{"key rotation": "365"})
    after = with_settings(assessment(), "key-rotation", **{"key rotation": "180"})

    assert between(before, after, tmp_path) == [("setting", "key rotation")]


def test_drift_when_the_policy_was_loosened_is_told(tmp_path: Path) -> None:
    after = dataclasses.replace(assessment(), policy={**assessment().policy, "rotation_period_days": 2560})

    assert between(assessment(), after, tmp_path) == [("policy", "rotation_period_days")]


def test_drift_when_the_baseline_is_of_another_key_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="the baseline is of"):
        between(assessment(), dataclasses.replace(assessment(), key="another"), tmp_path)


def test_baseline_when_it_was_changed_after_its_manifest_is_refused(tmp_path: Path) -> None:
    write_bundle(assessment(), tmp_path)
    file = tmp_path / RESULTS
    file.write_text(file.read_text().replace('"passed"', '"failed"', 1))

    with pytest.raises(ConfigurationError, match="it was changed"):
        read_baseline(tmp_path)


def test_baseline_when_it_lies_alone_is_read(tmp_path: Path) -> None:
    write_bundle(assessment(), tmp_path)
    os.remove(tmp_path / MANIFEST)

    assert read_baseline(tmp_path / RESULTS).bucket == "orders"


@pytest.mark.parametrize(
    "changes",
    [
        {"schema": "s3envelope-compliance-0"},
        {"checks": None},
        {"checks": [{"id": "x"}]},
        {"checks": [{"id": "x", "status": 1, "settings": {}}]},
        {"checks": [{"id": "x", "status": "passed", "settings": []}]},
        {"policy": None},
    ],
)
def test_baseline_when_it_is_none_is_refused(changes: dict[str, Any], tmp_path: Path) -> None:
    file = tmp_path / "other.json"
    file.write_text(json.dumps({**assessment().as_dict(), **changes}))

    with pytest.raises(ConfigurationError):
        read_baseline(file)
