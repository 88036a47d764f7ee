"""Ctrl-C in the middle of a call: what plain boto3 clears away is cleared away here too, and more where it is ours."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from s3envelope.testing import S3Proxy
from s3envelope.testing.s3_proxy import Latency, Matcher, RecordedRequest, matching
from tests.support.endpoints import Endpoint
from tests.support.transferring import FIRST_PART, SECOND_PART

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals of other processes are POSIX's")

ROOT = Path(__file__).parents[3]
# While it is held, the signal is delivered: its answer does not come before.
_HELD_SECONDS = 0.3
CREATE, COMPLETE = (matching(method="POST", contains=query) for query in ("?uploads", "?uploadId="))
PUT, GET = matching(method="PUT", contains="/up"), matching(method="GET")


def _second_range(request: RecordedRequest) -> bool:
    return request.method == "GET" and not request.header("range", "bytes=0-").startswith("bytes=0-")


# Calls, and the request in the middle of which they are interrupted.
CALLS: dict[str, Matcher] = {
    "upload_file": SECOND_PART,
    "upload_file unthreaded": SECOND_PART,
    "upload_file begins": CREATE,
    "upload_file ends": COMPLETE,
    "upload_file small": PUT,
    "upload_fileobj": FIRST_PART,
    "upload_fileobj pipe": SECOND_PART,
    "put_object": PUT,
    "put_object pipe": PUT,
    "multipart": SECOND_PART,
    "download_file": GET,
    "download_file later": _second_range,
    "download_file unthreaded": GET,
    "download_file small": GET,
    "download_fileobj": GET,
    "get_object": GET,
    "copy": SECOND_PART,
    "copy unthreaded": SECOND_PART,
    "copy begins": CREATE,
    "copy small": PUT,
    "copy_object": PUT,
}
# Whoever makes the parts of an upload aborts it.
OF_THE_CALLER = {"multipart"}


@dataclass(frozen=True, slots=True)
class Left:
    """What is left of an interrupted call."""

    answer: dict[str, Any]
    uploads: list[str]
    keys: list[str]
    files: list[str]
    states: list[str]


class Child:
    """A process with a client behind a proxy, in a bucket and a folder of its own."""

    def __init__(self, storage: Endpoint, folder: Path, *, is_plain: bool) -> None:
        self._stack = ExitStack()
        self._proxy = self._stack.enter_context(S3Proxy(storage.url))
        self._direct = storage.client()
        self._stack.callback(self._direct.close)
        self._bucket = f"bucket-{os.urandom(8).hex()}"
        self._direct.create_bucket(Bucket=self._bucket)
        self._folder, self._states = folder / "files", folder / "states"
        self._folder.mkdir()
        arguments = storage.behind(self._proxy.url).client_arguments()
        del arguments["config"]
        job = {
            "client": arguments,
            "config": {"s3": {"addressing_style": "path"}, "retries": {"total_max_attempts": 1}},
            "bucket": self._bucket,
            "folder": str(self._folder),
            "state_dir": str(self._states),
            "is_plain": is_plain,
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.support.interrupted"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )
        self._stack.callback(self._end)
        assert self._ask(json.dumps(job)) == "ready\n"

    def close(self) -> None:
        """End the process."""
        self._stack.close()

    def interrupt(self, call: str, moment: Matcher) -> Left:
        """Make a call, press Ctrl-C at a request of it, and look at what is left; then take that away."""
        sent: list[int] = []

        def press(request: RecordedRequest) -> bool:
            if sent or not moment(request):
                return False
            sent.append(request.number)
            self._process.send_signal(signal.SIGINT)
            return True

        self._proxy.inject(Latency(_HELD_SECONDS), press)
        answer = json.loads(self._ask(call))
        self._proxy.clear_rules()
        assert sent, "the call made no such request"
        uploads = self._direct.list_multipart_uploads(Bucket=self._bucket).get("Uploads", [])
        keys = [entry["Key"] for entry in self._direct.list_objects_v2(Bucket=self._bucket)["Contents"]]
        left = Left(
            answer,
            [upload["Key"] for upload in uploads],
            sorted({*keys} - {"large", "small"}),
            sorted(path.name for path in self._folder.iterdir() if not self._is_whole(path)),
            [path.name for path in self._states.glob("*") if path.name != "lock"],
        )
        for upload in uploads:
            self._direct.abort_multipart_upload(Bucket=self._bucket, Key=upload["Key"], UploadId=upload["UploadId"])
        self._direct.delete_object(Bucket=self._bucket, Key="up")
        for path in self._folder.iterdir():
            if path.name not in ("large", "small"):
                path.unlink()
        for name in left.states:
            shutil.rmtree(self._states / name)
        return left

    def _is_whole(self, path: Path) -> bool:
        """Tell whether a file is what it is called: the source, or a download that was faster than the signal."""
        sources = ("large", "small")
        contents = [(self._folder / name).read_bytes() for name in sources]
        return path.name in sources or (path.name == "target" and path.read_bytes() in contents)

    def _ask(self, line: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline()

    def _end(self) -> None:
        with self._process:
            assert self._process.stdin is not None
            self._process.stdin.close()


@pytest.fixture(scope="module", params=["moto", "seaweedfs"])
def children(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Child]]:
    """Yield two processes at each server, one with an enveloped client and one with a plain one."""
    storage: Endpoint = request.getfixturevalue({"moto": "moto_s3"}.get(request.param, request.param))
    with ExitStack() as stack:
        found = {}
        for name in ("ours", "plain"):
            found[name] = Child(storage, tmp_path_factory.mktemp(name), is_plain=name == "plain")
            stack.callback(found[name].close)
        yield found


@pytest.mark.parametrize("call", CALLS)
def test_call_when_interrupted_then_ends_as_boto3_s_and_leaves_no_more(children: dict[str, Child], call: str) -> None:
    plain = children["plain"].interrupt(call, CALLS[call])
    ours = children["ours"].interrupt(call, CALLS[call])

    assert plain.answer["outcome"] == "KeyboardInterrupt"
    assert ours.answer == {"outcome": "KeyboardInterrupt", "threads": [], "unnamed_files": []}
    assert len(ours.uploads) <= len(plain.uploads)
    assert [name for name in ours.files if name != "sink"] == []
    assert set(ours.keys) <= {"up"}
    if call in OF_THE_CALLER:
        # Its state stays for whoever goes on with the upload, or aborts it.
        assert len(ours.states) == 1
    else:
        assert (ours.uploads, ours.states) == ([], [])
