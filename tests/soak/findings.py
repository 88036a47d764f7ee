"""What a soak counts, and which errors are clean under faults."""

from __future__ import annotations

import threading
from collections import Counter

from boto3.exceptions import RetriesExceededError, S3UploadFailedError
from botocore.exceptions import ClientError, HTTPClientError, IncompleteReadError
from botocore.parsers import ResponseParserError
from s3transfer.exceptions import RetriesExceededError as TransferRetriesExceededError
from s3transfer.exceptions import S3DownloadFailedError

from s3envelope.errors import ObjectChangedError, TruncatedObjectError

_MOST_DETAILS = 20
_OF_FAULTS = {"500", "503", "InternalError", "SlowDown", "ServiceUnavailable"}
# After an answer that was lost, the retry of a request that ended an upload does not find it.
_AFTER_RETRIES = {"NoSuchUpload", "PreconditionFailed", "412"}
_TRANSPORT = (
    # Closed, reset and truncated connections.
    HTTPClientError,
    IncompleteReadError,
    ResponseParserError,
    RetriesExceededError,
    TransferRetriesExceededError,
)


class WrongReadError(Exception):
    """An answer shows what the key can never have held."""


class LostObjectError(Exception):
    """A key holds nothing, and nobody deleted it."""


class Skip(Exception):  # noqa: N818 - it is no error: there was nothing to do
    """The operation does not fit what the key holds."""


def code_of(error: BaseException | None) -> str:
    """Return the code of an error of S3, also of one that a transfer wrapped; empty for others."""
    while isinstance(error, S3UploadFailedError):
        error = error.__cause__ or error.__context__
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def was_retried(error: Exception) -> bool:
    """Tell whether an attempt before the last one may have done the work."""
    cause: BaseException | None = error
    while isinstance(cause, S3UploadFailedError):
        cause = cause.__cause__ or cause.__context__
    return not isinstance(cause, ClientError) or cause.response["ResponseMetadata"].get("RetryAttempts", 1) > 0


def is_missing(error: Exception) -> bool:
    """Tell whether S3 says that the object does not exist."""
    return code_of(error) in ("NoSuchKey", "404")


def is_clean(error: Exception) -> bool:
    """Tell whether an error may happen because of the faults that are injected."""
    code = code_of(error)
    if code:
        return code in _OF_FAULTS or (code in _AFTER_RETRIES and was_retried(error))
    if isinstance(error, S3UploadFailedError):
        cause = error.__cause__ or error.__context__
        return isinstance(cause, Exception) and is_clean(cause)
    return isinstance(error, _TRANSPORT)


def tells_of_a_change(error: Exception) -> bool:
    """Tell whether an error says that the object was replaced while it was read in several requests."""
    # A range that was not there, of an object that is longer by the time its end is proved.
    is_late_proof = isinstance(error, TruncatedObjectError) and "range does not exist" in str(error)
    is_download = isinstance(error, S3DownloadFailedError) and "expected ETag" in str(error)
    is_condition = code_of(error) in ("PreconditionFailed", "412")
    return isinstance(error, ObjectChangedError) or is_late_proof or is_download or is_condition


class Findings:
    """Counts of one soak, of all its threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.operations: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self.errors: Counter[str] = Counter()
        self.bad: Counter[str] = Counter()
        self.details: list[str] = []

    def done(self, operation: str) -> None:
        """Count an operation, however it ended."""
        with self._lock:
            self.operations[operation] += 1

    def skip(self, operation: str) -> None:
        """Count an operation that found nothing to do."""
        with self._lock:
            self.skipped[operation] += 1

    def failed(self, operation: str, error: Exception) -> None:
        """Count an error, and keep it if it is not clean."""
        name = type(error).__name__ + (f" {code}" if (code := code_of(error)) else "")
        with self._lock:
            self.errors[name] += 1
            if isinstance(error, WrongReadError):
                self._keep("wrong reads", operation, error)
            elif isinstance(error, LostObjectError):
                self._keep("lost objects", operation, error)
            elif not is_clean(error):
                self._keep("unexpected errors", operation, error)

    def verified(self, name: str, error: Exception) -> None:
        """Count a key that did not read well at the end, when nothing is in the way."""
        kind = "lost objects" if isinstance(error, LostObjectError) else "wrong reads"
        with self._lock:
            self._keep(kind, f"final read of {name}", error)

    def _keep(self, kind: str, operation: str, error: Exception) -> None:
        self.bad[kind] += 1
        if self.bad[kind] <= _MOST_DETAILS:
            self.details.append(f"{kind}: {operation}: {type(error).__name__}: {error}")
