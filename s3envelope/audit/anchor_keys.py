"""The keys of anchors: Ed25519 in a file, or a key of KMS that never leaves it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from s3envelope.core.secret import SecretBytes
from s3envelope.errors import AuditError, ConfigurationError
from s3envelope.private_files import create_key_file, read_key_file

_KEY_SIZE = 32
_NAME_LENGTH = 16
_WRONG = "the signature of the anchor is not one of this key for it"


class KmsAnchorClient(Protocol):
    """What is used of a boto3 KMS client."""

    @property
    def exceptions(self) -> Any:
        """Return the classes of the errors of this client."""
        ...

    # Properties, because the methods of boto3's own types name their arguments.

    @property
    def sign(self) -> Callable[..., Any]: ...

    @property
    def verify(self) -> Callable[..., Any]: ...

    @property
    def generate_mac(self) -> Callable[..., Any]: ...

    @property
    def verify_mac(self) -> Callable[..., Any]: ...


class Ed25519AnchorKey:
    """Signs with a private key from a file that only its owner can read.

    Args:
        path: Of 32 random bytes. Keep it where whoever can write to the log cannot read it.
        create: Whether to make the file if there is none.

    Raises:
        ConfigurationError: The file cannot be used, or others can read it.
    """

    def __init__(self, path: str | os.PathLike[str], *, create: bool = False) -> None:
        if create:
            create_key_file(Path(path), _KEY_SIZE)
        with SecretBytes.take(read_key_file(Path(path), _KEY_SIZE)) as seed:
            self._key = Ed25519PrivateKey.from_private_bytes(seed.view())

    @property
    def public_key(self) -> bytes:
        """Return the 32 bytes that verify; they are no secret."""
        return self._key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)

    @property
    def key_id(self) -> str:
        """Return a name made of the public key."""
        return f"ed25519:{hashlib.sha256(self.public_key).hexdigest()[:_NAME_LENGTH]}"

    def sign(self, message: bytes) -> bytes:
        """See `AnchorSigner`."""
        return self._key.sign(message)


class Ed25519AnchorVerifier:
    """Verifies with a public key.

    Raises:
        ConfigurationError: It is not one.
    """

    def __init__(self, public_key: bytes) -> None:
        try:
            self._key = Ed25519PublicKey.from_public_bytes(public_key)
        except ValueError:
            raise ConfigurationError("the public key of the anchors is not one of Ed25519; use its 32 bytes") from None

    def verify(self, message: bytes, signature: bytes) -> None:
        """See `AnchorVerifier`."""
        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            raise AuditError(_WRONG) from None


class KmsAnchorKey:
    """Signs and verifies with an asymmetric signing key of KMS.

    Args:
        key_id: Its ARN, or another of its names.
        client: A boto3 KMS client; to sign it needs `kms:Sign`, to verify `kms:Verify`.
        algorithm: One of the key's, `ECDSA_SHA_256` or `RSASSA_PSS_SHA_256` for example.
    """

    def __init__(self, key_id: str, client: KmsAnchorClient, *, algorithm: str = "ECDSA_SHA_256") -> None:
        self._key_id = key_id
        self._client = client
        self._algorithm = algorithm

    @property
    def key_id(self) -> str:
        """Return the configured name of the key."""
        return f"kms:{self._key_id}"

    def sign(self, message: bytes) -> bytes:
        """See `AnchorSigner`."""
        answer = self._client.sign(**self._arguments(message))
        return bytes(answer["Signature"])

    def verify(self, message: bytes, signature: bytes) -> None:
        """See `AnchorVerifier`. What KMS says against the request itself passes."""
        try:
            answer = self._client.verify(**self._arguments(message), Signature=signature)
        except self._client.exceptions.KMSInvalidSignatureException:
            raise AuditError(_WRONG) from None
        if answer.get("SignatureValid") is not True:
            raise AuditError(_WRONG)

    def _arguments(self, message: bytes) -> dict[str, Any]:
        return {
            "KeyId": self._key_id,
            "Message": message,
            "MessageType": "RAW",
            "SigningAlgorithm": self._algorithm,
        }


class KmsAnchorMac:
    """Signs and verifies with an HMAC key of KMS: whoever may verify needs `kms:VerifyMac`, and cannot sign.

    Args:
        key_id: Its ARN, or another of its names.
        client: A boto3 KMS client.
        algorithm: Of the key.
    """

    def __init__(self, key_id: str, client: KmsAnchorClient, *, algorithm: str = "HMAC_SHA_256") -> None:
        self._key_id = key_id
        self._client = client
        self._algorithm = algorithm

    @property
    def key_id(self) -> str:
        """Return the configured name of the key."""
        return f"kms:{self._key_id}"

    def sign(self, message: bytes) -> bytes:
        """See `AnchorSigner`."""
        answer = self._client.generate_mac(KeyId=self._key_id, Message=message, MacAlgorithm=self._algorithm)
        return bytes(answer["Mac"])

    def verify(self, message: bytes, signature: bytes) -> None:
        """See `AnchorVerifier`. What KMS says against the request itself passes."""
        try:
            answer = self._client.verify_mac(
                KeyId=self._key_id, Message=message, MacAlgorithm=self._algorithm, Mac=signature
            )
        except self._client.exceptions.KMSInvalidMacException:
            raise AuditError(_WRONG) from None
        if answer.get("MacValid") is not True:
            raise AuditError(_WRONG)
