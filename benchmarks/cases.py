"""The calls whose speed is compared. Each is made by both clients, with the same bytes, in turns."""

from __future__ import annotations

import filecmp
import random
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.clients import BUCKET, MIB, transfer_config

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_KIB = 1 << 10
_RANGE_SIZE = 64 * _KIB
_PIECE_SIZE = MIB


@dataclass(frozen=True, slots=True)
class Scale:
    """How large the objects are, and how often small calls are repeated to be measurable.

    Args:
        medium, large, file: Bytes of the objects.
        small_calls, medium_calls, range_calls: Calls per measurement.
    """

    medium: int
    large: int
    file: int
    small_calls: int
    medium_calls: int
    range_calls: int


FULL = Scale(MIB, 64 * MIB, 256 * MIB, small_calls=50, medium_calls=20, range_calls=30)
QUICK = Scale(MIB, 4 * MIB, 9 * MIB, small_calls=3, medium_calls=1, range_calls=3)


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of call.

    Args:
        size: Plaintext bytes that one call moves.
        count: Calls per measurement.
        run: Makes one call for the client that owns the objects of a name; the number is that of the call.
        shows_rate: Whether the figure is MB/s; else it is milliseconds.
    """

    name: str
    size: int
    count: int
    run: Callable[[S3Client, str, int], None]
    shows_rate: bool = True


class Workload:
    """The bytes and files of one run, and the cases over them.

    Args:
        scale: Sizes and counts.
        folder: For the source file and the downloads.
    """

    def __init__(self, scale: Scale, folder: Path) -> None:
        self._scale = scale
        self._folder = folder
        self._source = folder / "source"
        chosen = random.Random(0)
        self._bytes = chosen.randbytes(scale.large)
        with self._source.open("wb") as file:
            for start in range(0, scale.file, scale.large):
                file.write(self._bytes[: scale.file - start])
        # Whatever is added to the byte range, it stays within the object, and most ranges begin inside a segment.
        self._offsets = [chosen.randrange(scale.file - _RANGE_SIZE) for _ in range(scale.range_calls)]

    @property
    def plaintext(self) -> bytes:
        """As long as the large object."""
        return self._bytes

    def cases(self) -> list[Case]:
        """Return the cases in an order in which every object exists before it is read."""
        scale = self._scale
        sizes = (
            (_KIB, scale.small_calls, False),
            (scale.medium, scale.medium_calls, True),
            (scale.large, 1, True),
        )
        cases = [self._put(*row) for row in sizes] + [self._get(*row) for row in sizes]
        label = f"{scale.large // MIB} MiB"
        cases.append(Case(f"get_object {label}, iter_chunks", scale.large, 1, self._iterate))
        label = f"{scale.file // MIB} MiB"
        cases.append(Case(f"upload_file {label}", scale.file, 1, self._upload))
        cases.append(Case(f"download_file {label}", scale.file, 1, self._download))
        cases.append(Case(f"get_object 64 KiB of {label}", _RANGE_SIZE, scale.range_calls, self._range, False))
        return cases

    def check(self, client: S3Client, owner: str) -> None:
        """Raise `AssertionError` unless the objects are what was written, as this client reads them."""
        size = self._scale.large
        if client.get_object(Bucket=BUCKET, Key=_key(owner, size))["Body"].read() != self._bytes:
            raise AssertionError(f"{owner} read other bytes than it wrote")
        if not filecmp.cmp(self._source, self._target(owner), shallow=False):
            raise AssertionError(f"{owner} downloaded other bytes than it uploaded")

    def _put(self, size: int, count: int, shows_rate: bool) -> Case:
        body = self._bytes[:size]

        def run(client: S3Client, owner: str, _: int) -> None:
            client.put_object(Bucket=BUCKET, Key=_key(owner, size), Body=body)

        return Case(f"put_object {_label(size)}", size, count, run, shows_rate)

    def _get(self, size: int, count: int, shows_rate: bool) -> Case:
        def run(client: S3Client, owner: str, _: int) -> None:
            found = len(client.get_object(Bucket=BUCKET, Key=_key(owner, size))["Body"].read())
            _check_size(found, size)

        return Case(f"get_object {_label(size)}, read", size, count, run, shows_rate)

    def _iterate(self, client: S3Client, owner: str, _: int) -> None:
        size = self._scale.large
        body = client.get_object(Bucket=BUCKET, Key=_key(owner, size))["Body"]
        _check_size(sum(map(len, body.iter_chunks(_PIECE_SIZE))), size)

    def _upload(self, client: S3Client, owner: str, _: int) -> None:
        client.upload_file(str(self._source), BUCKET, f"{owner}/file", Config=transfer_config())

    def _download(self, client: S3Client, owner: str, _: int) -> None:
        client.download_file(BUCKET, f"{owner}/file", str(self._target(owner)), Config=transfer_config())

    def _range(self, client: S3Client, owner: str, number: int) -> None:
        start = self._offsets[number % len(self._offsets)]
        wanted = f"bytes={start}-{start + _RANGE_SIZE - 1}"
        answer = client.get_object(Bucket=BUCKET, Key=f"{owner}/file", Range=wanted)
        _check_size(len(answer["Body"].read()), _RANGE_SIZE)

    def _target(self, owner: str) -> Path:
        return self._folder / f"{owner}.down"


def _key(owner: str, size: int) -> str:
    return f"{owner}/{size}"


def _label(size: int) -> str:
    return f"{size // MIB} MiB" if size >= MIB else f"{size // _KIB} KiB"


def _check_size(found: int, wanted: int) -> None:
    if found != wanted:
        raise AssertionError(f"{found} bytes came back, not {wanted}")
