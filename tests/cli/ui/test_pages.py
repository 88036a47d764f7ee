"""What the pages show of a bucket, its envelopes, its keys and the audit log."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from s3envelope import AuditTrail, JsonLinesAuditSink
from s3envelope.s3.config import EnvelopeConfig
from s3envelope.s3.install import client as enveloped_client
from tests.cli.commands import ALIAS, Place
from tests.cli.ui.conftest import Serve
from tests.conftest import ProxyFactory

HOSTILE = "<img src=x onerror=alert(1)>\u202e\x1b[2J"


def test_objects_when_listed_have_their_plaintext_sizes_formats_and_keys(place: Place, serve: Serve) -> None:
    place.put_sealed("a/small", os.urandom(70_000))
    place.put_plain("a/plain", b"123")
    client = place.sealing_client()
    upload = client.create_multipart_upload(Bucket=place.bucket, Key="a/parts")["UploadId"]
    part = client.upload_part(Bucket=place.bucket, Key="a/parts", UploadId=upload, PartNumber=1, Body=b"x" * 65_537)
    client.complete_multipart_upload(
        Bucket=place.bucket,
        Key="a/parts",
        UploadId=upload,
        MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]},
    )
    client.close()

    visitor = serve()
    top, folder = (
        visitor.get("/objects", bucket=place.bucket),
        visitor.get("/objects", bucket=place.bucket, prefix="a/"),
    )

    assert "a/" in top.text
    assert "small" not in top.text
    assert f"parts 65,537 bytes SE1, indexed {ALIAS}" in folder.text
    assert "plain 3 bytes not encrypted" in folder.text
    assert f"small 70,000 bytes SE1 {ALIAS}" in folder.text


def test_object_when_shown_has_its_envelope(place: Place, serve: Serve) -> None:
    place.put_sealed("k", b"canary in the body", metadata={"note": "hello"}, context={"tenant": "acme"})

    page = serve().get("/object", bucket=place.bucket, key="k")

    _, metadata = place.stored("k")
    assert "Size of the plaintext 18 bytes" in page.text
    assert "tenant = acme" in page.text
    assert f"Encrypted data keys {ALIAS}" in page.text
    assert "note: hello" in page.text
    assert metadata["se1-k"] not in page.page
    assert "canary" not in page.page


def test_names_when_they_are_hostile_are_text(place: Place, serve: Serve) -> None:
    place.put_sealed(f"f/{HOSTILE}", b"x", metadata={"note": "<script>alert(1)</script>"})

    visitor = serve()
    pages = [
        visitor.get("/objects", bucket=place.bucket, prefix="f/"),
        visitor.get("/object", bucket=place.bucket, key=f"f/{HOSTILE}"),
        visitor.settled("/keys", bucket=place.bucket, prefix=f"f/{HOSTILE}"),
    ]

    for answer in pages:
        assert "&lt;img src=x" in answer.page
        assert "<img" not in answer.page
        assert "<script" not in answer.page
        assert "<img src=x onerror=alert(1)>\\u202e\\x1b[2J" in answer.text
        assert "\u202e" not in answer.text
        assert "\x1b" not in answer.text


def test_pages_when_visited_read_no_bodies_and_write_nothing(
    place: Place, serve: Serve, http_proxy: ProxyFactory
) -> None:
    place.put_sealed("a/k", b"body")
    proxy, endpoint = http_proxy(place.endpoint)

    visitor = serve(url=endpoint.url)
    answers = [
        visitor.get("/"),
        visitor.get("/objects", bucket=place.bucket, prefix="a/"),
        visitor.get("/object", bucket=place.bucket, key="a/k"),
        visitor.settled("/keys", bucket=place.bucket),
    ]

    assert [answer.status for answer in answers] == [200] * 4
    asked = {(request.method, request.path.partition("?")[0]) for request in proxy.requests}
    assert asked == {("GET", "/"), ("GET", f"/{place.bucket}"), ("HEAD", f"/{place.bucket}/a/k")}


def test_keys_when_a_rotation_goes_on_show_how_far_it_is(place: Place, serve: Serve) -> None:
    for number in range(4):
        place.put_sealed(f"{number % 2}/{number}", b"x")
    place.put_plain("2/plain", b"x")
    new_arn = place.kms.create_key(alias="alias/ui-new")
    new: Any = enveloped_client(
        "s3",
        envelope=EnvelopeConfig(kms_key_id=new_arn, retired_kms_key_ids=[ALIAS], kms_client=place.kms.client()),
        **place.endpoint.client_arguments(),
    )
    visitor = serve()

    before = visitor.settled("/keys", bucket=place.bucket, to="alias/ui-new").text
    new.rewrap_object(Bucket=place.bucket, Key="0/0")
    kept = visitor.settled("/keys", bucket=place.bucket, to="alias/ui-new").text
    after = visitor.settled("/keys", bucket=place.bucket, to="alias/ui-new", again="yes").text
    new.close()

    assert "5 objects were looked at" in before
    assert f"{ALIAS} 4 4 no envelope 1 0" in before
    assert "0 of 4 objects with an envelope depend on this key alone" in before
    assert kept == before
    assert "1 of 4 objects with an envelope depend on this key alone" in after
    assert f"{ALIAS} 3 3" in after


def test_audit_log_when_it_was_changed_says_where(place: Place, serve: Serve, tmp_path: Path) -> None:
    log = tmp_path / "log" / "audit.jsonl"
    with JsonLinesAuditSink(log, fsync="never") as sink:
        config = EnvelopeConfig(kms_key_id=ALIAS, kms_client=place.kms.client(), audit=AuditTrail(sink))
        client = enveloped_client("s3", envelope=config, **place.endpoint.client_arguments())
        client.put_object(Bucket=place.bucket, Key="k", Body=b"x")
        client.close()
    count = len(log.read_text().splitlines())
    visitor = serve(logs=(log,))

    whole = visitor.settled("/audit").text
    lines = log.read_text().splitlines()
    line = json.loads(lines[2])
    line["record"]["operation"] = "delete"
    lines[2] = json.dumps(line, separators=(",", ":"))
    log.write_text("\n".join(lines) + "\n")
    changed = visitor.settled("/audit", again="yes").text

    assert "the chain is whole" in whole
    assert f"Records {count}" in whole
    assert "end that was cut off is not found" in whole
    assert "1 findings" in changed
    assert f"{log}:3 changed" in changed


def test_page_when_s3_refuses_says_why_and_the_scan_too(place: Place, serve: Serve) -> None:
    visitor = serve()

    listing = visitor.get("/objects", bucket="no-such-bucket-anywhere")
    scan = visitor.settled("/keys", bucket="no-such-bucket-anywhere")

    assert listing.status == 502
    assert "the bucket does not exist (ListObjectsV2: NoSuchBucket)" in listing.text
    assert "the bucket does not exist (ListObjectsV2: NoSuchBucket)" in scan.text
    assert "Traceback" not in listing.page + scan.page


def test_page_when_the_address_is_incomplete_says_what_is_missing(place: Place, serve: Serve) -> None:
    visitor = serve()

    assert (visitor.get("/objects").status, visitor.get("/objects").text) == (400, _page("the address lacks bucket"))
    assert visitor.get("/object", bucket=place.bucket, key="gone").status == 404
    assert visitor.get("/audit").status == 404
    assert visitor.get("/nowhere").status == 404


def _page(message: str) -> str:
    return f"Error - s3envelope s3envelope buckets {message}"
