"""The Amazon formats: what is written is read, and no exception but this library's for anything that is stored."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from s3envelope.core.secret import SecretBytes
from s3envelope.errors import MalformedEnvelopeError, S3ecDecryptionError, S3EnvelopeError
from s3envelope.formats import names
from s3envelope.formats.s3ec import metadata, policy
from s3envelope.formats.s3ec.bodies import MessageOpener, MessageSealer, ctr_range
from s3envelope.formats.s3ec.descriptions import parse_description, write_description
from s3envelope.formats.s3ec.model import ContentAlgorithm, S3ecEnvelope, WrapAlgorithm
from s3envelope.keyrings.s3ec_aes import S3ecAesKeyring
from tests.support import s3ec_samples as samples
from tests.support.s3ec_samples import DATA_KEY, WRAPPING_KEY, CountingKeyring, Sample

KEY = SecretBytes(DATA_KEY)
KEYRING = S3ecAesKeyring(WRAPPING_KEY)
SAMPLES = [samples.v1(), samples.v2(), samples.v3(), samples.v2_kms(), samples.v3_kms(), samples.v2_key_wrap()]
WRAPPED_SIZES = {WrapAlgorithm.AES_GCM: 60, WrapAlgorithm.KMS_CONTEXT: 184, WrapAlgorithm.RSA_OAEP_SHA1: 256}

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
descriptions = st.dictionaries(texts, texts, max_size=5)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=4,
)
field_names = st.sampled_from([*sorted(metadata.RESERVED_NAMES), "X-Amz-Key-V2", "X-AMZ-3", "title"])
field_values = st.one_of(
    st.text(max_size=30),
    st.binary(max_size=70).map(samples.b64),
    json_values.map(json.dumps),
    st.sampled_from(sorted({value for sample in SAMPLES for value in sample.metadata.values()})),
    st.sampled_from(["115", "114", "12", "02", "22", "128", "96", "", "kms", "AES/CBC/PKCS5Padding", "AESWrap", "RSA"]),
)
fields = st.dictionaries(field_names, field_values, max_size=10)


@st.composite
def envelopes(draw: st.DrawFn) -> S3ecEnvelope:
    """Return an envelope of a version that is written."""
    version = draw(st.sampled_from([2, 3]))
    wrap = draw(st.sampled_from(sorted(WRAPPED_SIZES, key=lambda each: each.value)))
    size = 12 if version == 2 else 28
    return S3ecEnvelope(
        version=version,
        content=ContentAlgorithm.GCM if version == 2 else ContentAlgorithm.GCM_COMMITTED,
        wrap=wrap,
        encrypted_data_key=draw(st.binary(min_size=WRAPPED_SIZES[wrap], max_size=WRAPPED_SIZES[wrap])),
        iv=draw(st.binary(min_size=size, max_size=size).filter(any)),
        commitment=None if version == 2 else draw(st.binary(min_size=28, max_size=28)),
        description=draw(descriptions),
        plaintext_size=draw(st.none() | st.integers(0, 1 << 36)) if version == 2 else None,
    )


@given(envelopes())
def test_envelope_when_written_then_it_is_parsed_to_itself(envelope: S3ecEnvelope) -> None:
    written = metadata.write_metadata(envelope)
    kept, content = metadata.write_instruction_file(envelope)

    assert metadata.parse(written) == envelope
    assert metadata.parse({name.upper(): value for name, value in written.items()}) == envelope
    assert metadata.parse(kept, content) == dataclasses.replace(envelope, has_instruction_file=True)
    assert all(value.isascii() for value in written.values())
    assert policy.needed_names(envelope) == (f"s3ec-v{envelope.version}",)


@given(envelopes(), st.data())
def test_envelope_when_a_field_is_taken_from_another_version_then_it_is_refused(
    envelope: S3ecEnvelope, data: st.DataObject
) -> None:
    other = samples.v3() if envelope.version == 2 else samples.v2()
    name = data.draw(st.sampled_from(sorted(other.metadata)))

    with pytest.raises(MalformedEnvelopeError):
        metadata.parse({**metadata.write_metadata(envelope), name: other.metadata[name]})


@given(fields, st.none() | st.binary(max_size=100) | fields.map(lambda each: json.dumps(each).encode()))
def test_metadata_when_it_is_anything_then_it_is_an_envelope_or_refused(
    stored: dict[str, str], instruction: bytes | None
) -> None:
    metadata.is_s3ec_metadata(stored)
    keyring = CountingKeyring()

    with contextlib.suppress(S3EnvelopeError):
        envelope = metadata.parse(stored, instruction)
        assert len(envelope.iv) == metadata.IV_SIZES[envelope.content]
        assert (envelope.version == 3) == (envelope.content is ContentAlgorithm.GCM_COMMITTED)
        assert (envelope.version == 3) == (envelope.commitment is not None)
        assert envelope.encrypted_data_key
        assert not envelope.has_instruction_file or instruction is not None
    with contextlib.suppress(S3EnvelopeError):
        samples.read(Sample(stored, b"x" * 64, instruction), keyring)
        raise AssertionError("nothing that was not sealed opens")


@given(st.sampled_from(SAMPLES), fields)
def test_envelope_when_fields_of_it_are_changed_then_the_plaintext_comes_or_nothing(
    sample: Sample, edits: dict[str, str]
) -> None:
    edited = dataclasses.replace(sample, metadata={**sample.metadata, **edits})

    with contextlib.suppress(S3EnvelopeError):
        read = samples.read(edited, KEYRING, read_formats=[names.S3EC_V2, names.S3EC_V3])
        assert read == samples.PLAINTEXT


@given(descriptions)
def test_description_when_written_then_it_is_parsed_to_itself(entries: dict[str, str]) -> None:
    assert parse_description(write_description(entries), "x") == entries


@given(st.dictionaries(texts, texts, min_size=1, max_size=5))
def test_description_when_a_storage_encodes_it_then_it_is_parsed_to_itself(entries: dict[str, str]) -> None:
    raw = json.dumps(entries, ensure_ascii=False).encode()
    twice = raw.decode("latin-1").encode()

    assert parse_description(f"=?UTF-8?B?{base64.b64encode(twice).decode()}?=", "x") == entries


@given(st.one_of(st.text(max_size=60), json_values.map(json.dumps), st.text(max_size=20).map("=?UTF-8?Q?{}?=".format)))
def test_description_when_it_is_anything_then_it_is_text_or_refused(text: str) -> None:
    with contextlib.suppress(MalformedEnvelopeError):
        entries = parse_description(text, "x")
        assert all(isinstance(part, str) for entry in entries.items() for part in entry)
        assert parse_description(write_description(entries), "x") == entries


@given(st.sampled_from([samples.v2, samples.v3]), st.binary(max_size=200), st.lists(st.integers(0, 60), max_size=8))
def test_body_when_cut_anywhere_then_it_is_sealed_and_opened_alike(
    make: object, plaintext: bytes, steps: list[int]
) -> None:
    assert callable(make)
    sample = make(plaintext)
    envelope = metadata.parse(sample.metadata)
    sealer, opener = MessageSealer(envelope, KEY), MessageOpener(envelope, KEY)
    ends = sorted({min(sum(steps[:count]), len(plaintext)) for count in range(len(steps) + 1)} | {len(plaintext)})

    sealed = [sealer.update(plaintext[start:end]) for start, end in zip([0, *ends], ends, strict=False)]
    opened = [opener.update(piece) for piece in sealed]

    assert b"".join(sealed) + sealer.finalize() == sample.stored
    assert b"".join(opened) + opener.finalize(sample.stored[-16:]) == plaintext


@given(st.sampled_from([samples.v2, samples.v3]), st.binary(min_size=1, max_size=100), st.integers(0, 120), st.data())
def test_body_when_a_byte_changes_then_it_does_not_open(
    make: object, plaintext: bytes, position: int, data: st.DataObject
) -> None:
    assert callable(make)
    sample = make(plaintext)
    position %= len(sample.stored)
    other = data.draw(st.integers(1, 255))
    changed = bytearray(sample.stored)
    changed[position] ^= other

    with pytest.raises(S3ecDecryptionError):
        samples.read(dataclasses.replace(sample, stored=bytes(changed)), CountingKeyring())


@given(st.sampled_from([samples.v2, samples.v3]), st.binary(max_size=300), st.integers(0, 300), st.integers(0, 40))
def test_range_when_read_at_any_offset_then_it_is_that_of_the_message(
    make: object, plaintext: bytes, offset: int, step: int
) -> None:
    assert callable(make)
    offset = min(offset, len(plaintext))
    sample = make(plaintext)
    stream = ctr_range(metadata.parse(sample.metadata), KEY, offset)
    ciphertext = sample.stored[:-16]

    first = stream.update(ciphertext[offset : offset + step])

    assert first + stream.update(ciphertext[offset + step :]) == plaintext[offset:]


@given(st.binary(max_size=100))
def test_cbc_when_it_is_any_bytes_then_it_opens_to_its_blocks_or_not_at_all(stored: bytes) -> None:
    with contextlib.suppress(S3ecDecryptionError):
        read = samples.read(dataclasses.replace(samples.v1(), stored=stored), CountingKeyring())
        assert len(stored) - 16 <= len(read) < len(stored)
