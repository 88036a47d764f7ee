"""boto3's resources: the block of the page, and what a resource does beside it. It needs no extra."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import s3envelope
from s3envelope.errors import UnsupportedOperationError
from tests.support.endpoints import Endpoint
from tests.support.enveloped import MIB, plaintext_of

pytestmark = pytest.mark.slow


def test_block_when_run_does_what_it_says(run_block: Any, stored: Callable[[], dict[str, bytes]]) -> None:
    run_block("boto3 resources")

    assert b"sealed" not in stored()["resource/1"]


def test_collections_uploads_copies_and_refusals_of_a_resource(server: Endpoint) -> None:
    bucket = s3envelope.resource("s3", kms_key_id="alias/orders").Bucket("orders")
    upload = bucket.Object("parts").initiate_multipart_upload()
    parts: list[Any] = []
    for number, size in enumerate((6 * MIB, 10), start=1):
        answer = upload.Part(number).upload(Body=plaintext_of(size))
        parts.append({"PartNumber": number, "ETag": answer["ETag"]})
    upload.complete(MultipartUpload={"Parts": parts})
    bucket.copy({"Bucket": "orders", "Key": "parts"}, "copy")

    assert bucket.Object("copy").get()["Body"].read() == plaintext_of(6 * MIB) + plaintext_of(10)
    assert bucket.Object("copy").content_length == 6 * MIB + 10
    assert {item.key for item in bucket.objects.all()} == {"parts", "copy"}
    with pytest.raises(UnsupportedOperationError):
        bucket.meta.client.generate_presigned_url("get_object", Params={"Bucket": "orders", "Key": "copy"})
    bucket.objects.all().delete()
    assert not list(bucket.objects.all())
