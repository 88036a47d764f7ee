"""Data keys straight from a keyring, one per object."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from s3envelope.core.context import EncryptionContext
from s3envelope.core.ports import DataKey, EncryptedDataKey, Keyring, Result
from s3envelope.core.secret import SecretBytes
from s3envelope.core.trial import try_data_keys


class DefaultMaterialsManager:
    """Ask the keyring for every object."""

    def __init__(self, keyring: Keyring) -> None:
        self._keyring = keyring

    def data_key_for_sealing(self, context: EncryptionContext) -> DataKey:
        """Return a fresh data key."""
        return self._keyring.generate_data_key(context)

    def open_with_data_key(
        self,
        keys: Sequence[EncryptedDataKey],
        context: EncryptionContext,
        attempt: Callable[[SecretBytes], Result],
    ) -> Result:
        """See `MaterialsManager`."""
        return try_data_keys(self._keyring, keys, context, attempt)[0]
