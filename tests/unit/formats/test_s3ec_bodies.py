"""Bodies of the Amazon formats, piece by piece: sizes, ranges, padding, limits."""

from __future__ import annotations

import dataclasses

import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from s3envelope.core.secret import SecretBytes
from s3envelope.errors import ConfigurationError, S3ecDecryptionError, UnsupportedOperationError
from s3envelope.formats.s3ec import bodies, keys, metadata
from s3envelope.formats.s3ec.bodies import Keystream, MessageOpener, MessageSealer, ctr_range
from s3envelope.formats.s3ec.model import MAX_PLAINTEXT_SIZE, ContentAlgorithm, S3ecEnvelope
from tests.support import s3ec_samples as samples
from tests.support.s3ec_samples import DATA_KEY, JAVA, PLAINTEXT, CountingKeyring

V1 = metadata.parse(samples.v1().metadata)
V2 = metadata.parse(samples.v2().metadata)
V3 = metadata.parse(samples.v3().metadata)
KEY = SecretBytes(DATA_KEY)
LONG = bytes(index % 251 for index in range(1000))


def _stored(envelope: S3ecEnvelope, plaintext: bytes) -> bytes:
    if envelope.version == 1:
        return samples.cbc(samples.padded(plaintext))
    return samples.gcm(plaintext, version=envelope.version)


def _opened(envelope: S3ecEnvelope, stored: bytes, step: int) -> bytes:
    end = len(stored) - bodies.tag_size(envelope.content)
    opener = MessageOpener(envelope, KEY)
    pieces = [opener.update(memoryview(stored)[at : min(at + step, end)]) for at in range(0, end, step)]
    return b"".join(pieces) + opener.finalize(stored[end:])


@pytest.mark.parametrize("step", [1, 15, 16, 17, 1000, 5000])
@pytest.mark.parametrize("envelope", [V1, V2, V3])
def test_body_when_it_comes_in_pieces_of_any_size_then_it_opens(envelope: S3ecEnvelope, step: int) -> None:
    for size in (0, 1, 15, 16, 17, 1000):
        assert _opened(envelope, _stored(envelope, LONG[:size]), step) == LONG[:size]


@pytest.mark.parametrize("step", [1, 15, 16, 17, 1000])
@pytest.mark.parametrize("envelope", [V2, V3])
def test_body_when_it_is_sealed_in_pieces_then_it_is_the_same_message(envelope: S3ecEnvelope, step: int) -> None:
    sealer = MessageSealer(envelope, KEY)

    pieces = [sealer.update(memoryview(LONG)[at : at + step]) for at in range(0, len(LONG), step)]

    assert [len(piece) for piece in pieces] == [len(LONG[at : at + step]) for at in range(0, len(LONG), step)]
    assert b"".join(pieces) + sealer.finalize() == _stored(envelope, LONG)
    assert sealer.size == len(LONG)


@pytest.mark.parametrize("envelope", [V2, V3])
def test_body_when_it_is_empty_then_it_is_a_tag(envelope: S3ecEnvelope) -> None:
    assert MessageSealer(envelope, KEY).finalize() == _stored(envelope, b"")
    assert MessageOpener(envelope, KEY).finalize(_stored(envelope, b"")) == b""


@pytest.mark.parametrize("envelope", [V2, V3])
@pytest.mark.parametrize("offset", [0, 1, 15, 16, 17, 31, 32, 500, 999, 1000])
def test_range_when_decrypted_at_any_offset_then_it_is_that_of_the_message(envelope: S3ecEnvelope, offset: int) -> None:
    ciphertext = _stored(envelope, LONG)[:-16]
    sealer = MessageSealer(envelope, KEY)

    stream = ctr_range(envelope, KEY, offset)

    assert stream.update(ciphertext[offset : offset + 7]) + stream.update(ciphertext[offset + 7 :]) == LONG[offset:]
    assert sealer.ctr_at(offset).update(LONG[offset:]) == ciphertext[offset:]


def test_range_when_the_body_is_cbc_then_it_is_refused() -> None:
    with pytest.raises(UnsupportedOperationError):
        ctr_range(V1, KEY, 0)


@pytest.mark.parametrize("offset", [-1, MAX_PLAINTEXT_SIZE + 1, 1 << 40])
def test_range_when_its_offset_is_outside_any_message_then_it_is_refused(offset: int) -> None:
    with pytest.raises(ValueError, match="outside"):
        ctr_range(V2, KEY, offset)


def test_range_when_it_ends_at_the_longest_message_then_not_a_byte_more_is_made() -> None:
    """The counter has 32 bits: one block more would meet the keystream of the tag."""
    stream = ctr_range(V2, KEY, MAX_PLAINTEXT_SIZE - 17)

    assert len(stream.update(bytes(17))) == 17
    with pytest.raises(S3ecDecryptionError):
        stream.update(b"\0")
    with pytest.raises(S3ecDecryptionError):
        ctr_range(V2, KEY, MAX_PLAINTEXT_SIZE - 17).update(bytes(18))
    assert ctr_range(V2, KEY, MAX_PLAINTEXT_SIZE).update(b"") == b""


def test_range_when_it_is_the_last_block_then_its_counter_is_the_last_of_32_bits() -> None:
    block = Cipher(algorithms.AES(DATA_KEY), modes.ECB()).encryptor().update(V2.iv + b"\xff" * 4)  # noqa: S305

    assert ctr_range(V2, KEY, MAX_PLAINTEXT_SIZE - 16).update(bytes(16)) == block


@pytest.mark.parametrize("envelope", [V2, V3])
def test_message_when_longer_than_the_limit_then_neither_sealed_nor_opened(
    envelope: S3ecEnvelope, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bodies, "MAX_PLAINTEXT_SIZE", 32)
    sealer, opener = MessageSealer(envelope, KEY), MessageOpener(envelope, KEY)

    ciphertext = sealer.update(bytes(31)) + sealer.update(bytes(1))
    with pytest.raises(ConfigurationError, match="32 bytes"):
        sealer.update(b"\0")
    assert opener.update(ciphertext) == bytes(32)
    with pytest.raises(S3ecDecryptionError):
        opener.update(b"\0")
    with pytest.raises(S3ecDecryptionError):
        opener.finalize(sealer.finalize())


def test_message_when_a_piece_was_refused_for_its_length_then_the_rest_is_sealed_as_if_it_had_not_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bodies, "MAX_PLAINTEXT_SIZE", 32)
    sealer = MessageSealer(V2, KEY)
    with pytest.raises(ConfigurationError):
        sealer.update(bytes(33))

    assert sealer.update(LONG[:32]) + sealer.finalize() == samples.gcm(LONG[:32], version=2)


def test_sizes_when_computed_then_they_are_each_others_inverse() -> None:
    for size in (0, 1, 15, 16, 17, 65535, 65536, 65537, MAX_PLAINTEXT_SIZE - 1, MAX_PLAINTEXT_SIZE):
        for envelope in (V2, V3):
            assert bodies.plaintext_size(envelope, bodies.stored_size(envelope.content, size)) == size
        claiming = dataclasses.replace(V1, plaintext_size=size)
        assert bodies.plaintext_size(claiming, bodies.stored_size(V1.content, size)) == size


@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 1000])
@pytest.mark.parametrize("envelope", [V1, V2, V3])
def test_stored_size_when_computed_then_it_is_that_of_a_real_body(envelope: S3ecEnvelope, size: int) -> None:
    assert bodies.stored_size(envelope.content, size) == len(_stored(envelope, LONG[:size]))


@pytest.mark.parametrize("content", list(ContentAlgorithm))
def test_stored_size_when_the_plaintext_is_too_long_then_it_is_refused(content: ContentAlgorithm) -> None:
    with pytest.raises(ConfigurationError):
        bodies.stored_size(content, MAX_PLAINTEXT_SIZE + 1)


@pytest.mark.parametrize("stored", [-1, 0, 1, 15, MAX_PLAINTEXT_SIZE + 17])
def test_plaintext_size_when_no_message_has_the_stored_one_then_it_does_not_open(stored: int) -> None:
    for envelope in (V2, V3):
        with pytest.raises(S3ecDecryptionError):
            bodies.plaintext_size(envelope, stored)


@pytest.mark.parametrize("claim", [None, 0, 15, 47, 48, 1 << 40])
def test_plaintext_size_when_cbc_claims_an_impossible_one_then_it_is_unknown(claim: int | None) -> None:
    envelope = dataclasses.replace(V1, plaintext_size=claim)

    assert bodies.plaintext_size(envelope, 48) == (claim if claim == 47 else None)


@pytest.mark.parametrize("stored", [0, 1, 15, 17])
def test_plaintext_size_when_cbc_has_no_whole_blocks_then_it_does_not_open(stored: int) -> None:
    with pytest.raises(S3ecDecryptionError):
        bodies.plaintext_size(V1, stored)


def test_plaintext_size_when_gcm_claims_another_then_the_claim_is_nothing() -> None:
    assert bodies.plaintext_size(dataclasses.replace(V2, plaintext_size=5), 116) == 100


BAD_PADDINGS = [
    b"\0" * 16,
    b"\x11" * 16,
    bytes(15) + b"\x02",
    bytes(13) + b"\x01\x02\x03",
    b"\x0f" + b"\x10" * 15,
    b"\xff" * 16,
]


@pytest.mark.parametrize("block", BAD_PADDINGS)
def test_cbc_when_its_padding_is_broken_then_it_fails_as_everything_fails(block: bytes) -> None:
    texts, outcomes = set(), []
    bad = [samples.cbc(LONG[:32] + block), samples.cbc(block)]
    cut = [samples.cbc(samples.padded(LONG[:40]))[:-1], samples.cbc(LONG[:32])[:17], b""]

    for stored in (*bad, *cut):
        opener = MessageOpener(V1, KEY)
        unverified = opener.update(stored)
        with pytest.raises(S3ecDecryptionError) as caught:
            opener.finalize()
        outcomes.append(len(unverified) <= max(0, len(stored) - 16))
        texts.add((str(caught.value), caught.value.__cause__, caught.value.__suppress_context__))
    with pytest.raises(S3ecDecryptionError) as tag_error:
        MessageOpener(V2, KEY).finalize(bytes(16))
    texts.add((str(tag_error.value), tag_error.value.__cause__, tag_error.value.__suppress_context__))

    assert len(texts) == 1
    assert all(outcomes)


def test_cbc_when_opened_then_its_last_block_stays_back_until_the_end() -> None:
    stored = samples.cbc(samples.padded(LONG[:40]))
    opener = MessageOpener(V1, KEY)

    assert opener.update(stored) == LONG[:32]
    assert opener.finalize() == LONG[32:40]


@pytest.mark.parametrize(
    ("envelope", "tag"), [(V1, bytes(16)), (V2, b""), (V2, bytes(15)), (V3, bytes(17)), (V3, b"\0")]
)
def test_tag_when_it_has_not_the_length_of_the_algorithm_then_nothing_opens(envelope: S3ecEnvelope, tag: bytes) -> None:
    opener = MessageOpener(envelope, KEY)
    stored = _stored(envelope, LONG)
    opener.update(stored if envelope is V1 else stored[:-16])

    with pytest.raises(S3ecDecryptionError):
        opener.finalize(tag)


@pytest.mark.parametrize("envelope", [V1, V2, V3])
def test_opener_when_it_has_failed_then_it_fails_for_ever(envelope: S3ecEnvelope) -> None:
    stored = bytearray(_stored(envelope, LONG))
    tag = bodies.tag_size(envelope.content)
    opener = MessageOpener(envelope, KEY)
    opener.update(bytes(stored[: len(stored) - tag] if tag else stored[:-1]))
    stored[-1] ^= 1

    for _ in range(2):
        with pytest.raises(S3ecDecryptionError):
            opener.finalize(bytes(stored[-tag:]) if tag else b"")
        with pytest.raises(S3ecDecryptionError):
            opener.update(b"more")
        with pytest.raises(S3ecDecryptionError):
            opener.update(b"")


@pytest.mark.parametrize("envelope", [V1, V2, V3])
def test_opener_when_it_has_succeeded_then_nothing_can_be_added(envelope: S3ecEnvelope) -> None:
    stored = _stored(envelope, LONG)
    end = len(stored) - bodies.tag_size(envelope.content)
    opener = MessageOpener(envelope, KEY)
    opener.update(stored[:end])
    opener.finalize(stored[end:])

    with pytest.raises(S3ecDecryptionError):
        opener.update(b"more")
    with pytest.raises(S3ecDecryptionError):
        opener.finalize(stored[end:])


def test_sealer_when_it_is_wiped_then_no_offset_is_sealed_again() -> None:
    sealer = MessageSealer(V3, KEY)
    sealer.wipe()

    with pytest.raises(ValueError, match="wiped"):
        sealer.ctr_at(0)
    assert bytes(KEY.view()) == DATA_KEY


def test_sealer_when_the_body_would_be_cbc_then_there_is_none() -> None:
    with pytest.raises(ValueError, match="authentication"):
        MessageSealer(V1, KEY)


def test_content_key_when_a_message_is_open_then_no_copy_of_ours_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[SecretBytes] = []

    def content_key(envelope: S3ecEnvelope, data_key: SecretBytes) -> SecretBytes:
        made.append(keys.content_key(envelope, data_key))
        return made[-1]

    monkeypatch.setattr(bodies, "content_key", content_key)
    for envelope in (V1, V2, V3):
        MessageOpener(envelope, KEY)
    ctr_range(V2, KEY, 5)
    sealer = MessageSealer(V2, KEY)
    sealer.wipe()

    assert len(made) == 5
    for key in made:
        with pytest.raises(ValueError, match="wiped"):
            key.view()


def test_keystream_when_java_made_the_bodies_then_they_open() -> None:
    gcm = dataclasses.replace(V2, iv=bytes(range(200, 212)))
    cbc = dataclasses.replace(V1, iv=bytes(range(50, 66)))
    key = SecretBytes(JAVA["data_key"])
    stored = JAVA["AES/GCM/NoPadding"]

    assert _opened_with(gcm, stored, key) == _opened_with(cbc, JAVA["AES/CBC/PKCS5Padding"], key) == JAVA["plaintext"]
    assert Keystream(key, gcm.iv, 5).update(stored[5:-16]) == JAVA["plaintext"][5:]


def _opened_with(envelope: S3ecEnvelope, stored: bytes, key: SecretBytes) -> bytes:
    end = len(stored) - bodies.tag_size(envelope.content)
    opener = MessageOpener(envelope, key)
    return opener.update(stored[:end]) + opener.finalize(stored[end:])


def test_reader_of_samples_when_the_object_is_whole_then_it_gives_the_plaintext() -> None:
    for sample in (samples.v1(), samples.v2(), samples.v3()):
        assert samples.read(sample, CountingKeyring()) == PLAINTEXT
