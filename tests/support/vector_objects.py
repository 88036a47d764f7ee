"""Vectors of the format as things that the engine can read and write: a keyring, a storage, an opener."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from s3envelope.core.context import EncryptionContext
from s3envelope.core.ports import DataKey, EncryptedDataKey, Keyring
from s3envelope.core.ranges import AnswerHead, ByteRange
from s3envelope.core.secret import SecretBytes
from s3envelope.engine.materials import DefaultMaterialsManager
from s3envelope.engine.opening import Answer, Condition, ObjectOpener, OpenedObject, ReadingSessions, ReadPolicy
from s3envelope.errors import NoMatchingKeyError
from s3envelope.keyrings.raw_aes import RawAesKeyring

Vector = dict[str, Any]
FOLDER = Path(__file__).parent.parent / "vectors"
ETAG = '"genuine"'


def load(name: str) -> list[Vector]:
    """Return the vectors of a file in tests/vectors."""
    vectors: list[Vector] = json.loads((FOLDER / name).read_text())["vectors"]
    return vectors


def plaintext_of(vector: Vector) -> bytes:
    """Return the plaintext that a vector describes, checked against its digest."""
    described = vector["plaintext"]
    plaintext = hashlib.shake_128(described["shake128"].encode()).digest(described["length"])
    assert hashlib.sha256(plaintext).hexdigest() == described["sha256"]
    return plaintext


class VectorKeyring:
    """The configured keys of a vector, in its order; the key service behind them is the vector's table."""

    encrypted_data_key_sizes = (184,)

    def __init__(self, key_ids: Sequence[str], keys: Sequence[Mapping[str, Any]], dek: str) -> None:
        self._order = list(dict.fromkeys(key_ids))
        self._answers = {
            (key["key_id"], bytes.fromhex(key["edk"])): key.get("opens_to", dek) for key in keys if "mk" not in key
        }
        self._raw: dict[str, Keyring] = {
            key["key_id"]: RawAesKeyring(bytes.fromhex(key["mk"]), key["key_id"].removeprefix("raw:"))
            for key in keys
            if "mk" in key
        }

    @property
    def key_ids(self) -> frozenset[str]:
        return frozenset(self._order)

    def generate_data_key(self, context: EncryptionContext) -> DataKey:
        raise AssertionError("a vector is not written through a keyring")

    def encrypt_data_key(self, plaintext: SecretBytes, context: EncryptionContext) -> EncryptedDataKey:
        raise AssertionError("a vector is not written through a keyring")

    def reencrypt_data_key(
        self, key: EncryptedDataKey, context: EncryptionContext, *, source_key_arn: str
    ) -> EncryptedDataKey:
        raise AssertionError("a vector is not rotated")

    def decrypt_data_keys(
        self, keys: Sequence[EncryptedDataKey], context: EncryptionContext
    ) -> Iterator[tuple[EncryptedDataKey, SecretBytes]]:
        candidate_count = 0
        for key_id in self._order:
            hint = hashlib.sha256(key_id.encode()).digest()[:4]
            matching = [key for key in keys if key.hint == hint]
            candidate_count += len(matching)
            if key_id in self._raw and matching:
                yield from self._raw[key_id].decrypt_data_keys(matching, context)
                continue
            for key in matching:
                answer = self._answers.get((key_id, key.ciphertext))
                if answer is not None:
                    yield key, SecretBytes(bytes.fromhex(answer))
        if not candidate_count:
            raise NoMatchingKeyError("no entry of a configured key")


class CountingBody(io.BytesIO):
    """A body that knows how much of it was read."""


@dataclass
class MemoryStorage:
    """A storage with one object, which answers as S3 does; a test may change its bytes first."""

    metadata: Mapping[str, str]
    body: bytes
    etag: str = ETAG
    requests: int = 0

    def fetch(self, wanted: ByteRange | None, condition: Condition) -> Answer | None:
        """Answer a GET; `None` for 416."""
        self.requests += 1
        start, end = (0, len(self.body)) if wanted is None else wanted.resolve(len(self.body))
        if wanted is not None and start >= end:
            return None
        content_range = None if wanted is None else f"bytes {start}-{end - 1}/{len(self.body)}"
        head = AnswerHead(200 if wanted is None else 206, self.etag, None, end - start, content_range)
        return Answer(head, self.metadata, CountingBody(self.body[start:end]))


def opener_for(
    keyring: Keyring,
    storage: MemoryStorage,
    name: str,
    policy: ReadPolicy | None = None,
    sessions: ReadingSessions | None = None,
) -> ObjectOpener:
    """Return an opener that reads one object of a storage."""
    return ObjectOpener(
        DefaultMaterialsManager(keyring),
        sessions or ReadingSessions(),
        policy or ReadPolicy(EncryptionContext(), require_bound=False),
        scope=("https://s3.example", "bucket", name),
        name=name,
        fetch=storage.fetch,
    )


def open_range(opener: ObjectOpener, storage: MemoryStorage, header: str | None) -> OpenedObject:
    """Ask for a range as the client does."""
    requested = ByteRange.parse(header)
    if requested == ByteRange(None, 0):
        return opener.open(None, requested)
    wanted = None if requested is None else requested.to_ciphertext()
    return opener.open(storage.fetch(wanted, Condition()), requested)


def vector_keyring(vector: Vector, keys: Sequence[Mapping[str, Any]] | None = None) -> VectorKeyring:
    """Return the keyring of a vector; `keys` replaces what the key service knows."""
    key_ids = [key["key_id"] for key in vector["keys"]]
    return VectorKeyring(key_ids, vector["keys"] if keys is None else keys, vector["dek"])
