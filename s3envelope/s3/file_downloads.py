"""Downloads to files without s3transfer's queue for writing.

s3transfer hands every 256 KiB to one thread that writes them. Queueing a piece costs more than writing it, what waits
is memory, and on the way to another core the bytes leave the cache.
"""

from __future__ import annotations

import threading
from typing import Any

from s3transfer.download import DownloadFilenameOutputManager, DownloadSubmissionTask


class FileOutput(DownloadFilenameOutputManager):
    """The temporary file of a download, written by whichever thread has a piece of it.

    The file has its name only when it is whole, as in the base class: its last task runs after every write.
    """

    def __init__(self, osutil: Any, transfer_coordinator: Any, io_executor: Any) -> None:
        super().__init__(osutil, transfer_coordinator, io_executor)
        self._transfer: Any = transfer_coordinator
        self._lock = threading.Lock()

    def queue_file_io_task(self, fileobj: Any, data: Any, offset: int) -> None:
        """Write now. As in the queue, an error of the system ends the transfer."""
        try:
            # INVARIANT: seeking and writing are one step: the threads share the position of the file.
            with self._lock:
                fileobj.seek(offset)
                fileobj.write(data)
        except OSError as error:
            # Its traceback would keep the task that called, and with it the answer and its socket, for as long as
            # somebody has the error.
            self._transfer.set_exception(error.with_traceback(None))


class FileDownload(DownloadSubmissionTask):
    """A download that writes files directly; every other target is as the base class has it."""

    def _get_download_output_manager_cls(self, transfer_future: Any, osutil: Any) -> Any:
        inherited: Any = super()._get_download_output_manager_cls(transfer_future, osutil)  # type: ignore[misc]
        return FileOutput if inherited is DownloadFilenameOutputManager else inherited
