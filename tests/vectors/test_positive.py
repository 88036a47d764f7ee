"""Every vector is reproduced byte for byte by the writer, and opened by the reader."""

from __future__ import annotations

import base64
import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from s3envelope.core.context import EncryptionContext
from s3envelope.core.envelope import Envelope, Header, header_associated_data, open_header, seal_header
from s3envelope.core.index import IndexRow, seal_index
from s3envelope.core.kdf import BodyKey
from s3envelope.core.ports import EncryptedDataKey
from s3envelope.core.secret import SecretBytes
from s3envelope.core.segments import INDEX_RUN, NONCE_SIZE, STATE_RUN, is_authentic
from s3envelope.core.upload_state import seal_state, verify_state
from s3envelope.engine.sealing import Attempt, CiphertextReader, SealedRun
from s3envelope.engine.sources import BufferSource
from s3envelope.errors import DecryptionError
from tests.support.vector_objects import (
    MemoryStorage,
    Vector,
    load,
    open_range,
    opener_for,
    plaintext_of,
    vector_keyring,
)

VECTORS = [
    pytest.param(vector, id=f"{file[4:8]}-{vector['name']}")
    for file in ("se1_positive.json", "se1_reference.json")
    for vector in load(file)
]
STATES = [param for param in VECTORS if param.values[0]["state"] is not None]  # type: ignore[index]


def header_of(vector: Vector) -> tuple[Header, BodyKey]:
    """Seal the header of a vector with its randomness."""
    return seal_header(
        SecretBytes(bytes.fromhex(vector["dek"])),
        SecretBytes(bytes.fromhex(vector["oek"])),
        context=EncryptionContext(vector["context"]),
        bound_name=vector["key"] if vector["flags"] & 2 else None,
        indexed=bool(vector["flags"] & 1),
        nonce=bytes.fromhex(vector["header_nonce"]),
    )


def runs_of(vector: Vector, plaintext: bytes, body_key: BodyKey) -> list[bytes]:
    """Seal every upload call of a vector with its randomness, in call order."""
    starts, position = {}, 0
    for number, length in vector["parts"] or []:
        starts[number] = position
        position += length
    sealed = []
    for call in vector["calls"]:
        indexed = bool(vector["flags"] & 1)
        start = starts[call["run"]] if indexed else call["first_segment"] * 65536
        piece = plaintext[start : start + call["length"]]
        attempt = Attempt(bytes.fromhex(call["R"]), len(piece), ends_run=call["ends_run"])
        run = SealedRun(
            BufferSource(piece),
            attempt,
            body_key,
            run=call["run"],
            first_segment=call["first_segment"],
            process_id=lambda: 1,
        )
        sealed.append(CiphertextReader(run).read())
    return sealed


def body_of(vector: Vector, plaintext: bytes, body_key: BodyKey) -> bytes:
    """Return the stored bytes of a vector, as the writer makes them."""
    sealed = runs_of(vector, plaintext, body_key)
    if not vector["flags"] & 1:
        return b"".join(sealed)
    by_number = sorted(zip(vector["calls"], sealed, strict=True), key=lambda pair: pair[0]["run"])
    rows = [IndexRow(call["run"], bytes.fromhex(call["R"]), call["length"]) for call, _ in by_number]
    index = seal_index(body_key, rows, bytes.fromhex(vector["index"]["nonce"]))
    assert index.hex() == vector["index"]["hex"]
    return b"".join(part for _, part in by_number) + index


@pytest.mark.parametrize("vector", VECTORS)
def test_header_when_sealed_with_the_vectors_randomness_is_the_vectors(vector: Vector) -> None:
    header, body_key = header_of(vector)
    keys = tuple(
        EncryptedDataKey(hashlib.sha256(key["key_id"].encode()).digest()[:4], bytes.fromhex(key["edk"]))
        for key in vector["keys"]
    )
    context = EncryptionContext(vector["context"])

    metadata = Envelope(header, keys, context).to_metadata()

    name = vector["key"].encode() if vector["flags"] & 2 else b""
    associated = header_associated_data(header.flags, header.commitment, context.canonical, name)
    assert body_key.key == SecretBytes(bytes.fromhex(vector["derived"]["K"]))
    assert body_key.commitment.hex() == vector["derived"]["C"]
    assert associated.hex() == vector["derived"]["header_aad"]
    assert metadata == {name.lower(): value for name, value in vector["metadata"].items()}


@pytest.mark.parametrize("vector", VECTORS)
def test_body_when_sealed_with_the_vectors_randomness_is_the_vectors(vector: Vector) -> None:
    plaintext, (_, body_key) = plaintext_of(vector), header_of(vector)

    body = body_of(vector, plaintext, body_key)

    expected = vector["body"]
    assert len(body) == expected["length"]
    assert hashlib.sha256(body).hexdigest() == expected["sha256"]
    assert expected["hex"] in (None, body.hex())
    assert hashlib.sha256(body[:65564]).hexdigest() == expected["first_segment_sha256"]
    assert body[-64:].hex() == expected["last_64_hex"]


@pytest.mark.parametrize("vector", VECTORS)
def test_parts_when_sealed_with_the_vectors_randomness_are_what_was_sent(vector: Vector) -> None:
    if vector["sent"] is None:
        return
    _, body_key = header_of(vector)
    sealed = runs_of(vector, plaintext_of(vector), body_key)

    sent = [[len(part), hashlib.sha256(part).hexdigest()] for part in sealed]

    assert sent == [row[1:] for row in vector["sent"][: len(sealed)]]


@pytest.mark.parametrize("vector", VECTORS)
def test_object_when_read_whole_is_the_plaintext(vector: Vector) -> None:
    plaintext, (_, body_key) = plaintext_of(vector), header_of(vector)
    storage = MemoryStorage(vector["metadata"], body_of(vector, plaintext, body_key))
    opener = opener_for(vector_keyring(vector), storage, vector["key"])

    opened = open_range(opener, storage, None)

    assert opened.stream is not None
    assert opened.stream.read() == plaintext
    assert opened.total == len(plaintext)
    assert dict(opened.envelope.context) == vector["context"]


@pytest.mark.parametrize("vector", VECTORS)
def test_ranges_when_read_have_the_vectors_digests(vector: Vector) -> None:
    plaintext, (_, body_key) = plaintext_of(vector), header_of(vector)
    storage = MemoryStorage(vector["metadata"], body_of(vector, plaintext, body_key))
    opener = opener_for(vector_keyring(vector), storage, vector["key"])

    for interval in vector["ranges"]:
        first, end = interval["first"], interval["end"]
        header = f"bytes={first}-{end - 1}" if end > first else f"bytes={len(plaintext)}-"
        opened = open_range(opener, storage, header)
        read = b"" if opened.stream is None else opened.stream.read()
        assert hashlib.sha256(read).hexdigest() == interval["sha256"]
        assert (opened.stream is None) == (first >= end)


@pytest.mark.parametrize("vector", STATES)
def test_state_when_sealed_is_the_vectors_and_refuses_every_edit(vector: Vector) -> None:
    _, body_key = header_of(vector)
    text, tag = vector["state"]["json"].encode(), vector["state"]["tag"]

    state = verify_state(body_key, text, tag)

    assert state.serialise() == text
    assert {part.row.part_number: part.row.plaintext_size for part in state.parts} == dict(vector["parts"])
    nonce = tag_nonce(tag)
    assert seal_state(body_key, text, nonce) == tag
    for old, new in vector["state"]["refuse"]:
        edited = vector["state"]["json"].replace(old, new)
        assert edited != vector["state"]["json"]
        with pytest.raises(DecryptionError):
            verify_state(body_key, edited.encode(), tag)


def tag_nonce(tag: str) -> bytes:
    """Return the nonce that a state's tag begins with."""
    return base64.urlsafe_b64decode(tag + "=" * (-len(tag) % 4))[:NONCE_SIZE]


@pytest.mark.parametrize("vector", STATES)
def test_state_tag_when_used_as_tag_of_an_index_is_refused(vector: Vector) -> None:
    _, body_key = header_of(vector)
    tag = vector["state"]["tag"]
    sealed = base64.urlsafe_b64decode(tag + "=" * (-len(tag) % 4))
    text = vector["state"]["json"].encode()

    assert is_authentic(body_key, STATE_RUN, sealed, text)
    assert not is_authentic(body_key, INDEX_RUN, sealed, text)


@pytest.mark.parametrize("vector", VECTORS)
def test_bound_header_when_opened_under_another_name_is_refused(vector: Vector) -> None:
    if not vector["flags"] & 2:
        return
    header, _ = header_of(vector)

    with pytest.raises(DecryptionError):
        open_header(
            SecretBytes(bytes.fromhex(vector["dek"])), header, EncryptionContext(vector["context"]), vector["key"] + "x"
        )


def test_committed_vectors_when_generated_again_come_out_the_same() -> None:
    root = Path(__file__).parent.parent.parent

    command = [sys.executable, "-m", "tests.vectors.generate", "--check"]
    done = subprocess.run(command, cwd=root, capture_output=True, check=False)

    assert done.returncode == 0, done.stderr.decode()
