"""What is not as it was: an assessment beside an earlier one."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from s3envelope.compliance.assessment import SCHEMA, Assessment
from s3envelope.compliance.bundle_names import MANIFEST, RESULTS
from s3envelope.compliance.model import Result, Status
from s3envelope.compliance.policy import read_object
from s3envelope.errors import ConfigurationError

_MOST_BYTES = 64 << 20
_POLICY = "key policy"


@dataclass(frozen=True, slots=True)
class Baseline:
    """What an earlier assessment says of checks and settings."""

    ended: str
    bucket: str
    key: str
    statuses: Mapping[str, str]
    settings: Mapping[str, str]
    policy: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Drift:
    """One thing that changed.

    Args:
        kind: "check", "setting", or "policy": what the checks compare with.
        details: What exactly, a line each.
    """

    kind: str
    name: str
    before: str
    after: str
    details: tuple[str, ...] = ()

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return {**asdict(self), "details": list(self.details)}


def read_baseline(path: Path) -> Baseline:
    """Read the results of an earlier bundle.

    Args:
        path: Its `results.json`, or its folder.

    Raises:
        ConfigurationError: It is no such file, or not the one that the manifest beside it names.
    """
    file = path / RESULTS if path.is_dir() else path
    found = read_object(file, _MOST_BYTES)
    _check_manifest(file)
    try:
        if found["schema"] != SCHEMA:
            raise ConfigurationError(f"{file} is of another version: {found['schema']!r}; make a new baseline")
        checks = found["checks"]
        settings = {name: value for check in checks for name, value in check["settings"].items()}
        statuses = {check["id"]: check["status"] for check in checks}
        baseline = Baseline(
            found["ended"], found["bucket"], found["key"], statuses, settings, dict(found["policy"].items())
        )
    except (KeyError, TypeError, AttributeError) as error:
        raise ConfigurationError(f"{file} does not hold the results of an assessment") from error
    if not all(isinstance(value, str) for value in (*statuses.values(), *settings.values())):
        raise ConfigurationError(f"{file} does not hold the results of an assessment")
    return baseline


def _check_manifest(file: Path) -> None:
    """Refuse a baseline that was changed since its bundle was written."""
    manifest = file.with_name(MANIFEST)
    if not manifest.is_file():
        return
    entries = read_object(manifest).get("artifacts")
    named = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    wanted = [entry.get("sha256") for entry in named if entry.get("name") == file.name]
    if wanted and wanted != [hashlib.sha256(file.read_bytes()).hexdigest()]:
        raise ConfigurationError(f"{file} is not the file that {manifest.name} beside it names: it was changed")


def drift(baseline: Baseline, now: Assessment) -> list[Drift]:
    """Return what changed for the worse, and every recorded setting that changed at all.

    Raises:
        ConfigurationError: The baseline is of another key or bucket.
    """
    if (baseline.bucket, baseline.key) != (now.bucket, now.key):
        raise ConfigurationError(
            f"the baseline is of {baseline.bucket} and {baseline.key}, not of {now.bucket} and {now.key}"
        )
    return [*_checks(baseline, now), *_settings(baseline, now), *_policy(baseline, now)]


def _checks(baseline: Baseline, now: Assessment) -> Iterator[Drift]:
    for result in now.results:
        before = baseline.statuses.get(result.id)
        # What passed and cannot be looked at any more is a drift too: else denying a look would hide a change.
        if before == Status.PASSED.value and result.status is not Status.PASSED and not result.is_skipped:
            yield Drift("check", result.id, before, result.status.value, result.evidence)


def _settings(baseline: Baseline, now: Assessment) -> Iterator[Drift]:
    found = {name: value for result in now.results for name, value in result.settings.items()}
    for name, before in baseline.settings.items():
        after = found.get(name)
        if after is not None and after != before:
            details = tuple(_changed_statements(before, after)) if name == _POLICY else ()
            yield Drift("setting", name, before, after, details)


def _policy(baseline: Baseline, now: Assessment) -> Iterator[Drift]:
    for name in sorted({*baseline.policy, *now.policy}):
        before, after = (json.dumps(policy.get(name)) for policy in (baseline.policy, now.policy))
        if before != after:
            yield Drift("policy", name, before, after)


def _changed_statements(before: str, after: str) -> Iterator[str]:
    old, new = _statements(before), _statements(after)
    yield from (f"removed: {statement}" for statement in old if statement not in new)
    yield from (f"added: {statement}" for statement in new if statement not in old)


def _statements(policy: str) -> list[str]:
    try:
        found = json.loads(policy).get("Statement")
    except (ValueError, AttributeError):
        return [policy]
    return [json.dumps(one, sort_keys=True) for one in (found if isinstance(found, list) else [found])]


def worst(result: Result) -> int:
    """Return a rank for sorting: failures first."""
    return [Status.FAILED, Status.NOT_ASSESSED, Status.PASSED].index(result.status)
