"""`s3envelope verify`: whether every byte of every object is what its writer wrote."""

from __future__ import annotations

import functools
import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import click
from botocore.exceptions import ClientError

from s3envelope.cli.enveloped import enveloped_client, read_formats_option
from s3envelope.cli.locations import S3Location, parse_s3
from s3envelope.cli.options import Connection, KeyChoice, connection_options, key_options, read_context
from s3envelope.cli.output import complain, plain, size, stdout
from s3envelope.cli.reports import counting
from s3envelope.rotation.run import Location, in_flight, list_locations, list_versions
from s3envelope.rotation.verification import RESULTS, Verified, sampled, verify_object
from s3envelope.s3.replacing import stored_head

_FAULTY = 1
_MOST_SHOWN = 100
_GONE = frozenset({"404", "NoSuchKey"})
_CALLS = "before-send.kms"


@dataclass(slots=True)
class _Report:
    """What was found so far.

    Args:
        lines: Where each object is written to as a line of JSON.
        allows_plain: Whether an object without envelope is no fault.
    """

    lines: TextIO | None
    allows_plain: bool
    counts: Counter[str] = field(default_factory=Counter)
    bytes: int = 0
    faults: list[Verified] = field(default_factory=list)
    fault_count: int = 0

    def add(self, one: Verified) -> None:
        self.counts[one.result] += 1
        self.bytes += one.bytes
        if not one.is_good and not (one.result == "plain" and self.allows_plain):
            self.fault_count += 1
            if len(self.faults) < _MOST_SHOWN:
                self.faults.append(one)
        if self.lines is not None:
            self.lines.write(json.dumps(one.as_dict()) + "\n")
            self.lines.flush()

    def show(self, kms_calls: int, *, is_complete: bool, as_json: bool) -> None:
        objects = sum(self.counts.values())
        if as_json:
            summary = {
                "complete": is_complete,
                "objects": objects,
                "bytes": self.bytes,
                "kms_calls": kms_calls,
                "results": {name: self.counts[name] for name in RESULTS},
                "faults": [one.as_dict() for one in self.faults],
                "fault_count": self.fault_count,
            }
            click.echo(json.dumps(summary))
            return
        console = stdout()
        for one in self.faults:
            version = "" if one.version_id is None else f"?versionId={one.version_id}"
            name = one.result.replace("_", " ")
            line = f"{name}: s3://{one.bucket}/{one.key}{version}: {one.error}: {one.reason}"
            console.print(plain(line), soft_wrap=True)
        if self.fault_count > len(self.faults):
            console.print(f"and {self.fault_count - len(self.faults)} more", highlight=False)
        counted = [f"{self.counts[name]} {name.replace('_', ' ')}" for name in RESULTS if self.counts[name]]
        totals = f"{objects} objects, {size(self.bytes)}, {kms_calls} KMS calls"
        if not is_complete:
            console.print("not finished; what was verified so far:", highlight=False)
        console.print(f"{totals}: {', '.join(counted) or 'nothing'}", highlight=False, soft_wrap=True)


class _Calls:
    """Counts the requests that clients of a session send to KMS."""

    def __init__(self, session: Any) -> None:
        self.count = 0
        self._lock = threading.Lock()
        session.events.register(_CALLS, self)

    def __call__(self, **_: object) -> None:
        with self._lock:
            self.count += 1


@click.command()
@click.argument("location", metavar="s3://BUCKET[/PREFIX]")
@connection_options()
@key_options
@read_formats_option
@click.option("--context", metavar="NAME=VALUE", multiple=True, callback=read_context, help="Demand this entry.")
@click.option("--recursive", is_flag=True, help="All objects under the prefix, though one has it as its name.")
@click.option("--versions", is_flag=True, help="Old versions too.")
@click.option("--sample", type=click.IntRange(1), metavar="N", help="Only so many objects, chosen by chance.")
@click.option("--allow-unencrypted", is_flag=True, help="An object without envelope is no fault.")
@click.option("--jobs", "-j", default=8, show_default=True, type=click.IntRange(1, 64), help="Objects at a time.")
@click.option(
    "--output",
    "output_file",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a line of JSON for every object.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the summary as one JSON object.")
def verify(
    *,
    location: str,
    connection: Connection,
    key_choice: KeyChoice,
    read_formats: tuple[str, ...] | None,
    context: dict[str, str] | None,
    recursive: bool,
    versions: bool,
    sample: int | None,
    allow_unencrypted: bool,
    jobs: int,
    output_file: Path | None,
    as_json: bool,
) -> int:
    """Read and authenticate every byte of an object, or of all objects under a prefix, and write nothing.

    LOCATION is one object if there is one of that name, and else a prefix. Each object is ok, plain (no envelope),
    tampered, of a wrong name, of a wrong context, or its key is not available. Exit code 1: something did not verify,
    or there is nothing. Ctrl-C shows what was found so far.
    """
    where = parse_s3(location)
    stopping = threading.Event()
    with ExitStack() as stack:
        session = connection.session()
        calls = _Calls(session)
        # What is not encrypted is told, and never passed on as verified.
        fixed: dict[str, Any] = {"unencrypted": "refuse", "list_sizes": "stored", "unsafe_unverified_ranges": False}
        client = stack.enter_context(
            enveloped_client(
                connection,
                key_choice,
                context=context,
                read_formats=read_formats,
                session=session,
                max_pool_connections=2 * jobs,
                **fixed,
            )
        )
        lines = None if output_file is None else stack.enter_context(output_file.open("w", encoding="utf-8"))
        report = _Report(lines, allow_unencrypted)
        listing = _listing(client, where, recursive=recursive, versions=versions)
        locations: Iterable[Location] = listing()
        if sample is not None:
            locations = sampled(locations, sample, random.SystemRandom())
            listing = functools.partial(list, locations)
        work = functools.partial(verify_object, client, is_stopped=stopping.is_set)
        is_complete = False
        try:
            with _threads(jobs, stopping) as executor, counting("verifying", listing) as advance:
                for _, future in in_flight(locations, work, executor, jobs):
                    report.add(future.result())
                    advance()
            is_complete = True
        finally:
            report.show(calls.count, is_complete=is_complete, as_json=as_json)
    if not report.counts:
        complain(f"there is no object under {where}")
        return _FAULTY
    return _FAULTY if report.fault_count else 0


def _listing(client: Any, where: S3Location, *, recursive: bool, versions: bool) -> Callable[[], Iterable[Location]]:
    if not (recursive or where.is_folder):
        try:
            stored_head(client, Bucket=where.bucket, Key=where.key)
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") not in _GONE:
                raise
        else:
            return functools.partial(_one, client, where, versions=versions)
    return functools.partial(list_versions if versions else list_locations, client, where.bucket, where.key)


def _one(client: Any, where: S3Location, *, versions: bool) -> Iterator[Location]:
    if not versions:
        yield Location(where.bucket, where.key)
        return
    for one in list_versions(client, where.bucket, where.key):
        # The prefix finds longer keys as well, which are other objects.
        if one.key == where.key:
            yield one


@contextmanager
def _threads(count: int, stopping: threading.Event) -> Iterator[ThreadPoolExecutor]:
    """Yield threads that begin nothing new, and end what they read, when the block is left by an error."""
    executor = ThreadPoolExecutor(count)
    try:
        yield executor
    except BaseException:
        stopping.set()
        executor.shutdown(cancel_futures=True)
        raise
    executor.shutdown()
