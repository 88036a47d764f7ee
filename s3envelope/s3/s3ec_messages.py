"""Making the envelope of a new object in a format of the Amazon clients, and the sealer of its body."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from s3envelope.core.context import EncryptionContext
from s3envelope.core.key_uses import asked
from s3envelope.core.occurrences import ObjectName
from s3envelope.core.ports import AuditSink, SystemPorts
from s3envelope.errors import ConfigurationError
from s3envelope.formats import names
from s3envelope.formats.s3ec.bodies import MessageSealer
from s3envelope.formats.s3ec.keys import content_of, new_envelope
from s3envelope.formats.s3ec.metadata import (
    COMMITMENT_SIZE,
    IV_SIZES,
    is_reserved_name,
    write_instruction_file,
    write_metadata,
)
from s3envelope.formats.s3ec.model import CEK_ALGORITHM_ENTRY, KMS_KEY_ENTRY, S3ecEnvelope, WrapAlgorithm
from s3envelope.formats.s3ec.ports import S3ecKeyring
from s3envelope.s3.config import EnvelopeConfig
from s3envelope.s3.envelopes import check_metadata_size, check_user_metadata, counted_size

if TYPE_CHECKING:
    from s3envelope.s3.seam import Seam


@dataclass(frozen=True, slots=True, repr=False)
class NewMessage:
    """What an object to be is described by, and the sealer of its body; whoever takes it wipes the sealer.

    Args:
        metadata: Of the object: the user's, and `entries`.
        entries: Only what is ours of it.
        instruction: The content of the instruction file, if there is one.
        commitment: To the key of the body, in those formats that have one.
    """

    metadata: dict[str, str]
    entries: dict[str, str]
    instruction: bytes | None
    sealer: MessageSealer
    commitment: bytes | None


class MessageMaker:
    """Makes objects of one format with one configuration.

    Args:
        keyring: Wraps a new data key for each object: in these formats no two objects may share one.
    """

    def __init__(
        self, config: EnvelopeConfig, keyring: S3ecKeyring, ports: SystemPorts, audit: AuditSink | None = None
    ) -> None:
        self._config = config
        self._audit = audit
        self._keyring = keyring
        self._ports = ports
        self._version = 3 if config.write_format == names.S3EC_V3 else 2
        self._content = content_of(self._version)

    @classmethod
    def of(cls, seam: Seam) -> MessageMaker:
        """Return the maker for a client."""
        # A client that writes such a format has a keyring for it, or was not made.
        return cls(seam.config, cast(S3ecKeyring, seam.s3ec_keyring), seam.ports, seam.audit)

    def check(self, context: EncryptionContext, user_metadata: Mapping[str, str]) -> None:
        """Refuse what `make` would refuse, before any request.

        Raises:
            ConfigurationError: User metadata or the context has a reserved name.
            MetadataTooLargeError: User metadata and envelope will not fit.
        """
        check_user_metadata(user_metadata)
        reserved = sorted(name for name in user_metadata if is_reserved_name(name))
        if reserved:
            raise ConfigurationError(
                f"Metadata has the name {reserved[0]!r}, which belongs to the format of the Amazon clients; use another"
            )
        for name in (CEK_ALGORITHM_ENTRY, KMS_KEY_ENTRY):
            if name in context:
                raise ConfigurationError(
                    f"the encryption context has the name {name!r}, which belongs to the format; use another"
                )
        check_metadata_size(
            counted_size(user_metadata) + counted_size(self._written(self._expected(context))[0]),
            self._config.metadata_limit,
        )

    def make(
        self,
        name: ObjectName,
        context: EncryptionContext,
        user_metadata: Mapping[str, str],
        plaintext_size: int | None,
    ) -> NewMessage:
        """Return the metadata of a new object and the sealer of its body; asks for a data key.

        Args:
            name: Of the object.
            plaintext_size: If it is known. V2 stores it; the stored size tells it to everybody anyway.

        Raises:
            KeyringError: There is no data key to be had.
            ConfigurationError: The keyring takes no encryption context, or cannot encrypt.
            MetadataTooLargeError: The encrypted data key is larger than expected.
        """
        data_key = self._keyring.make_s3ec_data_key(self._content, dict(context))
        with data_key.plaintext:
            if self._audit is not None:
                self._audit.record(asked("generate", data_key.call, context, name))
            # INVARIANT: a new data key for each object, and new random bytes beside it: in V2 it is used as it is.
            envelope = new_envelope(self._version, data_key, self._ports.random, plaintext_size=plaintext_size)
            entries, instruction = self._written(envelope)
            metadata = {**user_metadata, **entries}
            check_metadata_size(counted_size(metadata), self._config.metadata_limit)
            sealer = MessageSealer(envelope, data_key.plaintext)
            return NewMessage(metadata, entries, instruction, sealer, envelope.commitment)

    def _expected(self, context: EncryptionContext) -> S3ecEnvelope:
        """Return an envelope that is no larger than the one to be."""
        # Only KMS is asked over a network; what others make is measured before anything is sent.
        sizes = getattr(self._keyring, "encrypted_data_key_sizes", ())
        is_kms = bool(sizes) and WrapAlgorithm.KMS_CONTEXT in self._keyring.s3ec_wraps
        return S3ecEnvelope(
            version=self._version,
            content=self._content,
            wrap=WrapAlgorithm.KMS_CONTEXT if is_kms else WrapAlgorithm.AES_GCM,
            encrypted_data_key=bytes(min(sizes)) if is_kms else b"",
            iv=bytes(IV_SIZES[self._content]),
            commitment=bytes(COMMITMENT_SIZE) if self._version == 3 else None,
            description={**context, CEK_ALGORITHM_ENTRY: self._content.value} if is_kms else {},
        )

    def _written(self, envelope: S3ecEnvelope) -> tuple[dict[str, str], bytes | None]:
        """Return (metadata of the object, content of the instruction file)."""
        if self._config.instruction_file:
            return write_instruction_file(envelope)
        return write_metadata(envelope), None
