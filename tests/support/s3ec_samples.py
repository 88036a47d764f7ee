"""Objects of the Amazon formats, made of `cryptography` and `hmac` alone, and a reader of the pure layer."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import aes_key_wrap

from s3envelope.core.secret import SecretBytes
from s3envelope.formats import names
from s3envelope.formats.s3ec import metadata, policy
from s3envelope.formats.s3ec.bodies import MessageOpener, tag_size
from s3envelope.formats.s3ec.model import ContentAlgorithm, S3ecEnvelope, WrapAlgorithm
from s3envelope.formats.s3ec.ports import S3ecDataKey, S3ecKeyring

DATA_KEY = bytes(range(100, 132))
WRAPPING_KEY = bytes(range(32))
MESSAGE_ID = bytes(range(1, 29))
IV = bytes(range(60, 72))
CBC_IV = bytes(range(60, 76))
PLAINTEXT = b"what only its reader is to know; 45 bytes long"
EVERYTHING = names.READ_FORMATS
JAVA: dict[str, bytes] = {
    name: base64.b64decode(value)
    for name, value in json.loads(
        (Path(__file__).parent.parent / "unit/formats/java/wrap_vectors.json").read_text()
    ).items()
}


@dataclass(frozen=True)
class Sample:
    """One object as it is stored."""

    metadata: Mapping[str, str]
    stored: bytes
    instruction: bytes | None = None

    def edited(self, edits: Mapping[str, str | None]) -> Sample:
        """Return the same object with other metadata; `None` removes a name."""
        changed = {**self.metadata, **edits}
        kept = {name: value for name, value in changed.items() if value is not None}
        return dataclasses.replace(self, metadata=kept)


def b64(raw: bytes) -> str:
    """Return padded base64."""
    return base64.b64encode(raw).decode()


def hkdf(data_key: bytes, message_id: bytes, label: bytes, size: int) -> bytes:
    """Return one block of HKDF-SHA512 as RFC 5869 writes it."""
    pseudorandom = hmac.new(message_id, data_key, hashlib.sha512).digest()
    return hmac.new(pseudorandom, b"\x00\x73" + label + b"\x01", hashlib.sha512).digest()[:size]


def commitment(data_key: bytes = DATA_KEY, message_id: bytes = MESSAGE_ID) -> bytes:
    """Return what V3 commits with."""
    return hkdf(data_key, message_id, b"COMMITKEY", 28)


def gcm(plaintext: bytes, *, version: int, data_key: bytes = DATA_KEY) -> bytes:
    """Return a stored body of V2 or V3."""
    if version == 2:
        return AESGCM(data_key).encrypt(IV, plaintext, None)
    key = hkdf(data_key, MESSAGE_ID, b"DERIVEKEY", 32)
    return AESGCM(key).encrypt(b"\x01" * 12, plaintext, b"\x00\x73")


def cbc(padded: bytes, data_key: bytes = DATA_KEY) -> bytes:
    """Return AES-CBC of what is padded already."""
    encryptor = Cipher(algorithms.AES(data_key), modes.CBC(CBC_IV)).encryptor()
    return encryptor.update(padded) + encryptor.finalize()


def padded(plaintext: bytes) -> bytes:
    """Return a plaintext with its PKCS #7 padding."""
    count = 16 - len(plaintext) % 16
    return plaintext + bytes([count]) * count


def wrapped_gcm(content: str, data_key: bytes = DATA_KEY, wrapping_key: bytes = WRAPPING_KEY) -> bytes:
    """Return a data key wrapped by AES-GCM."""
    return IV + AESGCM(wrapping_key).encrypt(IV, data_key, content.encode())


def wrapped_ecb(data_key: bytes = DATA_KEY, padding: bytes = b"\x10" * 16) -> bytes:
    """Return a data key as V1 wraps it."""
    encryptor = Cipher(algorithms.AES(WRAPPING_KEY), modes.ECB()).encryptor()  # noqa: S305  # what V1 writes
    return encryptor.update(data_key + padding) + encryptor.finalize()


def v1(plaintext: bytes = PLAINTEXT) -> Sample:
    """Return an object of V1 under the AES key."""
    fields = {
        "x-amz-key": b64(wrapped_ecb()),
        "x-amz-iv": b64(CBC_IV),
        "x-amz-matdesc": "{}",
        "x-amz-unencrypted-content-length": str(len(plaintext)),
    }
    return Sample(fields, cbc(padded(plaintext)))


def v2(plaintext: bytes = PLAINTEXT) -> Sample:
    """Return an object of V2 under the AES key."""
    fields = {
        "x-amz-key-v2": b64(wrapped_gcm("AES/GCM/NoPadding")),
        "x-amz-iv": b64(IV),
        "x-amz-cek-alg": "AES/GCM/NoPadding",
        "x-amz-wrap-alg": "AES/GCM",
        "x-amz-matdesc": "{}",
        "x-amz-tag-len": "128",
    }
    return Sample(fields, gcm(plaintext, version=2))


def v2_key_wrap(plaintext: bytes = PLAINTEXT) -> Sample:
    """Return an object as the older clients wrote it in V2, with AES key wrap."""
    wrapped = b64(aes_key_wrap(WRAPPING_KEY, DATA_KEY))
    return v2(plaintext).edited({"x-amz-key-v2": wrapped, "x-amz-wrap-alg": "AESWrap"})


def v3(plaintext: bytes = PLAINTEXT) -> Sample:
    """Return an object of V3 under the AES key."""
    fields = {
        "x-amz-c": "115",
        "x-amz-3": b64(wrapped_gcm("115")),
        "x-amz-w": "02",
        "x-amz-m": "{}",
        "x-amz-d": b64(commitment()),
        "x-amz-i": b64(MESSAGE_ID),
    }
    return Sample(fields, gcm(plaintext, version=3))


def v2_kms(context: Mapping[str, str] | None = None, wrapped: bytes = b"wrapped", wrap: str = "kms+context") -> Sample:
    """Return an object of V2 with a KMS context, which says what the key is for unless it is given."""
    entries = {"aws:x-amz-cek-alg": "AES/GCM/NoPadding"} if context is None else context
    edits = {"x-amz-key-v2": b64(wrapped), "x-amz-wrap-alg": wrap, "x-amz-matdesc": json.dumps(entries)}
    return v2().edited(edits)


def v3_kms(context: Mapping[str, str] | None = None, wrapped: bytes = b"wrapped") -> Sample:
    """Return an object of V3 with a KMS context, which says what the key is for unless it is given."""
    entries = {"aws:x-amz-cek-alg": "115"} if context is None else context
    edits = {"x-amz-3": b64(wrapped), "x-amz-w": "12", "x-amz-m": None, "x-amz-t": json.dumps(entries)}
    return v3().edited(edits)


class CountingKeyring:
    """Opens every data key to the same 32 bytes, and counts how often it is asked."""

    def __init__(self, data_key: bytes = DATA_KEY) -> None:
        self.call_count = 0
        self._data_key = data_key

    @property
    def s3ec_wraps(self) -> frozenset[WrapAlgorithm]:
        """All."""
        return frozenset(WrapAlgorithm)

    def make_s3ec_data_key(self, content: ContentAlgorithm, context: Mapping[str, str]) -> S3ecDataKey:
        """Return the data key, under a wrap that is none."""
        self.call_count += 1
        entries = {**context, "aws:x-amz-cek-alg": content.value}
        return S3ecDataKey(SecretBytes(self._data_key), b"wrapped", WrapAlgorithm.KMS_CONTEXT, entries)

    def open_s3ec_data_key(self, envelope: S3ecEnvelope) -> SecretBytes:
        """Return the data key."""
        self.call_count += 1
        return SecretBytes(self._data_key)


def read(
    sample: Sample,
    keyring: S3ecKeyring,
    *,
    read_formats: Sequence[str] = EVERYTHING,
    context: Mapping[str, str] | None = None,
) -> bytes:
    """Return the plaintext of an object, read in the order that the design demands."""
    envelope = metadata.parse(sample.metadata, sample.instruction)
    policy.FormatPolicy(read_formats).check(envelope)
    policy.check_description(envelope, context or {})
    with keyring.open_s3ec_data_key(envelope) as data_key:
        opener = MessageOpener(envelope, data_key)
    end = max(0, len(sample.stored) - tag_size(envelope.content))
    unverified = opener.update(sample.stored[:end])
    return unverified + opener.finalize(sample.stored[end:])
