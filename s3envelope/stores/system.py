"""The ports of the machine this process runs on."""

from __future__ import annotations

import os
import time

from s3envelope.core.ports import SystemPorts


def system_ports() -> SystemPorts:
    """Return the operating system's randomness, clocks and process number."""
    return SystemPorts(random=os.urandom, clock=time.monotonic, process_id=os.getpid, wall_clock=time.time)
