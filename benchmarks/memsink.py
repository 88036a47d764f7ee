"""The smallest S3 that does not hide what a client costs: in memory, on loopback, without authentication.

    python -m benchmarks.memsink [--discard] [--tls CERTIFICATE KEY]

It prints its port, and ends when its standard input does. Objects are kept in memory, as they came: the machine needs
as much of it as the objects have bytes, and for a moment twice that where a multipart upload replaces an object. An
object of 2 GiB is no burden to the machines this runs on, and nothing else serves ciphertext as cheaply. `--discard`
keeps sizes only and answers GET with zeros, which suits uploads of any size; a sealed object cannot be read back.

`GET /-/counts` answers how many requests came since it was asked before, as JSON, in the two classes that S3 has prices
for: `writes` (PUT, POST, COPY, LIST) and `reads` (all others). Requests to delete are free, and not counted.

ETags are no hashes, and do not look like one: some clients would compare them.

Not for tests of correctness: nothing is verified, and an object that is overwritten by one of the same size keeps its
buffer, so that whoever reads it meanwhile sees both.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import socket
import ssl
import sys
import threading
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import count
from xml.sax.saxutils import escape

from benchmarks.wire import Connection, Request, receive_body

HOST = "127.0.0.1"
_SEND_SIZE = 8 << 20
_KEPT = re.compile(
    r"x-amz-meta-.*|x-amz-checksum-(crc|sha).*|content-(type|disposition|language)|cache-control|expires",
)
_CHECKSUM_PREFIX = "x-amz-checksum-"
_META_PREFIX = "x-amz-meta-"
COUNTS_PATH = "/-/counts"
_MODIFIED = "Tue, 24 Nov 2026 10:00:00 GMT"

# What is kept of a body: the bytes, or its size only.
_Piece = bytearray | int


def _size(piece: _Piece) -> int:
    return piece if isinstance(piece, int) else len(piece)


@dataclass(slots=True)
class _Object:
    pieces: list[_Piece]
    headers: dict[str, str]

    @property
    def size(self) -> int:
        return sum(map(_size, self.pieces))


@dataclass(slots=True)
class _Upload:
    headers: dict[str, str]
    parts: dict[int, _Piece] = field(default_factory=dict)


class _Counts:
    """How many requests came, by what they cost."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = dict.fromkeys(("writes", "reads"), 0)

    def add(self, request: Request) -> None:
        """Count a request."""
        if request.method == "DELETE":
            return
        is_list = request.method == "GET" and "list-type" in request.query
        with self._lock:
            self._counts["writes" if is_list or request.method in ("PUT", "POST") else "reads"] += 1

    def take(self) -> dict[str, int]:
        """Return the counts and begin again."""
        with self._lock:
            taken, self._counts = self._counts, dict.fromkeys(self._counts, 0)
            return taken


class Sink:
    """The objects, and the answers to requests about them.

    Args:
        discard: Keep sizes only.
    """

    def __init__(self, *, discard: bool) -> None:
        self._discard = discard
        self._objects: dict[str, _Object] = {}
        self._uploads: dict[str, _Upload] = {}
        self._numbers = count(1)
        self._counts = _Counts()
        self._zeros = memoryview(bytes(_SEND_SIZE)) if discard else memoryview(b"")

    def serve(self, connection: Connection) -> None:
        """Answer requests until the client goes away."""
        # A client that goes away, or says something that is not HTTP, ends its connection and nothing else.
        with contextlib.suppress(EOFError, OSError, ValueError, KeyError):
            while True:
                request = Request.parse(connection.until(b"\r\n\r\n"))
                if request.headers.get("expect", "").lower() == "100-continue":
                    connection.send(b"HTTP/1.1 100 Continue\r\n\r\n")
                if request.path == COUNTS_PATH:
                    _answer(connection, "200 OK", {}, json.dumps(self._counts.take()).encode())
                    continue
                self._counts.add(request)
                self._handler(request)(connection, request)
        connection.close()

    def _handler(self, request: Request) -> Callable[[Connection, Request], None]:
        names_object = request.path.count("/") > 1 and not request.path.endswith("/")
        if not names_object:
            return self._list if request.method == "GET" and "list-type" in request.query else self._accept
        if request.method == "PUT" and "x-amz-copy-source" in request.headers:
            return self._copy
        if request.method == "PUT":
            return self._put_part if "uploadId" in request.query else self._put
        if request.method == "POST":
            return self._begin if "uploads" in request.query else self._complete
        return {"GET": self._get, "HEAD": self._get, "DELETE": self._delete}.get(request.method, self._accept)

    def _accept(self, connection: Connection, request: Request) -> None:
        receive_body(connection, request, None)
        _answer(connection, "200 OK", {})

    def _list(self, connection: Connection, request: Request) -> None:
        """Answer that there is nothing: enough for tools that look before they write."""
        receive_body(connection, request, None)
        found = "<KeyCount>0</KeyCount><IsTruncated>false</IsTruncated>"
        _answer(connection, "200 OK", {}, f'<?xml version="1.0"?><ListBucketResult>{found}</ListBucketResult>'.encode())

    def _copy(self, connection: Connection, request: Request) -> None:
        """Copy within memory; as on S3, a copy of an object that was put has the same ETag."""
        receive_body(connection, request, None)
        source = self._objects.get("/" + urllib.parse.unquote(request.headers["x-amz-copy-source"]).lstrip("/"))
        if source is None:
            _answer_error(connection, "404 Not Found", "NoSuchKey", is_head=False)
            return
        wanted = request.headers.get("x-amz-copy-source-if-match")
        if wanted not in (None, source.headers["etag"], source.headers["etag"].strip('"')):
            _answer_error(connection, "412 Precondition Failed", "PreconditionFailed", is_head=False)
            return
        headers = source.headers
        if request.headers.get("x-amz-metadata-directive") == "REPLACE":
            others = {name: value for name, value in headers.items() if not name.startswith(_META_PREFIX)}
            headers = {**others, **_kept(request.headers)}
        self._objects[request.path] = _Object(source.pieces, headers)
        inner = f"<ETag>{escape(headers['etag'])}</ETag><LastModified>2026-11-24T10:00:00.000Z</LastModified>"
        _answer(connection, "200 OK", {}, f'<?xml version="1.0"?><CopyObjectResult>{inner}</CopyObjectResult>'.encode())

    def _receive(
        self, connection: Connection, request: Request, known: Sequence[_Piece] = ()
    ) -> tuple[_Piece, dict[str, str]]:
        """Receive a body, into the buffer of a replaced object if it has the size: its pages are at hand."""
        size = request.body_size
        if self._discard:
            receive_body(connection, request, None)
            return size, {}
        old = known[0] if len(known) == 1 else None
        buffer = old if isinstance(old, bytearray) and len(old) == size else bytearray(size)
        trailers = receive_body(connection, request, buffer)
        return buffer, {**request.headers, **trailers}

    def _put(self, connection: Connection, request: Request) -> None:
        known = self._objects.get(request.path)
        piece, headers = self._receive(connection, request, known.pieces if known else ())
        kept = _kept(headers if not self._discard else _without_checksums(request.headers))
        kept["etag"] = f'"sink-{next(self._numbers)}"'
        self._objects[request.path] = _Object([piece], kept)
        _answer(connection, "200 OK", {"etag": kept["etag"]})

    def _begin(self, connection: Connection, request: Request) -> None:
        receive_body(connection, request, None)
        upload_id = str(next(self._numbers))
        self._uploads[upload_id] = _Upload(_kept(request.headers))
        _answer_xml(connection, request, "InitiateMultipartUploadResult", {"UploadId": upload_id})

    def _put_part(self, connection: Connection, request: Request) -> None:
        number = int(request.query["partNumber"])
        piece, headers = self._receive(connection, request)
        self._uploads[request.query["uploadId"]].parts[number] = piece
        checksums = {name: value for name, value in _kept(headers).items() if name.startswith(_CHECKSUM_PREFIX)}
        _answer(connection, "200 OK", {"etag": f'"{number:032x}"', **checksums})

    def _complete(self, connection: Connection, request: Request) -> None:
        receive_body(connection, request, None)
        upload = self._uploads.pop(request.query["uploadId"])
        etag = f'"sink-{next(self._numbers)}-{len(upload.parts)}"'
        pieces = [upload.parts[number] for number in sorted(upload.parts)]
        self._objects[request.path] = _Object(pieces, {**upload.headers, "etag": etag})
        _answer_xml(connection, request, "CompleteMultipartUploadResult", {"ETag": etag})

    def _delete(self, connection: Connection, request: Request) -> None:
        self._objects.pop(request.path, None)
        self._uploads.pop(request.query.get("uploadId", ""), None)
        _answer(connection, "204 No Content", {})

    def _get(self, connection: Connection, request: Request) -> None:
        is_head = request.method == "HEAD"
        known = self._objects.get(request.path)
        if known is None:
            _answer_error(connection, "404 Not Found", "NoSuchKey", is_head=is_head)
            return
        if request.headers.get("if-match") not in (None, "*", known.headers["etag"]):
            _answer_error(connection, "412 Precondition Failed", "PreconditionFailed", is_head=is_head)
            return
        status, start, end = "200 OK", 0, known.size
        headers = {**known.headers, "accept-ranges": "bytes", "last-modified": _MODIFIED}
        if "range" in request.headers:
            start, end = _interval(request.headers["range"], known.size)
            if start >= end:
                _answer_error(connection, "416 Range Not Satisfiable", "InvalidRange", is_head=is_head)
                return
            status = "206 Partial Content"
            headers["content-range"] = f"bytes {start}-{end - 1}/{known.size}"
        if "content-range" in headers or "x-amz-checksum-mode" not in request.headers:
            headers = _without_checksums(headers)
        views = () if is_head else self._views(known.pieces, start, end)
        _answer(connection, status, headers, size=end - start, views=views)

    def _views(self, pieces: Sequence[_Piece], start: int, end: int) -> Iterator[memoryview]:
        offset = 0
        for piece in pieces:
            low, high = max(start, offset), min(end, offset + _size(piece))
            for position in range(low, high, _SEND_SIZE):
                size = min(_SEND_SIZE, high - position)
                if isinstance(piece, int):
                    yield self._zeros[:size]
                else:
                    yield memoryview(piece)[position - offset : position - offset + size]
            offset += _size(piece)


def _kept(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if _KEPT.fullmatch(name)}


def _without_checksums(headers: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in headers.items() if not name.startswith(_CHECKSUM_PREFIX)}


def _interval(header: str, size: int) -> tuple[int, int]:
    first, _, last = header.removeprefix("bytes=").partition("-")
    if not first:
        return max(0, size - int(last)), size
    return int(first), min(size, int(last) + 1) if last else size


def _answer(
    connection: Connection,
    status: str,
    headers: Mapping[str, str],
    content: bytes = b"",
    *,
    size: int | None = None,
    views: Iterator[memoryview] | tuple[()] = (),
) -> None:
    lines = [
        f"HTTP/1.1 {status}",
        f"content-length: {len(content) if size is None else size}",
        "x-amz-request-id: 0",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    connection.send("\r\n".join([*lines, "", ""]).encode("latin-1") + content)
    for view in views:
        connection.send(view)


def _answer_xml(connection: Connection, request: Request, root: str, elements: Mapping[str, str]) -> None:
    _, bucket, key = request.path.split("/", 2)
    inner = "".join(
        f"<{name}>{escape(text)}</{name}>" for name, text in {"Bucket": bucket, "Key": key, **elements}.items()
    )
    _answer(connection, "200 OK", {}, f'<?xml version="1.0"?><{root}>{inner}</{root}>'.encode())


def _answer_error(connection: Connection, status: str, code: str, *, is_head: bool) -> None:
    content = f"<Error><Code>{code}</Code></Error>".encode()
    _answer(connection, status, {}, b"" if is_head else content, size=len(content))


def _listen(sink: Sink, listener: socket.socket, context: ssl.SSLContext | None) -> None:
    def serve(accepted: socket.socket) -> None:
        accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError):
            sink.serve(Connection(context.wrap_socket(accepted, server_side=True) if context else accepted))

    while True:
        accepted, _ = listener.accept()
        threading.Thread(target=serve, args=(accepted,), daemon=True).start()


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until standard input ends."""
    parser = argparse.ArgumentParser(prog="benchmarks.memsink", description="An S3 in memory, for benchmarks.")
    parser.add_argument("--discard", action="store_true", help="keep sizes only; GET answers zeros")
    parser.add_argument("--tls", nargs=2, metavar=("CERTIFICATE", "KEY"), help="PEM files; serve https")
    options = parser.parse_args(arguments)
    context = None
    if options.tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*options.tls)
    listener = socket.create_server((HOST, 0), backlog=128)
    sink = Sink(discard=options.discard)
    threading.Thread(target=_listen, args=(sink, listener, context), daemon=True).start()
    print(listener.getsockname()[1], flush=True)
    # Whoever started this holds the other end: it closes at the latest when that process dies.
    sys.stdin.buffer.read()
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
