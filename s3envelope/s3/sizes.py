"""Limits of one request, in plaintext terms, and the errors that S3 gives."""

from __future__ import annotations

from typing import Any

from s3envelope.core.layout import MAX_PUT_SIZE, run_size
from s3envelope.errors import ConfigurationError


def check_put_size(size: int) -> None:
    """Raise `ConfigurationError` if the ciphertext of one request would be larger than S3 takes."""
    if run_size(size) > MAX_PUT_SIZE:
        raise ConfigurationError(
            f"the body has {size} bytes; sealed it would be larger than 5 GiB. Use upload_file or upload_fileobj"
        )


def check_declared_size(size: int, declared_size: int | None) -> None:
    """Raise `ConfigurationError` if `ContentLength` is not the size of the body."""
    if declared_size is not None and declared_size != size:
        raise ConfigurationError(f"ContentLength is {declared_size}, but the body has {size} bytes; leave it out")


def error_answer(code: str, message: str, status: int) -> Any:
    """Return a parsed error answer, for an error of S3 that is found here before S3 could."""
    metadata = {"HTTPStatusCode": status, "RequestId": "", "HostId": "", "HTTPHeaders": {}, "RetryAttempts": 0}
    return {"Error": {"Code": code, "Message": message}, "ResponseMetadata": metadata}
