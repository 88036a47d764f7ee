"""The writing half of the format, from the text of FORMAT.md alone; it only serves to make vectors.

It checks nothing and seals whatever it is told to, so that defects can be sealed validly.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

SEGMENT = 65536
OVERHEAD = 28
SEALED = SEGMENT + OVERHEAD
INDEXED, BOUND = 1, 2
INDEX_DOMAIN = bytes.fromhex("ffffffff00000000")
STATE_DOMAIN = bytes.fromhex("fffffffe00000000")


def shake(label: str, size: int) -> bytes:
    """Return the `size` bytes that this label stands for: all randomness of the vectors."""
    return hashlib.shake_128(label.encode()).digest(size)


def sha256(content: bytes) -> str:
    """Return the hex digest."""
    return hashlib.sha256(content).hexdigest()


def base64url(content: bytes) -> str:
    """Return base64url without padding."""
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def quoted(text: str) -> str:
    """Return a JSON string of printable ASCII."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def canonical(context: Mapping[str, str]) -> bytes:
    """Return the canonical JSON of a context, written by hand; an empty context has none."""
    pairs = ",".join(f"{quoted(name)}:{quoted(context[name])}" for name in sorted(context))
    return b"{" + pairs.encode("ascii") + b"}" if context else b""


def hkdf_sha512(key: bytes, info: bytes, salt: bytes = b"") -> bytes:
    """Return the first 64 bytes of HKDF-SHA-512: extract, then one block of expand."""
    extracted = hmac.digest(salt or bytes(64), key, "sha512")
    return hmac.digest(extracted, info + b"\x01", "sha512")


def derive(object_key: bytes, flags: int) -> tuple[bytes, bytes]:
    """Return K and C."""
    output = hkdf_sha512(object_key, b"s3envelope/SE1/body" + bytes([flags & INDEXED]))
    return output[:32], output[32:]


def header_associated_data(flags: int, commitment: bytes, context: bytes, name: bytes) -> bytes:
    """Return what a header authenticates besides the object key."""
    size = len(context).to_bytes(4, "big")
    return b"s3envelope/SE1/header" + bytes([flags]) + commitment + size + context + name


@dataclass(frozen=True, slots=True, kw_only=True)
class HeaderInputs:
    """Everything that a header is made of."""

    data_key: bytes
    object_key: bytes
    flags: int
    commitment: bytes
    nonce: bytes
    context: bytes
    name: bytes

    def associated_data(self) -> bytes:
        """Return what is authenticated besides the object key; the name counts if the header is bound."""
        name = self.name if self.flags & BOUND else b""
        return header_associated_data(self.flags, self.commitment, self.context, name)

    def seal(self) -> bytes:
        """Return the 93 bytes of the header."""
        sealed = AESGCM(self.data_key).encrypt(self.nonce, self.object_key, self.associated_data())
        return bytes([self.flags]) + self.commitment + self.nonce + sealed


@dataclass(frozen=True, slots=True)
class KnownKey:
    """One encrypted data key, and what a stub of the key service makes of it (`None`: it does not open)."""

    key_id: str
    blob: bytes
    opens_to: bytes | None
    master_key: bytes | None = None

    @property
    def hint(self) -> bytes:
        return hashlib.sha256(self.key_id.encode()).digest()[:4]


def pack_entries(entries: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Return the bytes of a list of (hint, blob)."""
    return b"".join(hint + len(blob).to_bytes(2, "big") + blob for hint, blob in entries)


def pack_keys(keys: Sequence[KnownKey]) -> str:
    """Return the value of se1-k."""
    return base64url(pack_entries([(key.hint, key.blob) for key in keys]))


def wrap_raw(master_key: bytes, key_id: str, data_key: bytes, *, salt: bytes, context: Mapping[str, str]) -> bytes:
    """Return the 80 bytes that a raw AES key makes of a data key."""
    wrapping_key = hkdf_sha512(master_key, b"s3envelope/SE1/raw", salt)[:32]
    identity = key_id.encode()
    associated = b"s3envelope/SE1/raw" + len(identity).to_bytes(4, "big") + identity
    associated += canonical({**context, "s3envelope": "SE1"})
    return salt + AESGCM(wrapping_key).encrypt(bytes(12), data_key, associated)


def seal_segment(body_key: bytes, run: int, index: int, nonce: bytes, plaintext: bytes) -> bytes:
    """Return one stored segment."""
    address = run.to_bytes(4, "big") + index.to_bytes(4, "big")
    return nonce + AESGCM(body_key).encrypt(nonce, plaintext, address)


@dataclass(frozen=True, slots=True)
class Call:
    """One upload call: a piece of one run, sealed under consecutive nonces."""

    run: int
    first_segment: int
    length: int
    ends_run: bool
    nonce_start: bytes

    def seal(self, body_key: bytes, plaintext: bytes) -> bytes:
        """Return the bytes that this call sends."""
        start = int.from_bytes(self.nonce_start, "big")
        sealed = []
        for index in range(self.length // SEGMENT + self.ends_run):
            nonce = ((start + index) % 2**96).to_bytes(12, "big")
            piece = plaintext[index * SEGMENT : (index + 1) * SEGMENT]
            sealed.append(seal_segment(body_key, self.run, self.first_segment + index, nonce, piece))
        return b"".join(sealed)


def seal_index(
    body_key: bytes,
    rows: Sequence[tuple[int, bytes, int]],
    nonce: bytes,
    *,
    domain: bytes = INDEX_DOMAIN,
) -> bytes:
    """Return the index of (part number, nonce start, plaintext size) rows."""
    table = b"".join(k.to_bytes(4, "big") + start + size.to_bytes(8, "big") for k, start, size in rows)
    tag = AESGCM(body_key).encrypt(nonce, b"", domain + table)
    return table + nonce + tag + len(rows).to_bytes(4, "big")


def seal_state(body_key: bytes, state: str, nonce: bytes) -> str:
    """Return the tag of an upload state."""
    return base64url(nonce + AESGCM(body_key).encrypt(nonce, b"", STATE_DOMAIN + state.encode()))
