"""What the formats of the Amazon clients need of a keyring."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from s3envelope.core.occurrences import KeyServiceCall
from s3envelope.core.secret import SecretBytes
from s3envelope.formats.s3ec.model import ContentAlgorithm, S3ecEnvelope, WrapAlgorithm


@dataclass(frozen=True, slots=True, repr=False)
class S3ecDataKey:
    """A fresh data key of 32 bytes, wrapped once; whoever takes it wipes it.

    Args:
        description: What is stored beside it: with KMS the whole encryption context, else the material description.
        call: The request that made it, for the audit.
    """

    plaintext: SecretBytes
    encrypted: bytes
    wrap: WrapAlgorithm
    description: Mapping[str, str]
    call: KeyServiceCall | None = None


class OpenedDataKey(SecretBytes):
    """The data key of an object, and the request that opened it, for the audit."""

    __slots__ = ("call",)

    def __init__(self, material: bytes | bytearray | memoryview, call: KeyServiceCall | None = None) -> None:
        super().__init__(material)
        self.call = call


@runtime_checkable
class S3ecKeyring(Protocol):
    """Wraps and unwraps data keys as the Amazon S3 Encryption Clients do. Methods may be called from several threads.

    The keyring is chosen by configuration alone; nothing in an object chooses the key that is asked.
    """

    @property
    def s3ec_wraps(self) -> frozenset[WrapAlgorithm]:
        """The algorithms that this keyring can unwrap; the policy decides which of them it may."""
        ...

    def make_s3ec_data_key(self, content: ContentAlgorithm, context: Mapping[str, str]) -> S3ecDataKey:
        """Return a new data key for a content algorithm.

        Args:
            context: The caller's encryption context, without reserved entries. A keyring without encryption contexts
                must refuse one that is not empty.

        Must raise `ConfigurationError` for a context that it cannot take or a key that cannot encrypt, and a
        `KeyringError` when a key service refuses or cannot be reached.
        """
        ...

    def open_s3ec_data_key(self, envelope: S3ecEnvelope) -> SecretBytes:
        """Return the 32 bytes of an object's data key; the caller wipes them.

        The envelope has passed the policy, and its description the comparison with the expected context.

        Must raise `NoMatchingKeyError` when its wrap algorithm or material description is not of this keyring,
        `S3ecDecryptionError` (one text) when the key does not open, a `KeyringError` when a key service refuses or
        cannot be reached.
        """
        ...
