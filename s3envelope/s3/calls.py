"""What one call of an S3 operation carries from its entry to its end."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from s3envelope.core.context import EncryptionContext
from s3envelope.core.ranges import LAST_SEGMENT, ByteRange
from s3envelope.s3.bodies import SealedUpload

if TYPE_CHECKING:
    from s3envelope.engine.opening import Answer
    from s3envelope.s3.auditing import Undertaking

# The parameter that takes a call from `_make_api_call` to the first event with a context; it never gets further.
CALL_PARAMETER = "S3EnvelopeCall"
CONTEXT_NAME = "s3envelope"


@dataclass(slots=True)
class Read:
    """What a GET or HEAD asked for before its parameters were rewritten.

    Args:
        parameters: A copy of the caller's parameters, for further requests.
        requested: The plaintext range; `None` for the whole object.
        expected: Entries that the object's encryption context must have.
        asks_nothing: Whether the range is `bytes=-0`.
        sent: The range that S3 is asked for, in ciphertext terms.
        request_ids: Of further requests about the object.
        fetched: The answers to them. INVARIANT: those that nobody is given are closed, whatever becomes of the call.
    """

    parameters: dict[str, Any]
    requested: ByteRange | None
    expected: EncryptionContext
    sent: ByteRange | None = None
    request_ids: list[str] = field(default_factory=list)
    fetched: list[Answer] = field(default_factory=list)

    @property
    def se1_range(self) -> ByteRange | None:
        """What to ask S3 for, if the object is SE1."""
        if self.requested is None:
            return None
        return LAST_SEGMENT if self.asks_nothing else self.requested.to_ciphertext()

    @property
    def asks_nothing(self) -> bool:
        return self.requested == ByteRange(None, 0)


@dataclass(slots=True, eq=False)
class Call:
    """The state of one call.

    A call that this library makes itself is `inner`: its parameters and its answer are ciphertext already. The mark
    is an object of this class in the parameters of that one call, so nothing that runs meanwhile can inherit it.

    Args:
        plaintext_size: Of a body whose size does not tell: it may have the end of a message.
    """

    operation: str
    inner: bool = False
    bucket: str = ""
    plaintext_size: int | None = None
    body: SealedUpload | None = None
    envelope: Mapping[str, str] = field(default_factory=dict)
    read: Read | None = None
    given: dict[str, Any] = field(default_factory=dict)
    place: tuple[object, object] | None = None
    on_success: Callable[[dict[str, Any]], None] | None = None
    on_failure: Callable[[], None] | None = None
    undertaking: Undertaking | None = None
    cleanups: list[Callable[[], None]] = field(default_factory=list)

    @property
    def failure(self) -> Exception | None:
        """An error of ours that was raised while the transport read the body."""
        return None if self.body is None else self.body.failure

    def close(self) -> None:
        """Release what the call holds."""
        while self.cleanups:
            self.cleanups.pop()()
