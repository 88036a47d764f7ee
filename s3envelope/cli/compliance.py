"""`s3envelope compliance`: whether a key, a bucket and what surrounds them keep to a policy, and the evidence."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
from rich.table import Table

from s3envelope.cli.audit_files import AnchorChoice
from s3envelope.cli.compliance_services import Services
from s3envelope.cli.options import Command, Connection, connection_options, read_context
from s3envelope.cli.output import complain, plain, stdout
from s3envelope.compliance.assess import assess
from s3envelope.compliance.assessment import Assessment
from s3envelope.compliance.audit_log import FileAuditLog
from s3envelope.compliance.bundle import Bundle, chain_bundle, prepare_folder, write_bundle
from s3envelope.compliance.catalogue import CHECKS, check_ids
from s3envelope.compliance.controls import FORMULA, TABLE, read_controls
from s3envelope.compliance.drift import Drift, drift, read_baseline
from s3envelope.compliance.model import Status
from s3envelope.compliance.policy import CompliancePolicy
from s3envelope.compliance.subject import AuditLog, Scope, Subject
from s3envelope.core.context import EncryptionContext
from s3envelope.errors import AuditError
from s3envelope.keyrings.kms import check_key_id

_NOT_GOOD, _DRIFTED = 1, 2
_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_CONTEXT = {"purpose": "compliance-check"}
_ALL = "all"
_WORDS = {Status.PASSED: "passed", Status.FAILED: "FAILED", Status.NOT_ASSESSED: "NOT ASSESSED"}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Options:
    """What is to be looked at; see the options of the command."""

    bucket: str
    kms_key: str
    cloudtrail_endpoint_url: str | None
    sts_endpoint_url: str | None
    policy_file: Path | None
    table: Path | None
    sample: int | None
    context: dict[str, str] | None
    audit_log: Path | None
    places: Sequence[str]
    public_key: str | None
    skipped: Sequence[str]


@click.group()
def compliance() -> None:
    """Whether a key, a bucket and what surrounds them keep to a policy, and the evidence for auditors."""


def _read_sample(_: click.Context, option: click.Parameter, value: str) -> int | None:
    if value == _ALL:
        return None
    if not value.isascii() or not value.isdigit() or int(value) < 1:
        raise click.BadParameter(f"{value!r} is neither a number, 1 or more, nor {_ALL!r}", param=option)
    return int(value)


def _scope_options(command: Command) -> Command:
    """Add the options of `_Options`."""
    options = [
        click.option("--bucket", required=True, metavar="NAME", help="Bucket; small test objects are written to it."),
        click.option("--kms-key", required=True, metavar="ID", help="KMS key id, ARN or alias."),
        click.option("--cloudtrail-endpoint-url", metavar="URL", help="CloudTrail server; by default that of AWS."),
        click.option("--sts-endpoint-url", metavar="URL", help="STS server; by default that of AWS."),
        click.option("--policy", "policy_file", type=_FILE, metavar="FILE", help="JSON object with your own limits."),
        click.option("--controls", "table", type=_FILE, metavar="FILE", help="CSV table of your own controls."),
        click.option(
            "--sample", default="100", show_default=True, metavar="N|all", callback=_read_sample, help="Objects to see."
        ),
        click.option(
            "--context", metavar="NAME=VALUE", multiple=True, callback=read_context, help="Context of test objects."
        ),
        click.option(
            "--audit-log", type=_FILE, metavar="FILE", help="Audit log to verify, and to chain the bundle to."
        ),
        click.option("--audit-anchors", "places", multiple=True, metavar="PLACE", help="Anchors of that log."),
        click.option("--audit-public-key", "public_key", metavar="HEX", help="Ed25519 key of the anchors."),
        click.option("--skip", "skipped", multiple=True, metavar="CHECK", help="Leave a check out; repeatable."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


@compliance.command()
@_scope_options
@connection_options()
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), metavar="DIR", help="Write a bundle here.")
@click.option(
    "--baseline", type=click.Path(exists=True, path_type=Path), metavar="FILE", help="Earlier bundle to compare with."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def check(*, connection: Connection, output: Path | None, baseline: Path | None, as_json: bool, **options: Any) -> int:
    """Check a key, a bucket, CloudTrail, the cache and the audit log.

    Exit codes: 0 all checks passed but for skipped ones; 1 one failed or could not be made; 2 something passed or was
    set otherwise in the baseline.
    """
    earlier = None if baseline is None else read_baseline(baseline)
    if output is not None:
        prepare_folder(output)
    assessment, audit = _assessed(_Options(**options), connection)
    changes = [] if earlier is None else drift(earlier, assessment)
    summary = {**assessment.as_dict(), "drift": None if earlier is None else [one.as_dict() for one in changes]}
    is_kept = True
    if output is not None:
        bundle = write_bundle(assessment, output)
        is_kept = audit is None or _is_chained(bundle, audit)
        summary["bundle"] = {
            "folder": str(output),
            "manifest_sha256": bundle.manifest_sha256,
            "in_audit_log": audit is not None and is_kept,
        }
    if as_json:
        click.echo(json.dumps(summary))
    else:
        _show(assessment, changes)
    if changes:
        return _DRIFTED
    is_good = all(result.status is Status.PASSED or result.is_skipped for result in assessment.results)
    return 0 if is_good and is_kept else _NOT_GOOD


@compliance.command()
@click.option("--controls", "table", type=_FILE, metavar="FILE", help="CSV table of your own controls.")
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each.")
def checks(*, table: Path | None, as_json: bool) -> None:
    """List the checks, what each proves, and the controls that it speaks for."""
    controls = read_controls(table or TABLE)
    shown = Table()
    for title in ("check", "proves", "controls"):
        shown.add_column(title, overflow="fold")
    for one in CHECKS:
        names = [f"{control.framework} {control.number}" for control in controls if one.id in control.checks]
        if as_json:
            click.echo(json.dumps({"id": one.id, "proves": one.proves, "controls": names}))
        shown.add_row(one.id, one.proves, ", ".join(names))
    if not as_json:
        stdout().print(shown)


def _assessed(options: _Options, connection: Connection) -> tuple[Assessment, AuditLog | None]:
    policy = CompliancePolicy() if options.policy_file is None else CompliancePolicy.read(options.policy_file)
    controls, skipped = read_controls(options.table or TABLE), check_ids(options.skipped)
    context = EncryptionContext(options.context or _CONTEXT)
    anchors = AnchorChoice(options.places, options.public_key, None, None, None)
    with ExitStack() as stack:
        services = Services(connection, check_key_id(options.kms_key), stack)
        assessor = services.caller(options.sts_endpoint_url)
        audit: AuditLog | None = None
        if options.audit_log is not None:
            audit = FileAuditLog(options.audit_log, *anchors.collect(connection), actor=assessor)
        scope = Scope(
            key_id=options.kms_key,
            bucket=options.bucket,
            policy=policy,
            context=context,
            cache_limits=services.cache_limits(),
            audit=audit,
            sample_size=options.sample,
        )
        subject = Subject(scope, services.clients(context, options.cloudtrail_endpoint_url), wall_clock=time.time)
        return assess(subject, controls, assessor=assessor, skipped=skipped), audit


def _is_chained(bundle: Bundle, audit: AuditLog) -> bool:
    try:
        chain_bundle(bundle, audit)
    except AuditError as error:
        complain(str(error))
        return False
    return True


def _show(assessment: Assessment, changes: Sequence[Drift]) -> None:
    console = stdout()
    table = Table(show_header=False, pad_edge=False)
    for no_wrap in (True, True, False):
        table.add_column(no_wrap=no_wrap, overflow="fold")
    for result in assessment.results:
        lines = [*result.evidence, *([f"What to do: {result.remedy}"] if result.remedy else [])]
        table.add_row(_WORDS[result.status], result.id, plain(". ".join(lines)))
    console.print(table)
    for score in assessment.scores:
        console.print(f"{score.framework}: {score.percent} % = {score.formula}", highlight=False, markup=False)
    console.print(f"A score is {FORMULA}.", highlight=False)
    for change in changes:
        console.print(plain(f"drift: {change.kind} {change.name}: {change.before} -> {change.after}"), soft_wrap=True)
        for line in change.details:
            console.print(plain(f"  {line}"), soft_wrap=True)
