"""Running the jobs of a command: clients, threads, one bar, and what is told in the end."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING

import click

from s3envelope.cli.locations import S3Location
from s3envelope.cli.options import Command, Connection, KeyChoice, connection_options, key_options, read_context
from s3envelope.cli.output import complain
from s3envelope.cli.transferring.outcomes import Job, Outcome, Outcomes
from s3envelope.cli.transferring.progress import Bar, one_bar
from s3envelope.cli.transferring.records import Records
from s3envelope.cli.transferring.resumable import Conduct
from s3envelope.cli.transferring.stopping import Stop, work_through
from s3envelope.cli.transferring.transfers import Transfers, outcome_of
from s3envelope.errors import ConfigurationError
from s3envelope.formats import names
from s3envelope.s3.config import EnvelopeConfig, make_config
from s3envelope.s3.install import install

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


@dataclass(frozen=True, slots=True)
class Settings:
    """What the options that all transfers share say."""

    connection: Connection
    key_choice: KeyChoice
    context: dict[str, str] | None
    jobs: int
    dry_run: bool
    as_json: bool
    no_progress: bool


def transfer_options(command: Command) -> Command:
    """Add the options of `Settings` to a command, which gets them as `settings`."""

    @connection_options()
    @key_options
    @click.option("--create-key", is_flag=True, help="Make the --raw-key-file if it does not exist.")
    @click.option(
        "--context",
        metavar="NAME=VALUE",
        multiple=True,
        callback=read_context,
        help="Entry of the encryption context; repeatable. Stored in clear, and demanded when the object is read.",
    )
    @click.option("--jobs", default=10, show_default=True, type=click.IntRange(1, 256), help="Requests at a time.")
    @click.option("--dry-run", is_flag=True, help="Only say what would be done.")
    @click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each file, and one that sums up.")
    @click.option("--no-progress", is_flag=True, help="Show no progress bar.")
    @functools.wraps(command)
    def with_settings(
        *arguments: object,
        connection: Connection,
        key_choice: KeyChoice,
        context: dict[str, str] | None,
        jobs: int,
        dry_run: bool,
        as_json: bool,
        no_progress: bool,
        **rest: object,
    ) -> int | None:
        settings = Settings(connection, key_choice, context, jobs, dry_run, as_json, no_progress)
        return command(*arguments, settings=settings, **rest)

    return with_settings


@dataclass(frozen=True, slots=True)
class Run:
    """The clients of a command, and how it transfers.

    Args:
        client: An enveloped client.
        plain: A client of the same server that knows nothing of envelopes; `None` where nothing is moved.
        records: `None` where no upload can go on.
    """

    settings: Settings
    client: S3Client
    plain: S3Client | None
    records: Records | None

    def jobs(
        self,
        jobs: Iterable[Job | Outcome],
        title: str,
        *,
        resume: bool = False,
        headers: dict[str, str] | None = None,
        then: Callable[[Outcomes], Iterable[Job | Outcome]] | None = None,
    ) -> int:
        """Do many jobs, and print what became of them; return the exit code.

        Args:
            then: Further jobs, that depend on what became of the others.
        """
        outcomes = Outcomes(self.settings.as_json)
        try:
            with self._transfers(title, resume=resume, headers=headers) as (transfers, bar, stop):
                workers = self.settings.jobs
                work_through(self._seen(jobs, bar), transfers.do, outcomes.add, workers=workers, stop=stop)
                if then is not None:
                    later = self._seen(then(outcomes), bar)
                    work_through(later, transfers.do, outcomes.add, workers=workers, stop=stop)
        except BaseException:
            # Interrupted, or what there is could not be listed: what was done is told, and the error by the caller.
            outcomes.show(is_quiet=True)
            raise
        outcomes.show()
        return outcomes.exit_code

    def one(self, job: Job, *, resume: bool = False, headers: dict[str, str] | None = None) -> int:
        """Do one job, whose error is the command's."""
        return self._alone(job, lambda transfers: transfers.do, resume=resume, headers=headers)

    def stream(self, stream: IO[bytes], target: S3Location, *, headers: dict[str, str] | None = None) -> int:
        """Upload a stream, whose error is the command's."""
        job = Job("upload", None, target, 0)

        def prepare(transfers: Transfers) -> Callable[[Job | Outcome], Outcome]:
            def upload(_: Job | Outcome) -> Outcome:
                return outcome_of(lambda: transfers.upload_stream(stream, target), job, stop)

            stop = transfers.stop
            return upload

        return self._alone(job, prepare, resume=False, headers=headers)

    def _alone(
        self,
        job: Job,
        prepare: Callable[[Transfers], Callable[[Job | Outcome], Outcome]],
        *,
        resume: bool,
        headers: dict[str, str] | None,
    ) -> int:
        outcomes = Outcomes(self.settings.as_json)
        title = str(job.target if isinstance(job.target, S3Location) else job.source)
        try:
            with self._transfers(title, resume=resume, headers=headers, files=1) as (transfers, bar, stop):
                seen = self._seen([job], bar)
                work_through(seen, prepare(transfers), outcomes.add, workers=1, stop=stop)
        finally:
            outcomes.show(is_quiet=True)
        error = outcomes.failures[0].error if outcomes.failures else None
        if error is not None:
            raise error
        return outcomes.exit_code

    def _seen(self, jobs: Iterable[Job | Outcome], bar: Bar) -> Iterator[Job | Outcome]:
        """Count what there is to do."""
        for job in jobs:
            if isinstance(job, Job) and job.action != "delete":
                bar.expect(job.size)
            yield job

    @contextmanager
    def _transfers(
        self, title: str, *, resume: bool, headers: dict[str, str] | None, files: int | None = None
    ) -> Iterator[tuple[Transfers, Bar, Stop]]:
        if resume and self.records is None:
            raise ConfigurationError("--resume needs a client that writes the format se1: no other upload can go on")
        stop = Stop()
        with one_bar(title, is_wanted=not self.settings.no_progress) as bar:
            transfers = Transfers(
                self.client,
                self.plain,
                self.records,
                stop,
                bar,
                jobs=self.settings.jobs,
                files=files or self.settings.jobs,
                conduct=Conduct(resume, complain, self.settings.dry_run),
                headers=headers or {},
                context=self.settings.context,
            )
            with closing(transfers):
                yield transfers, bar, stop


@contextmanager
def connected(settings: Settings, *, moves: bool = False) -> Iterator[Run]:
    """Yield the clients of a command.

    Args:
        moves: Whether sources are deleted in the end.
    """
    connection = settings.connection
    with ExitStack() as stack:
        session = connection.session()
        keyring = stack.enter_context(settings.key_choice.keyring(connection, session))
        # Parts of a fixed size make an upload that cannot go on elsewhere; listed sizes are compared with others.
        fields: dict[str, object] = {"keyring": keyring, "part_size": None, "list_sizes": "plaintext"}
        if settings.context is not None:
            fields["encryption_context"] = settings.context
        config = make_config(fields, os.environ)
        install(session, config)
        # The transfer manager and the parts of resumable uploads have threads of their own.
        most = 2 * settings.jobs + 2
        client = stack.enter_context(closing(connection.s3(session, max_pool_connections=most)))
        plain = None
        if moves:
            plain = stack.enter_context(closing(connection.s3(connection.session(), max_pool_connections=most)))
        yield Run(settings, client, plain, _records(config))


def _records(config: EnvelopeConfig) -> Records | None:
    if config.state_dir is None or config.write_format != names.SE1:
        return None
    return Records(config.state_dir)
