"""A file that is read: ranges of one version, each verified."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING, Any

from fsspec.spec import AbstractBufferedFile, reopen

from s3envelope.core.ranges import ByteRange
from s3envelope.errors import ObjectChangedError
from s3envelope.fs.listings import entry_of_head
from s3envelope.fs.locations import s3_errors

if TYPE_CHECKING:
    from s3envelope.fs.filesystem import S3EnvelopeFileSystem


class EnvelopedReader(AbstractBufferedFile):  # type: ignore[misc]  # fsspec has no types
    """A file in mode "rb".

    It is opened by one HEAD, and stays with the version that this saw: every range is asked for with its ETag, and its
    version if the filesystem is version-aware.

    Args:
        fs, path, block_size, cache_type, cache_options: As for every file of fsspec.
        etag: Of the version to open; by default that which is current.
        arguments: What `head_object` and `get_object` of boto3 take.

    Raises:
        FileNotFoundError, PermissionError: As the names say.
        ObjectChangedError: The object is not the version `etag` any more; from `read` too.
    """

    def __init__(
        self,
        fs: S3EnvelopeFileSystem,
        path: str,
        *,
        block_size: int | None = None,
        cache_type: str = "readahead",
        cache_options: dict[str, Any] | None = None,
        etag: str | None = None,
        **arguments: Any,
    ) -> None:
        # What reopens a file names the size that it had.
        arguments.pop("size", None)
        self._parameters = {**fs.location(path).parameters(), **arguments}
        self._client = fs.client
        condition = {} if etag is None else {"IfMatch": etag}
        with s3_errors(path, etag=etag):
            answer = self._client.head_object(**self._parameters, **condition)
        self._etag = self._parameters["IfMatch"] = answer["ETag"]
        if fs.version_aware and answer.get("VersionId"):
            self._parameters["VersionId"] = answer["VersionId"]
        self._details = entry_of_head(path, answer)
        super().__init__(
            fs,
            path,
            "rb",
            block_size or fs.blocksize,
            cache_type=cache_type,
            cache_options=dict(cache_options or {}),
            size=self._details["size"],
            **arguments,
        )

    def _fetch_range(self, start: int, end: int) -> bytes:
        end = min(end, self.size)
        if start >= end:
            return b""
        # INVARIANT: what goes to the end of the file is asked for without an end, so that the end is proved. The size
        # is only what the server said of it.
        wanted = ByteRange(start, None if end == self.size else end - 1)
        with s3_errors(self.path, etag=self._etag):
            answer = self._client.get_object(**self._parameters, Range=wanted.header())
            with closing(answer["Body"]) as body:
                content: bytes = body.read()
        if len(content) != end - start:
            raise ObjectChangedError(
                f"{self.path} gave {len(content)} bytes from {start} on instead of {end - start}: two answers about "
                "one version disagree about its size; open it again"
            )
        return content

    def __reduce__(self) -> tuple[Any, ...]:
        """Let another process open the same version at the same place."""
        cache = self.cache.name if self.cache else "none"
        pinned = {**self.kwargs, "etag": self._etag}
        return reopen, (self.fs, self.path, "rb", self.blocksize, self.loc, self.size, True, cache, pinned)
