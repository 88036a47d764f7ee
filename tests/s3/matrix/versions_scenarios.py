"""Objects with versions: reads of old ones, delete markers, restores."""

from __future__ import annotations

import io
from typing import Any

from tests.s3.matrix.harness import BODY, SMALL, Side, scenario


def _show(side: Side, operation: str, **arguments: Any) -> Any:
    return side.show(operation, Bucket=side.versioned_bucket, **arguments)


def _written(side: Side, *bodies: bytes) -> list[dict[str, str]]:
    """Write versions; return the argument that names each of them."""
    answers = [side.put(body=body, Bucket=side.versioned_bucket) for body in bodies]
    return [{"VersionId": answer["VersionId"]} if "VersionId" in answer else {} for answer in answers]


@scenario()
def answers_to_writes(side: Side) -> Any:
    first = side.tell(lambda: side.put(body=SMALL, Bucket=side.versioned_bucket))
    return first, side.tell(lambda: side.put(body=BODY, Bucket=side.versioned_bucket)), _show(side, "get_object")


@scenario()
def old_versions_are_read(side: Side) -> Any:
    found = []
    for version in _written(side, SMALL, BODY, b""):
        found += [_show(side, "get_object", **version), _show(side, "head_object", **version)]
        found += [_show(side, "get_object", Range="bytes=1-5", **version)]
    return found


@scenario()
def version_that_does_not_exist(side: Side) -> Any:
    _written(side, SMALL)
    return [_show(side, operation, VersionId="null") for operation in ("get_object", "head_object", "delete_object")]


@scenario()
def delete_marker(side: Side) -> Any:
    (version,) = _written(side, BODY)
    deleted = side.call("delete_object", Bucket=side.versioned_bucket)
    marker = {"VersionId": deleted["VersionId"]} if "VersionId" in deleted else {}
    return [
        side.terms.value(deleted),
        _show(side, "get_object"),
        _show(side, "head_object"),
        _show(side, "get_object", **version),
        _show(side, "get_object", **marker),
        _show(side, "head_object", **marker),
        _show(side, "list_object_versions"),
        _show(side, "delete_object", **marker),
        _show(side, "get_object"),
    ]


@scenario()
def old_version_deleted(side: Side) -> Any:
    first, _ = _written(side, SMALL, BODY)
    return [_show(side, "delete_object", **first), _show(side, "get_object", **first), _show(side, "get_object")]


@scenario()
def versions_listed(side: Side) -> Any:
    _written(side, SMALL, BODY, b"")
    return [
        _show(side, "list_object_versions"),
        _show(side, "list_object_versions", MaxKeys=2),
        _show(side, "list_objects_v2"),
    ]


@scenario()
def old_version_copied_back(side: Side) -> Any:
    first, _ = _written(side, BODY, SMALL)
    source = {"Bucket": side.versioned_bucket, "Key": side.key(), **first}
    copied = _show(side, "copy_object", CopySource=source)
    text = f"{side.versioned_bucket}/{side.key()}" + (f"?versionId={first['VersionId']}" if first else "")
    again = _show(side, "copy_object", Key="other", CopySource=text)
    return copied, _show(side, "get_object"), again, _show(side, "get_object", Key="other")


@scenario()
def old_version_downloaded(side: Side) -> Any:
    first, _ = _written(side, BODY, SMALL)
    target = io.BytesIO()
    done = side.tell(
        lambda: side.client.download_fileobj(side.versioned_bucket, side.key(), target, ExtraArgs=dict(first))
    )
    return done, target.getvalue()


@scenario()
def old_version_copied_by_the_manager(side: Side) -> Any:
    first, _ = _written(side, BODY, SMALL)
    source = {"Bucket": side.versioned_bucket, "Key": side.key(), **first}
    done = side.tell(lambda: side.client.copy(source, side.bucket, side.key("target")))
    return done, side.show("get_object", Key="target")


@scenario()
def attributes_of_an_old_version(side: Side) -> Any:
    first, _ = _written(side, BODY, SMALL)
    return _show(side, "get_object_attributes", ObjectAttributes=["ObjectSize"], **first)


@scenario()
def tags_of_an_old_version(side: Side) -> Any:
    first, _ = _written(side, BODY, SMALL)
    tags = {"TagSet": [{"Key": "a", "Value": "b"}]}
    return [
        _show(side, "put_object_tagging", Tagging=tags, **first),
        _show(side, "get_object_tagging", **first),
        _show(side, "get_object_tagging"),
    ]


@scenario()
def versions_deleted_in_a_batch(side: Side) -> Any:
    versions = _written(side, SMALL, BODY)
    objects = [{"Key": side.key(), **version} for version in versions]
    return [
        _show(side, "delete_objects", Delete={"Objects": objects}),
        _show(side, "list_object_versions"),
        _show(side, "get_object"),
    ]
