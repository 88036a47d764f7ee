"""Where a copy comes from, and its conditions."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from botocore.exceptions import ParamValidationError

from s3envelope.errors import ConfigurationError
from s3envelope.s3.copy_sources import CONDITIONS, CopySource, conditions_hold

ETAG = '"0123"'
MODIFIED = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc)
BEFORE, AFTER = MODIFIED - timedelta(seconds=1), MODIFIED + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ({"Bucket": "b", "Key": "k"}, CopySource("b", "k", None)),
        ({"Bucket": "b", "Key": "a/b c?versionId=x", "VersionId": "v"}, CopySource("b", "a/b c?versionId=x", "v")),
        ("b/k", CopySource("b", "k", None)),
        ("/b/k", CopySource("b", "k", None)),
        ("b/a/b/c", CopySource("b", "a/b/c", None)),
        ("b/a//b/", CopySource("b", "a//b/", None)),
        ("b/a b+c%20d/é", CopySource("b", "a b+c%20d/é", None)),
        ("b/k?versionId=v1", CopySource("b", "k", "v1")),
        ("b/k?versionId=null", CopySource("b", "k", "null")),
        ("b/k?x=1?versionId=v1", CopySource("b", "k?x=1", "v1")),
        ("b/k?versionId=", CopySource("b", "k?versionId=", None)),
        ("b/k?versionId=a b", CopySource("b", "k?versionId=a b", None)),
        (
            "arn:aws:s3:us-west-2:111122223333:accesspoint/point/object/a/b",
            CopySource("arn:aws:s3:us-west-2:111122223333:accesspoint/point", "a/b", None),
        ),
        (
            "arn:aws:s3:us-west-2:111122223333:accesspoint/point/object/k?versionId=v",
            CopySource("arn:aws:s3:us-west-2:111122223333:accesspoint/point", "k", "v"),
        ),
    ],
    ids=str,
)
def test_source_when_written_as_boto3_takes_it_then_it_is_read(source: object, expected: CopySource) -> None:
    assert CopySource.parse(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        None,
        5,
        b"b/k",
        ["b", "k"],
        "",
        "/",
        "b",
        "b/",
        "/b",
        "?versionId=v",
        {"Bucket": "b", "Key": 5},
        {"Bucket": None, "Key": "k"},
        "arn:aws:s3:us-west-2:111122223333:accesspoint/point",
    ],
    ids=str,
)
def test_source_when_it_is_neither_dictionary_nor_path_then_refused(source: object) -> None:
    with pytest.raises(ConfigurationError, match="CopySource"):
        CopySource.parse(source)


@pytest.mark.parametrize("source", [{}, {"Bucket": "b"}, {"Key": "k"}], ids=str)
def test_source_when_a_name_is_missing_then_refused_as_by_botocore(source: dict[str, str]) -> None:
    with pytest.raises(ParamValidationError, match="Missing required parameter"):
        CopySource.parse(source)


@pytest.mark.parametrize("source", [CopySource("b", "a/é+%?", None), CopySource("b", "k", "v")], ids=str)
def test_source_when_written_as_a_parameter_then_it_is_read_again(source: CopySource) -> None:
    assert CopySource.parse(source.as_parameter()) == source


@pytest.mark.parametrize("version_id", [None, "v"])
def test_parameters_when_made_for_the_source_then_only_what_speaks_of_it_under_its_own_name(
    version_id: str | None,
) -> None:
    arguments = {
        "Bucket": "target",
        "Key": "target",
        "CopySource": "ignored",
        "CopySourceSSECustomerAlgorithm": "AES256",
        "CopySourceSSECustomerKey": "source key",
        "CopySourceSSECustomerKeyMD5": "md5",
        "SSECustomerKey": "key of the copy",
        "ExpectedSourceBucketOwner": "owner",
        "ExpectedBucketOwner": "owner of the copy",
        "RequestPayer": "requester",
        "CopySourceIfMatch": "condition",
        "Metadata": {"a": "b"},
    }

    parameters = CopySource("b", "k", version_id).parameters(arguments)

    assert parameters == {
        "Bucket": "b",
        "Key": "k",
        **({} if version_id is None else {"VersionId": version_id}),
        "SSECustomerAlgorithm": "AES256",
        "SSECustomerKey": "source key",
        "SSECustomerKeyMD5": "md5",
        "ExpectedBucketOwner": "owner",
        "RequestPayer": "requester",
    }


@pytest.mark.parametrize(
    ("conditions", "holds"),
    [
        ({}, True),
        ({"IfMatch": ETAG}, True),
        ({"IfMatch": "0123"}, True),
        ({"IfMatch": "*"}, True),
        ({"IfMatch": '"4567"'}, False),
        ({"IfNoneMatch": ETAG}, False),
        ({"IfNoneMatch": "0123"}, False),
        ({"IfNoneMatch": "*"}, False),
        ({"IfNoneMatch": '"4567"'}, True),
        ({"IfModifiedSince": BEFORE}, True),
        ({"IfModifiedSince": MODIFIED}, False),
        ({"IfModifiedSince": AFTER}, False),
        ({"IfUnmodifiedSince": BEFORE}, False),
        ({"IfUnmodifiedSince": MODIFIED}, True),
        ({"IfUnmodifiedSince": AFTER}, True),
        # S3: a condition on the ETag counts more than one on the time.
        ({"IfMatch": ETAG, "IfUnmodifiedSince": BEFORE}, True),
        ({"IfMatch": '"4567"', "IfUnmodifiedSince": AFTER}, False),
        ({"IfNoneMatch": ETAG, "IfModifiedSince": BEFORE}, False),
        ({"IfNoneMatch": '"4567"', "IfModifiedSince": AFTER}, True),
        ({"IfMatch": ETAG, "IfNoneMatch": '"4567"'}, True),
        ({"IfUnmodifiedSince": AFTER, "IfModifiedSince": BEFORE}, True),
    ],
    ids=str,
)
def test_conditions_when_evaluated_then_as_s3_does(conditions: dict[str, Any], holds: bool) -> None:
    arguments = {f"CopySource{name}": value for name, value in conditions.items()}
    assert set(arguments) <= set(CONDITIONS)

    assert conditions_hold(arguments, ETAG, MODIFIED) is holds


@pytest.mark.parametrize(
    "value",
    [MODIFIED, MODIFIED.replace(tzinfo=None), "2026-01-02T03:04:05Z", "Fri, 02 Jan 2026 03:04:05 GMT", 1767323045],
)
def test_instant_of_a_condition_when_written_in_any_way_of_boto3_then_it_is_read(
    value: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "UTC")

    assert conditions_hold({"CopySourceIfUnmodifiedSince": value}, ETAG, MODIFIED)
    assert not conditions_hold({"CopySourceIfUnmodifiedSince": value}, ETAG, AFTER)


def test_etag_of_the_source_when_weak_then_it_is_the_same_one() -> None:
    assert conditions_hold({"CopySourceIfMatch": 'W/"0123"'}, ETAG, MODIFIED)
