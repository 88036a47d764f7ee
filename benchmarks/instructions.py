"""How many instructions small pieces of work take, counted by callgrind: the same in every run, unlike seconds.

    python -m benchmarks.instructions

Started under valgrind by `count`; started without it, the work is done and nothing is counted. Between any two pieces
of work a function is called that nothing else calls: callgrind writes down its counts whenever it is.
"""

from __future__ import annotations

import argparse
import gc
import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import boto3
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.config import Config

import s3envelope
from benchmarks.clients import BUCKET, CREDENTIALS
from benchmarks.surroundings import child_environment, isolate
from benchmarks.work import KIB, MIB
from s3envelope.core.context import EncryptionContext
from s3envelope.core.envelope import seal_header
from s3envelope.core.kdf import BodyKey
from s3envelope.core.layout import Layout
from s3envelope.core.ranges import Extent
from s3envelope.core.secret import SecretBytes
from s3envelope.engine.sealing import Attempt, CiphertextReader, SealedRun
from s3envelope.engine.sources import BufferSource
from s3envelope.engine.streams import VerifiedStream

# sys.setrecursionlimit calls it, and nothing else does. What ctypes calls is not seen by callgrind.
_MARK = "Py_SetRecursionLimit"
# The first calls fill caches and make what is made once.
_WARM_CALLS = 3
_COUNTED_CALLS = 3
_SEND_SIZE = 16384
_TOTALS = re.compile(r"^totals: (\d+)$", re.MULTILINE)


class CountingError(Exception):
    """Nothing could be counted."""


def is_available() -> bool:
    """Tell whether valgrind is here."""
    return shutil.which("valgrind") is not None


def count() -> dict[str, int]:
    """Return instructions per call, by the name of the work. It takes a minute or two.

    Raises:
        CountingError: valgrind does not run here, or not with this Python.
    """
    with tempfile.TemporaryDirectory(prefix="s3envelope-callgrind-") as folder:
        out = Path(folder) / "out"
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}", f"--dump-before={_MARK}"]
        command += [sys.executable, "-m", "benchmarks.instructions"]
        environment = {**child_environment(), "PYTHONHASHSEED": "0", "PYTHONMALLOC": "malloc"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            raise CountingError(f"valgrind ended with {done.returncode}: {done.stderr[-500:]}")
        names = done.stdout.split("\n")[:-1]
        # A dump is what came before its mark: marks stand before and after each piece of work.
        files = [Path(f"{out}.{2 * number + 2}") for number in range(len(names))]
        return {name: _total(file) // _COUNTED_CALLS for name, file in zip(names, files, strict=True)}


def _total(file: Path) -> int:
    found = _TOTALS.search(file.read_text()) if file.exists() else None
    if found is None:
        raise CountingError("callgrind wrote no counts where they were expected")
    return int(found[1])


class _Raw(io.BytesIO):
    """A body as urllib3 gives it."""

    def stream(self) -> Iterator[bytes]:
        yield self.read()


class _NoNetwork:
    """Stands where botocore sends a request: takes the body as http.client does, and answers from memory."""

    def __init__(self) -> None:
        self._body = b""
        self._headers: dict[str, str] = {}

    def __call__(self, request: Any, **_: Any) -> AWSResponse:
        if request.method == "GET":
            headers = {**self._headers, "content-length": str(len(self._body)), "etag": '"1"'}
            return _answer(request, headers, self._body)
        body = request.body
        if hasattr(body, "read"):
            body = b"".join(iter(lambda: request.body.read(_SEND_SIZE), b""))
        is_chunked = "aws-chunked" in _text(request.headers.get("content-encoding"))
        self._body = b"".join(_chunks(body)) if is_chunked else body
        names = (name for name in request.headers if name.lower().startswith("x-amz-meta-"))
        self._headers = {name: _text(request.headers[name]) for name in names}
        return _answer(request, {"etag": '"1"', "content-length": "0"}, b"")


def _answer(request: Any, headers: Mapping[str, str], body: bytes) -> AWSResponse:
    fields = HTTPHeaders()
    for name, value in headers.items():
        fields[name] = value
    return AWSResponse(request.url, 200, fields, _Raw(body))


def _chunks(body: bytes) -> Iterator[bytes]:
    """Yield the content of aws-chunked: each chunk with its size before it, the last one empty."""
    line_end = body.index(b"\r\n")
    while size := int(body[:line_end], 16):
        start = line_end + 2
        yield body[start : start + size]
        body = body[start + size + 2 :]
        line_end = body.index(b"\r\n")


def _text(value: str | bytes | None) -> str:
    return value.decode() if isinstance(value, bytes) else value or ""


def _client(kind: str) -> Any:
    fields: dict[str, Any] = {
        "endpoint_url": "https://127.0.0.1:1",
        "config": Config(s3={"addressing_style": "path"}, proxies={}),
        **CREDENTIALS,
    }
    if kind == "boto3":
        client: Any = boto3.client("s3", **fields)
    else:
        keyring = s3envelope.RawAesKeyring(bytes(32), "instructions")
        client = s3envelope.client("s3", keyring=keyring, cache=s3envelope.MemoryCache(), **fields)
    client.meta.events.register_last("before-send.s3", _NoNetwork())
    return client


def _body_key() -> BodyKey:
    keys = SecretBytes(bytes(32)), SecretBytes(bytes(32))
    return seal_header(*keys, context=EncryptionContext(), bound_name=None, indexed=False, nonce=bytes(12))[1]


def _seal(plaintext: bytes) -> bytes:
    attempt = Attempt(bytes(12), len(plaintext), ends_run=True)
    run = SealedRun(BufferSource(plaintext), attempt, _body_key(), run=0, first_segment=0, process_id=os.getpid)
    return CiphertextReader(run).read()


def _open(ciphertext: bytes, size: int) -> None:
    layout = Layout.plain(len(ciphertext))
    extent = Extent(0, len(ciphertext), len(ciphertext))
    stream = VerifiedStream(io.BytesIO(ciphertext), extent, layout.all_segments(), _body_key(), 0, size)
    if len(stream.read()) != size:
        raise AssertionError("less was opened than was sealed")


def work() -> dict[str, Callable[[], object]]:
    """Return what is counted, by name."""
    plaintext = bytes(MIB)
    sealed = _seal(plaintext)
    found: dict[str, Callable[[], object]] = {
        "seal 1 MiB": lambda: _seal(plaintext),
        "open 1 MiB": lambda: _open(sealed, MIB),
    }
    for kind in ("boto3", "s3envelope"):
        for size, label in ((KIB, "1 KiB"), (MIB, "1 MiB")):
            client = _client(kind)
            found[f"put_object {label}, {kind}"] = _put(client, plaintext[:size])
            found[f"get_object {label}, {kind}"] = _get(client, size)
    return found


def _put(client: Any, plaintext: bytes) -> Callable[[], object]:
    return lambda: client.put_object(Bucket=BUCKET, Key="key", Body=plaintext)


def _get(client: Any, size: int) -> Callable[[], object]:
    def get() -> None:
        if len(client.get_object(Bucket=BUCKET, Key="key")["Body"].read()) != size:
            raise AssertionError("an object came back with another size")

    return get


def _mark() -> None:
    sys.setrecursionlimit(sys.getrecursionlimit())


def main(arguments: Sequence[str] | None = None) -> int:
    """Do all work, with a mark before and after each piece."""
    parser = argparse.ArgumentParser(prog="benchmarks.instructions", description="Work that callgrind counts.")
    parser.parse_args(arguments)
    isolate(os.environ)
    for name, call in work().items():
        for _ in range(_WARM_CALLS):
            call()
        gc.collect()
        gc.disable()
        _mark()
        for _ in range(_COUNTED_CALLS):
            call()
        _mark()
        gc.enable()
        print(name, flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
