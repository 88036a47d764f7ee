"""Data keys of the Amazon formats under an RSA key of one's own."""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Mapping

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA1, SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from s3envelope.core.secret import SecretBytes, overwrite_bytes
from s3envelope.errors import ConfigurationError
from s3envelope.formats.s3ec.failure import does_not_open
from s3envelope.formats.s3ec.model import DATA_KEY_SIZE, ContentAlgorithm, S3ecEnvelope, WrapAlgorithm
from s3envelope.formats.s3ec.ports import S3ecDataKey
from s3envelope.keyrings.material_descriptions import (
    check_is_own,
    check_material_description,
    check_no_context,
)

_WRAPS = frozenset({WrapAlgorithm.RSA_OAEP_SHA1, WrapAlgorithm.RSA_PKCS1, WrapAlgorithm.RSA_OAEP_SHA256})
_MIN_BITS = 2048
_SUBSTITUTE_INFO = b"s3envelope/substitute for an RSA data key"
# SHA-1 is what the formats say; OAEP does not depend on its resistance to collisions.
_OAEP_SHA1 = padding.OAEP(padding.MGF1(SHA1()), SHA1(), None)  # noqa: S303
_OAEP_SHA256 = padding.OAEP(padding.MGF1(SHA1()), SHA256(), None)  # noqa: S303


class RawRsaKeyring:
    """Wraps data keys of the Amazon formats with a public RSA key, and unwraps them with a private one.

    With a private key alone it only reads, with a public key alone it only writes. It is not a keyring for SE1.

    Args:
        private_key: A key of at least 2048 bits: PEM, or an object of `cryptography` that can be serialised.
        public_key: The same of a public key.
        password: Of an encrypted PEM.
        material_description: Is stored beside what is written; only objects that have exactly it are read. `None`
            writes an empty one and reads objects of every description.
        random: A source of random bytes.

    Raises:
        ConfigurationError: There is no key, it is not one of RSA or too short, or the two keys are not a pair.
    """

    def __init__(
        self,
        *,
        private_key: RSAPrivateKey | bytes | str | None = None,
        public_key: RSAPublicKey | bytes | str | None = None,
        password: bytes | None = None,
        material_description: Mapping[str, str] | None = None,
        random: Callable[[int], bytes] = os.urandom,
    ) -> None:
        if private_key is None and public_key is None:
            raise ConfigurationError("an RSA keyring has no key; give private_key to read, public_key to write")
        self._private = None if private_key is None else _private_key(private_key, password)
        self._public = None if public_key is None else _public_key(public_key)
        self._check_pair()
        self._substitutes = None if self._private is None else _substitute_secret(self._private)
        self._description = check_material_description(material_description)
        self._random = random

    @property
    def material_description(self) -> Mapping[str, str] | None:
        """What objects of this key are described by; `None` if anything."""
        return self._description

    @property
    def s3ec_wraps(self) -> frozenset[WrapAlgorithm]:
        """All that RSA has; none without a private key."""
        return frozenset() if self._private is None else _WRAPS

    def make_s3ec_data_key(self, content: ContentAlgorithm, context: Mapping[str, str]) -> S3ecDataKey:
        """Return a random data key, wrapped by RSA-OAEP together with the name of the content algorithm.

        Raises:
            ConfigurationError: There is no public key, or an encryption context is given.
        """
        check_no_context(context)
        if self._public is None:
            raise ConfigurationError("this RSA keyring has no public key and only reads; give public_key to write")
        plaintext = SecretBytes.take(self._random(DATA_KEY_SIZE))
        try:
            encrypted = _wrap(self._public, plaintext, content)
        except BaseException:
            plaintext.wipe()
            raise
        return S3ecDataKey(plaintext, encrypted, WrapAlgorithm.RSA_OAEP_SHA1, dict(self._description or {}))

    def open_s3ec_data_key(self, envelope: S3ecEnvelope) -> SecretBytes:
        """See `S3ecKeyring`. A broken padding of PKCS #1 v1.5 gives a data key that opens nothing.

        Raises:
            NoMatchingKeyError: The object is of another wrap algorithm or description, or there is no private key.
            S3ecDecryptionError: The key does not open it.
        """
        check_is_own(envelope, self.s3ec_wraps, self._description, repr(self))
        if envelope.wrap is WrapAlgorithm.RSA_PKCS1:
            return self._open_pkcs1(envelope.encrypted_data_key)
        if envelope.wrap is WrapAlgorithm.RSA_OAEP_SHA256:
            return _data_key_in(self._decrypt(envelope.encrypted_data_key, _OAEP_SHA256), b"", b"")
        # INVARIANT: both the length and the content algorithm beside the key are checked: the block is what binds them.
        block = self._decrypt(envelope.encrypted_data_key, _OAEP_SHA1)
        return _data_key_in(block, bytes([DATA_KEY_SIZE]), envelope.content.value.encode("ascii"))

    def _decrypt(self, encrypted: bytes, scheme: padding.OAEP) -> bytes:
        assert self._private is not None
        try:
            return self._private.decrypt(encrypted, scheme)
        except ValueError:
            raise does_not_open() from None

    def _open_pkcs1(self, encrypted: bytes) -> SecretBytes:
        """Return the data key, or a substitute that opens nothing.

        INVARIANT: a bad padding does not fail here. It would tell whoever changes objects what the private key makes
        of blocks of his choice, and so decrypt any data key for him (Bleichenbacher, 1998). The substitute depends on
        the block and the key alone, so that asking twice tells nothing either, and is made whether it is needed or not.
        """
        assert self._private is not None
        assert self._substitutes is not None
        substitute = _hkdf(self._substitutes.view(), encrypted)
        try:
            plaintext = self._private.decrypt(encrypted, padding.PKCS1v15())
        except ValueError:
            return SecretBytes.take(substitute)
        try:
            chosen = plaintext if len(plaintext) == DATA_KEY_SIZE else substitute
            return SecretBytes(chosen)
        finally:
            overwrite_bytes(plaintext)
            substitute[:] = bytes(len(substitute))

    def _check_pair(self) -> None:
        if self._private is None or self._public is None:
            return
        if self._private.public_key().public_numbers() != self._public.public_numbers():
            raise ConfigurationError("private_key and public_key are not a pair; give the two halves of one key")

    def __repr__(self) -> str:
        halves = [name for name, key in (("private", self._private), ("public", self._public)) if key is not None]
        return f"<RawRsaKeyring with a {' and a '.join(halves)} key>"


def _private_key(key: RSAPrivateKey | bytes | str, password: bytes | None) -> RSAPrivateKey:
    """Return a usable private key."""
    try:
        loaded = load_pem_private_key(_pem(key), password) if isinstance(key, bytes | str) else key
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ConfigurationError(
            "private_key is not the PEM of a private key, or password is not its password; give both as they belong"
        ) from None
    if not isinstance(loaded, RSAPrivateKey):
        raise ConfigurationError("private_key is not a private key of RSA; give one as PEM or of cryptography")
    _check_size(loaded.key_size)
    return loaded


def _public_key(key: RSAPublicKey | bytes | str) -> RSAPublicKey:
    """Return a usable public key."""
    try:
        loaded = load_pem_public_key(_pem(key)) if isinstance(key, bytes | str) else key
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigurationError("public_key is not the PEM of a public key; give one") from None
    if not isinstance(loaded, RSAPublicKey):
        raise ConfigurationError("public_key is not a public key of RSA; give one as PEM or of cryptography")
    _check_size(loaded.key_size)
    return loaded


def _pem(key: bytes | str) -> bytes:
    return key.encode("utf-8") if isinstance(key, str) else key


def _check_size(bits: int) -> None:
    if bits < _MIN_BITS:
        raise ConfigurationError(f"the RSA key has {bits} bits; use one of at least {_MIN_BITS}")


def _wrap(key: RSAPublicKey, plaintext: SecretBytes, content: ContentAlgorithm) -> bytes:
    """Return a data key encrypted together with its length and the name of its content algorithm."""
    parts = bytearray([DATA_KEY_SIZE, *plaintext.view(), *content.value.encode("ascii")])
    # The library takes nothing but `bytes`.
    block = bytes(parts)
    try:
        return key.encrypt(block, _OAEP_SHA1)
    finally:
        overwrite_bytes(block)
        parts[:] = bytes(len(parts))


def _data_key_in(block: bytes, before: bytes, after: bytes) -> SecretBytes:
    """Return the 32 bytes between what must stand before and after them; the block is overwritten."""
    try:
        view, end = memoryview(block), len(before) + DATA_KEY_SIZE
        is_whole = len(block) == end + len(after)
        is_framed = hmac.compare_digest(view[: len(before)], before) and hmac.compare_digest(view[end:], after)
        if not is_whole or not is_framed:
            raise does_not_open()
        return SecretBytes(view[len(before) : end])
    finally:
        overwrite_bytes(block)


def _substitute_secret(key: RSAPrivateKey) -> SecretBytes:
    """Return a secret that only the holder of a private key can have, the same in every process."""
    serialised = key.private_bytes(Encoding.DER, PrivateFormat.PKCS8, NoEncryption())
    try:
        return SecretBytes.take(_hkdf(memoryview(serialised), b""))
    finally:
        overwrite_bytes(serialised)


def _hkdf(secret: memoryview, salt: bytes) -> bytearray:
    output = bytearray(DATA_KEY_SIZE)
    HKDF(algorithm=SHA256(), length=len(output), salt=salt or None, info=_SUBSTITUTE_INFO).derive_into(secret, output)
    return output
