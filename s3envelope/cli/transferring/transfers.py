"""The transfer of one file at a time, in threads that share the connections, the parts and Ctrl-C."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import BotoCoreError, ClientError
from s3transfer.futures import TransferFuture

from s3envelope.cli.locations import S3Location
from s3envelope.cli.transferring.items import Item, file_item, have_one_size, object_item
from s3envelope.cli.transferring.moving import Move
from s3envelope.cli.transferring.outcomes import Job, Outcome
from s3envelope.cli.transferring.progress import Bar
from s3envelope.cli.transferring.records import Records
from s3envelope.cli.transferring.resumable import Conduct, ResumableUploads
from s3envelope.cli.transferring.stopping import Stop, StoppedError
from s3envelope.errors import DecryptionError, EnvelopeError, KeyringError, S3EnvelopeError, SourceChangedError
from s3envelope.s3.shared_transfers import SharedTransfers

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

# From this size on, an upload can go on after its process was killed, also if nobody asked for that beforehand. Below
# it the plain layout is worth more, of which a range costs one request.
RESUMABLE_SIZE = 64 << 20


class Transfers:
    """Does jobs, each from any thread.

    Args:
        client: An enveloped client.
        plain: A client that knows nothing of envelopes, of the same server; `None` where nothing is moved.
        records: `None` where no upload can go on: the client writes another format, or keeps no states.
        jobs: Requests at a time.
        files: Of those at a time.
        headers: Of new objects.
        context: The encryption context of new objects; an upload with another one does not go on.
    """

    def __init__(
        self,
        client: S3Client,
        plain: S3Client | None,
        records: Records | None,
        stop: Stop,
        bar: Bar,
        *,
        jobs: int,
        files: int,
        conduct: Conduct,
        headers: dict[str, str],
        context: dict[str, str] | None,
    ) -> None:
        self.stop = stop
        self._client, self._plain, self._bar, self._copy_jobs = client, plain, bar, max(1, jobs // files)
        self._conduct, self._headers, self._context = conduct, headers, context
        self._shared = SharedTransfers(client, max_concurrency=jobs)
        self._parts = ThreadPoolExecutor(jobs, thread_name_prefix="parts")
        part_size = self._shared.part_size
        self._resumable = (
            None
            if records is None
            else ResumableUploads(
                client, records, self._parts, stop, conduct=conduct, most_calls=jobs, part_size=part_size
            )
        )

    def close(self) -> None:
        """End the threads; nothing runs any more."""
        self._shared.close()
        self._parts.shutdown()

    def do(self, job: Job | Outcome) -> Outcome:
        """Do one job; whatever goes wrong is its outcome."""
        return job if isinstance(job, Outcome) else outcome_of(lambda: self._do(job), job, self.stop)

    def _do(self, job: Job) -> Outcome:
        self.stop.check()
        reason = self._reason_to_skip(job)
        if reason is None and self._conduct.dry_run:
            return Outcome.of(job, "planned")
        if reason is not None:
            self._bar.advance(job.size)
            self._discard(job)
            return Outcome.of(job, "skipped", reason)
        if self._plain is None:
            self._transfer(job)
        else:
            self._move(job, self._plain)
        return Outcome.of(job, "done")

    def upload_stream(self, stream: IO[bytes], place: S3Location) -> None:
        """Upload a stream of unknown length."""
        self._wait(self._shared.upload(stream, place.bucket, place.key, self._headers, self._bar.advance))

    def _move(self, job: Job, plain: S3Client) -> None:
        move = Move(self._client, plain, job, self.stop)
        # INVARIANT: only an upload. Its proof compares every byte; a copy or a download is proved by having been made.
        if self._conduct.resume and job.action == "upload" and self._is_whole(job) and self._is_sealed(job.target):
            # Else another file of this size is there, or what this run would have sealed otherwise: this one is sent.
            with suppress(SourceChangedError, EnvelopeError, DecryptionError, KeyringError):
                move.finish()
                self._discard(job)
                self._bar.advance(job.size)
                return
        self._transfer(job)
        move.finish()

    def _is_sealed(self, target: Path | S3Location) -> bool:
        """Tell whether an object is in the format that this run writes: others may be readable, and in clear."""
        try:
            described = self._client.describe_envelope(Bucket=target.bucket, Key=target.key)  # type: ignore[union-attr,attr-defined]
        except (S3EnvelopeError, ClientError, BotoCoreError):
            return False
        return bool(described.format == "SE1")

    def _transfer(self, job: Job) -> None:
        source, target = job.source, job.target
        if isinstance(source, Path) and isinstance(target, S3Location):
            self._upload(job, source, target)
        elif isinstance(source, S3Location) and isinstance(target, Path):
            self._download(job, source, target)
        elif isinstance(source, S3Location) and isinstance(target, S3Location):
            self._copy(source, target)
        elif isinstance(target, Path):
            target.unlink()
        else:
            self._client.delete_object(Bucket=target.bucket, Key=target.key)

    def _upload(self, job: Job, source: Path, target: S3Location) -> None:
        if self._resumable is not None and self._is_resumable(self._resumable, os.path.getsize(source)):
            arguments: dict[str, Any] = {**self._headers, "context": self._context}
            self._resumable.upload(source, target, arguments, self._bar.advance)
            return
        self._discard(job)
        self._wait(self._shared.upload(os.fspath(source), target.bucket, target.key, self._headers, self._bar.advance))

    def _is_resumable(self, resumable: ResumableUploads, size: int) -> bool:
        if self._conduct.resume:
            return size >= self._shared.multipart_threshold
        # Nobody asked for it: where the folder of states cannot be used, the upload is like any other.
        return size >= RESUMABLE_SIZE and resumable.are_possible()

    def _discard(self, job: Job) -> None:
        """Abort an upload that an earlier run left of what is whole by now, or is made in another way."""
        if self._resumable is None or self._conduct.dry_run:
            return
        if isinstance(job.source, Path) and isinstance(job.target, S3Location):
            self._resumable.discard(job.source, job.target)

    def _download(self, job: Job, source: S3Location, target: Path) -> None:
        if job.is_below:
            target.parent.mkdir(parents=True, exist_ok=True)
        future = self._shared.download(source.bucket, source.key, os.fspath(target), self._bar.advance)
        self._wait(future)
        if target.is_file():
            # So that a later run sees that it is the same: S3 knows whole seconds. A device has no such time.
            os.utime(target, (job.seconds, job.seconds))
        self._shared.downloaded(source.bucket, source.key)

    def _copy(self, source: S3Location, target: S3Location) -> None:
        def advance(size: int) -> None:
            # Raised in a task of the copy it ends the copy, whose upload is then aborted.
            self.stop.check()
            self._bar.advance(size)

        where: Any = {"Bucket": source.bucket, "Key": source.key}
        config = TransferConfig(max_concurrency=self._copy_jobs)
        self._client.copy(where, target.bucket, target.key, Callback=advance, Config=config)

    def _wait(self, future: TransferFuture) -> None:
        with self.stop.cancelling(future.cancel):
            future.result()

    def _reason_to_skip(self, job: Job) -> str | None:
        if job.is_needed is not None and not job.is_needed():
            return "unchanged"
        if self._conduct.resume and self._plain is None and self._is_whole(job):
            return "the target is whole, and not older"
        return None

    def _is_whole(self, job: Job) -> bool:
        """Tell whether an earlier run has done a job: sizes are equal, and the target is not older."""
        if job.source is None:
            return False
        source = Item("", job.source, job.size, job.seconds)
        try:
            target = file_item(job.target) if isinstance(job.target, Path) else object_item(self._client, job.target)
        except (OSError, ClientError, BotoCoreError, S3EnvelopeError):
            # The transfer replaces it, or tells better what is wrong.
            return False
        return source.seconds <= target.seconds and have_one_size(self._client, source, target)


def outcome_of(work: Callable[[], Outcome | None], job: Job, stop: Stop) -> Outcome:
    """Do a job; `work` returns what became of it, or nothing where it was done."""
    try:
        return work() or Outcome.of(job, "done")
    except Exception as error:  # noqa: BLE001  # one of many files, in a thread: its error is told, and the others go on
        if stop.is_set or isinstance(error, StoppedError):
            return Outcome.of(job, "interrupted")
        return Outcome.failure(job, error)
