"""How often each byte of an object is handled, and in how many calls: counted, not estimated.

    python -m benchmarks.passes [--size 64]

The functions that touch bodies are wrapped while plain boto3 and s3envelope make the same call. Copies are those of
`AwsChunkedWrapper`, which botocore sends a body through over https: what is left of a chunk is copied at every cut.
SHA-256 is not seen where awscrt signs; what is written to a file is not counted, nor what is received.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, cast
from unittest import mock

import botocore.auth
from botocore import httpchecksum
from botocore.httpchecksum import AwsChunkedWrapper
from s3transfer.utils import ReadFileChunk

from benchmarks.clients import BUCKET, KINDS, MIB, Place, make_client
from benchmarks.surroundings import isolate, memory_sink, working_folder
from s3envelope.core.segments import SegmentOpener, SegmentSealer
from s3envelope.testing.local_kms import LocalKms

_COLUMNS = ("CRC32", "SHA-256", "file", "AES", "copies", "sent")
_CALLS = ("put_object", "upload_file", "get_object", "download_file")


class Counts:
    """Bytes and calls by what was done with them."""

    def __init__(self) -> None:
        self.sizes: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()

    def add(self, what: str, size: int) -> None:
        self.sizes[what] += size
        self.calls[what] += 1

    def cell(self, what: str, size: int) -> str:
        """Return passes over a body of `size` bytes, and calls per GiB."""
        if self.sizes[what] < size // 100:
            return ""
        return f"{self.sizes[what] / size:.2f} ({self.calls[what] * (1024 * MIB) // size})"


def _wrapped(owner: Any, name: str, count: Callable[..., None]) -> Any:
    original = getattr(owner, name)

    def wrapper(*arguments: Any, **options: Any) -> Any:
        result = original(*arguments, **options)
        count(result, *arguments)
        return result

    return mock.patch.object(owner, name, wrapper)


@contextmanager
def counting() -> Iterator[Counts]:
    """Count what is done with bodies in this process."""
    counts = Counts()

    class Sha256:
        def __init__(self, content: bytes = b"") -> None:
            self._inner = hashlib.sha256(content)

        def update(self, content: bytes) -> None:
            counts.add("SHA-256", len(content))
            self._inner.update(content)

        def __getattr__(self, name: str) -> Any:
            return getattr(self._inner, name)

    def cut(self: Any, size: int | None = None, *, read: Any = AwsChunkedWrapper.read) -> bytes:
        before = len(self._remaining)
        taken: bytes = read(self, size)
        after = len(self._remaining)
        # A slice of all of it, and a sum with nothing, are no copies.
        made = len(taken) + after - before
        counts.add("copies", (made + before if before and made else 0) + (len(taken) + after if after else 0))
        return taken

    def frame(result: bytes, *_: Any) -> None:
        counts.add("copies", len(result))

    def send(_: Any, __: Any, content: Any) -> None:
        counts.add("sent", len(content) if isinstance(content, bytes) else 0)

    crc32 = cast("Any", httpchecksum)._CHECKSUM_CLS["crc32"]
    wrappers = [
        mock.patch.object(botocore.auth, "sha256", Sha256),
        mock.patch.object(AwsChunkedWrapper, "read", cut),
        _wrapped(AwsChunkedWrapper, "_make_chunk", frame),
        _wrapped(crc32, "update", lambda _, __, content: counts.add("CRC32", len(content))),
        _wrapped(ReadFileChunk, "read", lambda result, *_: counts.add("file", len(result))),
        _wrapped(SegmentSealer, "seal_into", lambda _, __, ___, ____, text, *_____: counts.add("AES", len(text))),
        _wrapped(SegmentOpener, "open_into", lambda _, __, ___, ____, _____, out: counts.add("AES", len(out))),
        _wrapped(http.client.HTTPConnection, "send", send),
    ]
    with ExitStack() as stack:
        for wrapper in wrappers:
            stack.enter_context(wrapper)
        yield counts


def _count(kind: str, call: str, place: Place, file: Path, size: int) -> Counts:
    client = make_client(kind, place)
    content = file.read_bytes()
    try:
        # Connections, data keys and the object are there already when it counts.
        client.put_object(Bucket=BUCKET, Key=kind, Body=content)
        with counting() as counts:
            match call:
                case "put_object":
                    client.put_object(Bucket=BUCKET, Key=kind, Body=content)
                case "upload_file":
                    client.upload_file(str(file), BUCKET, kind)
                case "get_object":
                    client.get_object(Bucket=BUCKET, Key=kind)["Body"].read()
                case _:
                    client.download_file(BUCKET, kind, f"{file}.read")
        return counts
    finally:
        client.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Count and print."""
    parser = argparse.ArgumentParser(prog="benchmarks.passes", description="How often each byte is handled.")
    parser.add_argument("--size", type=int, default=64, metavar="MIB", help="of the object (default: 64)")
    size = parser.parse_args(arguments).size * MIB
    isolate(os.environ)
    print("| call | | " + " | ".join(_COLUMNS) + " |")
    print("|---|---|" + "---:|" * len(_COLUMNS))
    with working_folder(size) as folder, LocalKms() as kms:
        file = folder / "body"
        file.write_bytes(os.urandom(size))
        for https in (False, True):
            with memory_sink(folder, https=https) as (url, ca_file):
                place = Place(url, kms.endpoint_url, kms.create_key(), ca_file)
                for call in _CALLS:
                    for kind in KINDS:
                        counts = _count(kind, call, place, file, size)
                        cells = [counts.cell(what, size) for what in _COLUMNS]
                        print(f"| `{call}`, {kind} | {'https' if https else 'http'} | {' | '.join(cells)} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
