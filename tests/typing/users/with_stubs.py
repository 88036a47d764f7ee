"""With boto3-stubs: an enveloped client is boto3's client, and what s3envelope adds. Each `type: ignore` is needed."""

from __future__ import annotations

from typing import Any

from mypy_boto3_s3 import S3Client, S3ServiceResource
from mypy_boto3_s3.service_resource import Object
from mypy_boto3_s3.type_defs import (
    CreateMultipartUploadOutputTypeDef,
    GetObjectOutputTypeDef,
    PutObjectOutputTypeDef,
)
from typing_extensions import assert_type

import s3envelope
from s3envelope.formats.names import S3EC_V3
from s3envelope.s3.interfaces import EnvelopeResource


def ways_in(settings: dict[str, Any]) -> None:
    """Make clients and resources in each way."""
    s3 = s3envelope.client("s3", kms_key_id="alias/orders", region_name="eu-west-1")
    assert_type(s3, s3envelope.EnvelopeClient)
    assert_type(s3envelope.client("s3", kms_key_id="alias/orders", **settings), s3envelope.EnvelopeClient)
    assert_type(s3envelope.Session(kms_key_id="alias/orders").client("s3"), s3envelope.EnvelopeClient)

    resource = s3envelope.resource("s3", write_format=S3EC_V3)
    assert_type(resource, EnvelopeResource)
    assert_type(s3envelope.Session(region_name="eu-west-1").resource("s3"), EnvelopeResource)
    assert_type(resource.meta.client, s3envelope.EnvelopeClient)
    assert_type(resource.Object("orders", "1"), Object)

    # Services other than S3 are boto3's.
    assert_type(s3envelope.client("sqs", region_name="eu-west-1"), Any)
    assert_type(s3envelope.Session().client("sqs"), Any)
    s3envelope.install(kms_key_id="alias/orders", cache=None)


def as_boto3_client(s3: s3envelope.EnvelopeClient, resource: EnvelopeResource) -> tuple[S3Client, S3ServiceResource]:
    """Hand a client and a resource to code that knows boto3's."""
    return s3, resource


def calls(s3: s3envelope.EnvelopeClient) -> None:
    """Make boto3's calls, and those that are added."""
    put = s3.put_object(Bucket="orders", Key="1", Body=b"x", EncryptionContext={"tenant": "acme"})
    assert_type(put, PutObjectOutputTypeDef)
    got = s3.get_object(Bucket="orders", Key="1", EncryptionContext={"tenant": "acme"})
    assert_type(got, GetObjectOutputTypeDef)
    assert_type(got["Body"].read(), bytes)
    assert_type(s3.head_object(Bucket="orders", Key="1", EncryptionContext={})["ContentLength"], int)
    s3.copy_object(Bucket="orders", Key="2", CopySource="orders/1", ShareKey=True)
    created = s3.create_multipart_upload(Bucket="orders", Key="3", PartSize=8 << 20)
    assert_type(created, CreateMultipartUploadOutputTypeDef)
    state = s3.export_upload(Bucket="orders", Key="3", UploadId=created["UploadId"])
    s3.import_upload(Bucket="orders", Key="3", UploadId=created["UploadId"], State=state)
    s3.upload_file("report", "orders", "4", ExtraArgs={"EncryptionContext": {"tenant": "acme"}, "PartSize": 8 << 20})

    described = s3.describe_envelope(Bucket="orders", Key="1", VersionId="v")
    assert_type(described, s3envelope.EnvelopeDescription)
    assert_type(described.plaintext_size, int | None)
    assert_type(s3.rewrap_object(Bucket="orders", Key="1", to="alias/new"), s3envelope.EnvelopeDescription)
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket="orders"):
        assert_type(page["KeyCount"], int)


def mistakes(s3: s3envelope.EnvelopeClient) -> None:
    """Do what a type checker must find."""
    s3envelope.client("s3", kms_key="alias/orders")  # type: ignore[call-overload]
    s3envelope.client("s3", list_sizes="guessed")  # type: ignore[call-overload]
    s3envelope.client("sqs", kms_key_id="alias/orders")  # type: ignore[call-overload]
    s3envelope.Session(part_sizes=5)  # type: ignore[call-arg]
    s3envelope.install(bind_key_name="no")  # type: ignore[arg-type]
    s3.put_object(Bucket="orders", Key="1", EncryptionContexts={})  # type: ignore[call-arg]
    s3.put_object(Bucket="orders", Key="1", EncryptionContext={"size": 5})  # type: ignore[dict-item]
    s3.put_object(Bucket="orders")  # type: ignore[call-arg]
    s3.create_multipart_upload(Bucket="orders", Key="1", PartSize="8 MiB")  # type: ignore[arg-type]
    s3.describe_envelope(Bucket="orders")  # type: ignore[call-arg]
    s3.rewrap_object(Bucket="orders", Key="1", to=5)  # type: ignore[arg-type]
    s3.encrypt_object(Bucket="orders", Key="1")  # type: ignore[attr-defined]
