"""Keys that programs have, and keys that they should not have."""

from __future__ import annotations

from typing import Any

from tests.s3.matrix.harness import SMALL, Differs, Side, each, scenario
from tests.s3.matrix.terms import client_error

KEYS = {
    "space": "a b  c",
    "plus": "a+b",
    "percent": "100%/a%20b",
    "not_ascii": "caf\u00e9/\u65e5\u672c",
    "emoji": "\U0001f600",
    "question": "a?b=c&d",
    "hash": "a#b",
    "quotes": "a\"b'c`",
    "brackets": "a[b]{c}(d)<e>",
    "backslash": "a\\b",
    "tilde": "~a!*",
    "colon": "a:b@c,d;e=f|g^h",
    "double_slash": "a//b",
    "dot_segments": "a/../b/./c",
    "long_segments": "/".join(["x" * 200] * 4),
}


@each(KEYS)
def key(side: Side, name: str) -> Any:
    # Servers that refuse the one with dots refuse its copy in other words: that is a scenario of its own.
    copied = [] if "/../" in name else ["copied"]
    return [
        side.tell(lambda: side.put(name, SMALL)),
        side.show("head_object", Key=name),
        side.show("get_object", Key=name, Range="bytes=100-120"),
        side.show("list_objects_v2"),
        side.show("list_objects", EncodingType="url"),
        *[side.show("copy_object", Key=target, CopySource=side.source(name)) for target in copied],
        *[side.show("get_object", Key=target) for target in copied],
        side.show("delete_object", Key=name),
        side.show("head_object", Key=name),
    ]


@scenario(
    Differs(
        "this server refuses such a key with one code in a GET and with another in a copy",
        {"": client_error("InvalidRequest", 400, "CopyObject", raised="InvalidRequest")},
        on=("seaweedfs",),
    ),
    Differs(
        "this server refuses such a key in a HEAD, and does not find it in a copy",
        {"": client_error("XMinioInvalidResourceName", 400, "CopyObject")},
        on=("juicefs",),
    ),
)
def copy_of_a_key_with_dot_segments(side: Side) -> Any:
    return side.show("copy_object", Key="copied", CopySource=side.source("a/../b/./c"))


@each({"1024_bytes": 1024, "1025_bytes": 1025})
def key_of_length(side: Side, length: int) -> Any:
    name = ("y" * 100 + "/") * 11
    name = name[: length - len(side.prefix)]
    return side.tell(lambda: side.put(name, SMALL)), side.show("get_object", Key=name)


@scenario()
def key_that_is_empty(side: Side) -> Any:
    nothing = {"Bucket": side.bucket, "Key": ""}
    return [
        side.tell(lambda: side.client.put_object(**nothing, Body=SMALL)),
        side.tell(lambda: side.client.get_object(**nothing)),
        side.tell(lambda: side.client.head_object(**nothing)),
    ]


@scenario()
def key_below_another(side: Side) -> Any:
    return [
        side.tell(lambda: side.put("a", SMALL)),
        side.tell(lambda: side.put("a/b", SMALL)),
        side.show("get_object", Key="a"),
        side.show("get_object", Key="a/b"),
        side.show("list_objects_v2", Delimiter="/"),
    ]


def _without_marker(plain: Side) -> Any:
    plain.call("delete_object", Key="folder/a")
    plain.call("delete_object", Key="folder/")
    plain.put("folder/a", SMALL)
    return plain.show("list_objects_v2", Prefix="folder/")


LOST = "NotEncryptedError: the object has no envelope"


@scenario(
    Differs(
        "this server makes a folder of the key, and loses body and metadata",
        {"[2]": LOST, "[3]": LOST},
        on=("seaweedfs",),
    ),
    Differs(
        "this server makes a folder of the key, but only of one without a body; a sealed body is never empty",
        {
            "[0]": client_error("XMinioObjectExistsAsDirectory", 409, "PutObject"),
            "[2]": client_error("404", 404, "HeadObject"),
            "[3]": client_error("NoSuchKey", 404, "GetObject", raised="NoSuchKey"),
            "[4]": _without_marker,
        },
        on=("juicefs",),
    ),
)
def folder_marker(side: Side) -> Any:
    return [
        side.tell(lambda: side.put("folder/", b"")),
        side.tell(lambda: side.put("folder/a", SMALL)),
        side.show("head_object", Key="folder/"),
        side.show("get_object", Key="folder/"),
        side.show("list_objects_v2", Prefix="folder/"),
        side.show("list_objects_v2", Delimiter="/"),
    ]
