"""Uploads and downloads of many files through one transfer manager, which whoever began them waits for."""

from __future__ import annotations

import copy
import os
from collections.abc import Callable, Mapping
from typing import IO, Any

from boto3.s3.transfer import ProgressCallbackInvoker
from s3transfer.futures import TransferFuture
from s3transfer.utils import OSUtils

from s3envelope.core.layout import round_up_part_size
from s3envelope.engine.sources import StreamSource, is_seekable
from s3envelope.s3.full_reads import full_reads
from s3envelope.s3.transfers import (
    EnvelopeTransferManager,
    check_transfer_config,
    cut,
    offer_to_rotation,
    one_message_in_sequence,
)

# Of a download that is under way, or whose process was killed. boto3's own names look like any other.
PARTIAL_SUFFIX = ".s3envelope-partial"
_LONGEST_NAME = 255
_RANDOM_LENGTH = 9


class _NamedPartials(OSUtils):
    """Names the temporary file of a download so that it can be told from all others."""

    def get_temp_filename(self, filename: str) -> str:
        folder, name = os.path.split(filename)
        # File systems count bytes, s3transfer letters.
        most = _LONGEST_NAME - _RANDOM_LENGTH - len(PARTIAL_SUFFIX)
        kept = name.encode("utf-8", "ignore")[:most].decode("utf-8", "ignore")
        return f"{super().get_temp_filename(os.path.join(folder, kept))}{PARTIAL_SUFFIX}"


class SharedTransfers:
    """One transfer manager of an enveloped client.

    `upload` and `download` return at once; `result` of what they return waits, and `cancel` ends a transfer: its
    multipart upload is aborted and its partial file removed before `result` returns.

    Args:
        max_concurrency: Requests at a time, over all files.
    """

    def __init__(self, client: Any, *, max_concurrency: int) -> None:
        self._client = client
        self._config = check_transfer_config(None)
        self._config.max_concurrency = max_concurrency
        self._config.multipart_chunksize = round_up_part_size(self._config.multipart_chunksize)
        one_message_in_sequence(client, self._config)
        self._manager = EnvelopeTransferManager(client, self._config, osutil=_NamedPartials())

    @property
    def multipart_threshold(self) -> int:
        """The size in bytes from which a file is sent in parts."""
        return int(self._config.multipart_threshold)

    @property
    def part_size(self) -> int:
        """The size in bytes of the parts, where the number of parts allows it."""
        return int(self._config.multipart_chunksize)

    def upload(
        self,
        source: str | IO[bytes],
        bucket: str,
        key: str,
        arguments: Mapping[str, Any],
        callback: Callable[[int], None],
    ) -> TransferFuture:
        """Begin to upload a file, or a stream.

        Raises:
            OSError: The file cannot be looked at.
            ConfigurationError: It is too large.
        """
        stream: Any = source if isinstance(source, str) else full_reads(source)
        size = os.path.getsize(source) if isinstance(source, str) else None
        if size is None and is_seekable(stream):
            size = StreamSource(stream).size
        return self._manager.upload(
            fileobj=stream,
            bucket=bucket,
            key=key,
            extra_args=cut(copy.copy(self._config), arguments, size),
            subscribers=[ProgressCallbackInvoker(callback)],
        )

    def download(self, bucket: str, key: str, filename: str, callback: Callable[[int], None]) -> TransferFuture:
        """Begin to download an object to a file, which has its name only when it is whole."""
        subscribers = [ProgressCallbackInvoker(callback)]
        return self._manager.download(bucket=bucket, key=key, fileobj=filename, subscribers=subscribers)

    def downloaded(self, bucket: str, key: str) -> None:
        """Tell that a download is done, for a client that rotates keys on read."""
        offer_to_rotation(self._client, bucket, key)

    def close(self) -> None:
        """Wait for what runs, and end the threads."""
        self._manager.shutdown()
