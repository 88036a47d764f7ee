"""Making the envelope of a new object, and what of it goes into the parameters of a call."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from s3envelope.core.context import EncryptionContext
from s3envelope.core.envelope import (
    CONTEXT_NAME,
    HEADER_NAME,
    KEYS_NAME,
    Envelope,
    Header,
    encode_object_name,
    is_envelope_name,
    open_header,
    seal_header,
)
from s3envelope.core.kdf import KEY_SIZE, BodyKey
from s3envelope.core.occurrences import ObjectName
from s3envelope.core.ports import Keyring, MaterialsManager, SystemPorts
from s3envelope.core.secret import SecretBytes
from s3envelope.core.segments import NONCE_SIZE
from s3envelope.errors import ConfigurationError, KeyCommitmentError, MetadataTooLargeError

# What S3 counts beside names and values is not documented; the prefix `x-amz-meta-` is counted to be safe.
_PREFIX_SIZE = len("x-amz-meta-")
_HEADER_LENGTH = 124
_ENTRY_OVERHEAD = 6


@dataclass(frozen=True, slots=True, repr=False)
class NewEnvelope:
    """The metadata of an object to be, and the key of its body; whoever takes it wipes the key."""

    metadata: dict[str, str]
    body_key: BodyKey

    @property
    def entries(self) -> dict[str, str]:
        """Only what is ours of the metadata."""
        return {name: value for name, value in self.metadata.items() if is_envelope_name(name)}


def check_user_metadata(metadata: Mapping[str, str]) -> None:
    """Raise `ConfigurationError` if user metadata uses a name of ours, or two names that S3 takes for one."""
    reserved = sorted(name for name in metadata if is_envelope_name(name))
    if reserved:
        raise ConfigurationError(
            f"Metadata has the name {reserved[0]!r}; names that start with 'se', digits and '-' are reserved"
        )
    if len({name.lower() for name in metadata}) != len(metadata):
        raise ConfigurationError("Metadata has two names that differ in case only; S3 stores names in lower case")


def _encoded_length(size: int) -> int:
    return -(-size * 4 // 3)


def counted_size(metadata: Mapping[str, str]) -> int:
    """Return what metadata takes of the limit, in bytes."""
    return sum(len(name.encode()) + _PREFIX_SIZE + len(value.encode()) for name, value in metadata.items())


def _expected_lengths(key_sizes: Sequence[int], context: EncryptionContext) -> int:
    lengths = {
        HEADER_NAME: _HEADER_LENGTH,
        KEYS_NAME: _encoded_length(sum(key_sizes) + _ENTRY_OVERHEAD * len(key_sizes)),
    }
    if context:
        lengths[CONTEXT_NAME] = _encoded_length(len(context.canonical))
    return sum(len(name) + _PREFIX_SIZE + length for name, length in lengths.items())


def check_metadata_size(size: int, limit: int) -> None:
    """Raise `MetadataTooLargeError` if the metadata of an object takes more than the limit."""
    if size > limit:
        raise MetadataTooLargeError(
            f"Metadata, encryption context and envelope take {size} bytes together; at most {limit} fit. "
            "Shorten the user metadata or the encryption context"
        )


class EnvelopeMaker:
    """Makes envelopes with one configuration.

    Args:
        keyring: Asked for the usual size of its encrypted data keys only.
        materials: Gives data keys.
        bind_key_name: Whether headers are bound to the object's key.
        metadata_limit: In bytes.
    """

    def __init__(
        self,
        keyring: Keyring,
        materials: MaterialsManager,
        ports: SystemPorts,
        *,
        bind_key_name: bool,
        metadata_limit: int,
    ) -> None:
        self._keyring = keyring
        self._materials = materials
        self._ports = ports
        self._bind_key_name = bind_key_name
        self._metadata_limit = metadata_limit

    def check(self, key: str, context: EncryptionContext, user_metadata: Mapping[str, str]) -> None:
        """Refuse what `make` would refuse, before any request.

        Raises:
            ConfigurationError: The key is no valid Unicode, or user metadata has a reserved name.
            MetadataTooLargeError: User metadata and envelope will not fit.
        """
        encode_object_name(key)
        check_user_metadata(user_metadata)
        expected = _expected_lengths(self._keyring.encrypted_data_key_sizes, context)
        check_metadata_size(counted_size(user_metadata) + expected, self._metadata_limit)

    def make(
        self, name: ObjectName, context: EncryptionContext, user_metadata: Mapping[str, str], *, indexed: bool
    ) -> NewEnvelope:
        """Return the complete metadata of a new object, and its body key; asks for a data key.

        Raises:
            KeyringError: There is no data key to be had.
            MetadataTooLargeError: The encrypted data keys are larger than expected.
        """
        data_key = self._materials.data_key_for_sealing(context, about=name)
        with data_key.plaintext, SecretBytes.take(self._ports.random(KEY_SIZE)) as object_key:
            header, body_key = seal_header(
                data_key.plaintext,
                object_key,
                context=context,
                bound_name=name.key if self._bind_key_name else None,
                indexed=indexed,
                nonce=self._ports.random(NONCE_SIZE),
            )
        return self._complete(Envelope(header, data_key.encrypted, context), user_metadata, body_key)

    def rewrap(
        self,
        object_key: SecretBytes,
        source: Header,
        name: ObjectName,
        context: EncryptionContext,
        user_metadata: Mapping[str, str],
        *,
        bound: bool,
    ) -> NewEnvelope:
        """Return the metadata of a copy: the same object key in a header of its own, under a data key of its own.

        Args:
            object_key: What the source's header opened to.
            source: That header; layout and commitment stay.
            name: That of the copy.
            bound: Whether the copy opens only under that name. INVARIANT: only a source that was bound, or one that
                the caller vouches for, may become so: else anybody's object would get a trusted name.

        Raises:
            KeyringError: There is no data key to be had.
            KeyCommitmentError: The new header would not open to the same body.
        """
        data_key = self._materials.data_key_for_sealing(context, about=name)
        with data_key.plaintext:
            header, body_key = seal_header(
                data_key.plaintext,
                object_key,
                context=context,
                bound_name=name.key if bound else None,
                indexed=source.indexed,
                nonce=self._ports.random(NONCE_SIZE),
            )
            # INVARIANT: nothing replaces a header before the new one has been seen to open to the same body.
            opened, opened_key = open_header(data_key.plaintext, header, context, name.key)
        opened.wipe()
        opened_key.wipe()
        if header.commitment != source.commitment:
            raise KeyCommitmentError("the new header would not open to the same body; nothing was written")
        return self._complete(Envelope(header, data_key.encrypted, context), user_metadata, body_key)

    def _complete(self, envelope: Envelope, user_metadata: Mapping[str, str], body_key: BodyKey) -> NewEnvelope:
        metadata = {**user_metadata, **envelope.to_metadata()}
        check_metadata_size(counted_size(metadata), self._metadata_limit)
        return NewEnvelope(metadata, body_key)
