"""`s3envelope cache`: the data keys that this user's processes keep on disk."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path

import click

from s3envelope.caches.disk import DiskCache
from s3envelope.caches.key_sources import (
    CacheKeyFile,
    CacheKeyInKeyring,
    CacheKeyPassphrase,
    CacheKeySource,
    CacheKeyVariable,
)
from s3envelope.cli.output import plain, size, stdout

_VARIABLE = "S3ENVELOPE_CACHE_PASSPHRASE"


def _ask_passphrase() -> str:
    given = os.environ.get(_VARIABLE)
    return given if given is not None else str(click.prompt("Passphrase of the cache", hide_input=True, err=True))


_SOURCES: dict[str, Callable[[], CacheKeySource]] = {
    "file": CacheKeyFile,
    "keyring": CacheKeyInKeyring,
    "variable": CacheKeyVariable,
    "passphrase": lambda: CacheKeyPassphrase(_ask_passphrase),
}


def _cache_options(command: Callable[[DiskCache, bool], None]) -> Callable[..., None]:
    """Add the options that name a cache to a command, which gets it, and whether JSON is wanted."""

    def with_cache(folder: Path | None, key: str | None, as_json: bool) -> None:
        command(DiskCache(folder, key=None if key is None else _SOURCES[key]()), as_json)

    with_cache.__doc__ = command.__doc__
    options = [
        click.option(
            "--folder",
            metavar="DIR",
            type=click.Path(file_okay=False, path_type=Path),
            help="Folder of the cache; by default what S3ENVELOPE_CACHE_DIR says, or the user's cache folder.",
        ),
        click.option(
            "--key",
            type=click.Choice(list(_SOURCES)),
            help="Where the cache key is; by default the variable S3ENVELOPE_CACHE_KEY if it is set, else the key "
            f"file. A passphrase is asked for, or is in {_VARIABLE}.",
        ),
        click.option("--json", "as_json", is_flag=True, help="Print one JSON object."),
    ]
    result: Callable[..., None] = with_cache
    for option in reversed(options):
        result = option(result)
    return result


@click.group()
def cache() -> None:
    """Look at, empty or rekey the cache of data keys on disk."""


@cache.command("stats")
@_cache_options
def stats(target: DiskCache, as_json: bool) -> None:
    """Show what lies in the cache."""
    found = target.stats()
    if as_json:
        click.echo(json.dumps({**dataclasses.asdict(found), "folder": str(found.folder)}))
        return
    console = stdout()
    console.print("folder:", plain(str(found.folder)), highlight=False, soft_wrap=True)
    console.print(f"entries: {found.entry_count} of at most {found.max_entries}", highlight=False)
    console.print(f"size: {size(found.stored_bytes)} of at most {size(found.max_bytes)}", highlight=False)


@cache.command("clear")
@_cache_options
def clear(target: DiskCache, as_json: bool) -> None:
    """Drop all entries: the next read of each object asks the key service."""
    _tell("dropped", target.clear(), "entries dropped", as_json=as_json)


@cache.command("rekey")
@_cache_options
def rekey(target: DiskCache, as_json: bool) -> None:
    """Make a new cache key and seal all entries under it.

    Processes that have the cache open go on without finding anything, until they end.
    """
    _tell("sealed", target.rekey(), "entries sealed under a new key", as_json=as_json)


def _tell(name: str, count: int, words: str, *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps({name: count}))
    else:
        stdout().print(f"{count} {words}", highlight=False)
