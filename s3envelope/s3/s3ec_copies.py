"""Copies of objects that an Amazon S3 Encryption Client wrote: they bind no name, so a copy is the same object again.

Its envelope goes along as it is, with its instruction file if it has one: first the object, then the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from s3envelope.engine.s3ec_opening import describe_stored
from s3envelope.errors import (
    ConfigurationError,
    ContextMismatchError,
    NotEncryptedError,
    ObjectChangedError,
    UnsupportedOperationError,
)
from s3envelope.formats.s3ec.metadata import is_reserved_name
from s3envelope.formats.s3ec.model import S3ecEnvelope
from s3envelope.formats.s3ec.policy import FormatPolicy, check_description
from s3envelope.s3.copy_sources import CONDITIONS, CopySource
from s3envelope.s3.instruction_files import copy_instruction_file, read_instruction_file
from s3envelope.s3.s3ec_reads import is_marked, may_be_s3ec
from s3envelope.s3.writes import ENTRIES_PARAMETER

if TYPE_CHECKING:
    from s3envelope.s3.copies import Reader, Source
    from s3envelope.s3.seam import Seam

_SHARE_KEY_PARAMETER = "ShareKey"
_CARRIED = ("Bucket", "Key", "SSECustomerAlgorithm", "SSECustomerKey", "SSECustomerKeyMD5", "RequestPayer")


def source_envelope(
    reader: Reader, where: CopySource, parameters: Mapping[str, Any], head: Mapping[str, Any]
) -> S3ecEnvelope | None:
    """Return the description of the source of a copy, if it is of an Amazon format; `head` is the answer to its HEAD.

    Raises:
        NotEncryptedError: It has half a description.
        UnsupportedFormatError: It is of a format that the reader does not read.
        ContextMismatchError: Its encryption context is not the one that the reader expects.
    """
    config = reader.config

    def fetch_instruction() -> bytes | None:
        return read_instruction_file(reader.raw, config.instruction_suffix, parameters)

    stored = head.get("Metadata") or {}
    if not config.reads_s3ec and not is_marked(stored):
        return None
    try:
        envelope = describe_stored(stored, fetch_instruction, is_missing=bool(head.get("MissingMeta")))
    except NotEncryptedError:
        if is_marked(stored):
            raise
        return None
    FormatPolicy(config.read_formats).check(envelope)
    check_description(envelope, config.context_for(where.bucket, where.key))
    return envelope


def arguments_of(
    seam: Seam, source: Source, envelope: S3ecEnvelope, arguments: Mapping[str, Any], metadata: Mapping[str, str]
) -> dict[str, Any]:
    """Return the arguments of a copy: with the envelope of the source, and everything else as the caller wants it.

    Args:
        metadata: Of the copy, without the envelope.

    Raises:
        ConfigurationError: User metadata has a reserved name.
        UnsupportedFormatError: This client could not read the copy.
        UnsupportedOperationError: The copy would need another encryption context.
    """
    given = dict(arguments)
    entries = given.pop(ENTRIES_PARAMETER, None)
    given.pop(_SHARE_KEY_PARAMETER, None)
    FormatPolicy(seam.config.read_formats).check(envelope)
    try:
        check_description(envelope, seam.config.context_for(given["Bucket"], given["Key"], entries))
    except ContextMismatchError:
        raise UnsupportedOperationError(
            "the copy is refused: an object of an Amazon format keeps its encryption context, and the one that is "
            "expected at the target is another. Instead, read the object and put it there"
        ) from None
    reserved = sorted(name for name in metadata if is_reserved_name(name))
    if reserved:
        raise ConfigurationError(f"Metadata has the name {reserved[0]!r}, which the Amazon formats reserve; rename it")
    for condition in CONDITIONS:
        given.pop(condition, None)
    kept = _envelope_of(source.answer.get("Metadata") or {})
    # INVARIANT: the copy is tied to the very object that was looked at.
    given.update(Metadata={**metadata, **kept}, MetadataDirective="REPLACE", CopySourceIfMatch=source.etag)
    return given


def finish(
    seam: Seam, source: Source, envelope: S3ecEnvelope, planned: Mapping[str, Any], answer: Mapping[str, Any]
) -> None:
    """Copy the instruction file, if the source has one, and see that the copy has its envelope.

    Raises:
        ClientError: The file could not be copied: the copy cannot be read. Copy again; the source is unchanged.
        ObjectChangedError: The copy has not the envelope that was sent.
    """
    if envelope.has_instruction_file:
        suffix = source.reader.config.instruction_suffix
        target = (planned["Bucket"], planned["Key"] + seam.config.instruction_suffix)
        if (source.where.bucket, source.where.key + suffix) != target:
            copy_instruction_file(seam, source.where, planned, source_suffix=suffix)
    parameters = {name: planned[name] for name in (*_CARRIED, "ExpectedBucketOwner") if name in planned}
    if answer.get("VersionId"):
        parameters["VersionId"] = answer["VersionId"]
    written = seam.inner("HeadObject", parameters).get("Metadata") or {}
    if _envelope_of(written) != _envelope_of(planned["Metadata"]):
        raise ObjectChangedError(
            "the copy has not the envelope that was sent: the server lost it, or the object was written by somebody "
            "else meanwhile. The source is unchanged"
        )


def refuse_s3ec(seam: Seam, stored: Mapping[str, str], parameters: Mapping[str, Any]) -> None:
    """Refuse what cannot be done with an object of an Amazon format: to give it another envelope.

    Args:
        stored: Its metadata.
        parameters: Of a HEAD of it.

    Raises:
        UnsupportedOperationError: It is such an object.
    """
    is_s3ec = is_marked(stored)
    if seam.config.reads_s3ec and may_be_s3ec(stored) and not is_s3ec:
        is_s3ec = read_instruction_file(seam.inner, seam.config.instruction_suffix, parameters) is not None
    if is_s3ec and may_be_s3ec(stored):
        raise UnsupportedOperationError(
            "rewrap_object is refused: it makes SE1 envelopes, and the object is of an Amazon format. Instead, read "
            "the object and put it, or let `s3envelope rotate --reencrypt` do that"
        )


def _envelope_of(metadata: Mapping[str, str]) -> dict[str, str]:
    return {name.lower(): value for name, value in metadata.items() if is_reserved_name(name)}
