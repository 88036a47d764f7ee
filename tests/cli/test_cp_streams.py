"""`s3envelope cp` as a part of pipelines and under Ctrl-C, as a process of its own."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
from pathlib import Path

import pytest

from s3envelope.testing.s3_proxy import Latency, matching
from tests.cli.commands import COMMAND, Place, environment, one_line, run_process
from tests.conftest import ProxyFactory

KEY = "orders/1.bin"
MIB = 2**20


@pytest.mark.parametrize("size", [0, 1, 65_536, 9 * MIB + 1])
def test_cp_when_it_is_both_ends_of_a_pipeline_keeps_the_bytes(place: Place, size: int) -> None:
    plaintext = os.urandom(size)

    up = run_process("cp", *place.options, "-", place.url(KEY), stdin=plaintext)
    down = run_process("cp", *place.options, place.url(KEY), "-")

    assert (up.returncode, up.stdout, up.stderr) == (0, b"", b"")
    assert (down.returncode, down.stderr) == (0, b"")
    assert down.stdout == plaintext


def test_cp_when_stdin_is_a_file_keeps_its_bytes(place: Place, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(os.urandom(3 * 65_536))

    with source.open("rb") as file:
        command = [*COMMAND, "cp", *place.options, "-", place.url(KEY)]
        done = subprocess.run(command, stdin=file, env=environment(), check=False, timeout=120)

    assert done.returncode == 0
    assert run_process("cp", *place.options, place.url(KEY), "-").stdout == source.read_bytes()


def test_cp_when_a_big_stream_goes_to_a_real_storage_keeps_its_bytes(real_place: Place) -> None:
    plaintext = os.urandom(17 * MIB)

    up = run_process("cp", *real_place.options, "-", real_place.url(KEY), stdin=plaintext)
    down = run_process("cp", *real_place.options, real_place.url(KEY), "-")

    assert (up.returncode, down.returncode) == (0, 0)
    assert down.stdout == plaintext


def test_cp_when_the_object_was_tampered_with_prints_verified_bytes_only(place: Place) -> None:
    plaintext = os.urandom(40 * 65_536)
    place.put_sealed(KEY, plaintext)
    place.flip(KEY, 20 * 65_564 + 50)

    done = run_process("cp", *place.options, place.url(KEY), "-")

    assert done.returncode == 1
    assert "SegmentAuthenticationError" in one_line(done.stderr)
    assert len(done.stdout) <= 20 * 65_536
    assert plaintext.startswith(done.stdout)


def test_cp_when_the_reader_of_the_pipe_leaves_fails_without_a_traceback(place: Place) -> None:
    place.put_sealed(KEY, os.urandom(8 * MIB))
    command = [*COMMAND, "cp", *place.options, place.url(KEY), "-"]

    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment()) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        error = process.stderr.read()

    assert process.returncode == 1
    assert error == b""


def test_cp_when_interrupted_while_it_waits_for_stdin_leaves_no_upload(place: Place) -> None:
    command = [*COMMAND, "cp", *place.options, "-", place.url(KEY)]

    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stderr=subprocess.PIPE, env=environment(), start_new_session=True
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        # More than one part: the upload has begun when this has been taken, and stdin stays open.
        process.stdin.write(os.urandom(25 * MIB))
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        process.wait(timeout=90)
        error = process.stderr.read()

    assert process.returncode == 130
    assert error.decode().strip() == "s3envelope: interrupted"
    client = place.endpoint.client()
    assert place.keys() == []
    assert client.list_multipart_uploads(Bucket=place.bucket).get("Uploads", []) == []


def test_cp_when_interrupted_while_it_downloads_leaves_no_file(
    place: Place, http_proxy: ProxyFactory, tmp_path: Path
) -> None:
    place.put_sealed(KEY, os.urandom(20 * MIB))
    proxy, endpoint = http_proxy(place.endpoint)
    slow = proxy.inject(Latency(2), matching(method="GET"), times=None)
    options = ["--endpoint-url", endpoint.url, *place.options[2:]]
    command = [*COMMAND, "cp", *options, place.url(KEY), str(tmp_path / "target")]

    with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment(), start_new_session=True) as process:
        assert process.stderr is not None
        while slow.hit_count == 0:
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        process.wait(timeout=90)
        error = process.stderr.read()

    assert process.returncode == 130
    assert error.decode().strip() == "s3envelope: interrupted"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("extra", "is_shown"), [([], True), (["--no-progress"], False)])
def test_cp_when_stderr_is_a_terminal_shows_a_bar_unless_told_not_to(
    place: Place, extra: list[str], is_shown: bool
) -> None:
    place.put_sealed(KEY, os.urandom(65_536))
    terminal, inner = pty.openpty()
    command = [*COMMAND, "cp", *extra, *place.options, place.url(KEY), "-"]

    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=inner, env=environment(), check=False, timeout=120)
    os.close(inner)
    shown = _read_all(terminal)

    assert done.returncode == 0
    assert len(done.stdout) == 65_536
    assert (place.url(KEY) in shown) == is_shown


def _read_all(terminal: int) -> str:
    pieces = []
    try:
        while piece := os.read(terminal, 65_536):
            pieces.append(piece)
    except OSError:
        # Linux says so when nobody has the other end any more.
        pass
    finally:
        os.close(terminal)
    return b"".join(pieces).decode()
