"""What there is to transfer: the files of a folder, the objects of a prefix, in plaintext terms."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from botocore.exceptions import ClientError

from s3envelope.cli.locations import S3Location
from s3envelope.errors import EnvelopeError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

Place = Path | S3Location
_SEPARATORS = tuple(separator for separator in (os.sep, os.altsep) if separator)


@dataclass(frozen=True, slots=True)
class Item:
    """A file or an object.

    Args:
        name: Its path below the root, with slashes.
        place: The file or the object.
        size: Of the plaintext, in bytes.
        seconds: When it was last modified, in whole seconds: S3 knows no more.
        is_exact: Whether the size is; else it is computed from the stored size, of which an index may be a part.
        is_multipart: Whether it looks as if it had come in parts, so that an index is likely.
    """

    name: str
    place: Place
    size: int
    seconds: int
    is_exact: bool = True
    is_multipart: bool = False


@dataclass(frozen=True, slots=True)
class Problem:
    """Something below the root that cannot be transferred.

    Args:
        is_failure: Whether it should have been.
    """

    place: Place
    reason: str
    is_failure: bool


@dataclass(frozen=True, slots=True)
class Folder:
    """The files below a local folder."""

    root: Path

    def items(self) -> Iterator[Item | Problem]:
        """Yield every file, also behind symbolic links, in the order of their names; and what is none."""
        yield from _walk(self.root, "", ())

    def place(self, name: str) -> Path:
        """Return the file of a name.

        Raises:
            ValueError: It would not be below the folder.
        """
        # INVARIANT: a key is chosen by whoever writes to the bucket; it must not name a file outside the folder.
        for part in name.split("/"):
            if (
                part in ("", os.curdir, os.pardir)
                or "\0" in part
                or any(separator in part for separator in _SEPARATORS)
                or os.path.splitdrive(part)[0]
            ):
                raise ValueError("the key does not name a file below the folder")
        return self.root.joinpath(*name.split("/"))


@dataclass(frozen=True, slots=True)
class Prefix:
    """The objects whose keys begin with a prefix.

    Args:
        client: An enveloped one.
        root: Its key is empty or ends in a slash.
    """

    client: S3Client
    root: S3Location

    def items(self) -> Iterator[Item | Problem]:
        """Yield every object, in the order of their keys; not the markers of folders, which are empty."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.root.bucket, Prefix=self.root.key)
        for page in pages:
            for entry in page.get("Contents", []):
                key = entry["Key"]
                if key.endswith("/"):
                    continue
                yield Item(
                    key[len(self.root.key) :],
                    S3Location(self.root.bucket, key),
                    entry["Size"],
                    int(entry["LastModified"].timestamp()),
                    is_exact=False,
                    is_multipart="-" in entry.get("ETag", "-"),
                )

    def place(self, name: str) -> S3Location:
        """Return the object of a name."""
        return S3Location(self.root.bucket, self.root.key + name)


Tree = Folder | Prefix


def _walk(folder: Path, below: str, links: tuple[tuple[int, int], ...]) -> Iterator[Item | Problem]:
    """Yield what is in a folder; `links` are the folders above, since a link may lead back to one."""
    try:
        status = folder.stat()
        entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
    except OSError as error:
        yield Problem(folder, str(error.strerror), is_failure=True)
        return
    here = (status.st_dev, status.st_ino)
    if here in links:
        yield Problem(folder, "a symbolic link to a folder above it", is_failure=False)
        return
    for entry in entries:
        path, name = folder / entry.name, below + entry.name
        try:
            status = path.stat()
        except OSError as error:
            yield Problem(path, str(error.strerror), is_failure=not path.is_symlink())
            continue
        if stat.S_ISDIR(status.st_mode):
            yield from _walk(path, f"{name}/", (*links, here))
        elif stat.S_ISREG(status.st_mode):
            yield Item(name, path, status.st_size, int(status.st_mtime))
        else:
            yield Problem(path, "neither a file nor a folder", is_failure=False)


def file_item(path: Path) -> Item:
    """Return one file.

    Raises:
        OSError: It cannot be looked at.
    """
    status = path.stat()
    return Item(path.name, path, status.st_size, int(status.st_mtime))


def object_item(client: S3Client, place: S3Location) -> Item:
    """Return one object, with its exact size.

    Raises:
        ClientError, S3EnvelopeError: It does not exist, or is not enveloped.
    """
    answer = client.head_object(Bucket=place.bucket, Key=place.key)
    name = place.key.rpartition("/")[2]
    return Item(name, place, answer["ContentLength"], int(answer["LastModified"].timestamp()))


def exact_size(client: S3Client, item: Item) -> int | None:
    """Return the plaintext size of an item; `None` if it is not an enveloped object that exists."""
    if item.is_exact or isinstance(item.place, Path):
        return item.size
    try:
        return object_item(client, item.place).size
    except (EnvelopeError, ClientError):
        return None


def have_one_size(client: S3Client, one: Item, other: Item) -> bool:
    """Tell whether two items have the same plaintext size; S3 is asked where the listed sizes do not tell."""
    # A copy of an object with an index can look like one of a single request: sizes that differ are looked at too.
    if not one.is_multipart and not other.is_multipart and one.size == other.size:
        return True
    size = exact_size(client, one)
    return size is not None and size == exact_size(client, other)
