"""What figures were measured on."""

from __future__ import annotations

import importlib.util
import os
import platform
import ssl
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from cryptography.hazmat.backends.openssl.backend import backend

from s3envelope._version import __version__

_CPU_INFO = Path("/proc/cpuinfo")


@dataclass(frozen=True, slots=True)
class Machine:
    """A machine and the versions that matter.

    Args:
        load: Of the last minute: above the number of cores, figures of time are not worth much.
        openssl: Of `cryptography`, which encrypts.
        tls_openssl: Of Python, which speaks https.
        has_awscrt: With it botocore computes checksums in another way.
    """

    cpu: str
    cores: int
    load: float
    system: str
    python: str
    openssl: str
    tls_openssl: str
    boto3: str
    botocore: str
    s3transfer: str
    cryptography: str
    s3envelope: str
    has_awscrt: bool

    def line(self) -> str:
        """Return the description in one line."""
        awscrt = "with" if self.has_awscrt else "without"
        return (
            f"{self.cpu}, {self.cores} cores, load {self.load:.1f}, {self.system}, Python {self.python}, "
            f"boto3 {self.boto3}, s3transfer {self.s3transfer}, cryptography {self.cryptography} ({self.openssl}), "
            f"TLS by {self.tls_openssl}, {awscrt} awscrt, s3envelope {self.s3envelope}"
        )


def describe_machine() -> Machine:
    """Return a description of this machine and this Python."""
    return Machine(
        cpu=_cpu_model(),
        cores=_core_count(),
        load=os.getloadavg()[0],
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        openssl=backend.openssl_version_text(),
        tls_openssl=ssl.OPENSSL_VERSION,
        boto3=version("boto3"),
        botocore=version("botocore"),
        s3transfer=version("s3transfer"),
        cryptography=version("cryptography"),
        s3envelope=__version__,
        has_awscrt=importlib.util.find_spec("awscrt") is not None,
    )


def _core_count() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu_model() -> str:
    if _CPU_INFO.exists():
        for line in _CPU_INFO.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
