"""LocalKms refuses what it does not know: parameters, types, names, operations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from s3envelope.testing import LocalKms
from s3envelope.testing.local_kms import KmsServiceError
from s3envelope.testing.local_kms.schema import REQUESTS
from s3envelope.testing.local_kms.service import OPERATIONS

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

ID = "11111111-2222-3333-4444-555555555555"


@pytest.fixture(scope="module")
def local_kms() -> Iterator[LocalKms]:
    with LocalKms() as running:
        yield running


@pytest.fixture(scope="module")
def kms(local_kms: LocalKms) -> KMSClient:
    return local_kms.client(config=Config(parameter_validation=False))


@pytest.fixture(scope="module")
def key(local_kms: LocalKms) -> str:
    return local_kms.create_key(alias="alias/existing")


def _error(local_kms: LocalKms, operation: str, **parameters: object) -> tuple[str, str]:
    with pytest.raises(KmsServiceError) as caught:
        local_kms.perform(operation, "us-east-1", **parameters)
    return caught.value.code, caught.value.message


def test_every_operation_has_a_schema_and_its_parameters_exist_in_botocore(kms: KMSClient) -> None:
    model = kms.meta.service_model

    assert REQUESTS.keys() == OPERATIONS.keys()
    for operation, members in REQUESTS.items():
        shape = model.operation_model(operation).input_shape
        assert shape is not None
        assert members.keys() <= shape.members.keys()
        required = {name for name, member in members.items() if member.required}
        assert required >= set(shape.required_members)


@pytest.mark.parametrize("operation", sorted(OPERATIONS))
def test_unknown_parameter_is_refused(local_kms: LocalKms, operation: str) -> None:
    assert _error(local_kms, operation, Surprise="x")[0] == "ValidationException"


@pytest.mark.parametrize(
    ("operation", "parameters", "code"),
    [
        ("GenerateDataKey", {"KeySpec": "AES_256"}, "ValidationException"),
        ("GenerateDataKey", {"KeyId": "", "KeySpec": "AES_256"}, "ValidationException"),
        ("GenerateDataKey", {"KeyId": ID, "KeySpec": "AES_512"}, "ValidationException"),
        ("GenerateDataKey", {"KeyId": ID, "NumberOfBytes": 0}, "ValidationException"),
        ("GenerateDataKey", {"KeyId": ID, "NumberOfBytes": 1025}, "ValidationException"),
        ("GenerateDataKey", {"KeyId": ID, "NumberOfBytes": "32"}, "SerializationException"),
        ("GenerateDataKey", {"KeyId": ID, "NumberOfBytes": True}, "SerializationException"),
        ("GenerateDataKey", {"KeyId": 5, "KeySpec": "AES_256"}, "SerializationException"),
        ("GenerateDataKey", {"KeyId": ID, "EncryptionContext": {"a": 1}}, "SerializationException"),
        ("GenerateDataKey", {"KeyId": ID, "EncryptionContext": ["a"]}, "SerializationException"),
        ("GenerateDataKey", {"KeyId": ID, "DryRun": "yes"}, "SerializationException"),
        ("Encrypt", {"KeyId": ID, "Plaintext": ""}, "ValidationException"),
        ("Encrypt", {"KeyId": ID, "Plaintext": "not base64!"}, "SerializationException"),
        ("Decrypt", {"CiphertextBlob": "A" * 8196}, "ValidationException"),
        ("ScheduleKeyDeletion", {"KeyId": ID, "PendingWindowInDays": 6}, "ValidationException"),
        ("ScheduleKeyDeletion", {"KeyId": ID, "PendingWindowInDays": 31}, "ValidationException"),
        ("EnableKeyRotation", {"KeyId": ID, "RotationPeriodInDays": 89}, "ValidationException"),
        ("EnableKeyRotation", {"KeyId": ID, "RotationPeriodInDays": 2561}, "ValidationException"),
        ("CreateKey", {"Tags": [{"TagKey": "a"}]}, "SerializationException"),
        ("CreateKey", {"Tags": [{"TagKey": "aws:a", "TagValue": "b"}]}, "TagException"),
        ("ListKeys", {"Marker": "not ours"}, "InvalidMarkerException"),
        ("CreateAlias", {"AliasName": "no-prefix", "TargetKeyId": ID}, "ValidationException"),
        ("CreateAlias", {"AliasName": "alias/aws/s3", "TargetKeyId": ID}, "InvalidAliasNameException"),
        ("CreateAlias", {"AliasName": "alias/a b", "TargetKeyId": ID}, "ValidationException"),
        ("CreateAlias", {"AliasName": "alias/a", "TargetKeyId": "alias/b"}, "ValidationException"),
        ("GenerateRandom", {}, "UnknownOperationException"),
    ],
)
def test_parameter_that_breaks_a_rule_is_refused(
    local_kms: LocalKms, operation: str, parameters: dict[str, object], code: str
) -> None:
    assert _error(local_kms, operation, **parameters)[0] == code


def test_plaintext_that_is_too_long_stays_out_of_the_message(local_kms: LocalKms, key: str) -> None:
    code, message = _error(local_kms, "Encrypt", KeyId=key, Plaintext="QUJD" * 1366)

    assert code == "ValidationException"
    assert "4096" in message
    assert "ABC" not in message


def test_both_sizes_of_a_data_key_are_refused_in_aws_words(local_kms: LocalKms, key: str) -> None:
    error = _error(local_kms, "GenerateDataKey", KeyId=key, KeySpec="AES_256", NumberOfBytes=32)

    assert error == ("ValidationException", "Please specify either number of bytes or key spec.")


def test_refusal_reaches_a_boto_client_that_does_not_validate(kms: KMSClient, key: str) -> None:
    with pytest.raises(ClientError, match="SerializationException"):
        kms.generate_data_key(KeyId=key, NumberOfBytes="32")  # type: ignore[arg-type]


def test_operation_that_local_kms_lacks_is_refused(kms: KMSClient) -> None:
    with pytest.raises(ClientError, match="UnknownOperationException"):
        kms.generate_random(NumberOfBytes=8)


# ---- names of keys ----


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("nonsense", "NotFoundException"),
        (ID, "NotFoundException"),
        ("mrk-" + "0" * 32, "NotFoundException"),
        ("alias/nothing", "NotFoundException"),
        (f"arn:aws:kms:us-east-1:111122223333:key/{ID}", "NotFoundException"),
        (f"arn:aws:kms:us-west-2:111122223333:key/{ID}", "NotFoundException"),
        (f"arn:aws:kms:us-east-1:999999999999:key/{ID}", "NotFoundException"),
        ("arn:aws:kms:us-east-1:111122223333:alias/nothing", "NotFoundException"),
        (f"arn:aws:kms:us-east-1:1111:key/{ID}", "InvalidArnException"),
        ("arn:aws:s3:::bucket", "InvalidArnException"),
        ("arn:", "InvalidArnException"),
    ],
)
def test_name_of_no_key_is_refused(local_kms: LocalKms, name: str, code: str) -> None:
    assert _error(local_kms, "DescribeKey", KeyId=name)[0] == code


def test_existing_key_under_another_account_is_not_found(local_kms: LocalKms, key: str) -> None:
    foreign = key.replace("111122223333", "999999999999")

    assert _error(local_kms, "DescribeKey", KeyId=foreign)[0] == "NotFoundException"


def test_alias_is_not_accepted_where_aws_wants_a_key(local_kms: LocalKms, key: str) -> None:
    for operation in ("DisableKey", "EnableKeyRotation", "ScheduleKeyDeletion", "GetKeyPolicy"):
        assert _error(local_kms, operation, KeyId="alias/existing")[0] == "NotFoundException"


def test_name_of_another_partition_follows_the_region() -> None:
    with LocalKms() as kms:
        china = kms.create_key("cn-north-1")

        assert china.startswith("arn:aws-cn:kms:cn-north-1:")
        assert kms.client("cn-north-1").describe_key(KeyId=china)["KeyMetadata"]["Arn"] == china


# ---- pages ----


def test_pages_hold_every_key_once(kms: KMSClient, local_kms: LocalKms) -> None:
    made = {local_kms.create_key("ap-south-1") for _ in range(5)}
    client = local_kms.client("ap-south-1")

    pages = client.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 2})
    listed = [entry["KeyArn"] for page in pages for entry in page["Keys"]]

    assert sorted(listed) == sorted(made)


def test_alias_moves_only_between_keys_of_one_kind(kms: KMSClient, local_kms: LocalKms, key: str) -> None:
    rsa = local_kms.create_key(KeySpec="RSA_2048")

    with pytest.raises(ClientError, match="ValidationException"):
        kms.update_alias(AliasName="alias/existing", TargetKeyId=rsa)


def test_untagged_key_has_the_other_tags(kms: KMSClient, local_kms: LocalKms) -> None:
    tags = [{"TagKey": name, "TagValue": "v"} for name in ("a", "b")]
    key = local_kms.create_key(Tags=tags)

    kms.untag_resource(KeyId=key, TagKeys=["a"])

    assert [tag["TagKey"] for tag in kms.list_resource_tags(KeyId=key)["Tags"]] == ["b"]


def test_description_is_described_until_updated(kms: KMSClient, local_kms: LocalKms) -> None:
    key = local_kms.create_key(Description="old")

    kms.update_key_description(KeyId=key, Description="new")

    assert kms.describe_key(KeyId=key)["KeyMetadata"]["Description"] == "new"


def test_grant_tokens_are_accepted(kms: KMSClient, key: str) -> None:
    assert kms.generate_data_key(KeyId=key, KeySpec="AES_256", GrantTokens=["token"])["KeyId"] == key
