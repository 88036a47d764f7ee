"""What each call costs: requests to S3 beside those of a plain client, and calls of the key service, pinned."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig

from s3envelope.testing.local_kms import LocalKms
from tests.conftest import ProxyFactory
from tests.support.endpoints import Endpoint
from tests.support.enveloped import ClientFactory, NewBucket, plaintext_of
from tests.support.uploading import PART

SMALL = plaintext_of(70_000)
LARGE = plaintext_of(2 * PART + 7)
TAG = {"Key": "a", "Value": "b"}
IN_PARTS = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART)


@dataclass(frozen=True, slots=True)
class Place:
    """A client, a bucket, and a folder for files."""

    client: Any
    bucket: str
    folder: Path

    def names(self, key: str = "k") -> dict[str, str]:
        return {"Bucket": self.bucket, "Key": key}

    def source(self) -> dict[str, str]:
        return self.names()


@dataclass(frozen=True, slots=True)
class Cost:
    """One call.

    Args:
        call: What is measured; it gets what `before` returned.
        plain, ours: Requests of a plain client, and of an enveloped one whose caches are empty.
        kms: Calls of the key service.
        before: What another client of the same kind does before.
    """

    call: Callable[[Place, Any], object]
    plain: str
    ours: str
    kms: str = ""
    before: Callable[[Place], Any] = lambda place: None


def _put(place: Place) -> object:
    return place.client.put_object(**place.names(), Body=SMALL)


def _put_large(place: Place) -> None:
    place.client.upload_fileobj(io.BytesIO(LARGE), place.bucket, "k", Config=IN_PARTS)


def _put_many(place: Place) -> None:
    for number in range(5):
        place.client.put_object(**place.names(str(number)), Body=SMALL)


def _create(place: Place) -> dict[str, Any]:
    return {**place.names("u"), "UploadId": place.client.create_multipart_upload(**place.names("u"))["UploadId"]}


def _parts(place: Place, *sizes: int) -> dict[str, Any]:
    upload = _create(place)
    parts = [
        {"PartNumber": n, "ETag": place.client.upload_part(**upload, PartNumber=n, Body=bytes(size))["ETag"]}
        for n, size in enumerate(sizes, 1)
    ]
    return {**upload, "MultipartUpload": {"Parts": parts}}


def _read(place: Place, **arguments: Any) -> object:
    return place.client.get_object(**place.names(), **arguments)["Body"].read()


def _multipart(place: Place, _: object) -> None:
    upload = _parts(place, PART, 5)
    place.client.complete_multipart_upload(**upload)


COSTS: dict[str, Cost] = {
    "put_object": Cost(lambda place, _: _put(place), "PUT", "PUT", "GenerateDataKey"),
    "put_object twice": Cost(lambda place, _: [_put(place), _put(place)], "PUT PUT", "PUT PUT", "GenerateDataKey"),
    "get_object": Cost(lambda place, _: _read(place), "GET", "GET", "Decrypt", _put),
    "get_object twice": Cost(lambda place, _: [_read(place), _read(place)], "GET GET", "GET GET", "Decrypt", _put),
    "get_object, range": Cost(lambda place, _: _read(place, Range="bytes=9-99"), "GET", "GET", "Decrypt", _put),
    "get_object, suffix": Cost(lambda place, _: _read(place, Range="bytes=-99"), "GET", "GET", "Decrypt", _put),
    "get_object, end in a new segment": Cost(
        lambda place, _: _read(place, Range="bytes=0-65535"), "GET", "GET", "Decrypt", _put
    ),
    "head_object": Cost(lambda place, _: place.client.head_object(**place.names()), "HEAD", "HEAD", "", _put),
    "get_object_attributes": Cost(
        lambda place, _: place.client.get_object_attributes(**place.names(), ObjectAttributes=["ObjectSize"]),
        "GET",
        "GET HEAD",
        "",
        _put,
    ),
    "delete_object": Cost(lambda place, _: place.client.delete_object(**place.names()), "DELETE", "DELETE", "", _put),
    "list_objects": Cost(lambda place, _: place.client.list_objects(Bucket=place.bucket), "GET", "GET", "", _put_many),
    "list_objects_v2": Cost(
        lambda place, _: place.client.list_objects_v2(Bucket=place.bucket), "GET", "GET", "", _put_many
    ),
    "list_object_versions": Cost(
        lambda place, _: place.client.list_object_versions(Bucket=place.bucket), "GET", "GET", "", _put_many
    ),
    "create_multipart_upload": Cost(lambda place, _: _create(place), "POST", "POST", "GenerateDataKey"),
    "upload_part": Cost(lambda place, _: _parts(place, 5), "POST PUT", "POST PUT", "GenerateDataKey"),
    "list_parts": Cost(lambda place, upload: place.client.list_parts(**upload), "GET", "GET", "", _create),
    "multipart, last part small": Cost(_multipart, "POST PUT PUT POST", "POST PUT PUT PUT POST", "GenerateDataKey"),
    "multipart, completed by another client": Cost(
        lambda place, upload: place.client.complete_multipart_upload(**upload),
        "POST",
        "PUT POST",
        "Decrypt",
        lambda place: _parts(place, PART, PART),
    ),
    "abort_multipart_upload": Cost(
        lambda place, upload: place.client.abort_multipart_upload(**upload), "DELETE", "DELETE", "", _create
    ),
    "upload_file": Cost(
        lambda place, _: place.client.upload_file(str(place.folder / "large"), place.bucket, "k", Config=IN_PARTS),
        "POST PUT PUT PUT POST",
        "POST PUT PUT PUT POST",
        "GenerateDataKey",
    ),
    "upload_file, small": Cost(
        lambda place, _: place.client.upload_file(str(place.folder / "small"), place.bucket, "k"),
        "PUT",
        "PUT",
        "GenerateDataKey",
    ),
    "download_file": Cost(
        lambda place, _: place.client.download_file(place.bucket, "k", str(place.folder / "to"), Config=IN_PARTS),
        "HEAD GET GET GET",
        "HEAD GET GET GET",
        "Decrypt",
        _put_large,
    ),
    "download_file, small": Cost(
        lambda place, _: place.client.download_file(place.bucket, "k", str(place.folder / "to")),
        "HEAD GET",
        "HEAD GET",
        "Decrypt",
        _put,
    ),
    "copy_object": Cost(
        lambda place, _: place.client.copy_object(**place.names("t"), CopySource=place.source()),
        "PUT",
        "HEAD PUT HEAD",
        "Decrypt GenerateDataKey",
        _put,
    ),
    "copy": Cost(
        lambda place, _: place.client.copy(place.source(), place.bucket, "t"),
        "HEAD PUT",
        "HEAD PUT HEAD",
        "Decrypt GenerateDataKey",
        _put,
    ),
    "copy, in parts": Cost(
        lambda place, _: place.client.copy(place.source(), place.bucket, "t", Config=IN_PARTS),
        "HEAD POST PUT PUT PUT POST",
        "HEAD POST PUT PUT PUT POST HEAD",
        "Decrypt GenerateDataKey",
        _put_large,
    ),
    "upload_part_copy": Cost(
        lambda place, _: place.client.upload_part_copy(**_create(place), PartNumber=1, CopySource=place.source()),
        "POST PUT",
        "POST HEAD GET PUT",
        "Decrypt GenerateDataKey",
        _put,
    ),
    "upload_part_copy, range": Cost(
        lambda place, _: place.client.upload_part_copy(
            **_create(place), PartNumber=1, CopySource=place.source(), CopySourceRange="bytes=5-99"
        ),
        "POST PUT",
        "POST HEAD HEAD GET PUT",
        "Decrypt GenerateDataKey",
        _put,
    ),
    "put_object_tagging": Cost(
        lambda place, _: place.client.put_object_tagging(
            **place.names(), Tagging={"TagSet": [{"Key": "a", "Value": "b"}]}
        ),
        "PUT",
        "PUT",
        "",
        _put,
    ),
    "delete_objects": Cost(
        lambda place, _: place.client.delete_objects(Bucket=place.bucket, Delete={"Objects": [{"Key": "k"}]}),
        "POST",
        "POST",
        "",
        _put,
    ),
}


def _counted(names: str | list[str]) -> str:
    """Return names with their numbers, in one order: threads have another each time."""
    found = Counter(names.split() if isinstance(names, str) else names)
    return " ".join(f"{count} {name}" for name, count in sorted(found.items()))


@pytest.mark.parametrize("call", COSTS)
def test_call_when_made_costs_what_the_table_says(
    moto_s3: Endpoint,
    http_proxy: ProxyFactory,
    new_bucket: NewBucket,
    sealed: ClientFactory,
    kms: LocalKms,
    tmp_path: Path,
    call: str,
) -> None:
    cost = COSTS[call]
    proxy, endpoint = http_proxy(moto_s3)
    (tmp_path / "small").write_bytes(SMALL)
    (tmp_path / "large").write_bytes(LARGE)
    seen = []
    for preparing, measured in (
        (endpoint.client(), endpoint.client()),
        (sealed(endpoint), sealed(endpoint)),
    ):
        bucket = new_bucket(moto_s3)
        prepared = cost.before(Place(preparing, bucket, tmp_path))
        proxy.clear()
        kms.clear_calls()

        cost.call(Place(measured, bucket, tmp_path), prepared)

        seen.append(_counted([request.method for request in proxy.requests]))

    assert seen == [_counted(cost.plain), _counted(cost.ours)]
    assert _counted([made.operation for made in kms.calls]) == _counted(cost.kms)


@pytest.mark.parametrize("sizes", [1, 5])
def test_exact_listing_when_made_costs_one_request_per_object(
    moto_s3: Endpoint, http_proxy: ProxyFactory, new_bucket: NewBucket, sealed: ClientFactory, sizes: int
) -> None:
    proxy, endpoint = http_proxy(moto_s3)
    place = Place(sealed(endpoint, envelope={"list_sizes": "exact"}), new_bucket(moto_s3), Path())
    for number in range(sizes):
        place.client.put_object(**place.names(str(number)), Body=SMALL)
    proxy.clear()

    place.client.list_objects_v2(Bucket=place.bucket)

    assert _counted([request.method for request in proxy.requests]) == _counted(["GET", *["HEAD"] * sizes])
