"""Commands that are stopped in the middle of an upload, and go on with it."""

from __future__ import annotations

import dataclasses
import re
import subprocess
from pathlib import Path

from s3envelope.cli.app import run
from s3envelope.testing import S3Proxy
from s3envelope.testing.s3_proxy import ErrorAnswer, Latency, Matcher, RecordedRequest
from tests.cli.commands import COMMAND, Place, environment
from tests.support.transferring import part

# Two parts: the second is small, and is sent once more with the index behind it.
SIZE = 8 * 2**20 + 1000
SECOND_PART = part(2)


def states_left(states: Path) -> list[str]:
    """Return what is kept of unfinished uploads: states of the library, and records of the command."""
    return [path.name for path in states.rglob("*") if path.is_file() and path.name != "lock"]


@dataclasses.dataclass(frozen=True, slots=True)
class Behind:
    """A place behind a proxy: an upload goes on only where it began, so all runs of a test go through one."""

    proxy: S3Proxy
    place: Place
    verb: str = "cp"

    def run(self, *arguments: str) -> int:
        """Run the command here."""
        return run([self.verb, *self.place.options, *arguments])

    def signalled(
        self, number: int, *arguments: str, moment: Matcher = SECOND_PART
    ) -> subprocess.CompletedProcess[bytes]:
        """Run the command in a process that gets a signal at a request, by default while it sends the second part."""
        running: list[subprocess.Popen[bytes]] = []

        def press(request: RecordedRequest) -> bool:
            if not running or not moment(request):
                return False
            running.pop().send_signal(number)
            return True

        self.proxy.inject(Latency(0.5), press)
        # One request at a time: the first part is done then.
        command = [*COMMAND, self.verb, "--jobs", "1", *self.place.options, *arguments]
        with subprocess.Popen(command, stderr=subprocess.PIPE, env=environment(), start_new_session=True) as process:
            running.append(process)
            _, error = process.communicate(timeout=90)
        assert not running
        return subprocess.CompletedProcess(command, process.returncode, b"", error)

    def fail_once(self, *arguments: str) -> int:
        """Run the command while the server refuses the second part."""
        rule = self.proxy.inject(ErrorAnswer(500, "InternalError"), SECOND_PART)
        code = self.run("--jobs", "1", *arguments)
        assert rule.hit_count == 1
        return code

    def take_parts(self) -> set[int]:
        """Return which parts were sent since the last time."""
        queries = " ".join(request.query for request in self.proxy.take_requests() if request.method == "PUT")
        return {int(number) for number in re.findall(r"partNumber=(\d+)", queries)}
