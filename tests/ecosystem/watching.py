"""What a library asks S3 and KMS for, while it goes through a proxy."""

from __future__ import annotations

from collections import Counter
from typing import Any

from s3envelope import CacheLimits
from s3envelope.core.ranges import ByteRange
from s3envelope.testing import LocalKms, S3Proxy
from s3envelope.testing.s3_proxy import RecordedRequest
from tests.support.endpoints import Endpoint

_BUCKET = "/orders/"
_NAMES_OF_LISTINGS = ("list-type=", "delimiter=", "prefix=")


class Watch:
    """Storage options whose requests are seen, and in which every object has a data key of its own.

    So the calls of KMS count files: one that made two would be seen, and none can hide behind the key of another file.
    """

    def __init__(self, server: Endpoint, kms: LocalKms, proxy: S3Proxy) -> None:
        self._server = server
        self._kms = kms
        self._proxy = proxy
        self.options: dict[str, Any] = {
            "kms_key_id": "alias/orders",
            "endpoint_url": proxy.url,
            "cache": "memory",
            "cache_limits": CacheLimits(max_objects=1),
        }

    def forget(self) -> None:
        """Begin anew: with filesystems that have opened no key yet, and nothing seen."""
        # Not before: a test without fsspec does not need it.
        from s3envelope.fs import S3EnvelopeFileSystem

        S3EnvelopeFileSystem.clear_instance_cache()
        self._kms.clear_calls()
        self._proxy.clear()

    def written_count(self) -> int:
        """Return how many objects were written, each time that they were."""
        requests = [request for request in self._proxy.requests if request.path.startswith(_BUCKET)]
        whole = [request for request in requests if request.method == "PUT" and "partNumber=" not in request.query]
        in_parts = [request for request in requests if request.method == "POST" and "uploads" in request.query]
        return len(whole) + len(in_parts)

    def fetched(self) -> dict[str, int]:
        """Return how many stored bytes were asked for of every object of which there were any."""
        plain = self._server.client()
        found: dict[str, int] = {}
        for request in self._proxy.requests:
            # zarr asks for what need not be there.
            if request.method == "GET" and _is_of_object(request) and request.status in (200, 206):
                key = request.path.removeprefix(_BUCKET)
                size = plain.head_object(Bucket="orders", Key=key)["ContentLength"]
                wanted = ByteRange.parse(request.header("range"))
                start, end = (0, size) if wanted is None else wanted.resolve(size)
                found[key] = found.get(key, 0) + end - start
        plain.close()
        return found

    def key_calls(self) -> dict[str, int]:
        """Return how often KMS was called, but for the alias, which is looked up once for all files."""
        calls = Counter(call.operation for call in self._kms.calls)
        assert calls.pop("DescribeKey", 0) <= 1
        return dict(calls)


def _is_of_object(request: RecordedRequest) -> bool:
    is_below = request.path.startswith(_BUCKET) and request.path != _BUCKET
    return is_below and not any(name in request.query for name in _NAMES_OF_LISTINGS)
