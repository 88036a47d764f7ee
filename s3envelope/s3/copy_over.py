"""Copying stored bytes over an object, unless that was overwritten meanwhile; nothing of a body is downloaded.

Source: FORMAT.md, section "Copying".
"""

from __future__ import annotations

import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError
from s3transfer.manager import TransferManager
from s3transfer.subscribers import BaseSubscriber

from s3envelope.core.layout import MAX_PUT_SIZE
from s3envelope.errors import ObjectChangedError
from s3envelope.s3.raw_client import RawClient
from s3envelope.s3.transfers import executor_for

if TYPE_CHECKING:
    from s3envelope.s3.seam import Seam

OVERWRITTEN = "the object was overwritten while its envelope was replaced; the newer object stays as it is. Call again"
_CHANGED_MEANWHILE = frozenset({"PreconditionFailed", "ConditionalRequestConflict", "412", "409"})
_WITHOUT_TAGS = frozenset({"NotImplemented", "MethodNotAllowed", "NoSuchTagSet"})
_LEAST_PART = 64 << 20
_MOST_PARTS = 9_000


@dataclass(frozen=True, slots=True)
class CopiedObject:
    """What is copied: stored bytes of one version of an object.

    Args:
        where: As `CopySource`.
        size: In bytes, as stored.
        etag: The copy is tied to it.
    """

    where: Mapping[str, str]
    size: int
    etag: str


def copy_over(seam: Seam, arguments: dict[str, Any], copied: CopiedObject, *, replaced_etag: str) -> Mapping[str, Any]:
    """Copy stored bytes onto an object that still has its old ETag; above 5 GB in parts.

    Args:
        arguments: Of CopyObject, with `Bucket`, `Key` and all metadata, without `CopySource`.
        replaced_etag: Of the object that is replaced.

    Returns:
        The answer to CopyObject; empty for a copy in parts.

    Raises:
        ObjectChangedError: One of the two was overwritten meanwhile. Nothing is lost.
    """
    if copied.size > MAX_PUT_SIZE:
        return _copy_in_parts(seam, arguments, copied, replaced_etag)
    conditions = {"CopySourceIfMatch": copied.etag, "IfMatch": replaced_etag}
    with telling_of_overwrites():
        return seam.inner("CopyObject", {**arguments, **conditions, "CopySource": dict(copied.where)})


@contextmanager
def telling_of_overwrites() -> Iterator[None]:
    """Raise `ObjectChangedError` in the place of S3's answer that a condition does not hold."""
    try:
        yield
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in _CHANGED_MEANWHILE:
            raise ObjectChangedError(OVERWRITTEN) from error
        raise


class _Onto(RawClient):
    """Completes an upload only over the object that is to be replaced; knows what s3transfer does not let through."""

    def __init__(self, seam: Seam, etag: str, created_with: Mapping[str, Any]) -> None:
        super().__init__(seam)
        self._etag = etag
        self._created_with = created_with

    def create_multipart_upload(self, **parameters: Any) -> dict[str, Any]:
        return super().create_multipart_upload(**parameters, **self._created_with)

    def upload_part_copy(self, **parameters: Any) -> dict[str, Any]:
        with telling_of_overwrites():
            return super().upload_part_copy(**parameters)

    def complete_multipart_upload(self, **parameters: Any) -> dict[str, Any]:
        with telling_of_overwrites():
            return super().complete_multipart_upload(**parameters, IfMatch=self._etag)


class _Known(BaseSubscriber):
    """Tells the transfer what was found, so that it does not ask again."""

    def __init__(self, copied: CopiedObject) -> None:
        self._copied = copied

    def on_queued(self, future: Any, **_: object) -> None:
        future.meta.provide_transfer_size(self._copied.size)
        future.meta.provide_object_etag(self._copied.etag)


def tagging_of(get_object_tagging: Callable[..., Mapping[str, Any]], where: Mapping[str, str]) -> dict[str, str]:
    """Return the tags of an object as an argument of an upload; nothing where there are none, or no such thing.

    An answer to HEAD does not always count them, so that they are asked for.

    Raises:
        ClientError: They may not be read.
    """
    try:
        found = get_object_tagging(**where)["TagSet"]
    except ClientError as error:
        if error.response.get("Error", {}).get("Code") in _WITHOUT_TAGS:
            return {}
        raise
    return {"Tagging": urllib.parse.urlencode({tag["Key"]: tag["Value"] for tag in found})} if found else {}


def _copy_in_parts(
    seam: Seam, arguments: dict[str, Any], copied: CopiedObject, replaced_etag: str
) -> Mapping[str, Any]:
    part_size = max(_LEAST_PART, -(-copied.size // _MOST_PARTS))
    config = TransferConfig(multipart_threshold=1, multipart_chunksize=part_size)
    created_with = {name: arguments[name] for name in ("BucketKeyEnabled",) if name in arguments}
    raw: Any = _Onto(seam, replaced_etag, created_with)
    # Unlike CopyObject, an upload of parts begins without the tags of its source.
    created_with.update(tagging_of(raw.get_object_tagging, copied.where))
    known = {**arguments, "CopySourceIfMatch": copied.etag}
    extra = {name: value for name, value in known.items() if name in TransferManager.ALLOWED_COPY_ARGS}
    with TransferManager(raw, config, executor_cls=executor_for(config)) as manager:
        future = manager.copy(
            copy_source=dict(copied.where),
            bucket=arguments["Bucket"],
            key=arguments["Key"],
            extra_args=extra,
            subscribers=[_Known(copied)],
            source_client=raw,
        )
        future.result()
    return {}
