"""put_object in the formats of the Amazon clients, read back by a reader that shares no code with the writer."""

from __future__ import annotations

import base64
import hashlib
import io
from typing import Any

import pytest
from botocore.exceptions import ClientError, HTTPClientError

from s3envelope import MultiKeyring, RawAesKeyring
from s3envelope.core.secret import SecretBytes
from s3envelope.errors import (
    ConfigurationError,
    MetadataTooLargeError,
    SourceChangedError,
    UnsupportedOperationError,
)
from s3envelope.testing.s3_proxy import ErrorAnswer, ResetRequest, ResetResponse, matching
from s3envelope.testing.streams import NonSeekableSource
from tests.support.caching import Uses
from tests.support.enveloped import KIB, MIB, plaintext_of
from tests.support.s3ec_writing import AES_KEY, FORMATS, WRAPS, Writing

SIZES = (0, 1, 15, 16, 17, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 5 * MIB)
BODIES: dict[str, Any] = {"bytes": bytes, "file": io.BytesIO, "stream": NonSeekableSource}


@pytest.mark.parametrize("wrap", WRAPS)
@pytest.mark.parametrize("format_name", FORMATS)
def test_object_when_written_in_any_size_is_read_by_another_reader(
    writing: Writing, format_name: str, wrap: str
) -> None:
    client = writing.client(format_name, wrap)

    for size in SIZES:
        client.put_object(Bucket=writing.bucket, Key=f"k{size}", Body=plaintext_of(size))

    for size in SIZES:
        assert writing.read(f"k{size}", wrap) == plaintext_of(size)
    assert writing.proxy.leaks == []


@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("size", [0, 17, 64 * KIB, 300 * KIB])
def test_body_when_of_any_kind_is_read_by_another_reader(moto_writing: Writing, kind: str, size: int) -> None:
    moto_writing.client("s3ec-v2").put_object(
        Bucket=moto_writing.bucket, Key="k", Body=BODIES[kind](plaintext_of(size)), Metadata={"Mine": "kept"}
    )

    assert moto_writing.read() == plaintext_of(size)
    assert moto_writing.stored.head_object(Bucket=moto_writing.bucket, Key="k")["Metadata"]["mine"] == "kept"
    assert moto_writing.proxy.leaks == []


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("kind", BODIES)
def test_object_when_written_over_https_is_read_by_another_reader(
    tls_writing: Writing, format_name: str, kind: str
) -> None:
    plaintext = plaintext_of(3 * MIB + 5)

    tls_writing.client(format_name).put_object(Bucket=tls_writing.bucket, Key="k", Body=BODIES[kind](plaintext))

    assert tls_writing.read() == plaintext
    assert tls_writing.proxy.leaks == []


def test_objects_when_written_twice_have_other_keys_and_other_random_bytes(moto_writing: Writing) -> None:
    client = moto_writing.client()
    found = []

    for _ in range(2):
        client.put_object(Bucket=moto_writing.bucket, Key="k", Body=b"the same")
        answer = moto_writing.stored.get_object(Bucket=moto_writing.bucket, Key="k")
        found.append((*(answer["Metadata"][name] for name in ("x-amz-3", "x-amz-i", "x-amz-d")), answer["Body"].read()))

    assert all(one != other for one, other in zip(*found, strict=True))


def test_context_when_given_goes_to_kms_with_the_name_of_the_content_algorithm(writing: Writing) -> None:
    client: Any = writing.client("s3ec-v3", encryption_context={"tenant": "acme"})
    writing.kms.clear_calls()

    client.put_object(Bucket=writing.bucket, Key="k", Body=b"x", EncryptionContext={"more": "y"})

    (call,) = writing.kms.calls
    assert call.operation == "GenerateDataKey"
    assert call.encryption_context == {"tenant": "acme", "more": "y", "aws:x-amz-cek-alg": "115"}
    assert writing.read() == b"x"


@pytest.mark.parametrize("name", ["aws:x-amz-cek-alg", "kms_cmk_id"])
def test_context_when_it_has_a_reserved_entry_is_refused_before_any_request(moto_writing: Writing, name: str) -> None:
    client: Any = moto_writing.client()
    moto_writing.kms.clear_calls()

    with pytest.raises(ConfigurationError, match="belongs to the format"):
        client.put_object(Bucket=moto_writing.bucket, Key="k", Body=b"x", EncryptionContext={name: "115"})

    assert (moto_writing.kms.calls, moto_writing.proxy.requests) == ((), [])


@pytest.mark.parametrize("wrap", ["aes", "rsa"])
def test_context_when_the_keyring_has_none_is_refused_before_any_request(moto_writing: Writing, wrap: str) -> None:
    client: Any = moto_writing.client("s3ec-v3", wrap)

    with pytest.raises(ConfigurationError, match="context"):
        client.put_object(Bucket=moto_writing.bucket, Key="k", Body=b"x", EncryptionContext={"a": "b"})

    assert moto_writing.proxy.requests == []


RESERVED = ["x-amz-key", "X-Amz-Key-V2", "x-amz-iv", "x-amz-3", "X-AMZ-D", "x-amz-unencrypted-content-md5", "se1-h"]


@pytest.mark.parametrize("name", RESERVED)
@pytest.mark.parametrize("create", [False, True])
def test_metadata_when_a_name_is_reserved_is_refused_before_any_request(
    moto_writing: Writing, name: str, create: bool
) -> None:
    client: Any = moto_writing.client("s3ec-v2")
    write = client.create_multipart_upload if create else client.put_object
    moto_writing.kms.clear_calls()

    with pytest.raises(ConfigurationError):
        write(Bucket=moto_writing.bucket, Key="k", Metadata={name: "x"})

    assert (moto_writing.kms.calls, moto_writing.proxy.requests) == ((), [])


@pytest.mark.parametrize("format_name", FORMATS)
def test_metadata_when_it_fills_the_limit_is_stored_and_one_byte_more_is_refused_before_kms(
    moto_writing: Writing, format_name: str
) -> None:
    client: Any = moto_writing.client(format_name)
    client.put_object(Bucket=moto_writing.bucket, Key="k", Body=NonSeekableSource(b"x"))
    stored = moto_writing.stored.head_object(Bucket=moto_writing.bucket, Key="k")["Metadata"]
    taken = sum(len(name) + 11 + len(value) for name, value in stored.items())
    moto_writing.kms.clear_calls()
    moto_writing.proxy.clear()
    most = 2048 - taken - len("m") - 11

    with pytest.raises(MetadataTooLargeError):
        client.put_object(Bucket=moto_writing.bucket, Key="k2", Body=b"x", Metadata={"m": "v" * (most + 1)})
    assert (moto_writing.kms.calls, moto_writing.proxy.requests) == ((), [])
    client.put_object(Bucket=moto_writing.bucket, Key="k2", Body=NonSeekableSource(b"x"), Metadata={"m": "v" * most})

    assert moto_writing.read("k2") == b"x"


def test_checksums_when_given_are_verified_and_never_sent(moto_writing: Writing) -> None:
    client: Any = moto_writing.client()
    plaintext = plaintext_of(70_000)
    right = base64.b64encode(hashlib.sha256(plaintext).digest()).decode()
    md5 = base64.b64encode(hashlib.md5(plaintext, usedforsecurity=False).digest()).decode()

    client.put_object(Bucket=moto_writing.bucket, Key="k", Body=plaintext, ChecksumSHA256=right, ContentMD5=md5)
    count = len(moto_writing.proxy.requests)
    with pytest.raises(ClientError, match="BadDigest"):
        client.put_object(Bucket=moto_writing.bucket, Key="k", Body=plaintext + b"x", ChecksumSHA256=right)
    with pytest.raises(UnsupportedOperationError, match="stream that cannot seek"):
        client.put_object(Bucket=moto_writing.bucket, Key="k", Body=NonSeekableSource(plaintext), ContentMD5=md5)

    assert moto_writing.read() == plaintext
    assert len(moto_writing.proxy.requests) == count
    sent = str([request.headers for request in moto_writing.proxy.requests])
    assert right not in sent
    assert md5 not in sent


def test_content_length_when_it_is_not_the_size_is_refused(moto_writing: Writing) -> None:
    client: Any = moto_writing.client()

    for body in (b"four", NonSeekableSource(b"four")):
        with pytest.raises(ConfigurationError, match="ContentLength"):
            client.put_object(Bucket=moto_writing.bucket, Key="k", Body=body, ContentLength=3)

    assert moto_writing.keys() == []


class Switching(io.BytesIO):
    """Gives other content after it was read to its end for the first time."""

    def __init__(self, first: bytes, second: bytes) -> None:
        super().__init__(first)
        self._second: bytes | None = second

    def read(self, size: int | None = -1) -> bytes:
        piece = super().read(size)
        if self._second is not None and self.tell() == len(self.getvalue()):
            position, second, self._second = self.tell(), self._second, None
            self.seek(0)
            self.write(second)
            self.seek(position)
        return piece


@pytest.mark.parametrize("format_name", FORMATS)
def test_body_when_it_changes_between_passes_then_nothing_of_the_second_content_is_sent(
    moto_writing: Writing, format_name: str
) -> None:
    first = plaintext_of(200 * KIB)
    second = first[: 190 * KIB] + b"\0" * (10 * KIB)
    # Over http the body is read for its checksum and its signature before it is sent.
    client = moto_writing.client(format_name, retries=3)

    with pytest.raises(SourceChangedError):
        client.put_object(Bucket=moto_writing.bucket, Key="k", Body=Switching(first, second))

    assert moto_writing.keys() == []
    assert all(len(request.body or b"") <= 128 * KIB for request in moto_writing.proxy.requests)


@pytest.mark.usefixtures("no_backoff")
@pytest.mark.parametrize("kind", BODIES)
@pytest.mark.parametrize("fault", [ResetRequest(100_000), ResetResponse(), ErrorAnswer(503, "SlowDown")])
def test_put_when_it_is_retried_sends_the_same_bytes(moto_writing: Writing, kind: str, fault: Any) -> None:
    plaintext = plaintext_of(300 * KIB)
    client = moto_writing.client(retries=3)
    moto_writing.proxy.inject(fault, matching(method="PUT"), times=2)

    client.put_object(Bucket=moto_writing.bucket, Key="k", Body=BODIES[kind](plaintext))

    bodies = [request.body or b"" for request in moto_writing.proxy.requests if request.method == "PUT"]
    whole = max(bodies, key=len)
    assert len(bodies) == 3
    assert all(whole.startswith(body) for body in bodies)
    assert moto_writing.read() == plaintext
    assert moto_writing.proxy.leaks == []


@pytest.mark.usefixtures("no_backoff")
def test_put_when_the_connection_always_breaks_fails_as_boto3_does(moto_writing: Writing) -> None:
    client = moto_writing.client(retries=2)
    moto_writing.proxy.inject(ResetRequest(10), matching(method="PUT"), times=None)

    with pytest.raises(HTTPClientError):
        client.put_object(Bucket=moto_writing.bucket, Key="k", Body=b"x" * 100_000)

    assert moto_writing.keys() == []


def test_format_when_the_keyring_cannot_write_it_is_refused_when_the_client_is_made(moto_writing: Writing) -> None:
    keyring = MultiKeyring(*(RawAesKeyring(SecretBytes(key)) for key in (AES_KEY, bytes(32))))

    with pytest.raises(ConfigurationError, match="s3ec_keyring"):
        moto_writing.sealed(moto_writing.endpoint, envelope={"keyring": keyring, "write_format": "s3ec-v3"})


def test_client_when_it_has_only_a_keyring_for_the_format_writes_and_reads_it(moto_writing: Writing) -> None:
    client: Any = moto_writing.client("s3ec-v3", "aes", keyring=None, read_formats=["s3ec-v3"])

    client.put_object(Bucket=moto_writing.bucket, Key="k", Body=b"x")
    client.upload_fileobj(io.BytesIO(plaintext_of(9 * MIB)), moto_writing.bucket, "large")

    assert client.get_object(Bucket=moto_writing.bucket, Key="k")["Body"].read() == b"x"
    assert moto_writing.read("large", "aes") == plaintext_of(9 * MIB)


def test_data_key_when_used_is_told_to_the_audit_sink(moto_writing: Writing) -> None:
    sink = Uses()

    moto_writing.client(audit=sink).put_object(Bucket=moto_writing.bucket, Key="k", Body=b"x")

    assert [(told.operation, told.outcome) for told in sink.all] == [
        ("configure", "success"),
        ("generate", "success"),
        ("seal", "begun"),
        ("seal", "success"),
    ]
    assert {(told.bucket, told.key) for told in sink.all[1:]} == {(moto_writing.bucket, "k")}
    assert sink.all[-1].s3_request_ids


def test_append_when_asked_for_is_refused(moto_writing: Writing) -> None:
    client: Any = moto_writing.client()

    with pytest.raises(UnsupportedOperationError, match="WriteOffsetBytes"):
        client.put_object(Bucket=moto_writing.bucket, Key="k", Body=b"x", WriteOffsetBytes=1)

    assert moto_writing.proxy.requests == []


@pytest.mark.parametrize("wrap", ["kms", "aes"])
@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("has_file", [False, True])
def test_object_when_read_by_the_client_that_wrote_it_is_the_same(
    moto_writing: Writing, format_name: str, wrap: str, has_file: bool
) -> None:
    client = moto_writing.client(format_name, wrap, read_formats=[format_name], instruction_file=has_file)
    plaintext = plaintext_of(300 * KIB)

    client.put_object(Bucket=moto_writing.bucket, Key="k", Body=plaintext, Metadata={"mine": "kept"})

    answer = client.get_object(Bucket=moto_writing.bucket, Key="k")
    assert answer["Body"].read() == plaintext
    assert answer["Metadata"] == {"mine": "kept"}
    assert client.head_object(Bucket=moto_writing.bucket, Key="k")["ContentLength"] == len(plaintext)


def test_upload_when_in_parts_is_told_before_each_request(moto_writing: Writing) -> None:
    sink = Uses()
    client: Any = moto_writing.client(audit=sink)
    names = {"Bucket": moto_writing.bucket, "Key": "large"}
    upload = client.create_multipart_upload(**names)["UploadId"]
    part = client.upload_part(**names, UploadId=upload, PartNumber=1, Body=b"x")
    listed = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    client.complete_multipart_upload(**names, UploadId=upload, MultipartUpload=listed)

    sealed = [told for told in sink.all if told.operation == "seal"]
    assert [told.outcome for told in sealed] == ["begun", "success"] * 3
    assert [dict(told.details)["call"] for told in sealed[::2]] == [
        "CreateMultipartUpload",
        "UploadPart",
        "CompleteMultipartUpload",
    ]
    assert len({(told.format, told.commitment) for told in sealed}) == 1
