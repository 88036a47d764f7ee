"""What the pure layers need from outside, as protocols, and the values that cross them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, runtime_checkable

from s3envelope.core.context import EncryptionContext
from s3envelope.core.occurrences import KeyServiceCall, ObjectName, Occurrence
from s3envelope.core.secret import SecretBytes

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class EncryptedDataKey:
    """A data key as a key service wrapped it; safe to store and to show.

    Args:
        hint: 4 bytes that tell which configured key to try; not trusted for anything else.
        ciphertext: What the key service returned, 1 to 65535 bytes.
        call: The request that wrapped or opened it, for the audit; it is no part of what the key is.
    """

    hint: bytes
    ciphertext: bytes
    call: KeyServiceCall | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True, repr=False)
class DataKey:
    """A fresh data key: 32 secret bytes, and one encrypted form per wrapping key (1 to 4)."""

    plaintext: SecretBytes
    encrypted: tuple[EncryptedDataKey, ...]

    def __repr__(self) -> str:
        return f"<DataKey wrapped {len(self.encrypted)} times>"


@runtime_checkable
class Keyring(Protocol):
    """Makes and recovers data keys. The verbs are those of the KMS API.

    An implementation names its keys by configuration only: nothing in an encrypted data key chooses the key that is
    asked. All methods may be called from several threads.
    """

    @property
    def key_ids(self) -> frozenset[str]:
        """The identifiers of all keys that this keyring wraps with, as configured: to compare who can open what."""
        ...

    @property
    def encrypted_data_key_sizes(self) -> tuple[int, ...]:
        """The usual ciphertext sizes, in bytes, of the keys that `generate_data_key` returns.

        They serve to refuse metadata that will not fit before any request is made; they bind nobody. Must be empty
        for a keyring that only opens, and for no other.
        """
        ...

    def generate_data_key(self, context: EncryptionContext) -> DataKey:
        """Return a new 32-byte data key under `context.for_key_service()`.

        Must raise a `KeyringError` when the key service refuses or cannot be reached.
        """
        ...

    def encrypt_data_key(self, plaintext: SecretBytes, context: EncryptionContext) -> EncryptedDataKey:
        """Wrap an existing data key. Must not wipe `plaintext`."""
        ...

    def decrypt_data_keys(
        self, keys: Sequence[EncryptedDataKey], context: EncryptionContext
    ) -> Iterator[tuple[EncryptedDataKey, SecretBytes]]:
        """Yield, lazily, every encrypted data key that decrypts, with its 32 bytes; the caller stops when one fits.

        Candidates are the pairs of (own key in configured order, entry in list order) with equal hint. An entry that
        the key service cannot decrypt is skipped. When the candidates are exhausted: must raise `NoMatchingKeyError`
        if there were none; must raise the `KeyAccessError` or `KeyServiceUnavailableError` that made a candidate
        fail, if any did; must return otherwise. The caller wipes what was yielded.
        """
        ...

    def reencrypt_data_key(
        self, key: EncryptedDataKey, context: EncryptionContext, *, source_key_arn: str
    ) -> EncryptedDataKey:
        """Wrap the same data key under this keyring's key, without showing it to this process where possible.

        The context cannot change: the header authenticates it. Must refuse an entry that `source_key_arn` does not
        open, else a stranger's entry would come back wrapped under our key.
        """
        ...


@runtime_checkable
class RemoteKeyring(Keyring, Protocol):
    """A keyring that asks a service over a network, so that what it opened may be kept on disk.

    What it tells here decides which entries of a shared cache are its own: no two keyrings that could get different
    answers may tell the same.
    """

    @property
    def service(self) -> tuple[str, ...]:
        """The kind of service and where it is: `("kms", "https://kms.eu-west-1.amazonaws.com", "eu-west-1")`."""
        ...

    @property
    def key_arns(self) -> tuple[str, ...]:
        """The keys behind the configured identifiers; complete once there are no unresolved aliases.

        They may change when the service does not know the key of an alias any more.
        """
        ...

    def principal(self) -> str | None:
        """Return who asks; `None` if that cannot be told now."""
        ...

    def unresolved_aliases(self) -> tuple[str, ...]:
        """Return the configured aliases whose key this keyring does not know yet."""
        ...

    def resolve_alias(self, alias: str) -> str:
        """Ask the service for the key behind an alias and return its ARN. Must raise a `KeyringError` on failure."""
        ...

    def adopt_alias(self, alias: str, key_arn: str) -> None:
        """Take the key of an alias from an earlier answer of the service, unless it is known already."""
        ...


@dataclass(frozen=True, slots=True)
class DataKeyStatus:
    """What a client's cache knows of an object's data key.

    Args:
        age_seconds: Since the key service gave it out last.
        is_fresh: Whether it opens objects without asking the key service.
        served_offline: Whether it was last used because the key service could not be reached.
    """

    age_seconds: float
    is_fresh: bool
    served_offline: bool


@runtime_checkable
class AuditSink(Protocol):
    """Is told of every use of a key and of every refusal, on the thread on which it happens."""

    def record(self, occurrence: Occurrence) -> None:
        """Take note of what happened.

        May raise `AuditError`: it ends the call before plaintext is released or ciphertext is sent.
        """
        ...


class MaterialsManager(Protocol):
    """Gives data keys to the engine: straight from a keyring, or from a cache in front of it."""

    def data_key_for_sealing(self, context: EncryptionContext, *, about: ObjectName | None = None) -> DataKey:
        """Return a data key, fresh or shared by several objects of one context. The caller wipes it.

        `about` is the object that it is for; the audit is told.
        """
        ...

    def open_with_data_key(
        self,
        keys: Sequence[EncryptedDataKey],
        context: EncryptionContext,
        attempt: Callable[[SecretBytes], Result],
        *,
        about: ObjectName | None = None,
    ) -> Result:
        """Call `attempt` with candidate data keys until one does not raise `HeaderAuthenticationError`.

        A key may be remembered only after `attempt` returned for it. Raises the last `HeaderAuthenticationError` when
        every candidate failed, or what the keyring raises.
        """
        ...

    def status_of(self, keys: Sequence[EncryptedDataKey], context: EncryptionContext) -> DataKeyStatus | None:
        """Return what is remembered of the first of an object's keys that is remembered; `None` without one."""
        ...

    def forget(self, keys: Sequence[EncryptedDataKey], context: EncryptionContext) -> None:
        """Wipe and drop what is remembered of an object's keys."""
        ...


class Random(Protocol):
    """A source of cryptographically strong random bytes."""

    def __call__(self, size: int, /) -> bytes: ...


class Clock(Protocol):
    """A clock, in seconds; monotonic unless it is said to be another."""

    def __call__(self) -> float: ...


class ProcessId(Protocol):
    """The number of the running process; it changes in a forked child."""

    def __call__(self) -> int: ...


class ByteSource(Protocol):
    """A binary stream that is read from front to back."""

    def read(self, size: int = -1, /) -> bytes: ...


class SpillFile(Protocol):
    """A private, anonymous place for ciphertext; it is gone when it is closed."""

    def write(self, piece: bytes, /) -> int: ...

    def read(self, size: int = -1, /) -> bytes: ...

    def seek(self, offset: int, whence: int = 0, /) -> int: ...

    def tell(self) -> int: ...

    def close(self) -> None: ...


class SpillStore(Protocol):
    """Gives places for ciphertext that must be kept for a while, small ones in memory."""

    def __call__(self) -> SpillFile: ...


class SeekableSource(ByteSource, Protocol):
    """A binary stream that can be read again."""

    def seek(self, offset: int, whence: int = 0, /) -> object: ...

    def tell(self) -> int: ...


@dataclass(frozen=True, slots=True)
class SystemPorts:
    """What the engine and the caches take from the machine they run on; `wall_clock` counts from the epoch."""

    random: Random = field(repr=False)
    clock: Clock = field(repr=False)
    process_id: ProcessId = field(repr=False)
    wall_clock: Clock = field(repr=False)
