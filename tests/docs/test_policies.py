"""The policies of POLICIES.md: what the library sends needs all that they allow, and nothing else."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto.iam.access_control import PermissionResult
from moto.s3.models import FakeBucket

from s3envelope.cli.app import run
from s3envelope.compliance.iam import denies_plain_http, openings
from s3envelope.errors import KeyAccessError
from s3envelope.testing import LocalKms
from tests.docs.roles import NEW, OLD, REGION, ROLES, Stage
from tests.support.compliant import good_set_up, moto_of_everything, plain_client
from tests.support.documents import SPEC
from tests.support.endpoints import Endpoint
from tests.support.permissions import Need, allows, applies, denies, listed, statements, watched_wire

PAGE = (SPEC / "POLICIES.md").read_text(encoding="utf-8")
OLD_ARN = "arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab"
NEW_ARN = "arn:aws:kms:eu-west-1:111122223333:key/0987dcba-09fe-87dc-65ba-ab0987654321"
OBJECT = "arn:aws:s3:::orders/2026/1.json"
QUICK_ROLES = ("Who writes", "Who reads", "Who rotates")
SE1 = {"kms:EncryptionContext:s3envelope": "SE1"}
POLICIES = {
    heading: json.loads(block)
    for heading, block in re.findall(r"^#+ ([^\n]+)\n(?:(?!^#).)*?^```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
}
BLOCKS = [json.loads(block) for block in re.findall(r"^```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)]
# Some stand alone, to be put into a policy.
STATEMENTS = {
    statement["Sid"]: statement
    for block in BLOCKS
    for statement in (statements(block) if "Statement" in block else [block])
}


def policy_for(heading: str, bucket: str, old_arn: str, new_arn: str = NEW_ARN) -> dict[str, Any]:
    """Return the policy under a heading with other names in it."""
    text = json.dumps(POLICIES[heading]).replace(OLD_ARN, old_arn).replace(NEW_ARN, new_arn)
    policy: dict[str, Any] = json.loads(text.replace("s3:::orders", f"s3:::{bucket}"))
    return policy


def check_is_exact(needed: dict[str, list[Need]], heading: str, policies: dict[str, dict[str, Any]]) -> None:
    """Check that a role may do all that it needed, and needed all that it may.

    Args:
        needed: By the bucket it was needed in.
        policies: By the same.
    """
    unused = {
        (statement["Sid"], part, value)
        for statement in statements(POLICIES[heading])
        for part in ("Action", "Resource")
        for value in range(len(listed(statement[part])))
    }
    for bucket, needs in needed.items():
        policy = policies[bucket]
        assert [need for need in needs if not allows(policy, need)] == []
        for statement in statements(policy):
            for part in ("Action", "Resource"):
                for place, value in enumerate(listed(statement[part])):
                    if any(applies({**statement, part: value}, need) for need in needs):
                        unused.discard((statement["Sid"], part, place))
    assert unused == set()


@pytest.fixture
def stages(moto_s3: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Stage]]:
    """Yield a bucket without versions and one with."""
    with LocalKms() as kms:
        for alias in (OLD, NEW):
            kms.create_key(REGION, alias=alias)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", moto_s3.url)
        monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", kms.endpoint_url)
        monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
        file = tmp_path / "file"
        file.write_bytes(b"x" * (5 << 20))
        plain = moto_s3.client()
        made = []
        for is_versioned in (False, True):
            bucket = f"bucket-{os.urandom(8).hex()}"
            plain.create_bucket(Bucket=bucket)
            if is_versioned:
                plain.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
            made.append(Stage(moto_s3, kms, bucket, file, is_versioned))
        plain.close()
        yield made


# Those that run several commands take longest.
@pytest.mark.parametrize(
    "heading",
    [heading if heading in QUICK_ROLES else pytest.param(heading, marks=pytest.mark.slow) for heading in ROLES],
)
def test_requests_of_a_role_when_made_need_exactly_its_policy(
    heading: str, stages: list[Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    needed, policies = {}, {}

    for stage in stages:
        stage.fill()
        policies[stage.bucket] = policy_for(heading, stage.bucket, stage.arn_of(OLD), stage.arn_of(NEW))
        with watched_wire(monkeypatch, stage.arn_of) as wire:
            ROLES[heading](stage)
        needed[stage.bucket] = wire.needs

    check_is_exact(needed, heading, policies)


@pytest.mark.slow
def test_requests_of_a_compliance_check_when_made_need_exactly_its_policy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heading = "Who runs `compliance check`"
    monkeypatch.setattr(FakeBucket, "get_permission", lambda *_: PermissionResult.NEUTRAL)
    with moto_of_everything() as url:
        clients = [plain_client(service, url) for service in ("s3", "kms", "cloudtrail")]
        good = good_set_up(url, clients[0], clients[1], clients[2], tmp_path)
        with watched_wire(monkeypatch, lambda key_id: key_id) as wire:
            assert run(["compliance", "check", *good.options]) == 0
        for client in clients:
            client.close()

    policy = policy_for(heading, good.bucket, good.key_arn)
    check_is_exact({good.bucket: wire.needs}, heading, {good.bucket: policy})


def test_headings_with_an_iam_policy_when_compared_are_those_that_are_tried() -> None:
    assert {name for name in POLICIES if name.startswith("Who")} == {*ROLES, "Who runs `compliance check`"}


def test_writer_and_auditor_when_asked_may_not_decrypt() -> None:
    open_it = Need("kms:Decrypt", OLD_ARN, SE1)

    assert [name for name in ROLES if allows(POLICIES[name], open_it)] == [
        *("Who reads", "Who rotates", "Who migrates", "Who runs `doctor`")
    ]


def test_key_policy_when_read_lets_no_stranger_in_and_administrators_not_decrypt() -> None:
    policy = POLICIES["Key policy"]
    (administers,) = (one for one in policy["Statement"] if one["Sid"] == "AdministersButCannotDecrypt")

    assert openings(json.dumps(policy), account="111122223333", trusted=()) == []
    for action in ("Decrypt", "GenerateDataKey", "Encrypt", "ReEncryptFrom", "ReEncryptTo", "CreateGrant"):
        assert not applies(administers, Need(f"kms:{action}", "*", SE1))


def test_key_policy_when_asked_lets_our_requests_through_and_those_of_services_not() -> None:
    policy = POLICIES["Key policy"]
    through_s3 = {**SE1, "kms:ViaService": "s3.eu-west-1.amazonaws.com"}

    for action in ("kms:GenerateDataKey", "kms:Decrypt"):
        assert allows(policy, Need(action, OLD_ARN, SE1))
        assert not allows(policy, Need(action, OLD_ARN, {}))
        assert denies(policy, Need(action, OLD_ARN, through_s3))


def test_policy_that_demands_a_service_when_asked_refuses_all_that_we_send(
    stages: list[Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = stages[0]
    demands = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    demanding = {"Statement": {**demands, "Condition": {"StringLike": {"kms:ViaService": "s3.*.amazonaws.com"}}}}
    with watched_wire(monkeypatch, stage.arn_of) as wire:
        client = stage.client()
        client.put_object(Bucket=stage.bucket, Key="1", Body=b"1")
        client.close()
    (made,) = (need for need in wire.needs if need.action == "kms:GenerateDataKey")

    assert allows({"Statement": demands}, made)
    assert not allows(demanding, made)


def test_statement_for_a_tenant_when_in_force_keeps_its_role_from_other_tenants(stages: list[Stage]) -> None:
    stage = stages[0]
    kms_client = stage.kms.client(REGION, access_key_id="ACMEAPP")
    denial = {**STATEMENTS["OnlyItsOwnTenant"], "Principal": {"AWS": "arn:aws:iam::111122223333:user/ACMEAPP"}}
    everyone = {"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "kms:*", "Resource": "*"}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [everyone, denial]})
    arn = stage.arn_of(OLD)
    stage.kms.perform("PutKeyPolicy", REGION, KeyId=arn, Policy=policy)
    where = {"Bucket": stage.bucket, "Key": "1"}
    acme, other = (
        stage.client(kms_key_id=arn, kms_client=kms_client, encryption_context={"tenant": tenant})
        for tenant in ("acme", "other")
    )

    acme.put_object(**where, Body=b"for acme")
    with pytest.raises(KeyAccessError, match="AccessDeniedException"):
        other.put_object(**where, Body=b"for another one")

    assert acme.get_object(**where)["Body"].read() == b"for acme"
    for client in (acme, other):
        client.close()


def test_statement_for_an_endpoint_when_asked_denies_what_comes_from_elsewhere() -> None:
    statement = STATEMENTS["OnlyThroughOurEndpoint"]
    inside = {**SE1, "aws:SourceVpce": "vpce-0123456789abcdef0"}

    assert applies(statement, Need("kms:Decrypt", OLD_ARN, SE1))
    assert not applies(statement, Need("kms:Decrypt", OLD_ARN, inside))
    assert not applies(statement, Need("kms:PutKeyPolicy", OLD_ARN, SE1))
    assert allows({"Statement": STATEMENTS["OnlyTheKeyOfOrders"]}, Need("kms:Decrypt", OLD_ARN, inside))
    assert not allows({"Statement": STATEMENTS["OnlyTheKeyOfOrders"]}, Need("kms:Decrypt", NEW_ARN, inside))


def test_bucket_policy_when_asked_denies_plain_http_and_writers_that_it_does_not_know() -> None:
    policy = POLICIES["Bucket policy"]

    def write_as(role: str) -> Need:
        values = {"aws:PrincipalArn": f"arn:aws:iam::111122223333:role/{role}", "aws:SecureTransport": "true"}
        return Need("s3:PutObject", OBJECT, values)

    assert denies_plain_http(json.dumps(policy), "arn:aws:s3:::orders")
    assert denies(policy, write_as("orders-reader"))
    assert not denies(policy, write_as("orders-writer"))
    assert not denies(policy, write_as("orders-rotator"))


def test_tag_when_sent_with_an_upload_in_parts_is_in_its_first_request_only(
    stages: list[Stage], monkeypatch: pytest.MonkeyPatch
) -> None:
    stage, statement = stages[0], STATEMENTS["OnlyWithTheTag"]
    statement = {**statement, "Resource": f"arn:aws:s3:::{stage.bucket}/*"}
    client = stage.client()
    tags = {"Tagging": "sealed=s3envelope"}
    with watched_wire(monkeypatch, stage.arn_of) as wire:
        client.put_object(Bucket=stage.bucket, Key="1", Body=b"1", **tags)
        small = [applies(statement, need) for need in wire.needs if need.action == "s3:PutObject"]
        wire.clear()
        upload = client.create_multipart_upload(Bucket=stage.bucket, Key="2", **tags)["UploadId"]
        client.upload_part(Bucket=stage.bucket, Key="2", UploadId=upload, PartNumber=1, Body=b"1")
        large = [applies(statement, need) for need in wire.needs if need.action == "s3:PutObject"]
        wire.clear()
        client.put_object(Bucket=stage.bucket, Key="3", Body=b"1")
        untagged = [applies(statement, need) for need in wire.needs if need.action == "s3:PutObject"]
    client.close()

    assert (small, large, untagged) == ([False], [False, True], [True])
