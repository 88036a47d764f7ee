"""Small files with key material: mode 0600, never seen half written, refused where others could read them.

And the lock that processes hold on a file that they share.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from s3envelope.errors import ConfigurationError


def create_key_file(path: Path, size: int) -> None:
    """Create a file of random bytes that never exists with less than its whole content; keep one that is there.

    Raises:
        ConfigurationError: It cannot be created.
    """
    if path.exists():
        return
    try:
        temporary = _new_key_file(path, size)
        try:
            # A hard link fails if somebody else was faster; that key then counts.
            os.link(temporary, path)
        finally:
            os.unlink(temporary)
    except FileExistsError:
        pass
    except OSError as error:
        raise ConfigurationError(f"the key file {path} cannot be created: {error.strerror}") from error


def replace_key_file(path: Path, size: int) -> None:
    """Put a file of new random bytes in the place of a key file.

    Raises:
        ConfigurationError: It cannot be written.
    """
    try:
        os.replace(_new_key_file(path, size), path)
    except OSError as error:
        raise ConfigurationError(f"the key file {path} cannot be replaced: {error.strerror}") from error


def read_key_file(path: Path, size: int) -> bytearray:
    """Return the content of a key file, for the caller to wipe.

    Raises:
        ConfigurationError: It cannot be read, others can read or write it, or it has another size.
    """
    try:
        with path.open("rb", buffering=0) as file:
            status = os.fstat(file.fileno())
            if os.name == "posix" and stat.S_IMODE(status.st_mode) & 0o077:
                raise ConfigurationError(
                    f"the key file {path} has mode {stat.S_IMODE(status.st_mode):04o}; others must not read it: "
                    "chmod 600, and think of the key as known"
                )
            content = bytearray(size + 1)
            found = file.readinto(content)
    except OSError as error:
        raise ConfigurationError(f"the key file {path} cannot be read: {error.strerror}") from error
    if found != size:
        content[:] = bytes(len(content))
        raise ConfigurationError(f"the key file {path} has not {size} bytes; use one of exactly {size} random bytes")
    del content[size:]
    return content


def _new_key_file(path: Path, size: int) -> str:
    """Write random bytes to a file with a name of its own in the folder of `path`, and return that name."""
    # Mode 0600 from the start.
    descriptor, temporary = tempfile.mkstemp(prefix=f"{path.name}.", suffix=".tmp", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb", buffering=0) as file:
            file.write(os.urandom(size))
            os.fsync(file.fileno())
    except BaseException:
        os.unlink(temporary)
        raise
    return temporary


@contextmanager
def exclusively(descriptor: int) -> Iterator[None]:
    """Hold an advisory lock of the operating system on an open file."""
    if os.name == "nt":
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_LOCK, 1)  # type: ignore[attr-defined]
        try:
            yield
        finally:
            msvcrt.locking(descriptor, msvcrt.LK_UNLCK, 1)  # type: ignore[attr-defined]
        return
    import fcntl

    fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def try_lock(descriptor: int) -> bool:
    """Take an advisory lock on an open file, if nobody has it; it is held until the file is closed."""
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
