"""How a client that reads the Amazon formats is configured: contexts, keyrings, audit, what it tells without a key."""

import dataclasses
from typing import Any

import pytest

from s3envelope import MultiKeyring, RawAesKeyring
from s3envelope.errors import ConfigurationError, ContextMismatchError, MalformedEnvelopeError, S3ecDecryptionError
from s3envelope.testing.s3_proxy import matching
from tests.support.caching import Uses
from tests.support.s3ec_objects import KmsWrap, cbc_object, v2_object, v3_object
from tests.support.s3ec_reading import KEY, MAKERS, WITH_SE1, S3ecScene, refusals

EVERY_MAKER = pytest.mark.parametrize("maker", MAKERS)


@pytest.mark.parametrize(
    ("stored", "expected", "is_read"),
    [
        ({"a": "1"}, {"a": "1"}, True),
        ({"a": "1"}, {}, False),
        ({}, {"a": "1"}, False),
        ({"a": "1"}, {"a": "2"}, False),
        ({"a": "1", "b": "2"}, {"a": "1"}, False),
        ({"a": "1"}, {"a": "1", "b": "2"}, False),
    ],
)
@EVERY_MAKER
def test_context_when_expected_then_the_stored_one_must_be_equal(
    s3ec: S3ecScene, maker: str, stored: dict[str, str], expected: dict[str, str], is_read: bool
) -> None:
    wrap = KmsWrap(s3ec.wrap.client, s3ec.wrap.key_id, stored)
    s3ec.put(MAKERS[maker](b"content", wrap))
    client = s3ec.client(encryption_context=expected)
    s3ec.forget()

    if is_read:
        assert s3ec.get(client) == b"content"
    else:
        assert {type(error) for error in refusals(s3ec, client).values()} == {ContextMismatchError}
        assert s3ec.kms_calls() == []


def test_context_when_a_call_expects_another_than_the_one_that_was_verified_then_it_is_refused(
    s3ec: S3ecScene,
) -> None:
    client = s3ec.client()
    s3ec.put(v3_object(b"content", KmsWrap(s3ec.wrap.client, s3ec.wrap.key_id, {"a": "1"})))
    right: Any = {"EncryptionContext": {"a": "1"}, "Range": "bytes=0-1"}
    answer = client.get_object(Bucket=s3ec.bucket, Key=KEY, **right)

    for other in ({}, {"EncryptionContext": {"a": "2"}}):
        with pytest.raises(ContextMismatchError):
            client.get_object(Bucket=s3ec.bucket, Key=KEY, Range="bytes=0-1", **other)  # type: ignore[arg-type]

    assert answer["Body"].read() == b"co"


def test_keyring_when_it_cannot_open_amazon_formats_then_no_client_is_made(s3ec: S3ecScene) -> None:
    with pytest.raises(ConfigurationError, match="s3ec_keyring"):
        s3ec.client(keyring=MultiKeyring(s3ec.keyring, RawAesKeyring(bytes(32))))

    assert s3ec.requests() == []


def test_keyring_when_only_one_for_amazon_formats_is_given_then_they_are_read_and_se1_is_not(s3ec: S3ecScene) -> None:
    fields = {"keyring": None, "s3ec_keyring": s3ec.keyring, "write_format": "s3ec-v3"}
    client = s3ec.client(**fields)
    s3ec.put(v3_object(b"content", s3ec.wrap))

    assert s3ec.get(client) == b"content"


def test_metadata_when_the_server_withholds_some_then_nothing_is_passed_on(s3ec: S3ecScene) -> None:
    s3ec.plain.put_object(Bucket=s3ec.bucket, Key=KEY, Body=b"plain")
    client = s3ec.client(*WITH_SE1, unencrypted="allow")
    s3ec.proxy.on_response(
        matching(method="GET"), lambda answer: answer.with_header("x-amz-missing-meta", "1"), times=None
    )

    with pytest.raises(MalformedEnvelopeError):
        s3ec.get(client)


def test_describe_when_asked_of_amazon_objects_then_it_tells_format_and_algorithms(s3ec: S3ecScene) -> None:
    s3ec.put(v3_object(b"content", s3ec.wrap))
    kms = KmsWrap(s3ec.wrap.client, s3ec.wrap.key_id, name="kms")
    s3ec.put(cbc_object(b"content", kms, tells_size=False), "old")
    s3ec.put(v2_object(b"content", s3ec.wrap).with_instruction_file(), "beside")
    s3ec.forget()
    client: Any = s3ec.client()

    new, old, beside = (client.describe_envelope(Bucket=s3ec.bucket, Key=key) for key in (KEY, "old", "beside"))

    assert (new.format, new.plaintext_size, new.ciphertext_size, len(new.commitment)) == ("s3ec-v3", 7, 23, 56)
    assert new.encryption_context == {"aws:x-amz-cek-alg": "115"}
    assert (old.format, old.plaintext_size) == ("s3ec-v2", None)
    assert old.read_formats == ("s3ec-v2", "s3ec-cbc", "s3ec-kms")
    assert (beside.format, beside.plaintext_size) == ("s3ec-v2", 7)
    assert s3ec.kms_calls() == []


def test_audit_when_an_object_is_opened_then_the_use_of_its_key_is_recorded(s3ec: S3ecScene) -> None:
    sink = Uses()
    s3ec.put(v3_object(b"content", KmsWrap(s3ec.wrap.client, s3ec.wrap.key_id, {"a": "1"})))

    s3ec.get(s3ec.client(audit=sink, encryption_context={"a": "1"}))

    decrypted, opened = sink.all[1:]
    assert (decrypted.operation, decrypted.source, decrypted.bucket) == ("decrypt", "key service", s3ec.bucket)
    assert decrypted.kms_request_ids
    assert decrypted.context == opened.context == {"a": "1"}
    assert (opened.operation, opened.format, opened.bucket) == ("open", "s3ec-v3", s3ec.bucket)
    assert len(opened.commitment or b"") == 28


def test_audit_when_an_object_is_read_in_ranges_tells_each_and_what_was_not_verified(s3ec: S3ecScene) -> None:
    s3ec.put(v3_object(b"content", s3ec.wrap))
    verified, unverified = Uses(), Uses()
    client = s3ec.client(audit=verified)

    assert s3ec.get(client, "1-2") == b"on"
    assert s3ec.get(client, "3-4") == b"te"
    s3ec.get(s3ec.client(audit=unverified, unsafe_unverified_ranges=True), "0-0")

    assert [told.operation for told in verified.all].count("open") == 2
    assert all(told.details == () for told in verified.all if told.operation == "open")
    assert unverified.all[-1].details == (("verified", "no"),)


def test_audit_when_an_object_was_changed_tells_that_it_did_not_authenticate(s3ec: S3ecScene) -> None:
    sink = Uses()
    stored = v3_object(b"content", s3ec.wrap)
    s3ec.put(dataclasses.replace(stored, body=bytes(1) + stored.body[1:]))

    for byte_range in (None, "1-2"):
        with pytest.raises(S3ecDecryptionError):
            s3ec.get(s3ec.client(audit=sink), byte_range)

        assert [(told.operation, told.outcome) for told in sink.all] == [
            ("configure", "success"),
            ("decrypt", "success"),
            ("authenticate", "failed"),
        ]
        sink.all.clear()
