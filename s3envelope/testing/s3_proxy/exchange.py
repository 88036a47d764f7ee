"""One client connection: requests one after the other, each passed on and answered."""

import contextlib
import socket
import struct
import sys
import threading
from collections.abc import Callable, Iterator

from s3envelope.testing.s3_proxy.answers import AnswerSender, EndConnectionError
from s3envelope.testing.s3_proxy.edits import Forwarded
from s3envelope.testing.s3_proxy.faults import ResetRequest
from s3envelope.testing.s3_proxy.inspection import Inspector
from s3envelope.testing.s3_proxy.ledger import Ledger, Plan
from s3envelope.testing.s3_proxy.wire import Head, Wire, WireError, as_chunk, head_bytes, without_headers

_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class ClientConnection:
    """Serve one accepted connection until either side ends it."""

    def __init__(
        self,
        client: socket.socket,
        ledger: Ledger,
        *,
        connect: Callable[[], socket.socket],
        is_stopping: threading.Event,
    ) -> None:
        self._client = Wire(client)
        self._ledger = ledger
        self._connect = connect
        self._is_stopping = is_stopping
        self._upstream: Wire | None = None

    def serve(self) -> None:
        """Serve requests until the connection has ended; the sockets are left to `close`."""
        try:
            while not self._is_stopping.is_set() and self._exchange():
                pass
        except EndConnectionError as end:
            if end.is_reset:
                self._arm_reset()
        except (WireError, OSError):
            # A peer is gone, or talks no HTTP. An answer of ours would look like one of the storage.
            self._arm_reset()

    def abort(self) -> None:
        """Wake up the serving thread, from another thread."""
        upstream = self._upstream
        for wire in (self._client, upstream) if upstream else (self._client,):
            with contextlib.suppress(OSError):
                # Not the method of SSLSocket: that one would pull the TLS state from under the other thread.
                socket.socket.shutdown(wire.connection, socket.SHUT_RDWR)

    def close(self) -> None:
        """Close both sockets."""
        self._drop_upstream()
        self._client.connection.close()

    def _exchange(self) -> bool:
        """Pass one request on and its answer back; False when the connection is to end."""
        head = self._client.read_head()
        if head is None:
            return False
        request, plan = self._ledger.begin(head)
        inspector = Inspector(self._ledger, request, head)
        sender = AnswerSender(self._client, self._ledger, plan)
        try:
            with plan.turn:
                self._pass_on(head, plan, inspector, sender)
        finally:
            if not sender.has_logged:
                self._ledger.log(inspector.record(), status=None)
        if sender.is_upstream_finished:
            self._drop_upstream()
        return not sender.is_client_finished and head.get("connection").lower() != "close"

    def _pass_on(self, head: Head, plan: Plan, inspector: Inspector, sender: AnswerSender) -> None:
        body = self._body(head, plan, inspector)
        if plan.delay_seconds:
            self._is_stopping.wait(plan.delay_seconds)
        if plan.error_answer is not None:
            for _ in body:
                pass
            sender.send_error(inspector.record(), plan.error_answer)
            return
        upstream = self._fresh_upstream()
        if plan.request_editors:
            self._forward_edited(upstream, head, plan, inspector, body)
        else:
            self._forward(upstream, head, body)
        sender.relay(upstream, inspector.record())

    def _body(self, head: Head, plan: Plan, inspector: Inspector) -> Iterator[bytes]:
        """Yield the request's body, inspected, up to the planned reset."""
        reset_size = next((fault.after_size for fault in plan.faults if isinstance(fault, ResetRequest)), None)
        if reset_size == 0:
            raise EndConnectionError(is_reset=True)
        if head.get("expect").lower() == "100-continue":
            self._client.send(_CONTINUE)
        pieces = self._client.chunked() if head.is_chunked else self._client.sized(head.content_length or 0)
        return _inspected(pieces, inspector, reset_size)

    def _forward(self, upstream: Wire, head: Head, body: Iterator[bytes]) -> None:
        """Send the request as it is, without its Expect, piece by piece."""
        raw = head.raw
        if head.get("expect"):
            raw = head_bytes(head.first_line, without_headers(head.headers, "expect"))
        is_chunked = head.is_chunked
        is_listening = _try_send(upstream, raw)
        for piece in body:
            # A storage that has answered early may not listen any more: the rest is only read and inspected.
            is_listening = is_listening and _try_send(upstream, as_chunk(piece) if is_chunked else piece)
        if is_chunked and is_listening:
            _try_send(upstream, as_chunk(b""))

    def _forward_edited(
        self, upstream: Wire, head: Head, plan: Plan, inspector: Inspector, body: Iterator[bytes]
    ) -> None:
        """Send the request after its editors have had it whole."""
        payload = b"".join(body)
        request = inspector.record()
        forwarded = Forwarded(request, request.method, request.target, request.headers, payload)
        for edit in plan.request_editors:
            forwarded = edit(forwarded)
        headers = without_headers(forwarded.headers, "expect", "content-length", "transfer-encoding")
        if forwarded.body or forwarded.method in ("PUT", "POST"):
            headers = (*headers, ("Content-Length", str(len(forwarded.body))))
        first_line = f"{forwarded.method} {forwarded.target} HTTP/1.1"
        _try_send(upstream, head_bytes(first_line, headers) + forwarded.body)

    def _fresh_upstream(self) -> Wire:
        """Return the connection to the storage, made anew if the storage has closed it meanwhile."""
        if self._upstream is not None and not self._upstream.is_idle():
            self._drop_upstream()
        if self._upstream is None:
            self._upstream = Wire(self._connect())
        return self._upstream

    def _drop_upstream(self) -> None:
        if self._upstream is not None:
            self._upstream.connection.close()
            self._upstream = None

    def _arm_reset(self) -> None:
        with contextlib.suppress(OSError):
            # Windows has a struct of two shorts here, all others one of two ints.
            linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
            self._client.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


def _inspected(pieces: Iterator[bytes], inspector: Inspector, reset_size: int | None) -> Iterator[bytes]:
    """Yield the pieces after the inspector has had them; end the connection after `reset_size` bytes."""
    passed_size = 0
    for piece in pieces:
        inspector.feed(piece)
        passed_size += len(piece)
        if reset_size is not None and passed_size >= reset_size:
            break
        yield piece
    if reset_size is not None:
        raise EndConnectionError(is_reset=True)


def _try_send(upstream: Wire, message: bytes) -> bool:
    try:
        upstream.send(message)
    except OSError:
        return False
    return True
