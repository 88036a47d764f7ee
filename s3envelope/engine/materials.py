"""Data keys straight from a keyring, one per object."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from s3envelope.core.context import EncryptionContext
from s3envelope.core.key_uses import opened_with, tell_made
from s3envelope.core.occurrences import ObjectName
from s3envelope.core.ports import AuditSink, DataKey, DataKeyStatus, EncryptedDataKey, Keyring, Result
from s3envelope.core.secret import SecretBytes
from s3envelope.core.trial import try_data_keys


class DefaultMaterialsManager:
    """Ask the keyring for every object."""

    def __init__(self, keyring: Keyring, audit: AuditSink | None = None) -> None:
        self._keyring = keyring
        self._audit = audit

    def data_key_for_sealing(self, context: EncryptionContext, *, about: ObjectName | None = None) -> DataKey:
        """Return a fresh data key."""
        data_key = self._keyring.generate_data_key(context)
        tell_made(self._audit, data_key, context, about)
        return data_key

    def open_with_data_key(
        self,
        keys: Sequence[EncryptedDataKey],
        context: EncryptionContext,
        attempt: Callable[[SecretBytes], Result],
        *,
        about: ObjectName | None = None,
    ) -> Result:
        """See `MaterialsManager`."""

        def tell(entry: EncryptedDataKey, _: SecretBytes) -> None:
            if self._audit is not None:
                self._audit.record(opened_with(entry, context, about))

        return try_data_keys(self._keyring, keys, context, attempt, keep=tell)[0]

    def status_of(self, keys: Sequence[EncryptedDataKey], context: EncryptionContext) -> DataKeyStatus | None:
        """Return `None`: nothing is remembered."""
        return None

    def forget(self, keys: Sequence[EncryptedDataKey], context: EncryptionContext) -> None:
        """Do nothing: nothing is remembered."""
