"""Faults that the proxy can inject."""

from dataclasses import dataclass

_REASONS = {
    "SlowDown": "Please reduce your request rate.",
    "InternalError": "We encountered an internal error.",
}


@dataclass(frozen=True, slots=True)
class ErrorAnswer:
    """Answer with an S3 error instead of asking the storage; the request's body is read first."""

    status: int = 503
    code: str = "SlowDown"

    def body(self) -> bytes:
        """Return the error document."""
        message = _REASONS.get(self.code, self.code)
        return (
            f'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>{self.code}</Code>'
            f"<Message>{message}</Message><RequestId>0</RequestId></Error>"
        ).encode()


@dataclass(frozen=True, slots=True)
class ResetRequest:
    """Reset the connection when so many bytes of the request's body have come; 0 is before any of it."""

    after_size: int = 0


@dataclass(frozen=True, slots=True)
class ResetResponse:
    """Reset the connection when so many bytes of the answer's body have gone out.

    The storage has done its work. None is before even the head of the answer.
    """

    after_size: int | None = None


@dataclass(frozen=True, slots=True)
class TruncatedResponse:
    """Close the connection in good order when so many bytes of the answer's body have gone out.

    The storage has done its work. None is before even the head of the answer.
    """

    after_size: int | None = 0


@dataclass(frozen=True, slots=True)
class Latency:
    """Wait before the request is passed on."""

    delay_seconds: float


Fault = ErrorAnswer | ResetRequest | ResetResponse | TruncatedResponse | Latency
