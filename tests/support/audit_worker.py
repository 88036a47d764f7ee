"""Processes that write one log: python -m tests.support.audit_worker, with a job as JSON on standard input.

Each child writes a receipt into a file of its own after each event that was kept: a byte, in one write.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from s3envelope.audit.json_lines import JsonLinesAuditSink
from s3envelope.audit.log_file import Rotation
from tests.support.auditing import event


def _write(sink: JsonLinesAuditSink, job: dict[str, Any], number: int) -> None:
    """Be one of the processes."""
    receipts = os.open(Path(job["receipts"]) / str(number), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    written = 0

    def kill() -> None:
        while written < job["kill_after"]:
            pass
        os.kill(os.getpid(), signal.SIGKILL)

    if number == job["killed"]:
        threading.Thread(target=kill, daemon=True).start()
    for index in range(job["count"]):
        sink.write(event(index, key=f"{number}/{index}", process=os.getpid()))
        os.write(receipts, b"+")
        written += 1
    sink.close()


def main() -> None:
    """Do the job in as many processes as it says; they are forked, with a sink that is open already."""
    job = json.load(sys.stdin)
    rotation = Rotation(most_bytes=job.get("most_bytes"))
    sink = JsonLinesAuditSink(job["path"], fsync=job["fsync"], rotation=rotation)
    sink.write(event(key="parent"))
    children = []
    for number in range(job["processes"]):
        child = os.fork()
        if child == 0:
            try:
                _write(sink, job, number)
            except BaseException as error:  # noqa: BLE001  # whatever it is, the parent has to see it
                print(repr(error), file=sys.stderr, flush=True)
                os._exit(1)
            os._exit(0)
        children.append(child)
    codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    print(json.dumps(codes))


if __name__ == "__main__":
    main()
