"""Uploads of large files that a later run of the command can go on with.

They are multipart uploads in the indexed layout, whose state the library keeps: every call for a part has nonces of
its own, also one that is repeated, so nothing is ever sealed again under a nonce that was used.  FORMAT.md, sections
"Indexed layout" and "Upload state". What this module adds is the care that all parts are of one state of the file.
"""

from __future__ import annotations

import dataclasses
import io
import json
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import BotoCoreError, ClientError

from s3envelope.cli.locations import S3Location
from s3envelope.cli.transferring.records import Entry, Fingerprint, Record, Records, Wanted, fingerprint
from s3envelope.cli.transferring.stopping import Stop, StoppedError
from s3envelope.core.layout import MAX_PART_NUMBER
from s3envelope.core.upload_state import UploadState
from s3envelope.engine.sources import Cursor
from s3envelope.errors import (
    ConfigurationError,
    DecryptionError,
    EnvelopeError,
    KeyringError,
    SourceChangedError,
    UnsupportedOperationError,
)

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_Advance = Callable[[int], None]
# How long S3 may take to begin an upload, and how far its clock may be behind.
_CREATE_SECONDS, _CLOCK_SECONDS = 120, 5
# A file that changed, or a state that does not fit, will not be better next time.
_MAY_GO_ON = (StoppedError, ClientError, BotoCoreError, KeyringError, OSError)


@dataclass(frozen=True, slots=True)
class Conduct:
    """How a command treats unfinished uploads.

    Args:
        resume: Whether one that is there is continued, and one that is interrupted is kept.
        tell: Prints a line for people.
        dry_run: Whether nothing is to be done at all.
    """

    resume: bool
    tell: Callable[[str], None]
    dry_run: bool = False


class ResumableUploads:
    """Uploads files so that a later run can go on.

    Args:
        client: An enveloped client without a fixed part size.
        executor: For the calls of all parts of all files.
        most_calls: Of one file at a time.
        part_size: In bytes; more where a file would have too many parts.
    """

    def __init__(
        self,
        client: S3Client,
        records: Records,
        executor: Executor,
        stop: Stop,
        *,
        conduct: Conduct,
        most_calls: int,
        part_size: int,
    ) -> None:
        self._client, self._records, self._executor, self._stop = client, records, executor, stop
        self._conduct, self._most_calls, self._part_size = conduct, most_calls, part_size

    def are_possible(self) -> bool:
        """Tell whether the folder of states can be used."""
        try:
            self._records.prepare()
        except ConfigurationError:
            return False
        return True

    def upload(self, path: Path, place: S3Location, arguments: dict[str, Any], advance: _Advance) -> None:
        """Upload one file; what an earlier run left of the same upload is continued, or aborted.

        Args:
            arguments: Headers of the new object, and whatever else must be the same to go on.

        Raises:
            SourceChangedError: The file changed while it was uploaded; nothing is left of the upload.
            StoppedError: The command ends; see `Conduct.resume`.
            OSError, ClientError, BotoCoreError, S3EnvelopeError: As the calls have them.
        """
        source = os.path.abspath(path)
        with self._locked(source, place) as entry:
            endpoint_url = str(self._client.meta.endpoint_url)
            found = fingerprint(os.stat(source))
            wanted = Wanted(source, endpoint_url, place.bucket, place.key, found, arguments)
            upload = self._continued(entry, wanted, advance) or self._begun(entry, wanted)
            self._carry_out(entry, upload, advance)

    def discard(self, path: Path, place: S3Location) -> None:
        """Abort what an earlier run left of an upload that is not needed any more, or is made in another way.

        Raises:
            ClientError, BotoCoreError: It could not be aborted.
        """
        source = os.path.abspath(path)
        if not self._records.has(source, str(self._client.meta.endpoint_url), place):
            return
        with self._locked(source, place) as entry:
            record = entry.read()
            if record is not None:
                abort(self._client, record)
                entry.clear()

    @contextmanager
    def _locked(self, source: str, place: S3Location) -> Iterator[Entry]:
        with self._records.locked(source, str(self._client.meta.endpoint_url), place) as entry:
            if entry is None:
                raise UnsupportedOperationError(
                    "another process uploads this file to this place at the moment; wait for it"
                )
            yield entry

    def _continued(self, entry: Entry, wanted: Wanted, advance: _Advance) -> _Upload | None:
        """Return what an earlier run left of the same upload; abort whatever else it left."""
        record = entry.read()
        if record is None:
            return None
        upload = None
        if self._conduct.resume and record.upload_id and record.wanted == wanted:
            upload = self._look_up(record)
        if upload is None:
            abort(self._client, record)
            entry.clear()
            # Where S3 had given no id yet, nothing was sent: there is nothing to tell.
            if self._conduct.resume and record.upload_id:
                self._conduct.tell(f"the unfinished upload of {wanted.source} does not fit any more; it begins anew")
            return None
        count = part_count(record)
        self._conduct.tell(f"going on with the upload of {wanted.source}: {len(upload.etags)} of {count} parts exist")
        advance(sum(_part_length(record, number) for number in upload.etags))
        return upload

    def _look_up(self, record: Record) -> _Upload | None:
        """Return the parts that this library recorded and S3 has; `None` if the upload cannot go on."""
        exporting: Any = self._client
        try:
            exported = json.loads(exporting.export_upload(**names(record)))
            state = UploadState.parse(exported["state"].encode("ascii"))
            listed = {
                part["PartNumber"]: part["ETag"].strip('"')
                for page in self._client.get_paginator("list_parts").paginate(**names(record))
                for part in page.get("Parts", [])
            }
        except (UnsupportedOperationError, DecryptionError, EnvelopeError):
            # There is no state of it here, or not one that can be trusted.
            return None
        except ClientError as error:
            if error.response.get("Error", {}).get("Code") != "NoSuchUpload":
                raise
            return None
        if state.end is not None:
            # Its parts were decided, and a repetition must name the same ones.
            return _Upload(record, dict(state.end.parts))
        recorded = {part.row.part_number: part for part in state.parts}
        return _Upload(
            record,
            {
                number: part.etag
                for number, part in recorded.items()
                if listed.get(number) == part.etag.strip('"')
                and number <= part_count(record)
                and part.row.plaintext_size == _part_length(record, number)
            },
        )

    def _begun(self, entry: Entry, wanted: Wanted) -> _Upload:
        headers = {name: value for name, value in wanted.arguments.items() if name != "context"}
        size, part_size = _size(wanted.fingerprint), self._part_size
        # One number is left for the index.
        while size > part_size * (MAX_PART_NUMBER - 1):
            part_size *= 2
        asked = Record(wanted, "", part_size, int(time.time()))
        # First, so that an upload that S3 begins while this process dies is found again.
        entry.write(asked)
        answer = self._client.create_multipart_upload(Bucket=wanted.bucket, Key=wanted.key, **headers)
        upload = _Upload(dataclasses.replace(asked, upload_id=answer["UploadId"]), {})
        try:
            entry.write(upload.record)
        except BaseException:
            abort(self._client, upload.record)
            raise
        return upload

    def _carry_out(self, entry: Entry, upload: _Upload, advance: _Advance) -> None:
        record = upload.record
        try:
            self._send_parts(upload, advance)
            _check_unchanged(record.wanted, os.stat(record.wanted.source))
            self._stop.check()
            parts: Any = [{"PartNumber": number, "ETag": etag} for number, etag in sorted(upload.etags.items())]
            self._client.complete_multipart_upload(**names(record), MultipartUpload={"Parts": parts})
        except BaseException as error:
            if self._conduct.resume and isinstance(error, _MAY_GO_ON):
                self._conduct.tell(
                    f"the upload of {record.wanted.source} to {record.wanted.target} is kept: run the command again "
                    f"to go on, or s3envelope uploads abort {record.wanted.target}"
                )
                raise
            abort(self._client, record)
            entry.clear()
            raise
        entry.clear()

    def _send_parts(self, upload: _Upload, advance: _Advance) -> None:
        """Send what is missing, some parts at a time; return, or raise, when no call runs any more."""
        record, running = upload.record, dict[Future[str], int]()
        missing = iter([number for number in range(1, part_count(record) + 1) if number not in upload.etags])
        try:
            self._fill(running, missing, record)
            while running:
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    number = running.pop(future)
                    upload.etags[number] = future.result()
                    advance(_part_length(record, number))
                self._fill(running, missing, record)
        finally:
            for future in running:
                future.cancel()
            wait(running)

    def _fill(self, running: dict[Future[str], int], missing: Iterator[int], record: Record) -> None:
        while len(running) < self._most_calls:
            self._stop.check()
            number = next(missing, None)
            if number is None:
                return
            running[self._executor.submit(self._send, record, number)] = number

    def _send(self, record: Record, number: int) -> str:
        with open(record.wanted.source, "rb") as file:
            _check_unchanged(record.wanted, os.fstat(file.fileno()))
            start = (number - 1) * record.part_size
            body: Any = _Section(file, start, _part_length(record, number), self._stop)
            return self._client.upload_part(**names(record), PartNumber=number, Body=body)["ETag"]


@dataclass(slots=True)
class _Upload:
    """An upload, and the ETags of the parts that S3 has, by number."""

    record: Record
    etags: dict[int, str]


class _Section(Cursor):
    """A section of a file, as the body of a part; ends when the command does."""

    def __init__(self, file: io.BufferedReader, start: int, size: int, stop: Stop) -> None:
        super().__init__(size)
        self._file, self._start, self._stop = file, start, stop

    def read(self, size: int | None = -1) -> bytes:
        """Return up to `size` bytes, or the rest."""
        self._stop.check()
        left = max(0, self._size - self._position)
        self._file.seek(self._start + self._position)
        piece = self._file.read(left if size is None or size < 0 else min(size, left))
        self._position += len(piece)
        return piece


def names(record: Record) -> Any:
    """Return the parameters that name an upload."""
    return {"Bucket": record.wanted.bucket, "Key": record.wanted.key, "UploadId": record.upload_id}


def abort(client: S3Client, record: Record) -> None:
    """Abort an upload, unless it is gone.

    Raises:
        ClientError, BotoCoreError: It could not be aborted.
    """
    if record.upload_id:
        _abort(client, record)
        return
    wanted = record.wanted
    try:
        pages = client.get_paginator("list_multipart_uploads").paginate(Bucket=wanted.bucket, Prefix=wanted.key)
        begun = [upload for page in pages for upload in page.get("Uploads", [])]
    except ClientError:
        # Not everybody may list them. Then the one that may be there is left to the bucket's lifecycle rules.
        return
    for upload in begun:
        late_seconds = upload["Initiated"].timestamp() - record.begun_seconds
        if upload["Key"] != wanted.key or not -_CLOCK_SECONDS <= late_seconds <= _CREATE_SECONDS:
            continue
        found = dataclasses.replace(record, upload_id=upload["UploadId"])
        # Ours has no part: none is sent before the upload has its id in the record.
        if not client.list_parts(**names(found), MaxParts=1).get("Parts"):
            _abort(client, found)


def _abort(client: S3Client, record: Record) -> None:
    try:
        client.abort_multipart_upload(**names(record))
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") not in ("NoSuchUpload", "NoSuchBucket"):
            raise


def part_count(record: Record) -> int:
    """Return into how many parts a file is cut."""
    return max(1, -(-_size(record.wanted.fingerprint) // record.part_size))


def _size(found: Fingerprint) -> int:
    return found[2]


def _part_length(record: Record, number: int) -> int:
    return min(record.part_size, _size(record.wanted.fingerprint) - (number - 1) * record.part_size)


def _check_unchanged(wanted: Wanted, status: os.stat_result) -> None:
    if fingerprint(status) != wanted.fingerprint:
        raise SourceChangedError(f"{wanted.source} changed while it was uploaded; upload it again")
