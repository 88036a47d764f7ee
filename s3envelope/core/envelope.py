"""The envelope: what an object's metadata stores so that the object can be opened.

Source: FORMAT.md, sections "Metadata" and "Header".
"""

from __future__ import annotations

import functools
import hmac
import re
import string
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from s3envelope.core.context import EncryptionContext
from s3envelope.core.encoding import decode_base64url, encode_base64url
from s3envelope.core.kdf import COMMITMENT_SIZE, KEY_SIZE, BodyKey, derive_body_key
from s3envelope.core.ports import EncryptedDataKey
from s3envelope.core.secret import SecretBytes, overwrite_cipher_stack
from s3envelope.core.segments import NONCE_SIZE, TAG_SIZE
from s3envelope.errors import (
    ConfigurationError,
    HeaderAuthenticationError,
    KeyCommitmentError,
    MalformedEnvelopeError,
    NameBindingError,
    NotEncryptedError,
    UnsupportedFormatError,
)

HEADER_NAME, KEYS_NAME, CONTEXT_NAME = "se1-h", "se1-k", "se1-x"
_REQUIRED = frozenset({HEADER_NAME, KEYS_NAME})
_KNOWN = _REQUIRED | {CONTEXT_NAME}
_OURS = re.compile(r"[Ss][Ee][0-9]+-", re.ASCII)
_ASCII_LOWER = str.maketrans(string.ascii_uppercase, string.ascii_lowercase)

INDEXED, BOUND = 1, 2
MAX_ENCRYPTED_DATA_KEYS = 4
_MAX_VALUE_LENGTH = 2048
_MOST_REMEMBERED = 64
_HEADER_SIZE = 1 + COMMITMENT_SIZE + NONCE_SIZE + KEY_SIZE + TAG_SIZE
_HEADER_LENGTH = 124
_HEADER_DOMAIN = b"s3envelope/SE1/header"
_ENTRY = struct.Struct(">4sH")


def is_envelope_name(name: str) -> bool:
    """Tell whether a metadata key belongs to an envelope, of this or another version of the format."""
    return _OURS.match(name) is not None


@dataclass(frozen=True, slots=True)
class Header:
    """The sealed object key and what is authenticated with it.

    Args:
        indexed: The layout of the body.
        bound: Whether the object's key is part of what is authenticated.
        commitment: 32 bytes.
        nonce: 12 bytes, fresh for every seal.
        sealed_object_key: 48 bytes: ciphertext and tag.
    """

    indexed: bool
    bound: bool
    commitment: bytes
    nonce: bytes
    sealed_object_key: bytes

    @property
    def flags(self) -> int:
        return INDEXED * self.indexed | BOUND * self.bound

    def encode(self) -> bytes:
        """Return the 93 bytes of the header."""
        return bytes([self.flags]) + self.commitment + self.nonce + self.sealed_object_key

    @classmethod
    def decode(cls, raw: bytes) -> Header:
        """Read the bytes of a header.

        Raises:
            MalformedEnvelopeError: It has another length, or a reserved flag is set.
        """
        if len(raw) != _HEADER_SIZE:
            raise MalformedEnvelopeError(f"the header has {len(raw)} bytes; {_HEADER_SIZE} are legal")
        if raw[0] & ~(INDEXED | BOUND):
            raise MalformedEnvelopeError("the header has a reserved flag set")
        nonce_start = 1 + COMMITMENT_SIZE
        key_start = nonce_start + NONCE_SIZE
        return cls(
            indexed=bool(raw[0] & INDEXED),
            bound=bool(raw[0] & BOUND),
            commitment=raw[1:nonce_start],
            nonce=raw[nonce_start:key_start],
            sealed_object_key=raw[key_start:],
        )


@dataclass(frozen=True, slots=True)
class Envelope:
    """What the metadata of one object says; nothing of it is authenticated until the header has opened."""

    header: Header
    encrypted_data_keys: tuple[EncryptedDataKey, ...]
    context: EncryptionContext

    @classmethod
    def parse(cls, metadata: Mapping[str, str]) -> Envelope:
        """Read an envelope from an object's user metadata, names in any case.

        Raises:
            NotEncryptedError: No name of an envelope is there.
            UnsupportedFormatError: A name of another version is there.
            MalformedEnvelopeError: A name is missing or doubled, or a value breaks its rules.
        """
        values = {name.translate(_ASCII_LOWER): value for name, value in metadata.items()}
        ours = {name for name in values if is_envelope_name(name)}
        if not ours:
            raise NotEncryptedError(
                "the object has no envelope: it was not written by s3envelope, or its metadata was lost in a copy. "
                'To read unencrypted objects as well, configure unencrypted="allow"'
            )
        if len(values) != len(metadata):
            raise MalformedEnvelopeError("two metadata names of the object differ in case only")
        if not ours <= _KNOWN:
            unknown = ", ".join(sorted(ours - _KNOWN))
            raise UnsupportedFormatError(
                f"the object's metadata has {unknown}, of a format that this version cannot read"
            )
        if not ours >= _REQUIRED:
            raise MalformedEnvelopeError(f"the object's metadata lacks {', '.join(sorted(_REQUIRED - ours))}")
        raw_header = decode_base64url(values[HEADER_NAME], limit=_HEADER_LENGTH, what=HEADER_NAME)
        keys = _parse_data_keys(values[KEYS_NAME])
        context = _parse_context(values[CONTEXT_NAME]) if CONTEXT_NAME in values else EncryptionContext()
        return cls(Header.decode(raw_header), keys, context)

    def to_metadata(self) -> dict[str, str]:
        """Return the two or three metadata entries of this envelope."""
        metadata = {
            HEADER_NAME: encode_base64url(self.header.encode()),
            KEYS_NAME: encode_base64url(pack_data_keys(self.encrypted_data_keys)),
        }
        if self.context:
            metadata[CONTEXT_NAME] = encode_base64url(self.context.canonical)
        return metadata


# Objects that share a data key have the same text here, and mostly the same context. Both are public and immutable.
@functools.lru_cache(maxsize=_MOST_REMEMBERED)
def _parse_data_keys(text: str) -> tuple[EncryptedDataKey, ...]:
    return unpack_data_keys(decode_base64url(text, limit=_MAX_VALUE_LENGTH, what=KEYS_NAME))


@functools.lru_cache(maxsize=_MOST_REMEMBERED)
def _parse_context(text: str) -> EncryptionContext:
    return EncryptionContext.parse(decode_base64url(text, limit=_MAX_VALUE_LENGTH, what=CONTEXT_NAME))


def without_envelope(metadata: Mapping[str, str]) -> dict[str, str]:
    """Return the user's own metadata."""
    return {name: value for name, value in metadata.items() if not is_envelope_name(name)}


def pack_data_keys(keys: Sequence[EncryptedDataKey]) -> bytes:
    """Return the bytes of a list of 1 to 4 encrypted data keys."""
    if not 1 <= len(keys) <= MAX_ENCRYPTED_DATA_KEYS:
        raise ConfigurationError(f"{len(keys)} keys wrap the data key; 1 to {MAX_ENCRYPTED_DATA_KEYS} are possible")
    return b"".join(_ENTRY.pack(key.hint, len(key.ciphertext)) + key.ciphertext for key in keys)


def unpack_data_keys(raw: bytes) -> tuple[EncryptedDataKey, ...]:
    """Read a list of encrypted data keys.

    Raises:
        MalformedEnvelopeError: Not 1 to 4 complete entries.
    """
    keys: list[EncryptedDataKey] = []
    position = 0
    while position < len(raw):
        start = position + _ENTRY.size
        hint, size = _ENTRY.unpack_from(raw, position) if start <= len(raw) else (b"", 0)
        if not size or start + size > len(raw) or len(keys) == MAX_ENCRYPTED_DATA_KEYS:
            raise MalformedEnvelopeError("the list of encrypted data keys is not 1 to 4 complete entries")
        keys.append(EncryptedDataKey(hint, raw[start : start + size]))
        position = start + size
    return tuple(keys)


def header_associated_data(flags: int, commitment: bytes, context: bytes, name: bytes) -> bytes:
    """Return what a header authenticates besides the object key; `name` is empty unless it is bound."""
    return b"".join([_HEADER_DOMAIN, bytes([flags]), commitment, struct.pack(">I", len(context)), context, name])


def encode_object_name(name: str) -> bytes:
    """Return an object's key as the header authenticates it: UTF-8, not normalised.

    Raises:
        ConfigurationError: It is not valid Unicode (lone surrogates).
    """
    try:
        return name.encode("utf-8")
    except UnicodeEncodeError:
        raise ConfigurationError("Key has lone surrogates, which no S3 key can have; use valid Unicode") from None


def seal_header(
    data_key: SecretBytes,
    object_key: SecretBytes,
    *,
    context: EncryptionContext,
    bound_name: str | None,
    indexed: bool,
    nonce: bytes,
) -> tuple[Header, BodyKey]:
    """Seal an object key under a data key; return the header and the key of the body.

    Args:
        data_key, object_key: 32 bytes each.
        bound_name: The object's key, or `None` for a header that opens under any name.
        nonce: 12 random bytes, never used before with this data key.
    """
    name = b"" if bound_name is None else encode_object_name(bound_name)
    body_key = derive_body_key(object_key, indexed=indexed)
    flags = INDEXED * indexed | BOUND * (bound_name is not None)
    associated = header_associated_data(flags, body_key.commitment, context.canonical, name)
    sealed = AESGCM(data_key.view()).encrypt(nonce, object_key.view(), associated)
    overwrite_cipher_stack()
    return Header(indexed, bound_name is not None, body_key.commitment, nonce, sealed), body_key


def open_header(
    data_key: SecretBytes, header: Header, context: EncryptionContext, name: str
) -> tuple[SecretBytes, BodyKey]:
    """Open a header; return the object key and the key of the body.

    Args:
        data_key: A candidate; any length is refused but 32 bytes.
        name: The object's key as it was asked for; used if the header is bound.

    Raises:
        NameBindingError: A bound header did not open.
        HeaderAuthenticationError: An unbound header did not open.
        KeyCommitmentError: It opened to a key that it does not commit to.
    """
    bound_name = encode_object_name(name) if header.bound else b""
    associated = header_associated_data(header.flags, header.commitment, context.canonical, bound_name)
    if len(data_key) != KEY_SIZE:
        raise HeaderAuthenticationError("the data key of the object has not 32 bytes")
    # Not `decrypt`, which returns `bytes` that cannot be wiped.
    opened = bytearray(len(header.sealed_object_key) - TAG_SIZE)
    try:
        AESGCM(data_key.view()).decrypt_into(header.nonce, header.sealed_object_key, associated, opened)
    except InvalidTag:
        opened[:] = bytes(len(opened))
        raise _header_failure(header) from None
    finally:
        overwrite_cipher_stack()
    object_key = SecretBytes.take(opened)
    body_key = derive_body_key(object_key, indexed=header.indexed)
    # INVARIANT: without this comparison one header could open to two keys under two data keys.
    if not hmac.compare_digest(body_key.commitment, header.commitment):
        object_key.wipe()
        body_key.wipe()
        raise KeyCommitmentError("the header opens to a key that it does not commit to")
    return object_key, body_key


def _header_failure(header: Header) -> HeaderAuthenticationError:
    if header.bound:
        return NameBindingError(
            "the header does not open: either metadata of the object was changed, or the object was written under "
            "another key and copied or renamed by a tool that does not know s3envelope"
        )
    return HeaderAuthenticationError("the header does not open: metadata of the object was changed")
