"""Copies: copy_object, client.copy, Object.copy_from, Bucket.copy and upload_part_copy."""

from __future__ import annotations

import datetime
import functools
import urllib.parse
from typing import Any

from boto3.s3.transfer import TransferConfig

from tests.s3.matrix.harness import BIG, PART, SMALL, Differs, Side, each, refused, scenario
from tests.s3.matrix.terms import ABSENT, client_error
from tests.support.uploading import Uploading

OTHER = '"0123456789abcdef0123456789abcdef"'
PAST = datetime.datetime(2001, 1, 1, tzinfo=datetime.timezone.utc)
FUTURE = datetime.datetime(2101, 1, 1, tzinfo=datetime.timezone.utc)
IN_PARTS = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, max_concurrency=2)
KEPT: dict[str, Any] = {"Metadata": {"name": "value"}, "ContentType": "text/a", "CacheControl": "no-store"}


def _target(side: Side) -> Any:
    return side.show("get_object", Key="target")


@scenario()
def copy(side: Side) -> Any:
    side.put(**KEPT)
    return side.show("copy_object", Key="target", CopySource=side.source()), _target(side), side.show("get_object")


@scenario()
def copy_of_an_empty_object(side: Side) -> Any:
    side.put(body=b"", **KEPT)
    return side.show("copy_object", Key="target", CopySource=side.source()), _target(side)


@each({"text": "{0}/{1}", "quoted": "{0}/{2}", "leading_slash": "/{0}/{1}"})
def copy_source_as(side: Side, form: str) -> Any:
    side.put("a b+c")
    key = side.key("a b+c")
    quoted = urllib.parse.quote(key) if "{1}" in form else key
    source = form.format(side.bucket, quoted, urllib.parse.quote(key))
    return side.show("copy_object", Key="target", CopySource=source), _target(side)


NO_TARGET = client_error("404", 404, "HeadObject")
NOT_UNDERSTOOD = (
    refused("the library must read the source itself", "ConfigurationError: CopySource is not understood", "[0]"),
    Differs("this server makes an empty object of such a copy", {"[1]": NO_TARGET}, on=("seaweedfs",)),
)


@each(
    {"nothing": "", "bucket_only": "bucket", "number": 5, "no_key": {"Bucket": "b"}},
    {"nothing": NOT_UNDERSTOOD, "bucket_only": NOT_UNDERSTOOD},
)
def copy_source_that_is_wrong(side: Side, source: Any) -> Any:
    return side.show("copy_object", Key="target", CopySource=source), side.show("head_object", Key="target")


@scenario()
def copy_with_replaced_metadata(side: Side) -> Any:
    side.put(**KEPT)
    replaced = {"MetadataDirective": "REPLACE", "Metadata": {"other": "1"}, "ContentType": "text/b"}
    return side.show("copy_object", Key="target", CopySource=side.source(), **replaced), _target(side)


@scenario()
def copy_with_metadata_removed(side: Side) -> Any:
    side.put(**KEPT)
    return side.show("copy_object", Key="target", CopySource=side.source(), MetadataDirective="REPLACE"), _target(side)


@scenario()
def copy_with_metadata_but_without_directive(side: Side) -> Any:
    side.put(**KEPT)
    given = {"Metadata": {"other": "1"}, "ContentType": "text/b"}
    return side.show("copy_object", Key="target", CopySource=side.source(), **given), _target(side)


@scenario()
def copy_to_itself(side: Side) -> Any:
    side.put(**KEPT)
    return side.show("copy_object", CopySource=side.source()), side.show("get_object")


@scenario()
def copy_to_itself_with_replaced_metadata(side: Side) -> Any:
    side.put(**KEPT)
    head = side.call("head_object")
    touched = {**head["Metadata"], "touched": "1"}
    answer = side.show("copy_object", CopySource=side.source(), MetadataDirective="REPLACE", Metadata=touched)
    return answer, side.show("get_object")


@scenario(
    Differs(
        "S3 allows it; this server only if metadata is replaced, which a copy under a new envelope always does",
        {
            "[0]": lambda plain: plain.show("copy_object", Key="other", CopySource=plain.source()),
            "[1].StorageClass": "STANDARD_IA",
        },
        on=("seaweedfs",),
    )
)
def copy_to_itself_with_another_class(side: Side) -> Any:
    side.put(**KEPT)
    return side.show("copy_object", CopySource=side.source(), StorageClass="STANDARD_IA"), side.show("get_object")


@each({"copied": {}, "replaced": {"TaggingDirective": "REPLACE", "Tagging": "c=d"}})
def copy_of_tags(side: Side, given: dict[str, str]) -> Any:
    side.put(body=SMALL, Tagging="a=b")
    answer = side.show("copy_object", Key="target", CopySource=side.source(), **given)
    return answer, side.show("get_object_tagging", Key="target"), _target(side)


ETAG = "ETag of the object"
CONDITIONS: dict[str, dict[str, Any]] = {
    "match": {"CopySourceIfMatch": ETAG},
    "match_other": {"CopySourceIfMatch": OTHER},
    "none_match": {"CopySourceIfNoneMatch": ETAG},
    "none_match_other": {"CopySourceIfNoneMatch": OTHER},
    "modified_since_past": {"CopySourceIfModifiedSince": PAST},
    "unmodified_since_past": {"CopySourceIfUnmodifiedSince": PAST},
    "unmodified_since_future": {"CopySourceIfUnmodifiedSince": FUTURE},
}


FAILED = Differs(
    "this server ignores the condition; the library looks at it itself",
    {
        "[0]": client_error("PreconditionFailed", 412, "CopyObject"),
        "[1]": client_error("NoSuchKey", 404, "GetObject", raised="NoSuchKey"),
    },
    on=("moto",),
)


@each(
    CONDITIONS,
    {
        "match_other": FAILED,
        "unmodified_since_past": FAILED,
        "none_match": Differs(
            "the library looks at the condition itself, and does not tell which one failed",
            {"[0].error.Condition": ABSENT},
            on=("moto",),
        ),
    },
)
def copy_if(side: Side, conditions: dict[str, Any]) -> Any:
    etag = side.put(body=SMALL)["ETag"]
    filled = {name: etag if value == ETAG else value for name, value in conditions.items()}
    return side.show("copy_object", Key="target", CopySource=side.source(), **filled), _target(side)


@scenario()
def copy_if_none_exists(side: Side) -> Any:
    side.put(body=SMALL)
    side.put("target", b"earlier")
    return side.show("copy_object", Key="target", CopySource=side.source(), IfNoneMatch="*"), _target(side)


@scenario()
def copy_of_a_missing_object(side: Side) -> Any:
    nowhere = {"Bucket": "no-such-bucket-anywhere", "Key": "k"}
    return [
        side.show("copy_object", Key="target", CopySource=side.source("missing")),
        side.show("copy_object", Key="target", CopySource=nowhere),
        side.show("head_object", Key="target"),
    ]


CUSTOMER_KEY: dict[str, Any] = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": b"k" * 32}
SOURCE_KEY = {f"CopySource{name}": value for name, value in CUSTOMER_KEY.items()}


@scenario(
    Differs(
        "this server refuses a GET without the key with one code, and a copy with another",
        {"[1]": client_error("InvalidArgument", 400, "CopyObject")},
        on=("seaweedfs",),
    ),
)
def copy_without_the_key_of_the_customer(side: Side) -> Any:
    return [
        side.tell(lambda: side.put(**CUSTOMER_KEY)),
        side.show("copy_object", Key="target", CopySource=side.source()),
    ]


@scenario()
def copy_with_a_key_of_the_customer(side: Side) -> Any:
    return [
        side.tell(lambda: side.put(**CUSTOMER_KEY)),
        side.show("copy_object", Key="target", CopySource=side.source(), **SOURCE_KEY),
        side.show("get_object", Key="target"),
        side.show("copy_object", Key="other", CopySource=side.source(), **SOURCE_KEY, **CUSTOMER_KEY),
        side.show("get_object", Key="other", **CUSTOMER_KEY),
    ]


@scenario(
    Differs(
        "this server cannot copy from such an object; the library reads it and seals what it read",
        {
            "[1]": {
                "CopyPartResult": {"ETag": "<etag>", "LastModified": "<time>"},
                "ResponseMetadata": {"HTTPStatusCode": 200, "MaxAttemptsReached": True, "RetryAttempts": 0},
            }
        },
        on=("seaweedfs",),
    ),
)
def part_copy_with_a_key_of_the_customer(side: Side) -> Any:
    written = side.tell(lambda: side.put(**CUSTOMER_KEY))
    upload = Uploading(side.client, side.bucket, side.key("target"))
    request = {**upload.names, "PartNumber": 1, "CopySource": side.source(), **SOURCE_KEY}
    return written, side.tell(lambda: side.client.upload_part_copy(**request))


@scenario()
def managed_copy_with_a_key_of_the_customer(side: Side) -> Any:
    written = side.tell(lambda: side.put(**CUSTOMER_KEY))
    extra = {**SOURCE_KEY, **CUSTOMER_KEY}
    copied = side.tell(lambda: side.client.copy(side.source(), side.bucket, side.key("target"), ExtraArgs=extra))
    return written, copied, side.show("get_object", Key="target", **CUSTOMER_KEY)


@scenario()
def copy_with_unexpected_owner_of_the_source(side: Side) -> Any:
    side.put(body=SMALL)
    owner = {"ExpectedSourceBucketOwner": "999999999999"}
    return side.show("copy_object", Key="target", CopySource=side.source(), **owner), _target(side)


@scenario()
def copy_into_a_missing_bucket(side: Side) -> Any:
    side.put(body=SMALL)
    return side.show("copy_object", Bucket="no-such-bucket-anywhere", Key="target", CopySource=side.source())


@scenario()
def copy_of_an_upload_in_parts(side: Side) -> Any:
    side.client.upload_fileobj(side.stream(BIG), side.bucket, side.key(), Config=IN_PARTS, ExtraArgs=KEPT)
    answer = side.show("copy_object", Key="target", CopySource=side.source())
    return answer, _target(side), side.show("get_object", Key="target", Range=f"bytes={PART - 5}-{PART + 5}")


@scenario()
def copy_of_a_copy(side: Side) -> Any:
    side.put(**KEPT)
    side.call("copy_object", Key="between", CopySource=side.source())
    side.call("delete_object")
    return side.show("copy_object", Key="target", CopySource=side.source("between")), _target(side)


@each({"client": "client", "bucket": "bucket", "object": "object"})
def managed_copy(side: Side, kind: str) -> Any:
    side.put(**KEPT)
    seen: list[int] = []
    if kind == "client":
        answer = side.tell(
            lambda: side.client.copy(side.source(), side.bucket, side.key("target"), Callback=seen.append)
        )
    elif kind == "bucket":
        bucket = side.resource.Bucket(side.bucket)
        answer = side.tell(lambda: bucket.copy(side.source(), side.key("target"), Callback=seen.append))
    else:
        answer = side.tell(lambda: side.object("target").copy(side.source(), Callback=seen.append))
    return answer, sum(seen), _target(side)


@scenario()
def managed_copy_in_parts(side: Side) -> Any:
    side.client.upload_fileobj(side.stream(BIG), side.bucket, side.key(), Config=IN_PARTS, ExtraArgs=KEPT)
    seen: list[int] = []
    config: Any = {"Config": IN_PARTS, "Callback": seen.append}
    answer = side.tell(lambda: side.client.copy(side.source(), side.bucket, side.key("target"), **config))
    return answer, sum(seen), _target(side)


@scenario()
def managed_copy_with_replaced_metadata(side: Side) -> Any:
    side.put(**KEPT)
    extra = {"MetadataDirective": "REPLACE", "Metadata": {"other": "1"}, "ContentType": "text/b"}
    answer = side.tell(lambda: side.client.copy(side.source(), side.bucket, side.key("target"), ExtraArgs=extra))
    return answer, _target(side)


@scenario()
def managed_copy_with_wrong_arguments(side: Side) -> Any:
    side.put(body=SMALL)
    return [
        side.tell(lambda: side.client.copy("text", side.bucket, side.key("target"))),
        side.tell(lambda: side.client.copy(side.source(), side.bucket, side.key("t"), ExtraArgs={"NoSuch": "1"})),
    ]


@scenario()
def managed_copy_of_a_missing_object(side: Side) -> Any:
    nowhere = {"Bucket": "no-such-bucket-anywhere", "Key": "k"}
    return [
        side.tell(lambda: side.client.copy(side.source("missing"), side.bucket, side.key("target"))),
        side.tell(lambda: side.client.copy(nowhere, side.bucket, side.key("target"))),
        side.tell(lambda: side.object("target").copy(side.source("missing"))),
        side.show("head_object", Key="target"),
    ]


@scenario()
def copy_from_of_an_object(side: Side) -> Any:
    side.put(**KEPT)
    target = side.object("target")
    answer = side.tell(
        lambda: target.copy_from(CopySource=side.source(), Metadata={"a": "b"}, MetadataDirective="REPLACE")
    )
    return answer, target.content_length, target.metadata, _target(side)


@scenario()
def move(side: Side) -> Any:
    side.put(**KEPT)
    side.object("target").copy_from(CopySource=side.source())
    side.object().delete()
    return _target(side), side.show("head_object")


def _part_copies(side: Side, *ranges: str | None) -> list[Any]:
    upload = Uploading(side.client, side.bucket, side.key("target"))
    answers = []
    for number, header in enumerate(ranges, 1):
        extra: Any = {} if header is None else {"CopySourceRange": header}
        request = {**upload.names, "PartNumber": number, "CopySource": side.source(), **extra}
        answers.append(side.tell(functools.partial(side.client.upload_part_copy, **request)))
        listed = side.client.list_parts(**upload.names).get("Parts", [])
        upload.parts = {part["PartNumber"]: {"PartNumber": part["PartNumber"], "ETag": part["ETag"]} for part in listed}
    return [*answers, side.tell(upload.complete), _target(side)]


@scenario()
def part_copy_of_a_whole_object(side: Side) -> Any:
    side.put(**KEPT)
    return _part_copies(side, None)


@scenario()
def part_copies_of_ranges(side: Side) -> Any:
    side.put(body=BIG)
    return _part_copies(side, f"bytes=0-{PART + 9}", "bytes=10-70009")


WRONG_RANGES = {
    "behind": "bytes=0-99999999",
    "open": "bytes=0-",
    "suffix": "bytes=-5",
    "junk": "junk",
    "reversed": "bytes=9-5",
}
NOT_COPIED = Differs(
    "the library reads the range itself, and refuses what S3 refuses",
    {"": client_error("InvalidArgument", 400, "UploadPartCopy")},
    on=("moto", "seaweedfs"),
)


@each(WRONG_RANGES, dict.fromkeys(WRONG_RANGES, NOT_COPIED))
def part_copy_of_a_wrong_range(side: Side, header: str) -> Any:
    side.put(body=SMALL)
    upload = Uploading(side.client, side.bucket, side.key("target"))
    request = {**upload.names, "PartNumber": 1, "CopySource": side.source(), "CopySourceRange": header}
    return side.tell(lambda: side.client.upload_part_copy(**request))


@scenario(
    Differs(
        "S3 says what is missing, and so does the library; this server does not",
        {"": client_error("NoSuchKey", 404, "UploadPartCopy", raised="NoSuchKey")},
        on=("moto",),
    )
)
def part_copy_of_a_missing_object(side: Side) -> Any:
    upload = Uploading(side.client, side.bucket, side.key("target"))
    request = {**upload.names, "PartNumber": 1, "CopySource": side.source("missing")}
    return side.tell(lambda: side.client.upload_part_copy(**request))
