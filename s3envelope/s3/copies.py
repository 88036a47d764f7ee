"""Copies: the body stays where S3 has it, the copy gets a header of its own.

Source: FORMAT.md, section "Copying".
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from s3envelope.core.context import EncryptionContext
from s3envelope.core.envelope import Envelope, open_header, without_envelope
from s3envelope.core.kdf import BodyKey
from s3envelope.core.occurrences import ObjectName
from s3envelope.core.ports import Keyring, MaterialsManager
from s3envelope.core.ranges import ByteRange
from s3envelope.core.secret import SecretBytes
from s3envelope.engine.opening import ReadPolicy
from s3envelope.errors import ConfigurationError, NotEncryptedError, ObjectChangedError, UnsupportedOperationError
from s3envelope.formats import names
from s3envelope.formats.s3ec.metadata import is_reserved_name
from s3envelope.formats.s3ec.model import S3ecEnvelope
from s3envelope.s3 import s3ec_copies
from s3envelope.s3.auditing import about_copy, undertaken
from s3envelope.s3.config import EnvelopeConfig
from s3envelope.s3.copy_sources import CONDITIONS, CopySource, conditions_hold
from s3envelope.s3.range_reader import RangeReader
from s3envelope.s3.responses import drop_wire_coding
from s3envelope.s3.s3ec_reads import check_format
from s3envelope.s3.sizes import error_answer
from s3envelope.s3.writes import ENTRIES_PARAMETER, validate

if TYPE_CHECKING:
    from s3envelope.s3.seam import Seam

SHARE_KEY_PARAMETER = "ShareKey"
# What S3 copies with an object unless it is replaced.
PRESERVED = (
    "CacheControl",
    "ContentDisposition",
    "ContentEncoding",
    "ContentLanguage",
    "ContentType",
    "Expires",
)
_CUSTOMER_KEYS = ("SSECustomerKey", "CopySourceSSECustomerKey")
_CHANGES_ON_SELF_COPY = ("StorageClass", "ServerSideEncryption", "SSECustomerKey", "WebsiteRedirectLocation")


@dataclass(frozen=True, slots=True)
class Reader:
    """The side of a copy that looks at its source.

    Args:
        client: For whole requests, in its own terms.
        raw: Makes a request in ciphertext terms: operation and parameters.
        config, keyring, materials: Of whoever opens the source.
    """

    client: Any
    raw: Callable[[str, dict[str, Any]], dict[str, Any]]
    config: EnvelopeConfig
    keyring: Keyring
    materials: MaterialsManager

    @classmethod
    def of(cls, seam: Seam, client: Any = None) -> Reader:
        """Return the reader for a `SourceClient`; a plain one only makes the requests, and `seam` opens."""
        theirs = seam if client is None else getattr(client, "_s3envelope", None)
        if theirs is not None:
            return cls(theirs.client(), theirs.inner, theirs.config, theirs.keyring, theirs.materials)
        methods = {"HeadObject": client.head_object, "GetObject": client.get_object}
        return cls(
            client,
            lambda operation, parameters: methods[operation](**parameters),
            seam.config,
            seam.keyring,
            seam.materials,
        )


@dataclass(frozen=True, slots=True)
class Source:
    """The source of a copy, as its HEAD shows it.

    Args:
        reader: Who looks at it and opens it.
        where: The object.
        answer: The raw answer to HEAD.
        envelope: `None` if the source is not encrypted, or of an Amazon format.
        s3ec: Its description in an Amazon format.
    """

    reader: Reader
    where: CopySource
    answer: Mapping[str, Any]
    envelope: Envelope | None
    s3ec: S3ecEnvelope | None = None

    @property
    def etag(self) -> str:
        return str(self.answer["ETag"])


def find_source(seam: Seam, reader: Reader, arguments: Mapping[str, Any], operation: str) -> Source:
    """Look at the source of a copy.

    Args:
        seam: Of the client that writes.
        reader: Looks at the source and opens it.
        arguments: Of the copy.
        operation: For the errors, which are those that S3 gives to the copy.

    Raises:
        ClientError: The source does not exist, or a condition does not hold.
        NotEncryptedError: It has no envelope, and the configuration refuses that.
    """
    where = CopySource.parse(arguments.get("CopySource"))
    parameters = where.parameters(arguments)
    try:
        answer = reader.raw("HeadObject", parameters)
    except ClientError as error:
        raise _as_copy_error(seam, reader, error, parameters, operation) from error
    if not conditions_hold(arguments, answer["ETag"], answer["LastModified"]):
        message = "At least one of the pre-conditions you specified did not hold"
        raise seam.error("PreconditionFailed", error_answer("PreconditionFailed", message, 412), operation)
    stored = answer.get("Metadata") or {}
    check_format(reader.config, stored)
    try:
        envelope = Envelope.parse(stored)
    except NotEncryptedError:
        s3ec = s3ec_copies.source_envelope(reader, where, parameters, answer)
        if s3ec is not None:
            return Source(reader, where, answer, None, s3ec)
        if seam.config.unencrypted == "refuse":
            raise
        return Source(reader, where, answer, None)
    entries = reader.config.context_for(where.bucket, where.key)
    ReadPolicy(entries, reader.config.bind_key_name).check(envelope)
    return Source(reader, where, answer, envelope)


def _as_copy_error(
    seam: Seam, reader: Reader, error: ClientError, parameters: dict[str, Any], operation: str
) -> ClientError:
    """Return the error that S3 gives to a copy, which unlike one to HEAD has a code."""
    code, message, answer = str(error.response["Error"].get("Code", "")), str(error), dict(error.response)
    if code.isdigit():
        # The answer to a HEAD has no body that could tell more.
        try:
            reader.raw("GetObject", parameters)["Body"].close()
        except ClientError as telling:
            code, message = telling.response["Error"]["Code"], telling.response["Error"].get("Message", "")
    return seam.error(code, {**answer, "Error": {"Code": code, "Message": message}}, operation)


def destination_arguments(seam: Seam, source: Source, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a copy of an enveloped source: with a new envelope, and everything else kept.

    Args:
        arguments: As the caller gave them, with `Bucket` and `Key`.

    Raises:
        UnsupportedOperationError: The copy would share the body's key with readers of other keys, unasked.
        DecryptionError, KeyringError: The source does not open.
    """
    refuse_other_format(seam, "the copy of an object of the format SE1")
    given = dict(arguments)
    entries = given.pop(ENTRIES_PARAMETER, None)
    _check_sharing(seam, source, share_key=bool(given.pop(SHARE_KEY_PARAMETER, False)))
    user_metadata = take_metadata(given, source)
    bucket, key = given["Bucket"], given["Key"]
    envelope = source.envelope
    if envelope is None:
        raise ConfigurationError("the source has no envelope")
    context = EncryptionContext({**envelope.context, **seam.config.context_for(bucket, key, entries)})
    seam.envelopes.check(key, context, user_metadata)
    object_key, body_key = _open(source, envelope)
    body_key.wipe()
    with object_key:
        header = envelope.header
        new = seam.envelopes.rewrap(
            object_key, header, ObjectName(bucket, key), context, user_metadata, bound=header.bound
        )
    new.body_key.wipe()
    for condition in CONDITIONS:
        given.pop(condition, None)
    # INVARIANT: the copy is tied to the very header that was read; else a new body could get an old header.
    given.update(Metadata=new.metadata, MetadataDirective="REPLACE", CopySourceIfMatch=source.etag)
    return given


def refuse_other_format(seam: Seam, what: str) -> None:
    """Refuse what would write SE1 with a client that is to write another format.

    Raises:
        UnsupportedOperationError: It is.
    """
    if seam.config.write_format != names.SE1:
        raise UnsupportedOperationError(
            f"{what} is refused: it would be SE1 again, and this client writes {seam.config.write_format}. Instead, "
            "read the object and put it, or use a client with write_format='se1'"
        )


def _check_sharing(seam: Seam, source: Source, *, share_key: bool) -> None:
    if not share_key and not seam.keyring.key_ids <= source.reader.keyring.key_ids:
        raise UnsupportedOperationError(
            "the copy is refused: it would be readable with keys that cannot read its source, and whoever can open one "
            "of two copies can forge the other. Instead, read the object and put it under the new key; or pass "
            f"{SHARE_KEY_PARAMETER}=True if that is wanted"
        )


def _open(source: Source, envelope: Envelope) -> tuple[SecretBytes, BodyKey]:
    def attempt(data_key: SecretBytes) -> tuple[SecretBytes, BodyKey]:
        return open_header(data_key, envelope.header, envelope.context, source.where.key)

    name = ObjectName(source.where.bucket, source.where.key)
    return source.reader.materials.open_with_data_key(
        envelope.encrypted_data_keys, envelope.context, attempt, about=name
    )


def take_metadata(arguments: dict[str, Any], source: Source) -> dict[str, str]:
    """Take the user metadata of the copy out of its arguments; put the headers there that S3 would keep."""
    given = arguments.pop("Metadata", None) or {}
    if arguments.get("MetadataDirective") == "REPLACE":
        return dict(given)
    for name in PRESERVED:
        arguments.pop(name, None)
        if name in source.answer:
            arguments[name] = source.answer[name]
    drop_wire_coding(arguments)
    return without_envelope(source.answer.get("Metadata") or {})


def s3ec_arguments(seam: Seam, source: Source, envelope: S3ecEnvelope, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a copy of an object of an Amazon format; see `s3ec_copies.arguments_of`."""
    given = dict(arguments)
    replaces = given.get("MetadataDirective") == "REPLACE"
    metadata = take_metadata(given, source)
    if not replaces:
        metadata = {name: value for name, value in metadata.items() if not is_reserved_name(name)}
    return s3ec_copies.arguments_of(seam, source, envelope, given, metadata)


def copy_object(seam: Seam, parameters: dict[str, Any]) -> dict[str, Any]:
    """Copy an object; nothing of its body is downloaded if it is enveloped."""
    _validate(seam, "CopyObject", parameters)
    source = find_source(seam, Reader.of(seam), parameters, "CopyObject")
    _refuse_idle_self_copy(seam, source, parameters)
    if source.s3ec is not None:
        planned = s3ec_arguments(seam, source, source.s3ec, parameters)
        answer = seam.inner("CopyObject", planned)
        s3ec_copies.finish(seam, source, source.s3ec, planned, answer)
        return answer
    if source.envelope is None:
        return _seal_plain(seam, source, parameters)
    arguments = destination_arguments(seam, source, parameters)
    with undertaken(seam, about_copy(arguments, source.envelope.header.commitment)) as undertaking:
        answer = seam.inner("CopyObject", arguments)
        verify_copy(seam, arguments, answer)
        undertaking.succeeded(answer)
    return answer


def _validate(seam: Seam, operation: str, parameters: dict[str, Any]) -> None:
    checked = {
        name: value for name, value in parameters.items() if name not in (ENTRIES_PARAMETER, SHARE_KEY_PARAMETER)
    }
    for name in _CUSTOMER_KEYS:
        if isinstance(checked.get(name), bytes | bytearray):
            # botocore takes bytes, and puts them into base64 before it validates.
            checked[name] = ""
    if isinstance(checked.get("CopySource"), Mapping):
        where = CopySource.parse(checked["CopySource"])
        checked["CopySource"] = f"{where.bucket}/{where.key}"
    validate(checked, seam.client().meta.service_model.operation_model(operation))


def _refuse_idle_self_copy(seam: Seam, source: Source, parameters: Mapping[str, Any]) -> None:
    is_same = (parameters["Bucket"], parameters["Key"]) == (source.where.bucket, source.where.key)
    changes = parameters.get("MetadataDirective") == "REPLACE" or any(
        name in parameters for name in (*_CHANGES_ON_SELF_COPY, ENTRIES_PARAMETER)
    )
    if is_same and not changes and source.where.version_id is None:
        message = (
            "This copy request is illegal because it is trying to copy an object to itself without changing the "
            "object's metadata, storage class, website redirect location or encryption attributes."
        )
        raise seam.error("InvalidRequest", error_answer("InvalidRequest", message, 400), "CopyObject")


def verify_copy(seam: Seam, arguments: Mapping[str, Any], answer: Mapping[str, Any]) -> None:
    """See that the copy has its envelope.

    Raises:
        ObjectChangedError: It has not: the server lost it, or somebody else wrote the object meanwhile.
    """
    names = ("Bucket", "Key", "SSECustomerAlgorithm", "SSECustomerKey", "SSECustomerKeyMD5", "RequestPayer")
    parameters = {name: arguments[name] for name in (*names, "ExpectedBucketOwner") if name in arguments}
    if answer.get("VersionId"):
        parameters["VersionId"] = answer["VersionId"]
    written = seam.inner("HeadObject", parameters).get("Metadata") or {}
    stored = {name.lower(): value for name, value in written.items()}
    sent = Envelope.parse(arguments["Metadata"]).to_metadata()
    if any(stored.get(name) != value for name, value in sent.items()):
        raise ObjectChangedError(
            "the copy has not the envelope that was sent: the server lost it, or the object was written by somebody "
            "else meanwhile. The source is unchanged"
        )


def _seal_plain(seam: Seam, source: Source, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Copy an object without envelope: it is read, and written sealed."""
    arguments = {name: value for name, value in parameters.items() if name != SHARE_KEY_PARAMETER}
    arguments["Metadata"] = take_metadata(arguments, source)
    arguments.update(plain_tagging(source, arguments))
    model = seam.client().meta.service_model.operation_model("PutObject")
    known = {name: arguments[name] for name in (*model.input_shape.members, ENTRIES_PARAMETER) if name in arguments}
    where = source.where.parameters(parameters)
    with closing(RangeReader(source.reader.client, where, source.etag)) as content:
        written = seam.client().put_object(**known, Body=content.body())
    stored = seam.inner("HeadObject", {"Bucket": known["Bucket"], "Key": known["Key"]})
    result = {"ETag": written["ETag"], "LastModified": stored["LastModified"]}
    kept = {name: value for name, value in written.items() if name not in ("ETag",) and not name.startswith("Checksum")}
    return {**kept, "CopyObjectResult": result}


def plain_tagging(source: Source, arguments: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags that a copy takes along, where the copy is made of a read and a write."""
    if arguments.get("TaggingDirective", "COPY") == "REPLACE" or not source.answer.get("TagCount"):
        return {}
    where = source.where.as_parameter()
    tags = source.reader.client.get_object_tagging(**where)["TagSet"]
    return {"Tagging": urllib.parse.urlencode({tag["Key"]: tag["Value"] for tag in tags})}


def upload_part_copy(seam: Seam, parameters: dict[str, Any]) -> dict[str, Any]:
    """Read and verify a range of an object, plaintext coordinates, and seal it as a part."""
    _validate(seam, "UploadPartCopy", parameters)
    source = find_source(seam, Reader.of(seam), parameters, "UploadPartCopy")
    where = source.where.parameters(parameters)
    interval = None
    if "CopySourceRange" in parameters:
        size = int(seam.client().head_object(**where)["ContentLength"])
        interval = _copied_range(seam, parameters["CopySourceRange"], size)
    names = ("Bucket", "Key", "UploadId", "PartNumber", "SSECustomerAlgorithm", "SSECustomerKey", "SSECustomerKeyMD5")
    request = {name: parameters[name] for name in (*names, "RequestPayer", "ExpectedBucketOwner") if name in parameters}
    algorithm = seam.uploads.get(parameters).checksum_algorithm
    if algorithm is not None:
        request["ChecksumAlgorithm"] = algorithm
    with closing(RangeReader(seam.client(), where, source.etag, interval)) as content:
        answer = seam.client().upload_part(**request, Body=content.body())
    result = {name: value for name, value in answer.items() if name == "ETag" or name.startswith("Checksum")}
    result["LastModified"] = source.answer["LastModified"]
    return {"CopyPartResult": result, "ResponseMetadata": answer["ResponseMetadata"]}


def _copied_range(seam: Seam, header: str, size: int) -> tuple[int, int]:
    wanted = ByteRange.parse(header)
    if wanted is None or wanted.first is None or wanted.last is None or wanted.last >= size:
        message = f"Range specified is not valid for source object of size: {size}"
        raise seam.error("InvalidArgument", error_answer("InvalidArgument", message, 400), "UploadPartCopy")
    return wanted.first, wanted.last + 1
