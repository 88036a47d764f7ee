"""What the tests of the caches share: a KMS, clocks that a test turns, and managers that could be other processes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from s3envelope import CacheKeyFile, KmsKeyring, Occurrence
from s3envelope.caches.disk import DiskCache
from s3envelope.caches.limits import CacheLimits
from s3envelope.caches.manager import CachingMaterialsManager
from s3envelope.caches.partition import CacheScope
from s3envelope.core.context import EncryptionContext
from s3envelope.core.ports import EncryptedDataKey
from s3envelope.testing import LocalKms
from tests.support.objects import FakeClock, fake_ports

CONTEXT = EncryptionContext({"tenant": "acme-canary"})
HOUR, DAY = 3600.0, 86_400.0


@dataclass(slots=True)
class Uses:
    """An audit sink that keeps what it is told."""

    all: list[Occurrence] = field(default_factory=list)

    def record(self, occurrence: Occurrence) -> None:
        self.all.append(occurrence)

    @property
    def of_keys(self) -> list[Occurrence]:
        """The uses of data keys, in order."""
        return [use for use in self.all if use.source is not None]

    @property
    def sources(self) -> list[str]:
        """Where each data key came from, in order."""
        return [str(use.source) for use in self.of_keys]


class Process:
    """A keyring, a cache and a manager as one process has them; several share a folder, a KMS and a clock.

    Args:
        place: What they share.
        key_id: By default the alias of the place.
        arguments: Of the manager.
    """

    def __init__(
        self,
        place: Place,
        key_id: str | None = None,
        *,
        access_key_id: str = "AKIDCANARY0000000001",
        limits: CacheLimits | None = None,
        scope: CacheScope | None = None,
        cache: DiskCache | None = None,
    ) -> None:
        self.client: Any = place.kms.client(access_key_id=access_key_id)
        self.attempts: list[str] = []
        self.client.meta.events.register("before-call.kms", self._count)
        self.keyring = KmsKeyring(key_id or place.alias, self.client)
        self.cache = cache or place.cache()
        self.clock, self.uses = FakeClock(), Uses()
        ports = fake_ports(clock=self.clock, wall_clock=place.wall_clock)
        self.manager = CachingMaterialsManager(
            self.keyring, limits or CacheLimits(), ports, disk=self.cache, scope=scope, audit=self.uses
        )

    def _count(self, event_name: str, **_: object) -> None:
        self.attempts.append(event_name.rpartition(".")[2])

    def open(self, keys: Sequence[EncryptedDataKey], context: EncryptionContext = CONTEXT) -> bytes:
        """Return the data key of an object, as the opener of its header gets it."""
        return self.manager.open_with_data_key(keys, context, lambda data_key: bytes(data_key.view()))


@dataclass(slots=True)
class Place:
    """A KMS with a key, a folder for caches beside its key file, and the time of day."""

    kms: LocalKms
    root: Path
    alias: str = ""
    arn: str = ""
    wall_clock: FakeClock = field(default_factory=FakeClock)

    def __post_init__(self) -> None:
        self.alias = f"alias/cache-canary-{os.urandom(4).hex()}"
        self.arn = self.kms.create_key(alias=self.alias)
        # So that clocks set back stay in the past of what lies on disk.
        self.wall_clock.seconds = 1_800_000_000.0

    @property
    def folder(self) -> Path:
        return self.root / "cache"

    @property
    def database(self) -> Path:
        return self.folder / "cache.db"

    def cache(self, **arguments: Any) -> DiskCache:
        """Return a cache in the folder."""
        return DiskCache(self.folder, **{"key": CacheKeyFile(self.root / "cache.key"), **arguments})

    def new_keys(self, context: EncryptionContext = CONTEXT) -> tuple[tuple[EncryptedDataKey, ...], bytes]:
        """Return the encrypted data keys of a new object, and the data key."""
        made = KmsKeyring(self.arn, self.kms.client()).generate_data_key(context)
        with made.plaintext as plaintext:
            return made.encrypted, bytes(plaintext.view())

    def pass_time(self, seconds: float, *processes: Process) -> None:
        """Let time pass, for the clock of the day and for processes."""
        self.wall_clock.seconds += seconds
        for process in processes:
            process.clock.seconds += seconds
