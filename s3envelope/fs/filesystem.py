"""The filesystem: the operations with contents."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

from botocore.exceptions import ClientError
from fsspec.callbacks import DEFAULT_CALLBACK
from fsspec.compression import compr
from fsspec.core import get_compression
from fsspec.spec import AbstractBufferedFile
from fsspec.utils import isfilelike

from s3envelope.core.ranges import ByteRange
from s3envelope.errors import UnsupportedOperationError
from s3envelope.fs.changing import ChangingFileSystem
from s3envelope.fs.locations import s3_errors
from s3envelope.fs.reading import EnvelopedReader
from s3envelope.fs.writing import DEFAULT_PART_SIZE, CompressedWriter, EnvelopedWriter

_NOT_SATISFIABLE = 416
_MOST_REQUESTS = 8


class S3EnvelopeFileSystem(ChangingFileSystem):
    """`s3e://bucket/key`: what is written is sealed before it leaves, what is read is verified.

    It goes to another process without secrets, and connects there anew. S3 and its keys are found as by
    `s3envelope.client`: credentials and regions in the environment, files and roles of boto3.

    Args:
        version_aware: Whether `?versionId=...` at the end of a path names a version, and an open file stays with its
            version even when the object is overwritten.
        default_block_size: Bytes that are read ahead, and of a part of what is written; 5 MiB and 16 MiB by default.
        storage_options: What `s3envelope.client` takes, with `list_sizes="exact"` by default, and `cache` also as one
            of the words "disk", "memory" and "off"; `profile`; `region` for `region_name`; `config_kwargs`, fields of
            botocore's `Config`. Or `client` alone: an enveloped client, or a function that makes one in each process.
            Of fsspec: `use_listings_cache`, `listings_expiry_time`, `max_paths`, `skip_instance_cache`.

    Raises:
        ConfigurationError: An option is not known, or has no legal value; or there is no keyring.
    """

    def open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        cache_options: dict[str, Any] | None = None,
        compression: str | None = None,
        **kwargs: Any,
    ) -> Any:
        """Return a file of one version, or one that is there when it was closed; as every filesystem of fsspec."""
        arguments = {"block_size": block_size, "cache_options": cache_options, **kwargs}
        if compression is None or "b" not in mode or "r" in mode:
            return super().open(path, mode, compression=compression, **arguments)
        method = get_compression(self._strip_protocol(path), compression)
        file = super().open(path, mode, **arguments)
        return file if method is None else CompressedWriter(compr[method](file, mode="wb"), file)

    def _open(
        self,
        path: str,
        mode: str = "rb",
        block_size: int | None = None,
        autocommit: bool = True,
        cache_options: dict[str, Any] | None = None,
        **kwargs: Any,
    ) -> AbstractBufferedFile:
        """See `EnvelopedReader` and `EnvelopedWriter`."""
        if mode == "rb":
            return EnvelopedReader(self, path, block_size=block_size, cache_options=cache_options, **kwargs)
        if mode not in ("wb", "xb"):
            raise UnsupportedOperationError(
                f"mode {mode!r} is refused: a sealed object cannot be appended to. Instead, write another object, or "
                "read this one and write it whole"
            )
        # What readers and writers of fsspec are told alike.
        for name in ("cache_type", "size"):
            kwargs.pop(name, None)
        if mode == "xb" and self.exists(path, refresh=True):
            raise FileExistsError(path)
        size = block_size or self.write_block_size
        return EnvelopedWriter(self, path, mode, block_size=size, autocommit=autocommit, **kwargs)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> bytes:
        """Return the contents of an object, or a range of them; offsets below zero count from its end.

        Args:
            kwargs: What `get_object` of boto3 takes.
        """
        path = self._strip_protocol(path)
        return self._content(path, start, end, kwargs)[0]

    def _content(
        self, path: str, start: int | None, end: int | None, arguments: dict[str, Any]
    ) -> tuple[bytes, str | None]:
        """Return the contents and the ETag that they are of; no ETag where there is nothing to ask for."""
        if (end is not None and end < 0) or ((start or 0) < 0 and end is not None):
            # It takes the size to know what is meant, of the version that is then read.
            with s3_errors(path):
                head = self.client.head_object(**self.location(path).parameters(), **arguments)
            size = int(head["ContentLength"])
            start, end = slice(start, end).indices(size)[:2]
            arguments = {**arguments, "IfMatch": head["ETag"]}
        if end is not None and end <= (start or 0):
            self.info(path)
            return b"", None
        wanted = None
        if start or end is not None:
            is_suffix = start is not None and start < 0
            wanted = ByteRange.suffix(-(start or 0)) if is_suffix else ByteRange(start or 0, end and end - 1)
        if wanted is not None:
            arguments = {**arguments, "Range": wanted.header()}
        try:
            with s3_errors(path, etag=arguments.get("IfMatch")):
                answer = self.client.get_object(**self.location(path).parameters(), **arguments)
                with closing(answer["Body"]) as body:
                    return body.read(), answer["ETag"]
        except ClientError as error:
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") != _NOT_SATISFIABLE:
                raise
            return b"", None

    def cat_ranges(
        self,
        paths: Sequence[str],
        starts: Any,
        ends: Any,
        max_gap: int | None = None,
        on_error: str = "return",
        **kwargs: Any,
    ) -> list[Any]:
        """Return ranges of objects, several at once; those of one object are of one version.

        Args:
            paths, starts, ends: As many of each; one offset alone is for all.
            max_gap: Not used: only what is asked for is fetched.
            on_error: "return" gives errors of single ranges in their places, "raise" the first of them.
        """
        if not isinstance(paths, list):
            raise TypeError(f"paths is a {type(paths).__name__}; use a list")
        starts = list(starts) if isinstance(starts, list | tuple) else [starts] * len(paths)
        ends = list(ends) if isinstance(ends, list | tuple) else [ends] * len(paths)
        if not len(paths) == len(starts) == len(ends):
            raise ValueError(f"{len(paths)} paths, {len(starts)} starts and {len(ends)} ends; give as many of each")
        by_path: dict[str, list[int]] = {}
        for index, path in enumerate(paths):
            by_path.setdefault(self._strip_protocol(path), []).append(index)
        results: list[Any] = [None] * len(paths)

        def read(path: str, index: int, etag: str | None) -> str | None:
            condition = {} if etag is None else {"IfMatch": etag}
            try:
                results[index], seen = self._content(path, starts[index], ends[index], {**kwargs, **condition})
            except Exception as error:  # noqa: BLE001  # on_error says what becomes of it, whatever it is
                results[index], seen = error, None
            return etag or seen

        with ThreadPoolExecutor(_MOST_REQUESTS) as executor:
            # The first range of an object says which version the others must be of.
            firsts = {path: executor.submit(read, path, indices[0], None) for path, indices in by_path.items()}
            for path, indices in by_path.items():
                etag, rest = firsts[path].result(), indices[1:]
                while rest and etag is None:
                    etag, rest = read(path, rest[0], None), rest[1:]
                for index in rest:
                    executor.submit(read, path, index, etag)
        failed = [result for result in results if isinstance(result, Exception)]
        if failed and on_error != "return":
            raise failed[0]
        return results

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> None:
        """Write an object from bytes; with the mode "create" only if there is none, which S3 decides."""
        path = self._strip_protocol(path)
        is_new = mode == "create"
        if self._intrans or len(value) > DEFAULT_PART_SIZE:
            with self.open(path, "xb" if is_new else "wb", **kwargs) as file:
                file.write(value)
            return
        location = self.location(path)
        condition = {"IfNoneMatch": "*"} if is_new else {}
        with s3_errors(path, is_new=is_new):
            self.client.put_object(**location.parameters(), **condition, **kwargs, Body=value)
        self.invalidate_cache(path)

    def get_file(
        self, rpath: str, lpath: Any, callback: Any = DEFAULT_CALLBACK, outfile: Any = None, **kwargs: Any
    ) -> None:
        """Download an object, in parallel; a file has its name only when it is whole and verified."""
        path, target = self._strip_protocol(rpath), outfile if outfile is not None else lpath
        location = self.location(path)
        if not isfilelike(target) and self.isdir(path):
            os.makedirs(target, exist_ok=True)
            return
        extra = {**kwargs, **({} if location.version_id is None else {"VersionId": location.version_id})}
        arguments = {"ExtraArgs": extra or None, "Callback": callback.relative_update}
        with s3_errors(path):
            if isfilelike(target):
                self.client.download_fileobj(location.bucket, location.key, target, **arguments)
                return
            os.makedirs(os.path.dirname(os.path.abspath(target)), exist_ok=True)
            self.client.download_file(location.bucket, location.key, target, **arguments)

    def put_file(
        self, lpath: Any, rpath: str, callback: Any = DEFAULT_CALLBACK, mode: str = "overwrite", **kwargs: Any
    ) -> None:
        """Upload a file, in parallel, in bounded memory; with the mode "create" only if there is no object."""
        path = self._strip_protocol(rpath)
        if os.path.isdir(lpath):
            self.makedirs(path, exist_ok=True)
            return
        callback.set_size(os.path.getsize(lpath))
        with open(lpath, "rb") as source:
            if self._intrans or mode == "create":
                with self.open(path, "xb" if mode == "create" else "wb", **kwargs) as file:
                    while piece := source.read(1 << 20):
                        callback.relative_update(file.write(piece))
                return
            location = self.location(path)
            with s3_errors(path):
                self.client.upload_fileobj(
                    source,
                    location.bucket,
                    location.key,
                    ExtraArgs=kwargs or None,
                    Callback=callback.relative_update,
                )
        self.invalidate_cache(path)

    def sign(self, path: str, expiration: int = 100, **kwargs: Any) -> str:
        """Return a presigned URL; refused like that of the client, since whoever uses it gets ciphertext."""
        location = self.location(path)
        url: str = self.client.generate_presigned_url(
            "get_object", Params={**location.parameters(), **kwargs}, ExpiresIn=expiration
        )
        return url
