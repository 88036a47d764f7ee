"""From the object key to the key of the body and the public commitment to both.

Source: FORMAT.md, section "Keys".
"""

from __future__ import annotations

from dataclasses import dataclass

from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from s3envelope.core.secret import SecretBytes

KEY_SIZE = 32
COMMITMENT_SIZE = 32
_INFO = b"s3envelope/SE1/body"


@dataclass(frozen=True, slots=True, repr=False)
class BodyKey:
    """The AES-256 key of one body, and the commitment that stands in its header.

    Args:
        key: 32 secret bytes; whoever holds the `BodyKey` wipes it.
        commitment: 32 public bytes that no other (object key, layout) has.
    """

    key: SecretBytes
    commitment: bytes

    def wipe(self) -> None:
        """Overwrite the key."""
        self.key.wipe()

    def __repr__(self) -> str:
        return f"<BodyKey committed to by {self.commitment.hex()}>"


def derive_body_key(object_key: SecretBytes, *, indexed: bool) -> BodyKey:
    """Derive the body's key and commitment from the object key and the layout.

    Args:
        object_key: 32 bytes.
        indexed: The layout; it is part of the derivation, so a key fits one layout only.

    Source: FORMAT.md, section "Keys".
    """
    if len(object_key) != KEY_SIZE:
        raise ValueError(f"an object key has {KEY_SIZE} bytes, not {len(object_key)}")
    output = bytearray(KEY_SIZE + COMMITMENT_SIZE)
    kdf = HKDF(algorithm=SHA512(), length=len(output), salt=None, info=_INFO + bytes([indexed]))
    kdf.derive_into(object_key.view(), output)
    commitment = bytes(output[KEY_SIZE:])
    body_key = SecretBytes(memoryview(output)[:KEY_SIZE])
    output[:] = bytes(len(output))
    return BodyKey(body_key, commitment)
