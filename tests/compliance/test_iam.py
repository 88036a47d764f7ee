"""What key policies and bucket policies let through."""

from __future__ import annotations

import json
from typing import Any

import pytest

from s3envelope.compliance.iam import MalformedPolicyError, denies_plain_http, matches, openings
from tests.support.compliant import ACCOUNT, STRANGER, key_policy, tls_only

FRIEND = "222222222222"
BUCKET = "orders"
ARN = f"arn:aws:s3:::{BUCKET}"
FOREIGN_ROOT = {"AWS": f"arn:aws:iam::{STRANGER}:root"}
FRIENDS_ROLE = {"AWS": f"arn:aws:iam::{FRIEND}:role/reader"}


def allow(principal: Any, actions: Any = "kms:Decrypt", condition: Any = None, **more: Any) -> dict[str, Any]:
    """Return a statement that allows something."""
    statement = {"Sid": "More", "Effect": "Allow", "Principal": principal, "Action": actions, "Resource": "*", **more}
    if condition is not None:
        statement["Condition"] = condition
    return {name: value for name, value in statement.items() if value is not None}


def problems(statement: dict[str, Any]) -> list[str]:
    """Return what is wrong with the default key policy and one statement more."""
    return openings(key_policy(statement), account=ACCOUNT, trusted=[FRIEND])


@pytest.mark.parametrize(
    "statement",
    [
        allow("*"),
        allow({"AWS": "*"}),
        allow({"AWS": ["*", ACCOUNT]}, "kms:GenerateDataKey"),
        allow({"AWS": "*"}, "KMS:d*"),
        allow({"AWS": "*"}, ["kms:List*", "kms:?ecrypt"]),
        allow("*", "kms:PutKeyPolicy"),
        allow("*", "kms:CreateGrant"),
        allow("*", None, NotAction="kms:ListKeys"),
        allow({"Service": "*"}),
        allow({"AWS": "arn:aws:iam::*:root"}),
        allow(None, NotPrincipal={"AWS": ACCOUNT}),
        allow(FOREIGN_ROOT),
        allow({"AWS": STRANGER}),
        allow({"AWS": f"arn:aws:sts::{STRANGER}:assumed-role/a/b"}),
        allow({"AWS": f"arn:aws-cn:iam::{STRANGER}:user/a"}),
        allow(FOREIGN_ROOT, "kms:*"),
        allow(FRIENDS_ROLE, "kms:*"),
        allow(FRIENDS_ROLE, "*"),
        allow("*", condition={"StringEquals": {"kms:CallerAccount": STRANGER}}),
        allow("*", condition={"StringEquals": {"kms:CallerAccount": [ACCOUNT, STRANGER]}}),
        allow("*", condition={"StringLike": {"kms:CallerAccount": "*"}}),
        allow("*", condition={"StringNotEquals": {"kms:CallerAccount": STRANGER}}),
        allow("*", condition={"StringEqualsIfExists": {"aws:PrincipalOrgID": "o-1"}}),
        allow("*", condition={"ForAllValues:StringEquals": {"aws:PrincipalOrgID": "o-1"}}),
        allow("*", condition={"StringLike": {"aws:PrincipalOrgID": "o-*"}}),
        allow("*", condition={"ArnLike": {"aws:PrincipalArn": "arn:aws:iam::*:role/reader"}}),
        allow("*", condition={"StringEquals": {"kms:ViaService": "s3.us-east-1.amazonaws.com"}}),
        allow("*", condition={"Bool": {"aws:SecureTransport": "true"}}),
        allow("*", condition={}),
    ],
)
def test_key_policy_when_it_opens_data_keys_to_strangers_is_named(statement: dict[str, Any]) -> None:
    found = problems(statement)

    assert len(found) == 1
    assert found[0].startswith("More allows ")


@pytest.mark.parametrize(
    "statement",
    [
        allow({"AWS": f"arn:aws:iam::{ACCOUNT}:role/writer"}, "kms:*"),
        allow({"AWS": ACCOUNT}, "kms:*"),
        allow(FRIENDS_ROLE, ["kms:Decrypt", "kms:GenerateDataKey"]),
        allow("*", "kms:DescribeKey"),
        allow("*", None, NotAction="kms:*"),
        allow({"Service": "logs.us-east-1.amazonaws.com"}),
        allow({"AWS": "AIDAEXAMPLEOFADELETEDUSER"}),
        allow({"AWS": "*"}, condition={"StringEquals": {"kms:CallerAccount": ACCOUNT}}),
        allow("*", condition={"stringequals": {"KMS:calleraccount": [ACCOUNT, FRIEND]}}),
        allow("*", condition={"StringEquals": {"aws:PrincipalOrgID": "o-1"}}),
        allow("*", condition={"ForAnyValue:StringEquals": {"aws:PrincipalOrgPaths": "o-1/r-1/"}}),
        allow("*", condition={"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{ACCOUNT}:role/*"}}),
        {**allow("*"), "Effect": "Deny"},
    ],
)
def test_key_policy_when_it_names_who_may_is_not_complained_of(statement: dict[str, Any]) -> None:
    assert problems(statement) == []


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{",
        "{}",
        '{"Statement": ["x"]}',
        '{"Statement": {"Effect": "Perhaps"}}',
        '{"Statement": {"Effect": "Allow", "Principal": 5, "Action": "kms:*"}}',
        '{"Statement": {"Effect": "Allow", "Principal": "*", "Action": {"a": 1}}}',
        '{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Condition": "x"}}',
        '{"Statement": {"Effect": "Allow", "Principal": "*", "Action": "kms:*", "Condition": {"Bool": "x"}}}',
        '{"Statement": {"Effect": "Allow", "Principal": "*"}}',
        "[" * 100_000,
    ],
)
def test_policy_when_it_is_none_is_refused(text: str) -> None:
    with pytest.raises(MalformedPolicyError):
        openings(text, account=ACCOUNT, trusted=())


def changed(**members: Any) -> str:
    """Return the bucket policy of the good set-up with its statement changed."""
    policy = tls_only(BUCKET)
    policy["Statement"][0].update(members)
    return json.dumps(policy)


@pytest.mark.parametrize(
    "text",
    [
        changed(),
        changed(Principal={"AWS": "*"}),
        changed(Action=["s3:ListBucket", "S3:*"]),
        changed(Resource="*"),
        changed(Resource=f"{ARN}*"),
        changed(Condition={"Bool": {"AWS:securetransport": False}}),
    ],
)
def test_bucket_policy_when_it_denies_plain_http_is_accepted(text: str) -> None:
    assert denies_plain_http(text, ARN)


@pytest.mark.parametrize(
    "text",
    [
        changed(Effect="Allow"),
        changed(Principal={"AWS": ACCOUNT}),
        changed(Action="s3:GetObject"),
        changed(Resource=ARN),
        changed(Resource=f"{ARN}/*"),
        changed(Resource=[ARN, f"{ARN}/logs/*"]),
        changed(Resource=[ARN, f"{ARN}/?"]),
        changed(Resource=[f"{ARN}s", f"{ARN}s/*"]),
        changed(Condition={"Bool": {"aws:SecureTransport": "true"}}),
        changed(Condition={"BoolIfExists": {"aws:SecureTransport": "x"}}),
        changed(Condition={"Bool": {"aws:SecureTransport": "false", "aws:ViaAWSService": "false"}}),
        changed(Condition={"Bool": {"aws:SecureTransport": "false"}, "StringEquals": {"aws:username": "x"}}),
        changed(Condition={}),
        '{"Statement": []}',
    ],
)
def test_bucket_policy_when_plain_http_gets_through_is_not_accepted(text: str) -> None:
    assert not denies_plain_http(text, ARN)


@pytest.mark.parametrize(
    ("pattern", "text", "is_match"),
    [
        ("", "", True),
        ("", "a", False),
        ("*", "", True),
        ("?", "", False),
        ("a*", "A", True),
        ("*b", "aab", True),
        ("a*b*c", "a-b-b-c", True),
        ("a*b*c", "a-b-b-", False),
        ("**a?", "xab", True),
        ("a.b+*", "a.b+c\nd", True),
        ("a.b", "axb", False),
        ("[ab]", "a", False),
        ("*a" * 5_000, "a" * 5_000 + "b", False),
    ],
)
def test_pattern_when_compared_knows_stars_and_question_marks_only(pattern: str, text: str, is_match: bool) -> None:
    assert matches(pattern, text) is is_match
