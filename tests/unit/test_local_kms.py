"""LocalKms through a real boto3 client: keys, ciphertexts, rotation, Regions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from s3envelope.testing import LocalKms

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

DAY_SECONDS = 86400.0
HERE, THERE = "us-east-1", "eu-west-1"


class TurnableClock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now

    def turn_days(self, days: float) -> None:
        self.now += days * DAY_SECONDS


@contextmanager
def refused(code: str, *words: str) -> Iterator[None]:
    with pytest.raises(ClientError) as caught:
        yield
    error = caught.value.response["Error"]
    assert error["Code"] == code
    for word in words:
        assert word in error["Message"]


@pytest.fixture(scope="module")
def clock() -> TurnableClock:
    return TurnableClock()


@pytest.fixture(scope="module")
def local_kms(clock: TurnableClock) -> Iterator[LocalKms]:
    with LocalKms(clock=clock) as running:
        yield running


@pytest.fixture(scope="module")
def kms(local_kms: LocalKms) -> KMSClient:
    return local_kms.client(HERE)


@pytest.fixture(scope="module")
def kms_there(local_kms: LocalKms) -> KMSClient:
    return local_kms.client(THERE)


@pytest.fixture
def key(local_kms: LocalKms) -> str:
    return local_kms.create_key(HERE)


# ---- ciphertexts ----


@pytest.mark.parametrize("size", [1, 16, 32, 1024])
def test_encrypted_data_key_is_152_bytes_longer_and_starts_like_aws(kms: KMSClient, key: str, size: int) -> None:
    blob = kms.generate_data_key(KeyId=key, NumberOfBytes=size)["CiphertextBlob"]

    assert len(blob) == size + 152
    assert blob.startswith(b"\x01\x02\x03\x00\x78")


def test_ciphertext_size_does_not_depend_on_the_context(kms: KMSClient, key: str) -> None:
    context = {"name": "v" * 1000}

    blob = kms.generate_data_key(KeyId=key, KeySpec="AES_256", EncryptionContext=context)["CiphertextBlob"]

    assert len(blob) == 184


def test_flipped_byte_of_a_multi_region_ciphertext_is_refused_everywhere(kms: KMSClient, local_kms: LocalKms) -> None:
    key = local_kms.create_key(HERE, MultiRegion=True)
    blob = kms.generate_data_key(KeyId=key, KeySpec="AES_256")["CiphertextBlob"]

    for position in range(0, len(blob), 7):
        broken = blob[:position] + bytes([blob[position] ^ 0x80]) + blob[position + 1 :]
        with refused("InvalidCiphertextException"):
            kms.decrypt(CiphertextBlob=broken, KeyId=key)


@pytest.mark.parametrize("size", [1, 151, 152, 183])
def test_truncated_ciphertext_is_refused(kms: KMSClient, key: str, size: int) -> None:
    blob = kms.generate_data_key(KeyId=key, KeySpec="AES_256")["CiphertextBlob"]

    with refused("InvalidCiphertextException"):
        kms.decrypt(CiphertextBlob=blob[:size])


def test_extended_ciphertext_is_refused(kms: KMSClient, key: str) -> None:
    blob = kms.generate_data_key(KeyId=key, KeySpec="AES_256")["CiphertextBlob"]

    with refused("InvalidCiphertextException"):
        kms.decrypt(CiphertextBlob=blob + b"\x00")


def test_ciphertext_of_another_service_is_refused(kms: KMSClient) -> None:
    with LocalKms() as other:
        blob = other.client().encrypt(KeyId=other.create_key(), Plaintext=b"p")["CiphertextBlob"]

    with refused("InvalidCiphertextException"):
        kms.decrypt(CiphertextBlob=blob)


def test_context_with_json_syntax_is_no_other_context(kms: KMSClient, key: str) -> None:
    blob = kms.encrypt(KeyId=key, Plaintext=b"p", EncryptionContext={"a": 'b","c":"d'})["CiphertextBlob"]

    with refused("InvalidCiphertextException"):
        kms.decrypt(CiphertextBlob=blob, EncryptionContext={"a": "b", "c": "d"})


def test_same_seed_makes_the_same_keys_and_ciphertexts() -> None:
    def sample(seed: int) -> tuple[str, bytes]:
        with LocalKms(seed=seed) as kms:
            key = kms.create_key()
            made = kms.client().generate_data_key(KeyId=key, KeySpec="AES_256")
            return key, made["CiphertextBlob"]

    assert sample(1) == sample(1)
    assert sample(1) != sample(2)


def test_re_encrypt_names_source_and_destination(kms: KMSClient, key: str, local_kms: LocalKms) -> None:
    other = local_kms.create_key(HERE)
    blob = kms.encrypt(KeyId=key, Plaintext=b"p")["CiphertextBlob"]

    moved = kms.re_encrypt(CiphertextBlob=blob, SourceKeyId=key, DestinationKeyId=other)

    assert (moved["SourceKeyId"], moved["KeyId"]) == (key, other)
    assert moved["DestinationKeyMaterialId"] != moved["SourceKeyMaterialId"]


# ---- kinds of keys ----


@pytest.mark.parametrize(("spec", "usage"), [("HMAC_256", "GENERATE_VERIFY_MAC"), ("RSA_2048", "ENCRYPT_DECRYPT")])
@pytest.mark.parametrize("dry_run", [False, True])
def test_key_of_another_kind_makes_no_data_key(
    kms: KMSClient, local_kms: LocalKms, spec: str, usage: str, dry_run: bool
) -> None:
    key = local_kms.create_key(HERE, KeySpec=spec, KeyUsage=usage)

    with refused("InvalidKeyUsageException"):
        kms.generate_data_key(KeyId=key, KeySpec="AES_256", DryRun=dry_run)


def test_usage_that_does_not_fit_the_spec_is_refused(kms: KMSClient) -> None:
    with refused("ValidationException"):
        kms.create_key(KeySpec="HMAC_256", KeyUsage="ENCRYPT_DECRYPT")


def test_asymmetric_algorithm_on_a_symmetric_key_is_refused(kms: KMSClient, key: str) -> None:
    with refused("InvalidKeyUsageException"):
        kms.encrypt(KeyId=key, Plaintext=b"p", EncryptionAlgorithm="RSAES_OAEP_SHA_256")


def test_key_without_imported_material_awaits_import(kms: KMSClient) -> None:
    made = kms.create_key(Origin="EXTERNAL")["KeyMetadata"]

    assert (made["KeyState"], made["Origin"], made["Enabled"]) == ("PendingImport", "EXTERNAL", False)
    with refused("KMSInvalidStateException", "pending import"):
        kms.generate_data_key(KeyId=made["KeyId"], KeySpec="AES_256")


# ---- dry runs ----


def test_dry_run_of_every_crypto_operation_says_it_would_succeed(kms: KMSClient, key: str) -> None:
    blob = kms.encrypt(KeyId=key, Plaintext=b"p")["CiphertextBlob"]

    with refused("DryRunOperationException"):
        kms.encrypt(KeyId=key, Plaintext=b"p", DryRun=True)
    with refused("DryRunOperationException"):
        kms.generate_data_key_without_plaintext(KeyId=key, KeySpec="AES_256", DryRun=True)
    with refused("DryRunOperationException"):
        kms.decrypt(CiphertextBlob=blob, DryRun=True)
    with refused("DryRunOperationException"):
        kms.re_encrypt(CiphertextBlob=blob, DestinationKeyId=key, DryRun=True)


def test_dry_run_that_would_fail_gives_the_real_error(kms: KMSClient, key: str) -> None:
    blob = kms.encrypt(KeyId=key, Plaintext=b"p")["CiphertextBlob"]

    with refused("InvalidCiphertextException"):
        kms.decrypt(CiphertextBlob=blob, EncryptionContext={"another": "context"}, DryRun=True)


# ---- states ----


def test_refusals_by_state_name_the_key(kms: KMSClient, key: str) -> None:
    kms.disable_key(KeyId=key)
    with refused("DisabledException", f"{key} is disabled."):
        kms.generate_data_key(KeyId=key, KeySpec="AES_256")

    kms.schedule_key_deletion(KeyId=key)
    with refused("KMSInvalidStateException", f"{key} is pending deletion."):
        kms.generate_data_key(KeyId=key, KeySpec="AES_256")


def test_key_pending_deletion_cannot_be_enabled_tagged_or_aliased(kms: KMSClient, key: str) -> None:
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)

    with refused("KMSInvalidStateException"):
        kms.enable_key(KeyId=key)
    with refused("KMSInvalidStateException"):
        kms.tag_resource(KeyId=key, Tags=[{"TagKey": "a", "TagValue": "b"}])
    with refused("KMSInvalidStateException"):
        kms.create_alias(AliasName="alias/too-late", TargetKeyId=key)
    with refused("KMSInvalidStateException"):
        kms.schedule_key_deletion(KeyId=key)


def test_key_not_pending_deletion_cannot_be_cancelled(kms: KMSClient, key: str) -> None:
    with refused("KMSInvalidStateException", "not pending deletion"):
        kms.cancel_key_deletion(KeyId=key)


def test_key_is_gone_with_its_alias_when_the_waiting_period_is_over(
    kms: KMSClient, local_kms: LocalKms, clock: TurnableClock
) -> None:
    key = local_kms.create_key(HERE, alias="alias/doomed")
    blob = kms.encrypt(KeyId=key, Plaintext=b"p")["CiphertextBlob"]
    kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=7)
    clock.turn_days(6.9)
    assert kms.describe_key(KeyId="alias/doomed")["KeyMetadata"]["KeyState"] == "PendingDeletion"

    clock.turn_days(0.2)

    with refused("NotFoundException", "does not exist"):
        kms.describe_key(KeyId=key)
    with refused("NotFoundException", "is not found"):
        kms.describe_key(KeyId="alias/doomed")
    with refused("AccessDeniedException", "does not exist in this region"):
        kms.decrypt(CiphertextBlob=blob)


def test_primary_key_waits_for_its_replicas(
    kms: KMSClient, kms_there: KMSClient, local_kms: LocalKms, clock: TurnableClock
) -> None:
    key = local_kms.create_key(HERE, MultiRegion=True)
    replica = kms.replicate_key(KeyId=key, ReplicaRegion=THERE)["ReplicaKeyMetadata"]["Arn"]
    state = kms.schedule_key_deletion(KeyId=key, PendingWindowInDays=10)
    assert state["KeyState"] == "PendingReplicaDeletion"
    assert "DeletionDate" not in state
    with refused("KMSInvalidStateException", "pending replica deletion"):
        kms.schedule_key_deletion(KeyId=key)
    kms_there.schedule_key_deletion(KeyId=replica, PendingWindowInDays=7)

    clock.turn_days(7.1)

    assert kms.describe_key(KeyId=key)["KeyMetadata"]["KeyState"] == "PendingDeletion"
    clock.turn_days(10.1)
    with refused("NotFoundException"):
        kms.describe_key(KeyId=key)


# ---- rotation ----


def test_rotation_on_demand_changes_the_material_and_keeps_the_old(kms: KMSClient, key: str) -> None:
    old = kms.generate_data_key(KeyId=key, KeySpec="AES_256")

    kms.rotate_key_on_demand(KeyId=key)
    new = kms.generate_data_key(KeyId=key, KeySpec="AES_256")
    opened = kms.decrypt(CiphertextBlob=old["CiphertextBlob"])

    assert new["KeyMaterialId"] != old["KeyMaterialId"]
    assert (opened["Plaintext"], opened["KeyMaterialId"]) == (old["Plaintext"], old["KeyMaterialId"])


def test_list_key_rotations_shows_the_first_material_on_request_only(kms: KMSClient, key: str) -> None:
    kms.rotate_key_on_demand(KeyId=key)

    rotations = kms.list_key_rotations(KeyId=key)["Rotations"]
    everything = kms.list_key_rotations(KeyId=key, IncludeKeyMaterial="ALL_KEY_MATERIAL")["Rotations"]

    assert [entry["RotationType"] for entry in rotations] == ["ON_DEMAND"]
    assert [entry["KeyMaterialState"] for entry in everything] == ["NON_CURRENT", "CURRENT"]


def test_automatic_rotation_happens_on_its_date(kms: KMSClient, key: str, clock: TurnableClock) -> None:
    kms.enable_key_rotation(KeyId=key, RotationPeriodInDays=90)
    status = kms.get_key_rotation_status(KeyId=key)
    old = kms.generate_data_key(KeyId=key, KeySpec="AES_256")

    clock.turn_days(90)
    new = kms.generate_data_key(KeyId=key, KeySpec="AES_256")

    assert status["NextRotationDate"].timestamp() == clock.now
    assert new["KeyMaterialId"] != old["KeyMaterialId"]
    assert kms.decrypt(CiphertextBlob=old["CiphertextBlob"])["Plaintext"] == old["Plaintext"]
    assert [entry["RotationType"] for entry in kms.list_key_rotations(KeyId=key)["Rotations"]] == ["AUTOMATIC"]


def test_26th_rotation_on_demand_is_refused(kms: KMSClient, key: str) -> None:
    for _ in range(25):
        kms.rotate_key_on_demand(KeyId=key)

    with refused("LimitExceededException"):
        kms.rotate_key_on_demand(KeyId=key)


def test_rotation_of_an_asymmetric_or_disabled_key_is_refused(kms: KMSClient, local_kms: LocalKms, key: str) -> None:
    rsa = local_kms.create_key(HERE, KeySpec="RSA_2048")
    kms.disable_key(KeyId=key)

    with refused("UnsupportedOperationException"):
        kms.enable_key_rotation(KeyId=rsa)
    with refused("DisabledException"):
        kms.rotate_key_on_demand(KeyId=key)


# ---- Regions ----


def test_rotation_of_the_primary_reaches_its_replica(kms: KMSClient, kms_there: KMSClient, local_kms: LocalKms) -> None:
    key = local_kms.create_key(HERE, MultiRegion=True)
    replica = kms.replicate_key(KeyId=key, ReplicaRegion=THERE)["ReplicaKeyMetadata"]["Arn"]
    kms.rotate_key_on_demand(KeyId=key)

    made = kms.generate_data_key(KeyId=key, KeySpec="AES_256")

    assert kms_there.decrypt(CiphertextBlob=made["CiphertextBlob"])["Plaintext"] == made["Plaintext"]
    with refused("UnsupportedOperationException", "replica"):
        kms_there.rotate_key_on_demand(KeyId=replica)


def test_replica_is_disabled_on_its_own(kms: KMSClient, kms_there: KMSClient, local_kms: LocalKms) -> None:
    key = local_kms.create_key(HERE, MultiRegion=True)
    replica = kms.replicate_key(KeyId=key, ReplicaRegion=THERE)["ReplicaKeyMetadata"]["Arn"]
    blob = kms.encrypt(KeyId=key, Plaintext=b"p")["CiphertextBlob"]

    kms_there.disable_key(KeyId=replica)

    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"p"
    with refused("DisabledException", replica):
        kms_there.decrypt(CiphertextBlob=blob)


def test_replication_is_refused_twice_and_of_single_region_keys(kms: KMSClient, local_kms: LocalKms, key: str) -> None:
    multi = local_kms.create_key(HERE, MultiRegion=True)
    kms.replicate_key(KeyId=multi, ReplicaRegion=THERE)

    with refused("AlreadyExistsException"):
        kms.replicate_key(KeyId=multi, ReplicaRegion=THERE)
    with refused("UnsupportedOperationException"):
        kms.replicate_key(KeyId=key, ReplicaRegion=THERE)


def test_arn_of_another_region_is_not_found(kms_there: KMSClient, key: str) -> None:
    with refused("NotFoundException", HERE):
        kms_there.generate_data_key(KeyId=key, KeySpec="AES_256")


def test_region_that_the_server_was_not_given_does_not_exist() -> None:
    with LocalKms(regions=[HERE]) as kms:
        kms.client(HERE).create_key()

        with refused("InvalidSignatureException", THERE):
            kms.client(THERE).create_key()
