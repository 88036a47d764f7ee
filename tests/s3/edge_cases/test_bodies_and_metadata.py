"""Bodies that change after the call, and metadata: to the byte, of other alphabets, of reserved names, or none."""

from __future__ import annotations

import gzip
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ConnectionClosedError, ParamValidationError
from mypy_boto3_s3 import S3Client

from s3envelope.errors import ConfigurationError, MetadataTooLargeError
from s3envelope.testing.s3_proxy import S3Proxy
from s3envelope.testing.streams import FailingSource, NonSeekableSource
from tests.conftest import ProxyFactory
from tests.support.endpoints import Endpoint
from tests.support.enveloped import CANARY, KIB, ClientFactory, NewBucket, plaintext_of
from tests.support.uploading import Uploading, read

LIMIT = 2048
PREFIX = len("x-amz-meta-")
PLAINTEXT = plaintext_of(150 * KIB)


@pytest.fixture(params=["http", "https"])
def watched(
    request: pytest.FixtureRequest, moto_s3: Endpoint, new_bucket: NewBucket, sealed: ClientFactory
) -> tuple[S3Client, S3Proxy, str]:
    """Return a client over http and https, the proxy that looks for the canary, and a bucket."""
    make: ProxyFactory = request.getfixturevalue(f"{request.param}_proxy")
    proxy, endpoint = make(moto_s3)
    proxy.forbid(CANARY)
    return sealed(endpoint), proxy, new_bucket(moto_s3)


# ---- bodies ----


def _gzip_file(folder: Path) -> Any:
    path = folder / "file.gz"
    path.write_bytes(gzip.compress(PLAINTEXT))
    return gzip.open(path)


BODIES: dict[str, tuple[Callable[[Path], Any], bytes]] = {
    "empty": (lambda _: b"", b""),
    "text with an accent": (lambda _: "é" * 40_000, "é".encode() * 40_000),
    "gzip file": (_gzip_file, PLAINTEXT),
    "pipe": (lambda _: NonSeekableSource(PLAINTEXT), PLAINTEXT),
    "memoryview": (lambda _: memoryview(PLAINTEXT), PLAINTEXT),
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("operation", ["put_object", "upload_part"])
def test_body_of_a_part_or_an_object_is_stored_as_its_bytes(
    watched: tuple[S3Client, S3Proxy, str], name: str, operation: str, tmp_path: Path
) -> None:
    client, proxy, bucket = watched
    make, expected = BODIES[name]
    body = make(tmp_path)

    if operation == "put_object":
        client.put_object(Bucket=bucket, Key="k", Body=body)
    else:
        upload = Uploading(client, bucket)
        upload.part(1, body)
        upload.complete()

    assert read(client, bucket) == expected
    assert proxy.leaks == []
    if hasattr(body, "close"):
        body.close()


@pytest.mark.parametrize("operation", ["put_object", "upload_part"])
def test_bytearray_that_is_changed_after_the_call_is_stored_as_it_was(
    watched: tuple[S3Client, S3Proxy, str], operation: str
) -> None:
    client, _, bucket = watched
    # The stubs do not know this type.
    body: Any = bytearray(PLAINTEXT)

    if operation == "put_object":
        client.put_object(Bucket=bucket, Key="k", Body=body)
        body[:] = bytes(len(body))
    else:
        upload = Uploading(client, bucket)
        upload.part(1, body)
        body[:] = bytes(len(body))
        # `complete` sends a last part below 5 MiB again.
        upload.complete()

    assert read(client, bucket) == PLAINTEXT
    # Nothing of the call holds the buffer, so that its size can change too.
    body.append(1)


@pytest.mark.parametrize("body", [None, [1], 5, {"a": 1}], ids=str)
@pytest.mark.parametrize("operation", ["put_object", "upload_part"])
def test_body_of_a_wrong_kind_is_the_error_of_a_plain_client(
    moto_s3: Endpoint, watched: tuple[S3Client, S3Proxy, str], operation: str, body: Any
) -> None:
    client, proxy, bucket = watched
    call: Any = {"Bucket": bucket, "Key": "k", "Body": body}
    if operation == "upload_part":
        call |= {"UploadId": "u", "PartNumber": 1}
    messages = []

    for one in (client, moto_s3.client()):
        with pytest.raises(ParamValidationError) as raised:
            getattr(one, operation)(**call)
        messages.append(str(raised.value).replace(", <class 'memoryview'>", ""))

    assert messages[0] == messages[1]
    assert proxy.requests == []


def test_text_stream_as_a_body_is_refused_before_any_request(watched: tuple[S3Client, S3Proxy, str]) -> None:
    client, proxy, bucket = watched
    body: Any = io.StringIO("text é")

    with pytest.raises(ConfigurationError, match="binary"):
        client.put_object(Bucket=bucket, Key="k", Body=body)

    assert proxy.requests == []


@pytest.mark.parametrize("offset", [0, 65_536, 150 * KIB - 1])
def test_body_that_ends_early_is_no_half_written_success(
    watched: tuple[S3Client, S3Proxy, str], moto_s3: Endpoint, offset: int
) -> None:
    client, _, bucket = watched
    body: Any = FailingSource(PLAINTEXT, offset=offset, make_error=lambda: OSError("the disk is gone"))

    # Over https botocore takes it for a broken connection, as with a plain client.
    with pytest.raises((OSError, ConnectionClosedError)):
        client.put_object(Bucket=bucket, Key="k", Body=body)

    assert moto_s3.client().list_objects_v2(Bucket=bucket)["KeyCount"] == 0


# ---- metadata ----


def _counted(metadata: dict[str, str]) -> int:
    return sum(len(name) + PREFIX + len(value) for name, value in metadata.items())


@pytest.mark.parametrize("names", [["a"], ["a", "some-longer-name", "x" * 100]])
@pytest.mark.parametrize("way", ["put_object", "create_multipart_upload"])
def test_metadata_and_envelope_of_2048_bytes_are_stored_and_one_more_is_refused_before_any_request(
    watched: tuple[S3Client, S3Proxy, str], moto_s3: Endpoint, names: list[str], way: str
) -> None:
    client, proxy, bucket = watched
    client.put_object(Bucket=bucket, Key="k", Body=b"")
    envelope = moto_s3.client().head_object(Bucket=bucket, Key="k")["Metadata"]
    room = LIMIT - _counted(envelope) - _counted(dict.fromkeys(names, ""))
    share = room // len(names)
    full = dict.fromkeys(names[1:], "x" * share) | {names[0]: "y" * (room - share * (len(names) - 1))}
    assert _counted({**full, **envelope}) == LIMIT
    over = {**full, names[0]: full[names[0]] + "y"}
    proxy.clear()

    with pytest.raises(MetadataTooLargeError, match="2049 bytes"):
        getattr(client, way)(Bucket=bucket, Key="k", Metadata=over)
    assert proxy.requests == []
    for metadata in (full, {**full, names[0]: full[names[0]][1:]}):
        if way == "put_object":
            client.put_object(Bucket=bucket, Key="k", Body=b"body", Metadata=metadata)
        else:
            upload = Uploading(client, bucket, Metadata=metadata)
            upload.part(1, b"body")
            upload.complete()
        answer = client.get_object(Bucket=bucket, Key="k")
        assert (answer["Metadata"], answer["Body"].read()) == (metadata, b"body")


@pytest.mark.parametrize("metadata", [None, {"a": "é"}, {"é": "a"}, {"a": 5}, {"a": None}, "text"], ids=str)
@pytest.mark.parametrize("way", ["put_object", "create_multipart_upload"])
def test_metadata_that_is_none_or_not_ascii_is_the_error_of_a_plain_client(
    moto_s3: Endpoint, watched: tuple[S3Client, S3Proxy, str], way: str, metadata: Any
) -> None:
    client, proxy, bucket = watched
    errors = []

    for one in (client, moto_s3.client()):
        # botocore looks for letters that are not ASCII before it looks for types.
        with pytest.raises((ParamValidationError, AttributeError)) as raised:
            getattr(one, way)(Bucket=bucket, Key="k", Metadata=metadata)
        errors.append(repr(raised.value))

    assert errors[0] == errors[1]
    assert proxy.requests == []


@pytest.mark.parametrize(
    "given", [{}, {"a": "b"}, {"Mixed-Case": "Value", "x-y-z": "a  b"}, {"sea": "1", "se": "2", "se1": "3"}]
)
@pytest.mark.parametrize("way", ["left out", "put_object", "create_multipart_upload", "upload_fileobj"])
def test_metadata_of_an_answer_is_what_was_given(
    any_s3: Endpoint, new_bucket: NewBucket, sealed: ClientFactory, given: dict[str, str], way: str
) -> None:
    client, bucket = sealed(any_s3), new_bucket(any_s3)
    expected = {} if way == "left out" else {name.lower(): value for name, value in given.items()}

    if way == "left out":
        client.put_object(Bucket=bucket, Key="k", Body=b"body")
    elif way == "put_object":
        client.put_object(Bucket=bucket, Key="k", Body=b"body", Metadata=given)
    elif way == "upload_fileobj":
        client.upload_fileobj(io.BytesIO(b"body"), bucket, "k", ExtraArgs={"Metadata": given})
    else:
        upload = Uploading(client, bucket, Metadata=given)
        upload.part(1, b"body")
        upload.complete()

    for answer in (client.head_object(Bucket=bucket, Key="k"), client.get_object(Bucket=bucket, Key="k")):
        assert answer["Metadata"] == expected
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        assert {name for name in headers if name.startswith("x-amz-meta-")} == {
            f"x-amz-meta-{name}" for name in expected
        }


@pytest.mark.parametrize("name", ["se1-h", "SE1-K", "se2-x", "se10-anything"])
@pytest.mark.parametrize("way", ["put_object", "create_multipart_upload", "upload_fileobj", "copy_object"])
def test_metadata_under_a_reserved_name_is_refused_before_any_request(
    watched: tuple[S3Client, S3Proxy, str], name: str, way: str
) -> None:
    client, proxy, bucket = watched
    client.put_object(Bucket=bucket, Key="source", Body=b"body")
    proxy.clear()
    metadata = {name: "mine"}
    calls: dict[str, Callable[[], object]] = {
        "put_object": lambda: client.put_object(Bucket=bucket, Key="k", Body=b"", Metadata=metadata),
        "create_multipart_upload": lambda: client.create_multipart_upload(Bucket=bucket, Key="k", Metadata=metadata),
        "upload_fileobj": lambda: client.upload_fileobj(io.BytesIO(), bucket, "k", ExtraArgs={"Metadata": metadata}),
        "copy_object": lambda: client.copy_object(
            Bucket=bucket, Key="k", CopySource=f"{bucket}/source", MetadataDirective="REPLACE", Metadata=metadata
        ),
    }

    with pytest.raises(ConfigurationError, match="reserved"):
        calls[way]()

    assert [request.method for request in proxy.requests if request.method != "HEAD"] == []
