"""Objects of the format, made by the engine in memory: with seeded randomness, for the tests of core and engine."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from s3envelope.core.context import EncryptionContext
from s3envelope.core.envelope import Envelope, seal_header
from s3envelope.core.index import IndexRow, seal_index
from s3envelope.core.kdf import BodyKey
from s3envelope.core.ports import Keyring, SystemPorts
from s3envelope.core.secret import SecretBytes
from s3envelope.engine.opening import OpenedObject
from s3envelope.engine.sealing import Attempt, CiphertextReader, SealedRun
from s3envelope.engine.sources import BufferSource, PlaintextSource
from s3envelope.errors import S3EnvelopeError
from s3envelope.keyrings.raw_aes import RawAesKeyring
from tests.support.vector_objects import MemoryStorage, open_range, opener_for

SEGMENT = 65536
SEALED = SEGMENT + 28
OBJECT_NAME = "dir/object"
MASTER_KEY = bytes(range(32))


class SeededRandom:
    """A `Random` that repeats itself in every run."""

    def __init__(self, seed: object = 0) -> None:
        self._seed = seed
        self._count = 0

    def __call__(self, size: int, /) -> bytes:
        self._count += 1
        return hashlib.shake_128(f"{self._seed}/{self._count}".encode()).digest(size)


class FakeClock:
    """A `Clock` that a test turns."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


class FakeProcess:
    """A `ProcessId` that a test changes: a fork."""

    def __init__(self) -> None:
        self.number = 1

    def __call__(self) -> int:
        return self.number


def fake_ports(
    seed: object = 0,
    *,
    clock: FakeClock | None = None,
    process_id: FakeProcess | None = None,
    wall_clock: FakeClock | None = None,
) -> SystemPorts:
    """Return ports of which nothing comes from the machine."""
    clock = clock or FakeClock()
    return SystemPorts(SeededRandom(seed), clock, process_id or FakeProcess(), wall_clock or clock)


def raw_keyring(seed: object = 0, key_id: str = "tests") -> RawAesKeyring:
    """Return a keyring; those of one key id have one master key."""
    master_key = hashlib.sha256(key_id.encode() + MASTER_KEY).digest()
    return RawAesKeyring(master_key, key_id, random=SeededRandom(f"keyring/{seed}"))


def new_body_key(seed: object = 0, *, indexed: bool = False) -> BodyKey:
    """Return a body key without an envelope around it."""
    random = SeededRandom(f"body/{seed}")
    secrets = SecretBytes(random(32)), SecretBytes(random(32))
    return seal_header(*secrets, context=EncryptionContext(), bound_name=None, indexed=indexed, nonce=random(12))[1]


def sealed_run(
    source: PlaintextSource | bytes,
    body_key: BodyKey,
    *,
    run: int = 0,
    first_segment: int = 0,
    ends_run: bool = True,
    nonce_start: bytes = bytes(12),
    process_id: FakeProcess | None = None,
) -> SealedRun:
    """Return the sealed form of one upload call."""
    plaintext = BufferSource(source) if isinstance(source, bytes) else source
    return SealedRun(
        plaintext,
        Attempt(nonce_start, plaintext.size, ends_run=ends_run),
        body_key,
        run=run,
        first_segment=first_segment,
        process_id=process_id or FakeProcess(),
    )


@dataclass(frozen=True, slots=True)
class StoredObject:
    """What a storage holds of one upload, and what only the writer knows."""

    name: str
    metadata: Mapping[str, str]
    body: bytes
    plaintext: bytes
    body_key: BodyKey
    part_sizes: tuple[int, ...] = ()

    def storage(self, *, body: bytes | None = None, metadata: Mapping[str, str] | None = None) -> MemoryStorage:
        """Return a storage with this object, or with an edited one in its place."""
        return MemoryStorage(self.metadata if metadata is None else metadata, self.body if body is None else body)

    def segment(self, index: int) -> bytes:
        """Return one stored segment of a plain body."""
        return self.body[index * SEALED : (index + 1) * SEALED]

    def parts(self) -> list[bytes]:
        """Return the stored runs of an indexed body, and its index last."""
        pieces, position = [], 0
        for size in self.part_sizes:
            pieces.append(self.body[position : position + size])
            position += size
        return [*pieces, self.body[position:]]


def _envelope(
    keyring: Keyring, random: SeededRandom, context: EncryptionContext, bound_name: str | None, *, indexed: bool
) -> tuple[dict[str, str], BodyKey]:
    data_key = keyring.generate_data_key(context)
    header, body_key = seal_header(
        data_key.plaintext,
        SecretBytes(random(32)),
        context=context,
        bound_name=bound_name,
        indexed=indexed,
        nonce=random(12),
    )
    return Envelope(header, data_key.encrypted, context).to_metadata(), body_key


def stored_plain(
    plaintext: bytes,
    *,
    seed: object = 0,
    name: str = OBJECT_NAME,
    bound: bool = True,
    context: Mapping[str, str] | None = None,
    keyring: Keyring | None = None,
) -> StoredObject:
    """Return an object in the plain layout."""
    random = SeededRandom(seed)
    metadata, body_key = _envelope(
        keyring or raw_keyring(seed), random, EncryptionContext(context), name if bound else None, indexed=False
    )
    body = CiphertextReader(sealed_run(plaintext, body_key, nonce_start=random(12))).read()
    return StoredObject(name, metadata, body, plaintext, body_key)


def stored_indexed(
    parts: Sequence[tuple[int, bytes]],
    *,
    seed: object = 0,
    name: str = OBJECT_NAME,
    bound: bool = True,
    keyring: Keyring | None = None,
) -> StoredObject:
    """Return an object in the indexed layout, of (number, plaintext) parts in ascending order."""
    random = SeededRandom(seed)
    metadata, body_key = _envelope(
        keyring or raw_keyring(seed), random, EncryptionContext(), name if bound else None, indexed=True
    )
    rows, runs = [], []
    for number, plaintext in parts:
        nonce_start = random(12)
        rows.append(IndexRow(number, nonce_start, len(plaintext)))
        runs.append(CiphertextReader(sealed_run(plaintext, body_key, run=number, nonce_start=nonce_start)).read())
    body = b"".join(runs) + seal_index(body_key, rows, random(12))
    plaintext = b"".join(part for _, part in parts)
    return StoredObject(name, metadata, body, plaintext, body_key, tuple(map(len, runs)))


@dataclass(frozen=True, slots=True)
class Reading:
    """How a read went: what came out, and the error that ended it."""

    released: bytes
    error: S3EnvelopeError | None
    opened: OpenedObject | None


def read_object(
    storage: MemoryStorage,
    header: str | None = None,
    *,
    name: str = OBJECT_NAME,
    keyring: Keyring | None = None,
    step: int = 5000,
) -> Reading:
    """Read a range, or the whole object, in small steps; errors of this library become part of the result."""
    opener = opener_for(keyring or raw_keyring(), storage, name)
    released = bytearray()
    opened = None
    try:
        opened = open_range(opener, storage, header)
        while opened.stream is not None and (piece := opened.stream.read(step)):
            released += piece
    except S3EnvelopeError as error:
        return Reading(bytes(released), error, opened)
    return Reading(bytes(released), None, opened)
