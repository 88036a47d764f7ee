"""The trial rule: which encrypted data key of an object counts.

Source: FORMAT.md, section "Trial rule".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from s3envelope.core.context import EncryptionContext
from s3envelope.core.ports import EncryptedDataKey, Keyring, Result
from s3envelope.core.secret import SecretBytes, wipe_all
from s3envelope.errors import HeaderAuthenticationError


def try_data_keys(
    keyring: Keyring,
    keys: Sequence[EncryptedDataKey],
    context: EncryptionContext,
    attempt: Callable[[SecretBytes], Result],
    *,
    keep: Callable[[EncryptedDataKey, SecretBytes], None] | None = None,
) -> tuple[Result, EncryptedDataKey]:
    """Apply the trial rule: an entry counts only if the header opens with what it gives.

    Args:
        attempt: Opens the header, or raises `HeaderAuthenticationError`.
        keep: Called with the entry and key that worked, before the key is wiped.

    Raises:
        HeaderAuthenticationError: There were candidates, none opened the header.

    Source: FORMAT.md, section "Trial rule".
    """
    failure: HeaderAuthenticationError | None = None
    for entry, data_key in keyring.decrypt_data_keys(keys, context):
        with data_key:
            try:
                result = attempt(data_key)
            except HeaderAuthenticationError as error:
                failure = error
                continue
            if keep is not None:
                try:
                    keep(entry, data_key)
                except BaseException:
                    wipe_all(result)
                    raise
            return result, entry
    raise failure or HeaderAuthenticationError(
        "no encrypted data key of the object opens: its metadata or encryption context was changed, "
        "or it was made under another key"
    )
