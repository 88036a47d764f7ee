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
from s3envelope.core.segments import STATE_RUN, authenticate_only, is_authentic
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
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            raise MalformedEnvelopeError("the upload state is not one") from None
        if state.serialise() != text:
            raise MalformedEnvelopeError("the upload state is not in its canonical form")
        return state

    @classmethod
    def _from_document(cls, document: dict[str, Any]) -> UploadState:
        names = {HEADER_NAME: document["h"], KEYS_NAME: document["k"], CONTEXT_NAME: document["x"]}
        end = document["end"]
        return cls(
            bucket=document["bucket"],
            key=document["key"],
            upload_id=document["uploadId"],
            metadata={name: value for name, value in names.items() if value or name != CONTEXT_NAME},
            parts=tuple(
                RecordedPart(IndexRow(number, bytes.fromhex(nonce), size), etag)
                for number, etag, nonce, size in document["parts"]
            ),
            end=None
            if end is None
            else UploadEnd(
                tuple((number, etag) for number, etag in end["list"]), bytes.fromhex(end["index"]), end["etag"]
            ),
        )


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
