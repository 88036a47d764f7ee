"""What the KMS keyring takes from an answer, and what never reaches a log."""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator
from typing import Any, cast

import pytest

from s3envelope.core.context import EncryptionContext
from s3envelope.core.ports import EncryptedDataKey
from s3envelope.core.secret import SecretBytes
from s3envelope.errors import KeyAccessError
from s3envelope.keyrings.kms import KmsKeyring
from s3envelope.testing.local_kms import LocalKms

CONTEXT = EncryptionContext({"tenant": "acme"})
ARN = "arn:aws:kms:us-east-1:111122223333:key/12345678-1234-1234-1234-123456789012"
OTHER_ARNS = [
    ARN[:-1] + "3",
    ARN.replace("111122223333", "999999999999"),
    ARN.replace("us-east-1", "us-east-2"),
    ARN.rpartition("/")[2],
    ARN + "/x",
    "",
]


class _Events:
    def register(self, *_: object) -> None:
        """Do nothing: this client has no events."""


class _Meta:
    events = _Events()


class LyingClient:
    """A KMS client whose answers name another key, or have another data key."""

    meta = _Meta()

    def __init__(self, answered_arn: str, plaintext: bytes = bytes(32), source_arn: str = ARN) -> None:
        self._answer = {"KeyId": answered_arn, "Plaintext": plaintext, "CiphertextBlob": b"blob"}
        self._source_arn = source_arn

    def _respond(self, **_: object) -> dict[str, Any]:
        return {**self._answer, "SourceKeyId": self._source_arn}

    generate_data_key = encrypt = decrypt = re_encrypt = _respond


def _keyring(client: object, key_id: str = ARN) -> KmsKeyring:
    return KmsKeyring(key_id, cast(Any, client))


def _entry(key_id: str = ARN) -> EncryptedDataKey:
    """Return an entry with the hint of a key."""
    return _keyring(LyingClient(ARN), key_id).encrypt_data_key(SecretBytes(bytes(32)), CONTEXT)


@pytest.mark.parametrize("answered", OTHER_ARNS)
def test_answer_when_it_names_another_key_then_it_is_refused(answered: str) -> None:
    keyring = _keyring(LyingClient(answered))
    secret = SecretBytes(bytes(32))

    with pytest.raises(KeyAccessError):
        keyring.generate_data_key(CONTEXT)
    with pytest.raises(KeyAccessError):
        keyring.encrypt_data_key(secret, CONTEXT)
    with pytest.raises(KeyAccessError):
        list(keyring.decrypt_data_keys([_entry()], CONTEXT))
    with pytest.raises(KeyAccessError):
        keyring.reencrypt_data_key(_entry(), CONTEXT, source_key_arn=ARN)


def test_answer_when_a_bare_key_id_is_configured_then_any_arn_of_that_id_is_taken() -> None:
    bare = ARN.rpartition("/")[2]

    assert len(list(_keyring(LyingClient(ARN), bare).decrypt_data_keys([_entry(bare)], CONTEXT))) == 1
    with pytest.raises(KeyAccessError):
        list(_keyring(LyingClient(OTHER_ARNS[0]), bare).decrypt_data_keys([_entry(bare)], CONTEXT))


def test_reencryption_when_the_answer_names_another_source_then_it_is_refused() -> None:
    keyring = _keyring(LyingClient(ARN, source_arn=OTHER_ARNS[0]))

    with pytest.raises(KeyAccessError, match="another key"):
        keyring.reencrypt_data_key(_entry(), CONTEXT, source_key_arn=ARN)


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_data_key_when_the_service_makes_another_length_then_it_is_refused(size: int) -> None:
    with pytest.raises(KeyAccessError, match="32 bytes"):
        _keyring(LyingClient(ARN, bytes(size))).generate_data_key(CONTEXT)


@pytest.fixture(scope="module")
def kms() -> Iterator[LocalKms]:
    with LocalKms() as running:
        yield running


def _spellings(secret: bytes) -> list[str]:
    """Return how bytes may stand in a log: base64 at every offset, hex, and as Python prints them."""
    inner = [base64.b64encode(bytes(offset) + secret).decode()[4 if offset else 0 : 40] for offset in range(3)]
    return [*inner, secret.hex(), repr(secret)[2:-1], repr(bytearray(secret))[12:-2]]


def _assert_no_trace(log: pytest.LogCaptureFixture, secret: bytes) -> None:
    text = log.text + "".join(repr(record.__dict__) for record in log.records)
    assert [spelling for spelling in _spellings(secret) if spelling in text] == []


def test_log_when_a_data_key_is_generated_then_it_is_not_in_it(kms: LocalKms, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    data_key = KmsKeyring(kms.create_key(), kms.client()).generate_data_key(CONTEXT)

    assert "GenerateDataKey" in caplog.text
    assert "CiphertextBlob" in caplog.text
    _assert_no_trace(caplog, bytes(data_key.plaintext.view()))


def test_log_when_a_data_key_is_decrypted_then_it_is_not_in_it(kms: LocalKms, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    keyring = KmsKeyring(kms.create_key(), kms.client())
    data_key = keyring.generate_data_key(CONTEXT)
    caplog.clear()

    ((_, plaintext),) = keyring.decrypt_data_keys(data_key.encrypted, CONTEXT)

    assert plaintext == data_key.plaintext
    assert "Decrypt" in caplog.text
    _assert_no_trace(caplog, bytes(plaintext.view()))


def test_log_when_a_data_key_is_encrypted_then_it_is_not_in_it(kms: LocalKms, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    secret = bytes(range(100, 132))

    KmsKeyring(kms.create_key(), kms.client()).encrypt_data_key(SecretBytes(secret), CONTEXT)

    assert "Encrypt" in caplog.text
    _assert_no_trace(caplog, secret)


def test_log_when_a_retried_call_fails_then_the_data_key_is_not_in_it(
    kms: LocalKms, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    secret = bytes(range(100, 132))
    keyring = KmsKeyring(kms.create_key(), kms.client(max_attempts=2))
    kms.faults.reset("Encrypt", count=1)

    keyring.encrypt_data_key(SecretBytes(secret), CONTEXT)

    assert kms.faults.pending_count == 0
    _assert_no_trace(caplog, secret)


def test_client_when_the_user_calls_it_too_then_the_answers_are_as_ever(
    kms: LocalKms, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    arn, client = kms.create_key(), kms.client()
    keyring = KmsKeyring(arn, client)
    keyring.generate_data_key(CONTEXT)

    generated = client.generate_data_key(KeyId=arn, KeySpec="AES_256")
    decrypted = client.decrypt(CiphertextBlob=generated["CiphertextBlob"])
    encrypted = client.encrypt(KeyId=arn, Plaintext=b"the user's own")

    assert type(generated["Plaintext"]) is type(decrypted["Plaintext"]) is bytes
    assert generated["Plaintext"] == decrypted["Plaintext"]
    assert client.decrypt(CiphertextBlob=encrypted["CiphertextBlob"])["Plaintext"] == b"the user's own"
    # The user's own calls are the user's own business: this also shows that the search above finds what is there.
    with pytest.raises(AssertionError):
        _assert_no_trace(caplog, generated["Plaintext"])


def test_client_when_many_keyrings_share_it_then_it_is_guarded_once(kms: LocalKms) -> None:
    client = kms.client()
    keyrings = [KmsKeyring(kms.create_key(), client) for _ in range(3)]

    assert len({id(keyring._calls._guard) for keyring in keyrings}) == 1
    for keyring in keyrings:
        assert len(keyring.generate_data_key(CONTEXT).plaintext) == 32
