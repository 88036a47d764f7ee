"""The operations that look: ls, info, find, glob, exists, sizes, versions."""

from __future__ import annotations

import datetime
import hashlib
from typing import Any

from botocore.exceptions import ClientError

from s3envelope.fs import listings
from s3envelope.fs.base import ConnectedFileSystem
from s3envelope.fs.listings import Entry, directory, entry_of_head
from s3envelope.fs.locations import Location, missing, s3_errors

_NOT_FOUND = 404


class LookingFileSystem(ConnectedFileSystem):
    """Sizes are those of the plaintext, exact by default.

    An object whose key ends with a slash marks a directory; without a marker a directory is there as long as something
    lies in it.
    """

    def ls(
        self, path: str, detail: bool = True, refresh: bool = False, sizes: bool | None = None, **_: object
    ) -> list[Any]:
        """Return what lies in a directory or bucket, the buckets, or the one file of that name.

        Args:
            path: Empty for the buckets.
            detail: Whether entries are returned, and not names.
            refresh: Whether S3 is asked although the listing is known.
            sizes: Whether entries have sizes, which may cost a HEAD for each; by default as `detail` says.
        """
        path = self._strip_protocol(path)
        with_sizes = detail if sizes is None else sizes
        found = None if refresh else self._known(path)
        if found is None:
            found = self._listed(path, with_sizes=with_sizes)
        return list(found) if detail else sorted(entry["name"] for entry in found)

    def _known(self, path: str) -> list[Entry] | None:
        try:
            known: list[Entry] = self.dircache[path]
        except KeyError:
            return None
        return known

    def _listed(self, path: str, *, with_sizes: bool) -> list[Entry]:
        if not path:
            found = listings.buckets(self.client)
        else:
            location = self.location(path)
            seen = {
                entry["name"]: entry
                for entry in listings.entries_below(self._connection, location, deep=False, with_sizes=with_sizes)
            }
            found = list(seen.values())
            if not found:
                entry = self._asked(path)
                if entry["type"] == "file":
                    return [entry]
        if with_sizes:
            self.dircache[path] = found
        return found

    def info(self, path: str, refresh: bool = False, **_: object) -> Entry:
        """Return the entry of a file, directory or bucket; the size is exact.

        Raises:
            FileNotFoundError: Nothing is there.
        """
        path = self._strip_protocol(path)
        known = None if refresh or not path else self._known(self._parent(path))
        for entry in known or ():
            if entry["name"] == path and (entry["type"] == "directory" or self._connection.sizes_are_exact):
                return dict(entry)
        return self._asked(path)

    def _asked(self, path: str) -> Entry:
        location = self.location(path)
        if not location.bucket:
            return directory("")
        if not location.key:
            with s3_errors(path):
                self.client.head_bucket(Bucket=location.bucket)
            return directory(path)
        try:
            return entry_of_head(path, self.client.head_object(**location.parameters()))
        except ClientError as error:
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") != _NOT_FOUND:
                with s3_errors(path):
                    raise
        if location.version_id is None and self._has_contents(path, location):
            return directory(path)
        raise missing(path)

    def _has_contents(self, path: str, location: Location) -> bool:
        with s3_errors(path):
            answer = self.client.list_objects_v2(Bucket=location.bucket, Prefix=location.prefix, MaxKeys=1)
        return bool(answer.get("Contents"))

    def exists(self, path: str, **kwargs: Any) -> bool:
        """Tell whether something is there; a refusal of S3 is raised, and not taken for a no."""
        try:
            self.info(path, **kwargs)
        except FileNotFoundError:
            return False
        return True

    def isfile(self, path: str) -> bool:
        """Tell whether an object is there."""
        try:
            return bool(self.info(path)["type"] == "file")
        except FileNotFoundError:
            return False

    def isdir(self, path: str) -> bool:
        """Tell whether a directory or bucket is there."""
        try:
            return bool(self.info(path)["type"] == "directory")
        except FileNotFoundError:
            return False

    def find(
        self,
        path: str,
        maxdepth: int | None = None,
        withdirs: bool = False,
        detail: bool = False,
        sizes: bool | None = None,
        **kwargs: Any,
    ) -> Any:
        """Return all files below a path: sorted names, or a dictionary of entries; see `ls` for `sizes`."""
        path = self._strip_protocol(path)
        with_sizes = detail if sizes is None else sizes
        location = self.location(path)
        if maxdepth is not None or not location.bucket:
            return super().find(path, maxdepth, withdirs, detail, sizes=with_sizes, **kwargs)
        found = {}
        for entry in listings.entries_below(self._connection, location, deep=True, with_sizes=with_sizes):
            if entry["type"] == "file":
                found[entry["name"]] = entry
            if withdirs:
                for name in self._directories_between(path, entry):
                    found.setdefault(name, directory(name))
        if found and withdirs:
            found.setdefault(path, directory(path))
        if not found:
            try:
                itself = self._asked(path)
            except FileNotFoundError:
                itself = None
            if itself is not None and (itself["type"] == "file" or withdirs):
                found[path] = itself
        return {name: found[name] for name in sorted(found)} if detail else sorted(found)

    def _directories_between(self, top: str, entry: Entry) -> list[str]:
        name = entry["name"] if entry["type"] == "directory" else self._parent(entry["name"])
        between = []
        while len(name) > len(top):
            between.append(name)
            name = self._parent(name)
        return between

    def glob(self, path: str, maxdepth: int | None = None, **kwargs: Any) -> Any:
        """Return what matches a pattern; sizes are asked for only with `detail=True`."""
        kwargs.setdefault("sizes", bool(kwargs.get("detail", False)))
        return super().glob(path, maxdepth, **kwargs)

    def du(
        self, path: str, total: bool = True, maxdepth: int | None = None, withdirs: bool = False, **kwargs: Any
    ) -> Any:
        """Return the plaintext bytes below a path, or of each file there."""
        found = self.find(path, maxdepth=maxdepth, withdirs=withdirs, detail=True, **kwargs)
        sizes = {name: entry.get("size") or 0 for name, entry in found.items()}
        return sum(sizes.values()) if total else sizes

    def modified(self, path: str) -> datetime.datetime:
        """Return when the object was written."""
        entry = self.info(path, refresh=True)
        if "LastModified" not in entry:
            raise IsADirectoryError(f"{path} is a directory, which has no time")
        found: datetime.datetime = entry["LastModified"]
        return found

    def created(self, path: str) -> datetime.datetime:
        """Return when the object was written: S3 replaces objects, and knows no other time."""
        return self.modified(path)

    def ukey(self, path: str) -> str:
        """Return what changes when the object does; S3 is asked."""
        entry = self.info(path, refresh=True)
        told = "\0".join(str(entry.get(field)) for field in ("name", "size", "type", "ETag", "VersionId"))
        return hashlib.sha256(told.encode()).hexdigest()

    def checksum(self, path: str) -> int:
        """Return `ukey` as a number: it is made of the ciphertext's ETag, and two copies of one file differ."""
        return int(self.ukey(path), 16)

    def object_version_info(self, path: str) -> list[Entry]:
        """Return every version of an object, the newest first; delete markers are none."""
        path = self._strip_protocol(path)
        return listings.versions(self._connection, path, self.location(path))
