"""What would store plaintext, or serve ciphertext as if it were plaintext: the library refuses it and sends nothing."""

from __future__ import annotations

from typing import Any

from tests.s3.matrix.harness import SMALL, Differs, Side, each, refused, scenario
from tests.s3.matrix.terms import client_error

QUERY = {
    "Expression": "SELECT * FROM S3Object",
    "ExpressionType": "SQL",
    "InputSerialization": {"CSV": {}},
    "OutputSerialization": {"CSV": {}},
}


CIPHERTEXT = "whoever uses the URL gets ciphertext"
NOTHING_STORED = client_error("404", 404, "HeadObject")


def _unsupported(reason: str, error: str, *paths: str) -> Differs:
    return refused(reason, f"UnsupportedOperationError: {error}", *paths)


@each(
    {"get": "get_object", "head": "head_object", "put": "put_object", "delete": "delete_object"},
    {
        "get": _unsupported(CIPHERTEXT, "a presigned GetObject is refused"),
        "head": _unsupported(CIPHERTEXT, "a presigned HeadObject is refused"),
        "put": _unsupported("whoever uses the URL stores plaintext", "a presigned PutObject is refused"),
    },
)
def presigned_url(side: Side, method: str) -> Any:
    parameters = {"Bucket": side.bucket, "Key": side.key()}
    return side.tell(lambda: side.client.generate_presigned_url(method, Params=parameters).partition("?")[0])


@scenario(
    _unsupported("whoever uses the form stores plaintext", "generate_presigned_post is refused"),
)
def presigned_post(side: Side) -> Any:
    return side.tell(lambda: sorted(side.client.generate_presigned_post(side.bucket, side.key())))


@scenario(
    _unsupported("S3 cannot query ciphertext", "SelectObjectContent is refused"),
)
def select(side: Side) -> Any:
    side.put(body=SMALL)
    return side.show("select_object_content", **QUERY)


@scenario(
    _unsupported("a sealed object cannot grow", "WriteOffsetBytes is refused", "[0]"),
)
def append(side: Side) -> Any:
    side.put(body=SMALL)
    return side.show("put_object", Body=SMALL, WriteOffsetBytes=len(SMALL)), side.show("get_object")


@scenario(
    _unsupported("the envelope is bound to the key", "RenameObject is refused"),
)
def rename(side: Side) -> Any:
    side.put(body=SMALL)
    return side.show("rename_object", Key="other", RenameSource=f"{side.bucket}/{side.key()}")


@scenario(
    _unsupported("it serves ciphertext", "GetObjectTorrent is refused"),
)
def torrent(side: Side) -> Any:
    side.put(body=SMALL)
    return side.show("get_object_torrent")


@scenario(
    _unsupported("it would be stored in plaintext", "PutObjectAnnotation is refused"),
)
def annotation(side: Side) -> Any:
    side.put(body=SMALL)
    return side.show("put_object_annotation", AnnotationName="note", AnnotationPayload=SMALL)


@scenario(
    refused(
        "it is found before anything is sent",
        "ConfigurationError: ContentLength is 3067, but the body has 3072 bytes",
        "[0]",
    ),
    Differs("nothing was sent", {"[1]": NOTHING_STORED}, on=("seaweedfs", "juicefs")),
    Differs("this server stores all of the body", {"[1]": NOTHING_STORED}, on=("moto",), over=("https",)),
)
def content_length_that_is_wrong(side: Side) -> Any:
    return side.tell(lambda: side.put(body=SMALL, ContentLength=len(SMALL) - 5)), side.show("head_object")


def _not_verifiable(name: str) -> tuple[Differs, Differs]:
    error = f"{name} cannot be verified here, and a checksum of the plaintext is never sent"
    return (
        _unsupported("it cannot be computed without another library", error, "[0]"),
        Differs("nothing was sent", {"[1]": NOTHING_STORED}, on=("moto", "juicefs")),
    )


@each(
    {"crc32c": {"ChecksumCRC32C": "AAAAAA=="}, "crc64nvme": {"ChecksumCRC64NVME": "AAAAAAAAAAA="}},
    {"crc32c": _not_verifiable("ChecksumCRC32C"), "crc64nvme": _not_verifiable("ChecksumCRC64NVME")},
)
def checksum_without_support(side: Side, checksum: dict[str, str]) -> Any:
    return side.tell(lambda: side.put(body=SMALL, **checksum)), side.show("head_object")


@scenario(
    _unsupported("it would be the checksum of the plaintext", "ChecksumType='FULL_OBJECT' is refused"),
)
def checksum_of_a_whole_upload(side: Side) -> Any:
    return side.show("create_multipart_upload", ChecksumAlgorithm="CRC32", ChecksumType="FULL_OBJECT")


@scenario(
    refused("the envelope has such names", "ConfigurationError: Metadata has the name 'se1-h'", "[0]"),
    Differs("nothing was sent", {"[1]": NOTHING_STORED}),
)
def metadata_of_the_library(side: Side) -> Any:
    return side.tell(lambda: side.put(body=SMALL, Metadata={"se1-h": "x"})), side.show("head_object")


@scenario(
    Differs(
        "boto3 does not take it; the library does",
        {"[0]": lambda plain: plain.tell(lambda: plain.put(body=SMALL)), "[1]": lambda plain: plain.show("get_object")},
    ),
)
def memoryview_as_a_body(side: Side) -> Any:
    return side.tell(lambda: side.put(body=memoryview(SMALL))), side.show("get_object")
