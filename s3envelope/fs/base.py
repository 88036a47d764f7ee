"""What every operation of the filesystem stands on: its client, its paths, its listings cache, and how it travels."""

from __future__ import annotations

from typing import Any

from fsspec.spec import AbstractFileSystem

from s3envelope.errors import ConfigurationError
from s3envelope.fs.connection import Connection
from s3envelope.fs.locations import Location

_DEFAULT_READ_SIZE = 5 << 20


class ConnectedFileSystem(AbstractFileSystem):  # type: ignore[misc]  # fsspec has no types
    """A filesystem with an enveloped client."""

    protocol = "s3e"
    root_marker = ""

    def __init__(
        self,
        *,
        version_aware: bool = False,
        default_block_size: int | None = None,
        **storage_options: Any,
    ) -> None:
        # fsspec gives an instance again, and calls this again.
        if self._cached:
            return
        if default_block_size is not None and default_block_size < 1:
            raise ConfigurationError(f"default_block_size is {default_block_size!r}; use a number of bytes")
        self.version_aware = version_aware
        self.blocksize = default_block_size or _DEFAULT_READ_SIZE
        self.write_block_size = default_block_size
        self._connection = Connection(storage_options)
        super().__init__(**storage_options)

    @property
    def client(self) -> Any:
        """The enveloped client of this process."""
        return self._connection.client

    def location(self, path: str) -> Location:
        """Return where a path is in S3."""
        return Location.of(self._strip_protocol(path), version_aware=self.version_aware)

    def invalidate_cache(self, path: str | None = None) -> None:
        """Forget the listings of a path and of all directories above it; of everything without a path."""
        if path is None:
            self.dircache.clear()
        else:
            path = self._strip_protocol(path)
            self.dircache.pop(path, None)
            while path:
                path = self._parent(path)
                self.dircache.pop(path, None)
        super().invalidate_cache(path)

    def __reduce__(self) -> Any:
        """Let another process make the same filesystem, with a connection of its own.

        Raises:
            TypeError: The options hold credentials, keys or connections, which do not leave the process.
        """
        self._connection.check_portable()
        return super().__reduce__()

    def to_dict(self, **arguments: Any) -> dict[str, Any]:
        """Return the filesystem as `to_json` writes it; raises `TypeError` as pickling does."""
        self._connection.check_portable()
        described: dict[str, Any] = super().to_dict(**arguments)
        return described
