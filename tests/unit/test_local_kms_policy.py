"""LocalKms enforces what key policies deny."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from s3envelope.testing import LocalKms

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

ALICE, BOB = "ALICEACCESSKEY", "BOBACCESSKEY"
ALICE_ARN = f"arn:aws:iam::111122223333:user/{ALICE}"


@pytest.fixture(scope="module")
def local_kms() -> Iterator[LocalKms]:
    with LocalKms() as running:
        yield running


@pytest.fixture(scope="module")
def alice(local_kms: LocalKms) -> KMSClient:
    return local_kms.client(access_key_id=ALICE)


@pytest.fixture(scope="module")
def bob(local_kms: LocalKms) -> KMSClient:
    return local_kms.client(access_key_id=BOB)


@pytest.fixture
def key(local_kms: LocalKms) -> str:
    return local_kms.create_key()


def _policy(**denial: object) -> str:
    allow = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "kms:*", "Resource": "*"}
    deny = {"Effect": "Deny", "Principal": "*", "Resource": "*", **denial}
    return json.dumps({"Version": "2012-10-17", "Statement": [allow, deny]})


def _is_denied(client: KMSClient, key: str, context: dict[str, str] | None = None) -> bool:
    try:
        client.generate_data_key(KeyId=key, KeySpec="AES_256", EncryptionContext=context or {})
    except ClientError as error:
        if error.response["Error"]["Code"] != "AccessDeniedException":
            raise
        return True
    return False


def test_denial_is_worded_as_aws_words_it(alice: KMSClient, key: str) -> None:
    blob = alice.encrypt(KeyId=key, Plaintext=b"p")["CiphertextBlob"]
    alice.put_key_policy(KeyId=key, Policy=_policy(Action="kms:Decrypt"))

    with pytest.raises(ClientError) as caught:
        alice.decrypt(CiphertextBlob=blob)

    assert caught.value.response["Error"]["Message"] == (
        f"User: {ALICE_ARN} is not authorized to perform: kms:Decrypt on resource: {key} "
        "with an explicit deny in a resource-based policy"
    )


@pytest.mark.parametrize("action", ["kms:GenerateDataKey", "kms:GenerateDataKey*", "kms:Gen*", "kms:*", "*"])
def test_action_with_wildcards_is_denied(local_kms: LocalKms, alice: KMSClient, key: str, action: str) -> None:
    local_kms.perform("PutKeyPolicy", KeyId=key, Policy=_policy(Action=[action]))

    assert _is_denied(alice, key)


@pytest.mark.parametrize("action", ["kms:Decrypt", "kms:GenerateDataKeyWithoutPlaintext", "kms:GenerateDataKey?"])
def test_other_action_is_not_denied(alice: KMSClient, key: str, action: str) -> None:
    alice.put_key_policy(KeyId=key, Policy=_policy(Action=action))

    assert not _is_denied(alice, key)


def test_not_action_denies_everything_else(alice: KMSClient, key: str) -> None:
    alice.put_key_policy(KeyId=key, Policy=_policy(NotAction=["kms:PutKeyPolicy", "kms:DescribeKey"]))

    assert _is_denied(alice, key)
    assert alice.describe_key(KeyId=key)["KeyMetadata"]["Arn"] == key


@pytest.mark.parametrize("principal", [ALICE_ARN, ALICE, [ALICE_ARN, "arn:aws:iam::111122223333:user/X"]])
def test_principal_is_denied_and_nobody_else(alice: KMSClient, bob: KMSClient, key: str, principal: object) -> None:
    alice.put_key_policy(KeyId=key, Policy=_policy(Principal={"AWS": principal}, Action="kms:Generate*"))

    assert (_is_denied(alice, key), _is_denied(bob, key)) == (True, False)


@pytest.mark.parametrize("principal", ["*", "111122223333", "arn:aws:iam::111122223333:root"])
def test_principal_of_the_account_is_everybody(alice: KMSClient, key: str, principal: str) -> None:
    alice.put_key_policy(KeyId=key, Policy=_policy(Principal={"AWS": principal}, Action="kms:Generate*"))

    assert _is_denied(alice, key)


def test_service_principal_is_not_a_user(alice: KMSClient, key: str) -> None:
    policy = _policy(Principal={"Service": "s3.amazonaws.com"}, Action="kms:*")
    alice.put_key_policy(KeyId=key, Policy=policy)

    assert not _is_denied(alice, key)


@pytest.mark.parametrize(
    ("operator", "context", "denied"),
    [
        ("StringEquals", {"team": "red"}, True),
        ("StringEquals", {"team": "reds"}, False),
        ("StringEquals", {}, False),
        ("StringNotEquals", {"team": "red"}, False),
        ("StringNotEquals", {"team": "blue"}, True),
        ("StringNotEquals", {}, True),
    ],
)
def test_condition_on_the_encryption_context_decides(
    alice: KMSClient, key: str, operator: str, context: dict[str, str], denied: bool
) -> None:
    condition = {operator: {"kms:EncryptionContext:team": "red"}}
    alice.put_key_policy(KeyId=key, Policy=_policy(Action="kms:GenerateDataKey", Condition=condition))

    assert _is_denied(alice, key, context) is denied


def test_re_encrypt_is_denied_on_the_side_that_denies(local_kms: LocalKms, alice: KMSClient, key: str) -> None:
    other = local_kms.create_key()
    blob = alice.encrypt(KeyId=key, Plaintext=b"p")["CiphertextBlob"]
    alice.put_key_policy(KeyId=other, Policy=_policy(Action="kms:ReEncryptTo"))

    with pytest.raises(ClientError, match=f"kms:ReEncryptTo on resource: {other}"):
        alice.re_encrypt(CiphertextBlob=blob, DestinationKeyId=other)

    moved = alice.re_encrypt(CiphertextBlob=blob, DestinationKeyId=key)
    assert moved["KeyId"] == key


def test_dry_run_of_a_denied_call_is_denied(alice: KMSClient, key: str) -> None:
    alice.put_key_policy(KeyId=key, Policy=_policy(Action="kms:GenerateDataKey"))

    with pytest.raises(ClientError, match="AccessDeniedException"):
        alice.generate_data_key(KeyId=key, KeySpec="AES_256", DryRun=True)


def test_policy_that_locks_its_author_out_is_refused_unless_bypassed(alice: KMSClient, key: str) -> None:
    policy = _policy(Action="kms:*")

    with pytest.raises(ClientError, match="MalformedPolicyDocumentException"):
        alice.put_key_policy(KeyId=key, Policy=policy)

    alice.put_key_policy(KeyId=key, Policy=policy, BypassPolicyLockoutSafetyCheck=True)
    assert _is_denied(alice, key)


@pytest.mark.parametrize(
    "policy",
    [
        "not json",
        "[]",
        "{}",
        _policy(Action="kms:*", Effect="Maybe"),
        _policy(Principal="*"),
        _policy(Action=5),
        _policy(Action="kms:*", Condition={"NumericEquals": {"kms:Any": "5"}}),
        _policy(Action="kms:*", Condition={"StringEquals": {"kms:ViaService": "s3.amazonaws.com"}}),
    ],
)
def test_policy_that_cannot_be_decided_is_refused(alice: KMSClient, key: str, policy: str) -> None:
    with pytest.raises(ClientError, match="MalformedPolicyDocumentException"):
        alice.put_key_policy(KeyId=key, Policy=policy)


def test_default_policy_gives_the_account_everything(alice: KMSClient, key: str) -> None:
    answer = alice.get_key_policy(KeyId=key)

    statement = json.loads(answer["Policy"])["Statement"][0]
    assert (statement["Principal"]["AWS"], statement["Action"]) == ("arn:aws:iam::111122223333:root", "kms:*")
    assert answer["PolicyName"] == "default"
