"""One data key wrapped by several keys: other regions, other accounts, a key in escrow."""

from __future__ import annotations

import functools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Literal, TypeVar

from s3envelope.core.context import EncryptionContext
from s3envelope.core.ports import Clock, DataKey, EncryptedDataKey, Keyring
from s3envelope.core.secret import SecretBytes
from s3envelope.errors import (
    ConfigurationError,
    KeyAccessError,
    KeyringError,
    KeyServiceUnavailableError,
    NoMatchingKeyError,
)
from s3envelope.keyrings.kms_errors import joined_request_ids
from s3envelope.keyrings.outages import Outages

_MOST_KEYS = 4
_Result = TypeVar("_Result")
_log = logging.getLogger("s3envelope.keyrings")


class MultiKeyring:
    """Wraps each data key with several keyrings; any one of them opens it.

    Reading tries the keyrings in the order in which they are given here, so the nearest comes first, and goes on to
    the next when one is not reached, throttled, denied or disabled. One that was not reached or throttled is asked
    last for the next 30 seconds, so that not every read waits for it.

    A keyring that only opens, such as `KmsDiscoveryKeyring`, is asked by reads alone.

    Args:
        generator: Makes the data key.
        others: Wrap it too. All keyrings together have at most four keys, each once.
        require: How many keyrings must have wrapped a data key before anything is sealed with it. "all", or a number:
            then those that fail are logged at WARNING, and the object opens with the others only.
        read_order: The same keyrings, in the order in which reading is to try them; by default the generator first.
        clock: Monotonic.

    Raises:
        ConfigurationError: There is no other keyring, there are more than four keys, a key is there twice, the
            generator only opens, or `require` or `read_order` is not possible.
    """

    def __init__(
        self,
        generator: Keyring,
        *others: Keyring,
        require: Literal["all"] | int = "all",
        read_order: Sequence[Keyring] | None = None,
        clock: Clock = time.monotonic,
    ) -> None:
        keyrings = (generator, *others)
        for keyring in keyrings:
            if not isinstance(keyring, Keyring):
                raise ConfigurationError(f"a MultiKeyring takes keyrings; one of them is a {type(keyring).__name__}")
        names = [name for keyring in keyrings for name in sorted(keyring.key_ids)]
        if not others or len(names) > _MOST_KEYS or len(set(names)) < len(names):
            raise ConfigurationError(
                f"a MultiKeyring has the keys {', '.join(names)}; give 2 to {_MOST_KEYS}, each of them once"
            )
        if not generator.encrypted_data_key_sizes:
            raise ConfigurationError(f"{generator!r} only opens data keys; give one that makes them as the first")
        self._wrapping = tuple(keyring for keyring in keyrings if keyring.encrypted_data_key_sizes)
        self._reading = keyrings if read_order is None else tuple(read_order)
        if sorted(map(id, self._reading)) != sorted(map(id, keyrings)):
            raise ConfigurationError("read_order has not the keyrings of this MultiKeyring, each of them once")
        self._required = _number_of(require, len(self._wrapping))
        self._outages = Outages(len(keyrings), clock)

    @property
    def keyrings(self) -> tuple[Keyring, ...]:
        """The keyrings, in the order in which reading tries them."""
        return self._reading

    @property
    def key_ids(self) -> frozenset[str]:
        """The keys of all keyrings."""
        return frozenset().union(*(keyring.key_ids for keyring in self._reading))

    @property
    def encrypted_data_key_sizes(self) -> tuple[int, ...]:
        """Those of all keyrings."""
        return tuple(size for keyring in self._wrapping for size in keyring.encrypted_data_key_sizes)

    def generate_data_key(self, context: EncryptionContext) -> DataKey:
        """Return a data key of the first keyring that makes one, wrapped by all others.

        Raises:
            KeyAccessError, KeyServiceUnavailableError: Fewer keyrings than required wrapped it; the message lists
                every failure.
        """
        failures: list[tuple[Keyring, KeyringError]] = []
        may_fail = len(self._wrapping) - self._required
        made: DataKey | None = None
        place = 0
        while made is None:
            keyring = self._wrapping[place]
            made = _attempted(keyring, failures, functools.partial(keyring.generate_data_key, context))
            place += 1
            if len(failures) > may_fail:
                raise _joined("no data key was made", failures)
        encrypted = list(made.encrypted)
        try:
            # Those that failed to make one are not asked again: they have just said that they cannot.
            for keyring in self._wrapping[place:]:
                wrap = functools.partial(keyring.encrypt_data_key, made.plaintext, context)
                wrapped = _attempted(keyring, failures, wrap)
                if wrapped is not None:
                    encrypted.append(wrapped)
                if len(failures) > may_fail:
                    raise _joined("the data key was not wrapped by every key that must", failures)
        except BaseException:
            made.plaintext.wipe()
            raise
        if failures:
            _log.warning("%s; what is sealed now opens with the others only", _listed(failures))
        return DataKey(made.plaintext, tuple(encrypted))

    def encrypt_data_key(self, plaintext: SecretBytes, context: EncryptionContext) -> EncryptedDataKey:
        """Wrap a data key with the first keyring."""
        return self._wrapping[0].encrypt_data_key(plaintext, context)

    def decrypt_data_keys(
        self, keys: Sequence[EncryptedDataKey], context: EncryptionContext
    ) -> Iterator[tuple[EncryptedDataKey, SecretBytes]]:
        """See `Keyring`. A failure of one keyring counts only when no other opens the object; all are then listed."""
        failures: list[tuple[Keyring, KeyringError]] = []
        unmatched = 0
        for place in self._outages.order():
            keyring = self._reading[place]
            try:
                for opened in keyring.decrypt_data_keys(keys, context):
                    # Before it is handed out: a caller that is content does not come back.
                    self._outages.answered(place)
                    yield opened
            except NoMatchingKeyError:
                unmatched += 1
            except KeyringError as error:
                failures.append((keyring, error))
                self._note(place, error)
                _log.info("%s; trying the next keyring", error)
            else:
                self._outages.answered(place)
        if failures:
            raise _joined("no keyring opens the object", failures)
        if unmatched == len(self._reading):
            names = ", ".join(sorted(self.key_ids))
            raise NoMatchingKeyError(f"none of the object's {len(keys)} encrypted data keys belongs to {names}")

    def _note(self, place: int, error: KeyringError) -> None:
        if isinstance(error, KeyServiceUnavailableError):
            self._outages.failed(place)
        else:
            self._outages.answered(place)

    def reencrypt_data_key(
        self, key: EncryptedDataKey, context: EncryptionContext, *, source_key_arn: str
    ) -> EncryptedDataKey:
        """Wrap a data key anew with the first keyring."""
        return self._wrapping[0].reencrypt_data_key(key, context, source_key_arn=source_key_arn)

    def __repr__(self) -> str:
        return f"MultiKeyring({', '.join(map(repr, self._reading))})"


def _number_of(require: Literal["all"] | int, count: int) -> int:
    """Return how many of the keyrings that wrap must have wrapped a data key."""
    is_number = isinstance(require, int) and not isinstance(require, bool) and 1 <= require <= count
    if require != "all" and not is_number:
        raise ConfigurationError(f"require is {require!r}; use 'all' or a number from 1 to {count}")
    return count if require == "all" else int(require)


def _attempted(
    keyring: Keyring, failures: list[tuple[Keyring, KeyringError]], call: Callable[[], _Result]
) -> _Result | None:
    try:
        return call()
    except KeyringError as error:
        failures.append((keyring, error))
        return None


def _joined(what: str, failures: Sequence[tuple[Keyring, KeyringError]]) -> KeyringError:
    """Return one error for all: a denial counts more than an outage, which may pass."""
    is_outage = all(isinstance(error, KeyServiceUnavailableError) for _, error in failures)
    kind = KeyServiceUnavailableError if is_outage else KeyAccessError
    error = kind(f"{what}: {_listed(failures)}")
    error.__cause__ = failures[-1][1]
    error.request_ids = joined_request_ids(failure for _, failure in failures)
    return error


def _listed(failures: Sequence[tuple[Keyring, KeyringError]]) -> str:
    return "; ".join(f"{keyring!r}: {error}" for keyring, error in failures)
