"""An object written anew, sealed, in the place of what was there: of other formats, or of none.

Nothing is replaced before the new object has been read back whole, and nothing that was overwritten meanwhile. A run
that is killed leaves the old object as it was, and perhaps a temporary one beside it, whose name tells.
"""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import Any

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import BotoCoreError, ClientError

from s3envelope.core.layout import MAX_PART_NUMBER, round_up_part_size
from s3envelope.errors import ObjectChangedError, RotationError, S3EnvelopeError
from s3envelope.formats.s3ec.metadata import is_reserved_name, is_s3ec_metadata
from s3envelope.s3.copy_over import tagging_of
from s3envelope.s3.replacing import content_headers, put_in_place, server_encryption, stored_head

_log = logging.getLogger("s3envelope.rotation")
_MARK = ".s3envelope-"
_TEMPORARY = re.compile(re.escape(_MARK) + r"[0-9a-f]{32}\Z")
_LONGEST_KEY = 1024
_PIECE_SIZE = 1 << 20
_LEAST_PART = 8 << 20
_PARTS_IN_MEMORY = 2
_MOST_VERSIONS = 5
_GONE = frozenset({"404", "NoSuchKey", "NoSuchVersion"})
_CHANGED = frozenset({"PreconditionFailed", "412"})

OpenSource = Callable[[], Any]


def is_temporary(key: str) -> bool:
    """Tell whether a key is one that `replace_object` gives to what it writes beside an object."""
    return _TEMPORARY.search(key) is not None


def reencrypt_object(reader: Any, writer: Any, bucket: str, key: str) -> None:
    """Read an object through one client and put it in its own place through another.

    Args:
        reader: An enveloped client that reads the object's format.
        writer: An enveloped client with the keyring, context and binding that the object is to have.

    Raises:
        ObjectChangedError: It was overwritten meanwhile; the newer object stays.
        RotationError: What was written is not what was read; or a temporary object could not be removed.
        S3EnvelopeError: The object does not open. It stays as it is.
    """
    head = stored_head(reader, Bucket=bucket, Key=key)

    def open_source() -> Any:
        try:
            return reader.get_object(Bucket=bucket, Key=key, **_tied_to(head))["Body"]
        except ClientError as error:
            if _code(error) in {*_CHANGED, *_GONE}:
                raise ObjectChangedError("the object was overwritten before it was read; look at it again") from error
            raise

    replace_object(writer, bucket, key, head, open_source)


def replace_object(client: Any, bucket: str, key: str, source_head: Mapping[str, Any], open_source: OpenSource) -> None:
    """Put plaintext, sealed, in the place of an object that says the same.

    It is written beside the object, read back whole and compared, and copied over it only then, inside S3. Content
    headers, user metadata, tags, class of storage and encryption at rest are kept; access control and object lock are
    those of a new object. Memory stays bounded, whatever the size.

    Args:
        client: An enveloped client; its keyring, context and binding are what the object gets.
        source_head: The answer to HEAD of the object as S3 has it.
        open_source: Returns a stream of the object's plaintext, verified and tied to the version of `source_head`; it
            is closed here.

    Raises:
        ObjectChangedError: The object was overwritten meanwhile; the newer object stays.
        RotationError: What was written is not what was read; or a temporary object could not be removed.
        S3EnvelopeError: The source does not open, or there is no data key. The object stays as it is.
    """
    with _temporary_name(client, bucket, key) as name:
        tags = tagging_of(client.get_object_tagging, {"Bucket": bucket, "Key": key, **_version(source_head)})
        written = _upload(client, bucket, name, source_head, open_source, tags)
        stored = stored_head(client, Bucket=bucket, Key=name)
        # INVARIANT: nothing is replaced by what has not been read back, verified and found equal.
        if _read_back(client, bucket, name, stored) != written:
            raise RotationError(f"what was written beside {key!r} is not what was read; nothing was replaced")
        put_in_place(client, bucket, key, {**stored, "Key": name}, replaced=source_head)


@dataclass(frozen=True, slots=True)
class _Digest:
    """What a stream gave: its length in bytes, and SHA-256."""

    size: int
    sha256: bytes


class _Hashed:
    """A stream that can be read once, and what it gave so far."""

    def __init__(self, stream: Any) -> None:
        self._stream = stream
        self._digest = hashlib.sha256()
        self._size = 0

    def read(self, size: int = -1) -> bytes:
        piece: bytes = self._stream.read(None if size < 0 else size)
        self._digest.update(piece)
        self._size += len(piece)
        return piece

    def result(self) -> _Digest:
        return _Digest(self._size, self._digest.digest())


def _upload(
    client: Any,
    bucket: str,
    name: str,
    head: Mapping[str, Any],
    open_source: OpenSource,
    tags: Mapping[str, str],
) -> _Digest:
    # One part at a time: many objects are in work at once, and each holds two parts in memory.
    part_size = max(_LEAST_PART, round_up_part_size(int(head["ContentLength"]) // (MAX_PART_NUMBER - 1)))
    config = TransferConfig(multipart_threshold=part_size, multipart_chunksize=part_size, max_concurrency=1)
    config.max_in_memory_upload_chunks = _PARTS_IN_MEMORY
    arguments = {**content_headers(head), **server_encryption(head), **tags, "Metadata": _user_metadata(head)}
    with closing(open_source()) as stream:
        source = _Hashed(stream)
        client.upload_fileobj(source, bucket, name, ExtraArgs=arguments, Config=config)
    return source.result()


def _user_metadata(head: Mapping[str, Any]) -> dict[str, str]:
    metadata = dict(head.get("Metadata") or {})
    if not is_s3ec_metadata(metadata):
        return metadata
    return {name: value for name, value in metadata.items() if not is_reserved_name(name)}


def _read_back(client: Any, bucket: str, name: str, head: Mapping[str, Any]) -> _Digest:
    with closing(client.get_object(Bucket=bucket, Key=name, **_tied_to(head))["Body"]) as body:
        found = _Hashed(body)
        while found.read(_PIECE_SIZE):
            pass
    return found.result()


def _tied_to(head: Mapping[str, Any]) -> dict[str, str]:
    return {**_version(head), "IfMatch": head["ETag"]}


def _version(head: Mapping[str, Any]) -> dict[str, str]:
    return {"VersionId": head["VersionId"]} if head.get("VersionId") else {}


@contextmanager
def _temporary_name(client: Any, bucket: str, key: str) -> Iterator[str]:
    """Yield a key beside another one; whatever is there in the end is removed, also after a failure or Ctrl-C."""
    mark = f"{_MARK}{secrets.token_hex(16)}"
    name = key.encode()[: _LONGEST_KEY - len(mark)].decode(errors="ignore") + mark
    try:
        yield name
    except BaseException:
        try:
            remove_temporary(client, bucket, name)
        except (S3EnvelopeError, ClientError, BotoCoreError) as error:
            # The failure that led here tells more than this one.
            _log.warning("the temporary object %r of %r was not removed: %s", name, bucket, type(error).__name__)
        raise
    try:
        remove_temporary(client, bucket, name)
    except (ClientError, BotoCoreError) as error:
        raise RotationError(
            f"the object was replaced, but its temporary object {name!r} could not be removed; delete that: {error}"
        ) from error


def remove_temporary(client: Any, bucket: str, name: str) -> None:
    """Delete every version under a name that nobody else knows, and leave no delete marker."""
    for _ in range(_MOST_VERSIONS):
        try:
            head = stored_head(client, Bucket=bucket, Key=name)
        except ClientError as error:
            if _code(error) in _GONE:
                return
            raise
        client.delete_object(Bucket=bucket, Key=name, **_version(head))


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
