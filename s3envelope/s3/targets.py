"""What new envelopes are made with, when it is not the client's own keyring."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from s3envelope.core.context import EncryptionContext
from s3envelope.core.ports import EncryptedDataKey, Keyring
from s3envelope.errors import ConfigurationError
from s3envelope.keyrings.kms_names import check_key_ids
from s3envelope.s3.envelopes import EnvelopeMaker

if TYPE_CHECKING:
    from s3envelope.s3.seam import Seam

_MOST_REMEMBERED = 10_000
_MOST_KEYRINGS = 64


class Target:
    """A keyring, the envelopes made with it, and the data keys that were wrapped anew for it.

    Args:
        keyring: Of whoever is to open the objects.
        envelopes: Made with data keys of that keyring.
    """

    def __init__(self, keyring: Keyring, envelopes: EnvelopeMaker) -> None:
        self.keyring = keyring
        self.envelopes = envelopes
        self._done: dict[tuple[bytes, bytes, str, int], EncryptedDataKey] = {}
        self._lock = threading.Lock()

    @property
    def keyrings(self) -> tuple[Keyring, ...]:
        """The keyrings of single keys that it wraps with."""
        return tuple(single for single in _singles(self.keyring) if single.encrypted_data_key_sizes)

    def reencrypted(
        self, keyring: Keyring, key: EncryptedDataKey, context: EncryptionContext, source_key_arn: str
    ) -> EncryptedDataKey:
        """Return a data key under one of the keyrings; one that several objects share is asked for once."""
        name = (key.ciphertext, context.canonical, source_key_arn, id(keyring))
        with self._lock:
            known = self._done.get(name)
            if known is None:
                known = keyring.reencrypt_data_key(key, context, source_key_arn=source_key_arn)
                if len(self._done) >= _MOST_REMEMBERED:
                    self._done.clear()
                self._done[name] = known
            return known


class Targets:
    """The targets of one client, so that many objects share the data keys of one.

    Args:
        seam: Of the client.
        make_keyring: Returns the keyring for the client and one or several KMS key ids.
    """

    def __init__(self, seam: Seam, make_keyring: Callable[[Any, Sequence[str]], Keyring]) -> None:
        self._seam = seam
        self._make_keyring = make_keyring
        self._by_name: dict[tuple[str, ...], Target] = {}
        self._by_keyring: dict[int, Target] = {}
        self._lock = threading.Lock()

    def of(self, to: Keyring | str | Sequence[str] | None) -> Target:
        """Return the target for a keyring, for one or several KMS key ids, or for the client's own keyring.

        Raises:
            ConfigurationError: It is none of these.
        """
        with self._lock:
            if isinstance(to, str | list | tuple):
                names = check_key_ids(to)
                if names not in self._by_name:
                    self._by_name[names] = self._make(self._make_keyring(self._seam.client(), names))
                return self._by_name[names]
            keyring = self._seam.keyring if to is None else to
            if not isinstance(keyring, Keyring):
                raise ConfigurationError(f"to is a {type(to).__name__}; pass a keyring, a KMS key id or several")
            if id(keyring) not in self._by_keyring:
                if len(self._by_keyring) >= _MOST_KEYRINGS:
                    self._by_keyring.clear()
                self._by_keyring[id(keyring)] = self._make(keyring)
            return self._by_keyring[id(keyring)]

    def _make(self, keyring: Keyring) -> Target:
        if keyring is self._seam.keyring:
            return Target(keyring, self._seam.envelopes)
        return Target(keyring, self._seam.maker(keyring, self._seam.manager(keyring)))


def _singles(keyring: Keyring) -> tuple[Keyring, ...]:
    # Not those that only open.
    inner = getattr(keyring, "wrapping_keyrings", None) or getattr(keyring, "keyrings", None)
    return (keyring,) if inner is None else tuple(single for one in inner for single in _singles(one))
