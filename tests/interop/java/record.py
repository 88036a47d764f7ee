"""Have Java encrypt objects, read each with our client, and keep them.

    python -m tests.interop.java.record [--save]

It needs Java 17; see README.md in the folder above. With --save the objects become `objects.json`, with which the
ordinary tests read them without Java.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from s3envelope.testing import LocalKms
from tests.interop.recorded import JAVA_FILE, Recording
from tests.interop.recording import record
from tests.support.endpoints import Endpoint

_PROGRAM = Path(__file__).with_name("WriteObjects.java")


def write(endpoint: Endpoint, bucket: str, kms: LocalKms, key_arn: str) -> Recording:
    """Run the program; return what it wrote. It knows no servers."""
    done = subprocess.run(["java", str(_PROGRAM)], stdout=subprocess.PIPE, text=True, check=True)
    return Recording.parse(done.stdout)


if __name__ == "__main__":
    record("tests.interop.java.record", write, JAVA_FILE)
