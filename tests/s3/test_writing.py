"""Bodies of put_object: whatever a plain client takes, and how the rest is refused."""

import gzip
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import ParamValidationError
from mypy_boto3_s3 import S3Client

from s3envelope.errors import ConfigurationError, S3EnvelopeError, UnsupportedOperationError
from s3envelope.testing.local_kms import LocalKms
from s3envelope.testing.s3_proxy import S3Proxy
from s3envelope.testing.streams import (
    MemorySource,
    NonSeekableSource,
    OverlongSource,
    ShortReadSource,
    SilentSeekSource,
    StrictEndSource,
    TextSource,
)
from tests.conftest import ProxyFactory
from tests.support.endpoints import Endpoint
from tests.support.enveloped import KIB, SEGMENT_SIZE, ClientFactory, NewBucket, plaintext_of

PLAINTEXT = plaintext_of(150 * KIB)
TEXT = "Grüße, 世界\n" * 1000


class ShortPipe:
    """Cannot seek, and returns less than is asked for."""

    def __init__(self, plaintext: bytes) -> None:
        self._source = ShortReadSource(plaintext, longest=9000)

    def read(self, size: int | None = -1) -> bytes:
        return self._source.read(size)


def _positioned(plaintext: bytes) -> io.BytesIO:
    stream = io.BytesIO(b"skipped" + plaintext)
    stream.seek(7)
    return stream


BODIES: dict[str, tuple[Callable[[], Any], bytes]] = {
    "bytes": (lambda: PLAINTEXT, PLAINTEXT),
    "bytearray": (lambda: bytearray(PLAINTEXT), PLAINTEXT),
    "memoryview": (lambda: memoryview(PLAINTEXT)[5:], PLAINTEXT[5:]),
    "memoryview of words": (lambda: memoryview(bytearray(range(240))).cast("I"), bytes(range(240))),
    "str": (lambda: TEXT, TEXT.encode()),
    "BytesIO": (lambda: io.BytesIO(PLAINTEXT), PLAINTEXT),
    "BytesIO in the middle": (lambda: _positioned(PLAINTEXT), PLAINTEXT),
    "BytesIO at its end": (lambda: _positioned(b""), b""),
    "seekable, short reads": (lambda: ShortReadSource(PLAINTEXT, longest=5000), PLAINTEXT),
    "seek returns None": (lambda: SilentSeekSource(PLAINTEXT), PLAINTEXT),
    "strict about its end": (lambda: StrictEndSource(PLAINTEXT), PLAINTEXT),
    "no seek": (lambda: NonSeekableSource(PLAINTEXT), PLAINTEXT),
    "no seek, short reads": (lambda: ShortPipe(PLAINTEXT), PLAINTEXT),
    "no seek, empty": (lambda: NonSeekableSource(b""), b""),
    "empty": (lambda: b"", b""),
    "empty str": (lambda: "", b""),
}


@pytest.mark.parametrize("scheme", ["http", "https"])
@pytest.mark.parametrize("name", BODIES)
def test_body_when_of_any_kind_then_its_bytes_are_stored(
    request: pytest.FixtureRequest,
    moto_s3: Endpoint,
    new_bucket: NewBucket,
    sealed: ClientFactory,
    scheme: str,
    name: str,
) -> None:
    endpoint: Endpoint = request.getfixturevalue(f"{scheme}_proxy")(moto_s3)[1]
    client, bucket = sealed(endpoint), new_bucket(moto_s3)
    make_body, expected = BODIES[name]

    client.put_object(Bucket=bucket, Key="k", Body=make_body())

    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == expected


def test_body_when_a_file_or_gzip_file_then_from_its_position_to_its_end(
    moto_s3: Endpoint, new_bucket: NewBucket, sealed: ClientFactory, tmp_path: Path
) -> None:
    client, bucket = sealed(moto_s3), new_bucket(moto_s3)
    path, packed = tmp_path / "file", tmp_path / "file.gz"
    path.write_bytes(PLAINTEXT)
    packed.write_bytes(gzip.compress(PLAINTEXT))

    with path.open("rb") as file, gzip.open(packed) as unpacking, path.open("rb", buffering=0) as raw:
        file.seek(70_000)
        for key, body in (("file", file), ("gzip", unpacking), ("raw", raw)):
            client.put_object(Bucket=bucket, Key=key, Body=body)  # type: ignore[arg-type]

    stored = {key: client.get_object(Bucket=bucket, Key=key)["Body"].read() for key in ("file", "gzip", "raw")}
    assert stored == {"file": PLAINTEXT[70_000:], "gzip": PLAINTEXT, "raw": PLAINTEXT}


def test_body_when_left_out_then_an_empty_object(
    moto_s3: Endpoint, new_bucket: NewBucket, sealed: ClientFactory
) -> None:
    client, bucket = sealed(moto_s3), new_bucket(moto_s3)

    client.put_object(Bucket=bucket, Key="k")

    answer = client.get_object(Bucket=bucket, Key="k")
    assert (answer["Body"].read(), answer["ContentLength"]) == (b"", 0)


def test_put_when_arguments_are_given_then_they_are_not_changed(
    moto_s3: Endpoint, new_bucket: NewBucket, sealed: ClientFactory
) -> None:
    body, metadata = bytearray(b"body"), {"Name": "value"}
    arguments: dict[str, Any] = {"Bucket": new_bucket(moto_s3), "Key": "k", "Body": body, "Metadata": metadata}
    before = dict(arguments)

    sealed(moto_s3).put_object(**arguments)

    assert arguments == before
    assert arguments["Body"] is body
    assert metadata == {"Name": "value"}


@pytest.fixture
def watched(
    moto_s3: Endpoint, http_proxy: ProxyFactory, new_bucket: NewBucket, sealed: ClientFactory, kms: LocalKms
) -> tuple[S3Client, S3Proxy, str]:
    """Return a client, the proxy that sees its requests, and a bucket."""
    proxy, endpoint = http_proxy(moto_s3)
    return sealed(endpoint), proxy, new_bucket(moto_s3)


WRONG: dict[str, tuple[Callable[[], Any], type[Exception]]] = {
    "None": (lambda: None, ParamValidationError),
    "list": (lambda: [1, 2], ParamValidationError),
    "int": (lambda: 5, ParamValidationError),
    "dict": (lambda: {"a": b"b"}, ParamValidationError),
    "StringIO": (lambda: io.StringIO("text"), ConfigurationError),
    "TextSource": (lambda: TextSource("text"), ConfigurationError),
}


@pytest.mark.parametrize("name", WRONG)
def test_body_when_of_a_wrong_kind_then_refused_without_a_request(
    watched: tuple[S3Client, S3Proxy, str], kms: LocalKms, name: str
) -> None:
    client, proxy, bucket = watched
    make_body, expected = WRONG[name]

    with pytest.raises(expected):
        client.put_object(Bucket=bucket, Key="k", Body=make_body())

    assert (proxy.requests, kms.calls) == ([], ())


@pytest.mark.parametrize("name", [name for name, (_, error) in WRONG.items() if error is ParamValidationError])
def test_body_when_of_a_wrong_kind_then_error_is_the_plain_client_s(
    moto_s3: Endpoint, watched: tuple[S3Client, S3Proxy, str], name: str
) -> None:
    client, _, bucket = watched
    messages = []

    for one in (client, moto_s3.client()):
        with pytest.raises(ParamValidationError) as raised:
            one.put_object(Bucket=bucket, Key="k", Body=WRONG[name][0]())
        messages.append(str(raised.value).replace(", <class 'memoryview'>", ""))

    assert messages[0] == messages[1]


def test_text_pipe_when_it_cannot_seek_then_refused_and_nothing_sent(
    watched: tuple[S3Client, S3Proxy, str],
) -> None:
    class TextPipe:
        def read(self, size: int = -1) -> str:
            return "text"

    client, proxy, bucket = watched
    body: Any = TextPipe()

    with pytest.raises(ConfigurationError, match="binary"):
        client.put_object(Bucket=bucket, Key="k", Body=body)

    assert proxy.requests == []


def test_stream_when_it_returns_more_than_asked_then_refused_and_nothing_stored(
    watched: tuple[S3Client, S3Proxy, str],
) -> None:
    client, proxy, bucket = watched
    # It has more to give than what is read of it at once.
    body: Any = OverlongSource(plaintext_of(5 * SEGMENT_SIZE))

    with pytest.raises(S3EnvelopeError):
        client.put_object(Bucket=bucket, Key="k", Body=body)

    assert [request.status for request in proxy.requests if request.status == 200] == []


@pytest.mark.parametrize("declared", [0, len(PLAINTEXT) - 1, len(PLAINTEXT) + 1])
@pytest.mark.parametrize("make_body", [lambda: PLAINTEXT, lambda: NonSeekableSource(PLAINTEXT)])
def test_content_length_when_wrong_then_refused_without_a_request(
    watched: tuple[S3Client, S3Proxy, str], make_body: Callable[[], Any], declared: int
) -> None:
    client, proxy, bucket = watched

    with pytest.raises(ConfigurationError, match="ContentLength"):
        client.put_object(Bucket=bucket, Key="k", Body=make_body(), ContentLength=declared)

    assert proxy.requests == []


def test_content_length_when_right_then_stored(watched: tuple[S3Client, S3Proxy, str]) -> None:
    client, _, bucket = watched

    body: Any = MemorySource(PLAINTEXT)

    client.put_object(Bucket=bucket, Key="k", Body=body, ContentLength=len(PLAINTEXT))

    assert client.head_object(Bucket=bucket, Key="k")["ContentLength"] == len(PLAINTEXT)


def test_stream_without_seek_when_over_the_limit_then_refused_and_nothing_sent(
    moto_s3: Endpoint, http_proxy: ProxyFactory, new_bucket: NewBucket, sealed: ClientFactory
) -> None:
    proxy, endpoint = http_proxy(moto_s3)
    client = sealed(endpoint, envelope={"unseekable_limit": 1000})
    name, body, over = new_bucket(moto_s3), NonSeekableSource(bytes(1000)), NonSeekableSource(bytes(1001))

    client.put_object(Bucket=name, Key="k", Body=body)  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="unseekable_limit"):
        client.put_object(Bucket=name, Key="k", Body=over)  # type: ignore[arg-type]

    assert len(proxy.requests) == 1


@pytest.mark.parametrize("condition", [{"IfNoneMatch": "*"}, {"IfMatch": '"0123"'}])
def test_put_when_its_condition_fails_then_412_and_the_old_object_stays(
    seaweedfs: Endpoint, new_bucket: NewBucket, sealed: ClientFactory, condition: dict[str, Any]
) -> None:
    client, bucket = sealed(seaweedfs), new_bucket(seaweedfs)
    client.put_object(Bucket=bucket, Key="k", Body=b"old")

    with pytest.raises(client.exceptions.ClientError, match="PreconditionFailed"):
        client.put_object(Bucket=bucket, Key="k", Body=b"new", **condition)

    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"old"


def test_append_when_asked_for_then_refused_without_a_request(watched: tuple[S3Client, S3Proxy, str]) -> None:
    client, proxy, bucket = watched

    with pytest.raises(UnsupportedOperationError, match="WriteOffsetBytes"):
        client.put_object(Bucket=bucket, Key="k", Body=b"more", WriteOffsetBytes=4)

    assert proxy.requests == []
