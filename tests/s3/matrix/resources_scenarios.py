"""Resources: objects, buckets, collections, uploads and versions as programs use them."""

from __future__ import annotations

from typing import Any

from tests.s3.matrix.harness import BODY, PART, SMALL, Side, scenario
from tests.support.enveloped import plaintext_of

EXTRA: dict[str, Any] = {"Metadata": {"name": "value"}, "ContentType": "text/a", "CacheControl": "no-store"}
ATTRIBUTES = (
    "content_length",
    "content_type",
    "cache_control",
    "metadata",
    "storage_class",
    "accept_ranges",
    "delete_marker",
    "parts_count",
)


def _attributes(found: Any) -> dict[str, Any]:
    return {name: getattr(found, name) for name in ATTRIBUTES}


def _bucket(side: Side) -> Any:
    return side.resource.Bucket(side.bucket)


@scenario()
def object_put_and_get(side: Side) -> Any:
    stored = side.object()
    put = side.tell(lambda: stored.put(Body=BODY, **EXTRA))
    return put, side.tell(stored.get), side.tell(lambda: stored.get(Range="bytes=5-9"))


@scenario()
def object_attributes_are_loaded(side: Side) -> Any:
    side.object().put(Body=BODY, **EXTRA)
    stored = side.object()
    before = _attributes(stored)
    side.object().put(Body=SMALL)
    unchanged = stored.content_length
    stored.load()
    known = stored.content_length
    stored.reload()
    return before, unchanged, known, _attributes(stored), stored.key, stored.bucket_name


@scenario()
def object_that_is_missing(side: Side) -> Any:
    missing = side.object("missing")
    return [
        side.tell(missing.load),
        side.tell(missing.get),
        side.tell(lambda: missing.content_length),
        side.tell(missing.delete),
    ]


@scenario()
def object_deleted(side: Side) -> Any:
    stored = side.object()
    stored.put(Body=BODY)
    return side.tell(stored.delete), side.tell(side.object().load)


@scenario()
def object_waited_for(side: Side) -> Any:
    stored = side.object()
    stored.put(Body=BODY)
    found = side.tell(stored.wait_until_exists)
    stored.delete()
    return found, side.tell(stored.wait_until_not_exists)


@scenario()
def object_acl_and_version(side: Side) -> Any:
    stored = side.object()
    stored.put(Body=SMALL)
    acl = stored.Acl()
    return side.tell(lambda: acl.grants), side.tell(lambda: acl.owner), side.tell(lambda: stored.version_id)


@scenario()
def object_exists_idiom(side: Side) -> Any:
    side.put(body=b"")

    def exists(name: str) -> bool:
        try:
            side.object(name).load()
        except side.client.exceptions.ClientError as error:
            if error.response["Error"]["Code"] == "404":
                return False
            raise
        return True

    return exists("k"), exists("missing")


@scenario()
def no_such_key_idiom(side: Side) -> Any:
    def content(name: str) -> bytes | None:
        try:
            body: bytes = side.object(name).get()["Body"].read()
        except side.client.exceptions.NoSuchKey:
            return None
        return body

    side.put()
    return content("k"), content("missing")


@scenario()
def objects_filtered(side: Side) -> Any:
    for name, size in (("a", 0), ("b/1", 1), ("b/2", 70_000), ("c", 5)):
        side.put(name, plaintext_of(size))
    found = _bucket(side).objects.filter(Prefix=side.prefix)
    below = _bucket(side).objects.filter(Prefix=side.key("b/"))
    return [
        [(summary.key, summary.size, summary.storage_class) for summary in found],
        [summary.size for summary in below],
        [summary.key for summary in found.limit(2)],
        [len(page) for page in found.page_size(3).pages()],
        sum(summary.size for summary in found),
    ]


@scenario()
def summaries_become_objects(side: Side) -> Any:
    side.put("a", SMALL)
    side.put("b", BODY)
    summaries = list(_bucket(side).objects.filter(Prefix=side.prefix))
    return [
        [summary.Object().content_length for summary in summaries],
        [summary.get()["Body"].read() for summary in summaries],
        [summary.size for summary in summaries],
        side.tell(summaries[0].load),
        summaries[0].size,
        side.resource.ObjectSummary(side.bucket, side.key("b")).size,
    ]


@scenario()
def summary_put_and_deleted(side: Side) -> Any:
    summary = side.resource.ObjectSummary(side.bucket, side.key())
    put = side.tell(lambda: summary.put(Body=BODY))
    return put, summary.size, side.tell(summary.wait_until_exists), side.tell(summary.delete), side.show("head_object")


@scenario()
def objects_deleted_in_a_batch(side: Side) -> Any:
    for name in "abc":
        side.put(name, SMALL)
    found = _bucket(side).objects.filter(Prefix=side.prefix)
    return side.tell(found.delete), [summary.key for summary in found]


@scenario()
def bucket_puts_an_object(side: Side) -> Any:
    made = _bucket(side).put_object(Key=side.key(), Body=BODY, **EXTRA)
    return made.key, made.bucket_name, made.content_length, side.tell(made.get)


@scenario()
def bucket_of_its_own_is_listed_wholly(side: Side) -> Any:
    bucket = side.resource.Bucket(f"{side.bucket}-own")
    created = side.tell(lambda: bool(bucket.create()))
    bucket.put_object(Key="a", Body=SMALL)
    bucket.put_object(Key="b", Body=BODY)
    sizes = {summary.key: summary.size for summary in bucket.objects.all()}
    full = side.tell(bucket.delete)
    emptied = side.tell(bucket.objects.all().delete)
    return [created, sizes, full, emptied, side.tell(bucket.delete), side.tell(bucket.load)]


@scenario()
def upload_as_a_resource(side: Side) -> Any:
    upload = side.object().initiate_multipart_upload(**EXTRA)
    first = upload.Part(1).upload(Body=plaintext_of(PART))
    second = upload.Part(2).upload(Body=SMALL)
    listed = [(part.part_number, part.size) for part in upload.parts.all()]
    parts = [{"PartNumber": 1, "ETag": first["ETag"]}, {"PartNumber": 2, "ETag": second["ETag"]}]
    made = upload.complete(MultipartUpload={"Parts": parts})
    return listed, made.key, made.content_length, side.tell(side.object().get)


@scenario()
def upload_as_a_resource_aborted(side: Side) -> Any:
    upload = side.object().initiate_multipart_upload()
    upload.Part(1).upload(Body=SMALL)
    return side.tell(upload.abort), side.tell(lambda: list(upload.parts.all())), side.tell(upload.abort)


@scenario()
def upload_as_a_resource_copies_parts(side: Side) -> Any:
    side.put("source")
    upload = side.object().initiate_multipart_upload()
    copied = upload.Part(1).copy_from(CopySource=side.source("source"), CopySourceRange="bytes=100-70099")
    parts = [{"PartNumber": 1, "ETag": copied["CopyPartResult"]["ETag"]}]
    upload.complete(MultipartUpload={"Parts": parts})
    return side.tell(side.object().get)


@scenario()
def versions_of_an_object(side: Side) -> Any:
    versioned = side.resource.Object(side.versioned_bucket, side.key())
    for body in (SMALL, BODY, b""):
        versioned.put(Body=body)
    versioned.delete()
    found = list(side.resource.Bucket(side.versioned_bucket).object_versions.filter(Prefix=side.prefix))
    return [
        [(version.object_key, version.size, version.is_latest) for version in found],
        [side.tell(version.get) for version in found],
        [side.tell(version.head) for version in found],
        side.tell(versioned.load),
        side.tell(side.resource.Bucket(side.versioned_bucket).object_versions.filter(Prefix=side.prefix).delete),
    ]
