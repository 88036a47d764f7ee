"""Several KMS keys by `kms_key_id`: all wrap, each alone opens, the nearest is read with first."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.config import Config

import s3envelope
from s3envelope import KmsKeyring, MultiKeyring
from s3envelope.core.envelope import Envelope
from s3envelope.core.hints import key_hint
from s3envelope.errors import ConfigurationError, KeyAccessError, KeyServiceUnavailableError
from s3envelope.testing import LocalKms
from tests.support.endpoints import Endpoint

HOME, AWAY = "us-east-1", "eu-west-1"
BODY = b"x" * 70_000


@dataclass(frozen=True, slots=True)
class Scene:
    """A bucket, a KMS that all clients of the library find by themselves, and a key in each of two regions."""

    endpoint: Endpoint
    bucket: str
    kms: LocalKms
    home_arn: str
    away_arn: str

    def client(self, key_ids: Any, **fields: Any) -> Any:
        arguments = {**self.endpoint.client_arguments(), "region_name": HOME}
        return s3envelope.client("s3", kms_key_id=key_ids, **{"cache": None, **fields}, **arguments)

    def put(self, client: Any) -> set[bytes]:
        """Store the body; return the hints of its encrypted data keys."""
        client.put_object(Bucket=self.bucket, Key="k", Body=BODY)
        return self.hints()

    def hints(self) -> set[bytes]:
        plain = self.endpoint.client()
        metadata = plain.head_object(Bucket=self.bucket, Key="k")["Metadata"]
        plain.close()
        return {key.hint for key in Envelope.parse(metadata).encrypted_data_keys}

    def get(self, client: Any) -> bytes:
        return bytes(client.get_object(Bucket=self.bucket, Key="k")["Body"].read())

    def calls(self) -> list[tuple[str, str]]:
        return [(call.operation, call.region) for call in self.kms.calls]


@pytest.fixture
def scene(moto_s3: Endpoint, new_bucket: Callable[[Endpoint], str], monkeypatch: pytest.MonkeyPatch) -> Iterator[Scene]:
    with LocalKms() as kms:
        monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", kms.endpoint_url)
        yield Scene(moto_s3, new_bucket(moto_s3), kms, kms.create_key(HOME), kms.create_key(AWAY))


def test_object_when_two_keys_are_named_is_wrapped_by_both_and_opens_with_each_alone(scene: Scene) -> None:
    hints = scene.put(scene.client([scene.away_arn, scene.home_arn]))

    assert hints == {key_hint(scene.away_arn), key_hint(scene.home_arn)}
    # The first that is named makes the data key, wherever it is.
    assert scene.calls() == [("GenerateDataKey", AWAY), ("Encrypt", HOME)]
    for alone in (scene.home_arn, [scene.away_arn]):
        assert scene.get(scene.client(alone)) == BODY


@pytest.mark.parametrize("is_home_first", [True, False])
def test_read_when_a_key_is_in_the_clients_region_asks_that_and_no_other(scene: Scene, is_home_first: bool) -> None:
    names = [scene.home_arn, scene.away_arn]
    client = scene.client(names if is_home_first else names[::-1])
    scene.put(client)
    scene.kms.clear_calls()

    assert scene.get(client) == BODY

    assert scene.calls() == [("Decrypt", HOME)]


def test_read_order_when_several_are_as_near_is_the_given_one(scene: Scene) -> None:
    names = [scene.away_arn, scene.kms.create_key(HOME), scene.kms.create_key(AWAY), scene.home_arn]

    keyring = scene.client(names)._s3envelope.keyring

    assert [next(iter(one.key_ids)) for one in keyring.keyrings] == [names[1], names[3], names[0], names[2]]


def test_aliases_when_named_are_in_the_clients_region(scene: Scene) -> None:
    scene.kms.perform("CreateAlias", HOME, AliasName="alias/orders", TargetKeyId=scene.home_arn)
    client = scene.client([scene.away_arn, "alias/orders"])

    assert scene.put(client) == {key_hint(scene.away_arn), key_hint(scene.home_arn)}
    assert [next(iter(one.key_ids)) for one in client._s3envelope.keyring.keyrings] == ["alias/orders", scene.away_arn]


def test_environment_when_it_has_commas_names_several(scene: Scene, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("S3ENVELOPE_KMS_KEY_ID", f"{scene.home_arn}, {scene.away_arn}")
    arguments = {**scene.endpoint.client_arguments(), "region_name": HOME}

    hints = scene.put(s3envelope.client("s3", **arguments))

    assert hints == {key_hint(scene.home_arn), key_hint(scene.away_arn)}


def test_keys_when_one_alone_is_in_the_list_are_no_multi_keyring(scene: Scene) -> None:
    assert isinstance(scene.client([scene.home_arn])._s3envelope.keyring, KmsKeyring)
    assert isinstance(scene.client((scene.home_arn, scene.away_arn))._s3envelope.keyring, MultiKeyring)


@pytest.mark.parametrize(
    ("config", "alone", "with_others"), [({}, (5, 10), (2, 3)), ({"read_timeout": 7}, (5, 7), (2, 7))], ids=range(2)
)
def test_kms_clients_when_there_are_other_keys_give_up_sooner_unless_told_otherwise(
    scene: Scene, config: dict[str, Any], alone: tuple[int, int], with_others: tuple[int, int]
) -> None:
    def timeouts(key_ids: list[str]) -> set[tuple[int, int]]:
        client: Any = s3envelope.client("s3", kms_key_id=key_ids, region_name=HOME, config=Config(**config))
        keyring = client._s3envelope.keyring
        configs = [one._client.meta.config for one in getattr(keyring, "keyrings", [keyring])]
        return {(one.connect_timeout, one.read_timeout) for one in configs}

    assert timeouts([scene.home_arn]) == {alone}
    assert timeouts([scene.home_arn, scene.away_arn]) == {with_others}


def test_kms_client_when_given_serves_the_keys_of_its_region_only(scene: Scene) -> None:
    given = scene.kms.client(AWAY)
    same = scene.kms.create_key(AWAY)

    keyring = scene.client([scene.home_arn, scene.away_arn, same], kms_client=given)._s3envelope.keyring

    clients = {next(iter(one.key_ids)): one._client for one in keyring.keyrings}
    assert clients[scene.away_arn] is clients[same] is given
    assert clients[scene.home_arn].meta.region_name == HOME


def test_kms_client_when_of_another_region_than_the_only_key_is_refused(scene: Scene) -> None:
    with pytest.raises(ConfigurationError, match=AWAY):
        scene.client(scene.home_arn, kms_client=scene.kms.client(AWAY))

    assert scene.kms.calls == ()


def test_kms_client_when_of_another_region_than_a_multi_region_key_uses_the_replica_there(scene: Scene) -> None:
    arn = scene.kms.create_key(HOME, MultiRegion=True)
    scene.kms.perform("ReplicateKey", HOME, KeyId=arn, ReplicaRegion=AWAY)
    scene.put(scene.client(arn))

    assert scene.get(scene.client(arn, kms_client=scene.kms.client(AWAY))) == BODY
    assert scene.calls() == [("GenerateDataKey", HOME), ("Decrypt", AWAY)]


@pytest.mark.parametrize(
    "key_ids",
    [
        [],
        (),
        ["alias/a", "alias/a"],
        [f"alias/{number}" for number in range(5)],
        ["alias/a", "not a key"],
        ["alias/a", 5],
        {"alias/a"},
        b"alias/a",
        [["alias/a"]],
    ],
    ids=range(9),
)
def test_keys_when_they_are_not_one_to_four_different_ones_are_refused(scene: Scene, key_ids: Any) -> None:
    with pytest.raises(ConfigurationError, match="kms_key_id"):
        scene.client(key_ids)


def test_write_when_one_of_the_keys_is_away_stores_nothing(scene: Scene) -> None:
    scene.kms.faults.fail("Encrypt", "KMSInternalException", None)

    with pytest.raises(KeyServiceUnavailableError):
        scene.put(scene.client([scene.home_arn, scene.away_arn]))

    plain = scene.endpoint.client()
    assert "Contents" not in plain.list_objects_v2(Bucket=scene.bucket)
    plain.close()


@pytest.mark.parametrize("edk_only", [False, True])
def test_rewrap_when_several_keys_are_named_wraps_with_each(scene: Scene, edk_only: bool) -> None:
    client = scene.client(scene.home_arn)
    scene.put(client)
    third = scene.kms.create_key(HOME)

    client.rewrap_object(Bucket=scene.bucket, Key="k", to=[scene.home_arn, third], edk_only=edk_only)

    assert scene.hints() == {key_hint(scene.home_arn), key_hint(third)}
    assert scene.get(scene.client(third)) == BODY


@pytest.mark.parametrize("to", [5, [], ["alias/a", "alias/a"], object()], ids=range(4))
def test_rewrap_when_it_is_to_something_else_is_refused(scene: Scene, to: Any) -> None:
    client = scene.client(scene.home_arn)
    before = scene.put(client)

    with pytest.raises(ConfigurationError):
        client.rewrap_object(Bucket=scene.bucket, Key="k", to=to)

    assert scene.hints() == before


def test_rewrap_when_the_client_also_discovers_reencrypts_with_its_own_key(scene: Scene) -> None:
    known = KmsKeyring(scene.home_arn, scene.kms.client(HOME))
    discovery = s3envelope.KmsDiscoveryKeyring(scene.kms.client, accounts=["111122223333"], regions=[HOME])
    arguments = {**scene.endpoint.client_arguments(), "region_name": HOME}
    client: Any = s3envelope.client("s3", keyring=MultiKeyring(known, discovery), **arguments)
    scene.put(client)

    client.rewrap_object(Bucket=scene.bucket, Key="k", edk_only=True)

    assert scene.hints() == {key_hint(scene.home_arn)}


def test_object_when_its_key_is_not_known_is_read_by_discovery_and_not_written(scene: Scene) -> None:
    scene.put(scene.client(scene.away_arn))
    discovery = s3envelope.KmsDiscoveryKeyring(scene.kms.client, accounts=["111122223333"], regions=[HOME, AWAY])
    arguments = {**scene.endpoint.client_arguments(), "region_name": HOME}
    client: Any = s3envelope.client("s3", keyring=discovery, **arguments)

    assert scene.get(client) == BODY
    with pytest.raises(ConfigurationError, match="only opens"):
        client.put_object(Bucket=scene.bucket, Key="k", Body=b"other")
    assert scene.get(client) == BODY


def test_object_when_a_stranger_wrote_it_with_a_key_of_his_own_account_is_not_read_by_discovery(scene: Scene) -> None:
    with LocalKms(account_id="444455556666") as stranger:
        their_client: Any = stranger.client(HOME)
        scene.put(scene.client(stranger.create_key(HOME), kms_client=their_client))
        # His key lets everybody decrypt: KMS opens the entry, and the whole object is consistent.
        ours = s3envelope.KmsDiscoveryKeyring({HOME: their_client}, accounts=["111122223333"], regions=[HOME])
        theirs = s3envelope.KmsDiscoveryKeyring({HOME: their_client}, accounts=["444455556666"], regions=[HOME])
        arguments = {**scene.endpoint.client_arguments(), "region_name": HOME}

        with pytest.raises(KeyAccessError, match="444455556666"):
            scene.get(s3envelope.client("s3", keyring=ours, **arguments))

        assert scene.get(s3envelope.client("s3", keyring=theirs, **arguments)) == BODY
