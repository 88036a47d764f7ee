"""One segment is one AES-256-GCM message at an authenticated address.

Source: FORMAT.md, section "Segments and runs".
"""

from __future__ import annotations

import struct

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from s3envelope.core.kdf import BodyKey
from s3envelope.errors import SegmentAuthenticationError

SEGMENT_SIZE = 65536
NONCE_SIZE = 12
TAG_SIZE = 16
SEGMENT_OVERHEAD = NONCE_SIZE + TAG_SIZE
SEALED_SEGMENT_SIZE = SEGMENT_SIZE + SEGMENT_OVERHEAD
MAX_SEGMENT_COUNT = 2**32
INDEX_RUN = 2**32 - 1
STATE_RUN = 2**32 - 2

_ADDRESS = struct.Struct(">II")


def segment_nonce(start: bytes, index: int) -> bytes:
    """Return the nonce of the segment `index` places after the one whose nonce is `start` (12 bytes, mod 2^96)."""
    return ((int.from_bytes(start, "big") + index) % 2**96).to_bytes(NONCE_SIZE, "big")


class SegmentSealer:
    """Seals the segments of one run.

    It holds a cipher object, which keeps a copy of the key: keep the sealer no longer than the body it serves.
    """

    __slots__ = ("_aead", "_run")

    def __init__(self, body_key: BodyKey, run: int) -> None:
        self._aead = AESGCM(body_key.key.view())
        self._run = run

    def seal_into(self, index: int, nonce: bytes, plaintext: bytes | memoryview, out: memoryview) -> None:
        """Write nonce, ciphertext and tag to `out`, which must have exactly 28 bytes more than `plaintext`."""
        out[:NONCE_SIZE] = nonce
        self._aead.encrypt_into(nonce, plaintext, _ADDRESS.pack(self._run, index), out[NONCE_SIZE:])


class SegmentOpener:
    """Opens segments of any run of one body; holds a copy of the key like `SegmentSealer`."""

    __slots__ = ("_aead",)

    def __init__(self, body_key: BodyKey) -> None:
        self._aead = AESGCM(body_key.key.view())

    def open(self, run: int, index: int, sealed: bytes | memoryview) -> bytes:
        """Return the plaintext of a sealed segment.

        Raises:
            SegmentAuthenticationError: It is not the segment that the writer put at this address.
        """
        view = _checked(sealed)
        try:
            return self._aead.decrypt(view[:NONCE_SIZE], view[NONCE_SIZE:], _ADDRESS.pack(run, index))
        except InvalidTag:
            raise _not_authentic() from None

    def open_into(self, run: int, index: int, sealed: bytes | memoryview, out: memoryview) -> None:
        """Write the plaintext of a sealed segment to `out`, which must have exactly 28 bytes less.

        Raises:
            SegmentAuthenticationError: As `open`. There are zeros in `out` then.
        """
        view = _checked(sealed)
        try:
            self._aead.decrypt_into(view[:NONCE_SIZE], view[NONCE_SIZE:], _ADDRESS.pack(run, index), out)
        except InvalidTag:
            # INVARIANT: no byte that was not verified stays where somebody could read it.
            out[:] = bytes(len(out))
            raise _not_authentic() from None


def _checked(sealed: bytes | memoryview) -> memoryview:
    view = memoryview(sealed)
    if len(view) < SEGMENT_OVERHEAD:
        raise SegmentAuthenticationError("a segment of the object is too short to be one")
    return view


def _not_authentic() -> SegmentAuthenticationError:
    return SegmentAuthenticationError(
        "a segment of the object does not authenticate: the stored bytes are not the writer's"
    )


def authenticate_only(body_key: BodyKey, run: int, nonce: bytes, content: bytes) -> bytes:
    """Return nonce and tag (28 bytes) over clear `content`, in the domain of a reserved run."""
    return nonce + AESGCM(body_key.key.view()).encrypt(nonce, b"", _ADDRESS.pack(run, 0) + content)


def is_authentic(body_key: BodyKey, run: int, sealed: bytes, content: bytes) -> bool:
    """Tell whether `sealed` is what `authenticate_only` makes of `content` under its nonce."""
    if len(sealed) != SEGMENT_OVERHEAD:
        return False
    aead, address = AESGCM(body_key.key.view()), _ADDRESS.pack(run, 0)
    try:
        aead.decrypt(sealed[:NONCE_SIZE], sealed[NONCE_SIZE:], address + content)
    except InvalidTag:
        return False
    return True
