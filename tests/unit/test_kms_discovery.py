"""Discovery: any key of given accounts and regions opens, and no other; nothing is ever wrapped."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

from s3envelope import KmsDiscoveryKeyring, KmsKeyring, MultiKeyring
from s3envelope.caches.limits import CacheLimits
from s3envelope.caches.manager import CachingMaterialsManager
from s3envelope.core.context import EncryptionContext
from s3envelope.core.ports import EncryptedDataKey, Keyring, RemoteKeyring
from s3envelope.core.secret import SecretBytes
from s3envelope.errors import ConfigurationError, KeyAccessError, KeyServiceUnavailableError, NoMatchingKeyError
from s3envelope.testing.local_kms import LocalKms
from tests.support.caching import Place
from tests.support.objects import FakeClock, fake_ports, raw_keyring

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

CONTEXT = EncryptionContext({"tenant": "acme"})
OTHER = EncryptionContext({"tenant": "other"})
ACCOUNT = "111122223333"
HOME, AWAY = "eu-central-1", "us-east-1"


@dataclass(frozen=True, slots=True)
class Scene:
    """One KMS with two regions; a stranger's KMS answers for another account."""

    kms: LocalKms
    stranger: LocalKms

    def keyring(self, **changed: Any) -> KmsDiscoveryKeyring:
        arguments = {"accounts": [ACCOUNT], "regions": [HOME, AWAY], **changed}
        return KmsDiscoveryKeyring(arguments.pop("clients", self.kms.client), **arguments)

    def wrapped(self, region: str = HOME) -> tuple[bytes, EncryptedDataKey]:
        """Return a data key, and how a new key of a region wraps it."""
        made = KmsKeyring(self.kms.create_key(region), self.kms.client(region)).generate_data_key(CONTEXT)
        self.kms.clear_calls()
        return bytes(made.plaintext.view()), made.encrypted[0]


@pytest.fixture(scope="module")
def servers() -> Iterator[Scene]:
    with LocalKms() as kms, LocalKms(account_id="444455556666") as stranger:
        yield Scene(kms, stranger)


@pytest.fixture
def scene(servers: Scene) -> Scene:
    servers.kms.faults.clear()
    servers.kms.clear_calls()
    return servers


def _opened(keyring: Keyring, *entries: EncryptedDataKey, context: EncryptionContext = CONTEXT) -> list[bytes]:
    return [bytes(plaintext.view()) for _, plaintext in keyring.decrypt_data_keys(entries, context)]


def _first(keyring: Keyring, *entries: EncryptedDataKey) -> bytes:
    _, plaintext = next(keyring.decrypt_data_keys(entries, CONTEXT))
    return bytes(plaintext.view())


@pytest.mark.parametrize("region", [HOME, AWAY])
def test_entry_when_of_any_key_of_the_account_and_regions_opens(scene: Scene, region: str) -> None:
    plaintext, entry = scene.wrapped(region)

    assert _first(scene.keyring(), entry) == plaintext

    asked = [(call.operation, call.region, call.key_id, call.encryption_context) for call in scene.kms.calls]
    kms_context = {"tenant": "acme", "s3envelope": "SE1"}
    assert asked == [("Decrypt", one, None, kms_context) for one in ([HOME] if region == HOME else [HOME, AWAY])]


def test_entry_when_of_a_multi_region_key_opens_in_the_region_of_a_replica(scene: Scene) -> None:
    arn = scene.kms.create_key(AWAY, MultiRegion=True)
    scene.kms.perform("ReplicateKey", AWAY, KeyId=arn, ReplicaRegion=HOME)
    made = KmsKeyring(arn, scene.kms.client(AWAY)).generate_data_key(CONTEXT)

    assert _first(scene.keyring(regions=[HOME]), *made.encrypted) == bytes(made.plaintext.view())


def test_entry_when_in_a_region_that_is_not_given_does_not_open(scene: Scene) -> None:
    _, entry = scene.wrapped(AWAY)

    with pytest.raises(KeyAccessError):
        _opened(scene.keyring(regions=[HOME]), entry)

    assert {call.region for call in scene.kms.calls} == {HOME}


def _claiming(client: KMSClient, arn: str) -> KMSClient:
    """Let the answers of a client name another key."""

    def lie(parsed: dict[str, Any], **_: object) -> None:
        parsed["KeyId"] = arn

    client.meta.events.register("after-call.kms.Decrypt", lie)
    return client


ANSWERS: dict[str, Callable[[str], str]] = {
    "another account": lambda arn: arn.replace(ACCOUNT, "444455556666"),
    "another region": lambda arn: arn.replace(HOME, AWAY),
    "another partition": lambda arn: arn.replace("arn:aws:", "arn:aws-cn:"),
    "another key": lambda arn: arn[:-4] + "0000",
    "an alias": lambda arn: arn.partition("key/")[0] + "alias/x",
    "no arn": lambda arn: arn.rpartition("/")[2],
    "an arn of another service": lambda arn: arn.replace(":kms:", ":s3:"),
    "something behind": lambda arn: arn + "\n",
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_answer_when_the_key_is_not_one_of_ours_is_wiped_and_refused(
    scene: Scene, answer: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = scene.kms.create_key(HOME)
    entry = KmsKeyring(own, scene.kms.client(HOME)).generate_data_key(CONTEXT).encrypted[0]
    arn = ANSWERS[answer](own)
    keyring = scene.keyring(clients={HOME: _claiming(scene.kms.client(HOME), arn)}, regions=[HOME])
    wiped: list[int] = []
    original = SecretBytes.wipe

    def wipe(secret: SecretBytes) -> None:
        wiped.append(len(secret))
        original(secret)

    monkeypatch.setattr(SecretBytes, "wipe", wipe)
    candidates = keyring.decrypt_data_keys([entry], CONTEXT)

    with pytest.raises(KeyAccessError, match="refused"):
        next(candidates)

    assert wiped == [32]
    with pytest.raises(StopIteration):
        next(candidates)


def test_entry_when_a_strangers_key_opens_it_is_refused_and_the_genuine_one_after_it_opens(scene: Scene) -> None:
    plaintext, entry = scene.wrapped()
    client = scene.kms.client(HOME)
    theirs = KmsKeyring(scene.stranger.create_key(HOME), scene.stranger.client(HOME)).generate_data_key(CONTEXT)
    strange = theirs.encrypted[0]

    # The real KMS opens what a key of another account wrapped, if that key lets it.
    def open_strange(model: object, params: dict[str, Any], **_: object) -> None:
        if strange.ciphertext in _blobs(params):
            params["url"] = scene.stranger.endpoint_url + "/"

    client.meta.events.register("before-call.kms.Decrypt", open_strange)
    keyring = scene.keyring(clients={HOME: client}, regions=[HOME])

    assert _first(keyring, strange, entry) == plaintext
    with pytest.raises(KeyAccessError, match="444455556666"):
        _opened(keyring, strange)
    assert scene.stranger.count("Decrypt") == 2


def _blobs(params: dict[str, Any]) -> list[bytes]:
    return [base64.b64decode(json.loads(params["body"])["CiphertextBlob"])]


def test_entry_when_its_hint_is_of_another_key_is_refused(scene: Scene) -> None:
    _, entry = scene.wrapped()

    with pytest.raises(KeyAccessError, match="refused"):
        _opened(scene.keyring(regions=[HOME]), EncryptedDataKey(b"\0\0\0\0", entry.ciphertext))


def test_entries_when_junk_are_asked_about_once_in_each_region_and_no_more_than_four(scene: Scene) -> None:
    _, entry = scene.wrapped()
    junk = [EncryptedDataKey(entry.hint, bytes([number]) * 184) for number in range(9)]

    assert _opened(scene.keyring(), *junk) == []

    assert scene.kms.count("Decrypt") == 8


@pytest.mark.parametrize("sizes", [(), (6145,), (6145, 65_535)])
def test_entries_when_none_can_be_one_of_kms_are_not_sent(scene: Scene, sizes: tuple[int, ...]) -> None:
    with pytest.raises(NoMatchingKeyError):
        _opened(scene.keyring(), *(EncryptedDataKey(b"hint", bytes(size)) for size in sizes))

    assert scene.kms.calls == ()


def test_entry_when_the_context_is_another_is_skipped(scene: Scene) -> None:
    _, entry = scene.wrapped()

    assert _opened(scene.keyring(regions=[HOME]), entry, context=OTHER) == []


@pytest.mark.parametrize("code", ["AccessDeniedException", "DisabledException"])
def test_regions_when_one_refuses_and_one_is_away_say_that_it_is_refused(scene: Scene, code: str) -> None:
    _, entry = scene.wrapped()
    scene.kms.faults.fail("Decrypt", "KMSInternalException", 1)
    scene.kms.faults.fail("Decrypt", code, 1)

    with pytest.raises(KeyAccessError) as caught:
        _opened(scene.keyring(), entry)

    assert all(region in str(caught.value) for region in (HOME, AWAY))


def test_regions_when_all_are_away_say_so(scene: Scene) -> None:
    _, entry = scene.wrapped()
    scene.kms.faults.fail("Decrypt", "KMSInternalException", None)

    with pytest.raises(KeyServiceUnavailableError):
        _opened(scene.keyring(), entry, entry, entry)

    assert scene.kms.count("Decrypt") == 2


def test_region_when_it_was_away_is_asked_last_for_a_while(scene: Scene) -> None:
    plaintext, entry = scene.wrapped(AWAY)
    clock = FakeClock()
    keyring = scene.keyring(clock=clock)
    scene.kms.faults.throttle("Decrypt", 1)

    assert [_first(keyring, entry) for _ in range(2)] == [plaintext, plaintext]
    clock.seconds += 31
    _first(keyring, entry)

    assert [call.region for call in scene.kms.calls] == [HOME, AWAY, AWAY, HOME, AWAY]


def test_keyring_when_asked_to_wrap_refuses_and_says_what_to_configure(scene: Scene) -> None:
    keyring = scene.keyring()
    _, entry = scene.wrapped()
    calls: list[Callable[[], object]] = [
        lambda: keyring.generate_data_key(CONTEXT),
        lambda: keyring.encrypt_data_key(SecretBytes(bytes(32)), CONTEXT),
        lambda: keyring.reencrypt_data_key(entry, CONTEXT, source_key_arn="arn"),
    ]

    for call in calls:
        with pytest.raises(ConfigurationError, match="kms_key_id"):
            call()

    assert scene.kms.calls == ()
    assert (keyring.key_ids, keyring.encrypted_data_key_sizes) == (frozenset(), ())


def test_multi_keyring_when_discovery_is_in_it_wraps_with_the_others_and_opens_with_all(scene: Scene) -> None:
    plaintext, foreign = scene.wrapped(AWAY)
    known = KmsKeyring(scene.kms.create_key(HOME), scene.kms.client(HOME))
    both = MultiKeyring(known, scene.keyring())

    made = both.generate_data_key(CONTEXT)

    assert len(made.encrypted) == 1 == len(both.encrypted_data_key_sizes)
    assert both.key_ids == known.key_ids
    assert _first(both, *made.encrypted) == bytes(made.plaintext.view())
    assert _first(both, foreign) == plaintext


def test_multi_keyring_when_discovery_is_the_generator_or_is_required_says_no(scene: Scene) -> None:
    known = KmsKeyring(scene.kms.create_key(HOME), scene.kms.client(HOME))

    with pytest.raises(ConfigurationError, match="only opens"):
        MultiKeyring(scene.keyring(), known)
    with pytest.raises(ConfigurationError, match="from 1 to 1"):
        MultiKeyring(known, scene.keyring(), require=2)


def test_cache_when_discovery_opened_keeps_the_key_in_memory_and_nothing_on_disk(scene: Scene, tmp_path: Any) -> None:
    plaintext, entry = scene.wrapped()
    place = Place(scene.kms, tmp_path)
    keyring = scene.keyring()
    manager = CachingMaterialsManager(keyring, CacheLimits(), fake_ports(), disk=place.cache())

    opened = [manager.open_with_data_key([entry], CONTEXT, lambda key: bytes(key.view())) for _ in range(2)]

    assert opened == [plaintext, plaintext]
    assert scene.kms.count("Decrypt") == 1
    assert not isinstance(keyring, RemoteKeyring)
    assert not place.folder.exists()


def test_clients_when_made_by_a_function_are_made_once_and_only_when_needed(scene: Scene) -> None:
    _, entry = scene.wrapped()
    made: list[str] = []

    def make(region: str) -> KMSClient:
        made.append(region)
        return scene.kms.client(region)

    keyring = scene.keyring(clients=make)
    for _ in range(2):
        _first(keyring, entry)

    assert made == [HOME]


def test_client_when_of_another_region_is_refused_before_any_call(scene: Scene) -> None:
    _, entry = scene.wrapped()

    with pytest.raises(ConfigurationError, match=AWAY):
        _opened(scene.keyring(clients=lambda _: scene.kms.client(AWAY)), entry)

    assert scene.kms.calls == ()


WRONG: dict[str, dict[str, Any]] = {
    "no account": {"accounts": []},
    "a text of accounts": {"accounts": ACCOUNT},
    "every account": {"accounts": ["*"]},
    "a short account": {"accounts": [ACCOUNT[1:]]},
    "an account with a line": {"accounts": [ACCOUNT + "\n"]},
    "an account twice": {"accounts": [ACCOUNT, ACCOUNT]},
    "65 accounts": {"accounts": [f"{number:012}" for number in range(65)]},
    "no region": {"regions": []},
    "every region": {"regions": ["*"]},
    "a number": {"regions": [5]},
    "nine regions": {"regions": [f"eu-west-{number}" for number in range(9)]},
    "every partition": {"partition": "*"},
    "no partition": {"partition": None},
    "a client missing": {"clients": {}},
}


@pytest.mark.parametrize("case", WRONG)
def test_keyring_when_given_the_wrong_things_says_what_it_takes(scene: Scene, case: str) -> None:
    with pytest.raises(ConfigurationError, match=r"use a list|give one"):
        scene.keyring(**WRONG[case])


def test_raw_entry_when_sent_is_skipped(scene: Scene) -> None:
    entry = raw_keyring().generate_data_key(CONTEXT).encrypted[0]

    assert _opened(scene.keyring(regions=[HOME]), entry) == []
