"""What the pure layers need from outside, as protocols, and the values that cross them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar, runtime_checkable

from s3envelope.core.context import EncryptionContext
from s3envelope.core.secret import SecretBytes

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class EncryptedDataKey:
    """A data key as a key service wrapped it; safe to store and to show.

    Args:
        hint: 4 bytes that tell which configured key to try; not trusted for anything else.
        ciphertext: What the key service returned, 1 to 65535 bytes.
    """

    hint: bytes
    ciphertext: bytes


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
        """The identifiers of all keys of this keyring, as configured: to compare who can open what."""
        ...

    @property
    def encrypted_data_key_sizes(self) -> tuple[int, ...]:
        """The usual ciphertext sizes, in bytes, of the keys that `generate_data_key` returns.

        They serve to refuse metadata that will not fit before any request is made; they bind nobody.
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


class MaterialsManager(Protocol):
    """Gives data keys to the engine: straight from a keyring, or from a cache in front of it."""

    def data_key_for_sealing(self, context: EncryptionContext) -> DataKey:
        """Return a data key, fresh or shared by several objects of one context. The caller wipes it."""
        ...

    def open_with_data_key(
        self,
        keys: Sequence[EncryptedDataKey],
        context: EncryptionContext,
        attempt: Callable[[SecretBytes], Result],
    ) -> Result:
        """Call `attempt` with candidate data keys until one does not raise `HeaderAuthenticationError`.

        A key may be remembered only after `attempt` returned for it. Raises the last `HeaderAuthenticationError` when
        every candidate failed, or what the keyring raises.
        """
        ...


class Random(Protocol):
    """A source of cryptographically strong random bytes."""

    def __call__(self, size: int, /) -> bytes: ...


class Clock(Protocol):
    """A monotonic clock, in seconds."""

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
    """The three things that the engine takes from the machine it runs on."""

    random: Random = field(repr=False)
    clock: Clock = field(repr=False)
    process_id: ProcessId = field(repr=False)
