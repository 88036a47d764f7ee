"""Moves: the source is deleted only when its replacement was read, and is still the one that was copied."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from s3envelope.cli.locations import S3Location
from s3envelope.cli.transferring.items import object_item
from s3envelope.cli.transferring.outcomes import Job
from s3envelope.cli.transferring.records import fingerprint
from s3envelope.cli.transferring.stopping import Stop
from s3envelope.errors import ObjectChangedError, SourceChangedError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_PIECE_SIZE = 1 << 20


class Move:
    """One file on its way: made before it is copied, finished after.

    Args:
        plain: A client that knows nothing of envelopes: it sees what is stored.
        job: With a source.

    Raises:
        OSError, ClientError, BotoCoreError: The source cannot be looked at.
    """

    def __init__(self, client: S3Client, plain: S3Client, job: Job, stop: Stop) -> None:
        self._client, self._plain, self._job, self._stop = client, plain, job, stop
        self._before = self._state()

    def finish(self) -> None:
        """See that the target is readable, and the source as it was; then delete the source.

        Raises:
            ObjectChangedError, SourceChangedError: The source is not what was copied, or the target is not the source.
                Nothing was deleted.
            S3EnvelopeError, ClientError, BotoCoreError, OSError: The target cannot be read. Nothing was deleted.
        """
        self._prove()
        self._stop.check()
        # INVARIANT: the last look before the deletion. It also finds a source that is the target under another name:
        # every copy has an envelope of its own, also one onto itself.
        if self._state() != self._before:
            raise ObjectChangedError(f"{self._job.source} changed while it was moved; it was copied, and not deleted")
        source = self._job.source
        if isinstance(source, Path):
            source.unlink()
        elif isinstance(source, S3Location):
            # Where the server knows conditions, not even one that was overwritten just now is lost.
            self._client.delete_object(Bucket=source.bucket, Key=source.key, IfMatch=str(self._before[0]))

    def _state(self) -> tuple[object, ...]:
        source = self._job.source
        if isinstance(source, Path):
            return fingerprint(source.stat())
        if source is None:
            return ()
        answer = self._plain.head_object(Bucket=source.bucket, Key=source.key)
        metadata = sorted((name.lower(), value) for name, value in answer.get("Metadata", {}).items())
        return answer["ETag"], answer["LastModified"], answer.get("VersionId"), tuple(metadata)

    def _prove(self) -> None:
        source, target = self._job.source, self._job.target
        if isinstance(target, Path):
            # Verified while it came; it must not be lost with the page cache either.
            _sync_to_disk(target)
            return
        answer = self._client.get_object(Bucket=target.bucket, Key=target.key)
        with closing(answer["Body"]) as body:
            if isinstance(source, Path):
                with source.open("rb") as file:
                    is_same = _is_same(_pieces(body, self._stop), file)
            else:
                # The server copied the body; here every byte of the copy opens.
                size = sum(len(piece) for piece in _pieces(body, self._stop))
                is_same = source is not None and size == object_item(self._client, source).size
        if not is_same:
            raise SourceChangedError(f"{target} does not hold what {source} holds now; {source} was not deleted")


def _sync_to_disk(path: Path) -> None:
    with path.open("r+b") as file:
        os.fsync(file.fileno())
    if os.name == "posix":
        descriptor = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _pieces(body: Any, stop: Stop) -> Iterator[bytes]:
    for piece in body.iter_chunks(_PIECE_SIZE):
        stop.check()
        yield piece


def _is_same(pieces: Iterator[bytes], file: IO[bytes]) -> bool:
    """Tell whether a file has these bytes, and no more."""
    return all(file.read(len(piece)) == piece for piece in pieces) and file.read(1) == b""
