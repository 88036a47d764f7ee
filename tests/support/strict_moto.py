"""moto's S3 over HTTP on loopback, with the integrity checks that real S3 makes and moto does not.

`python -m tests.support.strict_moto PORT` serves until it is killed. A wrong body is answered with 400, as S3 does:

* `x-amz-content-sha256` is a digest, but not the body's: XAmzContentSHA256Mismatch
* `Content-MD5` is not the body's: BadDigest; or not an MD5 at all: InvalidDigest
* `x-amz-checksum-{crc32,sha1,sha256,...}`, as header or trailer, is not the body's: BadDigest
* the body's aws-chunked framing is broken, or contradicts `x-amz-decoded-content-length`: IncompleteBody
* names and values of `x-amz-meta-*` exceed 2 KB together: MetadataTooLarge

`GET /__log__` returns the requests as JSON, `DELETE /__log__` forgets them; neither can be a bucket's name.
"""

import base64
import hashlib
import io
import json
import logging
import sys
import threading
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

Environment = dict[str, Any]
StartResponse = Callable[..., Any]
WsgiApp = Callable[[Environment, StartResponse], Iterable[bytes]]

_METADATA_LIMIT = 2048
_LOG_LENGTH = 5000
_HASHES = ("md5", "sha1", "sha256", "sha512")


@dataclass(frozen=True, slots=True)
class Refusal:
    """An error that real S3 answers with."""

    code: str
    message: str


@dataclass(frozen=True, slots=True)
class ReceivedBody:
    """A request's headers (names in lower case), its body as sent and the payload in it."""

    headers: dict[str, str]
    raw: bytes
    payload: bytes
    payload_sha256: str
    trailers: dict[str, str]

    @property
    def raw_sha256(self) -> str:
        """Return the digest of the body as sent; the payload's own, without framing."""
        return hashlib.sha256(self.raw).hexdigest() if self.is_aws_chunked else self.payload_sha256

    @property
    def is_aws_chunked(self) -> bool:
        """Tell whether the body came with aws-chunked framing."""
        return "aws-chunked" in self.headers.get("content-encoding", "")


class BrokenFramingError(Exception):
    """An aws-chunked body is cut short or malformed."""


class StrictApp:
    """Check and log each request before moto gets it."""

    def __init__(self, app: WsgiApp) -> None:
        self._app = app
        self._lock = threading.Lock()
        self._log: list[dict[str, Any]] = []

    def __call__(self, environment: Environment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        if environment["PATH_INFO"] == "/__log__":
            return self._answer_log(environment["REQUEST_METHOD"], start_response)
        headers = _headers_of(environment)
        raw = _read_body(environment, headers)
        entry: dict[str, Any] = {
            "method": environment["REQUEST_METHOD"],
            "path": environment["PATH_INFO"],
            "query": environment.get("QUERY_STRING", ""),
            "headers": headers,
        }
        with self._lock:
            self._log.append(entry)
            del self._log[:-_LOG_LENGTH]

        def start_logged(status: str, *arguments: Any) -> Any:
            entry["status"] = int(status[:3])
            return start_response(status, *arguments)

        try:
            body = _received(headers, raw)
        except BrokenFramingError as error:
            entry.update(body_size=0, body_sha256="")
            return _answer_refusal(Refusal("IncompleteBody", str(error)), start_logged)
        entry.update(body_size=len(body.payload), body_sha256=body.payload_sha256)
        refusal = _check(entry["method"], entry["query"], body)
        if refusal is not None:
            return _answer_refusal(refusal, start_logged)
        environment["wsgi.input"] = io.BytesIO(raw)
        environment["CONTENT_LENGTH"] = str(len(raw))
        environment.pop("HTTP_TRANSFER_ENCODING", None)
        return self._app(environment, start_logged)

    def _answer_log(self, method: str, start_response: StartResponse) -> Iterable[bytes]:
        with self._lock:
            document = json.dumps([entry for entry in self._log if "status" in entry]).encode()
            if method == "DELETE":
                self._log.clear()
        headers = [("Content-Type", "application/json"), ("Content-Length", str(len(document)))]
        start_response("200 OK", headers)
        return [document]


def _check(method: str, query: str, body: ReceivedBody) -> Refusal | None:
    """Return why real S3 would refuse the body, or None."""
    if method not in ("PUT", "POST"):
        return None
    headers = body.headers
    signed_digest = headers.get("x-amz-content-sha256", "")
    if len(signed_digest) == 64 and signed_digest != body.raw_sha256:
        return Refusal("XAmzContentSHA256Mismatch", "x-amz-content-sha256 is not the digest of the body")
    if "content-md5" in headers and headers["content-md5"] != _checksum("md5", body.payload):
        is_md5 = len(headers["content-md5"]) == len(_checksum("md5", b"") or "")
        code = "BadDigest" if is_md5 else "InvalidDigest"
        return Refusal(code, "Content-MD5 is not the digest of the body")
    decoded_length = headers.get("x-amz-decoded-content-length")
    if body.is_aws_chunked and decoded_length is not None and int(decoded_length) != len(body.payload):
        return Refusal("IncompleteBody", f"announced {decoded_length} bytes, got {len(body.payload)}")
    # The checksum at CompleteMultipartUpload is of the object, not of this body.
    if not (method == "POST" and "uploadId=" in query):
        for name, value in {**headers, **body.trailers}.items():
            expected = _checksum(name.removeprefix("x-amz-checksum-"), body.payload)
            if name.startswith("x-amz-checksum-") and expected not in (None, value):
                return Refusal("BadDigest", f"The {name} you specified did not match what we received")
    metadata = {name[11:]: value for name, value in headers.items() if name.startswith("x-amz-meta-")}
    metadata_size = sum(len(name) + len(value) for name, value in metadata.items())
    if metadata_size > _METADATA_LIMIT:
        return Refusal("MetadataTooLarge", f"{metadata_size} bytes of metadata exceed {_METADATA_LIMIT}")
    return None


def _checksum(algorithm: str, payload: bytes) -> str | None:
    """Return a checksum as S3 writes it; None for an algorithm that the standard library lacks."""
    if algorithm == "crc32":
        digest = zlib.crc32(payload).to_bytes(4, "big")
    elif algorithm in _HASHES:
        digest = hashlib.new(algorithm, payload, usedforsecurity=False).digest()
    else:
        return None
    return base64.b64encode(digest).decode()


def _headers_of(environment: Environment) -> dict[str, str]:
    names = {key: key[5:] for key in environment if key.startswith("HTTP_")}
    names.update({key: key for key in ("CONTENT_LENGTH", "CONTENT_TYPE") if environment.get(key)})
    return {name.replace("_", "-").lower(): environment[key] for key, name in names.items()}


def _read_body(environment: Environment, headers: dict[str, str]) -> bytes:
    stream = environment["wsgi.input"]
    if headers.get("transfer-encoding") == "chunked":
        raw: bytes = stream.read()
    else:
        raw = stream.read(int(headers.get("content-length") or 0))
    return raw


def _received(headers: dict[str, str], raw: bytes) -> ReceivedBody:
    if "aws-chunked" not in headers.get("content-encoding", ""):
        return ReceivedBody(headers, raw, raw, hashlib.sha256(raw).hexdigest(), {})
    try:
        payload, trailers = _decode_aws_chunked(raw)
    except ValueError:
        raise BrokenFramingError("the aws-chunked framing is broken") from None
    return ReceivedBody(headers, raw, payload, hashlib.sha256(payload).hexdigest(), trailers)


def _decode_aws_chunked(raw: bytes) -> tuple[bytes, dict[str, str]]:
    """Return payload and trailers; raises ValueError where the framing breaks."""
    chunks: list[bytes] = []
    position = 0
    while True:
        line_end = raw.index(b"\r\n", position)
        size = int(raw[position:line_end].split(b";")[0], 16)
        position = line_end + 2
        if size == 0:
            lines = (line.decode().partition(":") for line in raw[position:].split(b"\r\n") if line)
            return b"".join(chunks), {name.strip().lower(): value.strip() for name, _, value in lines}
        chunk_end = position + size
        if raw[chunk_end : chunk_end + 2] != b"\r\n":
            raise ValueError("a chunk does not end where it should")
        chunks.append(raw[position:chunk_end])
        position = chunk_end + 2


def _answer_refusal(refusal: Refusal, start_response: StartResponse) -> Iterable[bytes]:
    document = (
        f'<?xml version="1.0"?><Error><Code>{refusal.code}</Code><Message>{refusal.message}</Message></Error>'
    ).encode()
    headers = [("Content-Type", "application/xml"), ("Content-Length", str(len(document)))]
    start_response("400 Bad Request", headers)
    return [document]


class _QuietHandler(WSGIRequestHandler):
    """Keep connections alive, and print nothing."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log(self, *arguments: Any, **keywords: Any) -> None:
        """Print nothing."""


def main() -> None:
    """Serve on the port of the command line."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = StrictApp(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", int(sys.argv[1]), app, threaded=True, request_handler=_QuietHandler)
    server.serve_forever()


if __name__ == "__main__":
    main()
