"""What the tests of transfers share: a bucket behind a proxy, gates in the proxy, and a look at what is left."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from boto3.s3.transfer import TransferConfig

from s3envelope.testing import S3Proxy
from s3envelope.testing.s3_proxy import Latency, Matcher, RecordedRequest
from tests.support.endpoints import Endpoint
from tests.support.enveloped import MIB
from tests.support.uploading import read

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

LARGE = 17 * MIB
SMALL = 300_000
_HELD_SECONDS = 20


def part(number: int) -> Matcher:
    """Match the upload of a part."""
    return lambda request: request.method == "PUT" and f"partNumber={number}" in request.query.split("&")


FIRST_PART, SECOND_PART = part(1), part(2)


def parts_of_5_mib(**fields: object) -> TransferConfig:
    """Return a configuration that makes four parts of `LARGE`."""
    config = TransferConfig(multipart_chunksize=5 * MIB, max_concurrency=3, num_download_attempts=2)
    for name, value in fields.items():
        setattr(config, name, value)
    return config


@dataclass(frozen=True, slots=True)
class Transferring:
    """A bucket behind a proxy.

    Args:
        client, plain: An enveloped and a plain client, both through the proxy.
        retrying: An enveloped client that tries three times.
        direct: A plain client of the storage itself.
        states: Where the enveloped client keeps the states of unfinished uploads.
    """

    endpoint: Endpoint
    proxy: S3Proxy
    bucket: str
    client: S3Client
    retrying: S3Client
    plain: S3Client
    direct: S3Client
    states: Path

    def read(self, key: str = "k") -> bytes:
        """Return the plaintext of an object."""
        return read(self.client, self.bucket, key)

    def object_names(self) -> list[str]:
        """Return the objects of the bucket."""
        return [entry["Key"] for entry in self.direct.list_objects_v2(Bucket=self.bucket).get("Contents", [])]

    def uploads(self) -> list[str]:
        """Return the keys of the unfinished multipart uploads on the server."""
        answer = self.direct.list_multipart_uploads(Bucket=self.bucket)
        return [upload["Key"] for upload in answer.get("Uploads", [])]

    def state_folders(self) -> list[str]:
        """Return the names of the stored upload states."""
        return [path.name for path in self.states.glob("*") if path.name != "lock"]

    def assert_nothing_is_left(self, *keys: str) -> None:
        """See that there are these objects, and nothing unfinished, on the server and here."""
        assert self.uploads() == []
        assert self.object_names() == sorted(keys)
        assert self.state_folders() == []

    @contextmanager
    def held(self, matcher: Matcher, *, seconds: float = _HELD_SECONDS) -> Iterator[Gate]:
        """Hold the first matching request in the proxy until the gate is opened, at the latest at the end."""
        gate = Gate(matcher, seconds)
        self.proxy.inject(Latency(0), gate.matches, times=None)
        try:
            yield gate
        finally:
            gate.open()


class Gate:
    """Holds one request."""

    def __init__(self, matcher: Matcher, seconds: float) -> None:
        self._matcher, self._seconds = matcher, seconds
        self._reached, self._opened = threading.Event(), threading.Event()

    def matches(self, request: RecordedRequest) -> bool:
        """Wait, for the first request that matches; suffer nothing else."""
        if self._matcher(request) and not self._reached.is_set():
            self._reached.set()
            self._opened.wait(self._seconds)
        return False

    def wait(self) -> None:
        """Return when a request is held."""
        assert self._reached.wait(self._seconds), "no request came"

    def open(self) -> None:
        """Let the request pass on."""
        self._opened.set()


def when_reached(gate: Gate, do: Callable[[], object]) -> threading.Thread:
    """Do something in a thread of its own while a request is held, then let the request pass on."""

    def act() -> None:
        gate.wait()
        try:
            do()
        finally:
            gate.open()

    thread = threading.Thread(target=act)
    thread.start()
    return thread


def busy_threads() -> set[str]:
    """Return the threads of this process but for those of servers, which serve as long as a client is connected."""
    return {thread.name for thread in threading.enumerate() if not thread.name.startswith(("s3-proxy", "LocalKms"))}


def unnamed_files() -> list[str]:
    """Return the open files that have no name any more; places for ciphertext are such."""
    found = []
    for descriptor in os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []:
        with suppress(OSError):
            target = os.readlink(f"/proc/self/fd/{descriptor}")
            # Those of shared memory and of memfd are not files.
            if target.endswith("(deleted)") and not target.startswith(("/memfd", "/dev/shm")):  # noqa: S108
                found.append(target)
    return sorted(found)
