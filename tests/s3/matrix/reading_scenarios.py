"""get_object, head_object and get_object_attributes: whole objects, ranges, and every other argument."""

from __future__ import annotations

import io
from typing import Any

from tests.s3.matrix.harness import BODY, SIZE, Differs, Side, each, refused, scenario
from tests.s3.matrix.terms import client_error
from tests.support.enveloped import SEGMENT_SIZE, plaintext_of

SIZES = {
    "0": 0,
    "1": 1,
    "segment_less_1": SEGMENT_SIZE - 1,
    "segment": SEGMENT_SIZE,
    "segment_and_1": SEGMENT_SIZE + 1,
    "200_kib": SIZE,
}
RANGES = {
    "first_byte": "bytes=0-0",
    "first_kib": "bytes=0-1023",
    "last_byte": f"bytes={SIZE - 1}-{SIZE - 1}",
    "across_segments": f"bytes={SEGMENT_SIZE - 3}-{2 * SEGMENT_SIZE + 2}",
    "one_segment": f"bytes={SEGMENT_SIZE}-{2 * SEGMENT_SIZE - 1}",
    "open": "bytes=100000-",
    "open_from_0": "bytes=0-",
    "suffix": "bytes=-1000",
    "suffix_longer_than_object": f"bytes=-{SIZE + 10}",
    "end_behind_object": f"bytes={SIZE - 10}-{SIZE + 10}",
    "behind_object": f"bytes={SIZE}-",
    "far_behind_object": "bytes=99999999-100000000",
    "suffix_of_0": "bytes=-0",
    "reversed": "bytes=5-2",
    "two_ranges": "bytes=0-1,5-6",
    "other_unit": "lines=0-5",
    "junk": "junk",
    "letters": "bytes=a-b",
    "nothing": "bytes=-",
    "spaces": "bytes= 0-5",
}


def _get_whole(plain: Side) -> Any:
    return plain.show("get_object")


def _ignored(*on: str) -> Differs:
    return Differs("S3 ignores such a header, and so does the library; this server does not", {"": _get_whole}, on=on)


IGNORED = {
    "reversed": _ignored("seaweedfs", "juicefs"),
    "other_unit": _ignored("moto"),
    "junk": _ignored("moto"),
    "letters": _ignored("seaweedfs"),
    "nothing": _ignored("seaweedfs"),
    "spaces": _ignored("moto", "seaweedfs"),
}
NOTHING_THERE = client_error("InvalidRange", 416, "GetObject", ActualObjectSize="0", RangeRequested="bytes=-5")


def _head_of(first: int, last: int) -> Differs:
    """Return the difference on a server that ignores the range of a HEAD."""
    content_range = f"bytes {first}-{last}/{SIZE}"
    return Differs(
        "S3 answers HEAD with a range as it does GET, and so does the library; this server ignores it",
        {
            "ContentLength": last + 1 - first,
            "ContentRange": content_range,
            "ResponseMetadata.HTTPStatusCode": 206,
            "headers.content-range": content_range,
            "headers.content-length": str(last + 1 - first),
        },
        on=("seaweedfs",),
    )


HEADS = {
    "first": _head_of(0, 9),
    "open": _head_of(70000, SIZE - 1),
    "suffix": _head_of(SIZE - 5, SIZE - 1),
    "behind": Differs(
        "S3 refuses such a range, and so does the library; this server ignores it",
        {"": client_error("416", 416, "HeadObject")},
        on=("seaweedfs",),
    ),
    "junk": Differs(
        "S3 ignores such a header; this server fails",
        {"": lambda plain: plain.show("head_object")},
        on=("moto",),
    ),
}
HEADERS: dict[str, Any] = {
    "Metadata": {"Owner": "somebody", "note": "a b", "x": "1"},
    "CacheControl": "max-age=60",
    "ContentDisposition": 'attachment; filename="a.txt"',
    "ContentEncoding": "identity",
    "ContentLanguage": "de",
    "ContentType": "text/x-test; charset=utf-8",
}


@each(SIZES)
def get_and_head_of_size(side: Side, size: int) -> Any:
    side.put(body=plaintext_of(size))
    return side.show("get_object"), side.show("head_object")


@each(RANGES, IGNORED)
def get_range(side: Side, header: str) -> Any:
    side.put()
    return side.show("get_object", Range=header)


@each(
    {"first": "bytes=0-0", "open": "bytes=0-", "suffix": "bytes=-5", "behind": "bytes=7-"},
    {
        "suffix": Differs(
            "S3 answers 416; these servers take it for the whole", {"": NOTHING_THERE}, on=("moto", "juicefs")
        )
    },
)
def get_range_of_empty_object(side: Side, header: str) -> Any:
    side.put(body=b"")
    return side.show("get_object", Range=header)


@each(
    {"first": "bytes=0-9", "open": "bytes=70000-", "suffix": "bytes=-5", "behind": f"bytes={SIZE}-", "junk": "junk"},
    HEADS,
)
def head_range(side: Side, header: str) -> Any:
    side.put()
    return side.show("head_object", Range=header)


@scenario()
def get_and_head_with_headers_of_the_object(side: Side) -> Any:
    side.put(**HEADERS)
    return side.show("get_object"), side.show("head_object"), side.show("get_object", Range="bytes=5-9")


@scenario()
def get_with_headers_of_the_answer(side: Side) -> Any:
    side.put(**HEADERS)
    asked = {
        "ResponseContentType": "text/plain",
        "ResponseContentLanguage": "en",
        "ResponseContentDisposition": "inline",
        "ResponseContentEncoding": "x-test",
        "ResponseCacheControl": "no-store",
        "ResponseExpires": "Thu, 01 Dec 2033 16:00:00 GMT",
    }
    return side.show("get_object", **asked), side.show("get_object", Range="bytes=-7", ResponseContentType="a/b")


@scenario()
def get_with_checksum_mode(side: Side) -> Any:
    side.put(ChecksumAlgorithm="SHA256")
    return side.show("get_object", ChecksumMode="ENABLED"), side.show("head_object", ChecksumMode="ENABLED")


@scenario()
def get_as_requester_who_pays(side: Side) -> Any:
    side.put(RequestPayer="requester")
    return side.show("get_object", RequestPayer="requester"), side.show("head_object", RequestPayer="requester")


@scenario()
def get_with_expected_owner(side: Side) -> Any:
    side.put()
    owner: Any = {"ExpectedBucketOwner": "123456789012"}
    return (
        side.show("get_object", **owner),
        side.show("head_object", **owner),
        side.show("get_object", Range="bytes=0-1", **owner),
    )


@scenario()
def get_with_unexpected_owner(side: Side) -> Any:
    side.put()
    owner = {"ExpectedBucketOwner": "999999999999"}
    return side.show("get_object", **owner), side.show("head_object", **owner)


@scenario()
def get_with_a_key_of_the_customer(side: Side) -> Any:
    customer_key: dict[str, Any] = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": b"k" * 32}
    other: dict[str, Any] = {"SSECustomerAlgorithm": "AES256", "SSECustomerKey": b"o" * 32}
    return [
        side.tell(lambda: side.put(**customer_key)),
        side.show("get_object", **customer_key),
        side.show("get_object", Range="bytes=70000-70009", **customer_key),
        side.show("head_object", **customer_key),
        side.show("get_object"),
        side.show("head_object"),
        side.show("get_object", **other),
    ]


@scenario()
def get_object_attributes(side: Side) -> Any:
    side.put()
    names = ["ObjectSize", "StorageClass", "ETag"]
    return side.show("get_object_attributes", ObjectAttributes=names)


@scenario(
    Differs(
        "this server takes it for a GET, and the body for its answer; what is stored is no XML",
        {"[0]": client_error("500", 500, "GetObjectAttributes")},
        on=("juicefs",),
    )
)
def get_object_attributes_of_empty_and_missing_object(side: Side) -> Any:
    side.put(body=b"")
    return (
        side.show("get_object_attributes", ObjectAttributes=["ObjectSize"]),
        side.show("get_object_attributes", Key="missing", ObjectAttributes=["ObjectSize"]),
    )


@scenario()
def get_object_attributes_with_checksum_and_parts(side: Side) -> Any:
    side.put(ChecksumAlgorithm="SHA256")
    return side.show("get_object_attributes", ObjectAttributes=["Checksum", "ObjectParts", "ObjectSize"])


@scenario(
    refused(
        "the parts of the stored object are not parts of its plaintext",
        "UnsupportedOperationError: PartNumber is refused",
        "[0]",
        "[1]",
    )
)
def get_part_number(side: Side) -> Any:
    side.put()
    return side.show("get_object", PartNumber=1), side.show("head_object", PartNumber=1)


@scenario()
def body_read_in_pieces(side: Side) -> Any:
    side.put()
    body = side.call("get_object")["Body"]
    pieces = [body.read(10), body.read(SEGMENT_SIZE), body.tell(), body.read(), body.read(), body.read(5)]
    body.close()
    return pieces


@scenario()
def body_read_by_lines_and_chunks(side: Side) -> Any:
    side.put(body=BODY.replace(b"-", b"\n"))
    lines = list(side.call("get_object")["Body"].iter_lines())
    kept = list(side.call("get_object")["Body"].iter_lines(keepends=True))
    chunks = list(side.call("get_object")["Body"].iter_chunks(100_000))
    return len(lines), len(kept), [len(chunk) for chunk in chunks], b"".join(chunks), b"".join(lines)


@scenario()
def body_read_through_the_tools_of_io(side: Side) -> Any:
    side.put()
    with side.call("get_object")["Body"] as opened:
        first = opened.read(5)
    buffered = io.BufferedReader(side.call("get_object")["Body"])
    found = [first, buffered.read(3), buffered.peek(1)[:1], buffered.read()]
    buffer = bytearray(1000)
    with side.call("get_object")["Body"] as opened:
        count = opened.readinto(buffer)
    return [*found, count, bytes(buffer[:count])]


@scenario(
    Differs(
        "a closed stream says so, where urllib3 says that the answer is too short",
        {"[2].raised": ["ValueError"], "[2].text": "I/O operation on a closed stream"},
    )
)
def body_closed_before_its_end(side: Side) -> Any:
    side.put()
    body = side.call("get_object")["Body"]
    first = body.read(1)
    body.close()
    return first, body.readable(), side.tell(lambda: body.read(1)), side.read(Range="bytes=0-2")


@scenario()
def read_by_a_program_that_seeks(side: Side) -> Any:
    side.put()
    size = side.call("head_object")["ContentLength"]
    etag = side.call("head_object")["ETag"]
    offsets = (0, size // 2, size - 5)
    return [side.read(Range=f"bytes={offset}-{min(size, offset + 5000) - 1}", IfMatch=etag) for offset in offsets]
