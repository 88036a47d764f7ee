"""`s3envelope compliance check`: the good set-up passes everything, and one that is broken fails what was broken."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from s3envelope.cli.app import run
from s3envelope.compliance.assessment import Assessment
from s3envelope.compliance.catalogue import CHECK_IDS, CHECKS
from s3envelope.compliance.key_checks import RestrictsKeyPolicy
from s3envelope.compliance.model import NotAssessedError, Status
from s3envelope.testing import LocalKms
from tests.compliance.breaks import BREAKS, EVERYONE
from tests.support.compliant import ACCOUNT, STRANGER, SetUp, key_policy
from tests.support.compliant_command import checked, evidence_of, with_status
from tests.support.endpoints import Endpoint

NEEDS = {check.id: check.needs for check in CHECKS}
BLIND = {
    "GetKeyPolicy": ("AccessDeniedException", "key-policy"),
    "GetKeyRotationStatus": ("ThrottlingException", "key-rotation"),
    "ReEncrypt": ("AccessDeniedException", "kms-reencrypt"),
}


def ids(found: Assessment, status: Status) -> list[str]:
    """Return the ids of the checks with a status."""
    return [one.id for one in found.results if one.status is status]


@pytest.fixture
def strict(good: SetUp) -> Iterator[tuple[LocalKms, SetUp]]:
    """Yield a strict KMS, and the good set-up with a key of that one."""
    with LocalKms() as kms, closing(kms.client()) as client:
        arn = kms.create_key(MultiRegion=True)
        kms.perform("EnableKeyRotation", KeyId=arn, RotationPeriodInDays=180)
        yield kms, dataclasses.replace(good, kms=client, key_arn=arn)


def test_check_when_all_is_well_passes_everything_and_leaves_nothing(
    good: SetUp, capfd: pytest.CaptureFixture[str]
) -> None:
    code, summary = checked(capfd, good)

    assert with_status(summary, "passed") == list(CHECK_IDS)
    assert code == 0
    assert {score["percent"] for score in summary["scores"]} == {100}
    assert summary["assessor"] == "arn:aws:sts::123456789012:user/moto"
    assert sorted(good.keys()) == ["first", "second"]


@pytest.mark.parametrize("check_id", BREAKS)
def test_check_when_one_thing_is_broken_fails_exactly_its_check(
    good: SetUp, monkeypatch: pytest.MonkeyPatch, check_id: str
) -> None:
    policy = BREAKS[check_id](good, monkeypatch)
    before = sorted(good.keys())

    found = good.assess(policy)

    assert ids(found, Status.FAILED) == [check_id], found.by_id[check_id]
    blind = ids(found, Status.NOT_ASSESSED)
    assert all({check_id, *blind} & set(NEEDS[one]) for one in blind)
    assert all(one.remedy for one in found.results if one.status is not Status.PASSED)
    assert sorted(good.keys()) == before


def test_breaks_when_counted_are_one_for_each_check() -> None:
    assert set(BREAKS) == set(CHECK_IDS)


def test_check_when_kms_is_the_strict_one_passes_everything(strict: tuple[LocalKms, SetUp]) -> None:
    _, good = strict

    found = good.assess()

    assert ids(found, Status.PASSED) == list(CHECK_IDS)
    assert "every 180 days" in found.by_id["key-rotation"].evidence[0]


def test_check_when_something_cannot_be_looked_at_is_not_assessed_and_lowers_the_score(
    strict: tuple[LocalKms, SetUp],
) -> None:
    kms, good = strict
    for operation, (code, _) in BLIND.items():
        kms.faults.fail(operation, code, None)

    found = good.assess()

    assert ids(found, Status.NOT_ASSESSED) == [check_id for _, check_id in BLIND.values()]
    assert ids(found, Status.FAILED) == []
    assert all(code in found.by_id[check_id].evidence[0] for code, check_id in BLIND.values())
    (score,) = (one for one in found.scores if one.framework == "ISO/IEC 27001:2022")
    assert (score.percent, score.formula) == (76, "100 x 10 / (10 + 0 + 3)")


def test_key_policy_when_grants_cannot_be_read_is_not_assessed_but_fails_if_it_is_bad(
    strict: tuple[LocalKms, SetUp],
) -> None:
    kms, good = strict
    kms.faults.fail("ListGrants", "AccessDeniedException", None)
    policy = RestrictsKeyPolicy()

    with pytest.raises(NotAssessedError, match="grants cannot be read"):
        policy.assess(good.subject())

    kms.perform("PutKeyPolicy", KeyId=good.key_arn, Policy=key_policy(EVERYONE))
    assert not policy.assess(good.subject()).is_good


@pytest.mark.parametrize(("grantee", "is_good"), [(ACCOUNT, True), (STRANGER, False)])
def test_key_policy_when_a_grant_is_to_a_stranger_fails(good: SetUp, grantee: str, is_good: bool) -> None:
    principal = f"arn:aws:iam::{grantee}:role/reader"
    good.kms.create_grant(KeyId=good.key_arn, GranteePrincipal=principal, Operations=["Decrypt"])

    verdict = RestrictsKeyPolicy().assess(good.subject())

    assert verdict.is_good is is_good
    assert verdict.settings["key grants"] == f'["{principal}: Decrypt"]'


def test_check_when_the_storage_is_a_real_one_makes_the_round_trip_and_leaves_nothing(
    good: SetUp, seaweedfs: Endpoint, new_bucket: Callable[[Endpoint], str]
) -> None:
    with closing(seaweedfs.client()) as s3:
        there = dataclasses.replace(good, s3=s3, url=seaweedfs.url, bucket=new_bucket(seaweedfs))

        found = there.assess()

        assert found.by_id["object-round-trip"].status is Status.PASSED
        assert found.by_id["key-wiped"].status is Status.PASSED
        assert there.keys() == []


def test_check_when_the_key_is_disabled_for_real_fails_and_does_not_go_on_without_data_keys(
    strict: tuple[LocalKms, SetUp],
) -> None:
    kms, good = strict
    kms.perform("DisableKey", KeyId=good.key_arn)

    found = good.assess()

    assert ids(found, Status.FAILED) == ["key-state", "kms-data-key"]
    assert ids(found, Status.NOT_ASSESSED) == [
        "kms-decrypt",
        "kms-context",
        "kms-reencrypt",
        "object-round-trip",
        "key-wiped",
    ]


def test_check_when_kms_is_away_passes_nothing_about_keys(strict: tuple[LocalKms, SetUp]) -> None:
    kms, good = strict
    kms.stop()

    found = good.assess()

    assert not any(one.startswith(("key", "kms")) for one in ids(found, Status.PASSED))
    assert EndpointConnectionError.__name__ in found.by_id["key-state"].evidence[0]
    assert found.key == good.key_arn


def test_check_when_a_check_is_skipped_says_so_counts_it_as_not_passed_and_exits_0(
    good: SetUp, capfd: pytest.CaptureFixture[str]
) -> None:
    good.s3.delete_bucket_policy(Bucket=good.bucket)

    code, summary = checked(capfd, good, "--skip", "bucket-tls")

    assert (code, with_status(summary, "not assessed")) == (0, ["bucket-tls"])
    assert evidence_of(summary, "bucket-tls") == "it was left out on purpose"
    (score,) = (one for one in summary["scores"] if one["framework"] == "SOC 2")
    assert score["percent"] < 100


def test_check_when_no_audit_log_is_named_does_not_pass_it(good: SetUp, capfd: pytest.CaptureFixture[str]) -> None:
    at = good.options.index("--audit-log")
    options = good.options[:at] + good.options[at + 2 :]

    assert run(["compliance", "check", *options]) == 1

    out = capfd.readouterr().out
    assert "NOT ASSESSED" in out
    assert "no audit log was named" in out.replace("\n", " ")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--skip", "nothing"], "there is no check 'nothing'"),
        (["--sample", "0"], "neither a number"),
        (["--kms-key", "alias/aws/s3"], "only AWS services can use it"),
    ],
)
def test_check_when_an_option_is_wrong_says_so(
    good: SetUp, capfd: pytest.CaptureFixture[str], options: list[str], complaint: str
) -> None:
    assert run(["compliance", "check", *good.options, *options]) == 2

    printed = capfd.readouterr()
    assert complaint in printed.err.replace("\n", " ")
    assert printed.out == ""


def test_checks_when_listed_name_what_each_proves(capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["compliance", "checks"]) == 0

    out = capfd.readouterr().out
    assert all(check_id in out for check_id in CHECK_IDS)


def test_test_object_when_its_check_is_interrupted_is_deleted(good: SetUp) -> None:
    def interrupted() -> None:
        with good.subject().test_object() as where:
            for _ in range(3):
                good.s3.put_object(**where, Body=b"x")
            good.s3.delete_object(**where)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()

    assert sorted(good.keys()) == ["first", "second"]


def test_round_trip_when_the_client_does_not_encrypt_fails(good: SetUp, monkeypatch: pytest.MonkeyPatch) -> None:
    class Plain(SetUp):
        def sealing(self, _: Any) -> Any:
            return closing(_NeverClosed(self.s3))

    plain = Plain(**{field.name: getattr(good, field.name) for field in dataclasses.fields(good)})

    found = plain.assess()

    assert found.by_id["object-round-trip"].status is Status.FAILED
    evidence = "\n".join(found.by_id["object-round-trip"].evidence)
    assert "hide them: NO" in evidence
    assert "changed they were refused: NO" in evidence
    assert sorted(good.keys()) == ["first", "second"]


class _NeverClosed:
    """A plain client that somebody else closes."""

    def __init__(self, client: Any) -> None:
        self.put_object, self.get_object = client.put_object, client.get_object

    def close(self) -> None:
        """Do nothing."""
