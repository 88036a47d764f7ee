"""What every KMS must do with data: LocalKms and moto, side by side."""

import pytest

from tests.contract.kms_helpers import OTHER_REGION, flip, new_key, refused
from tests.contract.kms_servers import KmsServer

CONTEXT = {"bucket": "b", "key": "k"}


def test_generate_data_key_of_aes_256_opens_under_the_same_context(kms_server: KmsServer) -> None:
    kms = kms_server.client()
    arn = new_key(kms)

    made = kms.generate_data_key(KeyId=arn, KeySpec="AES_256", EncryptionContext=CONTEXT)
    opened = kms.decrypt(CiphertextBlob=made["CiphertextBlob"], EncryptionContext=CONTEXT, KeyId=arn)

    assert len(made["Plaintext"]) == 32
    assert opened["Plaintext"] == made["Plaintext"]


def test_answers_name_the_key_by_its_arn(kms_server: KmsServer) -> None:
    kms = kms_server.client()
    arn = new_key(kms)

    made = kms.generate_data_key(KeyId=arn.rsplit("/")[-1], KeySpec="AES_256")
    opened = kms.decrypt(CiphertextBlob=made["CiphertextBlob"])

    assert made["KeyId"] == opened["KeyId"] == arn


def test_decrypt_names_the_algorithm(kms_server: KmsServer) -> None:
    kms = kms_server.client()
    blob = kms.encrypt(KeyId=new_key(kms), Plaintext=b"p")["CiphertextBlob"]

    assert kms.decrypt(CiphertextBlob=blob)["EncryptionAlgorithm"] == "SYMMETRIC_DEFAULT"


def test_encrypted_data_key_of_32_bytes_is_as_long_as_on_aws(kms_server: KmsServer) -> None:
    kms = kms_server.client()

    made = kms.generate_data_key(KeyId=new_key(kms), KeySpec="AES_256", EncryptionContext=CONTEXT)

    assert len(made["CiphertextBlob"]) == 184


def test_two_encrypted_forms_of_one_plaintext_differ(kms_server: KmsServer) -> None:
    kms = kms_server.client()
    arn = new_key(kms)

    blobs = {kms.encrypt(KeyId=arn, Plaintext=b"p")["CiphertextBlob"] for _ in range(2)}

    assert len(blobs) == 2


def test_context_order_does_not_matter(kms_server: KmsServer) -> None:
    kms = kms_server.client()
    blob = kms.encrypt(KeyId=new_key(kms), Plaintext=b"p", EncryptionContext=CONTEXT)["CiphertextBlob"]

    backwards = dict(reversed(CONTEXT.items()))

    assert kms.decrypt(CiphertextBlob=blob, EncryptionContext=backwards)["Plaintext"] == b"p"


@pytest.mark.parametrize(
    "context",
    [{}, {"bucket": "b", "key": "other"}, {**CONTEXT, "more": "x"}, {"bucket": "b", "KEY": "k"}],
    ids=["none", "other value", "more", "other case"],
)
def test_decrypt_under_another_context_is_refused(kms_server: KmsServer, context: dict[str, str]) -> None:
    kms = kms_server.client()
    blob = kms.encrypt(KeyId=new_key(kms), Plaintext=b"p", EncryptionContext=CONTEXT)["CiphertextBlob"]

    with refused("InvalidCiphertextException"):
        kms.decrypt(CiphertextBlob=blob, EncryptionContext=context)


def test_decrypt_under_a_context_of_equal_concatenation_is_refused(kms_server: KmsServer) -> None:
    kms = kms_server.client()
    blob = kms.encrypt(KeyId=new_key(kms), Plaintext=b"p", EncryptionContext={"a": "bc"})["CiphertextBlob"]

    with refused("InvalidCiphertextException"):
        kms.decrypt(CiphertextBlob=blob, EncryptionContext={"ab": "c"})


def test_decrypt_with_a_changed_last_byte_is_refused(kms_server: KmsServer) -> None:
    kms = kms_server.client()
    blob = kms.encrypt(KeyId=new_key(kms), Plaintext=b"p")["CiphertextBlob"]

    with refused("InvalidCiphertextException"):
        kms.decrypt(CiphertextBlob=flip(blob, -1))


def test_decrypt_with_any_changed_byte_is_refused(kms_server: KmsServer) -> None:
    kms = kms_server.client()
    blob = kms.encrypt(KeyId=new_key(kms), Plaintext=b"p")["CiphertextBlob"]

    for position in range(len(blob)):
        with refused("InvalidCiphertextException"):
            kms.decrypt(CiphertextBlob=flip(blob, position))


def test_decrypt_of_garbage_is_refused(kms_server: KmsServer) -> None:
    with refused("InvalidCiphertextException"):
        kms_server.client().decrypt(CiphertextBlob=b"garbage")


def test_decrypt_under_another_key_is_refused(kms_server: KmsServer) -> None:
    kms = kms_server.client()
    blob = kms.encrypt(KeyId=new_key(kms), Plaintext=b"p")["CiphertextBlob"]

    with refused("IncorrectKeyException"):
        kms.decrypt(CiphertextBlob=blob, KeyId=new_key(kms))


def test_data_key_without_plaintext_decrypts_to_its_size(kms_server: KmsServer) -> None:
    kms = kms_server.client()

    made = kms.generate_data_key_without_plaintext(KeyId=new_key(kms), KeySpec="AES_256")

    assert "Plaintext" not in made
    assert len(kms.decrypt(CiphertextBlob=made["CiphertextBlob"])["Plaintext"]) == 32


@pytest.mark.parametrize("size", [1, 64, 1024])
def test_data_key_of_a_number_of_bytes_has_it(kms_server: KmsServer, size: int) -> None:
    kms = kms_server.client()

    made = kms.generate_data_key(KeyId=new_key(kms), NumberOfBytes=size)

    assert len(made["Plaintext"]) == size


def test_data_key_of_aes_128_has_16_bytes(kms_server: KmsServer) -> None:
    kms = kms_server.client()

    assert len(kms.generate_data_key(KeyId=new_key(kms), KeySpec="AES_128")["Plaintext"]) == 16


def test_data_key_without_a_size_is_refused(kms_server: KmsServer) -> None:
    kms = kms_server.client()
    arn = new_key(kms)

    with refused("ValidationException"):
        kms.generate_data_key(KeyId=arn)


def test_data_key_with_two_sizes_is_refused(kms_server: KmsServer) -> None:
    kms = kms_server.client()
    arn = new_key(kms)

    with refused("ValidationException"):
        kms.generate_data_key(KeyId=arn, KeySpec="AES_256", NumberOfBytes=32)


def test_data_key_of_more_than_1024_bytes_is_refused(kms_server: KmsServer) -> None:
    kms = kms_server.client()
    arn = new_key(kms)

    with refused("ValidationException"):
        kms.generate_data_key(KeyId=arn, NumberOfBytes=1025)


@pytest.mark.parametrize("size", [1, 4095, 4096])
def test_encrypt_up_to_4096_bytes_round_trips(kms_server: KmsServer, size: int) -> None:
    kms = kms_server.client()

    blob = kms.encrypt(KeyId=new_key(kms), Plaintext=b"p" * size)["CiphertextBlob"]

    assert kms.decrypt(CiphertextBlob=blob)["Plaintext"] == b"p" * size


def test_encrypt_of_4097_bytes_is_refused(kms_server: KmsServer) -> None:
    kms = kms_server.client()
    arn = new_key(kms)

    with refused("ValidationException"):
        kms.encrypt(KeyId=arn, Plaintext=b"p" * 4097)


def test_re_encrypt_without_a_source_key_moves_to_the_other_key_and_context(kms_server: KmsServer) -> None:
    kms = kms_server.client()
    source, destination = new_key(kms), new_key(kms)
    blob = kms.encrypt(KeyId=source, Plaintext=b"p", EncryptionContext=CONTEXT)["CiphertextBlob"]

    moved = kms.re_encrypt(
        CiphertextBlob=blob,
        SourceEncryptionContext=CONTEXT,
        DestinationKeyId=destination,
        DestinationEncryptionContext={"new": "context"},
    )
    opened = kms.decrypt(CiphertextBlob=moved["CiphertextBlob"], EncryptionContext={"new": "context"})

    assert (moved["SourceKeyId"], moved["KeyId"], opened["KeyId"]) == (source, destination, destination)
    assert opened["Plaintext"] == b"p"


def test_re_encrypt_from_another_source_key_is_refused(kms_server: KmsServer) -> None:
    kms = kms_server.client()
    source, destination = new_key(kms), new_key(kms)
    blob = kms.encrypt(KeyId=source, Plaintext=b"p")["CiphertextBlob"]

    with refused("IncorrectKeyException"):
        kms.re_encrypt(CiphertextBlob=blob, SourceKeyId=destination, DestinationKeyId=destination)


def test_re_encrypt_under_another_source_context_is_refused(kms_server: KmsServer) -> None:
    kms = kms_server.client()
    arn = new_key(kms)
    blob = kms.encrypt(KeyId=arn, Plaintext=b"p", EncryptionContext=CONTEXT)["CiphertextBlob"]

    with refused("InvalidCiphertextException"):
        kms.re_encrypt(CiphertextBlob=blob, SourceEncryptionContext={"bad": "1"}, DestinationKeyId=arn)


def test_decrypt_in_a_region_without_the_key_is_refused(kms_server: KmsServer) -> None:
    kms = kms_server.client()
    blob = kms.encrypt(KeyId=new_key(kms), Plaintext=b"p")["CiphertextBlob"]

    with refused("AccessDeniedException"):
        kms_server.client(OTHER_REGION).decrypt(CiphertextBlob=blob)


def test_dry_run_that_would_succeed_says_so(kms_server: KmsServer) -> None:
    kms = kms_server.client()
    arn = new_key(kms)

    with refused("DryRunOperationException"):
        kms.generate_data_key(KeyId=arn, KeySpec="AES_256", DryRun=True)


def test_key_of_another_usage_is_refused(kms_server: KmsServer) -> None:
    kms = kms_server.client()
    made = kms.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]

    with refused("InvalidKeyUsageException"):
        kms.generate_data_key(KeyId=made["KeyId"], KeySpec="AES_256")
