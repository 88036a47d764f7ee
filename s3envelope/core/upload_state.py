"""The state of an unfinished upload in the indexed layout: not secret, but authentic.

Source: FORMAT.md, section "Upload state".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from s3envelope.core.encoding import decode_base64url, encode_base64url
from s3envelope.core.envelope import CONTEXT_NAME, HEADER_NAME, KEYS_NAME, Envelope
from s3envelope.core.index import IndexRow
from s3envelope.core.kdf import BodyKey
from s3envelope.core.layout import MAX_PART_NUMBER
from s3envelope.core.segments import NONCE_SIZE, STATE_RUN, authenticate_only, is_authentic
from s3envelope.errors import DecryptionError, MalformedEnvelopeError

_TAG_LENGTH = 38


@dataclass(frozen=True, slots=True)
class RecordedPart:
    """One upload call that succeeded: the ETag it got, and what the index will say of it."""

    row: IndexRow
    etag: str


@dataclass(frozen=True, slots=True)
class UploadEnd:
    """What `complete` has frozen.

    Args:
        parts: The caller's list of (part number, ETag).
        index: The sealed index.
        etag: Of the part that carries the index, once it was sent.
    """

    parts: tuple[tuple[int, str], ...]
    index: bytes
    etag: str | None


@dataclass(frozen=True, slots=True)
class UploadState:
    """Everything that another process needs to go on with an upload, but for the data key."""

    bucket: str
    key: str
    upload_id: str
    metadata: Mapping[str, str]
    parts: tuple[RecordedPart, ...]
    end: UploadEnd | None

    def envelope(self) -> Envelope:
        """Return the envelope of the object to be."""
        return Envelope.parse(self.metadata)

    def serialise(self) -> bytes:
        """Return the one JSON text of this state."""
        end = self.end
        document = {
            "bucket": self.bucket,
            "key": self.key,
            "uploadId": self.upload_id,
            "h": self.metadata[HEADER_NAME],
            "k": self.metadata[KEYS_NAME],
            "x": self.metadata.get(CONTEXT_NAME, ""),
            "parts": [
                [part.row.part_number, part.etag, part.row.nonce_start.hex(), part.row.plaintext_size]
                for part in self.parts
            ],
            "end": end and {"list": [list(pair) for pair in end.parts], "index": end.index.hex(), "etag": end.etag},
        }
        return json.dumps(document, sort_keys=True, separators=(",", ":")).encode("ascii")

    @classmethod
    def parse(cls, text: bytes) -> UploadState:
        """Read a state; it is not trusted before its tag was verified.

        Raises:
            MalformedEnvelopeError: It is not the text that `serialise` makes of it.
        """
        try:
            state = cls._from_document(json.loads(text))
            is_canonical = state.serialise() == text
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise MalformedEnvelopeError("the upload state is not one") from None
        if not is_canonical:
            raise MalformedEnvelopeError("the upload state is not in its canonical form")
        return state

    @classmethod
    def _from_document(cls, document: dict[str, Any]) -> UploadState:
        names = {HEADER_NAME: _text(document["h"]), KEYS_NAME: _text(document["k"]), CONTEXT_NAME: _text(document["x"])}
        end = document["end"]
        return cls(
            bucket=_text(document["bucket"]),
            key=_text(document["key"]),
            upload_id=_text(document["uploadId"]),
            metadata={name: value for name, value in names.items() if value or name != CONTEXT_NAME},
            parts=tuple(
                RecordedPart(IndexRow(_number(number), _nonce(nonce), _size(size)), _text(etag))
                for number, etag, nonce, size in document["parts"]
            ),
            end=None if end is None else _end(end),
        )


def _end(document: dict[str, Any]) -> UploadEnd:
    parts = tuple((_number(number), _text(etag)) for number, etag in document["list"])
    etag = document["etag"]
    return UploadEnd(parts, bytes.fromhex(document["index"]), None if etag is None else _text(etag))


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _size(value: object) -> int:
    # A bool is an int to Python, but not to JSON.
    if type(value) is not int or not 0 <= value < 2**64:
        raise ValueError
    return value


def _number(value: object) -> int:
    if not 1 <= _size(value) <= MAX_PART_NUMBER:
        raise ValueError
    return _size(value)


def _nonce(value: str) -> bytes:
    nonce = bytes.fromhex(value)
    if len(nonce) != NONCE_SIZE:
        raise ValueError
    return nonce


def seal_state(body_key: BodyKey, text: bytes, nonce: bytes) -> str:
    """Return the tag (38 characters) that makes a state authentic.

    Args:
        body_key: Of the upload.
        text: What `UploadState.serialise` returned.
        nonce: 12 fresh random bytes.
    """
    return encode_base64url(authenticate_only(body_key, STATE_RUN, nonce, text))


def verify_state(body_key: BodyKey, text: bytes, tag: str) -> UploadState:
    """Return the state if its tag is one that a holder of the body key made.

    Raises:
        MalformedEnvelopeError: Text or tag are not in their form.
        DecryptionError: The tag does not belong to this text.
    """
    if not is_authentic(body_key, STATE_RUN, decode_base64url(tag, limit=_TAG_LENGTH, what="the state's tag"), text):
        raise DecryptionError("the upload state does not authenticate: it was changed, or belongs to another upload")
    return UploadState.parse(text)
