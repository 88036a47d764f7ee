"""Copies that are made of a read and a write: what a source claims of itself decides nothing."""

from __future__ import annotations

import pytest

from s3envelope.errors import SegmentAuthenticationError, TruncatedObjectError
from s3envelope.testing.s3_proxy import matching, set_header, truncate_body
from tests.support.copying import SMALL, Copying
from tests.support.enveloped import ClientFactory
from tests.support.uploading import Uploading, read


@pytest.mark.parametrize("claimed", [28 + 10, 65_564 + 28, 70_056, 10**9])
def test_part_copy_when_a_head_lies_about_the_size_is_of_the_whole_source(copying: Copying, claimed: int) -> None:
    copying.put()
    upload = Uploading(copying.client, copying.bucket, "target")
    copying.proxy.on_response(matching(method="HEAD"), set_header("Content-Length", str(claimed)))

    answer = copying.client.upload_part_copy(**upload.names, PartNumber=1, CopySource=copying.source())

    upload.parts[1] = {"PartNumber": 1, "ETag": answer["CopyPartResult"]["ETag"]}
    copying.proxy.clear_rules()
    upload.complete()
    assert read(copying.client, copying.bucket, "target") == SMALL


@pytest.mark.parametrize("kept", [65_564, 28, 0])
def test_part_copy_when_the_source_is_cut_at_a_segment_sends_no_part(copying: Copying, kept: int) -> None:
    copying.put(body=SMALL if kept else b"")
    upload = Uploading(copying.client, copying.bucket, "target")
    copying.proxy.on_response(matching(method="GET"), truncate_body(kept))
    copying.proxy.clear()

    with pytest.raises((TruncatedObjectError, SegmentAuthenticationError)):
        copying.client.upload_part_copy(**upload.names, PartNumber=1, CopySource=copying.source())

    assert not copying.plain.list_parts(**upload.names).get("Parts")


@pytest.mark.parametrize("managed", [True, False])
def test_copy_when_a_head_lies_about_the_size_of_a_plain_source_is_of_all_of_it(
    copying: Copying, sealed: ClientFactory, managed: bool
) -> None:
    copying.plain.put_object(Bucket=copying.bucket, Key="source", Body=SMALL)
    allowing = sealed(copying.endpoint, envelope={"unencrypted": "allow"})
    copying.proxy.on_response(
        matching(method="HEAD", path=f"/{copying.bucket}/source"), set_header("Content-Length", "10")
    )

    if managed:
        allowing.copy(copying.source(), copying.bucket, "target")
    else:
        allowing.copy_object(Bucket=copying.bucket, Key="target", CopySource=copying.source())

    assert read(copying.client, copying.bucket, "target") == SMALL
