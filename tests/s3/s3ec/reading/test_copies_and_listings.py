"""Copies, deletions and listings of objects of the Amazon clients, and what is refused of them."""

import re
from dataclasses import replace
from typing import Any

import pytest

from s3envelope.errors import (
    ConfigurationError,
    ContextMismatchError,
    NotEncryptedError,
    UnsupportedFormatError,
    UnsupportedOperationError,
)
from s3envelope.testing.s3_proxy import matching
from tests.support.enveloped import MIB, plaintext_of
from tests.support.s3ec_objects import KmsWrap, cbc_object, v2_object, v3_object
from tests.support.s3ec_reading import BOTH, KEY, WITH_SE1, S3ecScene

_NEXT_MARKER = re.compile(rb"<NextMarker>[^<]*</NextMarker>")
EVERY_SERVER = pytest.mark.parametrize("scene_name", ["s3ec", "s3ec_on_disk"])
WITH_FILE = pytest.mark.parametrize("has_file", [False, True], ids=["metadata", "file"])


def _put(scene: S3ecScene, has_file: bool, size: int = 1000, **arguments: Any) -> dict[str, str]:
    stored = v3_object(plaintext_of(size), scene.wrap)
    scene.put(stored.with_instruction_file() if has_file else stored, **arguments)
    return {"Bucket": scene.bucket, "Key": KEY}


@EVERY_SERVER
@WITH_FILE
def test_copy_object_when_the_source_is_of_an_amazon_format_then_the_copy_is_the_same(
    request: pytest.FixtureRequest, scene_name: str, has_file: bool
) -> None:
    scene: S3ecScene = request.getfixturevalue(scene_name)
    source: Any = _put(scene, has_file, Metadata={"owner": "me"}, ContentType="text/css")
    client = scene.client(*WITH_SE1)
    scene.forget()

    client.copy_object(Bucket=scene.bucket, Key="copy", CopySource=source)
    client.copy_object(
        Bucket=scene.bucket, Key="other", CopySource=source, MetadataDirective="REPLACE", Metadata={"owner": "you"}
    )

    assert scene.kms_calls() == []
    for key, owner, content_type in (("copy", "me", "text/css"), ("other", "you", "binary/octet-stream")):
        answer = client.get_object(Bucket=scene.bucket, Key=key)
        assert answer["Body"].read() == plaintext_of(1000)
        assert answer["Metadata"] == {"owner": owner}
        assert answer["ContentType"] == content_type or scene_name == "s3ec_on_disk"


@EVERY_SERVER
@WITH_FILE
def test_managed_copy_when_the_source_is_of_an_amazon_format_then_the_copy_is_the_same(
    request: pytest.FixtureRequest, scene_name: str, has_file: bool
) -> None:
    scene: S3ecScene = request.getfixturevalue(scene_name)
    source: Any = _put(scene, has_file, 9 * MIB, Metadata={"owner": "me"})
    client = scene.client(*WITH_SE1)
    steps: list[int] = []

    client.copy(source, scene.bucket, "copy", Callback=steps.append)

    answer = client.get_object(Bucket=scene.bucket, Key="copy")
    assert answer["Body"].read() == plaintext_of(9 * MIB)
    assert (answer["Metadata"], sum(steps)) == ({"owner": "me"}, 9 * MIB)


@WITH_FILE
def test_copy_when_onto_itself_with_new_metadata_then_it_stays_readable(s3ec: S3ecScene, has_file: bool) -> None:
    source: Any = _put(s3ec, has_file)
    client = s3ec.client()

    client.copy_object(**source, CopySource=source, MetadataDirective="REPLACE", Metadata={"owner": "you"})

    assert client.get_object(**source)["Metadata"] == {"owner": "you"}
    assert s3ec.get(client) == plaintext_of(1000)


def test_copy_when_it_could_not_be_read_then_it_is_refused_and_nothing_is_written(s3ec: S3ecScene) -> None:
    source: Any = _put(s3ec, False)
    target: Any = {"Bucket": s3ec.bucket, "Key": "copy", "CopySource": source}
    replaced: Any = {"MetadataDirective": "REPLACE", "Metadata": {"X-Amz-Iv": "x"}}

    with pytest.raises(UnsupportedFormatError):
        s3ec.client("se1", unencrypted="allow").copy_object(**target)
    with pytest.raises(UnsupportedFormatError):
        s3ec.client("se1", "s3ec-v2", unencrypted="allow").copy_object(**target)
    with pytest.raises(ContextMismatchError):
        s3ec.client(encryption_context={"a": "1"}).copy_object(**target)
    with pytest.raises(UnsupportedOperationError, match="context"):
        s3ec.client(encryption_context=lambda _, key: {"a": "1"} if key == "copy" else {}).copy_object(**target)
    with pytest.raises(ConfigurationError, match="reserve"):
        s3ec.client().copy_object(**target, **replaced)

    assert [entry["Key"] for entry in s3ec.plain.list_objects_v2(Bucket=s3ec.bucket)["Contents"]] == [KEY]


def test_copy_when_half_an_envelope_is_left_then_it_is_never_sealed_as_plaintext(s3ec: S3ecScene) -> None:
    s3ec.put(v3_object(b"content", s3ec.wrap).with_metadata(x_amz_3=None))
    source: Any = {"Bucket": s3ec.bucket, "Key": KEY}

    for formats in (("se1",), WITH_SE1):
        client = s3ec.client(*formats, unencrypted="allow")
        with pytest.raises((NotEncryptedError, UnsupportedFormatError)):
            client.copy_object(Bucket=s3ec.bucket, Key="copy", CopySource=source)
        with pytest.raises((NotEncryptedError, UnsupportedFormatError)):
            client.copy(source, s3ec.bucket, "copy")


@WITH_FILE
def test_upload_part_copy_when_the_source_is_of_an_amazon_format_then_its_plaintext_is_sealed(
    s3ec: S3ecScene, has_file: bool
) -> None:
    source: Any = _put(s3ec, has_file, 6 * MIB)
    client = s3ec.client(*WITH_SE1)
    place: Any = {"Bucket": s3ec.bucket, "Key": "parts"}
    upload = client.create_multipart_upload(**place)["UploadId"]
    parts = []
    for number, byte_range in ((1, f"bytes=0-{5 * MIB - 1}"), (2, f"bytes={5 * MIB}-{6 * MIB - 1}")):
        answer = client.upload_part_copy(
            **place, UploadId=upload, PartNumber=number, CopySource=source, CopySourceRange=byte_range
        )
        parts.append({"PartNumber": number, "ETag": answer["CopyPartResult"]["ETag"]})
    client.complete_multipart_upload(**place, UploadId=upload, MultipartUpload={"Parts": parts})  # type: ignore[typeddict-item]

    assert s3ec.client("se1").get_object(**place)["Body"].read() == plaintext_of(6 * MIB)


@WITH_FILE
def test_rewrap_when_the_object_is_of_an_amazon_format_then_it_is_refused_with_an_alternative(
    s3ec: S3ecScene, has_file: bool
) -> None:
    _put(s3ec, has_file)
    client: Any = s3ec.client(*WITH_SE1)

    with pytest.raises(UnsupportedOperationError, match="Instead"):
        client.rewrap_object(Bucket=s3ec.bucket, Key=KEY)


# ---- instruction files of deleted and listed objects ----


def _keys(scene: S3ecScene) -> list[str]:
    return sorted(entry["Key"] for entry in scene.plain.list_objects_v2(Bucket=scene.bucket).get("Contents", []))


@EVERY_SERVER
@pytest.mark.parametrize("deletes", [True, False])
def test_deletion_when_configured_then_the_instruction_file_goes_with_its_object(
    request: pytest.FixtureRequest, scene_name: str, deletes: bool
) -> None:
    scene: S3ecScene = request.getfixturevalue(scene_name)
    for key in ("a", "b", "c", "d"):
        scene.put(v3_object(b"content", scene.wrap).with_instruction_file(), key)
    client = scene.client(delete_instruction_files=deletes)

    client.delete_object(Bucket=scene.bucket, Key="a")
    client.delete_objects(Bucket=scene.bucket, Delete={"Objects": [{"Key": "b"}, {"Key": "missing"}], "Quiet": True})
    answer = client.delete_objects(Bucket=scene.bucket, Delete={"Objects": [{"Key": "c"}]})
    client.delete_object(Bucket=scene.bucket, Key="d.instruction")

    left = ["d"] if deletes else ["a.instruction", "b.instruction", "c.instruction", "d"]
    assert _keys(scene) == left
    assert [entry["Key"] for entry in answer["Deleted"]] == ["c"]


def test_deletion_when_of_a_version_then_the_file_stays_for_the_others(s3ec: S3ecScene) -> None:
    s3ec.plain.put_bucket_versioning(Bucket=s3ec.bucket, VersioningConfiguration={"Status": "Enabled"})
    _put(s3ec, True)
    version = s3ec.plain.head_object(Bucket=s3ec.bucket, Key=KEY)["VersionId"]
    client = s3ec.client(delete_instruction_files=True)

    client.delete_object(Bucket=s3ec.bucket, Key=KEY, VersionId=version)

    assert _keys(s3ec) == [f"{KEY}.instruction"]


@pytest.mark.parametrize("page_size", [1, 2, 3, 1000])
@pytest.mark.parametrize("operation", ["list_objects", "list_objects_v2", "list_object_versions"])
def test_listing_when_files_are_hidden_then_every_page_goes_on_and_counts_what_it_shows(
    s3ec: S3ecScene, operation: Any, page_size: int
) -> None:
    keys = ["a", "a b", "b+c", "d", "e/é"]
    for key in keys:
        s3ec.put(v3_object(b"content", s3ec.wrap).with_instruction_file(), key)
    client = s3ec.client(hide_instruction_files=True)
    # S3 itself names no marker in the oldest operation, unless there is a delimiter.
    s3ec.proxy.on_response(
        matching(method="GET"), lambda answer: replace(answer, body=_NEXT_MARKER.sub(b"", answer.body))
    )
    shown, name = [], "Versions" if operation == "list_object_versions" else "Contents"

    for page in client.get_paginator(operation).paginate(Bucket=s3ec.bucket, PaginationConfig={"PageSize": page_size}):
        entries: Any = page.get(name, [])
        shown += [(entry["Key"], entry["Size"]) for entry in entries]
        if operation == "list_objects_v2":
            assert page["KeyCount"] == len(entries)

    assert shown == [(key, 7) for key in sorted(keys)]


def test_listing_when_keys_are_quoted_then_files_are_hidden_all_the_same(s3ec: S3ecScene) -> None:
    s3ec.put(v3_object(b"content", s3ec.wrap).with_instruction_file(), "a b", suffix="-in struction")
    client = s3ec.client(hide_instruction_files=True, instruction_suffix="-in struction")

    answer = client.list_objects_v2(Bucket=s3ec.bucket, EncodingType="url")

    assert [entry["Key"] for entry in answer["Contents"]] == ["a%20b"]


@pytest.mark.parametrize("formats", [BOTH, WITH_SE1], ids=["alone", "with-se1"])
def test_listing_when_sizes_are_exact_then_they_are_right_for_every_format(
    s3ec: S3ecScene, formats: tuple[str, ...]
) -> None:
    size = 100_000
    s3ec.put(v3_object(plaintext_of(size), s3ec.wrap), "v3")
    s3ec.put(v2_object(plaintext_of(size), s3ec.wrap).with_instruction_file(), "v2")
    kms = KmsWrap(s3ec.wrap.client, s3ec.wrap.key_id, name="kms")
    s3ec.put(cbc_object(plaintext_of(size), kms), "old")
    s3ec.client("se1").put_object(Bucket=s3ec.bucket, Key="se1", Body=plaintext_of(size))
    client = s3ec.client(*formats, "s3ec-kms", "s3ec-cbc", list_sizes="exact")

    sizes = {entry["Key"]: entry["Size"] for entry in client.list_objects_v2(Bucket=s3ec.bucket)["Contents"]}

    stored = {entry["Key"]: entry["Size"] for entry in s3ec.plain.list_objects_v2(Bucket=s3ec.bucket)["Contents"]}
    assert sizes["v3"] == sizes["v2"] == sizes["old"] == size
    assert sizes["v2.instruction"] == stored["v2.instruction"]
    # An object of a format that this client does not read is shown as it is stored.
    assert sizes["se1"] == (size if "se1" in formats else stored["se1"])
