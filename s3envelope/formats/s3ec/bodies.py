"""One body is one message: opened and sealed piece by piece, with its verification at the very end."""

from __future__ import annotations

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import (
    AEADDecryptionContext,
    Cipher,
    CipherContext,
    algorithms,
    modes,
)
from cryptography.hazmat.primitives.padding import PKCS7

from s3envelope.core.secret import SecretBytes
from s3envelope.errors import ConfigurationError, UnsupportedOperationError
from s3envelope.formats.s3ec.failure import does_not_open
from s3envelope.formats.s3ec.keys import content_associated, content_iv, content_key
from s3envelope.formats.s3ec.model import MAX_PLAINTEXT_SIZE, TAG_SIZE, ContentAlgorithm, S3ecEnvelope

BLOCK_SIZE = 16
# The counter of GCM's first block of plaintext; 1 is the tag's.
_FIRST_COUNTER = 2
_COUNTER_SIZE = 4
_COUNTER_LIMIT = 1 << 8 * _COUNTER_SIZE


def tag_size(content: ContentAlgorithm) -> int:
    """Return how many of the last stored bytes are the tag: 16, or 0 for CBC."""
    return TAG_SIZE if content.is_authenticated else 0


def check_plaintext_size(size: int) -> None:
    """Refuse a plaintext that is longer than one message can be.

    Raises:
        ConfigurationError: It is longer than 2^36 - 32 bytes.
    """
    if size > MAX_PLAINTEXT_SIZE:
        raise ConfigurationError(
            f"the plaintext has more than {MAX_PLAINTEXT_SIZE} bytes, the most that one object of this format takes; "
            "write it as SE1, or as several objects"
        )


def stored_size(content: ContentAlgorithm, plaintext_size: int) -> int:
    """Return the stored size of a plaintext.

    Raises:
        ConfigurationError: It is longer than 2^36 - 32 bytes.
    """
    check_plaintext_size(plaintext_size)
    if content is ContentAlgorithm.CBC:
        return (plaintext_size // BLOCK_SIZE + 1) * BLOCK_SIZE
    return plaintext_size + TAG_SIZE


def plaintext_size(envelope: S3ecEnvelope, stored: int) -> int | None:
    """Return the size of an object's plaintext, from what is stored.

    Returns:
        Bytes; `None` for CBC, whose size only its decryption shows, unless the object claims a possible one.

    Raises:
        S3ecDecryptionError: No plaintext has this stored size.
    """
    if envelope.content.is_authenticated:
        if not 0 <= stored - TAG_SIZE <= MAX_PLAINTEXT_SIZE:
            raise does_not_open()
        return stored - TAG_SIZE
    if stored <= 0 or stored % BLOCK_SIZE:
        raise does_not_open()
    claim = envelope.plaintext_size
    is_possible = claim is not None and (claim // BLOCK_SIZE + 1) * BLOCK_SIZE == stored
    return claim if is_possible else None


class MessageOpener:
    """Decrypts one body from front to back; its parts belong to one thread at a time.

    INVARIANT: what `update` returns is not verified. Whoever calls it holds everything back until `finalize` returned,
    and wipes it when `finalize` raises.

    Raises:
        KeyCommitmentError: The data key is not the one that the object commits to.
        S3ecDecryptionError: The data key has not 32 bytes.
    """

    __slots__ = ("_aead", "_context", "_held", "_is_over", "_size")

    def __init__(self, envelope: S3ecEnvelope, data_key: SecretBytes) -> None:
        self._is_over = False
        self._held = b""
        self._size = 0
        with content_key(envelope, data_key) as key:
            algorithm, iv = algorithms.AES256(key.view()), content_iv(envelope)
            self._aead: AEADDecryptionContext | None = None
            if envelope.content is ContentAlgorithm.CBC:
                self._context: CipherContext = Cipher(algorithm, modes.CBC(iv)).decryptor()
                return
            self._context = self._aead = Cipher(algorithm, modes.GCM(iv)).decryptor()
            self._aead.authenticate_additional_data(content_associated(envelope))

    def update(self, ciphertext: bytes | memoryview) -> bytes:
        """Return the plaintext of the next piece of ciphertext, without the tag; of CBC the last block stays back.

        Raises:
            S3ecDecryptionError: The object is longer than any that was written, or this opener has ended.
        """
        self._size += len(ciphertext)
        if self._is_over or self._size > MAX_PLAINTEXT_SIZE + (self._aead is None) * BLOCK_SIZE:
            self._is_over = True
            raise does_not_open()
        plaintext = self._context.update(ciphertext)
        if self._aead is not None:
            return plaintext
        known = self._held + plaintext
        self._held = known[-BLOCK_SIZE:]
        return known[:-BLOCK_SIZE]

    def finalize(self, tag: bytes = b"") -> bytes:
        """Verify the message and return the rest of its plaintext: nothing for GCM, the unpadded end for CBC.

        Args:
            tag: The last 16 stored bytes; empty for CBC, of which only the padding can be checked.

        Raises:
            S3ecDecryptionError: The object is not what its writer wrote. Every later call raises it again.
        """
        if self._is_over:
            raise does_not_open()
        self._is_over = True
        if len(tag) != (0 if self._aead is None else TAG_SIZE):
            raise does_not_open()
        try:
            if self._aead is not None:
                return self._aead.finalize_with_tag(tag)
            self._context.finalize()
            unpadder = PKCS7(BLOCK_SIZE * 8).unpadder()
            return unpadder.update(self._held) + unpadder.finalize()
        except (InvalidTag, ValueError):
            raise does_not_open() from None
        finally:
            self._held = b""


class Keystream:
    """Encrypts, or decrypts, a part of a GCM body from any offset on, without its tag.

    INVARIANT: nothing that this decrypts is verified, nor can it be; and it may encrypt only what stands at this place
    of this message already, for two plaintexts under one keystream give each other away.
    """

    __slots__ = ("_context", "_left")

    def __init__(self, key: SecretBytes, iv: bytes, offset: int) -> None:
        if not 0 <= offset <= MAX_PLAINTEXT_SIZE:
            raise ValueError(f"the offset {offset} is outside any message")
        # Behind the last byte of the longest message the counter begins anew, and nothing is left to be made with it.
        counter = (_FIRST_COUNTER + offset // BLOCK_SIZE) % _COUNTER_LIMIT
        start = iv + counter.to_bytes(_COUNTER_SIZE, "big")
        self._context = Cipher(algorithms.AES256(key.view()), modes.CTR(start)).encryptor()
        self._context.update(bytes(offset % BLOCK_SIZE))
        self._left = MAX_PLAINTEXT_SIZE - offset

    def update(self, piece: bytes | memoryview) -> bytes:
        """Return the next piece, encrypted or decrypted.

        Raises:
            S3ecDecryptionError: It reaches beyond the longest message.
        """
        self._left -= len(piece)
        if self._left < 0:
            raise does_not_open()
        return self._context.update(piece)


def ctr_range(envelope: S3ecEnvelope, data_key: SecretBytes, offset: int) -> Keystream:
    """Return what decrypts an object's body from an offset on, without verification.

    Args:
        offset: Of the plaintext and, with GCM, of the ciphertext. The last 16 stored bytes are no ciphertext.

    Raises:
        KeyCommitmentError: The data key is not the one that the object commits to.
        S3ecDecryptionError: The data key has not 32 bytes.
        UnsupportedOperationError: The body is CBC.
    """
    if not envelope.content.is_authenticated:
        raise UnsupportedOperationError("a range of an AES-CBC object cannot be read by itself; read it whole")
    with content_key(envelope, data_key) as key:
        return Keystream(key, content_iv(envelope), offset)


class MessageSealer:
    """Encrypts one body from front to back; its parts belong to one thread at a time.

    It keeps the key until `wipe`, so that a part can be produced again. INVARIANT: one envelope meets one plaintext,
    bit for bit; whoever seals again from the start, or at an offset, has made sure that the plaintext is the same.

    Args:
        envelope: From `new_envelope`.
        data_key: Stays the caller's, to be wiped.
    """

    __slots__ = ("_context", "_iv", "_key", "_size")

    def __init__(self, envelope: S3ecEnvelope, data_key: SecretBytes) -> None:
        if not envelope.content.is_authenticated:
            raise ValueError("no body is written without authentication")
        self._key = content_key(envelope, data_key)
        self._iv = content_iv(envelope)
        self._size = 0
        self._context = Cipher(algorithms.AES256(self._key.view()), modes.GCM(self._iv)).encryptor()
        self._context.authenticate_additional_data(content_associated(envelope))

    @property
    def size(self) -> int:
        """How many bytes of plaintext were sealed."""
        return self._size

    def update(self, plaintext: bytes | memoryview) -> bytes:
        """Return the ciphertext of the next piece, which has the same length.

        Raises:
            ConfigurationError: All pieces together are longer than 2^36 - 32 bytes. The piece is not sealed.
        """
        check_plaintext_size(self._size + len(plaintext))
        self._size += len(plaintext)
        return self._context.update(plaintext)

    def finalize(self) -> bytes:
        """Return the tag, 16 bytes, the end of the stored body."""
        self._context.finalize()
        return self._context.tag

    def ctr_at(self, offset: int) -> Keystream:
        """Return what makes the same ciphertext of the same plaintext again, from an offset on."""
        return Keystream(self._key, self._iv, offset)

    def wipe(self) -> None:
        """Overwrite the key; nothing can be sealed at an offset after it."""
        self._key.wipe()
