"""The body of an answer: everything that users do with the one of a plain client."""

import io
from collections.abc import Callable
from typing import Any

import pytest
from botocore.response import StreamingBody

from s3envelope.errors import SegmentAuthenticationError
from tests.support.endpoints import Endpoint
from tests.support.enveloped import SEGMENT_SIZE, ClientFactory, NewBucket, plaintext_of

SIZE = 2 * SEGMENT_SIZE + 5000
Get = Callable[..., StreamingBody]


@pytest.fixture
def get(moto_s3: Endpoint, new_bucket: NewBucket, sealed: ClientFactory) -> Get:
    """Return a reader of objects with given plaintext, or `plaintext_of(SIZE)`."""
    client, bucket = sealed(moto_s3), new_bucket(moto_s3)

    def get_body(plaintext: bytes | None = None, **arguments: Any) -> StreamingBody:
        client.put_object(Bucket=bucket, Key="k", Body=plaintext_of(SIZE) if plaintext is None else plaintext)
        body: StreamingBody = client.get_object(Bucket=bucket, Key="k", **arguments)["Body"]
        return body

    return get_body


def test_body_when_got_then_is_botocore_s_class(get: Get) -> None:
    body = get()

    assert type(body) is StreamingBody
    assert body.readable()
    body.close()


@pytest.mark.parametrize("size", [1, 1000, SEGMENT_SIZE - 1, SEGMENT_SIZE, SEGMENT_SIZE + 1, SIZE, SIZE + 1])
def test_read_when_in_pieces_then_exactly_the_asked_sizes_and_the_end_stays_empty(get: Get, size: int) -> None:
    body, plaintext = get(), plaintext_of(SIZE)
    if size == 1:
        plaintext = plaintext[:100]
        body = get(plaintext)
    pieces = []

    while piece := body.read(size):
        pieces.append(piece)
        assert body.tell() == sum(map(len, pieces))

    assert b"".join(pieces) == plaintext
    assert {len(piece) for piece in pieces[:-1]} <= {size}
    assert [body.read(), body.read(5), body.read(None)] == [b"", b"", b""]


def test_read_when_zero_bytes_are_asked_then_nothing_is_lost(get: Get) -> None:
    body = get(b"0123456789")

    assert body.read(0) == b""
    assert body.read() == b"0123456789"


def test_read_of_empty_object_then_empty_bytes(get: Get) -> None:
    assert get(b"").read() == b""
    assert list(get(b"").iter_chunks()) == []
    assert list(get(b"").iter_lines()) == []


@pytest.mark.parametrize("size", [1000, SEGMENT_SIZE, SIZE])
def test_iter_chunks_when_joined_then_the_plaintext(get: Get, size: int) -> None:
    chunks = list(get().iter_chunks(size))

    assert b"".join(chunks) == plaintext_of(SIZE)
    assert {len(chunk) for chunk in chunks[:-1]} <= {size}


def test_iteration_when_joined_then_the_plaintext(get: Get) -> None:
    assert b"".join(get()) == plaintext_of(SIZE)


@pytest.mark.parametrize("keepends", [False, True])
def test_iter_lines_when_lines_cross_segments_then_whole(get: Get, keepends: bool) -> None:
    text = b"".join(b"line %d %b\n" % (number, b"x" * (number % 300)) for number in range(1000))
    assert len(text) > 2 * SEGMENT_SIZE

    assert list(get(text).iter_lines(keepends=keepends)) == text.splitlines(keepends)


def test_readlines_when_called_then_as_plain(get: Get) -> None:
    assert get(b"a\nb\n\nc").readlines() == [b"a\n", b"b\n", b"\n", b"c"]


def test_readinto_when_buffer_is_filled_then_plaintext_in_order(get: Get) -> None:
    # The stubs want a file for a buffer.
    body: Any = get()
    out, buffer = bytearray(), bytearray(3000)

    while count := body.readinto(buffer):
        out += buffer[:count]

    assert bytes(out) == plaintext_of(SIZE)


def test_with_block_when_reading_then_plaintext_and_closed_after(get: Get) -> None:
    body = get()

    with body as raw:
        assert raw.read(10) == plaintext_of(10)
        assert raw.read() == plaintext_of(SIZE)[10:]

    assert raw.closed


def test_buffered_reader_and_text_wrapper_when_put_around_then_plaintext(get: Get) -> None:
    text = "".join(f"Zeile {number} é\n" for number in range(20_000))

    assert io.BufferedReader(get()).read() == plaintext_of(SIZE)  # type: ignore[type-var]
    with io.TextIOWrapper(io.BufferedReader(get(text.encode())), encoding="utf-8") as lines:  # type: ignore[type-var]
        assert "".join(lines) == text


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_socket_timeout_when_set_then_reaches_the_socket(
    request: pytest.FixtureRequest, moto_s3: Endpoint, new_bucket: NewBucket, sealed: ClientFactory, scheme: str
) -> None:
    endpoint: Endpoint = request.getfixturevalue(f"{scheme}_proxy")(moto_s3)[1]
    client, bucket = sealed(endpoint), new_bucket(moto_s3)
    client.put_object(Bucket=bucket, Key="k", Body=plaintext_of(SIZE))
    body: Any = client.get_object(Bucket=bucket, Key="k")["Body"]

    body.set_socket_timeout(17.5)

    assert body._raw_stream._fp.fp.raw._sock.gettimeout() == 17.5
    assert body.read() == plaintext_of(SIZE)


def test_body_when_closed_early_then_client_goes_on_and_no_byte_comes_after(
    moto_s3: Endpoint, new_bucket: NewBucket, sealed: ClientFactory
) -> None:
    # One connection: if the rest of the first answer stayed on it, the second would be wrong.
    client, bucket = sealed(moto_s3, max_pool_connections=1), new_bucket(moto_s3)
    client.put_object(Bucket=bucket, Key="k", Body=plaintext_of(4 * SIZE))

    for _ in range(3):
        body = client.get_object(Bucket=bucket, Key="k")["Body"]
        assert body.read(100) == plaintext_of(100)
        body.close()
        with pytest.raises(ValueError, match="closed"):
            body.read(1)

    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == plaintext_of(4 * SIZE)


def test_body_when_it_failed_then_every_way_to_read_fails_again(
    moto_s3: Endpoint, new_bucket: NewBucket, sealed: ClientFactory
) -> None:
    client, bucket, plain = sealed(moto_s3), new_bucket(moto_s3), moto_s3.client()
    client.put_object(Bucket=bucket, Key="k", Body=plaintext_of(SIZE))
    stored = plain.get_object(Bucket=bucket, Key="k")
    changed = bytearray(stored["Body"].read())
    changed[SEGMENT_SIZE + 100] ^= 1
    plain.put_object(Bucket=bucket, Key="k", Body=bytes(changed), Metadata=stored["Metadata"])
    body: Any = client.get_object(Bucket=bucket, Key="k")["Body"]

    with pytest.raises(SegmentAuthenticationError):
        body.read()

    for again in (
        body.read,
        body.readlines,
        lambda: body.read(1),
        lambda: next(body),
        lambda: body.readinto(bytearray(5)),
    ):
        with pytest.raises(SegmentAuthenticationError):
            again()
