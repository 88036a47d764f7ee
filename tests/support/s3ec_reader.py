"""A reader of the formats V2 and V3 of the Amazon clients that shares no code with this library.

It reads what is written as the specification says, and refuses everything else.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric import padding
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA1, SHA512
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from mypy_boto3_kms import KMSClient
from mypy_boto3_s3 import S3Client

from tests.support.unlogged import not_logged

_V2_NAMES = {"x-amz-key-v2", "x-amz-iv", "x-amz-cek-alg", "x-amz-wrap-alg", "x-amz-matdesc", "x-amz-tag-len"}
_V3_WRAPS = {"02": "AES/GCM", "12": "kms+context", "22": "RSA-OAEP-SHA1"}
_SIZE = "x-amz-unencrypted-content-length"
_ON_OBJECT = {"x-amz-c", "x-amz-d", "x-amz-i"}


@dataclass(frozen=True)
class Wrapped:
    """A wrapped data key, and what it is bound to."""

    wrap: str
    content: str
    encrypted: bytes
    description: dict[str, str]


Unwrap = Callable[[Wrapped], bytes]


def kms_unwrap(client: KMSClient, key_id: str) -> Unwrap:
    """Return what asks KMS, under the context that is stored."""

    def unwrap(wrapped: Wrapped) -> bytes:
        assert wrapped.wrap == "kms+context"
        assert wrapped.description["aws:x-amz-cek-alg"] == wrapped.content
        # A plain client logs the data key that it gets.
        with not_logged():
            answer = client.decrypt(
                KeyId=key_id, CiphertextBlob=wrapped.encrypted, EncryptionContext=wrapped.description
            )
        return answer["Plaintext"]

    return unwrap


def aes_unwrap(key: bytes) -> Unwrap:
    """Return what unwraps with AES-GCM."""

    def unwrap(wrapped: Wrapped) -> bytes:
        assert wrapped.wrap == "AES/GCM"
        return AESGCM(key).decrypt(wrapped.encrypted[:12], wrapped.encrypted[12:], wrapped.content.encode())

    return unwrap


def rsa_unwrap(key: RSAPrivateKey) -> Unwrap:
    """Return what unwraps with RSA-OAEP."""

    def unwrap(wrapped: Wrapped) -> bytes:
        assert wrapped.wrap == "RSA-OAEP-SHA1"
        scheme = padding.OAEP(padding.MGF1(SHA1()), SHA1(), None)  # noqa: S303
        block = key.decrypt(wrapped.encrypted, scheme)
        assert block[0] == 32
        assert block[33:] == wrapped.content.encode()
        return block[1:33]

    return unwrap


def open_message(metadata: Mapping[str, str], body: bytes, unwrap: Unwrap) -> bytes:
    """Return the plaintext of an object; `metadata` has the whole envelope and nothing else of the formats."""
    ours = {name: value for name, value in metadata.items() if name.startswith("x-amz-")}
    if "x-amz-key-v2" in ours:
        return _open_v2(ours, body, unwrap)
    return _open_v3(ours, body, unwrap)


def _open_v2(fields: dict[str, str], body: bytes, unwrap: Unwrap) -> bytes:
    assert set(fields) - {_SIZE} == _V2_NAMES
    assert int(fields.get(_SIZE, len(body) - 16)) == len(body) - 16
    assert (fields["x-amz-cek-alg"], fields["x-amz-tag-len"]) == ("AES/GCM/NoPadding", "128")
    iv = base64.b64decode(fields["x-amz-iv"], validate=True)
    assert len(iv) == 12
    wrapped = Wrapped(
        fields["x-amz-wrap-alg"],
        fields["x-amz-cek-alg"],
        base64.b64decode(fields["x-amz-key-v2"], validate=True),
        json.loads(fields["x-amz-matdesc"]),
    )
    return AESGCM(unwrap(wrapped)).decrypt(iv, body, None)


def _open_v3(fields: dict[str, str], body: bytes, unwrap: Unwrap) -> bytes:
    wrap = _V3_WRAPS[fields["x-amz-w"]]
    description = "x-amz-t" if wrap == "kms+context" else "x-amz-m"
    assert set(fields) == {"x-amz-c", "x-amz-3", "x-amz-w", "x-amz-d", "x-amz-i", description}
    assert fields["x-amz-c"] == "115"
    message_id = base64.b64decode(fields["x-amz-i"], validate=True)
    assert len(message_id) == 28
    wrapped = Wrapped(wrap, "115", base64.b64decode(fields["x-amz-3"], validate=True), json.loads(fields[description]))
    data_key = unwrap(wrapped)

    def derived(label: bytes, size: int) -> bytes:
        return HKDF(SHA512(), size, message_id, b"\x00\x73" + label).derive(data_key)

    assert base64.b64decode(fields["x-amz-d"], validate=True) == derived(b"COMMITKEY", 28)
    return AESGCM(derived(b"DERIVEKEY", 32)).decrypt(b"\x01" * 12, body, b"\x00\x73")


def read_message(client: S3Client, bucket: str, key: str, unwrap: Unwrap, *, suffix: str | None = None) -> bytes:
    """Return the plaintext of a stored object.

    Args:
        client: A plain one.
        suffix: Of the instruction file that the envelope, or the rest of it, is in.
    """
    answer: Any = client.get_object(Bucket=bucket, Key=key)
    metadata = dict(answer["Metadata"])
    if suffix is not None:
        on_object = {name for name in metadata if name.startswith("x-amz-")}
        assert on_object in (_ON_OBJECT, {_SIZE}, set())
        file: Any = client.get_object(Bucket=bucket, Key=key + suffix)
        in_file = json.loads(file["Body"].read())
        assert not on_object & set(in_file)
        metadata.update(in_file)
    return open_message(metadata, answer["Body"].read(), unwrap)
