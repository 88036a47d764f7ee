"""A key that took over from others: it wraps what is new, and they go on to open what is old."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from s3envelope.core.context import EncryptionContext
from s3envelope.core.ports import DataKey, EncryptedDataKey, Keyring
from s3envelope.core.secret import SecretBytes
from s3envelope.errors import (
    ConfigurationError,
    KeyringError,
    KeyServiceUnavailableError,
    NoMatchingKeyError,
)


class SuccessionKeyring:
    """Wraps data keys with one keyring; opens those of retired ones too.

    INVARIANT: a retired key is still trusted: what it opens is taken for genuine, and may be rewrapped. A key that
    somebody else may hold is to be taken out of the configuration, not to be retired.

    Args:
        current: Wraps, and is tried first.
        retired: Open only, in this order.

    Raises:
        ConfigurationError: There is no retired keyring, one is none, or a key is there twice.
    """

    def __init__(self, current: Keyring, *retired: Keyring) -> None:
        self._current = current
        self._retired = retired
        for keyring in self.keyrings:
            if not isinstance(keyring, Keyring):
                raise ConfigurationError(f"a SuccessionKeyring takes keyrings; one is a {type(keyring).__name__}")
        names = [name for keyring in self.keyrings for name in sorted(keyring.key_ids)]
        if not retired or len(set(names)) < len(names):
            raise ConfigurationError(
                f"a SuccessionKeyring has the keys {', '.join(names)}; give a current one and retired ones, each once"
            )

    @property
    def current(self) -> Keyring:
        """The keyring that wraps."""
        return self._current

    @property
    def retired(self) -> tuple[Keyring, ...]:
        """The keyrings that only open."""
        return self._retired

    @property
    def keyrings(self) -> tuple[Keyring, ...]:
        """All keyrings, in the order in which reading tries them."""
        return (self._current, *self._retired)

    @property
    def wrapping_keyrings(self) -> tuple[Keyring, ...]:
        """Those of `keyrings` under which new data keys are wrapped."""
        return (self._current,)

    @property
    def key_ids(self) -> frozenset[str]:
        """The keys of all keyrings."""
        return frozenset().union(*(keyring.key_ids for keyring in self.keyrings))

    @property
    def encrypted_data_key_sizes(self) -> tuple[int, ...]:
        """Those of the current keyring."""
        return self._current.encrypted_data_key_sizes

    def generate_data_key(self, context: EncryptionContext) -> DataKey:
        """See the current keyring."""
        return self._current.generate_data_key(context)

    def encrypt_data_key(self, plaintext: SecretBytes, context: EncryptionContext) -> EncryptedDataKey:
        """See the current keyring."""
        return self._current.encrypt_data_key(plaintext, context)

    def decrypt_data_keys(
        self, keys: Sequence[EncryptedDataKey], context: EncryptionContext
    ) -> Iterator[tuple[EncryptedDataKey, SecretBytes]]:
        """See `Keyring`. A failure of one keyring counts only when no other opens the object."""
        failures: list[KeyringError] = []
        unmatched = 0
        for keyring in self.keyrings:
            try:
                yield from keyring.decrypt_data_keys(keys, context)
            except NoMatchingKeyError:
                unmatched += 1
            except KeyringError as error:
                failures.append(error)
        # A denial counts more than an outage, which may pass.
        failures.sort(key=lambda error: isinstance(error, KeyServiceUnavailableError))
        if failures:
            raise failures[0]
        if unmatched == len(self.keyrings):
            names = ", ".join(sorted(self.key_ids))
            raise NoMatchingKeyError(f"none of the object's {len(keys)} encrypted data keys belongs to {names}")

    def reencrypt_data_key(
        self, key: EncryptedDataKey, context: EncryptionContext, *, source_key_arn: str
    ) -> EncryptedDataKey:
        """See the current keyring."""
        return self._current.reencrypt_data_key(key, context, source_key_arn=source_key_arn)

    def __repr__(self) -> str:
        return f"SuccessionKeyring({', '.join(map(repr, self.keyrings))})"
