"""The clocks of this machine, for those who pass none."""

from __future__ import annotations

import os
import time

from s3envelope.core.ports import SystemPorts


def machine_ports() -> SystemPorts:
    """Return the operating system's randomness, clocks and process number."""
    return SystemPorts(random=os.urandom, clock=time.monotonic, process_id=os.getpid, wall_clock=time.time)
