"""A tiny HTTP storage in memory, for tests of the proxy: no S3, every way to frame an answer."""

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(slots=True)
class PlainStorage:
    """What the storage holds and has seen."""

    url: str = ""
    objects: dict[str, bytes] = field(default_factory=dict)
    heads: list[tuple[str, dict[str, str]]] = field(default_factory=list)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, storage: PlainStorage) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.storage = storage

    def handle_error(self, request: object, client_address: object) -> None:
        """Say nothing when a proxy breaks off: the tests ask for it."""


class _Handler(BaseHTTPRequestHandler):
    """Store bodies by path; the query of a GET says how to frame: chunked, close, empty, notmodified, early."""

    protocol_version = "HTTP/1.1"
    server: _Server

    def do_PUT(self) -> None:
        """Store the body, or refuse before it is read when the query is "early"."""
        self._note()
        path, _, query = self.path.partition("?")
        if query == "early":
            self.close_connection = True
            self._answer(400, b"early")
            return
        self.server.storage.objects[path] = self._body()
        self._answer(200, b"", ETag='"stored"')

    def do_GET(self) -> None:
        """Return the body of the path."""
        self._note()
        path, _, query = self.path.partition("?")
        body = self.server.storage.objects.get(path)
        if body is None:
            self._answer(404, b"none")
        elif query == "chunked":
            self._answer_chunked(body)
        elif query == "close":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)
            self.close_connection = True
        elif query in ("empty", "notmodified"):
            self.send_response({"empty": 204, "notmodified": 304}[query])
            self.send_header("ETag", '"stored"')
            self.end_headers()
        else:
            self._answer(200, body, ETag='"stored"')

    def do_HEAD(self) -> None:
        """Return what `do_GET` does, without the body."""
        self.do_GET()

    def log_message(self, format: str, *arguments: object) -> None:
        """Print nothing."""

    def _note(self) -> None:
        self.server.storage.heads.append((self.requestline, dict(self.headers.items())))

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            size = int(self.headers.get("Content-Length", "0"))
            body = self.rfile.read(size)
            if len(body) != size:
                raise ConnectionError("the request ended inside its body")
            return body
        body = b""
        while size := int(self.rfile.readline().split(b";")[0], 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        while self.rfile.readline().strip():
            pass
        return body

    def _answer(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _answer_chunked(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for start in range(0, len(body), 70_000):
            piece = body[start : start + 70_000]
            self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        self.wfile.write(b"0\r\n\r\n")


@contextlib.contextmanager
def plain_storage() -> Iterator[PlainStorage]:
    """Run the storage on a free port of loopback."""
    storage = PlainStorage()
    with _Server(storage) as server:
        storage.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        thread.start()
        try:
            yield storage
        finally:
            server.shutdown()
            thread.join()
