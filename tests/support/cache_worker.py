"""A process that hammers a cache folder: python -m tests.support.cache_worker, with a job as JSON on standard input.

Each of its processes prints what it saw as a line of JSON.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import random
import sys
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from s3envelope import CacheKeyFile, CacheLimits, DiskCache, EncryptionContext, KmsKeyring
from s3envelope.caches.manager import CachingMaterialsManager
from s3envelope.core.ports import EncryptedDataKey
from s3envelope.stores.system import system_ports

CONTEXT = EncryptionContext({"tenant": "hammered"})


@dataclass(slots=True)
class Report:
    """What the threads of a process saw."""

    opened: int = 0
    wrong: int = 0
    failures: list[str] = field(default_factory=list)


def _kms_client(url: str) -> Any:
    config = Config(proxies={}, retries={"total_max_attempts": 5, "mode": "standard"}, max_pool_connections=20)
    return boto3.client(
        "kms",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="worker",
        aws_secret_access_key="any",
        config=config,
    )


def _work(manager: CachingMaterialsManager, job: dict[str, Any], report: Report, number: int, deadline: float) -> None:
    """Open, as thread `number` of a process, its share of all keys, however long that takes; then any until the end."""
    chosen = random.Random()
    objects = [(EncryptedDataKey(bytes.fromhex(hint), bytes.fromhex(text)), mark) for hint, text, mark in job["keys"]]
    share = objects[number :: job["threads"]]
    chosen.shuffle(share)
    while share or time.monotonic() < deadline:
        key, mark = share.pop() if share else chosen.choice(objects)
        # What is in memory would answer everything else.
        with manager._lock:
            manager._opened.clear()
        try:
            found = manager.open_with_data_key([key], CONTEXT, lambda secret: hashlib.sha256(secret.view()).hexdigest())
        except Exception as error:  # noqa: BLE001  # whatever it is, the parent has to see it
            report.failures.append(repr(error))
            return
        report.opened += 1
        report.wrong += found != mark
        if chosen.random() < job["forgetting"]:
            manager.forget([key], CONTEXT)


def _run(job: dict[str, Any], start: int) -> None:
    """Be one of the processes: get ready, wait until the pipe `start` ends, work, and write one line."""
    logged: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: logged.append(record.getMessage())  # type: ignore[method-assign]
    logging.getLogger("s3envelope.cache").addHandler(handler)
    cache = DiskCache(job["folder"], key=CacheKeyFile(Path(job["key_file"])), max_entries=job["max_entries"])
    keyring = KmsKeyring(job["arn"], _kms_client(job["kms"]))
    manager = CachingMaterialsManager(keyring, CacheLimits(), system_ports(), disk=cache)
    report = Report()
    os.read(start, 1)
    deadline = time.monotonic() + job["seconds"]
    threads = [
        threading.Thread(target=_work, args=(manager, job, report, number, deadline))
        for number in range(job["threads"])
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen = {"opened": report.opened, "wrong": report.wrong, "failures": report.failures[:3], "logged": logged[:10]}
    os.write(sys.stdout.fileno(), json.dumps(seen).encode() + b"\n")


def main() -> None:
    """Do the job in as many processes as it says; they are forked, so that all is imported once."""
    job = json.load(sys.stdin)
    start, start_end = os.pipe()
    children = []
    for _ in range(job["processes"]):
        child = os.fork()
        if child == 0:
            os.close(start_end)
            _run(job, start)
            os._exit(0)
        children.append(child)
    os.close(start_end)
    for child in children:
        os.waitpid(child, 0)


if __name__ == "__main__":
    main()
