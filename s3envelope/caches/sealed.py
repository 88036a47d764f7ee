"""An entry of the cache as it lies on disk: a name that says nothing, and a value that only the cache key opens."""

from __future__ import annotations

import hmac
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from hashlib import sha256

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from s3envelope.core.secret import SecretBytes, overwrite_cipher_stack

CACHE_KEY_SIZE = 32
DIGEST_SIZE = 32
MAX_SECRET_SIZE = 2048
_NONCE_SIZE, _TAG_SIZE = 12, 16
# Changed with every change of what is sealed: entries of another version are not found, and do not open.
_VERSION = b"s3envelope cache 1"
_HEAD = struct.Struct(">dd32s")
# Processes read the clock at slightly different moments, and it is adjusted by little all the time.
CLOCK_TOLERANCE_SECONDS = 1.0
_SMALLEST = _NONCE_SIZE + _TAG_SIZE + _HEAD.size
MAX_SEALED_SIZE = _SMALLEST + MAX_SECRET_SIZE


@dataclass(frozen=True, slots=True)
class Moment:
    """A point in time on both clocks of a machine.

    Args:
        wall: Seconds since the epoch.
        monotonic: Seconds since the machine was started, for all its processes.
    """

    wall: float
    monotonic: float

    def age(self, now: Moment) -> float | None:
        """Return how long ago this was at least, in seconds; `None` if it is in the future, which says nothing.

        INVARIANT: the larger of two ages counts. A clock of the day that was set back then makes nothing younger, nor
        does a monotonic clock that stood still while the machine slept, or that began anew with it.
        """
        by_day = now.wall - self.wall
        if not by_day >= -CLOCK_TOLERANCE_SECONDS:
            return None
        return max(0.0, by_day, now.monotonic - self.monotonic)


@dataclass(frozen=True, slots=True)
class CachedSecret:
    """An entry that has been opened; whoever gets it wipes the secret.

    Args:
        verified: When the key service gave it out.
        digest: What the entry is for.
    """

    verified: Moment
    digest: bytes
    secret: SecretBytes


def digest_of(parts: Iterable[bytes]) -> bytes:
    """Return 32 bytes that no other sequence of parts has."""
    return sha256(b"".join(struct.pack(">I", len(part)) + part for part in parts)).digest()


class EntrySealer:
    """Names, seals and opens entries under one cache key.

    Args:
        cache_key: 32 bytes; not needed afterwards.
        random: For nonces.
    """

    def __init__(self, cache_key: SecretBytes, random: Callable[[int], bytes]) -> None:
        derived = bytearray(2 * CACHE_KEY_SIZE)
        kdf = HKDF(algorithm=SHA512(), length=len(derived), salt=None, info=_VERSION)
        kdf.derive_into(cache_key.view(), derived)
        self._name_key = SecretBytes(memoryview(derived)[:CACHE_KEY_SIZE])
        self._seal_key = SecretBytes(memoryview(derived)[CACHE_KEY_SIZE:])
        derived[:] = bytes(len(derived))
        self._random = random

    def name(self, digest: bytes) -> bytes:
        """Return the name of the entry for a digest: a hash that takes the cache key to compute."""
        return hmac.digest(self._name_key.view(), digest, "sha256")

    def seal(self, digest: bytes, verified: Moment, secret: SecretBytes) -> bytes:
        """Return the value of an entry. INVARIANT: its name is authenticated, so entries cannot be swapped."""
        if len(secret) > MAX_SECRET_SIZE:
            raise ValueError(f"a cached secret has at most {MAX_SECRET_SIZE} bytes")
        plaintext = bytearray(_HEAD.pack(verified.wall, verified.monotonic, digest) + bytes(len(secret)))
        plaintext[_HEAD.size :] = secret.view()
        nonce = self._random(_NONCE_SIZE)
        try:
            return nonce + AESGCM(self._seal_key.view()).encrypt(nonce, plaintext, _VERSION + self.name(digest))
        finally:
            plaintext[:] = bytes(len(plaintext))
            overwrite_cipher_stack()

    def open(self, name: bytes, sealed: bytes) -> CachedSecret | None:
        """Return the entry of a name; `None` if the value is not what was sealed for it under this cache key."""
        if not _SMALLEST <= len(sealed) <= MAX_SEALED_SIZE:
            return None
        plaintext = bytearray(len(sealed) - _NONCE_SIZE - _TAG_SIZE)
        try:
            AESGCM(self._seal_key.view()).decrypt_into(
                sealed[:_NONCE_SIZE], sealed[_NONCE_SIZE:], _VERSION + name, plaintext
            )
            wall, monotonic, digest = _HEAD.unpack_from(plaintext)
            return CachedSecret(Moment(wall, monotonic), digest, SecretBytes(memoryview(plaintext)[_HEAD.size :]))
        except InvalidTag:
            return None
        finally:
            plaintext[:] = bytes(len(plaintext))
            overwrite_cipher_stack()

    def wipe(self) -> None:
        """Overwrite the derived keys."""
        self._name_key.wipe()
        self._seal_key.wipe()
