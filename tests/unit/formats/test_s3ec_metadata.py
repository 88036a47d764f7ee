"""The metadata of the Amazon formats: what is read, what is written, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pytest

from s3envelope.errors import MalformedEnvelopeError, NotEncryptedError, S3EnvelopeError
from s3envelope.formats.s3ec import metadata
from s3envelope.formats.s3ec.model import ContentAlgorithm, S3ecEnvelope, WrapAlgorithm
from s3envelope.keyrings.s3ec_aes import S3ecAesKeyring
from tests.support import s3ec_samples as samples
from tests.support.s3ec_samples import IV, MESSAGE_ID, CountingKeyring, Sample, b64

Edits = Mapping[str, str | None]
ARN = "arn:aws:kms:us-east-1:111122223333:key/12345678-1234-1234-1234-123456789012"


def _refused(sample: Sample) -> S3EnvelopeError:
    """Return the error of an object that must be refused before any key is asked for."""
    keyring = CountingKeyring()

    with pytest.raises((MalformedEnvelopeError, NotEncryptedError)) as caught:
        samples.read(sample, keyring)

    assert keyring.call_count == 0
    return caught.value


@pytest.mark.parametrize("make", [samples.v1, samples.v2, samples.v2_key_wrap, samples.v3])
@pytest.mark.parametrize("size", [0, 1, 15, 16, 17, 65535, 65536, 65537])
def test_object_when_made_without_this_library_then_it_is_read(make: object, size: int) -> None:
    plaintext = bytes(index % 251 for index in range(size))
    assert callable(make)

    read = samples.read(make(plaintext), S3ecAesKeyring(samples.WRAPPING_KEY))

    assert read == plaintext


def test_metadata_when_of_the_official_python_client_then_it_is_parsed() -> None:
    python_v3 = {
        "x-amz-c": "115",
        "x-amz-3": b64(b"blob"),
        "x-amz-t": '{"a": "b", "aws:x-amz-cek-alg": "115"}',
        "x-amz-w": "12",
        "x-amz-d": b64(bytes(range(28))),
        "x-amz-i": b64(MESSAGE_ID),
    }

    assert metadata.parse(python_v3) == S3ecEnvelope(
        version=3,
        content=ContentAlgorithm.GCM_COMMITTED,
        wrap=WrapAlgorithm.KMS_CONTEXT,
        encrypted_data_key=b"blob",
        iv=MESSAGE_ID,
        commitment=bytes(range(28)),
        description={"a": "b", "aws:x-amz-cek-alg": "115"},
    )


def test_metadata_when_of_the_ruby_client_then_it_is_parsed() -> None:
    ruby_kms = {
        "x-amz-key-v2": b64(b"blob"),
        "x-amz-iv": b64(bytes(16)),
        "x-amz-cek-alg": "AES/CBC/PKCS5Padding",
        "x-amz-wrap-alg": "kms",
        "x-amz-matdesc": json.dumps({"kms_cmk_id": ARN}),
        "x-amz-unencrypted-content-length": "11",
        "x-amz-unencrypted-content-md5": "an old leak, not looked at",
    }

    parsed = metadata.parse(ruby_kms)

    assert (parsed.version, parsed.content, parsed.wrap) == (2, ContentAlgorithm.CBC, WrapAlgorithm.KMS)
    assert parsed.description == {"kms_cmk_id": ARN}
    assert parsed.plaintext_size == 11


def test_metadata_when_of_the_go_client_then_the_empty_description_and_size_are_taken() -> None:
    go = samples.v3_kms().edited({"x-amz-m": "", "x-amz-unencrypted-content-length": ""})

    parsed = metadata.parse(go.metadata)

    assert parsed.description == {"aws:x-amz-cek-alg": "115"}
    assert parsed.plaintext_size is None


@pytest.mark.parametrize(("size", "wrap"), [(48, WrapAlgorithm.AES_ECB), (256, WrapAlgorithm.RSA_PKCS1)])
def test_v1_when_it_names_no_wrap_algorithm_then_the_length_tells(size: int, wrap: WrapAlgorithm) -> None:
    parsed = metadata.parse(samples.v1().edited({"x-amz-key": b64(bytes(size))}).metadata)

    assert (parsed.version, parsed.wrap, parsed.content) == (1, wrap, ContentAlgorithm.CBC)


@pytest.mark.parametrize("make", [samples.v1, samples.v2, samples.v3])
def test_names_when_the_storage_gives_another_case_then_they_are_the_same(make: object) -> None:
    assert callable(make)
    sample = make()
    titled = {name.title(): value for name, value in sample.metadata.items()}

    assert metadata.parse(titled) == metadata.parse(sample.metadata)
    assert metadata.is_s3ec_metadata(titled)


def test_names_when_one_is_there_in_two_cases_then_it_is_refused() -> None:
    _refused(samples.v2().edited({"X-Amz-Iv": b64(IV)}))


@pytest.mark.parametrize("names", ["c", "d", "i", "w", "m", "t", "cdi", "cdiw", "3", "3cdiwmt"])
def test_v2_when_it_has_a_marker_of_v3_then_it_is_refused(names: str) -> None:
    marks = {f"x-amz-{letter}": samples.v3().metadata.get(f"x-amz-{letter}", "{}") for letter in names}

    error = _refused(samples.v2().edited(marks))

    assert isinstance(error, MalformedEnvelopeError)


@pytest.mark.parametrize("make", [samples.v1, samples.v2, samples.v3])
@pytest.mark.parametrize("other", ["x-amz-key", "x-amz-key-v2", "x-amz-3"])
def test_object_when_it_has_data_keys_of_two_versions_then_it_is_refused(make: object, other: str) -> None:
    assert callable(make)
    sample = make()
    if other in sample.metadata:
        sample = sample.edited({"x-amz-key-v2": b64(bytes(60)), "x-amz-key": b64(bytes(48))})

    error = _refused(sample.edited({other: b64(bytes(60))}))

    assert isinstance(error, MalformedEnvelopeError)


@pytest.mark.parametrize("make", [samples.v3, samples.v3_kms])
@pytest.mark.parametrize("missing", ["c", "3", "w", "d", "i"])
def test_v3_when_a_field_is_missing_then_it_is_refused(make: object, missing: str) -> None:
    assert callable(make)

    _refused(make().edited({f"x-amz-{missing}": None}))


@pytest.mark.parametrize("missing", ["x-amz-key-v2", "x-amz-iv", "x-amz-cek-alg", "x-amz-wrap-alg", "x-amz-tag-len"])
def test_v2_when_a_field_is_missing_then_it_is_refused(missing: str) -> None:
    _refused(samples.v2().edited({missing: None}))


@pytest.mark.parametrize("version", ["114", "116", "112", "0x73", "115 ", "", "0115"])
def test_v3_when_its_content_algorithm_is_another_then_it_is_refused(version: str) -> None:
    _refused(samples.v3().edited({"x-amz-c": version}))


@pytest.mark.parametrize("wrap", ["11", "2", "kms", "kms+context", "AES/GCM", "", "21", "01", "002"])
def test_v3_when_its_wrap_algorithm_is_another_then_it_is_refused(wrap: str) -> None:
    _refused(samples.v3().edited({"x-amz-w": wrap}))


@pytest.mark.parametrize("name", ["x-amz-d", "x-amz-i"])
@pytest.mark.parametrize("value", ["", b64(bytes(range(27))), b64(bytes(range(29))), "not base64", "====", "QQ==\n"])
def test_v3_when_its_commitment_or_message_id_is_no_28_bytes_then_it_is_refused(name: str, value: str) -> None:
    _refused(samples.v3().edited({name: value}))


def test_v3_when_its_message_id_is_zero_then_it_is_refused() -> None:
    _refused(samples.v3().edited({"x-amz-i": b64(bytes(28))}))


@pytest.mark.parametrize("length", ["96", "0", "", "127", "0128", "128.0", " 128", "1024", None])
def test_tag_length_when_it_is_not_128_with_gcm_then_it_is_refused(length: str | None) -> None:
    _refused(samples.v2().edited({"x-amz-tag-len": length}))


@pytest.mark.parametrize("length", ["128", "0", "96"])
def test_tag_length_when_it_is_given_with_cbc_then_it_is_refused(length: str) -> None:
    edits = {"x-amz-iv": b64(bytes(16)), "x-amz-cek-alg": "AES/CBC/PKCS5Padding", "x-amz-wrap-alg": "kms"}
    sample = samples.v2().edited({**edits, "x-amz-matdesc": "{}"})

    assert metadata.parse(sample.edited({"x-amz-tag-len": ""}).metadata).content is ContentAlgorithm.CBC
    _refused(sample.edited({"x-amz-tag-len": length}))


@pytest.mark.parametrize("wrap", ["kms+context", "AES/GCM", "RSA-OAEP-SHA1"])
def test_cbc_when_with_a_wrap_algorithm_that_binds_gcm_then_it_is_refused(wrap: str) -> None:
    edits: Edits = {"x-amz-iv": b64(bytes(16)), "x-amz-cek-alg": "AES/CBC/PKCS5Padding", "x-amz-tag-len": None}

    _refused(samples.v2().edited({**edits, "x-amz-wrap-alg": wrap}))


@pytest.mark.parametrize("size", [0, 11, 13, 15, 16, 17])
def test_iv_when_of_another_length_with_gcm_then_it_is_refused(size: int) -> None:
    _refused(samples.v2().edited({"x-amz-iv": b64(bytes(size))}))


@pytest.mark.parametrize("size", [0, 12, 15, 17, 32])
def test_iv_when_of_another_length_with_cbc_then_it_is_refused(size: int) -> None:
    _refused(samples.v1().edited({"x-amz-iv": b64(bytes(size))}))


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: text + " ",
        lambda text: " " + text,
        lambda text: text + "\n",
        lambda text: text[:4] + "\n" + text[4:],
        lambda text: text[:4] + "!" + text[4:],
        lambda text: text[:-1],
        lambda text: text + "=",
        lambda text: text + "AAAA=AAA",
        lambda text: text.replace("A", "-", 1).replace("B", "_", 1) + "-",
        lambda text: text[:-1] + "\u00e9",
        lambda text: "",
    ],
)
@pytest.mark.parametrize("name", ["x-amz-key-v2", "x-amz-iv"])
def test_base64_when_it_is_not_strict_then_it_is_refused(name: str, spoil: object) -> None:
    assert callable(spoil)

    _refused(samples.v2().edited({name: spoil(samples.v2().metadata[name])}))


def test_base64_when_the_unused_bits_are_set_then_it_is_refused() -> None:
    canonical = b64(bytes(16))
    assert canonical.endswith("A==")

    _refused(samples.v1().edited({"x-amz-iv": canonical[:-3] + "B=="}))


@pytest.mark.parametrize("size", [1, 39, 41, 59, 61])
def test_data_key_when_its_length_is_not_that_of_the_wrap_algorithm_then_it_is_refused(size: int) -> None:
    _refused(samples.v2().edited({"x-amz-key-v2": b64(bytes(size))}))
    _refused(samples.v2_key_wrap().edited({"x-amz-key-v2": b64(bytes(size))}))
    _refused(samples.v3().edited({"x-amz-3": b64(bytes(size))}))


def test_data_key_when_longer_than_kms_takes_then_it_is_refused() -> None:
    assert metadata.parse(samples.v2_kms(wrapped=bytes(6144)).metadata).wrap is WrapAlgorithm.KMS_CONTEXT
    _refused(samples.v2_kms(wrapped=bytes(6145)))


@pytest.mark.parametrize("fields", [{}, {"title": "report"}, {"x-amz-meta": "v"}, {"x-amz-keys": "v"}])
def test_object_when_it_is_not_encrypted_then_that_is_said(fields: dict[str, str]) -> None:
    error = _refused(Sample(fields, b"plain"))

    assert isinstance(error, NotEncryptedError)
    assert "instruction file" in str(error)
    assert not metadata.is_s3ec_metadata(fields)
    assert metadata.may_have_instruction_file(fields)


@pytest.mark.parametrize(
    ("make", "kept"),
    [
        (samples.v1, {"x-amz-iv", "x-amz-matdesc"}),
        (samples.v1, {"x-amz-key"}),
        (samples.v2, {"x-amz-key-v2", "x-amz-cek-alg", "x-amz-wrap-alg"}),
        (samples.v2, {"x-amz-cek-alg"}),
        (samples.v2, {"x-amz-tag-len"}),
        (samples.v3, {"x-amz-3"}),
        (samples.v3, {"x-amz-c", "x-amz-d"}),
        (samples.v3, {"x-amz-c", "x-amz-d", "x-amz-i", "x-amz-w"}),
        (samples.v3, {"x-amz-m"}),
    ],
)
def test_object_when_it_has_half_an_envelope_then_it_is_neither_plain_nor_read(make: object, kept: set[str]) -> None:
    assert callable(make)
    sample = make()
    half = sample.edited({name: None for name in sample.metadata if name not in kept})

    error = _refused(half)

    assert isinstance(error, NotEncryptedError)
    assert "part of an envelope" in str(error)
    assert metadata.is_s3ec_metadata(half.metadata)
    assert not metadata.may_have_instruction_file(half.metadata)


@pytest.mark.parametrize(
    "text",
    [
        "not json",
        "{",
        "[]",
        '["a"]',
        "null",
        '"text"',
        "1",
        '{"a": {"b": "c"}}',
        '{"a": ["b"]}',
        '{"a": 1}',
        '{"a": null}',
        '{"a": true}',
        '{"a": NaN}',
        '{"a": "b", "a": "b"}',
        '{"a": "b", "\\u0061": "c"}',
        '{"a": "\\ud800"}',
        '{"\\udfff": "a"}',
        "{} {}",
        '{"a": "b",}',
        "{'a': 'b'}",
        "\ufeff{}",
        "[" * 60_000,
        '{"a":' * 12_000,
        '{"a": ' + "9" * 10_000 + "}",
        json.dumps({str(number): "" for number in range(10_000)}),
        json.dumps({f"{number:x}": "" for number in range(1_025)}),
        '{"a": "' + "b" * 66_000 + '"}',
    ],
)
def test_description_when_it_is_no_flat_object_of_text_then_it_is_refused(text: str) -> None:
    for sample in (
        samples.v2().edited({"x-amz-matdesc": text}),
        samples.v2_kms().edited({"x-amz-matdesc": text}),
        samples.v3().edited({"x-amz-m": text}),
        samples.v3_kms().edited({"x-amz-t": text}),
    ):
        assert isinstance(_refused(sample), MalformedEnvelopeError)


@pytest.mark.parametrize(("make", "name"), [(samples.v3, "x-amz-t"), (samples.v3_kms, "x-amz-m")])
def test_v3_when_it_has_the_description_of_another_wrap_algorithm_then_it_is_refused(make: object, name: str) -> None:
    assert callable(make)

    for absent in ("", "{}"):
        assert metadata.parse(make().edited({name: absent}).metadata) == metadata.parse(make().metadata)
    _refused(make().edited({name: '{"a":"b"}'}))


@pytest.mark.parametrize("claim", ["-1", "1.0", " 1", "0x1", "1e3", "\u0661", "9" * 16, "None"])
def test_plaintext_size_when_it_is_no_number_then_it_is_refused(claim: str) -> None:
    _refused(samples.v2().edited({"x-amz-unencrypted-content-length": claim}))


def test_envelope_when_longer_than_64_kib_then_it_is_refused() -> None:
    description = json.dumps({"a": "b" * 65_000})

    _refused(samples.v2().edited({"x-amz-matdesc": description, "x-amz-unencrypted-content-md5": "x" * 1000}))


@pytest.mark.parametrize("name", sorted(metadata.RESERVED_NAMES))
def test_name_when_it_is_reserved_then_so_it_is_in_any_case(name: str) -> None:
    assert metadata.is_reserved_name(name)
    assert metadata.is_reserved_name(name.upper())
    assert metadata.is_reserved_name(name.title())
    assert not metadata.is_reserved_name(name + "-2")


def test_name_when_its_lower_case_is_ascii_and_itself_is_not_then_it_is_another() -> None:
    assert "X-AMZ-\u212aEY".lower() == "x-amz-key"
    assert not metadata.is_reserved_name("X-AMZ-\u212aEY")
    assert not metadata.is_s3ec_metadata({"X-AMZ-\u212aEY": "v"})


def test_reserved_names_when_listed_then_they_are_all_of_the_formats() -> None:
    letters = {f"x-amz-{letter}" for letter in "3cwdimt"}
    older = {"key", "key-v2", "iv", "cek-alg", "wrap-alg", "matdesc", "tag-len", "crypto-instr-file"}
    sizes = {"x-amz-unencrypted-content-length", "x-amz-unencrypted-content-md5"}

    assert letters | {f"x-amz-{name}" for name in older} | sizes == metadata.RESERVED_NAMES
