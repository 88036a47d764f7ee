"""A soak: many threads write and read the same keys through faults, and a model knows what each may hold."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3

from s3envelope import KmsKeyring
from tests.soak.contents import Contents
from tests.soak.findings import Findings, Skip
from tests.soak.measure import Footprint, RememberedUploads, footprint, rss_mib
from tests.soak.model import Model
from tests.soak.reads import Reads
from tests.soak.report import Report
from tests.soak.scene import Scene
from tests.soak.writes import Writes
from tests.support.endpoints import Endpoint
from tests.support.enveloped import enveloped_client

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_SAMPLE_SECONDS = 2.0
_CONNECTION_COUNT = 24


@dataclass(frozen=True, slots=True)
class Plan:
    """How long and how hard.

    Args:
        warm_up_seconds: Before what the process holds is measured for the first time under load.
        seconds: After that.
    """

    warm_up_seconds: float
    seconds: float
    thread_count: int
    key_count: int
    seed: int


class SurroundingProcess:
    """The proxy and the KMS; see `tests.soak.surroundings`."""

    def __init__(self, storage: Endpoint, seed: int) -> None:
        command = [sys.executable, "-m", "tests.soak.surroundings", storage.url, str(seed)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.started = self._read()

    def ask(self, command: str) -> dict[str, Any]:
        """Tell a command, and return the counts."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{command}\n")
        self._process.stdin.flush()
        return self._read()

    def close(self) -> None:
        """End it."""
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer


class Soak:
    """One soak of a storage.

    Args:
        folder: For files and upload states.
        tell: Takes a line about how far it is.
    """

    def __init__(self, storage: Endpoint, plan: Plan, folder: Path, tell: Callable[[str], None]) -> None:
        self._storage, self._plan, self._folder, self._tell = storage, plan, folder, tell
        self._findings = Findings()
        self._model, self._contents = Model(plan.key_count), Contents(plan.seed)
        self._bucket = f"soak-{plan.seed}-{random.SystemRandom().randrange(1 << 32)}"
        self._rss: list[float] = []

    def run(self) -> Report:
        """Run it to the end."""
        plain = self._storage.client()
        plain.create_bucket(Bucket=self._bucket)
        surroundings = SurroundingProcess(self._storage, self._plan.seed)
        try:
            return self._run(plain, surroundings)
        finally:
            surroundings.close()
            plain.close()

    def _run(self, plain: S3Client, surroundings: SurroundingProcess) -> Report:
        before = footprint()
        with self._clients(surroundings.started) as clients:
            self._work(clients, self._plan.thread_count, 1.0)
            start = footprint()
            surroundings.ask("stormy")
            self._work(clients, self._plan.warm_up_seconds, self._plan.warm_up_seconds)
            warm = footprint()
            self._rss.clear()
            self._work(clients, self._plan.seconds, self._plan.seconds)
            end = footprint()
            remembered = RememberedUploads.of(clients)
            counts = surroundings.ask("calm")
        closed = footprint()
        self._tell("reading every key")
        with self._clients(surroundings.started) as readers:
            self._verify(readers[0])
        footprints: dict[str, Footprint] = {
            "before the clients": before,
            "at the start": start,
            "after the warm-up": warm,
            "at the end": end,
            "after the clients": closed,
        }
        answer = plain.get_paginator("list_multipart_uploads").paginate(Bucket=self._bucket)
        orphans = {upload["UploadId"] for page in answer for upload in page.get("Uploads", [])}
        accounted = {*counts["failed_aborts"], *counts["lost_answers"]}
        return Report(
            plan=self._plan,
            findings=self._findings,
            faults=counts["faults"],
            request_count=counts["requests"],
            footprints=footprints,
            rss_samples=self._rss,
            orphans=sorted(orphans - accounted),
            accounted_orphans=sorted(orphans & accounted),
            unaborted_count=len(accounted),
            remembered=remembered,
            left_states=sum(path.is_dir() for path in (self._folder / "states").glob("*")),
        )

    @contextmanager
    def _clients(self, started: dict[str, Any]) -> Iterator[list[S3Client]]:
        """Make two clients with caches of their own, as two processes would have."""
        endpoint = self._storage.behind(started["url"])
        with ExitStack() as stack:
            clients = []
            for _ in range(2):
                kms = boto3.session.Session().client(
                    "kms",
                    endpoint_url=started["kms_url"],
                    region_name="us-east-1",
                    aws_access_key_id="test",
                    aws_secret_access_key="test",
                )
                stack.callback(kms.close)
                client = enveloped_client(
                    endpoint,
                    KmsKeyring(started["key_id"], kms),
                    envelope={"state_dir": self._folder / "states"},
                    retries={"mode": "standard", "total_max_attempts": 2},
                    max_pool_connections=_CONNECTION_COUNT,
                )
                stack.callback(client.close)
                clients.append(client)
            yield clients

    def _work(self, clients: list[S3Client], seconds: float, sample_seconds: float) -> None:
        """Let all threads work for a while, and sample the memory."""
        is_over = threading.Event()
        phase = random.Random(f"{self._plan.seed} {seconds}").randrange(1 << 30)
        threads = [
            threading.Thread(target=self._worker, args=(clients, random.Random(phase + index), is_over))
            for index in range(self._plan.thread_count)
        ]
        for thread in threads:
            thread.start()
        end = time.monotonic() + min(seconds, sample_seconds)
        while (left := end - time.monotonic()) > 0:
            is_over.wait(min(left, _SAMPLE_SECONDS))
            self._rss.append(rss_mib())
            if len(self._rss) % 15 == 0:
                self._tell(
                    f"{sum(self._findings.operations.values())} operations, {self._rss[-1]} MiB, "
                    f"{dict(self._findings.bad)}"
                )
        is_over.set()
        for thread in threads:
            thread.join()

    def _worker(self, clients: list[S3Client], rng: random.Random, is_over: threading.Event) -> None:
        scene = self._scene(clients)
        weights = {**Reads(scene).operations, **Writes(scene).operations}
        operations, shares = list(weights), list(weights.values())
        while not is_over.is_set():
            (operation,) = rng.choices(operations, shares)
            try:
                operation(rng)
            except Skip:
                self._findings.skip(operation.__name__)
            # Whatever it is, it is counted, and what is not clean fails the soak.
            except Exception as error:  # noqa: BLE001
                self._findings.failed(operation.__name__, error)
            self._findings.done(operation.__name__)

    def _scene(self, clients: list[S3Client]) -> Scene:
        return Scene(clients, self._bucket, self._model, self._contents, self._folder)

    def _verify(self, client: S3Client) -> None:
        """Read every key without faults."""
        reads = Reads(self._scene([client]))
        for key in self._model.keys:
            try:
                reads.read_once_more(key)
            # Nothing is in the way any more: no error is clean.
            except Exception as error:  # noqa: BLE001
                self._findings.verified(key.name, error)
        self._findings.operations["final reads"] = len(self._model.keys)
