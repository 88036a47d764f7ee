"""The proxy between a raw HTTP client and a plain storage: framing, log, leaks, shutdown."""

import http.client
import os
import socket
import ssl
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from s3envelope.errors import ConfigurationError
from s3envelope.testing.s3_proxy import S3Proxy
from tests.support.certificates import TlsFiles
from tests.support.plain_http import PlainStorage, plain_storage

CANARY = b"CANARY-0123456789-abcdefghij"


@pytest.fixture
def storage() -> Iterator[PlainStorage]:
    with plain_storage() as running:
        yield running


@pytest.fixture
def proxy(storage: PlainStorage) -> Iterator[S3Proxy]:
    with S3Proxy(storage.url, keep_bodies=True) as running:
        yield running


@pytest.fixture
def connection(proxy: S3Proxy) -> Iterator[http.client.HTTPConnection]:
    opened = http.client.HTTPConnection(urlsplit(proxy.url).netloc, timeout=10)
    yield opened
    opened.close()


def _ask(
    connection: http.client.HTTPConnection,
    method: str,
    target: str,
    body: bytes | Iterator[bytes] | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, dict[str, str], bytes]:
    connection.request(method, target, body, headers or {}, encode_chunked=not isinstance(body, bytes))
    answer = connection.getresponse()
    return answer.status, dict(answer.getheaders()), answer.read()


def _is_reset_after(proxy: S3Proxy, message: bytes) -> bool:
    """Send bytes and the end of the stream; tell whether the proxy resets the connection unanswered."""
    with socket.create_connection(("127.0.0.1", urlsplit(proxy.url).port or 0), timeout=10) as opened:
        try:
            opened.sendall(message)
            opened.shutdown(socket.SHUT_WR)
            answer = opened.recv(65_536)
        except OSError as error:
            return not isinstance(error, TimeoutError)
    assert answer == b""
    return False


@pytest.mark.parametrize("size", [0, 1, 262_143, 262_144, 262_145, 1_000_000])
@pytest.mark.parametrize("framing", ["", "?chunked", "?close"])
def test_get_when_body_is_framed_in_any_way_then_same_bytes(
    storage: PlainStorage, connection: http.client.HTTPConnection, size: int, framing: str
) -> None:
    storage.objects["/b/k"] = os.urandom(size)

    status, _, body = _ask(connection, "GET", "/b/k" + framing)

    assert (status, body) == (200, storage.objects["/b/k"])


@pytest.mark.parametrize("size", [0, 1, 262_144, 1_000_000])
@pytest.mark.parametrize("is_chunked", [False, True])
def test_put_when_body_is_sized_or_chunked_then_storage_has_it(
    storage: PlainStorage,
    proxy: S3Proxy,
    connection: http.client.HTTPConnection,
    size: int,
    is_chunked: bool,
) -> None:
    body = os.urandom(size)

    status, _, _ = _ask(connection, "PUT", "/b/k", iter([body[:10], body[10:]]) if is_chunked else body)

    assert status == 200
    assert storage.objects["/b/k"] == body
    assert proxy.requests[0].body == body


def test_put_when_chunks_are_tiny_then_storage_has_them_all(
    storage: PlainStorage, connection: http.client.HTTPConnection
) -> None:
    chunks = [bytes([index % 256]) * (index % 5 + 1) for index in range(3_000)]

    _ask(connection, "PUT", "/b/k", iter(chunks))

    assert storage.objects["/b/k"] == b"".join(chunks)


@pytest.mark.parametrize("framing", ["?empty", "?notmodified"])
def test_bodiless_answers_when_followed_by_others_then_connection_stays_in_step(
    storage: PlainStorage, connection: http.client.HTTPConnection, framing: str
) -> None:
    storage.objects["/b/k"] = b"content"

    bodiless = _ask(connection, "GET", "/b/k" + framing)
    head = _ask(connection, "HEAD", "/b/k")
    whole = _ask(connection, "GET", "/b/k")

    assert bodiless[2] == b""
    assert (head[1]["Content-Length"], head[2]) == ("7", b"")
    assert whole[2] == b"content"


def test_connection_when_several_requests_then_one_upstream_connection_and_host_unchanged(
    storage: PlainStorage, proxy: S3Proxy, connection: http.client.HTTPConnection
) -> None:
    for _ in range(3):
        _ask(connection, "GET", "/b/k", headers={"Host": "bucket.example"})

    assert [headers["Host"] for _, headers in storage.heads] == ["bucket.example"] * 3
    assert [request.header("HOST") for request in proxy.requests] == ["bucket.example"] * 3


def test_expect_when_client_waits_then_proxy_continues_and_storage_never_sees_it(
    storage: PlainStorage, proxy: S3Proxy
) -> None:
    with socket.create_connection(("127.0.0.1", urlsplit(proxy.url).port or 0), timeout=10) as opened:
        opened.sendall(b"PUT /b/k HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n")
        interim = opened.recv(100)
        opened.sendall(b"body")
        final = opened.recv(100)

    assert interim == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert final.startswith(b"HTTP/1.1 200")
    assert storage.objects["/b/k"] == b"body"
    assert "Expect" not in storage.heads[0][1]


def test_put_when_storage_answers_before_the_body_then_client_gets_that_answer(
    proxy: S3Proxy, connection: http.client.HTTPConnection
) -> None:
    proxy.forbid(CANARY)

    status, _, body = _ask(connection, "PUT", "/b/k?early", bytes(5_000_000) + CANARY)

    assert (status, body) == (400, b"early")
    assert len(proxy.leaks) == 1


def test_log_when_request_is_answered_then_has_its_parts(
    proxy: S3Proxy, connection: http.client.HTTPConnection
) -> None:
    _ask(connection, "PUT", "/b/a%20k?partNumber=1", b"12345", {"X-Amz-Meta-A": "v"})

    (request,) = proxy.requests
    assert (request.method, request.path, request.query) == ("PUT", "/b/a k", "partNumber=1")
    assert (request.body_size, request.wire_size, request.status) == (5, 5, 200)
    assert request.header("x-amz-meta-a") == "v"


def test_log_when_body_is_aws_chunked_then_keeps_the_payload(
    proxy: S3Proxy, connection: http.client.HTTPConnection
) -> None:
    framed = b"3\r\nabc\r\n2\r\nde\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"

    _ask(connection, "PUT", "/b/k", framed, {"Content-Encoding": "aws-chunked"})

    (request,) = proxy.requests
    assert (request.body, request.body_size, request.wire_size) == (b"abcde", 5, len(framed))


def test_clear_when_called_then_log_and_leaks_are_empty_and_canary_stays(
    proxy: S3Proxy, connection: http.client.HTTPConnection
) -> None:
    proxy.forbid(CANARY)
    _ask(connection, "PUT", "/b/k", CANARY)

    proxy.clear()

    assert (proxy.requests, proxy.leaks) == ([], [])
    _ask(connection, "PUT", "/b/k", CANARY)
    assert len(proxy.leaks) == 1


def test_take_requests_when_called_then_each_request_is_returned_once(
    proxy: S3Proxy, connection: http.client.HTTPConnection
) -> None:
    _ask(connection, "PUT", "/b/k", b"1")
    first = proxy.take_requests()
    _ask(connection, "GET", "/b/k")

    second = proxy.take_requests()

    assert [[request.method for request in taken] for taken in (first, second)] == [["PUT"], ["GET"]]
    assert proxy.requests == []


def test_forbid_when_body_has_the_secret_across_pieces_then_one_leak(
    proxy: S3Proxy, connection: http.client.HTTPConnection
) -> None:
    proxy.forbid(CANARY)
    body = bytes(262_144 - 5) + CANARY + bytes(100)

    _ask(connection, "PUT", "/b/k", body)

    (leak,) = proxy.leaks
    assert (leak.canary, leak.encoding, leak.where, leak.offset) == (CANARY, "raw", "body", 262_139)
    assert leak.request.path == "/b/k"


def test_forbid_when_secret_straddles_aws_chunks_then_leak(
    proxy: S3Proxy, connection: http.client.HTTPConnection
) -> None:
    proxy.forbid(CANARY)
    framed = b"a\r\n%b\r\n%x\r\n%b\r\n0\r\n\r\n" % (CANARY[:10], len(CANARY) - 10, CANARY[10:])

    _ask(connection, "PUT", "/b/k", framed, {"X-Amz-Content-Sha256": "STREAMING-UNSIGNED-PAYLOAD-TRAILER"})

    assert [(leak.where, leak.offset) for leak in proxy.leaks] == [("body", 0)]


@pytest.mark.parametrize(
    ("target", "headers"),
    [
        ("/b/" + CANARY.decode(), {}),
        ("/b/" + "".join(f"%{byte:02X}" for byte in CANARY), {}),
        ("/b/k?tag=" + CANARY.hex(), {}),
        ("/b/k", {"x-amz-meta-a": CANARY.decode()}),
    ],
)
def test_forbid_when_head_has_the_secret_then_leak(
    proxy: S3Proxy, connection: http.client.HTTPConnection, target: str, headers: dict[str, str]
) -> None:
    proxy.forbid(CANARY)

    _ask(connection, "GET", target, headers=headers)

    assert {leak.where for leak in proxy.leaks} == {"head"}


def test_forbid_when_client_breaks_off_inside_body_then_what_came_was_searched(proxy: S3Proxy) -> None:
    proxy.forbid(CANARY)

    assert _is_reset_after(proxy, b"PUT /b/k HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n" + CANARY)

    assert [leak.where for leak in proxy.leaks] == ["body"]
    assert [request.status for request in proxy.requests] == [None]


@pytest.mark.parametrize(
    "message",
    [
        b"nonsense\r\n\r\n",
        b"GET /b/k HTTP/1.1\r\nno colon\r\n\r\n",
        b"PUT /b/k HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"PUT /b/k HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /b/k HTT",
    ],
)
def test_request_when_it_is_no_http_then_reset(proxy: S3Proxy, message: bytes) -> None:
    assert _is_reset_after(proxy, message)


def test_https_when_authority_is_trusted_then_passes_bodies(storage: PlainStorage, tls: TlsFiles) -> None:
    body = os.urandom(600_000)
    with S3Proxy(storage.url, certificate_files=tls.certificate_files) as proxy:
        trust = ssl.create_default_context(cafile=tls.ca_file)
        connection = http.client.HTTPSConnection(urlsplit(proxy.url).netloc, timeout=10, context=trust)
        put = _ask(connection, "PUT", "/b/k", body)
        got = _ask(connection, "GET", "/b/k")
        connection.close()

    assert put[0] == 200
    assert got[2] == body


def test_https_when_client_does_not_trust_then_proxy_stays_up(storage: PlainStorage, tls: TlsFiles) -> None:
    with S3Proxy(storage.url, certificate_files=tls.certificate_files) as proxy:
        distrust = ssl.create_default_context()
        connection = http.client.HTTPSConnection(urlsplit(proxy.url).netloc, timeout=10, context=distrust)
        with pytest.raises(ssl.SSLCertVerificationError):
            connection.request("GET", "/")
        connection.close()

        assert proxy.requests == []


def test_close_when_connections_are_open_then_no_thread_is_left(storage: PlainStorage) -> None:
    with S3Proxy(storage.url) as proxy:
        idle = socket.create_connection(("127.0.0.1", urlsplit(proxy.url).port or 0))
        busy = http.client.HTTPConnection(urlsplit(proxy.url).netloc, timeout=10)
        _ask(busy, "GET", "/b/k")

    idle.close()
    busy.close()
    assert [thread.name for thread in threading.enumerate() if thread.name.startswith("s3-proxy")] == []
    proxy.close()


@pytest.mark.parametrize("url", ["https://127.0.0.1:1", "http://127.0.0.1", "127.0.0.1:80"])
def test_proxy_when_upstream_is_not_plain_http_with_port_then_refused(url: str) -> None:
    with pytest.raises(ConfigurationError, match="http://HOST:PORT"):
        S3Proxy(url)


def test_request_when_storage_is_down_then_reset() -> None:
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    with S3Proxy(f"http://127.0.0.1:{port}") as proxy:
        assert _is_reset_after(proxy, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

    assert [request.status for request in proxy.requests] == [None]
