"""Key bytes that can be wiped, and that never print, copy or pickle themselves."""

from __future__ import annotations

import hmac
from types import TracebackType
from typing import NoReturn


class SecretBytes:
    """Hold key material in one buffer that is overwritten on release.

    It is a context manager: leaving the block wipes it. Garbage collection wipes it too. Reading it after the wipe
    raises `ValueError`. What CPython and OpenSSL copy on the way is out of its reach.
    """

    __slots__ = ("__weakref__", "_buffer", "_wiped")

    def __init__(self, material: bytes | bytearray | memoryview) -> None:
        """Copy `material`; the caller wipes its own buffer, if it can be wiped."""
        self._buffer = bytearray(material)
        self._wiped = False

    @classmethod
    def take(cls, material: bytearray) -> SecretBytes:
        """Copy `material`, then overwrite the caller's buffer with zeros."""
        secret = cls(material)
        material[:] = bytes(len(material))
        return secret

    def view(self) -> memoryview:
        """Return a read-only view of the key bytes, without a copy.

        Raises:
            ValueError: The secret was wiped.
        """
        if self._wiped:
            raise ValueError("this secret was wiped")
        return memoryview(self._buffer).toreadonly()

    def copy(self) -> SecretBytes:
        """Return an independent secret with the same bytes, to be wiped on its own."""
        return SecretBytes(self.view())

    def wipe(self) -> None:
        """Overwrite the key bytes with zeros; harmless when repeated."""
        self._buffer[:] = bytes(len(self._buffer))
        self._wiped = True

    def __len__(self) -> int:
        return len(self._buffer)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SecretBytes):
            return NotImplemented
        return hmac.compare_digest(self.view(), other.view())

    __hash__ = None  # type: ignore[assignment]  # a hash of a key must not land in a dictionary

    def __enter__(self) -> SecretBytes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.wipe()

    def __del__(self) -> None:
        if hasattr(self, "_buffer"):
            self.wipe()

    def __repr__(self) -> str:
        return f"<SecretBytes of {len(self._buffer)} bytes>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a SecretBytes cannot be copied or pickled")
