"""Known answers of key derivation and AES-GCM, and the commitment."""

from __future__ import annotations

import dataclasses
import itertools

import pytest

from s3envelope.core.secret import SecretBytes
from s3envelope.errors import ConfigurationError, KeyCommitmentError, S3ecDecryptionError
from s3envelope.formats.s3ec import bodies, keys, metadata
from s3envelope.formats.s3ec.bodies import MessageOpener, MessageSealer
from s3envelope.formats.s3ec.model import S3ecEnvelope, WrapAlgorithm
from s3envelope.formats.s3ec.ports import S3ecDataKey
from tests.support import s3ec_samples as samples
from tests.support.s3ec_samples import DATA_KEY, IV, MESSAGE_ID, PLAINTEXT, CountingKeyring, b64

KDF_ANSWERS = [
    (
        "80d90dc4cc7e77d8a6332efa44eba56230a7fe7b89af37d1e501ab2e07c0a163",
        "b8ea76bed24c7b85382a148cb9dcd1cfdfb765f55ded4dfa6e0c4c79",
        "6dd14f546cc006e639126e83f5d4d1b118576bb5df97f38c6fb3a1db87bbc338",
        "f89818bc0a346d3a3426b68e9509b6b2ae5fe1f904aa329fb73625db",
    ),
    (
        "501afb8227d22e75e68010414b8abdaf3064c081e8e922dafef4992036394d60",
        "61a00b4981a5aacfd136c55cb726e32d2a547dc7600a7d4675c69127",
        "e14786a714748d1d2c3a4a6816dec56ddf1881bbeabb4f39420ffb9f63700b2f",
        "5c1e73e47f6fe3a70d6d094283aceaa76d2975feb829212d88f0afc1",
    ),
]
GCM_KEY = "cfe8bfe61b89af53d2bece744d27b78c9e4d74d028ce88ed10a422285b1201c9"
GCM_IV = "5f08efbfb7bf5ba365d9eb1d"
GCM_PLAINTEXT = "167b5c226177733a782d616d7a2d63656b2d616c675c223a205c224145532f47434d2f4e6f50616464696e675c227d"
GCM_CIPHERTEXT = "0a7e82f1e5c76c69679671eeaee455936f2c4fccd9ddf1faa27075e2040644938920c5d16c69e4d93375487b9a80d4"
GCM_TAG = "04347d0c5b0e0de89e033d04d0493dca"


def _v3() -> S3ecEnvelope:
    return metadata.parse(samples.v3().metadata)


@pytest.mark.parametrize(("data_key", "message_id", "key", "commitment"), KDF_ANSWERS)
def test_key_and_commitment_when_derived_then_they_are_those_of_the_amazon_clients(
    data_key: str, message_id: str, key: str, commitment: str
) -> None:
    secret = SecretBytes(bytes.fromhex(data_key))

    derived, committed = keys.derive(secret, bytes.fromhex(message_id))

    assert bytes(derived.view()).hex() == key
    assert committed.hex() == commitment
    assert bytes(secret.view()).hex() == data_key
    assert samples.commitment(bytes.fromhex(data_key), bytes.fromhex(message_id)).hex() == commitment


def test_body_of_v2_when_sealed_and_opened_then_it_is_that_of_the_amazon_clients() -> None:
    envelope = dataclasses.replace(metadata.parse(samples.v2().metadata), iv=bytes.fromhex(GCM_IV))
    key = SecretBytes(bytes.fromhex(GCM_KEY))
    sealer, opener = MessageSealer(envelope, key), MessageOpener(envelope, key)

    assert sealer.update(bytes.fromhex(GCM_PLAINTEXT)).hex() == GCM_CIPHERTEXT
    assert sealer.finalize().hex() == GCM_TAG
    assert opener.update(bytes.fromhex(GCM_CIPHERTEXT)).hex() == GCM_PLAINTEXT
    assert opener.finalize(bytes.fromhex(GCM_TAG)) == b""


def test_body_of_v3_when_sealed_then_it_is_aes_gcm_under_the_derived_key() -> None:
    sealer = MessageSealer(_v3(), SecretBytes(DATA_KEY))

    assert sealer.update(PLAINTEXT) + sealer.finalize() == samples.gcm(PLAINTEXT, version=3)


def test_content_key_when_the_commitment_fits_then_the_data_key_stays_and_the_key_is_another() -> None:
    data_key = SecretBytes(DATA_KEY)

    with keys.content_key(_v3(), data_key) as key:
        assert bytes(key.view()) == samples.hkdf(DATA_KEY, MESSAGE_ID, b"DERIVEKEY", 32)
    with keys.content_key(metadata.parse(samples.v2().metadata), data_key) as key:
        assert bytes(key.view()) == DATA_KEY
    assert bytes(data_key.view()) == DATA_KEY


@pytest.mark.parametrize("name", ["x-amz-d", "x-amz-i"])
@pytest.mark.parametrize("position", [0, 13, 27])
def test_v3_when_a_bit_of_commitment_or_message_id_changes_then_nothing_is_derived(
    name: str, position: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = bytearray(samples.commitment() if name == "x-amz-d" else MESSAGE_ID)
    raw[position] ^= 1
    monkeypatch.setattr(keys, "_KEY_INFO", None)

    with pytest.raises(KeyCommitmentError):
        samples.read(samples.v3().edited({name: b64(bytes(raw))}), CountingKeyring())


def test_v3_when_its_data_key_is_another_then_the_commitment_does_not_fit() -> None:
    other = bytes(32)

    for use in (MessageOpener, MessageSealer, lambda envelope, key: bodies.ctr_range(envelope, key, 0)):
        with pytest.raises(KeyCommitmentError):
            use(_v3(), SecretBytes(other))


def test_v3_when_its_envelope_has_no_commitment_then_nothing_opens() -> None:
    with pytest.raises(KeyCommitmentError):
        keys.content_key(dataclasses.replace(_v3(), commitment=None), SecretBytes(DATA_KEY))


def test_v2_when_its_data_key_is_another_then_the_tag_does_not_fit() -> None:
    with pytest.raises(S3ecDecryptionError):
        samples.read(samples.v2(), CountingKeyring(bytes(32)))


@pytest.mark.parametrize("size", [0, 16, 31, 33, 64])
@pytest.mark.parametrize("make", [samples.v1, samples.v2, samples.v3])
def test_data_key_when_it_has_not_32_bytes_then_nothing_opens(make: object, size: int) -> None:
    assert callable(make)

    with pytest.raises(S3ecDecryptionError):
        samples.read(make(), CountingKeyring(bytes(size)))


@pytest.mark.parametrize("version", [2, 3])
def test_envelope_when_made_then_iv_and_commitment_belong_to_its_version(version: int) -> None:
    data_key = CountingKeyring().make_s3ec_data_key(keys.content_of(version), {"tenant": "acme"})
    asked: list[int] = []

    def random(size: int) -> bytes:
        asked.append(size)
        return MESSAGE_ID[:size]

    envelope = keys.new_envelope(version, data_key, random, plaintext_size=45)

    assert asked == [12 if version == 2 else 28]
    assert envelope.commitment == (None if version == 2 else samples.commitment())
    assert metadata.parse(metadata.write_metadata(envelope)).description == data_key.description
    assert bytes(data_key.plaintext.view()) == DATA_KEY


@pytest.mark.parametrize("broken", [bytes, lambda size: bytes([1]) * (size - 1), lambda size: b""])
def test_envelope_when_the_random_source_is_broken_then_none_is_made(broken: object) -> None:
    assert callable(broken)
    data_key = S3ecDataKey(SecretBytes(DATA_KEY), b"wrapped", WrapAlgorithm.KMS_CONTEXT, {})

    for version in (2, 3):
        with pytest.raises(ConfigurationError):
            keys.new_envelope(version, data_key, broken)


@pytest.mark.parametrize("make", [samples.v2, samples.v3])
def test_body_when_changed_anywhere_then_every_error_is_the_same(make: object) -> None:
    assert callable(make)
    sample, texts = make(), set()
    stored = sample.stored
    changed = [stored[:at] + bytes([stored[at] ^ 1]) + stored[at + 1 :] for at in (0, 20, len(stored) - 17, -16 + 61)]
    cut = [stored[:-1], stored[:-16], stored[:16], stored[:15], b"", stored[1:], stored[16:]]
    grown = [stored + b"\0", stored + stored[-16:], b"\0" + stored, stored[-16:] + stored[:-16]]

    for body in itertools.chain(changed, cut, grown, [samples.gcm(b"another", version=2, data_key=bytes(32))]):
        with pytest.raises(S3ecDecryptionError) as caught:
            samples.read(dataclasses.replace(sample, stored=body), CountingKeyring())
        assert caught.value.__cause__ is None
        assert caught.value.__suppress_context__ or caught.value.__context__ is None
        texts.add(str(caught.value))
    assert len(texts) == 1


def test_iv_of_v2_when_changed_then_the_object_does_not_open() -> None:
    other = bytes([IV[0] ^ 1]) + IV[1:]

    with pytest.raises(S3ecDecryptionError):
        samples.read(samples.v2().edited({"x-amz-iv": b64(other)}), CountingKeyring())
