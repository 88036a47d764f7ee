"""What every KMS must do with keys: LocalKms and moto, side by side."""

import json
import uuid

from tests.contract import test_kms_crypto_contract, test_kms_rotation_contract
from tests.contract.kms_helpers import (
    OTHER_REGION,
    disable,
    key_id_of,
    new_alias_name,
    new_key,
    refused,
    replicate,
    schedule_deletion,
)
from tests.contract.kms_servers import MOTO_DEVIATIONS, KmsServer


def test_every_known_deviation_of_moto_names_a_test() -> None:
    tests = {*vars(test_kms_crypto_contract), *vars(test_kms_rotation_contract), *globals()}

    assert MOTO_DEVIATIONS.keys() <= tests


def test_new_key_is_an_enabled_symmetric_key_of_its_region(kms_server: KmsServer) -> None:
    kms = kms_server.client(OTHER_REGION)

    made = kms.describe_key(KeyId=new_key(kms))["KeyMetadata"]

    assert (made["KeyState"], made["Enabled"], made["KeySpec"]) == ("Enabled", True, "SYMMETRIC_DEFAULT")
    assert (made["Origin"], made["MultiRegion"]) == ("AWS_KMS", False)
    assert made["Arn"] == f"arn:aws:kms:{OTHER_REGION}:{made['AWSAccountId']}:key/{made['KeyId']}"
    assert str(uuid.UUID(made["KeyId"])) == made["KeyId"]


def test_new_key_is_for_encryption(kms_server: KmsServer) -> None:
    kms = kms_server.client()

    made = kms.describe_key(KeyId=new_key(kms))["KeyMetadata"]

    assert (made["KeyUsage"], made["EncryptionAlgorithms"]) == ("ENCRYPT_DECRYPT", ["SYMMETRIC_DEFAULT"])


def test_disable_key_accepts_a_key_arn(kms_server: KmsServer) -> None:
    kms = kms_server.client()
    arn = new_key(kms)

    kms.disable_key(KeyId=arn)

    assert not kms.describe_key(KeyId=arn)["KeyMetadata"]["Enabled"]


def test_disabled_key_can_be_described_as_such(kms_server: KmsServer) -> None:
    kms = kms_server.client()
    arn = new_key(kms)
    disable(kms, arn)

    assert kms.describe_key(KeyId=arn)["KeyMetadata"]["KeyState"] == "Disabled"


def test_list_keys_has_a_new_key(kms_server: KmsServer) -> None:
    kms = kms_server.client()
    arn = new_key(kms)

    pages = kms.get_paginator("list_keys").paginate(PaginationConfig={"PageSize": 2})

    assert arn in {key["KeyArn"] for found in pages for key in found["Keys"]}


def test_alias_alias_arn_key_id_and_key_arn_name_the_same_key(kms_server: KmsServer) -> None:
    kms = kms_server.client()
    arn, alias = new_key(kms), new_alias_name()
    kms.create_alias(AliasName=alias, TargetKeyId=arn)
    names = [alias, f"{arn.rpartition(':')[0]}:{alias}", key_id_of(arn), arn]

    used = [kms.generate_data_key(KeyId=name, KeySpec="AES_256")["KeyId"] for name in names]

    assert used == [arn] * 4


def test_updated_alias_names_the_other_key(kms_server: KmsServer) -> None:
    kms = kms_server.client()
    alias, other = new_alias_name(), new_key(kms)
    kms.create_alias(AliasName=alias, TargetKeyId=new_key(kms))

    kms.update_alias(AliasName=alias, TargetKeyId=other)

    assert kms.describe_key(KeyId=alias)["KeyMetadata"]["Arn"] == other


def test_alias_that_exists_cannot_be_made_again(kms_server: KmsServer) -> None:
    kms = kms_server.client()
    arn, alias = new_key(kms), new_alias_name()
    kms.create_alias(AliasName=alias, TargetKeyId=arn)

    with refused("AlreadyExistsException"):
        kms.create_alias(AliasName=alias, TargetKeyId=arn)


def test_deleted_alias_is_not_found(kms_server: KmsServer) -> None:
    kms = kms_server.client()
    alias = new_alias_name()
    kms.create_alias(AliasName=alias, TargetKeyId=new_key(kms))

    kms.delete_alias(AliasName=alias)

    with refused("NotFoundException"):
        kms.generate_data_key(KeyId=alias, KeySpec="AES_256")


def test_list_aliases_of_a_key_has_its_aliases_only(kms_server: KmsServer) -> None:
    kms = kms_server.client()
    arn, alias = new_key(kms), new_alias_name()
    kms.create_alias(AliasName=alias, TargetKeyId=arn)
    kms.create_alias(AliasName=new_alias_name(), TargetKeyId=new_key(kms))

    aliases = kms.list_aliases(KeyId=arn)["Aliases"]

    assert [entry["AliasName"] for entry in aliases] == [alias]
    assert aliases[0]["TargetKeyId"] == key_id_of(arn)


def test_unknown_key_is_not_found(kms_server: KmsServer) -> None:
    with refused("NotFoundException"):
        kms_server.client().generate_data_key(KeyId=str(uuid.uuid4()), KeySpec="AES_256")


def test_unknown_alias_is_not_found(kms_server: KmsServer) -> None:
    with refused("NotFoundException"):
        kms_server.client().generate_data_key(KeyId=new_alias_name(), KeySpec="AES_256")


def test_key_of_one_region_is_not_found_in_another(kms_server: KmsServer) -> None:
    arn = new_key(kms_server.client())

    with refused("NotFoundException"):
        kms_server.client(OTHER_REGION).describe_key(KeyId=key_id_of(arn))


def test_disabled_key_does_not_make_data_keys(kms_server: KmsServer) -> None:
    kms = kms_server.client()
    arn = new_key(kms)
    disable(kms, arn)

    with refused("DisabledException"):
        kms.generate_data_key(KeyId=arn, KeySpec="AES_256")


def test_disabled_key_does_not_decrypt(kms_server: KmsServer) -> None:
    kms = kms_server.client()
    arn = new_key(kms)
    blob = kms.encrypt(KeyId=arn, Plaintext=b"p")["CiphertextBlob"]
    disable(kms, arn)

    with refused("DisabledException"):
        kms.decrypt(CiphertextBlob=blob)


def test_enabled_again_key_decrypts(kms_server: KmsServer) -> None:
    kms = kms_server.client()
    arn = new_key(kms)
    blob = kms.encrypt(KeyId=arn, Plaintext=b"p")["CiphertextBlob"]
    disable(kms, arn)

    kms.enable_key(KeyId=key_id_of(arn))

    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"p"


def test_key_pending_deletion_does_not_decrypt(kms_server: KmsServer) -> None:
    kms = kms_server.client()
    arn = new_key(kms)
    blob = kms.encrypt(KeyId=arn, Plaintext=b"p")["CiphertextBlob"]
    schedule_deletion(kms, arn)

    with refused("KMSInvalidStateException"):
        kms.decrypt(CiphertextBlob=blob)


def test_key_whose_deletion_is_cancelled_is_disabled(kms_server: KmsServer) -> None:
    kms = kms_server.client()
    arn = new_key(kms)
    schedule_deletion(kms, arn)

    kms.cancel_key_deletion(KeyId=key_id_of(arn))

    assert kms.describe_key(KeyId=arn)["KeyMetadata"]["KeyState"] == "Disabled"


def test_multi_region_key_has_an_id_of_its_own_kind(kms_server: KmsServer) -> None:
    kms = kms_server.client()

    made = kms.describe_key(KeyId=new_key(kms, multi_region=True))["KeyMetadata"]

    assert made["MultiRegion"]
    assert made["KeyId"].startswith("mrk-")
    assert len(made["KeyId"]) == 36


def test_multi_region_key_decrypts_what_it_encrypted(kms_server: KmsServer) -> None:
    kms = kms_server.client()

    blob = kms.encrypt(KeyId=new_key(kms, multi_region=True), Plaintext=b"p")["CiphertextBlob"]

    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"p"


def test_replica_opens_what_its_primary_sealed_and_the_reverse(kms_server: KmsServer) -> None:
    here, there = kms_server.client(), kms_server.client(OTHER_REGION)
    arn = new_key(here, multi_region=True)
    replica = replicate(here, arn)

    sealed_here = here.encrypt(KeyId=arn, Plaintext=b"here")["CiphertextBlob"]
    sealed_there = there.encrypt(KeyId=replica, Plaintext=b"there")["CiphertextBlob"]
    opened_there = there.decrypt(CiphertextBlob=sealed_here)
    opened_here = here.decrypt(CiphertextBlob=sealed_there)

    assert (opened_there["Plaintext"], opened_here["Plaintext"]) == (b"here", b"there")
    assert (opened_there["KeyId"], opened_here["KeyId"]) == (replica, arn)


def test_replication_leaves_the_primary_the_primary(kms_server: KmsServer) -> None:
    here, there = kms_server.client(), kms_server.client(OTHER_REGION)
    arn = new_key(here, multi_region=True)
    replica = replicate(here, arn)

    other = there.describe_key(KeyId=replica)["KeyMetadata"]["MultiRegionConfiguration"]
    primary = here.describe_key(KeyId=arn)["KeyMetadata"]["MultiRegionConfiguration"]

    assert (primary["MultiRegionKeyType"], other["MultiRegionKeyType"]) == ("PRIMARY", "REPLICA")
    assert [entry["Arn"] for entry in primary["ReplicaKeys"]] == [replica]


def test_updated_primary_region_swaps_the_roles(kms_server: KmsServer) -> None:
    here, there = kms_server.client(), kms_server.client(OTHER_REGION)
    arn = new_key(here, multi_region=True)
    replicate(here, arn)

    here.update_primary_region(KeyId=key_id_of(arn), PrimaryRegion=OTHER_REGION)

    described = there.describe_key(KeyId=key_id_of(arn))["KeyMetadata"]
    assert described["MultiRegionConfiguration"]["MultiRegionKeyType"] == "PRIMARY"


def test_rotation_status_shows_the_period(kms_server: KmsServer) -> None:
    kms = kms_server.client()
    arn = new_key(kms)
    before = kms.get_key_rotation_status(KeyId=arn)["KeyRotationEnabled"]

    kms.enable_key_rotation(KeyId=arn, RotationPeriodInDays=90)
    during = kms.get_key_rotation_status(KeyId=arn)
    kms.disable_key_rotation(KeyId=arn)
    after = kms.get_key_rotation_status(KeyId=arn)["KeyRotationEnabled"]

    assert (before, during["KeyRotationEnabled"], after) == (False, True, False)
    assert during["RotationPeriodInDays"] == 90


def test_old_ciphertexts_open_after_a_rotation_on_demand(kms_server: KmsServer) -> None:
    kms = kms_server.client()
    arn = new_key(kms)
    blob = kms.encrypt(KeyId=arn, Plaintext=b"p")["CiphertextBlob"]

    kms.rotate_key_on_demand(KeyId=arn)

    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"p"


def test_rotations_on_demand_are_listed(kms_server: KmsServer) -> None:
    kms = kms_server.client()
    arn = new_key(kms)

    kms.rotate_key_on_demand(KeyId=arn)

    assert [entry["RotationType"] for entry in kms.list_key_rotations(KeyId=arn)["Rotations"]] == ["ON_DEMAND"]


def _denial(action: str) -> str:
    allow = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "kms:*", "Resource": "*"}
    deny = {"Effect": "Deny", "Principal": "*", "Action": action, "Resource": "*"}
    return json.dumps({"Version": "2012-10-17", "Statement": [allow, deny]})


def test_key_policy_is_kept_as_given(kms_server: KmsServer) -> None:
    kms = kms_server.client()
    arn, policy = new_key(kms), _denial("kms:Decrypt")

    kms.put_key_policy(KeyId=arn, Policy=policy, PolicyName="default")

    assert json.loads(kms.get_key_policy(KeyId=arn, PolicyName="default")["Policy"]) == json.loads(policy)


def test_key_policy_that_denies_decrypt_is_enforced(kms_server: KmsServer) -> None:
    kms = kms_server.client()
    arn = new_key(kms)
    blob = kms.encrypt(KeyId=arn, Plaintext=b"p")["CiphertextBlob"]

    kms.put_key_policy(KeyId=arn, Policy=_denial("kms:Decrypt"), PolicyName="default")

    with refused("AccessDeniedException"):
        kms.decrypt(CiphertextBlob=blob)


def test_tags_are_listed(kms_server: KmsServer) -> None:
    kms = kms_server.client()
    arn = new_key(kms)

    kms.tag_resource(KeyId=arn, Tags=[{"TagKey": "team", "TagValue": "orders"}])

    assert kms.list_resource_tags(KeyId=arn)["Tags"] == [{"TagKey": "team", "TagValue": "orders"}]
