"""The KMS keyring against a KMS on a socket."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable

import pytest

from s3envelope.core.context import EncryptionContext
from s3envelope.core.ports import EncryptedDataKey, Keyring
from s3envelope.core.secret import SecretBytes
from s3envelope.errors import (
    ConfigurationError,
    KeyAccessError,
    KeyringError,
    KeyServiceUnavailableError,
    NoMatchingKeyError,
)
from s3envelope.keyrings.kms import KmsKeyring, check_key_id, region_of
from s3envelope.testing.local_kms import LocalKms

CONTEXT = EncryptionContext({"tenant": "acme"})
KMS_CONTEXT = {"tenant": "acme", "s3envelope": "SE1"}
ARN = "arn:aws:kms:us-east-1:111122223333:key/12345678-1234-1234-1234-123456789012"


@pytest.fixture
def keyring(kms: LocalKms, arn: str) -> KmsKeyring:
    return KmsKeyring(arn, kms.client())


def _opened(keyring: Keyring, *entries: EncryptedDataKey, context: EncryptionContext = CONTEXT) -> list[bytes]:
    return [bytes(plaintext.view()) for _, plaintext in keyring.decrypt_data_keys(entries, context)]


def _junk(arn: str, count: int = 1) -> list[EncryptedDataKey]:
    """Return entries with the hint of a key that it did not make."""
    hint = hashlib.sha256(arn.rpartition("/")[2].encode()).digest()[:4]
    return [EncryptedDataKey(hint, bytes([number]) * 184) for number in range(count)]


def test_data_key_when_generated_then_it_opens_again_and_every_request_named_key_and_context(
    kms: LocalKms, keyring: KmsKeyring, arn: str
) -> None:
    data_key = keyring.generate_data_key(CONTEXT)

    assert _opened(keyring, *data_key.encrypted) == [bytes(data_key.plaintext.view())]
    (entry,) = data_key.encrypted
    assert (len(data_key.plaintext), len(entry.ciphertext)) == (32, keyring.encrypted_data_key_sizes[0])
    assert entry.hint == hashlib.sha256(arn.rpartition("/")[2].encode()).digest()[:4]
    assert [(call.operation, call.key_id, call.encryption_context) for call in kms.calls] == [
        ("GenerateDataKey", arn, KMS_CONTEXT),
        ("Decrypt", arn, KMS_CONTEXT),
    ]
    assert isinstance(keyring, Keyring)


def test_data_key_when_wrapped_by_encrypt_then_it_opens_and_is_not_wiped(keyring: KmsKeyring) -> None:
    plaintext = SecretBytes(bytes(range(32)))

    entry = keyring.encrypt_data_key(plaintext, CONTEXT)

    assert _opened(keyring, entry) == [bytes(range(32))] == [bytes(plaintext.view())]


@pytest.mark.parametrize("form", ["arn", "id", "alias", "alias-arn"])
def test_key_when_named_in_any_form_then_the_hint_is_the_same_and_all_open_it(kms: LocalKms, form: str) -> None:
    alias = f"alias/orders-{form}"
    arn = kms.create_key(alias=alias)
    names = {
        "arn": arn,
        "id": arn.rpartition("/")[2],
        "alias": alias,
        "alias-arn": arn.rpartition("key/")[0] + alias,
    }
    keyring = KmsKeyring(names[form], kms.client())

    data_key = keyring.generate_data_key(CONTEXT)

    assert keyring.key_ids == {names[form]}
    for name in names.values():
        assert _opened(KmsKeyring(name, kms.client()), *data_key.encrypted) == [bytes(data_key.plaintext.view())]


def test_alias_when_used_often_then_it_is_resolved_once_and_stays_with_its_key(kms: LocalKms) -> None:
    arn, other = kms.create_key(alias="alias/moving"), kms.create_key()
    keyring = KmsKeyring("alias/moving", kms.client())
    data_key = keyring.generate_data_key(CONTEXT)
    kms.perform("UpdateAlias", AliasName="alias/moving", TargetKeyId=other)

    assert _opened(keyring, *data_key.encrypted) == [bytes(data_key.plaintext.view())]
    keyring.generate_data_key(CONTEXT)

    assert kms.count("DescribeKey") == 1
    assert {call.key_id for call in kms.calls if call.operation != "DescribeKey"} == {arn}


def test_replica_when_it_reads_what_the_primary_wrote_then_it_opens(kms: LocalKms) -> None:
    primary = kms.create_key("us-east-1", MultiRegion=True)
    kms.perform("ReplicateKey", "us-east-1", KeyId=primary, ReplicaRegion="eu-west-1")
    replica = primary.replace("us-east-1", "eu-west-1")

    data_key = KmsKeyring(primary, kms.client("us-east-1")).generate_data_key(CONTEXT)

    assert _opened(KmsKeyring(replica, kms.client("eu-west-1")), *data_key.encrypted) == [
        bytes(data_key.plaintext.view())
    ]


def test_entry_when_the_context_is_another_then_it_is_skipped(keyring: KmsKeyring) -> None:
    data_key = keyring.generate_data_key(CONTEXT)

    assert _opened(keyring, *data_key.encrypted, context=EncryptionContext({"tenant": "other"})) == []


def test_entry_when_another_protocol_made_it_under_the_same_key_then_it_is_skipped(
    kms: LocalKms, keyring: KmsKeyring, arn: str
) -> None:
    answer = kms.client().generate_data_key(KeyId=arn, KeySpec="AES_256", EncryptionContext=dict(CONTEXT))
    entry = EncryptedDataKey(_junk(arn)[0].hint, answer["CiphertextBlob"])

    assert _opened(keyring, entry) == []


def test_entry_when_a_strangers_key_made_it_then_it_is_skipped(kms: LocalKms, keyring: KmsKeyring, arn: str) -> None:
    foreign = KmsKeyring(kms.create_key(), kms.client()).generate_data_key(CONTEXT).encrypted[0]

    assert _opened(keyring, EncryptedDataKey(_junk(arn)[0].hint, foreign.ciphertext)) == []


def test_entries_when_junk_comes_first_then_the_genuine_one_opens_after_it(
    kms: LocalKms, keyring: KmsKeyring, arn: str
) -> None:
    data_key = keyring.generate_data_key(CONTEXT)

    opened = _opened(keyring, *_junk(arn, 3), *data_key.encrypted)

    assert opened == [bytes(data_key.plaintext.view())]
    assert kms.count("Decrypt") == 4


def test_entries_when_the_first_fits_then_no_other_is_asked_for(kms: LocalKms, keyring: KmsKeyring, arn: str) -> None:
    data_key = keyring.generate_data_key(CONTEXT)

    next(keyring.decrypt_data_keys([*data_key.encrypted, *_junk(arn, 3)], CONTEXT))

    assert kms.count("Decrypt") == 1


def test_entries_when_none_has_the_hint_then_there_is_no_matching_key_and_no_call(
    kms: LocalKms, keyring: KmsKeyring
) -> None:
    with pytest.raises(NoMatchingKeyError):
        _opened(keyring, EncryptedDataKey(b"\0\0\0\0", bytes(184)))

    assert kms.calls == ()


def test_reencryption_when_the_source_is_named_then_it_is_sent_and_the_data_key_stays(
    kms: LocalKms, keyring: KmsKeyring, arn: str
) -> None:
    new = KmsKeyring(kms.create_key(), kms.client())
    data_key = keyring.generate_data_key(CONTEXT)

    entry = new.reencrypt_data_key(data_key.encrypted[0], CONTEXT, source_key_arn=arn)

    assert _opened(new, entry) == [bytes(data_key.plaintext.view())]
    call = next(call for call in kms.calls if call.operation == "ReEncrypt")
    assert (call.source_key_id, call.key_id) == (arn, *new.key_ids)
    assert call.encryption_context == call.source_encryption_context == KMS_CONTEXT


def test_reencryption_when_the_entry_is_of_another_key_then_it_is_refused(
    kms: LocalKms, keyring: KmsKeyring, arn: str
) -> None:
    stranger = KmsKeyring(kms.create_key(), kms.client()).generate_data_key(CONTEXT)

    with pytest.raises(KeyringError):
        keyring.reencrypt_data_key(stranger.encrypted[0], CONTEXT, source_key_arn=arn)


@pytest.mark.parametrize(
    "source", ["", "alias/orders", ARN.rpartition("/")[2], ARN.replace("key/", "alias/"), ARN + "x y"]
)
def test_reencryption_when_the_source_is_no_key_arn_then_no_call_is_made(
    kms: LocalKms, keyring: KmsKeyring, source: str
) -> None:
    with pytest.raises(ConfigurationError):
        keyring.reencrypt_data_key(EncryptedDataKey(b"hint", b"blob"), CONTEXT, source_key_arn=source)

    assert kms.calls == ()


def _deny(kms: LocalKms, arn: str) -> None:
    everybody = {"Principal": "*", "Resource": "*"}
    statements = [
        {"Effect": "Allow", "Action": "kms:*", **everybody},
        {"Effect": "Deny", "Action": ["kms:Decrypt", "kms:GenerateDataKey", "kms:Encrypt"], **everybody},
    ]
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements})
    kms.perform("PutKeyPolicy", KeyId=arn, Policy=policy)


def _disable(kms: LocalKms, arn: str) -> None:
    kms.perform("DisableKey", KeyId=arn)


def _delete(kms: LocalKms, arn: str) -> None:
    kms.perform("ScheduleKeyDeletion", KeyId=arn, PendingWindowInDays=7)


def _throttle(kms: LocalKms, arn: str) -> None:
    kms.faults.throttle(count=None)


def _break(kms: LocalKms, arn: str) -> None:
    kms.faults.fail(count=None)


def _reset(kms: LocalKms, arn: str) -> None:
    kms.faults.reset(count=None)


def _answer_503(kms: LocalKms, arn: str) -> None:
    kms.faults.fail(code="SomethingNew", count=None, status=503)


Trouble = Callable[[LocalKms, str], None]
TROUBLES: dict[Trouble, type[KeyringError]] = {
    _deny: KeyAccessError,
    _disable: KeyAccessError,
    _delete: KeyAccessError,
    _throttle: KeyServiceUnavailableError,
    _break: KeyServiceUnavailableError,
    _reset: KeyServiceUnavailableError,
    _answer_503: KeyServiceUnavailableError,
}


@pytest.mark.parametrize("operation", ["generate", "encrypt", "decrypt"])
@pytest.mark.parametrize("trouble", TROUBLES)
def test_keyring_when_the_service_refuses_or_fails_then_the_error_says_which(
    kms: LocalKms, keyring: KmsKeyring, arn: str, trouble: Trouble, operation: str
) -> None:
    entry = keyring.generate_data_key(CONTEXT).encrypted[0]
    calls: dict[str, Callable[[], object]] = {
        "generate": lambda: keyring.generate_data_key(CONTEXT),
        "encrypt": lambda: keyring.encrypt_data_key(SecretBytes(bytes(32)), CONTEXT),
        "decrypt": lambda: _opened(keyring, entry),
    }
    trouble(kms, arn)

    with pytest.raises(KeyringError) as caught:
        calls[operation]()

    assert type(caught.value) is TROUBLES[trouble]
    assert arn in str(caught.value)
    assert "acme" not in str(caught.value)


def test_keyring_when_the_service_is_stopped_then_it_is_unavailable() -> None:
    with LocalKms() as kms:
        keyring = KmsKeyring(kms.create_key(), kms.client())
        entry = keyring.generate_data_key(CONTEXT).encrypted[0]
        kms.stop()

        with pytest.raises(KeyServiceUnavailableError):
            keyring.generate_data_key(CONTEXT)
        with pytest.raises(KeyServiceUnavailableError):
            _opened(keyring, entry)

        kms.start()
        assert len(_opened(keyring, entry)) == 1


def test_keyring_when_key_or_alias_do_not_exist_then_access_is_refused(kms: LocalKms) -> None:
    for name in (ARN, "alias/none"):
        keyring = KmsKeyring(name, kms.client())
        with pytest.raises(KeyAccessError, match="no such key"):
            keyring.generate_data_key(CONTEXT)


def test_alias_when_resolving_it_failed_then_it_is_tried_again(kms: LocalKms) -> None:
    kms.create_key(alias="alias/late")
    keyring = KmsKeyring("alias/late", kms.client())
    kms.faults.throttle("DescribeKey")

    with pytest.raises(KeyServiceUnavailableError):
        keyring.generate_data_key(CONTEXT)

    assert len(keyring.generate_data_key(CONTEXT).plaintext) == 32


def test_entries_when_the_service_fails_for_one_then_the_others_are_tried_and_the_failure_is_told_last(
    kms: LocalKms, keyring: KmsKeyring, arn: str
) -> None:
    data_key = keyring.generate_data_key(CONTEXT)
    kms.faults.throttle("Decrypt", count=1)
    candidates = keyring.decrypt_data_keys([*_junk(arn), *data_key.encrypted], CONTEXT)

    entry, plaintext = next(candidates)

    assert (entry, plaintext) == (data_key.encrypted[0], data_key.plaintext)
    with pytest.raises(KeyServiceUnavailableError):
        next(candidates)


@pytest.mark.parametrize(
    "key_id", [ARN, ARN.replace("aws", "aws-us-gov", 1), "alias/a/b_c-d", "mrk-" + "0a" * 16, ARN.rpartition("/")[2]]
)
def test_key_id_when_well_formed_then_it_is_taken(key_id: str) -> None:
    assert check_key_id(key_id) == key_id


@pytest.mark.parametrize(
    "key_id", ["", "alias/", "a b", ARN + "\n", ARN.replace("kms", "s3"), "arn:aws:kms", None, 5, b"k"]
)
def test_key_id_when_malformed_then_it_is_refused(key_id: object) -> None:
    with pytest.raises(ConfigurationError, match="kms_key_id"):
        check_key_id(key_id)


def test_region_when_an_arn_is_given_then_it_is_the_arns() -> None:
    assert region_of(ARN.replace("us-east-1", "eu-west-3")) == "eu-west-3"
    assert region_of("alias/orders") is None
