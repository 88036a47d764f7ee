"""A small HTTP/1.1 server on a loopback port: keep-alive, a thread per connection, and really gone when stopped."""

from __future__ import annotations

import os
import selectors
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from http import HTTPStatus
from typing import BinaryIO

from s3envelope.testing.local_kms.service import HttpRequest, HttpResponse, ResetConnectionError

HOST = "127.0.0.1"
_MAX_LINE_SIZE = 16 * 1024
_MAX_HEADER_COUNT = 100
_MAX_BODY_SIZE = 1024 * 1024
_BACKLOG = 128
_JOIN_SECONDS = 5.0


def _bound_socket(port: int) -> socket.socket:
    """Return a socket that owns the port but does not listen: connections are refused."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        if os.name != "nt":
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((HOST, port))
    except OSError:
        bound.close()
        raise
    return bound


class HttpServer:
    """Serves requests through a function; can be stopped and started again on its port."""

    def __init__(self) -> None:
        self._respond: Callable[[HttpRequest], HttpResponse] | None = None
        self._lock = threading.RLock()
        self._connections: dict[socket.socket, threading.Thread] = {}
        self._socket: socket.socket | None = None
        self._acceptor: threading.Thread | None = None
        self._waker: socket.socket | None = None
        self.stopping = threading.Event()
        self.port = 0

    def serve(self, respond: Callable[[HttpRequest], HttpResponse]) -> None:
        """Set the function that answers requests; it may raise `ResetConnectionError`."""
        self._respond = respond

    def listen(self) -> None:
        """Accept connections from now on; on the first call, on a free port. Does nothing while listening."""
        with self._lock:
            if self._acceptor is not None:
                return
            self.reserve()
            assert self._socket is not None
            self._socket.listen(_BACKLOG)
            self._socket.setblocking(False)
            self.stopping.clear()
            wakee, self._waker = socket.socketpair()
            self._acceptor = threading.Thread(
                target=self._accept, args=(self._socket, wakee), name="LocalKms", daemon=True
            )
            self._acceptor.start()

    def reserve(self) -> None:
        """Own the port without listening on it. Does nothing when the port is owned."""
        with self._lock:
            if self._socket is None:
                self._socket = _bound_socket(self.port)
                self.port = self._socket.getsockname()[1]

    def refuse(self) -> bool:
        """Close all connections and refuse new ones, but keep the port; tell whether it was listening."""
        with self._lock:
            if self._acceptor is None:
                return False
            self._end_connections()
            self.reserve()
            return True

    def close(self) -> None:
        """Close everything and give the port back."""
        with self._lock:
            if self._acceptor is not None:
                self._end_connections()
            if self._socket is not None:
                self._socket.close()
                self._socket = None

    def _end_connections(self) -> None:
        """Stop accepting, shut every connection down and wait until their threads are gone."""
        assert self._acceptor is not None
        assert self._waker is not None
        assert self._socket is not None
        self.stopping.set()
        self._waker.close()
        self._acceptor.join(_JOIN_SECONDS)
        self._socket.close()
        self._socket = self._acceptor = self._waker = None
        open_connections = dict(self._connections)
        for connection in open_connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in open_connections.values():
            thread.join(_JOIN_SECONDS)

    def _accept(self, listener: socket.socket, wakee: socket.socket) -> None:
        """Start a thread per connection until the other end of `wakee` is closed."""
        with wakee, selectors.DefaultSelector() as selector:
            selector.register(listener, selectors.EVENT_READ)
            selector.register(wakee, selectors.EVENT_READ)
            while all(key.fileobj is not wakee for key, _ in selector.select()):
                with suppress(OSError):
                    connection, _ = listener.accept()
                    self._start(connection)

    def _start(self, connection: socket.socket) -> None:
        connection.setblocking(True)
        # Small answers must not wait for the acknowledgement of earlier ones.
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        thread = threading.Thread(target=self._serve, args=(connection,), name="LocalKms connection", daemon=True)
        self._connections[connection] = thread
        thread.start()

    def _serve(self, connection: socket.socket) -> None:
        """Answer the requests of one connection."""
        try:
            with connection, connection.makefile("rb") as stream, suppress(OSError):
                while not self.stopping.is_set() and self._serve_one(connection, stream):
                    pass
        finally:
            self._connections.pop(connection, None)

    def _serve_one(self, connection: socket.socket, stream: BinaryIO) -> bool:
        """Answer one request; tell whether another may follow."""
        try:
            request = _read_request(stream)
        except ValueError:
            connection.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
            return False
        if request is None:
            return False
        assert self._respond is not None
        try:
            response = self._respond(request)
        except ResetConnectionError:
            # Closing with a linger time of zero sends RST in place of FIN.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return False
        if self.stopping.is_set():
            return False
        connection.sendall(_encode(response))
        return request.headers.get("connection", "").lower() != "close"


def _read_line(stream: BinaryIO, *, end_is_legal: bool = False) -> str:
    line = stream.readline(_MAX_LINE_SIZE + 1)
    if not line and end_is_legal:
        return ""
    if not line.endswith(b"\n"):
        raise ValueError("a line is too long or cut off")
    return line.decode("latin-1").rstrip("\r\n")


def _read_request(stream: BinaryIO) -> HttpRequest | None:
    """Return the next request, or None at the end of the connection.

    Raises:
        ValueError: It is not a request that this server understands.
    """
    start_line = _read_line(stream, end_is_legal=True)
    if not start_line:
        return None
    method, path, version = start_line.split(" ")
    if version != "HTTP/1.1":
        raise ValueError("not HTTP/1.1")
    headers: dict[str, str] = {}
    while line := _read_line(stream):
        name, colon, value = line.partition(":")
        if not colon or len(headers) >= _MAX_HEADER_COUNT:
            raise ValueError("not a header, or too many")
        headers[name.lower()] = value.strip()
    size = int(headers.get("content-length", "0"))
    if "transfer-encoding" in headers or not 0 <= size <= _MAX_BODY_SIZE:
        raise ValueError("only bodies with a Content-Length of at most 1 MiB")
    body = stream.read(size)
    if len(body) != size:
        raise ValueError("the body is cut off")
    return HttpRequest(method, path, headers, body)


def _encode(response: HttpResponse) -> bytes:
    head = (
        f"HTTP/1.1 {response.status} {HTTPStatus(response.status).phrase}\r\n"
        f"x-amzn-RequestId: {response.request_id}\r\n"
        "Content-Type: application/x-amz-json-1.1\r\n"
        f"Content-Length: {len(response.body)}\r\n\r\n"
    )
    return head.encode("ascii") + response.body
