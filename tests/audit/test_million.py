"""A million records are verified in half a minute, in memory that does not grow."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from s3envelope.audit.chain import NO_HASH, Head, chain_line
from tests.support.auditing import event

COUNT = 1_000_000
_VERIFY = """
import resource, sys
from s3envelope.cli.app import run
code = run(["audit", "verify", sys.argv[1]])
usage = resource.getrusage(resource.RUSAGE_SELF)
print(code, usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
"""


def _verify(path: Path) -> tuple[int, float, int]:
    """Return the exit code, seconds of CPU, and the peak of memory in KiB."""
    done = subprocess.run(
        [sys.executable, "-c", _VERIFY, str(path)], capture_output=True, text=True, check=True, timeout=600
    )
    code, seconds, size = done.stdout.splitlines()[-1].split()
    return int(code), float(seconds), int(size)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="memory is counted in other units elsewhere")
def test_verify_when_there_are_a_million_records_takes_half_a_minute_and_constant_memory(tmp_path: Path) -> None:
    fields: dict[str, Any] = {
        "actor": "arn:aws:sts::111122223333:assumed-role/orders/i-0123456789abcdef0",
        "key_arns": ("arn:aws:kms:eu-west-1:111122223333:key/1234abcd-12ab-34cd-56ef-1234567890ab",),
        "commitment": "c" * 64,
        "context_names": ("tenant", "purpose"),
        "kms_request_ids": ("0d990263-018e-428e-a701-31eec780f925",),
        "s3_request_ids": ("79104EXAMPLEB723",),
        "format": "se1",
        "source": "key service",
        "duration_seconds": 0.012,
    }
    for count in (10_000, COUNT):
        with (tmp_path / f"{count}.jsonl").open("wb") as file:
            head = Head("a" * 32, 0, NO_HASH)
            for number in range(count):
                line, head = chain_line(head, event(number, **fields).to_record())
                file.write(line)

    small, large = (_verify(tmp_path / f"{count}.jsonl") for count in (10_000, COUNT))

    print(f"{COUNT} records: {large[1]:.1f} s of CPU, {large[2]} KiB at most; 10,000 records: {small[2]} KiB")
    assert (small[0], large[0]) == (0, 0)
    assert large[1] < 30
    assert large[2] - small[2] < 8 << 10
