"""HTTP ranges in plaintext and ciphertext terms, and the rules that every answer of S3 must obey.

Source: FORMAT.md, section "Reading".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from s3envelope.core.segments import SEALED_SEGMENT_SIZE, SEGMENT_OVERHEAD, SEGMENT_SIZE
from s3envelope.errors import MalformedEnvelopeError, ObjectChangedError, TruncatedObjectError

# No ciphertext offset beyond this is ever requested.
MAX_OFFSET = 2**63 - 1

_RANGE = re.compile(r"bytes=([0-9]*)-([0-9]*)", re.ASCII)
_CONTENT_RANGE = re.compile(r"bytes ([0-9]{1,19})-([0-9]{1,19})/([0-9]{1,19})", re.ASCII)


@dataclass(frozen=True, slots=True)
class ByteRange:
    """One range as a client asks for it, before the total size is known.

    Args:
        first: Offset of the first byte; `None` for a suffix.
        last: Offset of the last byte, inclusive; `None` for "to the end". For a suffix: the number of bytes.
    """

    first: int | None
    last: int | None

    @classmethod
    def suffix(cls, size: int) -> ByteRange:
        """Return the range of the last `size` bytes."""
        return cls(None, size)

    @classmethod
    def parse(cls, header: str | None) -> ByteRange | None:
        """Read a `Range` header as S3 does; `None` where S3 ignores it and answers the whole object.

        Exactly `bytes=a-b` with a <= b, `bytes=a-` and `bytes=-k` are ranges. Spaces around a header are not a part of
        its value in HTTP: S3 does not see them.
        """
        match = _RANGE.fullmatch((header or "").strip(" \t"))
        if match is None:
            return None
        first, last = (_offset(digits) if digits else None for digits in match.groups())
        if (first is None and last is None) or (first is not None and last is not None and first > last):
            return None
        return cls(first, last)

    def header(self) -> str:
        """Return the value of the `Range` header."""
        first = "" if self.first is None else self.first
        return f"bytes={first}-{'' if self.last is None else self.last}"

    def resolve(self, total: int) -> tuple[int, int]:
        """Return the half-open interval within `total` bytes; empty or reversed when nothing of it exists."""
        if self.first is None:
            return max(0, total - (self.last or 0)), total
        return self.first, total if self.last is None else min(self.last + 1, total)

    def to_ciphertext(self) -> ByteRange:
        """Return what to ask S3 for, in the plain layout, so that this plaintext range can be proved.

        Whole segments; and 28 bytes more where the range ends with a full segment, because the object may end there
        and its end marker is the empty segment behind it.
        """
        if self.first is None:
            size = self.last or 0
            wanted = size + SEGMENT_SIZE + SEGMENT_OVERHEAD * (size // SEGMENT_SIZE + 2)
            return ByteRange(None, min(wanted, MAX_OFFSET))
        start = min(self.first // SEGMENT_SIZE * SEALED_SEGMENT_SIZE, MAX_OFFSET)
        if self.last is None:
            return ByteRange(start, None)
        end = (self.last // SEGMENT_SIZE + 1) * SEALED_SEGMENT_SIZE - 1
        if (self.last + 1) % SEGMENT_SIZE == 0:
            end += SEGMENT_OVERHEAD
        return ByteRange(start, min(end, MAX_OFFSET))


def _offset(digits: str) -> int:
    """Return the number; the first 40 digits of a longer one, which is behind the end of every object as well."""
    return int(digits.lstrip("0")[:40] or "0")


LAST_SEGMENT = ByteRange.suffix(SEALED_SEGMENT_SIZE)


@dataclass(frozen=True, slots=True)
class AnswerHead:
    """What an answer of S3 says of itself; every field is a claim.

    Args:
        status: The HTTP status, 200 or 206.
        etag: The `ETag`, or `None` if it is missing.
        version_id: The `x-amz-version-id`, or `None`.
        content_length: In bytes, or `None` if it is missing or not a number.
        content_range: The `Content-Range`, or `None`.
        metadata_is_missing: Whether the server withheld metadata (`x-amz-missing-meta`).
    """

    status: int
    etag: str | None
    version_id: str | None
    content_length: int | None
    content_range: str | None
    metadata_is_missing: bool = False


@dataclass(frozen=True, slots=True)
class Extent:
    """Which bytes of the stored object an answer carries: `[start, end)` of `total`."""

    start: int
    end: int
    total: int


def check_answer(head: AnswerHead, requested: ByteRange | None) -> Extent:
    """Return the extent of an answer that fits the request.

    Args:
        head: The answer.
        requested: The ciphertext range that was asked for; `None` for the whole object.

    Raises:
        MalformedEnvelopeError: The server withheld metadata.
        ObjectChangedError: The answer has no ETag, so nothing could tie a second request to it.
        TruncatedObjectError: Length or range of the answer are missing, contradict each other or the request.
    """
    if head.metadata_is_missing:
        raise MalformedEnvelopeError("the server withheld metadata of the object (x-amz-missing-meta)")
    if not head.etag:
        raise ObjectChangedError("the answer has no ETag; S3 always sends one")
    if head.status == 206 and requested is not None:
        extent = _partial_extent(head.content_range, requested)
    elif head.status == 200 and head.content_length is not None and head.content_length > 0:
        extent = Extent(0, head.content_length, head.content_length)
    else:
        raise TruncatedObjectError("the status and length of the answer do not fit the request")
    if head.content_length is not None and head.content_length != extent.end - extent.start:
        raise TruncatedObjectError("Content-Length and Content-Range of the answer contradict each other")
    return extent


def _partial_extent(content_range: str | None, requested: ByteRange) -> Extent:
    match = _CONTENT_RANGE.fullmatch(content_range or "")
    if match is None:
        raise TruncatedObjectError("the partial answer has no Content-Range of the form 'bytes first-last/total'")
    first, last, total = map(int, match.groups())
    if (first, last + 1) != requested.resolve(total) or first > last:
        raise TruncatedObjectError("the partial answer is not the range that was asked for")
    return Extent(first, last + 1, total)


def normalised_etag(etag: str) -> str:
    """Return the opaque part of an ETag, without the weak mark and the quotes."""
    return etag.removeprefix("W/").strip('"')
