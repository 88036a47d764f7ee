"""Operations that have no object content: buckets and their settings. They pass unchanged."""

from __future__ import annotations

import json
from typing import Any

from tests.s3.matrix.harness import SMALL, Side, each, scenario


@scenario()
def bucket_made_and_deleted(side: Side) -> Any:
    name = {"Bucket": f"{side.bucket}-new"}
    return [
        side.show("create_bucket", **name),
        side.show("create_bucket", **name),
        side.show("head_bucket", **name),
        side.show("get_bucket_location", **name),
        side.show("delete_bucket", **name),
        side.show("head_bucket", **name),
        side.show("delete_bucket", **name),
    ]


@scenario()
def bucket_that_is_not_empty(side: Side) -> Any:
    # One of its own: SeaweedFS deletes it.
    name = {"Bucket": f"{side.bucket}-full"}
    side.call("create_bucket", **name)
    side.put(body=SMALL, **name)
    return side.show("delete_bucket", **name), side.show("head_bucket", **name)


@each({"upper_case": "Not-A-Bucket", "short": "ab", "slash": "a/b", "empty": "", "arn": "arn:aws:s3:::b"})
def bucket_name_that_is_wrong(side: Side, name: str) -> Any:
    return [
        side.show("head_bucket", Bucket=name),
        side.show("put_object", Bucket=name, Body=SMALL),
        side.show("get_object", Bucket=name),
        side.show("list_objects_v2", Bucket=name),
    ]


@scenario()
def buckets_listed(side: Side) -> Any:
    names = [bucket["Name"] for bucket in side.call("list_buckets")["Buckets"]]
    found = [bucket.name for bucket in side.resource.buckets.all()]
    return side.bucket in names, side.versioned_bucket in names, names == found


@scenario()
def versioning(side: Side) -> Any:
    return side.show("get_bucket_versioning"), side.show("get_bucket_versioning", Bucket=side.versioned_bucket)


@scenario()
def bucket_tags(side: Side) -> Any:
    tags = {"TagSet": [{"Key": "team", "Value": "a b"}]}
    return [
        side.show("get_bucket_tagging"),
        side.show("put_bucket_tagging", Tagging=tags),
        side.show("get_bucket_tagging"),
        side.show("delete_bucket_tagging"),
    ]


@scenario()
def cross_origin_rules(side: Side) -> Any:
    rule = {"AllowedMethods": ["GET"], "AllowedOrigins": ["https://example.org"], "MaxAgeSeconds": 60}
    return [
        side.show("get_bucket_cors"),
        side.show("put_bucket_cors", CORSConfiguration={"CORSRules": [rule]}),
        side.show("get_bucket_cors"),
        side.show("delete_bucket_cors"),
    ]


@scenario()
def lifecycle(side: Side) -> Any:
    rule = {"ID": "old", "Status": "Enabled", "Filter": {"Prefix": "old/"}, "Expiration": {"Days": 30}}
    return [
        side.show("get_bucket_lifecycle_configuration"),
        side.show("put_bucket_lifecycle_configuration", LifecycleConfiguration={"Rules": [rule]}),
        side.show("get_bucket_lifecycle_configuration"),
        side.show("delete_bucket_lifecycle"),
    ]


@scenario()
def policy(side: Side) -> Any:
    statement = {
        "Effect": "Allow",
        "Principal": "*",
        "Action": "s3:GetObject",
        "Resource": f"arn:aws:s3:::{side.bucket}/public/*",
    }
    document = json.dumps({"Version": "2012-10-17", "Statement": [statement]})
    return [
        side.show("get_bucket_policy"),
        side.show("put_bucket_policy", Policy=document),
        side.tell(lambda: json.loads(side.call("get_bucket_policy")["Policy"])),
        side.show("delete_bucket_policy"),
    ]


@scenario()
def settings(side: Side) -> Any:
    return [
        side.show(operation)
        for operation in (
            "get_bucket_acl",
            "get_bucket_encryption",
            "get_public_access_block",
            "get_bucket_ownership_controls",
            "get_bucket_logging",
            "get_bucket_website",
            "get_bucket_notification_configuration",
            "get_bucket_replication",
            "get_bucket_request_payment",
            "get_object_lock_configuration",
        )
    ]


@scenario()
def bucket_as_a_resource(side: Side) -> Any:
    bucket = side.resource.Bucket(side.bucket)
    return [
        bucket.name,
        side.tell(lambda: bucket.creation_date is None),
        side.tell(lambda: bucket.Versioning().status),
        side.tell(lambda: side.resource.Bucket(side.versioned_bucket).Versioning().status),
        side.tell(lambda: bucket.wait_until_exists(WaiterConfig={"Delay": 1, "MaxAttempts": 1})),
    ]
