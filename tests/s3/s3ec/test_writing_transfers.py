"""Managed uploads in the formats of the Amazon clients: one part after the other, whatever the configuration says."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from s3envelope.errors import ConfigurationError, SourceChangedError, UnsupportedOperationError
from s3envelope.formats.s3ec.model import MAX_PLAINTEXT_SIZE
from s3envelope.testing.s3_proxy import ErrorAnswer, Latency, ResetRequest, matching
from s3envelope.testing.streams import NonSeekableSource
from tests.support.enveloped import MIB, plaintext_of
from tests.support.s3ec_writing import Huge, Writing

SIZES = (0, 17, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 20 * MIB)
STREAMS: dict[str, Any] = {"seekable": io.BytesIO, "stream": NonSeekableSource}


@pytest.mark.parametrize(("format_name", "sizes"), [("s3ec-v3", SIZES), ("s3ec-v2", (17, 8 * MIB + 1))])
def test_file_when_uploaded_is_read_by_another_reader(
    writing: Writing, tmp_path: Path, format_name: str, sizes: tuple[int, ...]
) -> None:
    client, path = writing.client(format_name), tmp_path / "file"

    for size in sizes:
        path.write_bytes(plaintext_of(size))
        seen: list[int] = []
        client.upload_file(str(path), writing.bucket, f"k{size}", Callback=seen.append)
        assert sum(seen) == size

    for size in sizes:
        assert writing.read(f"k{size}") == plaintext_of(size)
    assert writing.proxy.leaks == []
    assert writing.uploads() == []


@pytest.mark.parametrize(("kind", "wrap"), [("seekable", "kms"), ("stream", "rsa"), ("stream", "aes")])
def test_stream_when_uploaded_over_https_is_read_by_another_reader(tls_writing: Writing, kind: str, wrap: str) -> None:
    client = tls_writing.client("s3ec-v3", wrap)

    client.upload_fileobj(STREAMS[kind](plaintext_of(20 * MIB)), tls_writing.bucket, "k")

    assert tls_writing.read(wrap=wrap) == plaintext_of(20 * MIB)
    assert tls_writing.proxy.leaks == []


@pytest.mark.parametrize("threads", [True, False])
def test_parts_when_the_first_is_slow_are_sent_in_sequence_all_the_same(moto_writing: Writing, threads: bool) -> None:
    config = TransferConfig(multipart_chunksize=5 * MIB, max_concurrency=10, use_threads=threads)
    moto_writing.proxy.inject(Latency(0.2), matching(method="PUT", contains="partNumber=1"))

    moto_writing.client().upload_fileobj(io.BytesIO(plaintext_of(16 * MIB)), moto_writing.bucket, "k", Config=config)

    targets = [request.target for request in moto_writing.proxy.requests if request.method == "PUT"]
    numbers = [target.partition("partNumber=")[2].partition("&")[0] for target in targets]
    # The last part has the tag: its size was known.
    assert numbers == ["1", "2", "3", "4"]
    assert config.max_request_concurrency == 10
    assert moto_writing.read() == plaintext_of(16 * MIB)


@pytest.mark.parametrize("scheme", ["moto_writing", "tls_writing"])
def test_progress_when_a_file_is_uploaded_counts_every_byte_once(
    request: pytest.FixtureRequest, tmp_path: Path, scheme: str
) -> None:
    writing: Writing = request.getfixturevalue(scheme)
    (tmp_path / "file").write_bytes(plaintext_of(12 * MIB))
    seen: list[int] = []

    writing.client().upload_file(str(tmp_path / "file"), writing.bucket, "k", Callback=seen.append)

    assert sum(seen) == 12 * MIB
    assert min(seen) > 0
    assert len(seen) > 10


@pytest.mark.usefixtures("no_backoff")
@pytest.mark.parametrize("kind", STREAMS)
def test_upload_when_parts_are_retried_is_read_by_another_reader(moto_writing: Writing, kind: str) -> None:
    moto_writing.proxy.inject(ResetRequest(MIB), matching(method="PUT"), times=2)
    moto_writing.proxy.inject(ErrorAnswer(), matching(method="PUT"), times=1)

    moto_writing.client(retries=5).upload_fileobj(STREAMS[kind](plaintext_of(17 * MIB)), moto_writing.bucket, "k")

    assert moto_writing.read() == plaintext_of(17 * MIB)
    assert moto_writing.proxy.leaks == []


@pytest.mark.parametrize("kind", STREAMS)
@pytest.mark.parametrize("number", [1, 2, 3])
def test_upload_when_a_part_fails_for_good_is_aborted(moto_writing: Writing, kind: str, number: int) -> None:
    moto_writing.proxy.inject(
        ErrorAnswer(500, "InternalError"), matching(method="PUT", contains=f"partNumber={number}"), times=None
    )

    with pytest.raises(ClientError, match="InternalError"):
        moto_writing.client().upload_fileobj(STREAMS[kind](plaintext_of(17 * MIB)), moto_writing.bucket, "k")

    assert (moto_writing.uploads(), moto_writing.keys()) == ([], [])


@pytest.mark.parametrize("number", [1, 2])
def test_file_when_it_changes_before_a_part_is_sent_again_then_nothing_of_it_is_sent_and_the_upload_is_aborted(
    moto_writing: Writing, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    path = tmp_path / "file"
    path.write_bytes(plaintext_of(9 * MIB))
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: path.write_bytes(b"\0" * (9 * MIB)))
    part = matching(method="PUT", contains=f"partNumber={number}")
    moto_writing.proxy.inject(ErrorAnswer(), part)

    with pytest.raises(SourceChangedError, match=f"part {number} has other content"):
        moto_writing.client(retries=3).upload_file(str(path), moto_writing.bucket, "k")

    bodies = [request.body or b"" for request in moto_writing.proxy.requests if part(request)]
    assert all(bodies[0].startswith(body) and len(body) < len(bodies[0]) for body in bodies[1:])
    assert (moto_writing.uploads(), moto_writing.keys()) == ([], [])


def test_upload_when_it_would_be_too_large_is_refused_before_any_request(moto_writing: Writing, tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(MAX_PLAINTEXT_SIZE + 1)
    client: Any = moto_writing.client()
    moto_writing.kms.clear_calls()

    with pytest.raises(ConfigurationError, match="64 GiB less 32 bytes"):
        client.upload_file(str(path), moto_writing.bucket, "k")
    with pytest.raises(ConfigurationError, match="64 GiB less 32 bytes"):
        client.upload_fileobj(Huge(MAX_PLAINTEXT_SIZE + 1), moto_writing.bucket, "k")
    with pytest.raises(ConfigurationError, match="larger than 5 GiB"):
        client.put_object(Bucket=moto_writing.bucket, Key="k", Body=Huge(5 << 30))

    assert (moto_writing.kms.calls, moto_writing.proxy.requests) == ((), [])


def test_copy_of_a_plain_object_when_allowed_is_sealed_in_the_format(moto_writing: Writing) -> None:
    plaintext = plaintext_of(9 * MIB)
    moto_writing.stored.put_object(Bucket=moto_writing.bucket, Key="plain", Body=plaintext, Metadata={"mine": "kept"})
    client: Any = moto_writing.client(unencrypted="allow")
    source = {"Bucket": moto_writing.bucket, "Key": "plain"}

    client.copy_object(Bucket=moto_writing.bucket, Key="k", CopySource=source)
    client.copy(source, moto_writing.bucket, "managed")

    for key in ("k", "managed"):
        assert moto_writing.read(key) == plaintext
        assert moto_writing.stored.head_object(Bucket=moto_writing.bucket, Key=key)["Metadata"]["mine"] == "kept"
    upload: Any = client.create_multipart_upload(Bucket=moto_writing.bucket, Key="parts")["UploadId"]
    names = {"Bucket": moto_writing.bucket, "Key": "parts", "UploadId": upload}
    etags = [
        client.upload_part_copy(**names, PartNumber=number, CopySource=source, CopySourceRange=span)["CopyPartResult"]
        for number, span in ((1, f"bytes=0-{5 * MIB - 1}"), (2, f"bytes={5 * MIB}-{9 * MIB - 1}"))
    ]
    parts = [{"PartNumber": number, "ETag": result["ETag"]} for number, result in enumerate(etags, 1)]
    client.complete_multipart_upload(**names, MultipartUpload={"Parts": parts})
    assert moto_writing.read("parts") == plaintext


def test_object_in_the_format_se1_when_copied_or_rewrapped_is_refused(moto_writing: Writing) -> None:
    moto_writing.sealed(moto_writing.endpoint).put_object(Bucket=moto_writing.bucket, Key="se1", Body=b"x")
    client: Any = moto_writing.client()
    source = {"Bucket": moto_writing.bucket, "Key": "se1"}

    with pytest.raises(UnsupportedOperationError, match="would be SE1 again"):
        client.copy_object(Bucket=moto_writing.bucket, Key="k", CopySource=source)
    with pytest.raises(UnsupportedOperationError, match="would be SE1 again"):
        client.copy(source, moto_writing.bucket, "k")
    with pytest.raises(UnsupportedOperationError, match="would be SE1 again"):
        client.rewrap_object(Bucket=moto_writing.bucket, Key="se1")

    assert moto_writing.keys() == ["se1"]
