"""Checksums of the plaintext that a caller gives: verified here, never sent.

Nothing that is a function of the plaintext, but for its length, leaves the process.
"""

from __future__ import annotations

import base64
import hashlib
import zlib
from collections.abc import Callable
from typing import Any, Protocol

from s3envelope.engine.sources import PlaintextSource
from s3envelope.errors import UnsupportedOperationError

_CHUNK_SIZE = 1 << 20
_NOT_VALUES = ("ChecksumAlgorithm", "ChecksumType", "ChecksumMode")


class _Hash(Protocol):
    def update(self, piece: bytes | memoryview, /) -> object: ...

    def digest(self) -> bytes: ...


class _Crc32:
    def __init__(self) -> None:
        self._value = 0

    def update(self, piece: bytes | memoryview, /) -> None:
        self._value = zlib.crc32(piece, self._value)

    def digest(self) -> bytes:
        return self._value.to_bytes(4, "big")


def _md5() -> _Hash:
    return hashlib.md5(usedforsecurity=False)


def _sha1() -> _Hash:
    return hashlib.sha1(usedforsecurity=False)


_HASHES: dict[str, Callable[[], _Hash]] = {
    "ContentMD5": _md5,
    "ChecksumMD5": _md5,
    "ChecksumCRC32": _Crc32,
    "ChecksumSHA1": _sha1,
    "ChecksumSHA256": hashlib.sha256,
    "ChecksumSHA512": hashlib.sha512,
}


def checksum_of(algorithm: str, content: bytes) -> dict[str, str]:
    """Return the checksum of a part that was sent, as `complete` lists it; empty if it cannot be computed here."""
    name = f"Checksum{algorithm.upper()}"
    if name not in _HASHES:
        return {}
    digest = _HASHES[name]()
    digest.update(content)
    return {name: base64.b64encode(digest.digest()).decode("ascii")}


def given_checksums(parameters: dict[str, Any], *, but_not: str = "") -> dict[str, str]:
    """Take the checksums of the plaintext out of the parameters of a call and return them.

    Raises:
        UnsupportedOperationError: One of them cannot be computed here, and so not be verified.
    """
    names = [
        name
        for name in parameters
        if name != but_not and (name == "ContentMD5" or (name.startswith("Checksum") and name not in _NOT_VALUES))
    ]
    unknown = [name for name in names if name not in _HASHES]
    if unknown:
        raise UnsupportedOperationError(
            f"{unknown[0]} cannot be verified here, and a checksum of the plaintext is never sent; "
            f"use one of {', '.join(sorted(_HASHES))}, or leave it out: the stored bytes have a checksum of their own"
        )
    return {name: str(parameters.pop(name)) for name in names}


def first_mismatch(checksums: dict[str, str], source: PlaintextSource) -> str | None:
    """Read the source once and return the name of the first checksum that is not its own; `None` if all are."""
    if not checksums:
        return None
    hashes = {name: _HASHES[name]() for name in checksums}
    offset = 0
    while piece := source.read_at(offset, _CHUNK_SIZE):
        for digest in hashes.values():
            digest.update(piece)
        offset += len(piece)
    source.rewind(0)
    for name, digest in hashes.items():
        if base64.b64encode(digest.digest()).decode("ascii") != checksums[name]:
            return name
    return None
