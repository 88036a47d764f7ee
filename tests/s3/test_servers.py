"""The servers of the tests, reached by plain boto3, directly and through the proxy."""

import os
from collections.abc import Callable

import pytest

from tests.conftest import ProxyFactory
from tests.support.endpoints import Endpoint

NewBucket = Callable[[Endpoint], str]


@pytest.fixture(params=["http", "https"])
def proxied(request: pytest.FixtureRequest, any_s3: Endpoint) -> Endpoint:
    make: ProxyFactory = request.getfixturevalue(f"{request.param}_proxy")
    return make(any_s3)[1]


def _config(endpoint: Endpoint) -> dict[str, str]:
    """JuiceFS refuses the aws-chunked trailers that boto3 sends over https by default."""
    if endpoint.name == "juicefs" and endpoint.url.startswith("https"):
        return {"request_checksum_calculation": "when_required"}
    return {}


@pytest.mark.parametrize("size", [0, 1, 100_000, 3_000_000])
def test_object_when_put_through_proxy_then_same_bytes_back(
    proxied: Endpoint, new_bucket: NewBucket, any_s3: Endpoint, size: int
) -> None:
    bucket = new_bucket(any_s3)
    client = proxied.client(**_config(proxied))
    body = os.urandom(size)

    client.put_object(Bucket=bucket, Key="k", Body=body)

    assert client.head_object(Bucket=bucket, Key="k")["ContentLength"] == size
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == body
