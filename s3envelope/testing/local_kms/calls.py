"""The log of calls."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

OK = "OK"
CONNECTION_RESET = "ConnectionReset"


@dataclass(frozen=True, slots=True)
class KmsCall:
    """One request that reached the server.

    Args:
        operation: Like "GenerateDataKey".
        key_id: As sent: KeyId, TargetKeyId, or ReEncrypt's DestinationKeyId. None if the request named no key.
        source_key_id: ReEncrypt's SourceKeyId.
        encryption_context: EncryptionContext or DestinationEncryptionContext; empty if none was sent.
        source_encryption_context: ReEncrypt's SourceEncryptionContext.
        outcome: "OK", the error code of the answer, or "ConnectionReset".
        access_key_id: The caller's.
        grant_tokens: As sent.
        request_id: That of the answer.
    """

    operation: str
    region: str
    key_id: str | None
    source_key_id: str | None
    encryption_context: Mapping[str, str]
    source_encryption_context: Mapping[str, str]
    outcome: str
    access_key_id: str
    grant_tokens: tuple[str, ...] = ()
    request_id: str = ""

    @property
    def succeeded(self) -> bool:
        """Whether the answer was not an error."""
        return self.outcome == OK


def record_of(
    operation: str, parameters: Mapping[str, object], *, region: str, access_key_id: str, outcome: str, request_id: str
) -> KmsCall:
    """Return the record of a request, however malformed its parameters are."""

    def text(*names: str) -> str | None:
        found = (parameters[name] for name in names if name in parameters)
        return next((value for value in found if isinstance(value, str)), None)

    def context(*names: str) -> dict[str, str]:
        for name in names:
            value = parameters.get(name)
            if isinstance(value, dict):
                return {str(key): str(entry) for key, entry in value.items()}
        return {}

    tokens = parameters.get("GrantTokens")
    return KmsCall(
        operation=operation,
        region=region,
        key_id=text("KeyId", "DestinationKeyId", "TargetKeyId"),
        source_key_id=text("SourceKeyId"),
        encryption_context=context("EncryptionContext", "DestinationEncryptionContext"),
        source_encryption_context=context("SourceEncryptionContext"),
        outcome=outcome,
        access_key_id=access_key_id,
        grant_tokens=tuple(map(str, tokens)) if isinstance(tokens, list) else (),
        request_id=request_id,
    )


class CallLog:
    """Records of calls, in the order in which they were answered."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._calls: list[KmsCall] = []

    def add(self, call: KmsCall) -> None:
        """Append a record."""
        with self._lock:
            self._calls.append(call)

    def snapshot(self) -> tuple[KmsCall, ...]:
        """Return all records."""
        with self._lock:
            return tuple(self._calls)

    def clear(self) -> None:
        """Forget all records."""
        with self._lock:
            self._calls.clear()
