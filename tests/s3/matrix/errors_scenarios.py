"""Errors: those of S3 as the client's own classes, and those of botocore before any request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from s3envelope.errors import S3EnvelopeError
from tests.s3.matrix.harness import SMALL, Side, each, scenario

NOWHERE = {"Bucket": "no-such-bucket-anywhere"}

CALLS: dict[str, dict[str, Any]] = {
    "get_object": {},
    "head_object": {},
    "put_object": {"Body": SMALL},
    "delete_object": {},
    "create_multipart_upload": {},
    "get_object_attributes": {"ObjectAttributes": ["ObjectSize"]},
    "get_object_tagging": {},
    "get_object_acl": {},
}


@each({name: name for name in CALLS})
def missing_bucket(side: Side, operation: str) -> Any:
    return side.show(operation, **NOWHERE, **CALLS[operation])


@each({name: name for name in CALLS if name not in ("put_object", "create_multipart_upload")})
def missing_key(side: Side, operation: str) -> Any:
    return side.show(operation, Key="missing", **CALLS[operation])


WRONG: dict[str, tuple[str, dict[str, Any]]] = {
    "unknown_argument": ("put_object", {"NoSuchArgument": "1"}),
    "metadata_is_text": ("put_object", {"Metadata": "a=b"}),
    "range_is_a_number": ("get_object", {"Range": 5}),
    "part_number_is_text": ("upload_part", {"UploadId": "u", "PartNumber": "x", "Body": SMALL}),
    "key_is_a_number": ("get_object", {"Key": 5}),
    "upload_id_is_missing": ("upload_part", {"PartNumber": 1, "Body": SMALL}),
    "copy_source_is_missing": ("copy_object", {}),
    "delete_is_missing": ("delete_objects", {}),
    "length_is_text": ("put_object", {"Body": SMALL, "ContentLength": "5"}),
    "two_mistakes": ("put_object", {"NoSuchArgument": "1", "Metadata": ["a"]}),
    "attributes_are_missing": ("get_object_attributes", {}),
    "parts_are_text": ("complete_multipart_upload", {"UploadId": "u", "MultipartUpload": {"Parts": "x"}}),
}


@each(WRONG)
def wrong_arguments(side: Side, case: tuple[str, dict[str, Any]]) -> Any:
    operation, arguments = case
    names = {"Bucket": side.bucket, **({} if operation == "delete_objects" else {"Key": side.key()})}
    return side.tell(lambda: getattr(side.client, operation)(**{**names, **arguments}))


@scenario()
def bucket_or_key_is_missing_in_a_call(side: Side) -> Any:
    return [
        side.tell(lambda: side.client.put_object(Bucket=side.bucket, Body=SMALL)),
        side.tell(lambda: side.client.put_object(Key=side.key(), Body=SMALL)),
        side.tell(lambda: side.client.get_object(Bucket=side.bucket)),
        side.tell(side.client.head_object),
        side.tell(lambda: side.client.put_object(side.bucket, side.key())),
        side.tell(lambda: side.client.no_such_operation),
    ]


@scenario()
def classes_of_errors(side: Side) -> Any:
    exceptions, found = side.client.exceptions, []
    acts: list[Callable[[], Any]] = [
        lambda: side.call("get_object"),
        lambda: side.call("head_object"),
        lambda: side.call("get_object", **NOWHERE),
        lambda: side.call("list_parts", UploadId="bm8tc3VjaC11cGxvYWQ"),
    ]
    for act in acts:
        try:
            act()
        except ClientError as error:
            classes = (exceptions.NoSuchKey, exceptions.NoSuchBucket, exceptions.NoSuchUpload, exceptions.ClientError)
            found.append([isinstance(error, each_class) for each_class in classes])
    return found


@scenario()
def errors_are_those_that_programs_catch(side: Side) -> Any:
    def kind(act: Any) -> str:
        try:
            act()
        except (ClientError, BotoCoreError) as error:
            return type(error).__name__
        except S3EnvelopeError as error:
            return f"ours: {type(error).__name__}"
        return "none"

    side.put(body=SMALL)
    return [
        kind(lambda: side.call("get_object", Range="bytes=99999-")),
        kind(lambda: side.call("get_object", IfMatch='"other"')),
        kind(lambda: side.call("get_object", Key="missing")),
        kind(lambda: side.call("put_object", Body=5)),
        kind(lambda: side.call("copy_object", Key="t", CopySource=side.source("missing"))),
    ]


@scenario()
def answers_of_errors(side: Side) -> Any:
    try:
        side.call("get_object", Key="missing")
    except ClientError as error:
        details: dict[str, Any] = {**error.response["Error"]}
        return [str(error), sorted(details), details["Message"], error.operation_name, sorted(error.response)]
    return None


@scenario()
def client_is_usable_after_errors(side: Side) -> Any:
    for _ in range(3):
        side.show("get_object", Key="missing")
        side.show("put_object", Body=5)
        side.show("get_object", Range="bytes=99-")
    side.put(body=SMALL)
    return side.show("get_object")
