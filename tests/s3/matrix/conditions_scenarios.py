"""Conditional requests: an ETag or a date decides, in reads, writes and deletes."""

from __future__ import annotations

import datetime
import functools
from typing import Any

from tests.s3.matrix.harness import BODY, SMALL, Differs, Side, each, scenario
from tests.s3.matrix.terms import client_error

PAST = datetime.datetime(2001, 1, 1, tzinfo=datetime.timezone.utc)
FUTURE = datetime.datetime(2101, 1, 1, tzinfo=datetime.timezone.utc)
OTHER = '"0123456789abcdef0123456789abcdef"'

# The ETag of the object is put where ETAG stands.
ETAG = "ETag of the object"
CONDITIONS: dict[str, dict[str, Any]] = {
    "match": {"IfMatch": ETAG},
    "match_other": {"IfMatch": OTHER},
    "match_any": {"IfMatch": "*"},
    "none_match": {"IfNoneMatch": ETAG},
    "none_match_other": {"IfNoneMatch": OTHER},
    "none_match_any": {"IfNoneMatch": "*"},
    "modified_since_past": {"IfModifiedSince": PAST},
    "modified_since_future": {"IfModifiedSince": FUTURE},
    "unmodified_since_past": {"IfUnmodifiedSince": PAST},
    "unmodified_since_future": {"IfUnmodifiedSince": FUTURE},
    "match_and_unmodified_since_past": {"IfMatch": ETAG, "IfUnmodifiedSince": PAST},
    "none_match_other_and_modified_since_future": {"IfNoneMatch": OTHER, "IfModifiedSince": FUTURE},
}


def _filled(conditions: dict[str, Any], etag: str) -> dict[str, Any]:
    return {name: etag if value == ETAG else value for name, value in conditions.items()}


@each(CONDITIONS)
def read_if(side: Side, conditions: dict[str, Any]) -> Any:
    filled = _filled(conditions, side.put()["ETag"])
    return [
        side.show("get_object", **filled),
        side.show("get_object", Range="bytes=70000-70009", **filled),
        side.show("head_object", **filled),
    ]


@scenario()
def read_if_match_of_missing_object(side: Side) -> Any:
    return side.show("get_object", IfMatch=OTHER), side.show("head_object", IfNoneMatch=OTHER)


@scenario(
    Differs(
        "S3 looks at the condition first, and the library asks for another range; this server looks at the range first",
        {"": client_error("PreconditionFailed", 412, "GetObject")},
        on=("juicefs",),
    )
)
def read_if_range_is_behind_object_and_etag_is_another(side: Side) -> Any:
    side.put(body=SMALL)
    return side.show("get_object", Range="bytes=99999-", IfMatch=OTHER)


@scenario()
def read_again_only_if_changed(side: Side) -> Any:
    known = side.put()["ETag"]
    unchanged = side.show("get_object", IfNoneMatch=known)
    side.put(body=SMALL)
    return unchanged, side.show("get_object", IfNoneMatch=known), side.show("get_object", IfMatch=known)


@scenario()
def etags_of_all_answers_agree(side: Side) -> Any:
    etag = side.put()["ETag"]
    listed = side.call("list_objects_v2")["Contents"][0]["ETag"]
    got = side.call("get_object")
    got["Body"].close()
    answers = (got["ETag"], side.call("head_object")["ETag"], listed, side.object().e_tag)
    return [answer == etag for answer in answers]


@scenario()
def put_if_none_exists(side: Side) -> Any:
    first = side.tell(lambda: side.put(IfNoneMatch="*"))
    second = side.tell(lambda: side.put(body=SMALL, IfNoneMatch="*"))
    return first, second, side.read()


@scenario()
def put_if_match(side: Side) -> Any:
    etag = side.put()["ETag"]
    return [
        side.tell(lambda: side.put(body=SMALL, IfMatch=etag)),
        side.tell(lambda: side.put(body=b"", IfMatch=etag)),
        side.tell(lambda: side.put(body=b"", IfMatch=OTHER)),
        side.tell(lambda: side.put("missing", IfMatch=OTHER)),
        side.show("get_object"),
    ]


@scenario()
def delete_if_match(side: Side) -> Any:
    etag = side.put()["ETag"]
    return [
        side.show("delete_object", IfMatch=OTHER),
        side.show("head_object"),
        side.show("delete_object", IfMatch=etag),
        side.show("head_object"),
    ]


@scenario()
def delete_many_if_match(side: Side) -> Any:
    etag = side.put("a")["ETag"]
    side.put("b")
    objects = [{"Key": side.key("a"), "ETag": etag}, {"Key": side.key("b"), "ETag": OTHER}]
    return side.show("delete_objects", Delete={"Objects": objects}), side.show("list_objects_v2")


@scenario()
def optimistic_update(side: Side) -> Any:
    side.put(body=BODY)
    for _ in range(3):
        answer = side.call("get_object")
        changed = answer["Body"].read() + b"!"
        etag = answer["ETag"]
        side.tell(functools.partial(side.put, body=changed, IfMatch=etag))
    return side.read()
