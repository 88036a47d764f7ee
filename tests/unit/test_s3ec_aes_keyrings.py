"""AES keys and several materials for the Amazon formats."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_private_key

from s3envelope import RawAesKeyring, RawRsaKeyring, S3ecAesKeyring, S3ecKeyring, S3ecMaterials
from s3envelope.core.secret import SecretBytes
from s3envelope.errors import (
    ConfigurationError,
    MalformedEnvelopeError,
    NoMatchingKeyError,
    S3ecDecryptionError,
)
from s3envelope.formats.s3ec import keys, metadata
from s3envelope.formats.s3ec.model import ContentAlgorithm, S3ecEnvelope, WrapAlgorithm
from tests.support import s3ec_samples as samples
from tests.support.s3ec_samples import DATA_KEY, JAVA, PLAINTEXT, WRAPPING_KEY, CountingKeyring, b64

V2 = metadata.parse(samples.v2().metadata)
V3 = metadata.parse(samples.v3().metadata)
OTHER_KEY = bytes(reversed(range(32)))
Make = Callable[..., S3ecKeyring]
MAKERS: list[Make] = [S3ecAesKeyring, RawAesKeyring]


def _opened(keyring: S3ecKeyring, envelope: S3ecEnvelope) -> bytes:
    with keyring.open_s3ec_data_key(envelope) as data_key:
        return bytes(data_key.view())


def _written(keyring: S3ecKeyring, version: int) -> tuple[S3ecEnvelope, bytes]:
    """Return (an envelope as it is read again, its data key)."""
    data_key = keyring.make_s3ec_data_key(keys.content_of(version), {})
    envelope = keys.new_envelope(version, data_key, lambda size: b"r" * size)
    return metadata.parse(metadata.write_metadata(envelope)), bytes(data_key.plaintext.view())


@pytest.mark.parametrize("size", [16, 24, 32])
@pytest.mark.parametrize(("name", "like"), [("AES/GCM", V2), ("02", V3), ("AESWrap", V2), ("AES", V2)])
def test_data_key_when_java_wrapped_it_then_it_opens(name: str, like: S3ecEnvelope, size: int) -> None:
    wrap = WrapAlgorithm.AES_GCM if name == "02" else WrapAlgorithm(name)
    envelope = dataclasses.replace(like, wrap=wrap, encrypted_data_key=JAVA[f"{name} {size}"])

    assert _opened(S3ecAesKeyring(WRAPPING_KEY[:size]), envelope) == JAVA["data_key"]


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("version", [2, 3])
def test_data_key_when_made_then_it_opens_and_its_iv_is_fresh(make: Make, version: int) -> None:
    keyring = make(WRAPPING_KEY)
    assert isinstance(keyring, S3ecKeyring)

    (one, data_key), (two, _) = _written(keyring, version), _written(keyring, version)

    assert _opened(keyring, one) == data_key
    assert one.wrap is WrapAlgorithm.AES_GCM
    assert one.encrypted_data_key[:12] != two.encrypted_data_key[:12]
    assert len(one.encrypted_data_key) == 60


def test_data_key_when_made_then_it_is_aes_gcm_bound_to_the_content_algorithm() -> None:
    parts = {32: DATA_KEY, 12: samples.IV}
    keyring = S3ecAesKeyring(WRAPPING_KEY, random=lambda size: bytes(bytearray(parts[size])))

    for content in (ContentAlgorithm.GCM, ContentAlgorithm.GCM_COMMITTED):
        assert keyring.make_s3ec_data_key(content, {}).encrypted == samples.wrapped_gcm(content.value)


def test_data_key_when_it_is_of_another_content_algorithm_then_it_does_not_open() -> None:
    keyring = S3ecAesKeyring(WRAPPING_KEY)

    for like, other in ((V2, V3), (V3, V2)):
        with pytest.raises(S3ecDecryptionError):
            keyring.open_s3ec_data_key(dataclasses.replace(like, encrypted_data_key=other.encrypted_data_key))


@pytest.mark.parametrize("make", [samples.v2, samples.v2_key_wrap, samples.v3, samples.v1])
def test_data_key_when_anything_is_wrong_then_the_error_is_the_same(make: Callable[[], samples.Sample]) -> None:
    envelope = metadata.parse(make().metadata)
    right, texts = envelope.encrypted_data_key, set()
    wrong = [right[:at] + bytes([right[at] ^ 1]) + right[at + 1 :] for at in range(len(right) - 16, len(right))]
    wrong += [right[:-1], right + b"\0", right[16:], bytes(len(right))]

    for encrypted in wrong:
        with pytest.raises(S3ecDecryptionError) as caught:
            S3ecAesKeyring(WRAPPING_KEY).open_s3ec_data_key(dataclasses.replace(envelope, encrypted_data_key=encrypted))
        assert caught.value.__cause__ is None
        texts.add(str(caught.value))
    with pytest.raises(S3ecDecryptionError) as caught:
        S3ecAesKeyring(OTHER_KEY).open_s3ec_data_key(envelope)
    texts.add(str(caught.value))
    assert len(texts) == 1


@pytest.mark.parametrize(
    "padding", [b"\0" * 16, b"\x01" * 16, bytes(15) + b"\x01", b"\x0f" + b"\x10" * 15, b"\x10" * 15 + b"\x11"]
)
def test_ecb_when_its_padding_is_not_one_whole_block_then_it_does_not_open(padding: bytes) -> None:
    sample = samples.v1().edited({"x-amz-key": b64(samples.wrapped_ecb(padding=padding))})

    with pytest.raises(S3ecDecryptionError):
        samples.read(sample, S3ecAesKeyring(WRAPPING_KEY))


@pytest.mark.parametrize("size", [0, 15, 17, 31, 33, 48])
def test_key_when_of_another_length_then_it_is_refused(size: int) -> None:
    with pytest.raises(ConfigurationError, match=str(size)):
        S3ecAesKeyring(bytes(size))


def test_key_when_shorter_than_32_bytes_then_it_is_none_for_se1() -> None:
    for size in (16, 24):
        S3ecAesKeyring(bytes(size))
        with pytest.raises(ConfigurationError):
            RawAesKeyring(bytes(size))


def test_key_when_the_caller_wipes_his_then_the_keyring_keeps_its_own() -> None:
    secret = SecretBytes(WRAPPING_KEY)
    keyring = S3ecAesKeyring(secret)
    secret.wipe()

    assert _opened(keyring, V2) == DATA_KEY
    assert repr(keyring) == "<S3ecAesKeyring of 32 bytes>"


@pytest.mark.parametrize("make", MAKERS)
def test_context_when_it_is_not_empty_then_nothing_is_made(make: Make) -> None:
    with pytest.raises(ConfigurationError, match="tenant") as caught:
        make(WRAPPING_KEY).make_s3ec_data_key(ContentAlgorithm.GCM, {"tenant": "acme"})

    assert "acme" not in str(caught.value)


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("wrap", [WrapAlgorithm.KMS, WrapAlgorithm.KMS_CONTEXT, WrapAlgorithm.RSA_OAEP_SHA1])
def test_object_when_of_another_wrap_algorithm_then_it_is_not_this_keyrings(make: Make, wrap: WrapAlgorithm) -> None:
    with pytest.raises(NoMatchingKeyError):
        make(WRAPPING_KEY).open_s3ec_data_key(dataclasses.replace(V2, wrap=wrap))


@pytest.mark.parametrize("make", MAKERS)
def test_description_when_the_keyring_has_one_then_it_is_written_and_demanded(make: Make) -> None:
    keyring = make(WRAPPING_KEY, material_description={"key": "1"})
    envelope, data_key = _written(keyring, 3)

    assert envelope.description == {"key": "1"}
    assert _opened(keyring, envelope) == data_key
    assert _opened(make(WRAPPING_KEY), envelope) == data_key
    for description in ({}, {"key": "2"}, {"key": "1", "more": "x"}):
        with pytest.raises(NoMatchingKeyError):
            keyring.open_s3ec_data_key(dataclasses.replace(envelope, description=description))


@pytest.mark.parametrize("make", MAKERS)
@pytest.mark.parametrize("description", ["text", 5, {"a": 1}, {1: "a"}, [("a", "b")]])
def test_description_when_it_is_no_mapping_of_text_then_it_is_refused(make: Make, description: object) -> None:
    with pytest.raises(ConfigurationError, match="material_description"):
        make(WRAPPING_KEY, material_description=description)


def test_description_when_the_caller_changes_his_then_the_keyring_keeps_its_own(tmp_path: Path) -> None:
    description = {"key": "1"}
    keyring = RawAesKeyring.from_file(tmp_path / "master.key", material_description=description)
    description["key"] = "2"

    assert keyring.material_description == {"key": "1"}
    assert RawAesKeyring.from_file(tmp_path / "master.key").material_description is None


def test_materials_when_each_has_a_description_then_the_objects_one_opens() -> None:
    old = S3ecAesKeyring(OTHER_KEY, material_description={"year": "2024"})
    new = S3ecAesKeyring(WRAPPING_KEY, material_description={"year": "2025"})
    materials = S3ecMaterials(new, old)

    for keyring in (old, new, materials):
        envelope, data_key = _written(keyring, 3)
        assert _opened(materials, envelope) == data_key
    assert _written(materials, 2)[0].description == {"year": "2025"}
    assert isinstance(materials, S3ecKeyring)
    assert materials.s3ec_wraps == old.s3ec_wraps


def test_materials_when_the_description_is_another_then_no_key_is_tried() -> None:
    materials = S3ecMaterials(S3ecAesKeyring(WRAPPING_KEY, material_description={"year": "2025"}))

    for description in ({}, {"year": "2024"}, {"year": "2025", "more": "x"}):
        with pytest.raises(NoMatchingKeyError):
            materials.open_s3ec_data_key(dataclasses.replace(V2, description=description))


def test_materials_when_one_has_no_description_then_it_opens_what_is_left_wherever_it_stands() -> None:
    described = S3ecAesKeyring(OTHER_KEY, material_description={"year": "2024"})
    materials = S3ecMaterials(S3ecAesKeyring(WRAPPING_KEY), described)
    envelope, data_key = _written(described, 2)

    assert _opened(materials, envelope) == data_key
    assert _opened(materials, V2) == DATA_KEY


def test_materials_when_the_description_is_changed_then_the_chosen_key_fails_and_no_other_is_tried() -> None:
    described = S3ecAesKeyring(OTHER_KEY, material_description={"year": "2024"})
    materials = S3ecMaterials(S3ecAesKeyring(WRAPPING_KEY), described)

    with pytest.raises(S3ecDecryptionError):
        materials.open_s3ec_data_key(dataclasses.replace(V2, description={"year": "2024"}))


def test_materials_when_kinds_are_mixed_then_the_wrap_algorithm_chooses() -> None:
    public = RawRsaKeyring(public_key=_rsa_public_pem())
    materials = S3ecMaterials(public, S3ecAesKeyring(WRAPPING_KEY))

    assert materials.make_s3ec_data_key(ContentAlgorithm.GCM, {}).wrap is WrapAlgorithm.RSA_OAEP_SHA1
    assert samples.read(samples.v2(), materials) == PLAINTEXT
    with pytest.raises(NoMatchingKeyError):
        samples.read(samples.v2_kms(), materials)


def test_materials_when_two_would_open_the_same_objects_then_they_are_refused() -> None:
    one = S3ecAesKeyring(WRAPPING_KEY, material_description={"year": "2025"})
    for two in (
        S3ecAesKeyring(OTHER_KEY, material_description={"year": "2025"}),
        RawAesKeyring(OTHER_KEY, material_description={"year": "2025"}),
    ):
        with pytest.raises(ConfigurationError, match="same objects"):
            S3ecMaterials(one, two)
    with pytest.raises(ConfigurationError, match="same objects"):
        S3ecMaterials(S3ecAesKeyring(WRAPPING_KEY), RawAesKeyring(OTHER_KEY))
    S3ecMaterials(one, S3ecAesKeyring(OTHER_KEY))


@pytest.mark.parametrize("stranger", [None, "keyring", WRAPPING_KEY, object()])
def test_materials_when_one_is_no_keyring_then_it_is_refused(stranger: object) -> None:
    with pytest.raises(ConfigurationError, match=type(stranger).__name__):
        S3ecMaterials(S3ecAesKeyring(WRAPPING_KEY), stranger)  # type: ignore[arg-type]


def test_materials_when_an_object_is_malformed_then_no_key_is_asked_for() -> None:
    counting = CountingKeyring()

    with pytest.raises(MalformedEnvelopeError):
        samples.read(samples.v2().edited({"x-amz-3": b64(bytes(60))}), S3ecMaterials(counting))
    assert counting.call_count == 0


def _rsa_public_pem() -> bytes:
    key = load_der_private_key(JAVA["rsa_private_key"], None)
    assert isinstance(key, RSAPrivateKey)
    return key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
