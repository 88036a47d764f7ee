"""`s3envelope audit`: whether a log is whole, what it says, and what CloudTrail says."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import click

from s3envelope.audit.anchor_keys import Ed25519AnchorKey
from s3envelope.audit.chain import Entry, Finding
from s3envelope.audit.verify import Verification
from s3envelope.audit.verify import verify as verify_log
from s3envelope.cli.audit_files import AnchorChoice, anchor_options, files_argument, opened
from s3envelope.cli.audit_report import join, report
from s3envelope.cli.options import Connection, connection_options
from s3envelope.cli.output import plain, stdout

_FOUND = 1
_MOST_FINDINGS = 100


@click.group()
def audit() -> None:
    """Whether an audit log is whole, what it says, and what CloudTrail says."""


@audit.command()
@files_argument
@anchor_options
@connection_options()
@click.option("--partial", is_flag=True, help="The log may begin in the middle: older files are elsewhere.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def verify(
    *,
    files: Sequence[Path],
    places: Sequence[str],
    public_key: str | None,
    kms_key_id: str | None,
    kms_mac_key_id: str | None,
    kms_algorithm: str | None,
    connection: Connection,
    partial: bool,
    as_json: bool,
) -> int:
    """Find every changed, removed, inserted and moved record of a log, and say where.

    FILEs are all those of one log, in any order. That its end was cut off, or that all of it was written anew, only
    anchors can tell. Exit code 1: something was found.
    """
    choice = AnchorChoice(places, public_key, kms_key_id, kms_mac_key_id, kms_algorithm)
    anchors, shown = choice.collect(connection)
    count = len(shown)
    found = Verification()
    with opened(files) as sources:
        for item in verify_log(sources, anchors, partial=partial, into=found):
            if isinstance(item, Entry):
                continue
            count += 1
            if len(shown) < _MOST_FINDINGS:
                shown.append(item)
    if as_json:
        click.echo(json.dumps(_summary(found, count, shown)))
    else:
        _show(found, count, shown)
    return _FOUND if count else 0


@audit.command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def keygen(*, file: Path, as_json: bool) -> None:
    """Make a key for anchors, unless FILE is one, and print its public key.

    Whoever signs anchors needs the file; whoever verifies them needs what is printed.
    """
    public_key = Ed25519AnchorKey(file, create=True).public_key.hex()
    click.echo(json.dumps({"file": str(file), "public_key": public_key}) if as_json else public_key)


audit.add_command(report)
audit.add_command(join)


def _summary(found: Verification, count: int, shown: Sequence[Finding]) -> dict[str, object]:
    return {
        "records": found.records,
        "first": None if found.first is None else dataclasses.asdict(found.first),
        "last": None if found.last is None else dataclasses.asdict(found.last),
        "anchors": found.anchors,
        "anchored": None if found.anchored is None else dataclasses.asdict(found.anchored),
        "finding_count": count,
        "findings": [dataclasses.asdict(finding) for finding in shown],
    }


def _show(found: Verification, count: int, shown: Sequence[Finding]) -> None:
    console = stdout()
    for finding in shown:
        where = f"{finding.file}:{finding.line_number}: " if finding.line_number else ""
        console.print(plain(f"{where}{finding.kind}: {finding.message}"), soft_wrap=True)
    if count > len(shown):
        console.print(f"and {count - len(shown)} more", highlight=False)
    if found.first is None or found.last is None:
        console.print("no records")
        return
    verdict = "the chain is whole" if count == 0 else f"{count} findings"
    numbers = f"{found.first.sequence:,} to {found.last.sequence:,}"
    console.print(f"{verdict}: {found.records:,} records, {numbers}", highlight=False)
    if found.anchored is None:
        console.print("no anchor confirms a record: an end that was cut off is not found", highlight=False)
        return
    later = found.last.sequence - found.anchored.sequence
    console.print(
        f"{found.anchors:,} anchors confirm it up to record {found.anchored.sequence:,}; {later:,} records are newer",
        highlight=False,
    )
