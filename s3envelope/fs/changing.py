"""The operations that change what is there without its contents: copies, deletions, buckets."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable
from typing import Any

from s3envelope.fs import listings
from s3envelope.fs.locations import MOST_DELETED, Location, missing, not_empty, s3_errors
from s3envelope.fs.looking import LookingFileSystem

_WITHOUT_CONSTRAINT = "us-east-1"


class ChangingFileSystem(LookingFileSystem):
    """Directories need not be made, and vanish with their last file. Buckets are made and removed by their own path."""

    def cp_file(self, path1: str, path2: str, **kwargs: Any) -> None:
        """Copy one object inside S3: its body is not read, the copy gets an envelope of its own.

        Args:
            path1, path2: From and to.
            kwargs: `ExtraArgs` of boto3's `copy`.
        """
        path1, path2 = self._strip_protocol(path1), self._strip_protocol(path2)
        source, target = self.location(path1), self.location(path2)
        if not source.key or not target.key:
            if self.isdir(path1):
                return
            raise missing(path1)
        try:
            with s3_errors(path1):
                self.client.copy(
                    source.parameters(),
                    target.bucket,
                    target.key,
                    ExtraArgs=kwargs or None,
                )
        except FileNotFoundError:
            # A directory is there as soon as something is copied into it.
            if self.isdir(path1):
                return
            raise
        self.invalidate_cache(path2)

    def rm_file(self, path: str) -> None:
        """Delete one object, or one version of it; what is not there is no error."""
        location = self.location(path)
        with s3_errors(path):
            self.client.delete_object(**location.parameters())
        self.invalidate_cache(path)

    def rm(self, path: str | list[str], recursive: bool = False, maxdepth: int | None = None) -> None:
        """Delete objects, a thousand by one request; with `recursive` all below a path, and a bucket itself.

        Raises:
            FileNotFoundError: Nothing is there.
            IsADirectoryError: It is a directory, and `recursive` is not given.
            OSError: S3 did not delete some of them; its reason is in the text.
        """
        if recursive and maxdepth is not None:
            found = self.expand_path(path, recursive=True, maxdepth=maxdepth, sizes=False)
            self._delete(self.location(name) for name in found if self.isfile(name))
            return
        for name in self.expand_path(path, sizes=False):
            location = self.location(name)
            if recursive and location.version_id is None:
                self._remove_tree(name, location)
                continue
            if self.info(name, refresh=True)["type"] == "directory":
                raise IsADirectoryError(errno.EISDIR, f"{os.strerror(errno.EISDIR)}; use recursive=True", name)
            self._delete([location])

    def _remove_tree(self, path: str, location: Location) -> None:
        self.info(path, refresh=True)
        below = [Location(location.bucket, key) for key in listings.keys_below(self.client, location)]
        # The name itself may be an object too.
        own = [location] if location.key and self._is_object(location) else []
        self._delete([*below, *own])
        if not location.key:
            self.rmdir(path)
        self.invalidate_cache(path)

    def _is_object(self, location: Location) -> bool:
        return bool(self._asked(f"{location.bucket}/{location.key}")["type"] == "file") if location.key else False

    def _delete(self, locations: Iterable[Location]) -> None:
        by_bucket: dict[str, list[Location]] = {}
        for location in locations:
            by_bucket.setdefault(location.bucket, []).append(location)
        for bucket, found in by_bucket.items():
            for start in range(0, len(found), MOST_DELETED):
                self._delete_some(bucket, found[start : start + MOST_DELETED])
            for location in found:
                self.invalidate_cache(f"{bucket}/{location.key}")

    def _delete_some(self, bucket: str, found: list[Location]) -> None:
        names: list[Any] = [
            {name: value for name, value in location.parameters().items() if name != "Bucket"} for location in found
        ]
        with s3_errors(bucket):
            answer = self.client.delete_objects(Bucket=bucket, Delete={"Objects": names, "Quiet": True})
        failed = answer.get("Errors", [])
        if failed:
            told = ", ".join(f"{one.get('Key')}: {one.get('Code')}" for one in failed[:3])
            raise OSError(errno.EIO, f"{len(failed)} of {len(found)} objects were not deleted ({told})", bucket)

    def touch(self, path: str, truncate: bool = True, **kwargs: Any) -> None:
        """Make an empty object.

        Raises:
            NotImplementedError: It is there, and `truncate` is false: S3 keeps no other time than that of writing.
        """
        if not truncate and self.exists(path, refresh=True):
            raise NotImplementedError(f"{path} is there, and S3 does not change the time of an object; write it again")
        location = self.location(path)
        with s3_errors(path):
            self.client.put_object(**location.parameters(), Body=b"", **kwargs)
        self.invalidate_cache(path)

    def mkdir(self, path: str, create_parents: bool = True, **kwargs: Any) -> None:
        """Make a bucket, with arguments of boto3's `create_bucket`; below a bucket there is nothing to make."""
        location = self.location(path)
        if location.key or not location.bucket:
            return
        region = self.client.meta.region_name
        if region != _WITHOUT_CONSTRAINT:
            kwargs.setdefault("CreateBucketConfiguration", {"LocationConstraint": region})
        with s3_errors(path):
            self.client.create_bucket(Bucket=location.bucket, **kwargs)
        self.invalidate_cache("")

    def makedirs(self, path: str, exist_ok: bool = False) -> None:
        """Make a bucket; below a bucket there is nothing to make."""
        location = self.location(path)
        if location.key or not location.bucket:
            return
        if self.exists(path, refresh=True):
            if exist_ok:
                return
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        self.mkdir(path)

    def rmdir(self, path: str) -> None:
        """Remove an empty bucket, or the marker of an empty directory.

        Raises:
            OSError: There is something in it.
        """
        path = self._strip_protocol(path)
        location = self.location(path)
        if not location.key:
            # Some storages delete a bucket together with what is in it.
            if self._has_contents(path, location):
                raise not_empty(path)
            with s3_errors(path):
                self.client.delete_bucket(Bucket=location.bucket)
            self.invalidate_cache(path)
            return
        below = [key for key, _ in zip(listings.keys_below(self.client, location), range(2), strict=False)]
        if any(key != location.prefix for key in below):
            raise not_empty(path)
        if below:
            self._delete([Location(location.bucket, location.prefix)])
        self.invalidate_cache(path)
