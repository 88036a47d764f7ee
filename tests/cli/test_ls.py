"""`s3envelope ls`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from mypy_boto3_s3 import S3Client

from s3envelope.cli.app import run
from s3envelope.core.layout import run_size
from s3envelope.s3.config import EnvelopeConfig
from s3envelope.s3.install import client as enveloped_client
from tests.cli.commands import ALIAS, Place

PART = 5 << 20


def lines(place: Place, capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> list[dict[str, Any]]:
    """Run `ls --json` and return what it printed."""
    assert run(["ls", *place.s3_options, "--json", *arguments]) == code
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def put_indexed(place: Place, key: str, sizes: tuple[int, ...]) -> int:
    """Upload an object in parts that have an index; return its size."""
    client = place.sealing_client()
    where = {"Bucket": place.bucket, "Key": key}
    upload = client.create_multipart_upload(**where)["UploadId"]  # type: ignore[arg-type]
    parts: Any = []
    for number, size in enumerate(sizes, 1):
        answer = client.upload_part(Body=b"x" * size, PartNumber=number, UploadId=upload, **where)  # type: ignore[arg-type]
        parts.append({"PartNumber": number, "ETag": answer["ETag"]})
    client.complete_multipart_upload(UploadId=upload, MultipartUpload={"Parts": parts}, **where)  # type: ignore[arg-type]
    client.close()
    return sum(sizes)


def put_s3ec(place: Place, key: str, body: bytes) -> None:
    """Store an object in the format V3 of the Amazon S3 Encryption Clients."""
    config = EnvelopeConfig(
        kms_key_id=ALIAS, kms_client=place.kms.client(), write_format="s3ec-v3", read_formats=("s3ec-v3",)
    )
    client: S3Client = enveloped_client("s3", envelope=config, **place.endpoint.client_arguments())
    client.put_object(Bucket=place.bucket, Key=key, Body=body)
    client.close()


@pytest.mark.parametrize("size", [0, 65_537])
def test_ls_when_objects_are_sealed_shows_the_size_of_the_plaintext(
    place: Place, size: int, capsys: pytest.CaptureFixture[str]
) -> None:
    place.put_sealed("a", b"x" * size)

    (found,) = lines(place, capsys, place.url(""))

    assert (found["kind"], found["key"]) == ("object", "a")
    assert (found["size"], found["stored_size"]) == (size, run_size(size))


def test_ls_when_sizes_are_to_be_those_stored_shows_them(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.put_sealed("a", b"x" * 10)

    (found,) = lines(place, capsys, "--stored", place.url(""))

    assert found["size"] == run_size(10)


def test_ls_when_not_recursive_stops_at_the_next_slash(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    for key in ("top", "folder/a", "folder/sub/b"):
        place.put_sealed(key, b"content")

    found = lines(place, capsys, place.url("folder/"))
    everything = lines(place, capsys, "--recursive", place.url(""))

    assert [one.get("key", one.get("prefix")) for one in found] == ["folder/sub/", "folder/a"]
    assert [one["key"] for one in everything] == ["folder/a", "folder/sub/b", "top"]


@pytest.mark.slow
def test_ls_when_exact_sizes_are_asked_for_opens_the_index_of_objects_in_parts(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    size = put_indexed(place, "parts", (PART, 10))

    (computed,) = lines(place, capsys, place.url(""))
    (exact,) = lines(place, capsys, "--exact", *place.options[2:], place.url(""))

    assert computed["size"] > size
    assert exact["size"] == size


def test_ls_when_exact_sizes_are_asked_for_without_a_key_says_that_it_needs_one(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.put_sealed("a", b"content")

    code = run(["ls", *place.s3_options, "--exact", place.url("")])

    assert code == 2
    assert "there is no key" in capsys.readouterr().err


def test_ls_long_when_formats_differ_shows_the_format_and_the_keys_of_each(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.put_sealed("bound", b"content")
    put_indexed(place, "indexed", (PART, 10))
    put_s3ec(place, "amazon", b"content")
    place.put_plain("plain", b"content")
    place.put_plain("broken", b"content", {"se1-h": "AAAA"})

    found = {one["key"]: one for one in lines(place, capsys, "--long", *place.options[2:], place.url(""))}

    assert {key: one["format"] for key, one in found.items()} == {
        "amazon": "s3ec-v3",
        "bound": "SE1",
        "broken": "unknown",
        "indexed": "SE1",
        "plain": "plain",
    }
    assert (found["bound"]["bound"], found["bound"]["indexed"]) == (True, False)
    assert found["indexed"]["indexed"] is True
    assert found["bound"]["kms_keys"] == found["indexed"]["kms_keys"] == [place.key_arn]
    assert found["plain"]["size"] == found["amazon"]["size"] == found["bound"]["size"] == len(b"content")
    assert "MalformedEnvelopeError" in found["broken"]["error"]


@pytest.mark.slow
def test_ls_long_when_a_key_is_searched_for_names_it_and_else_shows_its_hint(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.put_sealed("a", b"content")
    kms = ["--kms-endpoint-url", place.kms.endpoint_url]
    region = place.key_arn.split(":")[3]

    (unnamed,) = lines(place, capsys, "--long", *kms, place.url(""))
    (named,) = lines(place, capsys, "--long", *kms, "--search-region", region, place.url(""))

    assert (unnamed["kms_keys"], len(unnamed["key_hints"])) == ([], 1)
    assert named["kms_keys"] == [place.key_arn]


def test_ls_when_versions_are_asked_for_shows_each_and_the_markers(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    client = place.endpoint.client()
    client.put_bucket_versioning(Bucket=place.bucket, VersioningConfiguration={"Status": "Enabled"})
    place.put_sealed("a", b"x" * 10)
    place.put_sealed("a", b"x" * 20)
    client.delete_object(Bucket=place.bucket, Key="a")
    client.close()

    *found, summary = lines(place, capsys, "--versions", "--long", "--summarize", place.url(""))

    assert sorted((one["kind"], one["size"], one["is_latest"]) for one in found if one["size"]) == [
        ("object", 10, False),
        ("object", 20, False),
    ]
    assert [one["kind"] for one in found if one["is_latest"]] == ["delete_marker"]
    assert summary == {"summary": {"objects": 2, "delete_markers": 1, "size": 30}}


def test_ls_when_no_location_is_given_lists_buckets(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    found = lines(place, capsys)

    assert {"bucket", "created", "kind"} == set(found[0])
    assert place.bucket in [one["bucket"] for one in found]


def test_ls_when_read_by_a_person_is_a_line_each_and_obeys_no_key(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.put_sealed("folder/\x1b[31mred", b"x" * 2048)
    place.put_sealed("folder/sub/b", b"x")

    options = ["--long", "--human-readable", "--summarize"]
    code = run(["ls", *place.options, *options, place.url("folder/")])

    shown = capsys.readouterr().out
    assert code == 0
    assert "\x1b" not in shown
    assert f"2.0 KiB SE1 bound {place.key_arn} \\x1b[31mred\n" in shown
    assert "PRE sub/\n" in shown
    assert "Total objects: 1\n   Total size: 2.0 KiB" in shown


def test_ls_when_nothing_has_the_prefix_exits_with_1(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    assert lines(place, capsys, place.url("absent/"), code=1) == []
    assert lines(place, capsys, f"s3://{place.bucket}") == []


@pytest.mark.slow
def test_ls_when_the_storage_is_real_shows_the_same(real_place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    real_place.put_sealed("folder/a", b"x" * 100_000)
    real_place.put_plain("folder/plain", b"content")

    found = lines(real_place, capsys, "--long", "--recursive", *real_place.options[2:], real_place.url("fol"))

    assert [(one["key"], one["size"], one["format"]) for one in found] == [
        ("folder/a", 100_000, "SE1"),
        ("folder/plain", 7, "plain"),
    ]
