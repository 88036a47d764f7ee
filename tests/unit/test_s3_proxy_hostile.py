"""The proxy as hostile storage and as bad network, each helper against a plain storage."""

import http.client
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

import pytest

from s3envelope.errors import ConfigurationError
from s3envelope.testing.s3_proxy import (
    Answer,
    AnswerEditor,
    ErrorAnswer,
    Latency,
    ResetRequest,
    ResetResponse,
    S3Proxy,
    StoredAnswers,
    TruncatedResponse,
    drop_header,
    flip_byte,
    matching,
    redirect_path,
    replace_body,
    replace_status,
    replay,
    set_header,
    swap_answers,
    truncate_body,
)
from tests.support.plain_http import PlainStorage, plain_storage

BODY = b"0123456789"


@dataclass(frozen=True, slots=True)
class Reply:
    """What the client got."""

    status: int
    headers: dict[str, str]
    body: bytes


Ask = Callable[..., Reply]


@pytest.fixture
def storage() -> Iterator[PlainStorage]:
    with plain_storage() as running:
        running.objects.update({"/b/k": BODY, "/b/other": b"other content"})
        yield running


@pytest.fixture
def proxy(storage: PlainStorage) -> Iterator[S3Proxy]:
    with S3Proxy(storage.url) as running:
        yield running


@pytest.fixture
def ask(proxy: S3Proxy) -> Ask:
    def send(method: str, target: str, body: bytes | None = None) -> Reply:
        with closing(http.client.HTTPConnection(urlsplit(proxy.url).netloc, timeout=10)) as connection:
            connection.request(method, target, body)
            answer = connection.getresponse()
            return Reply(answer.status, dict(answer.getheaders()), answer.read())

    return send


@pytest.mark.parametrize(
    ("editor", "body"),
    [
        (flip_byte(0), b"\xcf123456789"),
        (flip_byte(-1), b"012345678\xc6"),
        (flip_byte(10), BODY),
        (truncate_body(3), b"012"),
        (replace_body(b"new"), b"new"),
    ],
)
@pytest.mark.parametrize("framing", ["", "?chunked", "?close"])
def test_body_editor_when_answer_matches_then_client_gets_the_edited_body(
    proxy: S3Proxy, ask: Ask, editor: AnswerEditor, body: bytes, framing: str
) -> None:
    proxy.on_response(matching(path="/b/k"), editor)

    reply = ask("GET", "/b/k" + framing)

    assert (reply.body, reply.headers["Content-Length"]) == (body, str(len(body)))


def test_truncate_when_dishonest_then_client_misses_bytes(proxy: S3Proxy, ask: Ask) -> None:
    proxy.on_response(matching(), truncate_body(3, honest=False))

    with pytest.raises(http.client.IncompleteRead) as raised:
        ask("GET", "/b/k")

    assert (raised.value.partial, raised.value.expected) == (b"012", 7)


def test_declared_size_when_too_small_then_client_reads_only_that(proxy: S3Proxy, ask: Ask) -> None:
    proxy.on_response(matching(), lambda answer: replace(answer, declared_size=4))

    assert ask("GET", "/b/k").body == b"0123"


def test_replace_status_when_matched_then_client_and_log_have_it(proxy: S3Proxy, ask: Ask) -> None:
    proxy.on_response(matching(), replace_status(404))

    assert ask("GET", "/b/k").status == 404
    assert [request.status for request in proxy.requests] == [404]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_header_editors_when_matched_then_headers_change_and_length_stays(
    proxy: S3Proxy, ask: Ask, method: str
) -> None:
    proxy.on_response(matching(), set_header("x-amz-missing-meta", "1"))
    proxy.on_response(matching(), set_header("etag", '"forged"'))
    proxy.on_response(matching(), drop_header("DATE"))

    headers = {name.lower(): value for name, value in ask(method, "/b/k").headers.items()}

    assert (headers["x-amz-missing-meta"], headers["etag"]) == ("1", '"forged"')
    assert "date" not in headers
    assert headers["content-length"] == "10"


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_replay_when_object_changed_then_client_gets_the_old_answer(
    storage: PlainStorage, proxy: S3Proxy, ask: Ask, method: str
) -> None:
    stored = StoredAnswers()
    rule = proxy.on_response(matching(), stored, times=1)
    ask(method, "/b/k")
    storage.objects["/b/k"] = b"newer and longer content"
    proxy.on_response(matching(), replay(stored.latest(path="/b/k", method=method)))

    reply = ask(method, "/b/k")

    assert rule.hit_count == 1
    assert (reply.body, reply.headers["Content-Length"]) == (BODY if method == "GET" else b"", "10")


def test_swap_when_both_answers_are_stored_then_each_path_gets_the_other(proxy: S3Proxy, ask: Ask) -> None:
    stored = StoredAnswers()
    proxy.on_response(matching(), stored)
    ask("GET", "/b/k")
    ask("GET", "/b/other")
    proxy.clear_rules()
    proxy.on_response(matching(), swap_answers(stored, "/b/k", "/b/other"))

    assert ask("GET", "/b/k").body == b"other content"
    assert ask("GET", "/b/other").body == BODY
    assert ask("GET", "/b/none").status == 404


def test_latest_when_nothing_is_stored_then_refused() -> None:
    with pytest.raises(ConfigurationError, match="let the client ask for it first"):
        StoredAnswers().latest(path="/b/k")


def test_redirect_when_storage_checks_no_signature_then_other_object(proxy: S3Proxy, ask: Ask) -> None:
    proxy.on_request(matching(method="GET"), redirect_path("/b/k", "/b/other"))

    assert ask("GET", "/b/k?chunked").body == b"other content"
    assert proxy.requests[0].path == "/b/k"


def test_on_request_when_body_is_edited_then_storage_has_the_edited_one(
    storage: PlainStorage, proxy: S3Proxy, ask: Ask
) -> None:
    proxy.on_request(matching(method="PUT"), lambda request: replace(request, body=request.body + b"!"))

    assert ask("PUT", "/b/k", b"sent").status == 200
    assert storage.objects["/b/k"] == b"sent!"


def test_matcher_when_parts_differ_then_editor_is_not_called(proxy: S3Proxy, ask: Ask) -> None:
    def fail(answer: Answer) -> Answer:
        raise AssertionError(answer.request.path)

    proxy.on_response(matching(method="PUT"), fail)
    proxy.on_response(matching(path="/b/k2"), fail)
    proxy.on_response(matching(contains="uploadId="), fail)

    assert ask("GET", "/b/k").body == BODY


def test_error_answer_when_injected_twice_then_storage_is_asked_the_third_time(
    storage: PlainStorage, proxy: S3Proxy, ask: Ask
) -> None:
    rule = proxy.inject(ErrorAnswer(), matching(method="PUT"), times=2)

    replies = [ask("PUT", "/b/k", b"sent") for _ in range(3)]

    assert [reply.status for reply in replies] == [503, 503, 200]
    assert b"<Code>SlowDown</Code>" in replies[0].body
    assert (rule.hit_count, len(storage.heads)) == (2, 1)


def test_faults_when_several_match_then_each_has_its_turn(proxy: S3Proxy, ask: Ask) -> None:
    for status in (503, 500):
        proxy.inject(ErrorAnswer(status), matching())
    proxy.inject(Latency(0.001), matching(), times=None)

    assert [ask("GET", "/b/k").status for _ in range(3)] == [503, 500, 200]


def test_reset_request_when_before_body_then_storage_sees_nothing(
    storage: PlainStorage, proxy: S3Proxy, ask: Ask
) -> None:
    proxy.inject(ResetRequest(), matching(method="PUT"))

    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        ask("PUT", "/b/k", bytes(1_000_000))

    assert storage.heads == []
    assert [request.status for request in proxy.requests] == [None]


def test_reset_request_when_in_the_middle_then_object_is_not_stored(
    storage: PlainStorage, proxy: S3Proxy, ask: Ask
) -> None:
    proxy.inject(ResetRequest(after_size=300_000), matching(method="PUT"))

    with pytest.raises((ConnectionResetError, BrokenPipeError)):
        ask("PUT", "/b/k", bytes(3_000_000))

    assert storage.objects["/b/k"] == BODY
    assert 300_000 <= proxy.requests[0].body_size < 3_000_000


def test_reset_response_when_before_head_then_storage_has_done_its_work(
    storage: PlainStorage, proxy: S3Proxy, ask: Ask
) -> None:
    proxy.inject(ResetResponse(), matching(method="PUT"))

    with pytest.raises(ConnectionResetError):
        ask("PUT", "/b/k", b"sent")

    assert storage.objects["/b/k"] == b"sent"
    assert [request.status for request in proxy.requests] == [None]


@pytest.mark.parametrize("framing", ["", "?chunked"])
def test_reset_response_when_in_the_middle_then_connection_error(
    storage: PlainStorage, proxy: S3Proxy, ask: Ask, framing: str
) -> None:
    storage.objects["/b/k"] = bytes(1_000_000)
    proxy.inject(ResetResponse(after_size=500_000), matching(method="GET"))

    with pytest.raises((ConnectionResetError, http.client.IncompleteRead)):
        ask("GET", "/b/k" + framing)


@pytest.mark.parametrize("after_size", [0, 1, 500_000])
@pytest.mark.parametrize("framing", ["", "?chunked"])
def test_truncated_response_when_injected_then_client_gets_that_many_bytes(
    storage: PlainStorage, proxy: S3Proxy, ask: Ask, after_size: int, framing: str
) -> None:
    storage.objects["/b/k"] = bytes(1_000_000)
    proxy.inject(TruncatedResponse(after_size), matching(method="GET"))

    with pytest.raises(http.client.IncompleteRead) as raised:
        ask("GET", "/b/k" + framing)

    assert len(raised.value.partial) == after_size


def test_truncated_response_when_before_head_then_closed_in_good_order_and_storage_has_done_its_work(
    storage: PlainStorage, proxy: S3Proxy, ask: Ask
) -> None:
    proxy.inject(TruncatedResponse(None), matching(method="PUT"))

    with pytest.raises(http.client.RemoteDisconnected):
        ask("PUT", "/b/k", b"sent")

    assert storage.objects["/b/k"] == b"sent"
    assert [request.status for request in proxy.requests] == [None]


def test_latency_when_injected_then_the_answer_waits(proxy: S3Proxy, ask: Ask) -> None:
    proxy.inject(Latency(0.05), matching())
    start = time.monotonic()

    assert ask("GET", "/b/k").body == BODY

    assert time.monotonic() - start >= 0.05


def test_close_when_a_request_is_delayed_then_does_not_wait_for_it(storage: PlainStorage) -> None:
    with S3Proxy(storage.url) as proxy:
        rule = proxy.inject(Latency(600), matching())
        delayed = socket.create_connection(("127.0.0.1", urlsplit(proxy.url).port or 0), timeout=10)
        delayed.sendall(b"GET /b/k HTTP/1.1\r\nHost: x\r\n\r\n")
        while rule.hit_count == 0:
            pass
        start = time.monotonic()

    delayed.close()
    assert time.monotonic() - start < 5
