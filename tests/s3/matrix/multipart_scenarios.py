"""Low-level multipart uploads, right and wrong."""

from __future__ import annotations

from typing import Any

from tests.s3.matrix.harness import PART, SMALL, Differs, Side, each, refused, scenario
from tests.s3.matrix.terms import client_error
from tests.support.enveloped import plaintext_of
from tests.support.uploading import Uploading, pieces

TAIL = 70_000
NO_UPLOAD = "bm8tc3VjaC11cGxvYWQ"


MISSING = client_error("NoSuchKey", 404, "GetObject", raised="NoSuchKey")


def _unknown_to_moto(calls: dict[str, str]) -> Differs:
    """Return the difference for calls, by place, about an upload that is not there."""
    told = {place: client_error("NoSuchUpload", 404, name, raised="NoSuchUpload") for place, name in calls.items()}
    return Differs("this server answers 500 to an upload that it does not know", told, on=("moto",))


def _complete_error(code: str) -> dict[str, Any]:
    return client_error(code, 400, "CompleteMultipartUpload")


def _checked_here(code: str, *paths: str, on: tuple[str, ...]) -> Differs:
    """Return the difference where the library answers as S3 does before the server, which answers something else."""
    reason = "the library looks at the list itself, and answers as S3 does"
    return Differs(reason, dict.fromkeys(paths, _complete_error(code)), on=on)


def _begun(side: Side, **arguments: Any) -> Uploading:
    return Uploading(side.client, side.bucket, side.key(), **arguments)


def _in_two_parts(side: Side, **arguments: Any) -> Uploading:
    upload = _begun(side, **arguments)
    for number, body in enumerate(pieces(PART, TAIL), 1):
        upload.part(number, body)
    return upload


def _listed(upload: Uploading, *numbers: int) -> dict[str, Any]:
    return {"Parts": [upload.parts[number] for number in numbers]}


@scenario()
def create_answer(side: Side) -> Any:
    return side.show("create_multipart_upload"), side.show("create_multipart_upload", Key="other", ContentType="a/b")


@scenario()
def parts_and_their_answers(side: Side) -> Any:
    upload = _begun(side, Metadata={"Name": "value"}, ContentType="text/a", CacheControl="no-store")
    first, second = pieces(PART, TAIL)
    sent = [
        side.client.upload_part(**upload.names, PartNumber=number, Body=body)
        for number, body in enumerate((first, second), 1)
    ]
    answers = [side.terms.value(answer) for answer in sent]
    upload.parts = {number: {"PartNumber": number, "ETag": answer["ETag"]} for number, answer in enumerate(sent, 1)}
    completed = side.tell(
        lambda: side.client.complete_multipart_upload(**upload.names, MultipartUpload=_listed(upload, 1, 2))
    )
    return [*answers, completed, side.show("get_object"), side.show("head_object")]


@scenario()
def parts_out_of_order_with_gaps(side: Side) -> Any:
    upload = _begun(side)
    bodies = dict(zip((2, 5, 9), pieces(PART + 1, PART, 100), strict=True))
    for number in (9, 2, 5):
        upload.part(number, bodies[number])
    upload.complete()
    whole = side.show("get_object")
    return (
        whole,
        side.show("get_object", Range=f"bytes={PART - 2}-{PART + 2}"),
        side.show("get_object", Range="bytes=-150"),
    )


@each({"tiny": 1, "empty": 0, "small": 70_000})
def one_part(side: Side, size: int) -> Any:
    upload = _begun(side)
    upload.part(1, plaintext_of(size))
    completed = side.tell(upload.complete)
    return completed, side.show("get_object"), side.show("head_object"), side.show("get_object", Range="bytes=0-0")


@scenario()
def part_uploaded_again(side: Side) -> Any:
    upload = _begun(side)
    upload.part(1, b"first")
    upload.part(1, SMALL)
    upload.complete()
    return side.show("get_object")


@scenario()
def part_left_out(side: Side) -> Any:
    upload = _begun(side)
    for number, body in enumerate(pieces(PART, 100, 200), 1):
        upload.part(number, body)
    upload.complete(1, 3)
    return side.show("get_object")


@scenario(
    Differs(
        "this server does not check; the library does, as S3",
        {"[0]": _complete_error("EntityTooSmall"), "[1]": MISSING},
        on=("juicefs",),
    )
)
def small_part_that_is_not_the_last(side: Side) -> Any:
    upload = _begun(side)
    for number, body in enumerate(pieces(1000, 2000), 1):
        upload.part(number, body)
    return side.tell(upload.complete), side.show("get_object")


@scenario(_checked_here("MalformedXML", "[0]", "[1]", on=("seaweedfs",)))
def complete_with_an_empty_list(side: Side) -> Any:
    upload = _begun(side)
    upload.part(1, SMALL)
    return [
        side.tell(lambda: side.client.complete_multipart_upload(**upload.names, MultipartUpload={"Parts": []})),
        side.tell(lambda: side.client.complete_multipart_upload(**upload.names, MultipartUpload={})),
    ]


@scenario(_checked_here("MalformedXML", "[0]", on=("moto", "juicefs")))
def complete_without_a_list(side: Side) -> Any:
    upload = _begun(side)
    upload.part(1, SMALL)
    return side.tell(lambda: side.client.complete_multipart_upload(**upload.names)), side.show("get_object")


@scenario()
def complete_with_a_wrong_etag(side: Side) -> Any:
    upload = _begun(side)
    upload.part(1, SMALL)
    wrong = {"Parts": [{"PartNumber": 1, "ETag": '"0123456789abcdef0123456789abcdef"'}]}
    return [
        side.tell(lambda: side.client.complete_multipart_upload(**upload.names, MultipartUpload=wrong)),
        side.tell(upload.complete),
        side.show("get_object"),
    ]


@scenario(_checked_here("InvalidPart", "[0]", on=("seaweedfs", "juicefs")))
def complete_with_a_part_that_was_not_uploaded(side: Side) -> Any:
    upload = _begun(side)
    upload.part(1, SMALL)
    upload.parts[2] = {"PartNumber": 2, "ETag": upload.parts[1]["ETag"]}
    return side.tell(upload.complete), side.show("get_object")


@scenario(_checked_here("InvalidPartOrder", "[0]", on=("moto",)))
def complete_in_the_wrong_order(side: Side) -> Any:
    upload = _in_two_parts(side)
    return [
        side.tell(lambda: side.client.complete_multipart_upload(**upload.names, MultipartUpload=_listed(upload, 2, 1))),
        side.show("head_object"),
    ]


@scenario(
    refused(
        "without the ETag it is not known which of several bodies of the part is meant",
        "ConfigurationError: a part in MultipartUpload lacks ETag or PartNumber",
    )
)
def complete_with_a_part_without_etag(side: Side) -> Any:
    upload = _begun(side)
    upload.part(1, SMALL)
    bare = {"Parts": [{"PartNumber": 1}]}
    return side.tell(lambda: side.client.complete_multipart_upload(**upload.names, MultipartUpload=bare))


@scenario()
def complete_twice(side: Side) -> Any:
    upload = _begun(side)
    upload.part(1, SMALL)
    return side.tell(upload.complete), side.tell(upload.complete), side.show("get_object")


@scenario()
def complete_if_none_exists(side: Side) -> Any:
    side.put(body=b"earlier")
    upload = _begun(side)
    upload.part(1, SMALL)
    listed = _listed(upload, 1)
    return [
        side.tell(
            lambda: side.client.complete_multipart_upload(**upload.names, MultipartUpload=listed, IfNoneMatch="*")
        ),
        side.show("get_object"),
    ]


@scenario(
    _unknown_to_moto({"[2]": "CompleteMultipartUpload", "[3]": "UploadPart"}),
)
def abort(side: Side) -> Any:
    upload = _begun(side)
    upload.part(1, SMALL)
    return [
        side.tell(lambda: side.client.abort_multipart_upload(**upload.names)),
        side.tell(lambda: side.client.abort_multipart_upload(**upload.names)),
        side.tell(upload.complete),
        side.tell(lambda: upload.part(2, SMALL)),
        side.show("head_object"),
        side.tell(lambda: side.client.list_parts(**upload.names)),
    ]


@scenario(
    _unknown_to_moto({"[0]": "UploadPart", "[1]": "CompleteMultipartUpload"}),
)
def upload_that_does_not_exist(side: Side) -> Any:
    names: Any = {"UploadId": NO_UPLOAD}
    listed = {"Parts": [{"PartNumber": 1, "ETag": '"0123456789abcdef0123456789abcdef"'}]}
    return [
        side.show("upload_part", PartNumber=1, Body=SMALL, **names),
        side.show("complete_multipart_upload", MultipartUpload=listed, **names),
        side.show("abort_multipart_upload", **names),
        side.show("list_parts", **names),
    ]


@each(
    {"0": 0, "10001": 10_001, "text": "1"},
    {
        "0": refused("it is found before anything is sent", "ConfigurationError: PartNumber is 0"),
        "10001": refused("it is found before anything is sent", "ConfigurationError: PartNumber is 10001"),
    },
)
def part_number_that_is_wrong(side: Side, number: Any) -> Any:
    upload = _begun(side)
    return side.tell(lambda: side.client.upload_part(**upload.names, PartNumber=number, Body=SMALL))


@scenario()
def parts_listed_in_pages(side: Side) -> Any:
    upload = _begun(side)
    for number in (1, 2, 3, 5):
        upload.part(number, SMALL)
    pages = [
        side.tell(lambda: side.client.list_parts(**upload.names)),
        side.tell(lambda: side.client.list_parts(**upload.names, MaxParts=2)),
        side.tell(lambda: side.client.list_parts(**upload.names, MaxParts=2, PartNumberMarker=2)),
    ]
    paginator = side.client.get_paginator("list_parts").paginate(**upload.names, PaginationConfig={"PageSize": 3})
    return [*pages, [part["PartNumber"] for page in paginator for part in page.get("Parts", [])]]


@scenario()
def uploads_listed(side: Side) -> Any:
    before = side.show("list_multipart_uploads")
    first, second = side.call("create_multipart_upload"), side.call("create_multipart_upload", Key="other")
    listed = side.show("list_multipart_uploads")
    for answer in (first, second):
        side.client.abort_multipart_upload(Bucket=side.bucket, Key=answer["Key"], UploadId=answer["UploadId"])
    return before, listed, side.show("list_multipart_uploads")


@scenario()
def uploads_of_one_key_side_by_side(side: Side) -> Any:
    first, second = _begun(side), _begun(side)
    first.part(1, SMALL)
    second.part(1, b"second")
    second.complete()
    between = side.show("get_object")
    first.complete()
    return between, side.show("get_object")


@scenario()
def checksums_of_parts(side: Side) -> Any:
    upload = _begun(side, ChecksumAlgorithm="SHA256")
    first, second = pieces(PART, TAIL)
    upload.part(1, first, ChecksumAlgorithm="SHA256")
    upload.part(2, second, ChecksumAlgorithm="SHA256")
    return side.tell(upload.complete), side.show("get_object")


@scenario()
def part_with_a_wrong_checksum(side: Side) -> Any:
    upload = _begun(side)
    wrong = {"ContentMD5": "AAAAAAAAAAAAAAAAAAAAAA=="}
    return side.tell(lambda: side.client.upload_part(**upload.names, PartNumber=1, Body=SMALL, **wrong))


@scenario()
def tags_and_class_of_an_upload(side: Side) -> Any:
    upload = _begun(side, Tagging="a=b", StorageClass="STANDARD_IA")
    upload.part(1, SMALL)
    upload.complete()
    return side.show("head_object"), side.show("get_object_tagging")


@scenario(
    Differs(
        "listings compute sizes from stored ones, which include an index: 52 bytes for each part and 4 more",
        {"[0][0]": PART + TAIL + 2 * 52 + 4},
    )
)
def sizes_of_an_upload_in_a_listing(side: Side) -> Any:
    _in_two_parts(side).complete()
    return [entry["Size"] for entry in side.call("list_objects_v2")["Contents"]], side.show("head_object")
