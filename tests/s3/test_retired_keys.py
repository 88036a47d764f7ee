"""Retired keys: they open what they wrapped, and wrap nothing new."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from s3envelope import EnvelopeConfig, KmsKeyring, RawAesKeyring, SuccessionKeyring, errors
from s3envelope.core.ports import Keyring
from s3envelope.s3.config import make_config
from tests.support.rewrapping import SMALL
from tests.support.rotating_reads import HOUR, Reading, finish
from tests.support.uploading import read


def test_object_when_read_under_a_retired_key_stays_if_nobody_asked_for_more(reading: Reading) -> None:
    before = reading.scene.put()
    client = reading.make(rotate_on_read=None)

    assert read(client, reading.scene.bucket) == SMALL
    finish(client)

    assert reading.scene.stored()[1] == before
    assert client._s3envelope.read_rotation is None


def test_client_when_keys_are_retired_seals_with_the_current_one_only(reading: Reading) -> None:
    client = reading.make()

    client.put_object(Bucket=reading.scene.bucket, Key="k", Body=SMALL)
    assert read(client, reading.scene.bucket) == SMALL
    client.rewrap_object(Bucket=reading.scene.bucket, Key="k", edk_only=True)
    finish(client)

    assert reading.is_current()


@pytest.mark.parametrize(
    "fields",
    [
        {"rotate_on_read": HOUR},
        {"rotate_on_read": 3600, "retired_kms_key_ids": ["alias/old"]},
        {"rotate_on_read": datetime.timedelta(), "retired_kms_key_ids": ["alias/old"]},
        {"rotate_on_read": -HOUR, "retired_kms_key_ids": ["alias/old"]},
        {"retired_kms_key_ids": "alias/old"},
        {"retired_kms_key_ids": ["no key"]},
        {"retired_kms_key_ids": None},
    ],
    ids=str,
)
def test_config_when_it_contradicts_itself_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(errors.ConfigurationError):
        EnvelopeConfig(kms_key_id="alias/new", **fields)


def test_config_when_read_from_the_environment_names_retired_keys_but_not_beside_a_keyring_of_ones_own() -> None:
    environment = {
        "S3ENVELOPE_KMS_KEY_ID": "alias/new",
        "S3ENVELOPE_RETIRED_KMS_KEY_IDS": "alias/old, alias/older",
        "S3ENVELOPE_ROTATE_ON_READ": "3600",
    }

    found = make_config({}, environment)
    other = make_config({"keyring": RawAesKeyring(bytes(32), "x")}, environment)

    assert (found.retired_kms_key_ids, found.rotate_on_read) == (("alias/old", "alias/older"), HOUR)
    assert (other.retired_kms_key_ids, other.rotate_on_read) == ((), None)


def test_succession_when_made_of_the_wrong_things_is_refused() -> None:
    new, old = RawAesKeyring(bytes(32), "new"), RawAesKeyring(bytes(32), "old")
    wrong: list[tuple[Any, ...]] = [(new,), (new, new), (new, old, old), (new, "alias/old"), (None, old)]

    for keyrings in wrong:
        with pytest.raises(errors.ConfigurationError):
            SuccessionKeyring(*keyrings)
    with pytest.raises(errors.ConfigurationError, match="name retired keys once"):
        EnvelopeConfig(keyring=SuccessionKeyring(new, old), retired_kms_key_ids=["alias/old"])
    assert isinstance(SuccessionKeyring(new, old), Keyring)


def test_succession_when_a_key_service_fails_tells_the_denial_before_the_outage(reading: Reading) -> None:
    scene = reading.scene
    lost = KmsKeyring(scene.kms.create_key(), scene.kms.client())
    scene.put()
    strange = scene.with_keyring(SuccessionKeyring(scene.second, lost), cache=None)
    with pytest.raises(errors.NoMatchingKeyError):
        read(strange, scene.bucket)
    scene.kms.faults.fail("Decrypt", "AccessDeniedException", 1, status=400)
    old = KmsKeyring(reading.retired, scene.kms.client())

    with pytest.raises(errors.KeyAccessError):
        read(scene.with_keyring(SuccessionKeyring(scene.second, old), cache=None), scene.bucket)
