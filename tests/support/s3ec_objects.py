"""Objects as the Amazon S3 Encryption Clients write them, made with `cryptography` alone and no code of the library."""

import base64
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from cryptography.hazmat.primitives import hashes, keywrap
from cryptography.hazmat.primitives.asymmetric import padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand
from cryptography.hazmat.primitives.padding import PKCS7
from mypy_boto3_kms import KMSClient
from mypy_boto3_s3 import S3Client

from tests.support.unlogged import not_logged

GCM_NAME, CBC_NAME, V3_NAME = "AES/GCM/NoPadding", "AES/CBC/PKCS5Padding", "115"
_V3_ID = b"\x00\x73"
_V3_WRAPS = {"kms+context": "12", "AES/GCM": "02", "RSA-OAEP-SHA1": "22"}
_ON_OBJECT = ("x-amz-c", "x-amz-d", "x-amz-i", "x-amz-unencrypted-content-length")


@dataclass(frozen=True, slots=True)
class Wrapped:
    """A data key, its wrapped form, and what is stored beside it."""

    data_key: bytes
    encrypted: bytes
    description: Mapping[str, str]


class Wrap(Protocol):
    """Wraps data keys in one way."""

    @property
    def name(self) -> str | None:
        """The algorithm as it is stored, or `None` where V1 stores none."""

    def wrap(self, content_name: str) -> Wrapped:
        """Return a fresh data key for a content algorithm."""


@dataclass(frozen=True, slots=True)
class KmsWrap:
    """KMS under an encryption context with the entry of the clients."""

    client: KMSClient
    key_id: str
    context: Mapping[str, str] = field(default_factory=dict)
    name: str | None = "kms+context"

    def wrap(self, content_name: str) -> Wrapped:
        if self.name == "kms":
            context = {"kms_cmk_id": self.key_id, **self.context}
        else:
            context = {**self.context, "aws:x-amz-cek-alg": content_name}
        # A plain client logs the data key that it gets.
        with not_logged():
            answer = self.client.generate_data_key(KeyId=self.key_id, KeySpec="AES_256", EncryptionContext=context)
        return Wrapped(answer["Plaintext"], answer["CiphertextBlob"], context)


@dataclass(frozen=True, slots=True)
class AesWrap:
    """A raw AES key: "AES/GCM", "AESWrap", "AES", or `None` for "AES" of V1, which names nothing."""

    key: bytes
    name: str | None = "AES/GCM"
    description: Mapping[str, str] = field(default_factory=dict)

    def wrap(self, content_name: str) -> Wrapped:
        data_key = os.urandom(32)
        if self.name == "AES/GCM":
            nonce = os.urandom(12)
            encrypted = nonce + AESGCM(self.key).encrypt(nonce, data_key, content_name.encode())
        elif self.name == "AESWrap":
            encrypted = keywrap.aes_key_wrap(self.key, data_key)
        else:
            encryptor = Cipher(algorithms.AES(self.key), modes.ECB()).encryptor()  # noqa: S305  # the format's
            encrypted = encryptor.update(_padded(data_key)) + encryptor.finalize()
        return Wrapped(data_key, encrypted, self.description)


@dataclass(frozen=True, slots=True)
class RsaWrap:
    """An RSA key: "RSA-OAEP-SHA1", "RSA/ECB/OAEPWithSHA-256AndMGF1Padding", or `None` for "RSA" of V1."""

    key: rsa.RSAPublicKey
    name: str | None = "RSA-OAEP-SHA1"
    description: Mapping[str, str] = field(default_factory=dict)

    def wrap(self, content_name: str) -> Wrapped:
        data_key = os.urandom(32)
        sha1 = padding.MGF1(hashes.SHA1())  # noqa: S303  # the format's
        if self.name == "RSA-OAEP-SHA1":
            content = b"\x20" + data_key + content_name.encode()
            encrypted = self.key.encrypt(content, padding.OAEP(sha1, hashes.SHA1(), None))  # noqa: S303
        elif self.name is None or self.name == "RSA":
            encrypted = self.key.encrypt(data_key, padding.PKCS1v15())
        else:
            encrypted = self.key.encrypt(data_key, padding.OAEP(sha1, hashes.SHA256(), None))
        return Wrapped(data_key, encrypted, self.description)


@dataclass(frozen=True, slots=True)
class S3ecObject:
    """What a storage holds of one object; `instruction` is the content of its instruction file, if it has one."""

    body: bytes
    metadata: Mapping[str, str]
    instruction: bytes | None = None

    def put(self, client: S3Client, bucket: str, key: str, *, suffix: str = ".instruction", **arguments: Any) -> None:
        """Store it with a plain client."""
        if self.instruction is not None:
            client.put_object(Bucket=bucket, Key=key + suffix, Body=self.instruction)
        metadata = {**self.metadata, **arguments.pop("Metadata", {})}
        client.put_object(Bucket=bucket, Key=key, Body=self.body, Metadata=metadata, **arguments)

    def with_body(self, body: bytes) -> "S3ecObject":
        """Return it with another body."""
        return replace(self, body=body)

    def flipped(self, offset: int) -> "S3ecObject":
        """Return it with a bit of one byte of the body flipped."""
        body = bytearray(self.body)
        body[offset] ^= 0x01
        return self.with_body(bytes(body))

    def with_metadata(self, **changes: str | None) -> "S3ecObject":
        """Return it with metadata replaced, or with `None` taken away; underscores stand for hyphens."""
        named = {name.replace("_", "-"): value for name, value in changes.items()}
        kept = {name: value for name, value in self.metadata.items() if name not in named}
        return replace(self, metadata={**kept, **{name: value for name, value in named.items() if value is not None}})

    def with_instruction_file(self) -> "S3ecObject":
        """Return it as a client stores it that writes instruction files."""
        on_object = {name: value for name, value in self.metadata.items() if name in _ON_OBJECT}
        in_file = {name: value for name, value in self.metadata.items() if name not in _ON_OBJECT}
        return S3ecObject(self.body, on_object, json.dumps(in_file).encode())

    def with_instruction(self, content: bytes) -> "S3ecObject":
        """Return it with another content of the instruction file."""
        return replace(self, instruction=content)


def v3_object(plaintext: bytes, wrap: Wrap) -> S3ecObject:
    """Return a V3 object: a committed key, AES-GCM."""
    wrapped, message_id = wrap.wrap(V3_NAME), os.urandom(28)
    prk = HKDF.extract(hashes.SHA512(), message_id, wrapped.data_key)
    content_key = HKDFExpand(hashes.SHA512(), 32, _V3_ID + b"DERIVEKEY").derive(prk)
    commitment = HKDFExpand(hashes.SHA512(), 28, _V3_ID + b"COMMITKEY").derive(prk)
    body = AESGCM(content_key).encrypt(b"\x01" * 12, plaintext, _V3_ID)
    code = _V3_WRAPS[wrap.name or ""]
    metadata = {
        "x-amz-c": "115",
        "x-amz-3": _text(wrapped.encrypted),
        "x-amz-w": code,
        "x-amz-d": _text(commitment),
        "x-amz-i": _text(message_id),
    }
    if wrapped.description:
        metadata["x-amz-t" if code == "12" else "x-amz-m"] = json.dumps(dict(wrapped.description))
    return S3ecObject(body, metadata)


def v2_object(plaintext: bytes, wrap: Wrap) -> S3ecObject:
    """Return a V2 object: AES-GCM under the data key itself."""
    wrapped, iv = wrap.wrap(GCM_NAME), os.urandom(12)
    metadata = {
        "x-amz-key-v2": _text(wrapped.encrypted),
        "x-amz-iv": _text(iv),
        "x-amz-cek-alg": GCM_NAME,
        "x-amz-wrap-alg": wrap.name or "",
        "x-amz-tag-len": "128",
        "x-amz-matdesc": json.dumps(dict(wrapped.description)),
    }
    return S3ecObject(AESGCM(wrapped.data_key).encrypt(iv, plaintext, None), metadata)


def cbc_object(plaintext: bytes, wrap: Wrap, *, tells_size: bool = True) -> S3ecObject:
    """Return a V2 object of an old client: AES-CBC, not authenticated."""
    wrapped, iv = wrap.wrap(CBC_NAME), os.urandom(16)
    metadata = {
        "x-amz-key-v2": _text(wrapped.encrypted),
        "x-amz-iv": _text(iv),
        "x-amz-cek-alg": CBC_NAME,
        "x-amz-wrap-alg": wrap.name or "",
        "x-amz-matdesc": json.dumps(dict(wrapped.description)),
        **({"x-amz-unencrypted-content-length": str(len(plaintext))} if tells_size else {}),
    }
    return S3ecObject(_cbc(wrapped.data_key, iv, plaintext), metadata)


def v1_object(plaintext: bytes, wrap: Wrap) -> S3ecObject:
    """Return a V1 object: AES-CBC, not authenticated; no algorithm is named."""
    wrapped, iv = wrap.wrap(CBC_NAME), os.urandom(16)
    metadata = {
        "x-amz-key": _text(wrapped.encrypted),
        "x-amz-iv": _text(iv),
        "x-amz-matdesc": json.dumps(dict(wrapped.description)),
        "x-amz-unencrypted-content-length": str(len(plaintext)),
    }
    return S3ecObject(_cbc(wrapped.data_key, iv, plaintext), metadata)


def _cbc(key: bytes, iv: bytes, plaintext: bytes) -> bytes:
    encryptor = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return encryptor.update(_padded(plaintext)) + encryptor.finalize()


def _padded(plaintext: bytes) -> bytes:
    padder = PKCS7(128).padder()
    return padder.update(plaintext) + padder.finalize()


def _text(raw: bytes) -> str:
    return base64.b64encode(raw).decode()
