"""Buckets that are named by an ARN, an alias or a zone, and the endpoints of AWS: sealed there as everywhere."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.config import Config
from botocore.exceptions import ClientError

import s3envelope
from s3envelope import Keyring
from s3envelope.testing.s3_proxy import S3Proxy
from tests.conftest import ProxyFactory
from tests.support.endpoints import Endpoint
from tests.support.enveloped import CANARY, NewBucket, plaintext_of
from tests.support.redirect import Redirect
from tests.support.uploading import PART

SMALL = plaintext_of(70_000)
LARGE = plaintext_of(PART + 100_000)
IN_PARTS = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART)
ACCOUNT = "123456789012"


@dataclass(frozen=True, slots=True)
class Address:
    """A way to name a bucket, and where requests for it go.

    Args:
        bucket: As the caller names it; `None` is the real name.
        host: Without the bucket in front.
        s3: Of botocore's `Config`.
    """

    bucket: str | None
    host: str
    s3: dict[str, Any]
    config: dict[str, Any] | None = None


ADDRESSES = {
    "virtual host": Address(None, ".s3.us-west-2.amazonaws.com", {"addressing_style": "virtual"}),
    "path style": Address(None, "s3.us-west-2.amazonaws.com", {"addressing_style": "path"}),
    "dual stack": Address(None, ".s3.dualstack.us-west-2.amazonaws.com", {"use_dualstack_endpoint": True}),
    "accelerated": Address(None, ".s3-accelerate.amazonaws.com", {"use_accelerate_endpoint": True}),
    "FIPS": Address(None, ".s3-fips.us-west-2.amazonaws.com", {}, {"use_fips_endpoint": True}),
    "access point": Address(
        f"arn:aws:s3:us-west-2:{ACCOUNT}:accesspoint/records",
        f"records-{ACCOUNT}.s3-accesspoint.us-west-2.amazonaws.com",
        {},
    ),
    "access point of another region": Address(
        f"arn:aws:s3:eu-west-1:{ACCOUNT}:accesspoint/records",
        f"records-{ACCOUNT}.s3-accesspoint.eu-west-1.amazonaws.com",
        {"use_arn_region": True},
    ),
    "access point alias": Address(
        "records-abcdefghijklmnopqrstuvwxyz0123-s3alias",
        "records-abcdefghijklmnopqrstuvwxyz0123-s3alias.s3.us-west-2.amazonaws.com",
        {},
    ),
    "outpost": Address(
        f"arn:aws:s3-outposts:us-west-2:{ACCOUNT}:outpost/op-01234567890123456/accesspoint/records",
        f"records-{ACCOUNT}.op-01234567890123456.s3-outposts.us-west-2.amazonaws.com",
        {},
    ),
    "directory bucket": Address(
        "records--usw2-az1--x-s3", "records--usw2-az1--x-s3.s3express-usw2-az1.us-west-2.amazonaws.com", {}
    ),
}


@dataclass(frozen=True, slots=True)
class Addressed:
    """Two clients of one address: a plain one, and an enveloped one whose requests are searched."""

    plain: Any
    client: Any
    plain_hosts: list[str]
    hosts: list[str]
    bucket: str
    proxy: S3Proxy


@pytest.fixture(params=ADDRESSES)
def addressed(
    request: pytest.FixtureRequest, moto_s3: Endpoint, http_proxy: ProxyFactory, new_bucket: NewBucket, keyring: Keyring
) -> Addressed:
    address, real = ADDRESSES[request.param], new_bucket(moto_s3)
    s3: Any = address.s3
    config = Config(s3=s3, retries={"total_max_attempts": 1}, **(address.config or {}))
    arguments: dict[str, Any] = {"region_name": "us-west-2", "config": config}
    proxy, endpoint = http_proxy(moto_s3)
    proxy.forbid(CANARY)
    plain: Any = boto3.session.Session().client("s3", **arguments)
    client: Any = s3envelope.client("s3", keyring=keyring, **arguments)
    to_plain, to_ours = Redirect(plain, moto_s3.url, real), Redirect(client, endpoint.url, real)
    return Addressed(plain, client, to_plain.hosts, to_ours.hosts, address.bucket or real, proxy)


def _use(client: Any, bucket: str) -> dict[str, Any]:
    """Do with a bucket what programs do; return what they see."""
    names = {"Bucket": bucket, "Key": "a/k é"}
    client.put_object(**names, Body=SMALL, Metadata={"mine": "kept"})
    client.upload_fileobj(io.BytesIO(LARGE), bucket, "large", Config=IN_PARTS)
    upload = {"Bucket": bucket, "Key": "parts"}
    upload["UploadId"] = client.create_multipart_upload(**upload)["UploadId"]
    part = client.upload_part(**upload, PartNumber=1, Body=SMALL)
    listed = [{"PartNumber": 1, "ETag": part["ETag"]}]
    client.complete_multipart_upload(**upload, MultipartUpload={"Parts": listed})
    client.copy_object(Bucket=bucket, Key="copy", CopySource=names)
    downloaded = io.BytesIO()
    client.download_fileobj(bucket, "large", downloaded, Config=IN_PARTS)
    with pytest.raises(ClientError) as caught:
        client.get_object(Bucket=bucket, Key="none")
    return {
        "whole": client.get_object(**names)["Body"].read(),
        "range": client.get_object(**names, Range="bytes=65530-65540")["Body"].read(),
        "metadata": client.head_object(**names)["Metadata"],
        "size": client.head_object(**names)["ContentLength"],
        "large": downloaded.getvalue(),
        "parts": client.get_object(Bucket=bucket, Key="parts")["Body"].read(),
        "copy": client.get_object(Bucket=bucket, Key="copy")["Body"].read(),
        "keys": [found["Key"] for found in client.list_objects_v2(Bucket=bucket)["Contents"]],
        "missing": (type(caught.value).__name__, caught.value.response["Error"]["Code"]),
    }


def test_bucket_when_addressed_in_any_way_works_as_with_plain_boto3_and_is_sealed(
    request: pytest.FixtureRequest, addressed: Addressed
) -> None:
    address = ADDRESSES[request.node.callspec.params["addressed"]]

    expected = _use(addressed.plain, addressed.bucket)
    addressed.plain.delete_objects(
        Bucket=addressed.bucket, Delete={"Objects": [{"Key": key} for key in expected["keys"]]}
    )
    found = _use(addressed.client, addressed.bucket)

    assert found == expected
    assert found["whole"] == SMALL
    assert all(host.endswith(address.host) for host in addressed.hosts)
    assert set(addressed.hosts) == set(addressed.plain_hosts)
    # Everything came by: a client that went elsewhere would have been seen by nobody.
    assert len(addressed.proxy.requests) >= 15
    assert addressed.proxy.leaks == []


@pytest.mark.parametrize("name", ["directory bucket"])
def test_directory_bucket_when_renamed_in_is_refused_before_any_request(
    moto_s3: Endpoint, keyring: Keyring, new_bucket: NewBucket, name: str
) -> None:
    client: Any = s3envelope.client("s3", keyring=keyring, region_name="us-west-2")
    redirect = Redirect(client, moto_s3.url, new_bucket(moto_s3))

    with pytest.raises(s3envelope.errors.UnsupportedOperationError, match="read the object, put it under the new key"):
        client.rename_object(Bucket=ADDRESSES[name].bucket, Key="new", RenameSource="old")

    assert redirect.hosts == []
