"""Listings, paginators and waiters."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.s3.matrix.harness import SMALL, Side, each, scenario
from tests.support.enveloped import SEGMENT_SIZE, plaintext_of

NAMES = {"a": 0, "b/1": 1, "b/2": SEGMENT_SIZE - 1, "b/c/3": SEGMENT_SIZE, "d": SEGMENT_SIZE + 1, "e f+g": 200_000}


def _filled(side: Side) -> None:
    for name, size in NAMES.items():
        side.put(name, plaintext_of(size))


ARGUMENTS: dict[str, dict[str, Any]] = {
    "all": {},
    "delimiter": {"Delimiter": "/"},
    "prefix": {"Prefix": "b/"},
    "prefix_and_delimiter": {"Prefix": "b/", "Delimiter": "/"},
    "prefix_of_nothing": {"Prefix": "x"},
    "page": {"MaxKeys": 2},
    "page_of_nothing": {"MaxKeys": 0},
    "encoded": {"EncodingType": "url"},
    "long_delimiter": {"Delimiter": "b/"},
}


@each(ARGUMENTS)
def objects(side: Side, arguments: dict[str, Any]) -> Any:
    _filled(side)
    return side.show("list_objects_v2", **arguments), side.show("list_objects", **arguments)


@scenario()
def objects_after_a_marker(side: Side) -> Any:
    _filled(side)
    return [
        side.show("list_objects_v2", StartAfter=side.key("b/2")),
        side.show("list_objects", Marker=side.key("b/2")),
        side.show("list_objects_v2", FetchOwner=True),
    ]


@scenario()
def objects_page_after_page(side: Side) -> Any:
    _filled(side)
    pages: list[Any] = []
    token: dict[str, str] = {}
    while True:
        page = side.call("list_objects_v2", MaxKeys=4, **token)
        pages.append([(entry["Key"], entry["Size"]) for entry in page["Contents"]])
        if not page["IsTruncated"]:
            return pages
        token = {"ContinuationToken": page["NextContinuationToken"]}


@scenario()
def objects_with_a_wrong_token(side: Side) -> Any:
    return side.show("list_objects_v2", ContinuationToken="junk"), side.show("list_objects_v2", MaxKeys=-1)


@scenario()
def objects_of_a_missing_bucket(side: Side) -> Any:
    return [
        side.show(operation, Bucket="no-such-bucket-anywhere")
        for operation in ("list_objects_v2", "list_objects", "list_object_versions", "list_multipart_uploads")
    ]


@each({"v2": "list_objects_v2", "v1": "list_objects", "versions": "list_object_versions"})
def paginator(side: Side, operation: str) -> Any:
    _filled(side)
    pages = side.client.get_paginator(operation).paginate(
        Bucket=side.bucket, Prefix=side.prefix, PaginationConfig={"PageSize": 4}
    )
    name = "Versions" if operation == "list_object_versions" else "Contents"
    return [[(entry["Key"], entry["Size"]) for entry in page.get(name, [])] for page in pages]


@scenario()
def paginator_searches(side: Side) -> Any:
    _filled(side)
    pages = side.client.get_paginator("list_objects_v2").paginate(Bucket=side.bucket, Prefix=side.prefix)
    return list(pages.search("Contents[?Size > `65535`].[Key, Size]")), list(pages.search("sum(Contents[].Size)"))


@scenario()
def paginator_limits_and_resumes(side: Side) -> Any:
    _filled(side)
    paginate = side.client.get_paginator("list_objects_v2").paginate
    first = paginate(Bucket=side.bucket, Prefix=side.prefix, PaginationConfig={"MaxItems": 4, "PageSize": 3})
    whole = first.build_full_result()
    rest = paginate(
        Bucket=side.bucket, Prefix=side.prefix, PaginationConfig={"StartingToken": whole["NextToken"]}
    ).build_full_result()
    return [[(entry["Key"], entry["Size"]) for entry in part["Contents"]] for part in (whole, rest)]


@scenario()
def paginator_of_folders(side: Side) -> Any:
    _filled(side)
    pages = side.client.get_paginator("list_objects_v2").paginate(Bucket=side.bucket, Prefix=side.prefix, Delimiter="/")
    return [(page.get("CommonPrefixes"), [entry["Size"] for entry in page.get("Contents", [])]) for page in pages]


@scenario()
def total_size_of_a_folder(side: Side) -> Any:
    _filled(side)
    listed = side.call("list_objects_v2")["Contents"]
    sizes = [side.client.head_object(Bucket=side.bucket, Key=entry["Key"])["ContentLength"] for entry in listed]
    return sum(sizes), sizes == [entry["Size"] for entry in listed]


@scenario()
def versions_of_a_bucket_without_any(side: Side) -> Any:
    side.put("a", SMALL)
    side.put("b", SMALL)
    return side.show("list_object_versions"), side.show("list_object_versions", MaxKeys=1)


ONCE = {"Delay": 1, "MaxAttempts": 1}


@each({"object_exists": "object_exists", "object_not_exists": "object_not_exists"})
def waiter(side: Side, name: str) -> Any:
    side.put()
    wait = side.client.get_waiter(name).wait
    return [
        side.tell(lambda: wait(Bucket=side.bucket, Key=side.key(), WaiterConfig=ONCE)),
        side.tell(lambda: wait(Bucket=side.bucket, Key=side.key("missing"), WaiterConfig=ONCE)),
    ]


@each({"bucket_exists": "bucket_exists", "bucket_not_exists": "bucket_not_exists"})
def bucket_waiter(side: Side, name: str) -> Any:
    wait: Callable[..., Any] = side.client.get_waiter(name).wait
    return [
        side.tell(lambda: wait(Bucket=side.bucket, WaiterConfig=ONCE)),
        side.tell(lambda: wait(Bucket="no-such-bucket-anywhere", WaiterConfig=ONCE)),
    ]
