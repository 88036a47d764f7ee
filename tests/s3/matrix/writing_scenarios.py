"""put_object and delete_object with every argument that a program may give."""

from __future__ import annotations

import base64
import datetime
import hashlib
import zlib
from typing import Any

from tests.s3.matrix.harness import BODY, SIZE, SMALL, Differs, Side, each, refused, scenario
from tests.s3.matrix.terms import client_error


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode("ascii")


RIGHT = {
    "ContentMD5": _base64(hashlib.md5(SMALL, usedforsecurity=False).digest()),
    "ChecksumCRC32": _base64(zlib.crc32(SMALL).to_bytes(4, "big")),
    "ChecksumSHA1": _base64(hashlib.sha1(SMALL, usedforsecurity=False).digest()),
    "ChecksumSHA256": _base64(hashlib.sha256(SMALL).digest()),
}
WRONG = {
    "ContentMD5": _base64(bytes(16)),
    "ChecksumCRC32": _base64(bytes(4)),
    "ChecksumSHA1": _base64(bytes(20)),
    "ChecksumSHA256": _base64(bytes(32)),
}
MALFORMED = {"ContentMD5": "abc", "ChecksumCRC32": "not base64", "ChecksumSHA256": "AAAA"}
MISSING = client_error("NoSuchKey", 404, "GetObject", raised="NoSuchKey")
VERIFIED = Differs(
    "this server does not know the checksum; the library verifies it",
    {"[0]": client_error("BadDigest", 400, "PutObject"), "[1]": MISSING},
    on=("juicefs",),
)
TAGS = "project=north%20star&kind=report"


@scenario()
def put_answer(side: Side) -> Any:
    return side.tell(side.put), side.tell(lambda: side.put(body=b"")), side.tell(lambda: side.call("put_object"))


@scenario()
def put_over_an_object(side: Side) -> Any:
    side.put(Metadata={"a": "1"}, ContentType="text/a")
    side.put(body=SMALL)
    return side.show("get_object")


@each(
    {
        "case": {"UPPER": "Value", "Mixed-Case": "b"},
        "spaces": {"note": "a  b", "list": "x, y;z"},
        "json": {"doc": '{"a": [1, 2]}', "base64": "+/=="},
        "many": {f"name-{number}": str(number) for number in range(20)},
        "none": {},
        "not_ascii": {"note": "caf\u00e9"},
        "not_text": {"count": 1},
        "big": {"note": "x" * 1200},
    }
)
def metadata(side: Side, given: dict[str, Any]) -> Any:
    answer = side.tell(lambda: side.put(Metadata=given))
    return answer, side.show("head_object"), side.show("get_object", Range="bytes=0-0")


@scenario(
    refused(
        "the envelope is counted as well, and found too large before anything is sent",
        "MetadataTooLargeError: Metadata, encryption context and envelope take 2525 bytes together",
        "[0]",
    ),
    Differs("this server has no limit", {"[1]": client_error("404", 404, "HeadObject")}, on=("seaweedfs",)),
)
def metadata_too_large(side: Side) -> Any:
    return side.tell(lambda: side.put(Metadata={"note": "x" * 2100})), side.show("head_object")


@scenario()
def tagging(side: Side) -> Any:
    side.put(Tagging=TAGS)
    found = [side.show("get_object_tagging"), side.show("get_object"), side.show("head_object")]
    changed = {"TagSet": [{"Key": "kind", "Value": "draft"}]}
    found += [side.show("put_object_tagging", Tagging=changed), side.show("get_object_tagging")]
    return [*found, side.show("delete_object_tagging"), side.show("get_object_tagging")]


@each({"private": "private", "public_read": "public-read", "unknown": "no-such-acl"})
def acl(side: Side, name: str) -> Any:
    return [
        side.tell(lambda: side.put(ACL=name)),
        side.show("get_object_acl"),
        side.show("put_object_acl", ACL="private"),
        side.show("get_object"),
    ]


@each({"standard": "STANDARD", "infrequent": "STANDARD_IA", "reduced": "REDUCED_REDUNDANCY", "unknown": "NO_SUCH"})
def storage_class(side: Side, name: str) -> Any:
    answer = side.tell(lambda: side.put(StorageClass=name))
    return answer, side.show("head_object"), side.show("get_object"), side.show("list_objects_v2")


@scenario()
def headers_of_the_object(side: Side) -> Any:
    expires = datetime.datetime(2033, 12, 1, 16, tzinfo=datetime.timezone.utc)
    side.put(Expires=expires, ContentEncoding="gzip", ContentType="text/csv", WebsiteRedirectLocation="/other")
    return side.show("head_object"), side.show("get_object")


@each({name: name for name in RIGHT})
def checksum_right(side: Side, name: str) -> Any:
    return side.tell(lambda: side.put(body=SMALL, **{name: RIGHT[name]})), side.show("get_object")


@each({name: name for name in WRONG}, {name: VERIFIED for name in WRONG if name != "ContentMD5"})
def checksum_wrong(side: Side, name: str) -> Any:
    return side.tell(lambda: side.put(body=SMALL, **{name: WRONG[name]})), side.show("get_object")


@each({name: name for name in MALFORMED}, {name: VERIFIED for name in MALFORMED if name != "ContentMD5"})
def checksum_malformed(side: Side, name: str) -> Any:
    return side.tell(lambda: side.put(body=SMALL, **{name: MALFORMED[name]})), side.show("get_object")


@each({"crc32": "CRC32", "sha1": "SHA1", "sha256": "SHA256", "unknown": "MD17"})
def checksum_algorithm(side: Side, name: str) -> Any:
    return side.tell(lambda: side.put(ChecksumAlgorithm=name)), side.show("get_object")


@scenario()
def content_length_right(side: Side) -> Any:
    return side.tell(lambda: side.put(ContentLength=SIZE)), side.show("get_object")


@each({"aes256": {"ServerSideEncryption": "AES256"}, "kms": {"ServerSideEncryption": "aws:kms", "SSEKMSKeyId": "k"}})
def encryption_by_the_server(side: Side, given: dict[str, str]) -> Any:
    return side.tell(lambda: side.put(**given)), side.show("head_object"), side.show("get_object")


@scenario()
def expected_owner(side: Side) -> Any:
    return [
        side.tell(lambda: side.put(ExpectedBucketOwner="123456789012")),
        side.tell(lambda: side.put("other", ExpectedBucketOwner="999999999999")),
        side.show("list_objects_v2"),
    ]


@scenario()
def object_lock(side: Side) -> Any:
    until = datetime.datetime(2033, 12, 1, tzinfo=datetime.timezone.utc)
    return [
        side.tell(lambda: side.put(ObjectLockMode="GOVERNANCE", ObjectLockRetainUntilDate=until)),
        side.tell(lambda: side.put(ObjectLockLegalHoldStatus="ON")),
        side.show("get_object_retention"),
        side.show("get_object_legal_hold"),
        side.show("put_object_legal_hold", LegalHold={"Status": "OFF"}),
    ]


@scenario()
def delete(side: Side) -> Any:
    side.put()
    return [side.show("delete_object"), side.show("get_object"), side.show("delete_object"), side.show("head_object")]


@scenario()
def delete_many(side: Side) -> Any:
    for name in "abc":
        side.put(name, SMALL)
    objects = [{"Key": side.key(name)} for name in ("a", "b", "missing")]
    return side.show("delete_objects", Delete={"Objects": objects}), side.show("list_objects_v2")


@scenario()
def delete_many_quietly(side: Side) -> Any:
    for name in "ab":
        side.put(name, SMALL)
    objects = [{"Key": side.key(name)} for name in "ab"]
    return side.show("delete_objects", Delete={"Objects": objects, "Quiet": True}), side.show("list_objects_v2")


@scenario()
def write_again_what_was_read(side: Side) -> Any:
    side.put(Metadata={"a": "1"}, ContentType="text/a")
    answer = side.call("get_object")
    side.put("second", answer["Body"].read(), Metadata=answer["Metadata"], ContentType=answer["ContentType"])
    return side.show("get_object", Key="second"), side.read("second") == BODY
