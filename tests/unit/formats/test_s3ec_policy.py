"""What the configuration allows, decided on the parsed value before any key is asked for."""

from __future__ import annotations

import dataclasses
import itertools
import json
from collections.abc import Mapping, Sequence

import pytest

from s3envelope.core.context import EncryptionContext
from s3envelope.errors import (
    ConfigurationError,
    ContextMismatchError,
    EnvelopeError,
    MalformedEnvelopeError,
    NotEncryptedError,
    S3EnvelopeError,
    UnsupportedFormatError,
)
from s3envelope.formats import names
from s3envelope.formats.s3ec import metadata, policy
from s3envelope.formats.s3ec.model import ContentAlgorithm, S3ecEnvelope, WrapAlgorithm
from tests.support import s3ec_samples as samples
from tests.support.s3ec_samples import EVERYTHING, PLAINTEXT, CountingKeyring, Sample, b64

ARN = "arn:aws:kms:us-east-1:111122223333:key/12345678-1234-1234-1234-123456789012"
NEEDED = [
    (3, ContentAlgorithm.GCM_COMMITTED, WrapAlgorithm.AES_GCM, ["s3ec-v3"]),
    (3, ContentAlgorithm.GCM_COMMITTED, WrapAlgorithm.KMS_CONTEXT, ["s3ec-v3"]),
    (3, ContentAlgorithm.GCM_COMMITTED, WrapAlgorithm.RSA_OAEP_SHA1, ["s3ec-v3"]),
    (2, ContentAlgorithm.GCM, WrapAlgorithm.AES_GCM, ["s3ec-v2"]),
    (2, ContentAlgorithm.GCM, WrapAlgorithm.KMS_CONTEXT, ["s3ec-v2"]),
    (2, ContentAlgorithm.GCM, WrapAlgorithm.RSA_OAEP_SHA1, ["s3ec-v2"]),
    (2, ContentAlgorithm.GCM, WrapAlgorithm.KMS, ["s3ec-v2", "s3ec-kms"]),
    (2, ContentAlgorithm.CBC, WrapAlgorithm.KMS, ["s3ec-v2", "s3ec-cbc", "s3ec-kms"]),
    (2, ContentAlgorithm.GCM, WrapAlgorithm.AES_WRAP, ["s3ec-v2", "s3ec-aes-wrap"]),
    (2, ContentAlgorithm.GCM, WrapAlgorithm.RSA_OAEP_SHA256, ["s3ec-v2", "s3ec-rsa-oaep-sha256"]),
    (1, ContentAlgorithm.CBC, WrapAlgorithm.AES_ECB, ["s3ec-v1", "s3ec-cbc", "s3ec-aes-ecb"]),
    (1, ContentAlgorithm.CBC, WrapAlgorithm.RSA_PKCS1, ["s3ec-v1", "s3ec-cbc", "s3ec-rsa-pkcs1"]),
]
OUR_CONTEXT = {"tenant": "acme"}
STORED_V2 = {"tenant": "acme", "aws:x-amz-cek-alg": "AES/GCM/NoPadding"}
STORED_V3 = {"tenant": "acme", "aws:x-amz-cek-alg": "115"}


def _envelope(version: int, content: ContentAlgorithm, wrap: WrapAlgorithm) -> S3ecEnvelope:
    commitment = bytes(28) if version == 3 else None
    return S3ecEnvelope(version, content, wrap, b"wrapped", bytes(12), commitment, {})


def _refused(
    sample: Sample, *, read_formats: Sequence[str] = EVERYTHING, context: Mapping[str, str] | None = None
) -> S3EnvelopeError:
    """Return the error of an object that must be refused before any key is asked for."""
    keyring = CountingKeyring()

    with pytest.raises(S3EnvelopeError) as caught:
        samples.read(sample, keyring, read_formats=read_formats, context=context)

    assert keyring.call_count == 0
    return caught.value


@pytest.mark.parametrize(("version", "content", "wrap", "needed"), NEEDED)
def test_format_when_only_some_of_its_names_are_there_then_exactly_the_others_are_asked_for(
    version: int, content: ContentAlgorithm, wrap: WrapAlgorithm, needed: list[str]
) -> None:
    envelope = _envelope(version, content, wrap)

    assert list(policy.needed_names(envelope)) == needed
    policy.FormatPolicy(needed).check(envelope)
    for count in range(len(needed)):
        for given in itertools.combinations(needed, count):
            missing = [name for name in needed if name not in given]
            others = [name for name in EVERYTHING if name not in needed]
            with pytest.raises(UnsupportedFormatError) as caught:
                policy.FormatPolicy([*given, *others]).check(envelope)
            assert str(caught.value).partition("add ")[2] == f"{', '.join(map(repr, missing))} to read it"


def test_formats_when_all_are_tried_then_the_table_above_has_every_legacy_name() -> None:
    named = {name for *_, needed in NEEDED for name in needed}

    assert named == set(names.READ_FORMATS) - {names.SE1}


@pytest.mark.parametrize(
    ("sample", "read_formats"),
    [
        (samples.v2(), ["se1", "s3ec-v3"]),
        (samples.v2_kms(), ["s3ec-v3"]),
        (samples.v3(), ["se1", "s3ec-v2"]),
        (samples.v3_kms(), ["s3ec-v2", *names.LEGACY_FORMATS]),
        (samples.v1(), ["s3ec-v3", "s3ec-v2"]),
        (samples.v2_key_wrap(), ["s3ec-v3", "s3ec-v2"]),
        (samples.v2_kms({"kms_cmk_id": ARN}, wrap="kms"), ["s3ec-v3", "s3ec-v2"]),
    ],
)
def test_object_when_its_format_is_not_named_then_no_key_is_asked_for(sample: Sample, read_formats: list[str]) -> None:
    assert isinstance(_refused(sample, read_formats=read_formats), UnsupportedFormatError)


def test_object_when_it_is_plain_then_no_key_is_asked_for() -> None:
    assert isinstance(_refused(Sample({"title": "report"}, PLAINTEXT)), NotEncryptedError)


@pytest.mark.parametrize("wrap", [wrap for wrap in WrapAlgorithm if wrap not in metadata.V3_WRAPS.values()])
def test_v3_when_its_wrap_algorithm_is_a_legacy_one_then_no_name_allows_it(wrap: WrapAlgorithm) -> None:
    envelope = _envelope(3, ContentAlgorithm.GCM_COMMITTED, wrap)

    with pytest.raises(MalformedEnvelopeError):
        policy.FormatPolicy(EVERYTHING).check(envelope)


def test_version_when_content_and_commitment_do_not_belong_to_it_then_no_name_allows_it() -> None:
    v3 = _envelope(3, ContentAlgorithm.GCM_COMMITTED, WrapAlgorithm.AES_GCM)
    v2 = _envelope(2, ContentAlgorithm.GCM, WrapAlgorithm.AES_GCM)

    for envelope in (
        dataclasses.replace(v3, commitment=None),
        dataclasses.replace(v3, content=ContentAlgorithm.GCM),
        dataclasses.replace(v3, content=ContentAlgorithm.CBC),
        dataclasses.replace(v2, commitment=bytes(28)),
        dataclasses.replace(v2, content=ContentAlgorithm.GCM_COMMITTED),
    ):
        with pytest.raises(MalformedEnvelopeError):
            policy.FormatPolicy(EVERYTHING).check(envelope)


@pytest.mark.parametrize(
    "edits",
    [
        {"x-amz-w": "kms"},
        {"x-amz-w": "kms", "x-amz-matdesc": json.dumps({"kms_cmk_id": ARN})},
        {"x-amz-w": None, "x-amz-wrap-alg": "kms"},
        {"x-amz-w": None, "x-amz-wrap-alg": "kms", "x-amz-t": None, "x-amz-matdesc": json.dumps(STORED_V3)},
    ],
)
def test_v3_when_its_kms_wrap_is_changed_to_the_older_one_then_it_is_refused(edits: dict[str, str | None]) -> None:
    for context in ({}, OUR_CONTEXT):
        assert isinstance(_refused(samples.v3_kms(STORED_V3).edited(edits), context=context), EnvelopeError)


def test_v2_when_its_kms_wrap_is_changed_to_the_older_one_then_its_context_is_still_checked() -> None:
    downgraded = samples.v2_kms(STORED_V2, wrap="kms")

    for context in ({}, OUR_CONTEXT, {"tenant": "other"}):
        assert isinstance(_refused(downgraded, context=context), MalformedEnvelopeError)


@pytest.mark.parametrize(
    ("stored", "context"),
    [
        ({"tenant": "acme"}, {}),
        ({"tenant": "acme"}, {"tenant": "other"}),
        ({}, OUR_CONTEXT),
        ({"kms_cmk_id": ARN}, OUR_CONTEXT),
        ({"kms_cmk_id": ARN, "tenant": "other"}, OUR_CONTEXT),
    ],
)
def test_legacy_kms_when_its_context_is_not_the_expected_one_then_it_is_refused(
    stored: dict[str, str], context: dict[str, str]
) -> None:
    assert isinstance(_refused(samples.v2_kms(stored, wrap="kms"), context=context), ContextMismatchError)


@pytest.mark.parametrize("stored", [{"kms_cmk_id": ARN}, {}])
def test_legacy_kms_when_only_its_key_is_stored_then_it_is_read_without_a_context(stored: dict[str, str]) -> None:
    assert samples.read(samples.v2_kms(stored, wrap="kms"), CountingKeyring()) == PLAINTEXT
    entries = {**stored, **OUR_CONTEXT}
    assert samples.read(samples.v2_kms(entries, wrap="kms"), CountingKeyring(), context=OUR_CONTEXT) == PLAINTEXT


@pytest.mark.parametrize(
    "edits",
    [
        {"x-amz-cek-alg": None},
        {"x-amz-wrap-alg": None},
        {"x-amz-wrap-alg": "AESWrap"},
        {"x-amz-wrap-alg": "AES"},
        {"x-amz-wrap-alg": "RSA"},
        {"x-amz-wrap-alg": ""},
        {"x-amz-wrap-alg": "aes/gcm"},
        {"x-amz-cek-alg": "AES/CTR/NoPadding"},
        {"x-amz-cek-alg": "AES/CBC/PKCS5Padding"},
        {"x-amz-cek-alg": "115"},
        {"x-amz-key": None, "x-amz-cek-alg": None, "x-amz-wrap-alg": None},
    ],
)
def test_v2_when_an_algorithm_is_removed_or_changed_then_no_name_allows_it(edits: dict[str, str | None]) -> None:
    assert isinstance(_refused(samples.v2().edited(edits)), EnvelopeError)


@pytest.mark.parametrize(
    "context",
    [
        {},
        {"tenant": "other"},
        {"tenant": "acme", "more": "x"},
        {"Tenant": "acme"},
        {"tenant": "acme "},
        {"more": "x"},
    ],
)
@pytest.mark.parametrize("sample", [samples.v2_kms(STORED_V2), samples.v3_kms(STORED_V3)])
def test_context_when_it_is_not_the_stored_one_then_no_key_is_asked_for(
    sample: Sample, context: dict[str, str]
) -> None:
    error = _refused(sample, context=context)

    assert isinstance(error, ContextMismatchError)
    assert "acme" not in str(error)
    assert "other" not in str(error)


@pytest.mark.parametrize("sample", [samples.v2_kms(STORED_V2), samples.v3_kms(STORED_V3)])
def test_context_when_it_is_the_stored_one_then_the_object_is_read(sample: Sample) -> None:
    for context in (OUR_CONTEXT, EncryptionContext(OUR_CONTEXT)):
        assert samples.read(sample, CountingKeyring(), context=context) == PLAINTEXT


def test_context_when_nothing_is_stored_but_expected_then_no_key_is_asked_for() -> None:
    for sample in (samples.v2_kms(), samples.v3_kms()):
        assert isinstance(_refused(sample, context=OUR_CONTEXT), ContextMismatchError)


def test_context_when_a_key_id_is_injected_then_it_does_not_count_as_an_entry() -> None:
    """KMS refuses it later, for the context is not the one of the key: see the tests with a key service."""
    sample = samples.v3_kms({**STORED_V3, "kms_cmk_id": ARN})

    assert samples.read(sample, CountingKeyring(), context=OUR_CONTEXT) == PLAINTEXT


@pytest.mark.parametrize("reserved", ["aws:x-amz-cek-alg", "kms_cmk_id"])
def test_context_when_the_caller_gives_a_reserved_entry_then_it_is_refused(reserved: str) -> None:
    for sample in (samples.v2_kms(STORED_V2), samples.v3_kms(STORED_V3), samples.v3()):
        error = _refused(sample, context={**OUR_CONTEXT, reserved: "115"})
        assert isinstance(error, ConfigurationError)


@pytest.mark.parametrize("named", ["115", "AES/GCM/NoPadding", "AES/CBC/PKCS5Padding", "aes/gcm/nopadding", "", None])
def test_context_when_it_names_another_content_algorithm_then_no_key_is_asked_for(named: str | None) -> None:
    entries = OUR_CONTEXT if named is None else {**OUR_CONTEXT, "aws:x-amz-cek-alg": named}

    for sample, right in ((samples.v2_kms(entries), "AES/GCM/NoPadding"), (samples.v3_kms(entries), "115")):
        if named != right:
            assert isinstance(_refused(sample, context=OUR_CONTEXT), ContextMismatchError)


def test_context_when_the_key_is_raw_then_none_can_be_expected() -> None:
    described = samples.v3().edited({"x-amz-m": json.dumps(OUR_CONTEXT)})

    for sample in (samples.v1(), samples.v2(), samples.v3(), described):
        assert isinstance(_refused(sample, context=OUR_CONTEXT), ContextMismatchError)


def test_data_key_of_this_library_when_passed_off_as_of_kms_then_no_context_can_expect_it() -> None:
    """An encrypted data key of SE1 has an entry that no caller's context may have."""
    sample = samples.v2_kms({"s3envelope": "SE1"}, wrap="kms")

    assert isinstance(_refused(sample), ContextMismatchError)
    with pytest.raises(ConfigurationError):
        EncryptionContext({"s3envelope": "SE1"})


def test_wrapped_key_when_v2_is_renamed_to_v1_then_no_aes_key_reads_it() -> None:
    renamed = {"x-amz-key-v2": None, "x-amz-key": b64(bytes(60))}

    assert isinstance(_refused(samples.v2().edited(renamed)), MalformedEnvelopeError)
