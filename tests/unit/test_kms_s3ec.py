"""The KMS keyring for the Amazon formats, against a KMS on a socket."""

from __future__ import annotations

import base64
import dataclasses
import json
import logging
from collections.abc import Callable, Mapping
from typing import Any, cast

import pytest

from s3envelope import KmsKeyring, S3ecAesKeyring, S3ecKeyring, S3ecMaterials
from s3envelope.core.context import EncryptionContext
from s3envelope.core.secret import SecretBytes
from s3envelope.errors import (
    ConfigurationError,
    KeyAccessError,
    KeyCommitmentError,
    KeyServiceUnavailableError,
    NoMatchingKeyError,
    S3ecDecryptionError,
    S3EnvelopeError,
)
from s3envelope.formats.s3ec import keys, metadata
from s3envelope.formats.s3ec.bodies import MessageSealer
from s3envelope.formats.s3ec.model import ContentAlgorithm, WrapAlgorithm
from s3envelope.testing.local_kms import LocalKms
from tests.support import s3ec_samples as samples
from tests.support.s3ec_samples import PLAINTEXT, WRAPPING_KEY, Sample, b64

CONTEXT = {"tenant": "acme"}
ARN = "arn:aws:kms:us-east-1:111122223333:key/12345678-1234-1234-1234-123456789012"
CONTENTS = [(2, "AES/GCM/NoPadding"), (3, "115")]


@pytest.fixture
def keyring(kms: LocalKms, arn: str) -> KmsKeyring:
    return KmsKeyring(arn, kms.client())


def _written(
    keyring: S3ecKeyring, version: int, context: Mapping[str, str] = CONTEXT, plaintext: bytes = PLAINTEXT
) -> Sample:
    """Return an object as this library describes and seals it."""
    made = keyring.make_s3ec_data_key(keys.content_of(version), context)
    envelope = keys.new_envelope(version, made, lambda size: bytes(range(1, size + 1)))
    with made.plaintext as data_key:
        sealer = MessageSealer(envelope, data_key)
    return Sample(metadata.write_metadata(envelope), sealer.update(plaintext) + sealer.finalize())


def _refused(sample: Sample, keyring: S3ecKeyring, context: Mapping[str, str] = CONTEXT) -> S3EnvelopeError:
    with pytest.raises(S3EnvelopeError) as caught:
        samples.read(sample, keyring, context=context)
    return caught.value


@pytest.mark.parametrize(("version", "content"), CONTENTS)
@pytest.mark.parametrize("context", [{}, CONTEXT, {"a": "b", "c": ""}])
def test_object_when_written_then_it_is_read_and_kms_saw_the_whole_stored_context(
    kms: LocalKms, keyring: KmsKeyring, arn: str, version: int, content: str, context: dict[str, str]
) -> None:
    sample = _written(keyring, version, context)

    assert samples.read(sample, keyring, context=context) == PLAINTEXT
    stored = json.loads(sample.metadata["x-amz-matdesc" if version == 2 else "x-amz-t"])
    assert stored == {**context, "aws:x-amz-cek-alg": content}
    assert [(call.operation, call.key_id, call.encryption_context) for call in kms.calls] == [
        ("GenerateDataKey", arn, stored),
        ("Decrypt", arn, stored),
    ]
    assert isinstance(keyring, S3ecKeyring)


def test_object_when_an_encryption_context_of_this_library_is_given_then_it_is_taken(keyring: KmsKeyring) -> None:
    context = EncryptionContext(CONTEXT)

    assert samples.read(_written(keyring, 3, context), keyring, context=context) == PLAINTEXT


def test_object_when_its_context_is_not_ascii_then_it_is_read(keyring: KmsKeyring) -> None:
    context = {"n\u00e4me": "\u20ac"}

    assert samples.read(_written(keyring, 3, context), keyring, context=context) == PLAINTEXT


@pytest.mark.logs_secrets
def test_object_when_written_by_an_old_client_then_its_whole_description_is_the_context(
    kms: LocalKms, keyring: KmsKeyring, arn: str
) -> None:
    entries = {"kms_cmk_id": arn}
    encrypted = kms.client().encrypt(KeyId=arn, Plaintext=samples.DATA_KEY, EncryptionContext=entries)
    gcm = samples.v2_kms(entries, encrypted["CiphertextBlob"], "kms")
    edits = {"x-amz-cek-alg": "AES/CBC/PKCS5Padding", "x-amz-tag-len": None, "x-amz-iv": b64(samples.CBC_IV)}
    cbc = dataclasses.replace(gcm.edited(edits), stored=samples.cbc(samples.padded(PLAINTEXT)))

    assert samples.read(gcm, keyring) == samples.read(cbc, keyring) == PLAINTEXT
    assert kms.calls[-1].encryption_context == entries
    moved = gcm.edited({"x-amz-matdesc": json.dumps({"kms_cmk_id": ARN})})
    assert isinstance(_refused(moved, keyring, {}), S3ecDecryptionError)
    assert kms.calls[-1].key_id == arn


@pytest.mark.parametrize("reserved", ["aws:x-amz-cek-alg", "kms_cmk_id"])
def test_context_when_the_caller_gives_a_reserved_entry_then_kms_is_not_asked(
    kms: LocalKms, keyring: KmsKeyring, reserved: str
) -> None:
    with pytest.raises(ConfigurationError, match=reserved):
        keyring.make_s3ec_data_key(ContentAlgorithm.GCM, {reserved: "115"})

    assert kms.calls == ()


@pytest.mark.parametrize("version", [2, 3])
def test_context_when_stored_and_expected_are_both_changed_then_kms_refuses(
    kms: LocalKms, keyring: KmsKeyring, version: int
) -> None:
    name = "x-amz-matdesc" if version == 2 else "x-amz-t"
    sample = _written(keyring, version)
    stored = json.loads(sample.metadata[name])

    for edits, context in (
        ({"tenant": "other"}, {"tenant": "other"}),
        ({"more": "x"}, {**CONTEXT, "more": "x"}),
        ({"kms_cmk_id": ARN}, CONTEXT),
    ):
        edited = sample.edited({name: json.dumps({**stored, **edits})})
        assert isinstance(_refused(edited, keyring, context), S3ecDecryptionError)
    assert [call.succeeded for call in kms.calls] == [True, False, False, False]


@pytest.mark.parametrize("version", [2, 3])
def test_context_when_changed_in_the_metadata_alone_then_kms_is_not_asked(
    kms: LocalKms, keyring: KmsKeyring, version: int
) -> None:
    name = "x-amz-matdesc" if version == 2 else "x-amz-t"
    sample = _written(keyring, version)
    stored = json.loads(sample.metadata[name])
    kms.clear_calls()

    for text in (json.dumps({**stored, "more": "x"}), json.dumps({**stored, "tenant": "other"}), "{}", ""):
        _refused(sample.edited({name: text}), keyring)
    assert kms.calls == ()


@pytest.mark.parametrize("kept", [{}, CONTEXT])
def test_kms_with_context_when_read_as_the_older_wrap_then_kms_refuses_what_the_policy_cannot_see(
    keyring: KmsKeyring, kept: dict[str, str]
) -> None:
    """The reserved entry is removed too: then only KMS knows that it was there."""
    sample = _written(keyring, 2, kept).edited({"x-amz-wrap-alg": "kms", "x-amz-matdesc": json.dumps(kept)})

    assert isinstance(_refused(sample, keyring, kept), S3ecDecryptionError)


@pytest.mark.parametrize(("version", "kind"), [(2, S3ecDecryptionError), (3, KeyCommitmentError)])
def test_data_key_when_it_is_another_objects_then_nothing_opens(
    keyring: KmsKeyring, version: int, kind: type[S3EnvelopeError]
) -> None:
    name = "x-amz-key-v2" if version == 2 else "x-amz-3"
    one, two = _written(keyring, version), _written(keyring, version)

    assert isinstance(_refused(one.edited({name: two.metadata[name]}), keyring), kind)


def test_wrong_key_and_changed_body_when_compared_then_they_look_the_same(kms: LocalKms, keyring: KmsKeyring) -> None:
    other = KmsKeyring(kms.create_key(), kms.client())
    sample = _written(keyring, 2)
    changed = dataclasses.replace(sample, stored=sample.stored[:-1] + bytes([sample.stored[-1] ^ 1]))
    junk = sample.edited({"x-amz-key-v2": b64(bytes(184))})

    errors = [_refused(sample, other), _refused(changed, keyring), _refused(junk, keyring)]

    assert {(type(error), str(error)) for error in errors} == {(S3ecDecryptionError, str(errors[0]))}
    assert all(error.__cause__ is None and error.__suppress_context__ for error in errors)


class _Events:
    def register(self, *_: object) -> None:
        """Do nothing: this client has no events."""


class _Meta:
    events = _Events()


class _LyingClient:
    """A KMS client that answers for any key, with a data key of any length."""

    meta = _Meta()

    def __init__(self, answered_arn: str, plaintext: bytes) -> None:
        self.secrets: list[SecretBytes] = []
        self._arn = answered_arn
        self._plaintext = plaintext

    def _respond(self, **_: object) -> dict[str, Any]:
        self.secrets.append(SecretBytes(self._plaintext))
        return {"KeyId": self._arn, "Plaintext": self.secrets[-1], "CiphertextBlob": b"blob"}

    generate_data_key = decrypt = _respond

    def are_all_wiped(self) -> bool:
        for secret in self.secrets:
            with pytest.raises(ValueError, match="wiped"):
                secret.view()
        return bool(self.secrets)


@pytest.mark.parametrize("answered", [ARN[:-1] + "3", ARN.replace("111122223333", "999999999999"), ""])
def test_answer_when_it_names_another_key_then_it_is_refused_and_wiped(answered: str) -> None:
    client = _LyingClient(answered, samples.DATA_KEY)
    keyring = KmsKeyring(ARN, cast(Any, client))

    with pytest.raises(KeyAccessError):
        keyring.make_s3ec_data_key(ContentAlgorithm.GCM, {})
    assert isinstance(_refused(samples.v2_kms(), keyring, {}), KeyAccessError)
    assert isinstance(_refused(samples.v3_kms(), keyring, {}), KeyAccessError)
    assert client.are_all_wiped()


@pytest.mark.parametrize("size", [0, 16, 31, 33, 64])
def test_answer_when_the_data_key_has_not_32_bytes_then_it_is_refused_and_wiped(size: int) -> None:
    client = _LyingClient(ARN, bytes(size))
    keyring = KmsKeyring(ARN, cast(Any, client))

    for sample in (samples.v2_kms(), samples.v3_kms()):
        with pytest.raises(S3ecDecryptionError):
            keyring.open_s3ec_data_key(metadata.parse(sample.metadata))
    with pytest.raises(KeyAccessError):
        keyring.make_s3ec_data_key(ContentAlgorithm.GCM, {})
    assert client.are_all_wiped()


@pytest.mark.parametrize(
    ("order", "kind"),
    [
        (lambda kms: kms.faults.fail("Decrypt", "AccessDeniedException"), KeyAccessError),
        (lambda kms: kms.faults.fail("Decrypt", "DisabledException"), KeyAccessError),
        (lambda kms: kms.faults.fail("Decrypt", "NotFoundException"), KeyAccessError),
        (lambda kms: kms.faults.throttle("Decrypt", count=None), KeyServiceUnavailableError),
        (lambda kms: kms.faults.fail("Decrypt", "KMSInternalException", count=None), KeyServiceUnavailableError),
        (lambda kms: kms.faults.reset("Decrypt", count=None), KeyServiceUnavailableError),
    ],
)
def test_kms_when_it_refuses_or_fails_then_that_is_said(
    kms: LocalKms, arn: str, order: Callable[[LocalKms], None], kind: type[S3EnvelopeError]
) -> None:
    keyring = KmsKeyring(arn, kms.client(max_attempts=1))
    sample = _written(keyring, 3)
    order(kms)

    error = _refused(sample, keyring)

    kms.faults.clear()
    assert type(error) is kind
    assert samples.read(sample, keyring, context=CONTEXT) == PLAINTEXT


def test_kms_when_it_cannot_be_reached_then_nothing_is_made(kms: LocalKms, arn: str) -> None:
    keyring = KmsKeyring(arn, kms.client(max_attempts=1))

    with kms.faults.refuse_connections(), pytest.raises(KeyServiceUnavailableError):
        keyring.make_s3ec_data_key(ContentAlgorithm.GCM, {})


def test_object_when_its_data_key_is_not_wrapped_by_kms_then_kms_is_not_asked(
    kms: LocalKms, keyring: KmsKeyring
) -> None:
    for sample in (samples.v1(), samples.v2(), samples.v3(), samples.v2_key_wrap()):
        assert isinstance(_refused(sample, keyring, {}), NoMatchingKeyError)

    assert kms.calls == ()


def test_materials_when_they_have_a_kms_key_and_a_raw_one_then_each_opens_its_own(
    kms: LocalKms, keyring: KmsKeyring
) -> None:
    materials = S3ecMaterials(keyring, S3ecAesKeyring(WRAPPING_KEY))

    assert samples.read(samples.v3(), materials) == PLAINTEXT
    assert kms.calls == ()
    assert samples.read(_written(materials, 3), materials, context=CONTEXT) == PLAINTEXT
    assert materials.s3ec_wraps >= {WrapAlgorithm.KMS, WrapAlgorithm.AES_ECB}


def test_materials_when_they_have_two_kms_keys_then_they_are_refused(kms: LocalKms, keyring: KmsKeyring) -> None:
    with pytest.raises(ConfigurationError, match="same objects"):
        S3ecMaterials(keyring, KmsKeyring(kms.create_key(), kms.client()))


def test_log_when_data_keys_are_made_and_opened_then_they_are_not_in_it(
    keyring: KmsKeyring, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    made = keyring.make_s3ec_data_key(ContentAlgorithm.GCM_COMMITTED, CONTEXT)
    envelope = metadata.parse(metadata.write_metadata(keys.new_envelope(3, made, lambda size: b"r" * size)))

    opened = keyring.open_s3ec_data_key(envelope)

    secret = bytes(made.plaintext.view())
    text = caplog.text + "".join(repr(record.__dict__) for record in caplog.records)
    assert opened == made.plaintext
    assert "GenerateDataKey" in text
    assert "Decrypt" in text
    for spelling in (base64.b64encode(secret).decode()[:40], secret.hex(), repr(secret)[2:-1]):
        assert spelling not in text
    assert secret.hex() not in repr(made) + repr(envelope)
