"""Managed transfers: upload_file, upload_fileobj, download_file and download_fileobj, on clients and resources."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from boto3.s3.transfer import S3Transfer, TransferConfig

from s3envelope.testing.streams import NonSeekableSource
from tests.s3.matrix.harness import BIG, BODY, PART, SMALL, Side, each, scenario
from tests.support.enveloped import KIB, plaintext_of

IN_PARTS = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, max_concurrency=2)
IN_RANGES = TransferConfig(multipart_threshold=64 * KIB, multipart_chunksize=50_000, max_concurrency=2)
WITHOUT_THREADS = TransferConfig(multipart_threshold=64 * KIB, multipart_chunksize=50_000, use_threads=False)
EXTRA: dict[str, Any] = {"Metadata": {"name": "value"}, "ContentType": "text/a", "CacheControl": "no-store"}
SIZES = {"0": 0, "1": 1, "segment": 64 * KIB, "200_kib": len(BODY)}


def _stored(side: Side) -> list[Any]:
    return [side.show("head_object"), side.show("get_object")]


@each(SIZES)
def file_up_and_down(side: Side, size: int) -> Any:
    path, target = side.file(plaintext_of(size)), side.folder / "target"
    up = side.tell(lambda: side.client.upload_file(path, side.bucket, side.key(), ExtraArgs=EXTRA))
    down = side.tell(lambda: side.client.download_file(side.bucket, side.key(), str(target)))
    return [up, down, target.read_bytes(), sorted(os.listdir(side.folder)), *_stored(side)]


@each(SIZES)
def stream_up_and_down(side: Side, size: int) -> Any:
    target = io.BytesIO()
    up = side.tell(lambda: side.client.upload_fileobj(side.stream(plaintext_of(size)), side.bucket, side.key()))
    down = side.tell(lambda: side.client.download_fileobj(side.bucket, side.key(), target))
    return [up, down, target.getvalue(), target.tell(), *_stored(side)]


@scenario()
def file_in_parts(side: Side) -> Any:
    path, target, seen = side.file(BIG), side.folder / "target", list[int]()
    extra: Any = {"ExtraArgs": EXTRA, "Config": IN_PARTS, "Callback": seen.append}
    up = side.tell(lambda: side.client.upload_file(path, side.bucket, side.key(), **extra))
    sent, got = sum(seen), list[int]()
    side.client.download_file(side.bucket, side.key(), str(target), Config=IN_PARTS, Callback=got.append)
    return [up, sent, sum(got), target.read_bytes(), *_stored(side), side.show("list_objects_v2")]


@scenario()
def stream_in_parts_that_cannot_seek(side: Side) -> Any:
    stream: Any = NonSeekableSource(BIG)
    up = side.tell(lambda: side.client.upload_fileobj(stream, side.bucket, side.key(), Config=IN_PARTS))
    return [up, *_stored(side)]


@scenario()
def small_stream_that_cannot_seek(side: Side) -> Any:
    stream: Any = NonSeekableSource(SMALL)
    up = side.tell(lambda: side.client.upload_fileobj(stream, side.bucket, side.key()))
    return [up, *_stored(side)]


@scenario()
def stream_that_was_read_partly(side: Side) -> Any:
    stream = io.BytesIO(BODY)
    stream.seek(70_000)
    up = side.tell(lambda: side.client.upload_fileobj(stream, side.bucket, side.key()))
    return [up, stream.closed, *_stored(side)]


@each({"threads": IN_RANGES, "no_threads": WITHOUT_THREADS})
def download_in_ranges(side: Side, config: TransferConfig) -> Any:
    side.put()
    seen: list[int] = []
    target, path = io.BytesIO(), side.folder / "target"
    side.client.download_fileobj(side.bucket, side.key(), target, Config=config, Callback=seen.append)
    side.client.download_file(side.bucket, side.key(), str(path), Config=config, Callback=seen.append)
    return target.getvalue(), path.read_bytes(), sum(seen)


@scenario()
def upload_without_threads(side: Side) -> Any:
    seen: list[int] = []
    config = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, use_threads=False)
    extra: Any = {"Config": config, "Callback": seen.append}
    up = side.tell(lambda: side.client.upload_file(side.file(BIG), side.bucket, side.key(), **extra))
    return [up, sum(seen), *_stored(side)]


@scenario()
def callbacks_count_the_bytes(side: Side) -> Any:
    up, down, copied = list[int](), list[int](), list[int]()
    side.client.upload_fileobj(side.stream(), side.bucket, side.key(), Callback=up.append)
    side.client.download_fileobj(side.bucket, side.key(), io.BytesIO(), Callback=down.append)
    side.client.copy(side.source(), side.bucket, side.key("copy"), Callback=copied.append)
    return sum(up), sum(down), sum(copied), min(up) > 0, min(down) > 0


@scenario()
def buckets_transfer(side: Side) -> Any:
    bucket, target = side.resource.Bucket(side.bucket), io.BytesIO()
    path = side.folder / "target"
    bucket.upload_file(side.file(), side.key("a"), ExtraArgs=EXTRA)
    bucket.upload_fileobj(side.stream(), side.key("b"))
    bucket.download_file(side.key("b"), str(path))
    bucket.download_fileobj(side.key("a"), target)
    return path.read_bytes(), target.getvalue(), side.show("head_object", Key="a")


@scenario()
def objects_transfer(side: Side) -> Any:
    first, second, target = side.object("a"), side.object("b"), io.BytesIO()
    path = side.folder / "target"
    first.upload_file(side.file(), ExtraArgs=EXTRA)
    second.upload_fileobj(side.stream())
    second.download_file(str(path))
    first.download_fileobj(target)
    return path.read_bytes(), target.getvalue(), first.content_length, first.metadata, first.content_type


@scenario()
def transfer_of_its_own(side: Side) -> Any:
    path, target = side.file(), side.folder / "target"
    with S3Transfer(side.client) as transfer:
        transfer.upload_file(path, side.bucket, side.key(), extra_args=EXTRA)
        transfer.download_file(side.bucket, side.key(), str(target))
    return [target.read_bytes(), *_stored(side)]


@scenario()
def paths_as_path_objects(side: Side) -> Any:
    path, target = Path(side.file()), side.folder / "target"
    up = side.tell(lambda: side.client.upload_file(path, side.bucket, side.key()))
    down = side.tell(lambda: side.client.download_file(side.bucket, side.key(), target))
    return up, down, target.exists() and target.read_bytes()


@scenario()
def file_that_is_missing(side: Side) -> Any:
    path = str(side.folder / "missing")
    return side.tell(lambda: side.client.upload_file(path, side.bucket, side.key())), side.show("head_object")


@scenario()
def object_that_is_missing(side: Side) -> Any:
    target = side.folder / "target"
    return [
        side.tell(lambda: side.client.download_file(side.bucket, side.key("missing"), str(target))),
        side.tell(lambda: side.client.download_fileobj(side.bucket, side.key("missing"), io.BytesIO())),
        os.listdir(side.folder),
    ]


@scenario()
def bucket_that_is_missing(side: Side) -> Any:
    nowhere = "no-such-bucket-anywhere"
    return [
        side.tell(lambda: side.client.upload_file(side.file(), nowhere, "k")),
        side.tell(lambda: side.client.upload_fileobj(side.stream(), nowhere, "k")),
        side.tell(lambda: side.client.upload_fileobj(side.stream(BIG), nowhere, "k", Config=IN_PARTS)),
        side.tell(lambda: side.client.download_fileobj(nowhere, "k", io.BytesIO())),
    ]


@scenario()
def arguments_that_are_wrong(side: Side) -> Any:
    client: Any = side.client
    return [
        side.tell(lambda: client.upload_file(5, side.bucket, side.key())),
        side.tell(lambda: client.upload_fileobj("text", side.bucket, side.key())),
        side.tell(lambda: client.upload_fileobj(BODY, side.bucket, side.key())),
        side.tell(lambda: client.download_fileobj(side.bucket, side.key(), "text")),
        side.tell(lambda: client.upload_file(side.file(), side.bucket, side.key(), ExtraArgs={"NoSuch": "1"})),
        side.tell(lambda: client.upload_fileobj(side.stream(), side.bucket, side.key(), ExtraArgs={"Body": b"x"})),
        side.show("head_object"),
    ]


@scenario()
def arguments_that_go_along(side: Side) -> Any:
    extra = {
        **EXTRA,
        "Tagging": "a=b",
        "StorageClass": "STANDARD_IA",
        "ContentEncoding": "gzip",
        "ChecksumAlgorithm": "SHA256",
    }
    up = side.tell(lambda: side.client.upload_fileobj(side.stream(), side.bucket, side.key(), ExtraArgs=extra))
    return [up, *_stored(side), side.show("get_object_tagging")]


@scenario()
def callback_that_raises(side: Side) -> Any:
    def stop(size: int) -> None:
        raise KeyError("stop")

    return [
        side.tell(lambda: side.client.upload_fileobj(side.stream(), side.bucket, side.key(), Callback=stop)),
        side.show("head_object"),
    ]


@scenario()
def download_of_a_version_and_range_arguments(side: Side) -> Any:
    side.put()
    target = io.BytesIO()
    return [
        side.tell(
            lambda: side.client.download_fileobj(
                side.bucket, side.key(), target, ExtraArgs={"RequestPayer": "requester"}
            )
        ),
        target.getvalue(),
        side.tell(
            lambda: side.client.download_fileobj(side.bucket, side.key(), target, ExtraArgs={"Range": "bytes=0-1"})
        ),
    ]


@scenario()
def download_to_a_file_that_is_appended_to(side: Side) -> Any:
    side.put()
    path = Path(side.file(b"before", "target"))
    with path.open("ab") as target:
        side.client.download_fileobj(side.bucket, side.key(), target, Config=IN_RANGES)
    return path.read_bytes()
