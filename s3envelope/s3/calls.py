"""What one call of an S3 operation carries from its entry to its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from s3envelope.core.ranges import ByteRange
from s3envelope.s3.bodies import SealedUpload

# The parameter that takes a call from `_make_api_call` to the first event with a context; it never gets further.
CALL_PARAMETER = "S3EnvelopeCall"
CONTEXT_NAME = "s3envelope"


@dataclass(slots=True)
class Read:
    """What a GET or HEAD asked for before its parameters were rewritten.

    Args:
        parameters: A copy of the caller's parameters, for further requests.
        requested: The plaintext range; `None` for the whole object.
        asks_nothing: Whether the range is `bytes=-0`.
    """

    parameters: dict[str, Any]
    requested: ByteRange | None
    entries: dict[str, str] | None

    @property
    def asks_nothing(self) -> bool:
        return self.requested == ByteRange(None, 0)


@dataclass(slots=True, eq=False)
class Call:
    """The state of one call.

    A call that this library makes itself is `inner`: its parameters and its answer are ciphertext already. The mark
    is an object of this class in the parameters of that one call, so nothing that runs meanwhile can inherit it.
    """

    operation: str
    inner: bool = False
    bucket: str = ""
    body: SealedUpload | None = None
    envelope: Mapping[str, str] = field(default_factory=dict)
    read: Read | None = None
    given: dict[str, Any] = field(default_factory=dict)
    place: tuple[object, object] | None = None
    on_success: Callable[[dict[str, Any]], None] | None = None
    on_failure: Callable[[], None] | None = None
    cleanups: list[Callable[[], None]] = field(default_factory=list)

    @property
    def failure(self) -> Exception | None:
        """An error of ours that was raised while the transport read the body."""
        return None if self.body is None else self.body.failure

    def close(self) -> None:
        """Release what the call holds."""
        while self.cleanups:
            self.cleanups.pop()()
