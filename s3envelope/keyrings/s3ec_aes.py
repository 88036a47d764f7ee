"""The Amazon formats under an AES key of any length; for SE1 too, see `RawAesKeyring`."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping

from s3envelope.core.secret import SecretBytes
from s3envelope.errors import ConfigurationError
from s3envelope.formats.s3ec.model import ContentAlgorithm, S3ecEnvelope, WrapAlgorithm
from s3envelope.formats.s3ec.ports import S3ecDataKey
from s3envelope.keyrings import aes_wraps
from s3envelope.keyrings.material_descriptions import (
    check_is_own,
    check_material_description,
    check_no_context,
)


class S3ecAesKeyring:
    """Wraps and unwraps data keys of the Amazon formats under an AES key that this process holds.

    A key wraps at most 2^32 data keys: each wrap takes a random IV under the same key.

    Args:
        wrapping_key: 16, 24 or 32 uniformly random bytes, as the Amazon clients take them.
        material_description: Is stored beside what is written; only objects that have exactly it are read. `None`
            writes an empty one and reads objects of every description.
        random: A source of random bytes.

    Raises:
        ConfigurationError: The key has another length, or the description is no mapping of strings.
    """

    def __init__(
        self,
        wrapping_key: bytes | bytearray | SecretBytes,
        *,
        material_description: Mapping[str, str] | None = None,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        self._key = wrapping_key.copy() if isinstance(wrapping_key, SecretBytes) else SecretBytes(wrapping_key)
        if len(self._key) not in aes_wraps.KEY_SIZES:
            raise ConfigurationError(f"the wrapping key has {len(self._key)} bytes; use 16, 24 or 32 random ones")
        self._description = check_material_description(material_description)
        self._random = random

    @property
    def material_description(self) -> Mapping[str, str] | None:
        """What objects of this key are described by; `None` if anything."""
        return self._description

    @property
    def s3ec_wraps(self) -> frozenset[WrapAlgorithm]:
        """All that AES has."""
        return aes_wraps.WRAPS

    def make_s3ec_data_key(self, content: ContentAlgorithm, context: Mapping[str, str]) -> S3ecDataKey:
        """Return a random data key, wrapped by AES-GCM.

        Raises:
            ConfigurationError: An encryption context is given.
        """
        check_no_context(context)
        return aes_wraps.make_data_key(self._key, content, self._description, self._random)

    def open_s3ec_data_key(self, envelope: S3ecEnvelope) -> SecretBytes:
        """See `S3ecKeyring`.

        Raises:
            NoMatchingKeyError: The object is of another wrap algorithm or description.
            S3ecDecryptionError: The key does not open it.
        """
        check_is_own(envelope, self.s3ec_wraps, self._description, repr(self))
        return aes_wraps.open_data_key(self._key, envelope)

    def __repr__(self) -> str:
        return f"<S3ecAesKeyring of {len(self._key)} bytes>"
