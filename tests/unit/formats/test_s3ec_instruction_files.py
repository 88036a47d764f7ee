"""Instruction files: which objects may have one, what may stand in it, and what is written to it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping

import pytest

from s3envelope.errors import MalformedEnvelopeError, NotEncryptedError
from s3envelope.formats.s3ec import metadata
from s3envelope.keyrings.s3ec_aes import S3ecAesKeyring
from tests.support import s3ec_samples as samples
from tests.support.s3ec_samples import PLAINTEXT, WRAPPING_KEY, CountingKeyring, Sample, b64

_ON_OBJECT = ("x-amz-c", "x-amz-d", "x-amz-i")


def _split(sample: Sample, edits: Mapping[str, object] | None = None) -> Sample:
    """Return an object with its envelope in an instruction file, which is then edited."""
    on_object = {name: value for name, value in sample.metadata.items() if name in _ON_OBJECT}
    in_file = {name: value for name, value in sample.metadata.items() if name not in _ON_OBJECT}
    entries = {name: value for name, value in {**in_file, **(edits or {})}.items() if value is not None}
    return Sample(on_object, sample.stored, json.dumps(entries).encode())


def _refuse(sample: Sample, kind: type[Exception] = MalformedEnvelopeError) -> None:
    keyring = CountingKeyring()

    with pytest.raises(kind):
        samples.read(sample, keyring)

    assert keyring.call_count == 0


@pytest.mark.parametrize("make", [samples.v1, samples.v2, samples.v2_key_wrap, samples.v3])
def test_object_when_its_envelope_is_in_an_instruction_file_then_it_is_read(make: object) -> None:
    assert callable(make)
    sample = _split(make())

    assert metadata.may_have_instruction_file(sample.metadata)
    assert metadata.parse(sample.metadata, sample.instruction).has_instruction_file
    assert samples.read(sample, S3ecAesKeyring(WRAPPING_KEY)) == PLAINTEXT


@pytest.mark.parametrize("make", [samples.v1, samples.v2])
def test_object_when_it_keeps_its_size_beside_an_instruction_file_then_it_is_read(make: object) -> None:
    assert callable(make)
    sample = _split(make()).edited({"x-amz-unencrypted-content-length": "45", "Title": "report"})

    assert metadata.may_have_instruction_file(sample.metadata)
    assert samples.read(sample, S3ecAesKeyring(WRAPPING_KEY)) == PLAINTEXT


def test_instruction_file_when_numbers_stand_for_the_tag_length_then_they_are_taken() -> None:
    sample = _split(samples.v2(), {"x-amz-tag-len": 128, "x-amz-unencrypted-content-length": 45})

    assert metadata.parse(sample.metadata, sample.instruction).plaintext_size == 45


@pytest.mark.parametrize("make", [samples.v1, samples.v2, samples.v3])
def test_instruction_file_when_it_is_gone_then_the_object_is_not_taken_for_plain(make: object) -> None:
    assert callable(make)

    _refuse(dataclasses.replace(_split(make()), instruction=None), NotEncryptedError)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b" ",
        b"not json",
        b"[]",
        b'["x-amz-key"]',
        b"null",
        b'{"x-amz-iv": "a", "x-amz-iv": "a"}',
        b'{"x-amz-iv": {"a": "b"}}',
        b'{"x-amz-iv": 5}',
        b'{"x-amz-tag-len": 128.0}',
        b'{"x-amz-tag-len": true}',
        b'{"x-amz-tag-len": null}',
        b'{"x-amz-iv": "a", "X-AMZ-IV": "b"}',
        b"{}{}",
        b"\xff\xfe",
        b'{"a": "' + b"b" * (64 << 10) + b'"}',
        b"[" * 60_000,
    ],
)
def test_instruction_file_when_it_is_no_flat_object_of_text_then_it_is_refused(content: bytes) -> None:
    for make in (samples.v1, samples.v2, samples.v3):
        _refuse(dataclasses.replace(_split(make()), instruction=content))


def test_instruction_file_when_it_has_64_kib_then_it_is_read_and_a_byte_more_is_refused() -> None:
    sample = _split(samples.v2())
    assert sample.instruction is not None
    full = sample.instruction + b" " * ((64 << 10) - len(sample.instruction))

    assert metadata.parse(sample.metadata, full).version == 2
    _refuse(dataclasses.replace(sample, instruction=full + b" "))


@pytest.mark.parametrize("name", _ON_OBJECT)
def test_instruction_file_when_it_repeats_what_v3_keeps_on_the_object_then_it_is_refused(name: str) -> None:
    _refuse(_split(samples.v3(), {name: samples.v3().metadata[name]}))


@pytest.mark.parametrize("name", ["x-amz-key", "x-amz-key-v2", "x-amz-iv", "x-amz-cek-alg", "x-amz-wrap-alg"])
def test_instruction_file_when_it_has_fields_of_older_versions_beside_v3_then_it_is_refused(name: str) -> None:
    _refuse(_split(samples.v3(), {name: b64(bytes(60))}))


@pytest.mark.parametrize("name", ["x-amz-3", "x-amz-w", "x-amz-c", "x-amz-d", "x-amz-i", "x-amz-m", "x-amz-t"])
def test_instruction_file_when_it_has_fields_of_v3_without_an_object_of_v3_then_it_is_refused(name: str) -> None:
    _refuse(_split(samples.v2(), {name: "02"}))
    _refuse(dataclasses.replace(_split(samples.v3()), metadata={}))


def test_instruction_file_when_it_is_of_v3_beside_an_object_of_v2_then_it_is_refused() -> None:
    _refuse(dataclasses.replace(samples.v2(), instruction=_split(samples.v3()).instruction))
    _refuse(dataclasses.replace(_split(samples.v3()), instruction=_split(samples.v2()).instruction))


@pytest.mark.parametrize("name", ["x-amz-key-v2", "x-amz-iv"])
def test_instruction_file_when_a_name_is_changed_then_the_object_is_half_encrypted(name: str) -> None:
    value = samples.v2().metadata[name]

    _refuse(_split(samples.v2(), {name: None, f"{name}-tampered": value}), NotEncryptedError)


def test_object_when_it_is_an_instruction_file_itself_then_none_is_looked_for() -> None:
    assert not metadata.may_have_instruction_file({"x-amz-crypto-instr-file": ""})


@pytest.mark.parametrize("make", [samples.v2, samples.v3, samples.v2_kms, samples.v3_kms])
def test_envelope_when_written_then_it_is_parsed_to_itself(make: object) -> None:
    assert callable(make)
    envelope = metadata.parse(make().metadata)

    assert metadata.parse(metadata.write_metadata(envelope)) == envelope

    kept, content = metadata.write_instruction_file(dataclasses.replace(envelope, plaintext_size=None))
    assert metadata.may_have_instruction_file(kept)
    assert metadata.parse(kept, content) == dataclasses.replace(envelope, has_instruction_file=True)


def test_envelope_when_written_then_it_is_in_compact_ascii_and_every_name_is_reserved() -> None:
    for sample in (samples.v2_kms({"n\u00e4me": "\u20ac"}), samples.v3_kms({"n\u00e4me": "\U0001f511"})):
        written = metadata.write_metadata(metadata.parse(sample.metadata))

        assert all(value.isascii() and " " not in value for value in written.values())
        assert written.keys() <= metadata.RESERVED_NAMES
        assert "x-amz-unencrypted-content-md5" not in written
        assert metadata.parse(written).description == metadata.parse(sample.metadata).description


def test_v2_when_written_with_its_size_then_the_object_says_it() -> None:
    envelope = dataclasses.replace(metadata.parse(samples.v2().metadata), plaintext_size=45)

    kept, content = metadata.write_instruction_file(envelope)

    assert metadata.write_metadata(envelope)["x-amz-unencrypted-content-length"] == "45"
    assert kept == {"x-amz-unencrypted-content-length": "45"}
    assert metadata.parse(kept, content).plaintext_size == 45


@pytest.mark.parametrize("make", [samples.v1, samples.v2_key_wrap])
def test_envelope_when_of_a_legacy_format_then_it_is_not_written(make: object) -> None:
    assert callable(make)
    envelope = metadata.parse(make().metadata)

    with pytest.raises(ValueError, match="not written"):
        metadata.write_metadata(envelope)
    with pytest.raises(ValueError, match="not written"):
        metadata.write_instruction_file(envelope)
