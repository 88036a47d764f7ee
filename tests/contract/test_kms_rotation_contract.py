"""KMS's own rotation of key material: what was wrapped before goes on to open, and nothing of it is wrapped anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest

import s3envelope
from s3envelope import KmsKeyring
from s3envelope.core.context import EncryptionContext
from s3envelope.core.envelope import Envelope
from s3envelope.core.ports import EncryptedDataKey
from s3envelope.testing import LocalKms
from tests.contract.kms_helpers import new_key
from tests.contract.kms_servers import KmsServer
from tests.support.endpoints import Endpoint
from tests.support.objects import FakeClock

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

CONTEXT = EncryptionContext({"tenant": "acme"})
DAY = 86_400.0
BODY = b"x" * 70_000


def _opened(keyring: KmsKeyring, entry: EncryptedDataKey) -> bytes:
    _, plaintext = next(keyring.decrypt_data_keys([entry], CONTEXT))
    return bytes(plaintext.view())


def _material(kms: KMSClient, entry: EncryptedDataKey) -> str:
    """Return the id of the key material that an entry is under, as KMS tells it."""
    answer: Any = kms.decrypt(CiphertextBlob=entry.ciphertext, EncryptionContext=dict(CONTEXT.for_key_service()))
    return str(answer["KeyMaterialId"])


def test_data_keys_when_the_key_is_rotated_on_demand_open_as_before_and_after(kms_server: KmsServer) -> None:
    kms = kms_server.client()
    arn = new_key(kms)
    keyring = KmsKeyring(arn, kms)
    made = [keyring.generate_data_key(CONTEXT)]

    for _ in range(3):
        kms.rotate_key_on_demand(KeyId=arn)
        made.append(keyring.generate_data_key(CONTEXT))

    fresh = KmsKeyring(arn, kms)
    assert [_opened(fresh, one.encrypted[0]) for one in made] == [bytes(one.plaintext.view()) for one in made]
    # The name of the key stays, and with it the hint that finds it.
    assert len({one.encrypted[0].hint for one in made}) == 1


@pytest.mark.logs_secrets
def test_new_data_keys_when_the_key_was_rotated_are_under_new_material(kms_server: KmsServer) -> None:
    kms = kms_server.client()
    arn = new_key(kms)
    keyring = KmsKeyring(arn, kms)
    before = keyring.generate_data_key(CONTEXT).encrypted[0]

    kms.rotate_key_on_demand(KeyId=arn)
    after = keyring.generate_data_key(CONTEXT).encrypted[0]

    assert _material(kms, before) != _material(kms, after)


def test_automatic_rotation_when_enabled_with_a_period_leaves_data_keys_as_they_are(kms_server: KmsServer) -> None:
    kms = kms_server.client()
    arn = new_key(kms)
    keyring = KmsKeyring(arn, kms)
    made = keyring.generate_data_key(CONTEXT)

    kms.enable_key_rotation(KeyId=arn, RotationPeriodInDays=90)

    assert kms.get_key_rotation_status(KeyId=arn)["KeyRotationEnabled"] is True
    assert _opened(keyring, made.encrypted[0]) == bytes(made.plaintext.view())


def test_object_when_the_key_is_rotated_after_it_was_written_opens_still(
    kms_server: KmsServer, moto_s3: Endpoint, new_bucket: Callable[[Endpoint], str]
) -> None:
    kms, bucket = kms_server.client(), new_bucket(moto_s3)
    arn = new_key(kms)

    def client() -> Any:
        return s3envelope.client("s3", kms_key_id=arn, kms_client=kms, cache=None, **moto_s3.client_arguments())

    for number in range(3):
        client().put_object(Bucket=bucket, Key=str(number), Body=BODY + bytes([number]))
        kms.rotate_key_on_demand(KeyId=arn)

    bodies = [client().get_object(Bucket=bucket, Key=str(number))["Body"].read() for number in range(3)]
    assert bodies == [BODY + bytes([number]) for number in range(3)]


@dataclass(frozen=True, slots=True)
class Scene:
    """A KMS whose clock a test turns, with a key that rotates every 90 days, and a bucket."""

    kms: LocalKms
    clock: FakeClock
    arn: str
    endpoint: Endpoint
    bucket: str

    def client(self) -> Any:
        arguments = self.endpoint.client_arguments()
        return s3envelope.client("s3", kms_key_id=self.arn, kms_client=self.kms.client(), cache=None, **arguments)

    def entry(self) -> EncryptedDataKey:
        """Return the encrypted data key of the object."""
        plain = self.endpoint.client()
        metadata = plain.head_object(Bucket=self.bucket, Key="k")["Metadata"]
        plain.close()
        return Envelope.parse(metadata).encrypted_data_keys[0]

    def get(self) -> bytes:
        return bytes(self.client().get_object(Bucket=self.bucket, Key="k")["Body"].read())


@pytest.fixture
def scene(moto_s3: Endpoint, new_bucket: Callable[[Endpoint], str]) -> Iterator[Scene]:
    clock = FakeClock()
    clock.seconds = 1_800_000_000.0
    with LocalKms(clock=clock) as kms:
        arn = kms.create_key()
        kms.perform("EnableKeyRotation", KeyId=arn, RotationPeriodInDays=90)
        yield Scene(kms, clock, arn, moto_s3, new_bucket(moto_s3))


def _material_of(scene: Scene) -> str:
    kms = scene.kms.client()
    context = dict(EncryptionContext().for_key_service())
    answer: Any = kms.decrypt(CiphertextBlob=scene.entry().ciphertext, EncryptionContext=context)
    return str(answer["KeyMaterialId"])


def _current_material(scene: Scene) -> str:
    answer: Any = scene.kms.perform("ListKeyRotations", KeyId=scene.arn, IncludeKeyMaterial="ALL_KEY_MATERIAL")
    return next(str(one["KeyMaterialId"]) for one in answer["Rotations"] if one["KeyMaterialState"] == "CURRENT")


@pytest.mark.logs_secrets
def test_object_when_the_period_has_passed_opens_and_stays_under_the_old_material(scene: Scene) -> None:
    scene.client().put_object(Bucket=scene.bucket, Key="k", Body=BODY)
    before = scene.entry()

    scene.clock.seconds += 91 * DAY

    assert scene.get() == BODY
    assert scene.entry() == before
    assert _material_of(scene) != _current_material(scene)


@pytest.mark.logs_secrets
def test_object_when_written_after_the_period_is_under_the_new_material(scene: Scene) -> None:
    first = _current_material(scene)
    scene.clock.seconds += 91 * DAY

    scene.client().put_object(Bucket=scene.bucket, Key="k", Body=BODY)

    assert first != _material_of(scene) == _current_material(scene)
    assert scene.get() == BODY


@pytest.mark.logs_secrets
@pytest.mark.parametrize("edk_only", [True, False])
def test_rewrap_when_the_key_was_rotated_brings_the_object_under_the_new_material(scene: Scene, edk_only: bool) -> None:
    scene.client().put_object(Bucket=scene.bucket, Key="k", Body=BODY)
    scene.clock.seconds += 91 * DAY

    scene.client().rewrap_object(Bucket=scene.bucket, Key="k", edk_only=edk_only)

    assert _material_of(scene) == _current_material(scene)
    assert scene.get() == BODY
