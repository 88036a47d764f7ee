"""The raw AES keyring, and the file of its master key."""

from __future__ import annotations

import hashlib
import os
import stat
import threading
from contextlib import suppress
from pathlib import Path

import pytest

from s3envelope.core.context import EncryptionContext
from s3envelope.core.ports import EncryptedDataKey, Keyring
from s3envelope.core.secret import SecretBytes
from s3envelope.errors import ConfigurationError, KeyAccessError, NoMatchingKeyError
from s3envelope.keyrings.raw_aes import RawAesKeyring
from tests.support.objects import MASTER_KEY, raw_keyring

CONTEXT = EncryptionContext({"tenant": "acme"})
DATA_KEY = SecretBytes(bytes([9]) * 32)


def _opened(keyring: Keyring, *entries: EncryptedDataKey, context: EncryptionContext = CONTEXT) -> list[bytes]:
    return [bytes(plaintext.view()) for _, plaintext in keyring.decrypt_data_keys(entries, context)]


def test_data_key_when_generated_then_it_opens_again() -> None:
    keyring = raw_keyring()

    data_key = keyring.generate_data_key(CONTEXT)

    (entry,) = data_key.encrypted
    assert _opened(raw_keyring("other randomness"), entry) == [bytes(data_key.plaintext.view())]
    assert len(entry.ciphertext) == keyring.encrypted_data_key_sizes[0] == 80
    assert entry.hint == hashlib.sha256(b"raw:tests").digest()[:4]
    assert isinstance(keyring, Keyring)


def test_data_key_when_wrapped_twice_then_salts_differ_and_the_plaintext_stays() -> None:
    keyring = RawAesKeyring(MASTER_KEY, "tests")

    one, two = keyring.encrypt_data_key(DATA_KEY, CONTEXT), keyring.encrypt_data_key(DATA_KEY, CONTEXT)

    assert one.ciphertext[:32] != two.ciphertext[:32]
    assert _opened(keyring, one, two) == [bytes(DATA_KEY.view())] * 2


def test_entry_when_any_byte_changes_then_it_is_skipped() -> None:
    keyring = raw_keyring()
    entry = keyring.encrypt_data_key(DATA_KEY, CONTEXT)

    for position in range(80):
        edited = bytearray(entry.ciphertext)
        edited[position] ^= 1
        assert _opened(keyring, EncryptedDataKey(entry.hint, bytes(edited))) == []


@pytest.mark.parametrize("size", [1, 79, 81, 160, 65535])
def test_entry_when_it_has_another_length_then_it_is_skipped(size: int) -> None:
    keyring = raw_keyring()
    entry = keyring.encrypt_data_key(DATA_KEY, CONTEXT)
    odd = EncryptedDataKey(entry.hint, (entry.ciphertext * 1000)[:size])

    assert _opened(keyring, odd, entry) == [bytes(DATA_KEY.view())]


def test_entry_when_the_context_is_another_then_it_is_skipped() -> None:
    keyring = raw_keyring()
    entry = keyring.encrypt_data_key(DATA_KEY, CONTEXT)

    for context in (EncryptionContext(), EncryptionContext({"tenant": "acme", "a": "b"})):
        assert _opened(keyring, entry, context=context) == []


def test_entry_when_another_master_key_has_the_same_id_then_it_is_skipped() -> None:
    entry = RawAesKeyring(MASTER_KEY, "same").encrypt_data_key(DATA_KEY, CONTEXT)

    assert _opened(RawAesKeyring(bytes(32), "same"), entry) == []


def test_entry_when_the_same_master_key_has_another_id_then_it_is_not_a_candidate() -> None:
    entry = RawAesKeyring(MASTER_KEY, "one").encrypt_data_key(DATA_KEY, CONTEXT)
    other = RawAesKeyring(MASTER_KEY, "two")

    with pytest.raises(NoMatchingKeyError, match="raw key 'two'"):
        _opened(other, entry)

    forced = EncryptedDataKey(hashlib.sha256(b"raw:two").digest()[:4], entry.ciphertext)
    assert _opened(other, forced) == []


def test_entries_when_none_is_given_then_there_is_no_matching_key() -> None:
    with pytest.raises(NoMatchingKeyError):
        _opened(raw_keyring())


def test_reencryption_when_the_entry_is_its_own_then_the_salt_is_fresh() -> None:
    keyring = RawAesKeyring(MASTER_KEY, "tests")
    entry = keyring.encrypt_data_key(DATA_KEY, CONTEXT)

    again = keyring.reencrypt_data_key(entry, CONTEXT, source_key_arn="raw:tests")

    assert again.ciphertext != entry.ciphertext
    assert _opened(keyring, again) == [bytes(DATA_KEY.view())]


@pytest.mark.parametrize("source", ["raw:other", "tests", "", "arn:aws:kms:us-east-1:111122223333:key/abc"])
def test_reencryption_when_another_source_is_named_then_it_is_refused(source: str) -> None:
    keyring = raw_keyring()
    entry = keyring.encrypt_data_key(DATA_KEY, CONTEXT)

    with pytest.raises(KeyAccessError):
        keyring.reencrypt_data_key(entry, CONTEXT, source_key_arn=source)


def test_reencryption_when_the_entry_is_a_strangers_then_it_is_refused() -> None:
    keyring = raw_keyring()
    foreign = RawAesKeyring(bytes(32), "tests").encrypt_data_key(DATA_KEY, CONTEXT)
    hint_of_other = EncryptedDataKey(b"\0\0\0\0", keyring.encrypt_data_key(DATA_KEY, CONTEXT).ciphertext)

    for entry, context in ((foreign, CONTEXT), (hint_of_other, CONTEXT)):
        with pytest.raises(NoMatchingKeyError):
            keyring.reencrypt_data_key(entry, context, source_key_arn="raw:tests")


def test_reencryption_when_the_context_is_another_then_it_is_refused() -> None:
    keyring = raw_keyring()
    entry = keyring.encrypt_data_key(DATA_KEY, CONTEXT)

    with pytest.raises(NoMatchingKeyError):
        keyring.reencrypt_data_key(entry, EncryptionContext(), source_key_arn="raw:tests")


@pytest.mark.parametrize("size", [0, 16, 31, 33, 64])
def test_master_key_when_it_has_not_32_bytes_then_it_is_refused(size: int) -> None:
    with pytest.raises(ConfigurationError, match="32"):
        RawAesKeyring(bytes(size))


@pytest.mark.parametrize("key_id", ["", "a b", "caf\u00e9", "x" * 65, "a\n", "\x7f"])
def test_key_id_when_not_printable_then_it_is_refused(key_id: str) -> None:
    with pytest.raises(ConfigurationError, match="key id"):
        RawAesKeyring(MASTER_KEY, key_id)


def test_key_id_when_not_given_then_it_is_the_master_keys_and_no_part_of_it() -> None:
    (key_id,) = RawAesKeyring(MASTER_KEY).key_ids
    (again,) = RawAesKeyring(SecretBytes(MASTER_KEY)).key_ids
    (other,) = RawAesKeyring(bytes(32)).key_ids

    # Written down: a derivation that changes would lose every object that was written without a key id.
    assert key_id == again == "raw:37f88864330440ca"
    assert key_id != other
    assert key_id.removeprefix("raw:") not in MASTER_KEY.hex()


def test_repr_when_printed_then_the_master_key_does_not_show() -> None:
    keyring = RawAesKeyring(b"A" * 32, "site")

    assert repr(keyring) == "<RawAesKeyring 'site'>"


def test_key_file_when_created_then_only_its_owner_reads_it_and_it_is_used_again(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    umask = os.umask(0)
    try:
        first = RawAesKeyring.from_file(path)
    finally:
        os.umask(umask)

    entry = first.encrypt_data_key(DATA_KEY, CONTEXT)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(path.read_bytes()) == 32
    assert os.listdir(tmp_path) == ["master.key"]
    assert _opened(RawAesKeyring.from_file(path, create=False), entry) == [bytes(DATA_KEY.view())]


def test_key_file_when_missing_and_not_to_be_created_then_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be read"):
        RawAesKeyring.from_file(tmp_path / "none", create=False)

    assert os.listdir(tmp_path) == []


def test_key_file_when_its_folder_is_missing_then_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="cannot be created"):
        RawAesKeyring.from_file(tmp_path / "none" / "master.key")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601, 0o666])
def test_key_file_when_others_have_a_right_to_it_then_it_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "master.key"
    path.write_bytes(MASTER_KEY)
    path.chmod(mode)

    with pytest.raises(ConfigurationError, match="chmod 600"):
        RawAesKeyring.from_file(path)


@pytest.mark.parametrize("size", [0, 31, 33, 1 << 20])
def test_key_file_when_it_has_not_32_bytes_then_it_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "master.key"
    path.touch(0o600)
    path.write_bytes(bytes(size))

    with pytest.raises(ConfigurationError, match="32 bytes"):
        RawAesKeyring.from_file(path)


def test_key_file_when_an_earlier_attempt_left_its_temporary_file_then_it_is_created(tmp_path: Path) -> None:
    (tmp_path / f"master.key.{os.getpid()}.tmp").write_bytes(b"half")

    RawAesKeyring.from_file(tmp_path / "master.key")

    assert len((tmp_path / "master.key").read_bytes()) == 32


def _key_ids_of_threads(path: Path, count: int) -> list[str]:
    """Return the key ids of as many threads as found one when all began at once."""
    start, found = threading.Barrier(count), list[str]()

    def create() -> None:
        start.wait()
        with suppress(ConfigurationError):
            found.extend(RawAesKeyring.from_file(path).key_ids)

    threads = [threading.Thread(target=create) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return found


def test_key_file_when_created_by_many_threads_at_once_then_all_have_the_same_key(tmp_path: Path) -> None:
    count = 8
    for attempt in range(20):
        found = _key_ids_of_threads(tmp_path / f"{attempt}.key", count)

        assert len(found) == count
        assert len(set(found)) == 1
    assert len(os.listdir(tmp_path)) == 20
