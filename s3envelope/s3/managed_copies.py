"""client.copy: boto3's managed copy, in parallel above the threshold, of stored bytes under a new envelope."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import TYPE_CHECKING, Any

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError
from s3transfer.manager import TransferManager
from s3transfer.subscribers import BaseSubscriber

from s3envelope.core.layout import plaintext_size
from s3envelope.errors import TruncatedObjectError, UnsupportedOperationError
from s3envelope.formats.s3ec import bodies
from s3envelope.s3 import s3ec_copies
from s3envelope.s3.auditing import about_copy, refusals, undertaken
from s3envelope.s3.copies import (
    Reader,
    Source,
    destination_arguments,
    find_source,
    plain_tagging,
    s3ec_arguments,
    take_metadata,
    verify_copy,
)
from s3envelope.s3.range_reader import RangeReader
from s3envelope.s3.raw_client import RawClient
from s3envelope.s3.transfers import check_transfer_config, executor_for, upload_fileobj
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
    if source.s3ec is not None:
        return max(0, stored_size - bodies.tag_size(source.s3ec.content))
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
    with refusals(seam, "CopyObject", {"Bucket": Bucket, "Key": Key}):
        _copy(self, {"CopySource": CopySource, "Bucket": Bucket, "Key": Key}, ExtraArgs, Callback, SourceClient, Config)


def _copy(
    client: Any,
    names: Mapping[str, Any],
    extra_arguments: Mapping[str, Any] | None,
    callback: Callable[[int], None] | None,
    source_client: Any,
    transfer_config: TransferConfig | None,
) -> None:
    seam: Seam = client._s3envelope
    where = names["CopySource"]
    if not isinstance(where, Mapping):
        raise TypeError(
            'Expecting dictionary formatted: {"Bucket": bucket_name, "Key": key} '
            f"but got {where} or type {type(where)}."
        )
    config = check_transfer_config(transfer_config)
    arguments = dict(extra_arguments or {})
    if arguments.get("AnnotationDirective") not in (None, "EXCLUDE"):
        raise UnsupportedOperationError(
            "AnnotationDirective is refused: annotations are stored in plaintext. Instead, leave it out"
        )
    request = {**arguments, **names}
    source = _found(seam, Reader.of(seam, source_client), request)
    if source.s3ec is not None:
        planned = s3ec_arguments(seam, source, source.s3ec, request)
        _transfer(seam, source, planned, callback, config)
        s3ec_copies.finish(seam, source, source.s3ec, planned, {})
    elif source.envelope is not None:
        planned = destination_arguments(seam, source, request)
        with undertaken(seam, about_copy(planned, source.envelope.header.commitment)) as undertaking:
            undertaking.saw(_transfer(seam, source, planned, callback, config))
            verify_copy(seam, planned, {})
            undertaking.succeeded({})
    else:
        _copy_plain(client, source, request, callback, config)


def _transfer(
    seam: Seam,
    source: Source,
    planned: Mapping[str, Any],
    callback: Callable[[int], None] | None,
    config: TransferConfig | None,
) -> list[str]:
    """Let boto3 copy the ciphertext; return the ids of the requests."""
    extra = {name: value for name, value in planned.items() if name not in ("CopySource", "Bucket", "Key")}
    raw: Any = RawClient(seam)
    with TransferManager(raw, config, executor_cls=executor_for(config)) as manager:
        future = manager.copy(
            copy_source=source.where.as_parameter(),
            bucket=planned["Bucket"],
            key=planned["Key"],
            extra_args=extra,
            subscribers=[_Known(source, callback)],
            source_client=source.reader.client,
        )
        future.result()
    return list(raw.request_ids)


def _found(seam: Seam, reader: Reader, request: Mapping[str, Any]) -> Source:
    try:
        return find_source(seam, reader, request, "CopyObject")
    except ClientError as error:
        # boto3's managed copy begins with a HEAD: where that fails, programs look for its "404".
        if isinstance(error.__cause__, ClientError):
            raise error.__cause__ from None
        raise


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
    with closing(RangeReader(source.reader.client, source.where.parameters(request), source.etag)) as body:
        stream: Any = body
        upload_fileobj(client, stream, request["Bucket"], request["Key"], uploaded, callback, config)
