"""Key bytes that can be wiped, and that never print, copy or pickle themselves."""

from __future__ import annotations

import ctypes
import hmac
import sys
import weakref
from types import TracebackType
from typing import NoReturn

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_ZEROS, _ZERO_NONCE = bytes(32), bytes(12)
# Where the content of a `bytes` object begins; its last byte is a zero that is not content.
_BYTES_HEADER_SIZE = bytes.__basicsize__ - 1


def overwrite_bytes(material: bytes, start: int = 0, end: int | None = None) -> None:
    """Overwrite a part of a `bytes` object with zeros, where the interpreter's layout is known.

    Only for an object that this library alone refers to: whoever else does sees it change. One of a single byte is the
    interpreter's own, which everybody refers to, and stays.
    """
    end = len(material) if end is None else end
    if sys.implementation.name == "cpython" and len(material) > 1 and 0 <= start < end <= len(material):
        ctypes.memset(id(material) + _BYTES_HEADER_SIZE + start, 0, end - start)


def overwrite_cipher_stack() -> None:
    """Seal and open zeros.

    OpenSSL leaves the last blocks that it worked on where its functions had their variables. When such a block is a
    part of a key that was sealed or opened, the same work on zeros puts zeros there. Done before the first key is
    used, it also makes the dynamic linker look up every function, for which it saves the registers on the stack.
    """
    aead = AESGCM(_ZEROS)
    sealed = aead.encrypt(_ZERO_NONCE, _ZEROS, None)
    aead.encrypt_into(_ZERO_NONCE, _ZEROS, None, bytearray(len(sealed)))
    aead.decrypt_into(_ZERO_NONCE, sealed, None, bytearray(len(_ZEROS)))


def wipe_all(result: object) -> None:
    """Wipe what can be wiped of a result that nobody will get: one secret, or a tuple with some."""
    for item in result if isinstance(result, tuple) else (result,):
        wipe = getattr(item, "wipe", None)
        if callable(wipe):
            wipe()


def _reference_count(_: object, material: object) -> int:
    return sys.getrefcount(material)


# What `take` counts for an argument that nobody holds but the call; a constant has more.
_FRESH_REFERENCE_COUNT = _reference_count(None, bytes(bytearray(b"fresh")))


def _overwrite(buffer: bytearray) -> None:
    buffer[:] = bytes(len(buffer))


class SecretBytes:
    """Hold key material in one buffer that is overwritten on release.

    It is a context manager: leaving the block wipes it. Garbage collection and the end of the interpreter wipe it too.
    Reading it after the wipe raises `ValueError`. What CPython and OpenSSL copy on the way is out of its reach.
    """

    __slots__ = ("__weakref__", "_buffer", "_wiped")

    def __init__(self, material: bytes | bytearray | memoryview) -> None:
        """Copy `material`; the caller wipes its own buffer, if it can be wiped."""
        self._buffer = bytearray(material)
        self._wiped = False
        weakref.finalize(self, _overwrite, self._buffer)

    @classmethod
    def take(cls, material: bytearray | bytes) -> SecretBytes:
        """Copy `material`, then overwrite it with zeros: a buffer always, `bytes` if nobody else refers to them."""
        secret = cls(material)
        if isinstance(material, bytearray):
            _overwrite(material)
        elif sys.getrefcount(material) <= _FRESH_REFERENCE_COUNT:
            overwrite_bytes(material)
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
        _overwrite(self._buffer)
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

    def __repr__(self) -> str:
        return f"<SecretBytes of {len(self._buffer)} bytes>"

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a SecretBytes cannot be copied or pickled")
