"""What describes an object in its metadata and instruction file: read strictly, written in one way."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Mapping
from typing import TypeVar

from s3envelope.errors import MalformedEnvelopeError, NotEncryptedError
from s3envelope.formats.s3ec.descriptions import (
    MAX_TEXT_SIZE,
    parse_description,
    parse_flat_object,
    write_description,
)
from s3envelope.formats.s3ec.model import TAG_SIZE, ContentAlgorithm, S3ecEnvelope, WrapAlgorithm

KEY_V1, KEY_V2, KEY_V3 = "x-amz-key", "x-amz-key-v2", "x-amz-3"
IV, CONTENT, WRAP = "x-amz-iv", "x-amz-cek-alg", "x-amz-wrap-alg"
DESCRIPTION, TAG_LENGTH = "x-amz-matdesc", "x-amz-tag-len"
CONTENT_V3, WRAP_V3, COMMITMENT_V3, MESSAGE_ID_V3 = "x-amz-c", "x-amz-w", "x-amz-d", "x-amz-i"
DESCRIPTION_V3, CONTEXT_V3 = "x-amz-m", "x-amz-t"
PLAINTEXT_SIZE, PLAINTEXT_MD5 = "x-amz-unencrypted-content-length", "x-amz-unencrypted-content-md5"
INSTRUCTION_FILE_MARKER = "x-amz-crypto-instr-file"

MAX_INSTRUCTION_FILE_SIZE = MAX_TEXT_SIZE
COMMITMENT_SIZE = MESSAGE_ID_SIZE = 28
IV_SIZES = {ContentAlgorithm.GCM: 12, ContentAlgorithm.CBC: 16, ContentAlgorithm.GCM_COMMITTED: MESSAGE_ID_SIZE}
V3_WRAPS = {"02": WrapAlgorithm.AES_GCM, "12": WrapAlgorithm.KMS_CONTEXT, "22": WrapAlgorithm.RSA_OAEP_SHA1}

# V1 writes no wrap algorithm, and V2 always does.
_V2_WRAPS = {wrap.value: wrap for wrap in WrapAlgorithm if wrap not in (WrapAlgorithm.AES_ECB, WrapAlgorithm.RSA_PKCS1)}
_ANY_V3 = frozenset({KEY_V3, CONTENT_V3, WRAP_V3, COMMITMENT_V3, MESSAGE_ID_V3, DESCRIPTION_V3, CONTEXT_V3})
_ONLY_V2 = frozenset({KEY_V2, CONTENT, WRAP, TAG_LENGTH})
_ANY_V1_V2 = frozenset({KEY_V1, IV, DESCRIPTION}) | _ONLY_V2
_ON_THE_OBJECT = frozenset({CONTENT_V3, COMMITMENT_V3, MESSAGE_ID_V3})
_DESCRIBING = _ANY_V1_V2 | _ANY_V3
RESERVED_NAMES = _DESCRIBING | {PLAINTEXT_SIZE, PLAINTEXT_MD5, INSTRUCTION_FILE_MARKER}

# A data key that is wrapped by AES has one length, and the longest that KMS takes has 6144 bytes.
_WRAPPED_SIZES = {WrapAlgorithm.AES_GCM: 60, WrapAlgorithm.AES_WRAP: 40, WrapAlgorithm.AES_ECB: 48}
_MAX_WRAPPED_SIZE = 6144
_DECIMAL = re.compile(r"[0-9]{1,15}", re.ASCII)
_TAG_BITS = str(TAG_SIZE * 8)

_Choice = TypeVar("_Choice")


def is_reserved_name(name: str) -> bool:
    """Tell whether user metadata may not have this name, in any case, for it would describe the encryption."""
    return _lowered(name) in RESERVED_NAMES


def is_s3ec_metadata(metadata: Mapping[str, str]) -> bool:
    """Tell whether metadata has any field that describes an encryption, so that it is never that of a plain object.

    An object whose description is whole in its instruction file, as V1 and V2 write it, is not recognised by this.
    """
    return any(_lowered(name) in _DESCRIBING for name in metadata)


def may_have_instruction_file(metadata: Mapping[str, str]) -> bool:
    """Tell whether what is missing in metadata can stand in an instruction file: all, or the rest of V3."""
    found = {_lowered(name) for name in metadata}
    return found & _DESCRIBING in (frozenset(), _ON_THE_OBJECT) and INSTRUCTION_FILE_MARKER not in found


def parse(metadata: Mapping[str, str], instruction: bytes | None = None) -> S3ecEnvelope:
    """Return the description of an object.

    Args:
        metadata: The user metadata of the object; names in any case.
        instruction: The content of the instruction file, if `may_have_instruction_file` and there is one.

    Raises:
        NotEncryptedError: There is no envelope, or only a part of one. Such an object is never plaintext to be passed
            on when `is_s3ec_metadata`.
        MalformedEnvelopeError: The envelope breaks the rules of its format, or is of two formats.
    """
    fields = _fields(metadata)
    has_file = may_have_instruction_file(metadata)
    if has_file:
        fields = _with_instruction_file(fields, instruction)
    elif instruction is not None:
        raise MalformedEnvelopeError("the object has an envelope in its metadata and another in an instruction file")
    version = _version(fields)
    if version == 3:
        return _parse_v3(fields, has_file)
    return _parse_v1_v2(fields, version, has_file)


def write_metadata(envelope: S3ecEnvelope) -> dict[str, str]:
    """Return the metadata of an object that has its whole envelope in it.

    Raises:
        ValueError: The envelope is of a format that is not written.
    """
    if envelope.version == 2 and envelope.content is ContentAlgorithm.GCM and envelope.wrap in V3_WRAPS.values():
        fields = {
            KEY_V2: _encode(envelope.encrypted_data_key),
            IV: _encode(envelope.iv),
            CONTENT: envelope.content.value,
            WRAP: envelope.wrap.value,
            DESCRIPTION: write_description(envelope.description),
            TAG_LENGTH: _TAG_BITS,
        }
        return fields if envelope.plaintext_size is None else {**fields, PLAINTEXT_SIZE: str(envelope.plaintext_size)}
    codes = {wrap: code for code, wrap in V3_WRAPS.items()}
    if envelope.version != 3 or envelope.wrap not in codes or envelope.commitment is None:
        raise ValueError("this version, content and wrap algorithm are not written")
    description = CONTEXT_V3 if envelope.wrap is WrapAlgorithm.KMS_CONTEXT else DESCRIPTION_V3
    return {
        CONTENT_V3: envelope.content.value,
        KEY_V3: _encode(envelope.encrypted_data_key),
        WRAP_V3: codes[envelope.wrap],
        description: write_description(envelope.description),
        COMMITMENT_V3: _encode(envelope.commitment),
        MESSAGE_ID_V3: _encode(envelope.iv),
    }


def write_instruction_file(envelope: S3ecEnvelope) -> tuple[dict[str, str], bytes]:
    """Return (metadata of the object, content of the instruction file).

    Raises:
        ValueError: The envelope is of a format that is not written.
    """
    fields = write_metadata(envelope)
    # INVARIANT: the commitment of V3 stays on the object, so that no other instruction file can take its place.
    on_object = _ON_THE_OBJECT if envelope.version == 3 else frozenset({PLAINTEXT_SIZE})
    in_file = {name: value for name, value in fields.items() if name not in on_object}
    kept = {name: value for name, value in fields.items() if name in on_object}
    return kept, json.dumps(in_file, separators=(",", ":")).encode("ascii")


def _lowered(name: str) -> str:
    # Of the letters outside ASCII some have a lower case inside it; no storage makes one from the other.
    return name.lower() if name.isascii() else name


def _fields(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return what belongs to an envelope, with names in lower case."""
    fields: dict[str, str] = {}
    for name, value in metadata.items():
        lowered = _lowered(name)
        if lowered not in RESERVED_NAMES:
            continue
        if lowered in fields:
            raise MalformedEnvelopeError(f"the object's metadata has {lowered} twice")
        fields[lowered] = value
    if sum(map(len, fields.values())) > MAX_TEXT_SIZE:
        raise MalformedEnvelopeError(f"the object's envelope is longer than {MAX_TEXT_SIZE} characters")
    return fields


def _with_instruction_file(fields: Mapping[str, str], instruction: bytes | None) -> dict[str, str]:
    """Return the fields of the object together with those of its instruction file."""
    if instruction is None:
        raise NotEncryptedError("the object has no envelope of an Amazon S3 Encryption Client and no instruction file")
    if len(instruction) > MAX_INSTRUCTION_FILE_SIZE:
        raise MalformedEnvelopeError(f"the instruction file is longer than {MAX_INSTRUCTION_FILE_SIZE} bytes")
    try:
        text = instruction.decode("utf-8")
    except UnicodeDecodeError:
        raise MalformedEnvelopeError("the instruction file is not text in UTF-8") from None
    found = _fields(parse_flat_object(text, "the instruction file", numbers=frozenset({TAG_LENGTH, PLAINTEXT_SIZE})))
    is_v3 = bool(fields.keys() & _ON_THE_OBJECT)
    # INVARIANT: what V3 keeps on the object is never taken from the file, which somebody else may have written.
    foreign = found.keys() & (_ANY_V1_V2 | _ON_THE_OBJECT if is_v3 else _ANY_V3)
    if foreign:
        raise MalformedEnvelopeError(f"the instruction file has {', '.join(sorted(foreign))}, which belongs elsewhere")
    return {**found, **fields}


def _version(fields: Mapping[str, str]) -> int:
    """Return the version of an envelope that has what its version is recognised by."""
    found = fields.keys() & {KEY_V1, KEY_V2, KEY_V3}
    if len(found) > 1:
        raise MalformedEnvelopeError(
            f"the object has encrypted data keys of several formats: {', '.join(sorted(found))}"
        )
    if not found:
        is_part = bool(fields.keys() & _DESCRIBING)
        part = "only a part of an envelope, without an encrypted data key" if is_part else "no envelope"
        raise NotEncryptedError(f"the object has {part} of an Amazon S3 Encryption Client; it is not read")
    (key,) = found
    needed, foreign = {
        KEY_V1: ({IV}, _ANY_V3 | _ONLY_V2),
        KEY_V2: ({IV}, _ANY_V3),
        KEY_V3: ({COMMITMENT_V3, MESSAGE_ID_V3}, _ANY_V1_V2),
    }[key]
    # INVARIANT: a marker of another version is an error and never a choice, or the marker could downgrade an object.
    strange = fields.keys() & foreign
    if strange:
        raise MalformedEnvelopeError(f"the object has {key} and also {', '.join(sorted(strange))} of another format")
    missing = needed - fields.keys()
    if missing:
        raise NotEncryptedError(f"the object has only a part of an envelope: {', '.join(sorted(missing))} is missing")
    return {KEY_V1: 1, KEY_V2: 2, KEY_V3: 3}[key]


def _parse_v3(fields: Mapping[str, str], has_file: bool) -> S3ecEnvelope:
    _choice(fields, CONTENT_V3, {ContentAlgorithm.GCM_COMMITTED.value: ContentAlgorithm.GCM_COMMITTED})
    wrap = _choice(fields, WRAP_V3, V3_WRAPS)
    message_id = _bytes(fields, MESSAGE_ID_V3, MESSAGE_ID_SIZE)
    if not any(message_id):
        raise MalformedEnvelopeError(f"{MESSAGE_ID_V3} is all zeros; it must be random")
    used, unused = (CONTEXT_V3, DESCRIPTION_V3) if wrap is WrapAlgorithm.KMS_CONTEXT else (DESCRIPTION_V3, CONTEXT_V3)
    if parse_description(fields.get(unused, ""), unused):
        raise MalformedEnvelopeError(f"{unused} does not belong to the wrap algorithm {fields[WRAP_V3]}")
    return S3ecEnvelope(
        version=3,
        content=ContentAlgorithm.GCM_COMMITTED,
        wrap=wrap,
        encrypted_data_key=_wrapped_key(fields, KEY_V3, wrap),
        iv=message_id,
        commitment=_bytes(fields, COMMITMENT_V3, COMMITMENT_SIZE),
        description=parse_description(fields.get(used, ""), used),
        plaintext_size=_claimed_size(fields),
        has_instruction_file=has_file,
    )


def _parse_v1_v2(fields: Mapping[str, str], version: int, has_file: bool) -> S3ecEnvelope:
    if version == 1:
        content, key = ContentAlgorithm.CBC, KEY_V1
        # V1 does not say how; the Amazon clients tell by the length, and so can only these two be meant.
        is_rsa = len(_bytes(fields, KEY_V1)) > _WRAPPED_SIZES[WrapAlgorithm.AES_ECB]
        wrap = WrapAlgorithm.RSA_PKCS1 if is_rsa else WrapAlgorithm.AES_ECB
    else:
        contents = {each.value: each for each in (ContentAlgorithm.GCM, ContentAlgorithm.CBC)}
        content, key = _choice(fields, CONTENT, contents), KEY_V2
        wrap = _choice(fields, WRAP, _V2_WRAPS)
        _check_tag_length(fields, content)
        if content is ContentAlgorithm.CBC and wrap in V3_WRAPS.values():
            raise MalformedEnvelopeError(f"no client writes {content.value} with the wrap algorithm {wrap.value}")
    return S3ecEnvelope(
        version=version,
        content=content,
        wrap=wrap,
        encrypted_data_key=_wrapped_key(fields, key, wrap),
        iv=_bytes(fields, IV, IV_SIZES[content]),
        commitment=None,
        description=parse_description(fields.get(DESCRIPTION, ""), DESCRIPTION),
        plaintext_size=_claimed_size(fields),
        has_instruction_file=has_file,
    )


def _check_tag_length(fields: Mapping[str, str], content: ContentAlgorithm) -> None:
    # A shorter tag can be forged; an empty one is what a client without a tag may write for CBC.
    expected = _TAG_BITS if content.is_authenticated else ""
    if fields.get(TAG_LENGTH, "") != expected:
        raise MalformedEnvelopeError(f"{TAG_LENGTH} is not {expected or 'empty'}, as {content.value} demands")


def _choice(fields: Mapping[str, str], name: str, choices: Mapping[str, _Choice]) -> _Choice:
    if name not in fields:
        raise MalformedEnvelopeError(f"{name} is missing")
    if fields[name] not in choices:
        raise MalformedEnvelopeError(f"{name} is none of {', '.join(choices)}")
    return choices[fields[name]]


def _wrapped_key(fields: Mapping[str, str], name: str, wrap: WrapAlgorithm) -> bytes:
    wrapped = _bytes(fields, name, _WRAPPED_SIZES.get(wrap))
    if not 0 < len(wrapped) <= _MAX_WRAPPED_SIZE:
        raise MalformedEnvelopeError(f"{name} has {len(wrapped)} bytes; 1 to {_MAX_WRAPPED_SIZE} are legal")
    return wrapped


def _bytes(fields: Mapping[str, str], name: str, size: int | None = None) -> bytes:
    """Return the bytes of canonical, padded base64."""
    try:
        raw = base64.b64decode(fields[name], validate=True)
    except ValueError:
        raise MalformedEnvelopeError(f"{name} is not base64") from None
    if _encode(raw) != fields[name]:
        raise MalformedEnvelopeError(f"{name} is not in the canonical spelling of base64")
    if size is not None and len(raw) != size:
        raise MalformedEnvelopeError(f"{name} has {len(raw)} bytes; {size} are legal")
    return raw


def _claimed_size(fields: Mapping[str, str]) -> int | None:
    claim = fields.get(PLAINTEXT_SIZE, "")
    if not claim:
        return None
    if not _DECIMAL.fullmatch(claim):
        raise MalformedEnvelopeError(f"{PLAINTEXT_SIZE} is not a number of bytes")
    return int(claim)


def _encode(raw: bytes) -> str:
    return base64.b64encode(raw).decode("ascii")
