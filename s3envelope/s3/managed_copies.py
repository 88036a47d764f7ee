"""client.copy: boto3's managed copy, in parallel above the threshold, of stored bytes under a new envelope."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from boto3.s3.transfer import TransferConfig
from s3transfer.futures import NonThreadedExecutor
from s3transfer.manager import TransferManager
from s3transfer.subscribers import BaseSubscriber

from s3envelope.core.layout import plaintext_size
from s3envelope.errors import TruncatedObjectError, UnsupportedOperationError
from s3envelope.s3.copies import (
    Reader,
    Source,
    destination_arguments,
    find_source,
    plain_tagging,
    take_metadata,
    verify_copy,
)
from s3envelope.s3.range_reader import RangeReader
from s3envelope.s3.raw_client import RawClient
from s3envelope.s3.transfers import check_transfer_config, upload_fileobj
from s3envelope.s3.writes import ENTRIES_PARAMETER

if TYPE_CHECKING:
    from s3envelope.s3.seam import Seam

# Arguments of a copy that an upload has too.
_UPLOAD_ARGUMENTS = frozenset({*TransferManager.ALLOWED_UPLOAD_ARGS, ENTRIES_PARAMETER})


class _Known(BaseSubscriber):
    """Tells the transfer what was found, and the caller how far it is, in plaintext bytes."""

    def __init__(self, source: Source, callback: Callable[[int], None] | None) -> None:
        self._source = source
        self._callback = callback
        self._stored_size = int(source.answer["ContentLength"])
        self._shown_size = _shown_size(source, self._stored_size)
        self._done = self._shown = 0
        self._lock = threading.Lock()

    def on_queued(self, future: Any, **_: object) -> None:
        future.meta.provide_transfer_size(self._stored_size)
        future.meta.provide_object_etag(self._source.etag)

    def on_progress(self, future: Any, bytes_transferred: int, **_: object) -> None:
        if self._callback is None:
            return
        with self._lock:
            self._done += bytes_transferred
            reached = self._shown_size * self._done // self._stored_size
            step, self._shown = reached - self._shown, reached
        self._callback(step)


def _shown_size(source: Source, stored_size: int) -> int:
    """Return the plaintext size, for progress only."""
    try:
        return plaintext_size(stored_size)
    except TruncatedObjectError:
        return stored_size


def copy(
    self: Any,
    CopySource: Mapping[str, str],  # noqa: N803  # boto3's names
    Bucket: str,  # noqa: N803
    Key: str,  # noqa: N803
    ExtraArgs: Mapping[str, Any] | None = None,  # noqa: N803
    Callback: Callable[[int], None] | None = None,  # noqa: N803
    SourceClient: Any = None,  # noqa: N803
    Config: TransferConfig | None = None,  # noqa: N803
) -> None:
    """Copy an object, as boto3's; the copy has an envelope of its own, and nothing of the body is downloaded.

    `ExtraArgs` also takes `EncryptionContext` and `ShareKey`. `SourceClient` opens the source; if it is a plain client,
    it only looks at it. A source without envelope is read and written sealed, if the configuration allows that.
    """
    seam: Seam = self._s3envelope
    config = check_transfer_config(Config)
    arguments = dict(ExtraArgs or {})
    if arguments.get("AnnotationDirective") not in (None, "EXCLUDE"):
        raise UnsupportedOperationError(
            "AnnotationDirective is refused: annotations are stored in plaintext. Instead, leave it out"
        )
    reader = Reader.of(seam, SourceClient)
    request = {**arguments, "CopySource": CopySource, "Bucket": Bucket, "Key": Key}
    source = find_source(seam, reader, request, "CopyObject")
    if source.envelope is None:
        _copy_plain(self, source, request, Callback, config)
        return
    planned = destination_arguments(seam, source, request)
    extra = {name: value for name, value in planned.items() if name not in ("CopySource", "Bucket", "Key")}
    executor = None if getattr(config, "use_threads", True) else NonThreadedExecutor
    raw: Any = RawClient(seam)
    with TransferManager(raw, config, executor_cls=executor) as manager:
        future = manager.copy(
            copy_source=source.where.as_parameter(),
            bucket=Bucket,
            key=Key,
            extra_args=extra,
            subscribers=[_Known(source, Callback)],
            source_client=source.reader.client,
        )
        future.result()
    verify_copy(seam, planned, {})


def _copy_plain(
    client: Any,
    source: Source,
    request: Mapping[str, Any],
    callback: Callable[[int], None] | None,
    config: TransferConfig,
) -> None:
    arguments = dict(request)
    arguments["Metadata"] = take_metadata(arguments, source)
    arguments.update(plain_tagging(source, request))
    uploaded = {name: value for name, value in arguments.items() if name in _UPLOAD_ARGUMENTS}
    size = int(source.answer["ContentLength"])
    body: Any = RangeReader(source.reader.client, source.where.parameters(request), 0, size, source.etag)
    upload_fileobj(client, body, request["Bucket"], request["Key"], uploaded, callback, config)
