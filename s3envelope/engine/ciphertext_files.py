"""Ciphertext that left S3: a file, and the envelope that was exported with it."""

from __future__ import annotations

import io
from collections.abc import Mapping

from s3envelope.core.ports import MaterialsManager, SeekableSource
from s3envelope.core.ranges import AnswerHead, ByteRange
from s3envelope.engine.opening import Answer, Condition, ObjectOpener, OpenedObject, ReadingSessions, ReadPolicy

_ETAG = "file"


class _Part:
    """A file, read no further than to `end`."""

    def __init__(self, file: SeekableSource, start: int, end: int) -> None:
        self._file = file
        self._position, self._end = start, end

    def read(self, size: int = -1, /) -> bytes:
        left = self._end - self._position
        self._file.seek(self._position)
        piece = self._file.read(left if size < 0 else min(size, left))
        self._position += len(piece)
        return piece


def open_ciphertext_file(
    file: SeekableSource,
    metadata: Mapping[str, str],
    name: str,
    materials: MaterialsManager,
    policy: ReadPolicy,
) -> OpenedObject:
    """Open a file that holds what S3 held.

    Args:
        file: Its whole body. It must not change while it is read.
        metadata: Of the object; the names `se1-h`, `se1-k`, `se1-x` count.
        name: The key that the object was written to.
        materials: Opens the data keys.
        policy: What is demanded before a key is used.

    Raises:
        EnvelopeError, DecryptionError, KeyringError: As for an object in S3.
    """
    file.seek(0, io.SEEK_END)
    total = file.tell()

    def fetch(wanted: ByteRange | None, _: Condition) -> Answer | None:
        start, end = (0, total) if wanted is None else wanted.resolve(total)
        if wanted is not None and start >= total:
            return None
        head = AnswerHead(
            status=200 if wanted is None else 206,
            etag=_ETAG,
            version_id=None,
            content_length=end - start,
            content_range=None if wanted is None else f"bytes {start}-{end - 1}/{total}",
        )
        return Answer(head, metadata, _Part(file, start, end))

    opener = ObjectOpener(materials, ReadingSessions(), policy, scope=("file", "", name), name=name, fetch=fetch)
    return opener.open(fetch(None, Condition()), None)
