"""What a materials manager remembers of data keys in memory, and what it looks for."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from s3envelope.caches.sealed import Moment
from s3envelope.core.context import EncryptionContext
from s3envelope.core.occurrences import ObjectName
from s3envelope.core.ports import DataKey, EncryptedDataKey, SystemPorts
from s3envelope.core.secret import SecretBytes

Name = tuple[bytes, bytes]


@dataclass(slots=True, repr=False)
class Sealing:
    """A data key that seals new objects of one context."""

    data_key: DataKey
    context: EncryptionContext
    made_at: float
    object_count: int = 0


@dataclass(slots=True, repr=False)
class Opened:
    """A data key that has opened a header.

    Args:
        verified: When the key service gave it out.
    """

    plaintext: SecretBytes
    context: EncryptionContext
    verified: Moment
    served_offline: bool = False


@dataclass(frozen=True, slots=True, repr=False)
class Candidate:
    """A copy of a data key that may open the object; whoever gets it wipes it."""

    name: Name
    plaintext: SecretBytes
    verified: Moment
    age: float


@dataclass(frozen=True, slots=True)
class Wanted:
    """Whose data key is asked for."""

    keys: Sequence[EncryptedDataKey]
    context: EncryptionContext
    about: ObjectName | None


def moment(ports: SystemPorts) -> Moment:
    """Return what both clocks of a machine show."""
    return Moment(ports.wall_clock(), ports.clock())


def name_of(key: EncryptedDataKey, context: EncryptionContext) -> Name:
    """Return what an opened data key is remembered by; of fixed size but for the context."""
    return hashlib.sha256(key.hint + key.ciphertext).digest(), context.canonical
