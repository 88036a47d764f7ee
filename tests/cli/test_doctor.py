"""`s3envelope doctor`: what a key and a bucket are, and what to do about it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from s3envelope.cli.app import run
from tests.cli.commands import ALIAS, Place, one_line


def looked_at(place: Place, capfd: pytest.CaptureFixture[str], *options: str, key: str = ALIAS) -> tuple[int, Any]:
    """Run it; return the exit code, and what it found by name."""
    capfd.readouterr()
    servers = [*place.s3_options, "--kms-endpoint-url", place.kms.endpoint_url]
    code = run(["doctor", "--kms-key", key, *servers, "--json", *options])
    return code, {row["what"]: (row["is_good"], row["answer"]) for row in json.loads(capfd.readouterr().out)}


def test_doctor_when_all_is_well_says_so_and_leaves_nothing_in_the_bucket(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    place.kms.perform("EnableKeyRotation", KeyId=place.key_arn, RotationPeriodInDays=180)

    code, found = looked_at(place, capfd, "--bucket", place.bucket)

    assert code == 0
    assert found["key"] == (None, place.key_arn)
    assert found["manager"] == (True, "CUSTOMER")
    assert found["state"] == (True, "Enabled")
    assert found["origin"] == (None, "AWS_KMS: made by KMS")
    assert found["rotation"] == (None, "on, every 180 days")
    assert found["multi-Region"] == (None, "no")
    assert [found[f"kms:{name}"] for name in ("GenerateDataKey", "Decrypt", "ReEncrypt*")] == [(True, "allowed")] * 3
    assert found["bucket"] == (True, "reachable")
    assert found["round trip"][0]
    assert place.keys() == []


def test_doctor_when_the_key_is_a_multi_region_one_names_its_regions(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    arn = place.kms.create_key(MultiRegion=True)
    place.kms.perform("ReplicateKey", KeyId=arn, ReplicaRegion="eu-west-1")

    code, found = looked_at(place, capfd, key=arn)

    assert code == 0
    assert found["multi-Region"] == (None, "PRIMARY in us-east-1, eu-west-1")
    assert found["rotation"] == (None, "off")


@pytest.mark.parametrize(
    ("operation", "what", "remedy"),
    [
        ("DisableKey", "state", "Disabled"),
        ("ScheduleKeyDeletion", "state", "cancel the deletion"),
    ],
)
def test_doctor_when_the_key_cannot_be_used_says_why(
    place: Place, capfd: pytest.CaptureFixture[str], operation: str, what: str, remedy: str
) -> None:
    place.kms.perform(operation, KeyId=place.key_arn)

    code, found = looked_at(place, capfd, key=place.key_arn)

    assert code == 1
    assert found[what][0] is False
    assert remedy in found[what][1]
    assert found["kms:GenerateDataKey"][0] is False


@pytest.mark.parametrize("operation", ["GenerateDataKey", "Decrypt", "ReEncrypt"])
def test_doctor_when_an_action_is_denied_says_which_and_what_to_do(
    place: Place, capfd: pytest.CaptureFixture[str], operation: str
) -> None:
    place.kms.faults.fail(operation, "AccessDeniedException", None, status=400)

    code, found = looked_at(place, capfd)

    is_good, answer = found[f"kms:{operation}*" if operation == "ReEncrypt" else f"kms:{operation}"]
    assert f"allow this identity kms:{operation}" in answer
    # Only rotation inside KMS needs to re-encrypt.
    assert (code, is_good) == ((0, None) if operation == "ReEncrypt" else (1, False))


@pytest.mark.parametrize(
    ("parameters", "remedy"),
    [
        ({"KeySpec": "RSA_2048", "KeyUsage": "ENCRYPT_DECRYPT"}, "use a symmetric encryption key"),
        ({"KeySpec": "HMAC_256", "KeyUsage": "GENERATE_VERIFY_MAC"}, "use a symmetric encryption key"),
    ],
)
def test_doctor_when_the_key_is_of_another_kind_says_so(
    place: Place, capfd: pytest.CaptureFixture[str], parameters: dict[str, str], remedy: str
) -> None:
    code, found = looked_at(place, capfd, key=place.kms.create_key(**parameters))

    assert code == 1
    assert found["spec"][0] is False
    assert remedy in found["spec"][1]


def test_doctor_when_the_key_or_the_bucket_does_not_exist_says_so(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    code, found = looked_at(place, capfd, key="alias/none")
    assert (code, found["key"][0]) == (1, False)
    assert "no such key in this region and account" in found["key"][1]

    code, found = looked_at(place, capfd, "--bucket", "there-is-none")
    assert (code, found["bucket"][0]) == (1, False)


def test_doctor_when_kms_is_away_says_so(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    place.kms.stop()

    code, found = looked_at(place, capfd, key=place.key_arn)

    assert code == 1
    assert found["key"][0] is False


def test_doctor_when_printed_for_people_marks_what_is_bad(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    place.kms.perform("DisableKey", KeyId=place.key_arn)

    assert run(["doctor", "--kms-key", place.key_arn, "--kms-endpoint-url", place.kms.endpoint_url]) == 1

    out = capfd.readouterr().out
    assert "BAD" in out
    assert "Disabled" in out


def test_doctor_when_the_key_is_one_that_aws_manages_says_so(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["doctor", "--kms-key", "alias/aws/s3"]) == 2

    assert "only AWS services can use it" in one_line(capfd.readouterr().err)
