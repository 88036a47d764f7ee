"""The error answers of the service."""

from __future__ import annotations

# The service model marks these as faults of the server; every other error is the caller's: status 400.
_FAULTS = frozenset({"KMSInternalException", "KeyUnavailableException", "DependencyTimeoutException"})


def status_of(code: str) -> int:
    """Return the HTTP status that goes with an error code."""
    return 500 if code in _FAULTS else 400


class KmsServiceError(Exception):
    """An answer of the service that is an error; it never leaves the server as a Python exception.

    Args:
        code: As in `ClientError.response["Error"]["Code"]`.
        message: Empty for the errors to which AWS adds no message.
        status: The HTTP status; by default what AWS sends with this code.
    """

    def __init__(self, code: str, message: str = "", status: int | None = None) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message
        self.status = status_of(code) if status is None else status


def invalid(message: str) -> KmsServiceError:
    """Return the error of a request that breaks a rule of its operation."""
    return KmsServiceError("ValidationException", message)


def not_found(message: str) -> KmsServiceError:
    """Return the error of a key, an alias or a Region that is not there."""
    return KmsServiceError("NotFoundException", message)


def unsupported(message: str) -> KmsServiceError:
    """Return the error of a key that cannot do what it was asked for, ever."""
    return KmsServiceError("UnsupportedOperationException", message)
