"""The way back: the storage's answer to the client, as it is, edited or broken."""

from collections.abc import Iterator
from http import HTTPStatus

from s3envelope.testing.s3_proxy.edits import Answer
from s3envelope.testing.s3_proxy.faults import ErrorAnswer, ResetResponse, TruncatedResponse
from s3envelope.testing.s3_proxy.ledger import Ledger, Plan
from s3envelope.testing.s3_proxy.records import RecordedRequest
from s3envelope.testing.s3_proxy.wire import (
    Head,
    Headers,
    Wire,
    WireError,
    as_chunk,
    head_bytes,
    without_headers,
)

_BODILESS_STATUSES = (204, 304)


class EndConnectionError(Exception):
    """The client connection is to end now: with a reset, or in good order."""

    def __init__(self, *, is_reset: bool) -> None:
        super().__init__()
        self.is_reset = is_reset


class AnswerSender:
    """Send the answer of one request; knows afterwards which connections are finished."""

    def __init__(self, client: Wire, ledger: Ledger, plan: Plan) -> None:
        self._client = client
        self._ledger = ledger
        self._plan = plan
        self.has_logged = False
        self.is_client_finished = False
        self.is_upstream_finished = False

    def send_error(self, request: RecordedRequest, error: ErrorAnswer) -> None:
        """Send an injected error."""
        headers: Headers = (("Content-Type", "application/xml"), ("x-amz-request-id", "0"))
        body = b"" if request.method == "HEAD" else error.body()
        self._send_whole(Answer(request, error.status, headers, body))

    def relay(self, upstream: Wire, request: RecordedRequest) -> None:
        """Read the storage's answer and send it.

        Raises:
            WireError: The storage closed the connection, or broke HTTP.
            EndConnectionError: A planned fault ends the client's connection.
        """
        head, status = _final_head(upstream)
        has_body = request.method != "HEAD" and status not in _BODILESS_STATUSES
        ends_with_close = has_body and not head.is_chunked and head.content_length is None
        self.is_upstream_finished = ends_with_close or _announces_close(head)
        self.is_client_finished = self.is_upstream_finished
        body = _answer_body(upstream, head) if has_body else iter(())
        if self._plan.answer_editors:
            answer = Answer(request, status, without_headers(head.headers, "transfer-encoding"), b"".join(body))
            for edit in self._plan.answer_editors:
                answer = edit(answer)
            self._send_whole(answer)
            return
        self._log(request, status)
        raw = head.raw
        if self.is_client_finished:
            first_line = "HTTP/1.1 " + head.first_line.partition(" ")[2]
            raw = head_bytes(first_line, (*without_headers(head.headers, "connection"), ("Connection", "close")))
        self._send(raw, body, is_chunked=has_body and head.is_chunked)

    def _send_whole(self, answer: Answer) -> None:
        """Send an answer whose body is in memory."""
        headers = answer.headers
        body = answer.body
        is_head = answer.request.method == "HEAD"
        if answer.declared_size is not None and answer.declared_size != len(body):
            self.is_client_finished = True
        if not is_head and answer.status not in _BODILESS_STATUSES:
            size = len(body) if answer.declared_size is None else answer.declared_size
            headers = (*without_headers(headers, "content-length"), ("Content-Length", str(size)))
        if self.is_client_finished:
            headers = (*without_headers(headers, "connection"), ("Connection", "close"))
        self._log(answer.request, answer.status)
        first_line = f"HTTP/1.1 {answer.status} {_reason(answer.status)}"
        self._send(head_bytes(first_line, headers), iter(() if is_head or not body else (body,)), is_chunked=False)

    def _send(self, head: bytes, body: Iterator[bytes], *, is_chunked: bool) -> None:
        """Send head and body up to the planned end."""
        limit, end = self._planned_end()
        self._client.send(head)
        sent_size = 0
        for piece in body:
            allowed = piece if limit is None else piece[: limit - sent_size]
            sent_size += len(allowed)
            if allowed:
                self._client.send(as_chunk(allowed) if is_chunked else allowed)
            if end is not None and sent_size == limit:
                raise end
        if end is not None:
            raise end
        if is_chunked:
            self._client.send(as_chunk(b""))

    def _planned_end(self) -> tuple[int | None, EndConnectionError | None]:
        """Return after how many bytes of the body the answer breaks off, and how."""
        for fault in self._plan.faults:
            if isinstance(fault, TruncatedResponse) and fault.after_size is not None:
                return fault.after_size, EndConnectionError(is_reset=False)
            if isinstance(fault, ResetResponse) and fault.after_size is not None:
                return fault.after_size, EndConnectionError(is_reset=True)
        return None, None

    def _log(self, request: RecordedRequest, status: int) -> None:
        """Log the request before its answer: whoever has the answer finds the request in the log."""
        for fault in self._plan.faults:
            if isinstance(fault, ResetResponse | TruncatedResponse) and fault.after_size is None:
                raise EndConnectionError(is_reset=isinstance(fault, ResetResponse))
        self._ledger.log(request, status=status)
        self.has_logged = True


def _final_head(upstream: Wire) -> tuple[Head, int]:
    """Return the head after all interim ones, and its status."""
    while True:
        head = upstream.read_head()
        if head is None:
            raise WireError("the storage closed the connection without an answer")
        words = head.first_line.split(" ", 2)
        if len(words) < 2 or not words[1].isdecimal():
            raise WireError("not a status line")
        status = int(words[1])
        if status >= 200:
            return head, status


def _answer_body(upstream: Wire, head: Head) -> Iterator[bytes]:
    if head.is_chunked:
        return upstream.chunked()
    size = head.content_length
    return upstream.until_close() if size is None else upstream.sized(size)


def _announces_close(head: Head) -> bool:
    connection = head.get("connection").lower()
    return connection == "close" or (head.first_line.startswith("HTTP/1.0") and connection != "keep-alive")


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"
