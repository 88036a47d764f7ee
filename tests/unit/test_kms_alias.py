"""Aliases whose key is gone: resolved again, once, by one thread, and never because somebody moved them."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest

from s3envelope.core.context import EncryptionContext
from s3envelope.core.ports import EncryptedDataKey, Keyring
from s3envelope.core.secret import SecretBytes
from s3envelope.errors import KeyAccessError, NoMatchingKeyError
from s3envelope.keyrings.kms import KmsKeyring
from s3envelope.keyrings.kms_alias import KmsKeyName
from s3envelope.testing.local_kms import LocalKms
from tests.support.objects import FakeClock

CONTEXT = EncryptionContext({"tenant": "acme"})
WEEK = 7 * 86_400.0


@dataclass(slots=True)
class Scene:
    """A KMS whose clock a test turns, and an alias of one of two keys."""

    kms: LocalKms
    clock: FakeClock
    alias: str
    old: str
    new: str

    def keyring(self) -> KmsKeyring:
        return KmsKeyring(self.alias, self.kms.client())

    def move(self) -> None:
        self.kms.perform("UpdateAlias", AliasName=self.alias, TargetKeyId=self.new)

    def delete_old(self) -> None:
        """Delete the old key, and its aliases with it."""
        self.kms.perform("ScheduleKeyDeletion", KeyId=self.old, PendingWindowInDays=7)
        self.clock.seconds += WEEK + 1
        self.kms.clear_calls()

    def operations(self) -> list[tuple[str, str | None]]:
        return [(call.operation, call.key_id) for call in self.kms.calls]


@pytest.fixture
def scene() -> Iterator[Scene]:
    clock = FakeClock()
    clock.seconds = 1_800_000_000.0
    with LocalKms(clock=clock) as kms:
        yield Scene(kms, clock, "alias/moving", kms.create_key(alias="alias/moving"), kms.create_key())


def _opened(keyring: Keyring, *entries: EncryptedDataKey) -> list[bytes]:
    return [bytes(plaintext.view()) for _, plaintext in keyring.decrypt_data_keys(entries, CONTEXT)]


@pytest.mark.parametrize("operation", ["generate", "encrypt", "reencrypt"])
def test_write_when_the_key_of_the_alias_is_gone_goes_on_with_the_one_it_names_now(
    scene: Scene, operation: str, caplog: pytest.LogCaptureFixture
) -> None:
    keyring = scene.keyring()
    keyring.generate_data_key(CONTEXT)
    other = scene.kms.create_key()
    source = KmsKeyring(other, scene.kms.client()).generate_data_key(CONTEXT)
    scene.move()
    scene.delete_old()

    with caplog.at_level(logging.WARNING, "s3envelope.keyrings"):
        if operation == "generate":
            (entry,) = keyring.generate_data_key(CONTEXT).encrypted
        elif operation == "encrypt":
            entry = keyring.encrypt_data_key(SecretBytes(bytes(32)), CONTEXT)
        else:
            entry = keyring.reencrypt_data_key(source.encrypted[0], CONTEXT, source_key_arn=other)

    name = {"generate": "GenerateDataKey", "encrypt": "Encrypt", "reencrypt": "ReEncrypt"}[operation]
    assert scene.operations() == [(name, scene.old), ("DescribeKey", scene.alias), (name, scene.new)]
    assert len(_opened(KmsKeyring(scene.new, scene.kms.client()), entry)) == 1
    assert keyring.key_arns == (scene.new,)
    assert scene.old in caplog.text
    assert scene.new in caplog.text


def test_alias_when_moved_while_its_key_exists_keeps_its_key(scene: Scene) -> None:
    keyring = scene.keyring()
    keyring.generate_data_key(CONTEXT)
    scene.move()
    scene.kms.clear_calls()

    made = keyring.generate_data_key(CONTEXT)

    assert scene.operations() == [("GenerateDataKey", scene.old)]
    assert len(_opened(KmsKeyring(scene.old, scene.kms.client()), *made.encrypted)) == 1


@pytest.mark.parametrize("state", ["DisableKey", "ScheduleKeyDeletion"])
def test_alias_when_its_key_is_refused_but_exists_is_not_resolved_again(scene: Scene, state: str) -> None:
    keyring = scene.keyring()
    keyring.generate_data_key(CONTEXT)
    scene.move()
    scene.kms.perform(state, KeyId=scene.old)
    scene.kms.clear_calls()

    with pytest.raises(KeyAccessError):
        keyring.generate_data_key(CONTEXT)

    assert scene.operations() == [("GenerateDataKey", scene.old)]


def test_read_when_the_key_is_gone_and_an_entry_is_of_the_new_one_opens_that(scene: Scene) -> None:
    keyring = scene.keyring()
    old = keyring.generate_data_key(CONTEXT)
    new = KmsKeyring(scene.new, scene.kms.client()).encrypt_data_key(old.plaintext, CONTEXT)
    scene.move()
    scene.delete_old()

    assert _opened(keyring, *old.encrypted, new) == [bytes(old.plaintext.view())]

    assert scene.operations() == [("Decrypt", scene.old), ("DescribeKey", scene.alias), ("Decrypt", scene.new)]


def test_read_when_the_key_is_gone_and_no_entry_is_of_the_new_one_says_that_it_is_gone(scene: Scene) -> None:
    keyring = scene.keyring()
    old = keyring.generate_data_key(CONTEXT)
    scene.move()
    scene.delete_old()

    with pytest.raises(KeyAccessError, match="no such key"):
        _opened(keyring, *old.encrypted)

    assert scene.operations() == [("Decrypt", scene.old), ("DescribeKey", scene.alias)]
    with pytest.raises(NoMatchingKeyError):
        _opened(keyring, *old.encrypted)


@pytest.mark.parametrize("trouble", ["alias gone too", "outage", "denied", "names the same"])
def test_key_when_gone_and_nothing_else_is_found_is_refused_and_not_an_outage(scene: Scene, trouble: str) -> None:
    keyring = scene.keyring()
    old = keyring.generate_data_key(CONTEXT)
    if trouble == "names the same":
        scene.kms.faults.fail("Decrypt", "NotFoundException", None)
        scene.kms.faults.fail("GenerateDataKey", "NotFoundException", None)
    else:
        scene.delete_old()
    if trouble == "outage":
        scene.kms.faults.fail("DescribeKey", "KMSInternalException", None)
    if trouble == "denied":
        scene.kms.faults.fail("DescribeKey", "AccessDeniedException", None)

    # A cache would answer for an outage; that KMS does not know the key must stay a refusal.
    with pytest.raises(KeyAccessError, match=r"Decrypt.*NotFoundException"):
        _opened(keyring, *old.encrypted)
    with pytest.raises(KeyAccessError, match=r"GenerateDataKey.*NotFoundException"):
        keyring.generate_data_key(CONTEXT)

    assert keyring.key_arns == (scene.old,)


def test_key_when_named_by_arn_and_gone_is_not_looked_for(scene: Scene) -> None:
    keyring = KmsKeyring(scene.old, scene.kms.client())
    scene.move()
    scene.delete_old()

    with pytest.raises(KeyAccessError, match="no such key"):
        keyring.generate_data_key(CONTEXT)

    assert scene.operations() == [("GenerateDataKey", scene.old)]


def test_new_key_when_it_is_gone_as_well_is_looked_for_once_per_call(scene: Scene) -> None:
    keyring = scene.keyring()
    keyring.generate_data_key(CONTEXT)
    scene.move()
    scene.delete_old()
    scene.kms.faults.fail("GenerateDataKey", "NotFoundException", None)

    with pytest.raises(KeyAccessError, match="no such key"):
        keyring.generate_data_key(CONTEXT)

    assert [name for name, _ in scene.operations()] == ["GenerateDataKey", "DescribeKey", "GenerateDataKey"]


def test_threads_when_all_find_the_key_gone_ask_once(scene: Scene) -> None:
    keyring = scene.keyring()
    keyring.generate_data_key(CONTEXT)
    scene.move()
    scene.delete_old()
    barrier = threading.Barrier(8)
    client_calls = threading.Lock()
    asked: list[str] = []

    def together(**parameters: object) -> None:
        with client_calls:
            asked.append("GenerateDataKey")
            is_first_round = len(asked) <= 8
        if is_first_round:
            barrier.wait(30)

    keyring._client.meta.events.register("after-call-error.kms.GenerateDataKey", together)
    keyring._client.meta.events.register("after-call.kms.GenerateDataKey", together)

    with ThreadPoolExecutor(8) as executor:
        made = list(executor.map(lambda _: keyring.generate_data_key(CONTEXT), range(8)))

    assert scene.kms.count("DescribeKey") == 1
    new = KmsKeyring(scene.new, scene.kms.client())
    assert all(_opened(new, *one.encrypted) for one in made)


@pytest.mark.parametrize(
    "answer",
    [
        "arn:aws:kms:eu-west-1:111122223333:key/12345678-1234-1234-1234-123456789012",
        "arn:aws:kms:us-east-1:111122223333:alias/other",
        "arn:aws:kms:us-east-1:444455556666:key/12345678-1234-1234-1234-123456789012",
        "12345678-1234-1234-1234-123456789012",
        "junk",
    ],
    ids=["another region", "an alias", "another account", "no arn", "junk"],
)
def test_alias_when_it_is_said_to_name_what_it_cannot_is_refused(scene: Scene, answer: str) -> None:
    client = scene.kms.client()

    def lie(parsed: dict[str, dict[str, object]], **_: object) -> None:
        parsed["KeyMetadata"]["Arn"] = answer

    client.meta.events.register("after-call.kms.DescribeKey", lie)
    keyring = KmsKeyring(f"arn:aws:kms:us-east-1:111122223333:{scene.alias}", client)

    with pytest.raises(KeyAccessError, match="no key beside it"):
        keyring.generate_data_key(CONTEXT)
    with pytest.raises(KeyAccessError, match="no key beside it"):
        keyring.adopt_alias(scene.alias, answer)

    assert scene.kms.count("GenerateDataKey") == 0
    assert keyring.key_arns == ()


def test_name_when_a_child_is_forked_while_it_is_resolved_does_not_wait_for_its_parent() -> None:
    process = [os.getpid()]
    resolving, release = threading.Event(), threading.Event()

    def describe(_: str) -> str:
        if threading.current_thread() is not threading.main_thread():
            resolving.set()
            release.wait(30)
        return "arn"

    name = KmsKeyName("alias/x", describe, process_id=lambda: process[0])
    parent = threading.Thread(target=name.current)
    parent.start()
    resolving.wait(30)

    process[0] += 1
    try:
        assert name.current()[0] == "arn"
        assert parent.is_alive()
    finally:
        release.set()
        parent.join()
