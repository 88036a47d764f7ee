"""Entries that were made under other circumstances do not exist: format, commitment, key, context, principal, place."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from s3envelope import KmsKeyring, MultiKeyring
from s3envelope.caches.limits import CacheLimits
from s3envelope.caches.manager import CachingMaterialsManager
from s3envelope.caches.partition import CacheScope
from s3envelope.caches.sealed import digest_of
from s3envelope.core.context import EncryptionContext
from s3envelope.core.ports import EncryptedDataKey
from s3envelope.core.secret import SecretBytes
from s3envelope.errors import HeaderAuthenticationError, KeyAccessError, NoMatchingKeyError
from tests.support.caching import CONTEXT, Place, Process
from tests.support.objects import fake_ports, raw_keyring


def _other_key(place: Place) -> str:
    return place.kms.create_key()


_OTHERS: dict[str, Callable[[Place], dict[str, Any]]] = {
    "another format": lambda place: {"scope": CacheScope(format="s3ec-v3")},
    "another commitment policy": lambda place: {"scope": CacheScope(commitment="forbidden")},
    "another key": lambda place: {"key_id": _other_key(place)},
    "another principal": lambda place: {"access_key_id": "AKIDCANARY0000000002"},
    "a named partition": lambda place: {"scope": CacheScope(partition="readers")},
    "a partition named as the principal": lambda place: {"scope": CacheScope(partition="AKIDCANARY0000000001")},
}


@pytest.mark.parametrize("change", _OTHERS)
def test_entry_when_made_under_other_circumstances_is_not_found(place: Place, change: str) -> None:
    keys, _ = place.new_keys()
    Process(place, place.arn).open(keys)

    other = Process(place, **{"key_id": place.arn, **_OTHERS[change](place)})

    assert other.manager.status_of(keys, CONTEXT) is None
    assert Process(place, place.arn).manager.status_of(keys, CONTEXT) is not None


def test_entry_when_the_key_service_is_another_is_not_found(place: Place) -> None:
    keys, _ = place.new_keys()
    Process(place, place.arn).open(keys)

    with type(place.kms)() as elsewhere:
        other = Process(dataclasses.replace(place, kms=elsewhere), place.arn)

        assert other.manager.status_of(keys, CONTEXT) is None


@pytest.mark.parametrize(
    "context",
    [EncryptionContext(), EncryptionContext({"tenant": "other"}), EncryptionContext({**CONTEXT, "more": "x"})],
    ids=["none", "another", "more"],
)
def test_context_when_another_is_refused_on_a_hit_as_on_a_miss(place: Place, context: EncryptionContext) -> None:
    keys, _ = place.new_keys()
    with pytest.raises(HeaderAuthenticationError) as missed:
        Process(place).open(keys, context)
    hit = Process(place)
    hit.open(keys)

    with pytest.raises(HeaderAuthenticationError) as refused:
        hit.open(keys, context)

    assert str(refused.value) == str(missed.value)
    assert hit.attempts.count("Decrypt") == 2


def test_encrypted_data_key_when_it_differs_in_one_bit_or_its_hint_is_not_found(place: Place) -> None:
    keys, _ = place.new_keys()
    Process(place, place.arn).open(keys)
    (key,) = keys
    changed = key.ciphertext[:-1] + bytes([key.ciphertext[-1] ^ 1])

    for other in (EncryptedDataKey(key.hint, changed), EncryptedDataKey(b"none", key.ciphertext)):
        assert Process(place, place.arn).manager.status_of([other], CONTEXT) is None
    with pytest.raises(NoMatchingKeyError):
        Process(place, place.arn).open([EncryptedDataKey(b"none", key.ciphertext)])


def test_partition_when_named_is_shared_by_principals(place: Place) -> None:
    keys, data_key = place.new_keys()
    scope = CacheScope(partition="readers")
    Process(place, access_key_id="AKIDCANARY0000000001", scope=scope).open(keys)
    place.kms.stop()

    assert Process(place, access_key_id="AKIDCANARY0000000002", scope=scope).open(keys) == data_key


def test_raw_keyring_when_it_opens_keeps_nothing_on_disk(place: Place) -> None:
    keyring = raw_keyring()
    keys = keyring.generate_data_key(CONTEXT).encrypted
    manager = CachingMaterialsManager(keyring, CacheLimits(), fake_ports(), disk=place.cache())

    for _ in range(2):
        manager.open_with_data_key(keys, CONTEXT, len)

    assert not place.folder.exists()


def test_several_keyrings_when_all_ask_a_service_are_a_partition_of_their_own(place: Place) -> None:
    first, second = Process(place, place.arn), Process(place, _other_key(place))
    both = MultiKeyring(first.keyring, second.keyring)
    keys = both.generate_data_key(CONTEXT).encrypted

    def manager(keyring: Any) -> CachingMaterialsManager:
        ports = fake_ports(wall_clock=place.wall_clock)
        return CachingMaterialsManager(keyring, CacheLimits(), ports, disk=place.cache())

    manager(both).open_with_data_key(keys, CONTEXT, len)
    place.kms.clear_calls()
    manager(both).open_with_data_key(keys, CONTEXT, len)
    assert place.kms.count() == 0

    assert manager(first.keyring).status_of(keys, CONTEXT) is None
    assert manager(MultiKeyring(second.keyring, first.keyring)).status_of(keys, CONTEXT) is None


def test_several_keyrings_when_one_is_local_keep_nothing_on_disk(place: Place) -> None:
    both = MultiKeyring(Process(place, place.arn).keyring, raw_keyring())
    keys = both.generate_data_key(CONTEXT).encrypted
    manager = CachingMaterialsManager(both, CacheLimits(), fake_ports(), disk=place.cache())

    manager.open_with_data_key(keys, CONTEXT, len)

    assert not place.folder.exists()


def test_several_keyrings_when_an_alias_is_away_still_open_with_the_other(place: Place) -> None:
    with type(place.kms)() as elsewhere:
        there = Process(Place(elsewhere, place.root / "there"))
        here = Process(place)
        keys = MultiKeyring(there.keyring, here.keyring).generate_data_key(CONTEXT).encrypted
        elsewhere.stop()
        # Neither alias has been resolved here yet.
        both = MultiKeyring(Process(Place(elsewhere, place.root / "x")).keyring, Process(place).keyring)
        manager = CachingMaterialsManager(both, CacheLimits(), fake_ports(), disk=place.cache())

        assert manager.open_with_data_key(keys, CONTEXT, len) == 32


def test_digest_when_parts_are_cut_elsewhere_is_another() -> None:
    spellings = [(b"ab", b"c"), (b"a", b"bc"), (b"abc",), (b"abc", b""), (b"", b"abc")]

    assert len({digest_of(parts) for parts in spellings}) == len(spellings)


def test_write_side_when_keys_are_made_leaves_none_on_disk(place: Place) -> None:
    process = Process(place, place.arn)

    data_key = process.manager.data_key_for_sealing(CONTEXT)

    assert not place.folder.exists()
    # Reading what was sealed asks the key service, also in the same process.
    with data_key.plaintext as plaintext:
        assert process.open(data_key.encrypted) == bytes(plaintext.view())
    assert process.attempts == ["GenerateDataKey", "Decrypt"]


def test_opened_key_when_the_header_does_not_open_is_not_kept_on_disk(place: Place) -> None:
    keys, _ = place.new_keys()

    def refuse(_: SecretBytes) -> None:
        raise HeaderAuthenticationError("no")

    with pytest.raises(HeaderAuthenticationError):
        Process(place, place.arn).manager.open_with_data_key(keys, CONTEXT, refuse)

    assert Process(place, place.arn).manager.status_of(keys, CONTEXT) is None


def _moved(place: Place) -> str:
    """Give the alias of the place to a new key."""
    new = place.kms.create_key()
    place.kms.perform("UpdateAlias", AliasName=place.alias, TargetKeyId=new)
    return new


def _gone(place: Place, operation: str) -> None:
    """Let KMS not know the key once, as after its deletion."""
    place.kms.faults.fail(operation, "NotFoundException", 1)


def test_alias_when_its_key_is_gone_is_kept_for_other_processes_with_the_new_key(place: Place) -> None:
    keys, _ = place.new_keys()
    first = Process(place, limits=CacheLimits(fresh_for_seconds=0))
    first.open(keys)
    new = _moved(place)
    _gone(place, "GenerateDataKey")

    first.manager.data_key_for_sealing(CONTEXT).plaintext.wipe()
    place.kms.stop()
    second = Process(place)
    second.manager.status_of(keys, CONTEXT)
    second.manager._resolve_aliases()

    assert second.keyring.key_arns == (new,)
    assert second.attempts == []


def test_data_key_when_its_key_is_gone_is_dropped_also_from_before_the_alias_was_resolved_again(place: Place) -> None:
    keys, _ = place.new_keys()
    first = Process(place, limits=CacheLimits(fresh_for_seconds=0))
    first.open(keys)
    assert Process(place, place.arn).manager.status_of(keys, CONTEXT) is not None
    _moved(place)
    _gone(place, "Decrypt")

    with pytest.raises(KeyAccessError, match="NotFoundException"):
        first.open(keys)

    assert Process(place, place.arn).manager.status_of(keys, CONTEXT) is None


def test_data_key_when_opened_under_the_new_key_of_an_alias_is_kept_under_that(place: Place) -> None:
    old, _ = place.new_keys()
    first = Process(place, limits=CacheLimits(fresh_for_seconds=0))
    first.open(old)
    new = _moved(place)
    _gone(place, "GenerateDataKey")
    sealed = first.manager.data_key_for_sealing(CONTEXT)
    first.open(sealed.encrypted)

    assert Process(place, new).manager.status_of(sealed.encrypted, CONTEXT) is not None
    assert Process(place, place.arn).manager.status_of(sealed.encrypted, CONTEXT) is None


def test_region_when_another_at_the_same_endpoint_is_another_partition(place: Place) -> None:
    arn = place.kms.create_key(MultiRegion=True)
    place.kms.perform("ReplicateKey", KeyId=arn, ReplicaRegion="eu-west-1")
    name = arn.rpartition("/")[2]
    here, there = (KmsKeyring(name, place.kms.client(region)) for region in ("us-east-1", "eu-west-1"))
    keys = here.generate_data_key(CONTEXT).encrypted

    def manager(keyring: Any) -> CachingMaterialsManager:
        return CachingMaterialsManager(
            keyring, CacheLimits(), fake_ports(wall_clock=place.wall_clock), disk=place.cache()
        )

    manager(here).open_with_data_key(keys, CONTEXT, len)

    assert manager(here).status_of(keys, CONTEXT) is not None
    assert manager(there).status_of(keys, CONTEXT) is None
