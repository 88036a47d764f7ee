"""`s3envelope cp` when Ctrl-C comes in the middle: no upload, no file and no state is left, and no traceback shown.

A process that is killed can remove nothing; what a download leaves then can be told by its name.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from s3envelope.cli.app import run
from s3envelope.testing.s3_proxy import Latency, Matcher, RecordedRequest, matching
from tests.cli.commands import COMMAND, Place, environment
from tests.conftest import ProxyFactory
from tests.support.transferring import FIRST_PART, LARGE, SECOND_PART, SMALL

KEY = "folder/object"
# While it is held, the signal is delivered.
_HELD_SECONDS = 0.5
CREATE, COMPLETE = (matching(method="POST", contains=query) for query in ("?uploads", "?uploadId="))
UPLOADS: dict[str, tuple[int, Matcher]] = {
    "put": (SMALL, matching(method="PUT")),
    "as the upload begins": (LARGE, CREATE),
    "at the first part": (LARGE, FIRST_PART),
    "at the second part": (LARGE, SECOND_PART),
    "as the upload ends": (LARGE, COMPLETE),
}
DOWNLOADS: dict[str, tuple[int, Matcher]] = {
    "small": (SMALL, matching(method="GET")),
    "large": (LARGE, matching(method="GET")),
    "as it looks at the object": (LARGE, matching(method="HEAD")),
}


def _is_later_range(request: RecordedRequest) -> bool:
    # One request at a time: the first range has come and is written.
    return request.method == "GET" and not request.header("range").startswith("bytes=0-")


@pytest.fixture(params=["place", "real_place"])
def anywhere(request: pytest.FixtureRequest) -> Place:
    """Return a bucket on each of two servers."""
    place: Place = request.getfixturevalue(request.param)
    return place


def _interrupt(
    place: Place,
    make_proxy: ProxyFactory,
    moment: Matcher,
    folder: Path,
    *arguments: str,
    number: signal.Signals = signal.SIGINT,
) -> subprocess.CompletedProcess[bytes]:
    """Run `cp` through a proxy and press Ctrl-C at a request, or send another signal."""
    proxy, endpoint = make_proxy(place.endpoint)
    running: list[subprocess.Popen[bytes]] = []

    def press(request: RecordedRequest) -> bool:
        if not running or not moment(request):
            return False
        running.pop().send_signal(number)
        return True

    proxy.inject(Latency(_HELD_SECONDS), press)
    command = [*COMMAND, "cp", "--endpoint-url", endpoint.url, *place.options[2:], *arguments]
    changes = {"S3ENVELOPE_STATE_DIR": str(folder / "states"), "TMPDIR": str(folder / "temporary")}
    (folder / "temporary").mkdir()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(changes), start_new_session=True
    ) as process:
        running.append(process)
        output, error = process.communicate(timeout=90)
    assert not running, "the command made no such request"
    return subprocess.CompletedProcess(command, process.returncode, output, error)


def _assert_interrupted(done: subprocess.CompletedProcess[bytes], place: Place, folder: Path) -> None:
    assert (done.returncode, done.stderr.decode().strip()) == (130, "s3envelope: interrupted")
    with closing(place.endpoint.client()) as client:
        assert client.list_multipart_uploads(Bucket=place.bucket).get("Uploads", []) == []
    assert [path for path in (folder / "states").glob("*") if path.name != "lock"] == []
    assert list((folder / "temporary").iterdir()) == []


@pytest.mark.parametrize("name", UPLOADS)
def test_cp_when_interrupted_while_it_uploads_then_nothing_is_left(
    anywhere: Place, http_proxy: ProxyFactory, name: str, tmp_path: Path
) -> None:
    size, moment = UPLOADS[name]
    source, body = tmp_path / "source", os.urandom(size)
    source.write_bytes(body)

    done = _interrupt(anywhere, http_proxy, moment, tmp_path, str(source), anywhere.url(KEY))

    _assert_interrupted(done, anywhere, tmp_path)
    if anywhere.keys():
        # The server had it all.
        with closing(anywhere.sealing_client()) as client:
            assert client.get_object(Bucket=anywhere.bucket, Key=KEY)["Body"].read() == body


@pytest.mark.parametrize("name", DOWNLOADS)
def test_cp_when_interrupted_while_it_downloads_then_no_part_of_a_file_is_left(
    anywhere: Place, http_proxy: ProxyFactory, name: str, tmp_path: Path
) -> None:
    size, moment = DOWNLOADS[name]
    body, folder = os.urandom(size), tmp_path / "downloads"
    folder.mkdir()
    anywhere.put_sealed(KEY, body)

    done = _interrupt(anywhere, http_proxy, moment, tmp_path, anywhere.url(KEY), str(folder / "target"))

    _assert_interrupted(done, anywhere, tmp_path)
    # Where it was faster than the signal, the file is whole.
    assert [path.read_bytes() == body for path in folder.iterdir()] in ([], [True])


def test_cp_when_killed_while_it_downloads_then_what_is_left_has_a_name_of_its_own(
    anywhere: Place, http_proxy: ProxyFactory, tmp_path: Path
) -> None:
    body, folder = os.urandom(LARGE), tmp_path / "downloads"
    folder.mkdir()
    anywhere.put_sealed(KEY, body)
    command = ["--jobs", "1", anywhere.url(KEY), str(folder / "target")]

    killed = _interrupt(anywhere, http_proxy, _is_later_range, tmp_path, *command, number=signal.SIGKILL)
    (left,) = folder.iterdir()
    partial = left.read_bytes()
    again = run(["cp", *anywhere.options, *command])

    assert (killed.returncode, again) == (-signal.SIGKILL, 0)
    assert re.fullmatch(r"target\.[0-9A-Fa-f]{8}\.s3envelope-partial", left.name)
    assert body.startswith(partial)
    assert (folder / "target").read_bytes() == body
    # Another process may be at it: nobody takes it away.
    assert left.read_bytes() == partial


@pytest.mark.parametrize("name", ["n" * 255, "\N{GREEK SMALL LETTER ALPHA}" * 127])
def test_cp_when_the_name_is_as_long_as_can_be_downloads_the_file(place: Place, name: str, tmp_path: Path) -> None:
    place.put_sealed(KEY, b"content")

    code = run(["cp", *place.options, place.url(KEY), str(tmp_path / name)])

    assert code == 0
    assert (tmp_path / name).read_bytes() == b"content"


def test_cp_when_interrupted_while_it_prints_then_what_came_is_verified_and_the_code_tells(
    anywhere: Place, http_proxy: ProxyFactory, tmp_path: Path
) -> None:
    body = os.urandom(LARGE)
    anywhere.put_sealed(KEY, body)

    done = _interrupt(anywhere, http_proxy, matching(method="GET"), tmp_path, anywhere.url(KEY), "-")

    _assert_interrupted(done, anywhere, tmp_path)
    assert body.startswith(done.stdout)
