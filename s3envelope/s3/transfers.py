"""upload_file, upload_fileobj, download_file, download_fileobj: boto3's, on a transfer manager that this client sees.

boto3's own versions may choose a transfer client that bypasses the client's event handlers.
"""

from __future__ import annotations

import contextvars
import copy
import os
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO, Any

from boto3.exceptions import S3UploadFailedError
from boto3.s3 import inject
from boto3.s3.transfer import ProgressCallbackInvoker, S3Transfer, TransferConfig
from botocore.exceptions import ClientError
from s3transfer.download import DownloadSubmissionTask
from s3transfer.futures import NonThreadedExecutor
from s3transfer.manager import TransferManager
from s3transfer.utils import ChunksizeAdjuster

from s3envelope.core.layout import MAX_PART_NUMBER, check_part_size, round_up_part_size
from s3envelope.engine.sources import PlaintextSource, StreamSource, is_seekable, refuse_text
from s3envelope.errors import ConfigurationError, UnsupportedOperationError
from s3envelope.formats import names
from s3envelope.s3.checksums import first_mismatch, given_checksums
from s3envelope.s3.file_downloads import FileDownload
from s3envelope.s3.full_reads import full_reads
from s3envelope.s3.writes import ENTRIES_PARAMETER, PART_SIZE_PARAMETER, PLAINTEXT_SIZE_PARAMETER, bad_digest

_CRT = "crt"


class EnvelopeTransferManager(TransferManager):
    """A transfer manager whose uploads say how their parts are cut."""

    ALLOWED_UPLOAD_ARGS = [  # noqa: RUF012  # the type that the base class has
        *TransferManager.ALLOWED_UPLOAD_ARGS,
        ENTRIES_PARAMETER,
        PART_SIZE_PARAMETER,
        PLAINTEXT_SIZE_PARAMETER,
    ]
    ALLOWED_DOWNLOAD_ARGS = [*TransferManager.ALLOWED_DOWNLOAD_ARGS, ENTRIES_PARAMETER]  # noqa: RUF012

    def _submit_transfer(
        self, call_args: Any, submission_task_cls: type[Any], extra_main_kwargs: dict[str, Any] | None = None
    ) -> Any:
        # Where s3transfer should not ask here any more, downloads are slower, and otherwise the same.
        chosen = FileDownload if submission_task_cls is DownloadSubmissionTask else submission_task_cls
        return super()._submit_transfer(call_args, chosen, extra_main_kwargs)  # type: ignore[misc]


def check_transfer_config(config: TransferConfig | None) -> TransferConfig:
    """Return a copy of a transfer configuration.

    Raises:
        UnsupportedOperationError: It asks for the CRT transfer client.
    """
    chosen = TransferConfig() if config is None else copy.copy(config)
    preferred = getattr(chosen, "preferred_transfer_client", None) or "auto"
    if str(preferred).lower() == _CRT:
        raise UnsupportedOperationError(
            "preferred_transfer_client='crt' is refused: that client would bypass encryption. "
            "Instead, leave it out, or use 'classic'"
        )
    return chosen


def one_message_in_sequence(client: Any, config: TransferConfig) -> None:
    """Let the parts of an upload come one after the other, where its object is one message.

    The manager's tasks are queued in the order of the parts: with one thread they run in that order.
    """
    if client._s3envelope.config.write_format != names.SE1:
        config.max_concurrency = 1


class _ContextExecutor(ThreadPoolExecutor):
    """Threads that see the context of whoever gave them work: an asynchronous client cancels by it."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        return super().submit(contextvars.copy_context().run, fn, *args, **kwargs)


def executor_for(config: TransferConfig | None) -> Any:
    """Return the class of executor for a transfer."""
    return _ContextExecutor if getattr(config, "use_threads", True) else NonThreadedExecutor


def _manager(client: Any, config: TransferConfig) -> EnvelopeTransferManager:
    return EnvelopeTransferManager(client, config, executor_cls=executor_for(config))


def cut(config: TransferConfig, extra_args: Mapping[str, Any] | None, size: int | None) -> dict[str, Any]:
    """Fix the part size of an upload in `config`; return the arguments that tell it to the client."""
    arguments = dict(extra_args or {})
    if PART_SIZE_PARAMETER in arguments:
        part_size = check_part_size(arguments[PART_SIZE_PARAMETER])
    else:
        adjusted = ChunksizeAdjuster().adjust_chunksize(config.multipart_chunksize, size)
        part_size = round_up_part_size(adjusted)
    if size is not None and size > part_size * MAX_PART_NUMBER:
        raise ConfigurationError(f"{size} bytes are more than {MAX_PART_NUMBER} parts of {part_size} bytes can hold")
    config.multipart_chunksize = part_size
    arguments[PART_SIZE_PARAMETER] = part_size
    if size is not None:
        arguments[PLAINTEXT_SIZE_PARAMETER] = size
    return arguments


def _verify_checksums(arguments: dict[str, Any], source: PlaintextSource | None) -> None:
    # Content-MD5 is no argument of a managed upload: boto3 says so.
    checksums = given_checksums(arguments, but_not="ContentMD5")
    arguments.pop("ChecksumType", None)
    arguments.pop("MpuObjectSize", None)
    if checksums and source is None:
        raise UnsupportedOperationError(
            f"{next(iter(checksums))} of a stream that cannot seek is refused: it could be verified only after the "
            "stream was sent. Instead, leave it out, or pass a seekable stream"
        )
    wrong = None if source is None else first_mismatch(checksums, source)
    if wrong is not None:
        raise bad_digest(wrong, checksums[wrong], "PutObject")


def upload_file(
    self: Any,
    Filename: str | os.PathLike[str],  # noqa: N803  # boto3's names
    Bucket: str,  # noqa: N803
    Key: str,  # noqa: N803
    ExtraArgs: Mapping[str, Any] | None = None,  # noqa: N803
    Callback: Callable[[int], None] | None = None,  # noqa: N803
    Config: TransferConfig | None = None,  # noqa: N803
) -> None:
    """Upload a file, sealed. As boto3's; `ExtraArgs` also takes `EncryptionContext` and `PartSize`.

    `Callback` counts plaintext bytes. A checksum in `ExtraArgs` is verified against the file before anything is sent.
    """
    if not isinstance(Filename, (str, os.PathLike)):
        raise ValueError("Filename must be a string or a path-like object")
    config = check_transfer_config(Config)
    # A missing file is left to boto3, so that its error is boto3's.
    size = os.path.getsize(Filename) if os.path.isfile(Filename) else None
    one_message_in_sequence(self, config)
    arguments = cut(config, ExtraArgs, size)
    if size is not None:
        with open(Filename, "rb") as file:
            try:
                _verify_checksums(arguments, StreamSource(file))
            except ClientError as error:
                raise S3UploadFailedError(f"Failed to upload {Filename} to {Bucket}/{Key}: {error}") from error
    with S3Transfer(manager=_manager(self, config)) as transfer:
        transfer.upload_file(
            filename=os.fspath(Filename), bucket=Bucket, key=Key, extra_args=arguments, callback=Callback
        )


def upload_fileobj(
    self: Any,
    Fileobj: IO[bytes],  # noqa: N803
    Bucket: str,  # noqa: N803
    Key: str,  # noqa: N803
    ExtraArgs: Mapping[str, Any] | None = None,  # noqa: N803
    Callback: Callable[[int], None] | None = None,  # noqa: N803
    Config: TransferConfig | None = None,  # noqa: N803
) -> None:
    """Upload a binary stream of known or unknown length, sealed. As boto3's; see `upload_file`."""
    if not hasattr(Fileobj, "read"):
        raise ValueError("Fileobj must implement read")
    refuse_text(Fileobj)
    config = check_transfer_config(Config)
    stream = full_reads(Fileobj)
    source = StreamSource(stream) if is_seekable(stream) else None
    one_message_in_sequence(self, config)
    arguments = cut(config, ExtraArgs, None if source is None else source.size)
    _verify_checksums(arguments, source)
    subscribers = None if Callback is None else [ProgressCallbackInvoker(Callback)]
    with _manager(self, config) as manager:
        future = manager.upload(fileobj=stream, bucket=Bucket, key=Key, extra_args=arguments, subscribers=subscribers)
        future.result()


def download_file(
    self: Any,
    Bucket: str,  # noqa: N803
    Key: str,  # noqa: N803
    Filename: str | os.PathLike[str],  # noqa: N803
    ExtraArgs: Mapping[str, Any] | None = None,  # noqa: N803
    Callback: Callable[[int], None] | None = None,  # noqa: N803
    Config: TransferConfig | None = None,  # noqa: N803
) -> None:
    """Download an object to a file, verified. As boto3's; the file has its name only when it is whole."""
    with S3Transfer(manager=_manager(self, check_transfer_config(Config))) as transfer:
        transfer.download_file(
            bucket=Bucket,
            key=Key,
            filename=os.fspath(Filename),
            extra_args=None if ExtraArgs is None else dict(ExtraArgs),
            callback=Callback,
        )
    offer_to_rotation(self, Bucket, Key)


def download_fileobj(
    self: Any,
    Bucket: str,  # noqa: N803
    Key: str,  # noqa: N803
    Fileobj: IO[bytes],  # noqa: N803
    ExtraArgs: Mapping[str, Any] | None = None,  # noqa: N803
    Callback: Callable[[int], None] | None = None,  # noqa: N803
    Config: TransferConfig | None = None,  # noqa: N803
) -> None:
    """Download an object to a binary stream, verified. As boto3's."""
    if not hasattr(Fileobj, "write"):
        raise ValueError("Fileobj must implement write")
    config = check_transfer_config(Config)
    inject.disable_threading_if_append_mode(config, Fileobj)
    subscribers = None if Callback is None else [ProgressCallbackInvoker(Callback)]
    with _manager(self, config) as manager:
        future = manager.download(
            bucket=Bucket,
            key=Key,
            fileobj=Fileobj,
            extra_args=None if ExtraArgs is None else dict(ExtraArgs),
            subscribers=subscribers,
        )
        future.result()
    offer_to_rotation(self, Bucket, Key)


def offer_to_rotation(client: Any, bucket: str, key: str) -> None:
    """Let a client that rotates keys on read rewrap an object that was downloaded, if it noticed an old key."""
    rotation = client._s3envelope.read_rotation
    if rotation is not None:
        rotation.offer_noticed(bucket, key)
