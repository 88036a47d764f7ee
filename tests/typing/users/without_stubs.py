"""Without boto3-stubs: what boto3 has is not checked, what s3envelope adds is. Nobody is told of a missing package."""

from __future__ import annotations

from typing import Any

from typing_extensions import assert_type

import s3envelope


def ways_in(settings: dict[str, Any]) -> None:
    """Make clients and resources in each way."""
    assert_type(s3envelope.client("s3", kms_key_id="alias/orders", **settings), s3envelope.EnvelopeClient)
    assert_type(s3envelope.Session(kms_key_id="alias/orders").client("s3"), s3envelope.EnvelopeClient)
    s3envelope.resource("s3", region_name="eu-west-1").Bucket("orders").objects.all()
    s3envelope.client("sqs", region_name="eu-west-1").send_message(QueueUrl="q", MessageBody="m")


def calls(s3: s3envelope.EnvelopeClient) -> None:
    """Make boto3's calls, and those that are added."""
    s3.put_object(Bucket="orders", Key="1", Body=b"x", EncryptionContext={"tenant": "acme"})
    s3.get_object(Bucket="orders", Key="1")["Body"].read()
    s3.create_multipart_upload(Bucket="orders", Key="3", PartSize=8 << 20)
    s3.upload_file("report", "orders", "4", ExtraArgs={"PartSize": 8 << 20})
    s3.get_waiter("object_exists").wait(Bucket="orders", Key="1")

    assert_type(s3.describe_envelope(Bucket="orders", Key="1"), s3envelope.EnvelopeDescription)
    assert_type(s3.rewrap_object(Bucket="orders", Key="1"), s3envelope.EnvelopeDescription)
    assert_type(s3.export_upload(Bucket="orders", Key="3", UploadId="u"), bytes)


def mistakes(s3: s3envelope.EnvelopeClient) -> None:
    """Do what a type checker must find."""
    s3envelope.client("s3", kms_key="alias/orders")  # type: ignore[call-overload]
    s3.describe_envelope(Bucket="orders")  # type: ignore[call-arg]
    s3.rewrap_object(Bucket="orders", Key="1", to=5)  # type: ignore[arg-type]
