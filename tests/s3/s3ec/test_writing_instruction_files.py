"""Objects whose envelope is in an instruction file beside them."""

from __future__ import annotations

import io
import json
import pickle
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from s3envelope.errors import InstructionFileError, MetadataTooLargeError
from s3envelope.testing.s3_proxy import ErrorAnswer, ResetRequest, matching
from tests.support.enveloped import MIB, plaintext_of
from tests.support.s3ec_writing import FORMATS, WRAPS, Writing
from tests.support.uploading import PART, Uploading, pieces

FILE = "k.instruction"


@pytest.mark.parametrize("format_name", FORMATS)
@pytest.mark.parametrize("wrap", WRAPS)
def test_object_when_written_with_an_instruction_file_is_read_by_another_reader(
    writing: Writing, format_name: str, wrap: str
) -> None:
    client = writing.client(format_name, wrap, instruction_file=True)

    client.put_object(Bucket=writing.bucket, Key="k", Body=plaintext_of(70_000), Metadata={"mine": "kept"})

    assert writing.read("k", wrap, suffix=".instruction") == plaintext_of(70_000)
    assert writing.stored.head_object(Bucket=writing.bucket, Key="k")["Metadata"]["mine"] == "kept"
    head = writing.stored.head_object(Bucket=writing.bucket, Key=FILE)
    assert "mine" not in head["Metadata"]
    assert head["ContentType"] == "application/json"
    puts = [request.path for request in writing.proxy.requests if request.method == "PUT"]
    assert puts == [f"/{writing.bucket}/k", f"/{writing.bucket}/{FILE}"]
    assert writing.proxy.leaks == []


@pytest.mark.parametrize("format_name", FORMATS)
def test_upload_when_it_has_an_instruction_file_is_read_by_another_reader(writing: Writing, format_name: str) -> None:
    client = writing.client(format_name, instruction_file=True, instruction_suffix=".i")
    bodies = pieces(PART, 100)
    upload = Uploading(client, writing.bucket)
    for number, body in enumerate(bodies, 1):
        upload.part(number, body)
    assert writing.keys() == []
    upload.complete()

    client.upload_fileobj(io.BytesIO(plaintext_of(9 * MIB)), writing.bucket, "managed")

    assert writing.read("k", suffix=".i") == b"".join(bodies)
    assert writing.read("managed", suffix=".i") == plaintext_of(9 * MIB)


def test_upload_when_aborted_writes_no_instruction_file(moto_writing: Writing) -> None:
    upload = Uploading(moto_writing.client(instruction_file=True), moto_writing.bucket)
    upload.part(1, b"x")

    upload.client.abort_multipart_upload(**upload.names)

    assert moto_writing.keys() == []


def test_metadata_when_the_envelope_is_elsewhere_may_be_larger(moto_writing: Writing) -> None:
    large = {"m": "v" * 1800}
    with pytest.raises(MetadataTooLargeError):
        moto_writing.client().put_object(Bucket=moto_writing.bucket, Key="k", Body=b"x", Metadata=large)

    client = moto_writing.client(instruction_file=True)
    client.put_object(Bucket=moto_writing.bucket, Key="k", Body=b"x", Metadata=large)

    assert moto_writing.read("k", suffix=".instruction") == b"x"


@pytest.mark.parametrize("fault", [ErrorAnswer(412, "PreconditionFailed"), ErrorAnswer(403, "AccessDenied")])
def test_put_when_s3_refuses_the_object_leaves_the_old_one_readable(moto_writing: Writing, fault: ErrorAnswer) -> None:
    client: Any = moto_writing.client(instruction_file=True)
    client.put_object(Bucket=moto_writing.bucket, Key="k", Body=b"the old one")
    moto_writing.proxy.inject(fault, matching(method="PUT"))

    with pytest.raises(ClientError, match=fault.code):
        client.put_object(Bucket=moto_writing.bucket, Key="k", Body=b"the new one", IfNoneMatch="*")

    assert moto_writing.read("k", suffix=".instruction") == b"the old one"


FAILURES = [ErrorAnswer(403, "AccessDenied"), ErrorAnswer(500, "InternalError"), ResetRequest()]


@pytest.mark.parametrize("fault", FAILURES)
@pytest.mark.parametrize("way", ["put", "upload", "managed upload"])
def test_instruction_file_when_it_is_not_stored_is_in_the_error(moto_writing: Writing, fault: Any, way: str) -> None:
    client = moto_writing.client(instruction_file=True)
    moto_writing.proxy.inject(fault, matching(method="PUT", contains=FILE))
    write: Callable[[], Any] = partial(client.put_object, Bucket=moto_writing.bucket, Key="k", Body=b"stored")
    if way == "managed upload":
        config = TransferConfig(multipart_threshold=1)
        write = partial(client.upload_fileobj, io.BytesIO(b"stored"), moto_writing.bucket, "k", Config=config)
    if way == "upload":
        upload = Uploading(client, moto_writing.bucket)
        upload.part(1, b"stored")
        write = upload.complete

    with pytest.raises(InstructionFileError, match="Put the object again") as raised:
        write()

    assert moto_writing.keys() == ["k"]
    error = pickle.loads(pickle.dumps(raised.value))  # noqa: S301  # made on this line
    assert (str(error), error.__class__) == (str(raised.value), InstructionFileError)
    moto_writing.stored.put_object(Bucket=error.bucket, Key=error.key, Body=error.content)
    assert moto_writing.read("k", suffix=".instruction") == b"stored"


def test_put_when_called_again_after_a_missing_instruction_file_is_whole(moto_writing: Writing) -> None:
    client = moto_writing.client(instruction_file=True)
    moto_writing.proxy.inject(ErrorAnswer(500, "InternalError"), matching(method="PUT", contains=FILE))
    with pytest.raises(InstructionFileError):
        client.put_object(Bucket=moto_writing.bucket, Key="k", Body=b"x")

    client.put_object(Bucket=moto_writing.bucket, Key="k", Body=b"x")

    assert moto_writing.read("k", suffix=".instruction") == b"x"


def test_instruction_file_when_written_shares_owner_keys_and_tags_and_nothing_else(moto_writing: Writing) -> None:
    client: Any = moto_writing.client(instruction_file=True)
    shared = {
        "ACL": "bucket-owner-full-control",
        "RequestPayer": "requester",
        "ExpectedBucketOwner": "111122223333",
        "ServerSideEncryption": "AES256",
        "Tagging": "a=b",
    }

    client.put_object(Bucket=moto_writing.bucket, Key="k", Body=b"x", IfNoneMatch="*", StorageClass="GLACIER", **shared)

    first, second = [request for request in moto_writing.proxy.requests if request.method == "PUT"]
    names = (
        "x-amz-acl",
        "x-amz-request-payer",
        "x-amz-expected-bucket-owner",
        "x-amz-server-side-encryption",
        "x-amz-tagging",
    )
    assert [first.header(name) for name in names] == [second.header(name) for name in names] == list(shared.values())
    assert (second.header("if-none-match"), second.header("x-amz-storage-class")) == ("", "")
    assert set(json.loads(second.body or b"")) == {"x-amz-3", "x-amz-w", "x-amz-t"}
