"""The listening side: a loopback socket, a thread for each connection, an orderly end."""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from functools import partial

from s3envelope.testing.s3_proxy.exchange import ClientConnection
from s3envelope.testing.s3_proxy.ledger import Ledger

_UPSTREAM_TIMEOUT_SECONDS = 120.0
_JOIN_TIMEOUT_SECONDS = 10.0


class Listener:
    """Accept connections on a free loopback port and serve each in a thread of its own."""

    def __init__(self, upstream: tuple[str, int], ledger: Ledger, tls: ssl.SSLContext | None) -> None:
        self._upstream = upstream
        self._ledger = ledger
        self._tls = tls
        self._is_stopping = threading.Event()
        self._lock = threading.Lock()
        self._open: dict[threading.Thread, Callable[[], None]] = {}
        self._socket = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._socket.getsockname()[1]
        self._acceptor = threading.Thread(target=self._accept, name="s3-proxy-accept", daemon=True)
        self._acceptor.start()

    def close(self) -> None:
        """Stop accepting, end every connection and wait for the threads; a second call does nothing."""
        if self._is_stopping.is_set():
            return
        self._is_stopping.set()
        # A connection of our own wakes accept() on every platform; closing the socket does not.
        with contextlib.suppress(OSError):
            socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
        self._acceptor.join(_JOIN_TIMEOUT_SECONDS)
        self._socket.close()
        with self._lock:
            threads = dict(self._open)
        for abort in threads.values():
            abort()
        for thread in threads:
            thread.join(_JOIN_TIMEOUT_SECONDS)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            if self._is_stopping.is_set():
                client.close()
                return
            thread = threading.Thread(target=self._serve, args=(client,), name="s3-proxy", daemon=True)
            with self._lock:
                self._open[thread] = partial(_shut, client)
            thread.start()

    def _serve(self, client: socket.socket) -> None:
        try:
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._tls is not None:
                client = self._tls.wrap_socket(client, server_side=True)
        except OSError:
            # A client that does not trust the certificate ends here; it knows why better than we do.
            client.close()
            self._forget()
            return
        connection = ClientConnection(
            client, self._ledger, connect=self._connect_upstream, is_stopping=self._is_stopping
        )
        with self._lock:
            self._open[threading.current_thread()] = connection.abort
        try:
            if not self._is_stopping.is_set():
                connection.serve()
        finally:
            connection.close()
            self._forget()

    def _connect_upstream(self) -> socket.socket:
        upstream = socket.create_connection(self._upstream, timeout=_UPSTREAM_TIMEOUT_SECONDS)
        upstream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return upstream

    def _forget(self) -> None:
        with self._lock:
            self._open.pop(threading.current_thread(), None)


def _shut(client: socket.socket) -> None:
    with contextlib.suppress(OSError):
        client.shutdown(socket.SHUT_RDWR)
