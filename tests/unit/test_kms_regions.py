"""Keys that are somewhere: multi-Region keys and their replicas, ARNs of other regions, grant tokens."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from s3envelope.core.context import EncryptionContext
from s3envelope.core.hints import key_hint
from s3envelope.core.ports import EncryptedDataKey, Keyring
from s3envelope.core.secret import SecretBytes
from s3envelope.errors import ConfigurationError, KeyAccessError, NoMatchingKeyError
from s3envelope.keyrings.kms import KmsKeyring
from s3envelope.testing.local_kms import LocalKms

CONTEXT = EncryptionContext({"tenant": "acme"})
HOME, AWAY = "us-east-1", "eu-west-1"
NAMES = ["arn of the primary", "arn of the replica", "key id", "alias"]
TOKENS = ("token-one", "token-two")


@pytest.fixture(scope="module")
def kms() -> Iterator[LocalKms]:
    with LocalKms() as running:
        yield running


@pytest.fixture(scope="module")
def primary(kms: LocalKms) -> str:
    """Return the ARN of a multi-Region key with a replica and an alias there."""
    arn = kms.create_key(HOME, MultiRegion=True)
    kms.perform("ReplicateKey", HOME, KeyId=arn, ReplicaRegion=AWAY)
    kms.perform("CreateAlias", AWAY, AliasName="alias/replica", TargetKeyId=_in(AWAY, arn))
    return arn


@pytest.fixture(autouse=True)
def _no_calls(kms: LocalKms) -> None:
    kms.faults.clear()
    kms.clear_calls()


def _in(region: str, arn: str) -> str:
    return arn.replace(HOME, region)


def _named(name: str, primary: str) -> str:
    return dict(zip(NAMES, [primary, _in(AWAY, primary), primary.rpartition("/")[2], "alias/replica"], strict=True))[
        name
    ]


def _opened(keyring: Keyring, *entries: EncryptedDataKey) -> list[bytes]:
    return [bytes(plaintext.view()) for _, plaintext in keyring.decrypt_data_keys(entries, CONTEXT)]


@pytest.mark.parametrize("name", NAMES)
def test_replica_when_named_in_any_way_opens_what_the_primary_wrapped(kms: LocalKms, primary: str, name: str) -> None:
    made = KmsKeyring(primary, kms.client(HOME)).generate_data_key(CONTEXT)
    keyring = KmsKeyring(_named(name, primary), kms.client(AWAY))

    assert _opened(keyring, *made.encrypted) == [bytes(made.plaintext.view())]

    call = kms.calls[-1]
    assert (call.operation, call.region) == ("Decrypt", AWAY)
    assert call.key_id in (_in(AWAY, primary), primary.rpartition("/")[2])


@pytest.mark.parametrize("name", NAMES)
def test_primary_when_a_replica_wrapped_opens_it_with_the_same_hint(kms: LocalKms, primary: str, name: str) -> None:
    made = KmsKeyring(_named(name, primary), kms.client(AWAY)).generate_data_key(CONTEXT)

    assert made.encrypted[0].hint == key_hint(primary)
    assert _opened(KmsKeyring(primary, kms.client(HOME)), *made.encrypted) == [bytes(made.plaintext.view())]


def test_replica_when_it_is_not_there_is_a_key_that_kms_does_not_know(kms: LocalKms, primary: str) -> None:
    made = KmsKeyring(primary, kms.client(HOME)).generate_data_key(CONTEXT)
    keyring = KmsKeyring(primary, kms.client("sa-east-1"))

    with pytest.raises(KeyAccessError, match="NotFoundException"):
        _opened(keyring, *made.encrypted)

    assert kms.calls[-1].key_id == _in("sa-east-1", primary)


def test_replica_when_asked_for_tells_caches_the_key_that_is_asked(kms: LocalKms, primary: str) -> None:
    keyring = KmsKeyring(primary, kms.client(AWAY))

    assert keyring.key_arns == (_in(AWAY, primary),)
    assert keyring.key_ids == {primary}
    assert keyring.service != KmsKeyring(primary, kms.client(HOME)).service


def test_reencryption_when_the_source_is_a_replicas_primary_happens_in_the_clients_region(
    kms: LocalKms, primary: str
) -> None:
    made = KmsKeyring(primary, kms.client(HOME)).generate_data_key(CONTEXT)
    new = KmsKeyring(kms.create_key(AWAY), kms.client(AWAY))

    entry = new.reencrypt_data_key(made.encrypted[0], CONTEXT, source_key_arn=primary)

    assert _opened(new, entry) == [bytes(made.plaintext.view())]
    assert next(call for call in kms.calls if call.operation == "ReEncrypt").source_key_id == _in(AWAY, primary)


def test_reencryption_when_the_source_is_in_another_region_is_refused_before_any_call(kms: LocalKms) -> None:
    keyring = KmsKeyring(kms.create_key(HOME), kms.client(HOME))

    with pytest.raises(ConfigurationError, match="multi-Region"):
        keyring.reencrypt_data_key(EncryptedDataKey(b"hint", b"x"), CONTEXT, source_key_arn=kms.create_key(AWAY))

    assert kms.calls == ()


@pytest.mark.parametrize("kind", ["key/12345678-1234-1234-1234-123456789012", "alias/orders"])
def test_arn_when_of_another_region_and_no_multi_region_key_is_refused_before_any_call(
    kms: LocalKms, kind: str
) -> None:
    with pytest.raises(ConfigurationError, match=AWAY):
        KmsKeyring(f"arn:aws:kms:{HOME}:111122223333:{kind}", kms.client(AWAY))

    assert kms.calls == ()


def test_multi_region_arn_when_of_another_partition_is_refused(kms: LocalKms, primary: str) -> None:
    with pytest.raises(ConfigurationError, match="cn-north-1"):
        KmsKeyring(primary, kms.client("cn-north-1"))


def test_entry_when_the_answer_is_of_the_primary_is_refused_by_the_replica(
    kms: LocalKms, primary: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = KmsKeyring(primary, kms.client(HOME)).generate_data_key(CONTEXT)
    client = kms.client(AWAY)
    wiped: list[SecretBytes] = []

    def wipe(secret: SecretBytes) -> None:
        wiped.append(secret)

    monkeypatch.setattr(SecretBytes, "wipe", wipe)

    def lie(parsed: dict[str, object], **_: object) -> None:
        parsed["KeyId"] = primary

    client.meta.events.register("after-call.kms.Decrypt", lie)

    with pytest.raises(KeyAccessError, match=primary):
        _opened(KmsKeyring(primary, client), *made.encrypted)

    assert len(wiped) == 1


def test_grant_tokens_when_given_go_with_every_request_and_are_not_shown(kms: LocalKms) -> None:
    arn = kms.create_key(alias="alias/granted")
    keyring = KmsKeyring("alias/granted", kms.client(), grant_tokens=TOKENS)

    made = keyring.generate_data_key(CONTEXT)
    keyring.encrypt_data_key(made.plaintext, CONTEXT)
    _opened(keyring, *made.encrypted)
    keyring.reencrypt_data_key(made.encrypted[0], CONTEXT, source_key_arn=arn)

    assert {call.operation: call.grant_tokens for call in kms.calls} == dict.fromkeys(
        ["DescribeKey", "GenerateDataKey", "Encrypt", "Decrypt", "ReEncrypt"], TOKENS
    )
    assert not any(token in repr(keyring) for token in TOKENS)


def test_grant_tokens_when_there_are_none_are_not_sent(kms: LocalKms) -> None:
    KmsKeyring(kms.create_key(), kms.client()).generate_data_key(CONTEXT)

    assert kms.calls[-1].grant_tokens == ()


def test_grant_token_when_kms_refuses_it_says_what_to_do_and_not_the_token(kms: LocalKms) -> None:
    keyring = KmsKeyring(kms.create_key(), kms.client(), grant_tokens=["token-one"])
    kms.faults.fail("GenerateDataKey", "InvalidGrantTokenException")

    with pytest.raises(KeyAccessError, match="five minutes") as caught:
        keyring.generate_data_key(CONTEXT)

    assert "token-one" not in str(caught.value)


@pytest.mark.parametrize("tokens", [(), ["x"], ("x" * 8192,), tuple("0123456789")])
def test_grant_tokens_when_within_the_bounds_are_taken(kms: LocalKms, tokens: list[str]) -> None:
    KmsKeyring("alias/any", kms.client(), grant_tokens=tokens)


@pytest.mark.parametrize(
    "tokens", ["token", [""], [5], ["x" * 8193], list("0123456789a"), None, {"x"}, [b"x"]], ids=range(8)
)
def test_grant_tokens_when_out_of_bounds_are_refused_and_not_shown(kms: LocalKms, tokens: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="grant_tokens") as caught:
        KmsKeyring("alias/any", kms.client(), grant_tokens=tokens)

    assert "xxx" not in str(caught.value)


def test_entries_when_of_another_multi_region_key_do_not_match(kms: LocalKms, primary: str) -> None:
    other = KmsKeyring(kms.create_key(HOME, MultiRegion=True), kms.client(HOME)).generate_data_key(CONTEXT)

    with pytest.raises(NoMatchingKeyError):
        _opened(KmsKeyring(primary, kms.client(AWAY)), *other.encrypted)

    assert kms.count("Decrypt") == 0
