"""`s3envelope ui`: the command, which serves the pages until it is interrupted."""

from __future__ import annotations

import threading
import webbrowser
from collections.abc import Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import click

from s3envelope.cli.audit_files import AnchorChoice
from s3envelope.cli.dependencies import KeyNames, named_keys, search_keys
from s3envelope.cli.locations import parse_s3
from s3envelope.cli.options import Connection, KeyChoice, connection_options, key_options
from s3envelope.cli.output import complain
from s3envelope.s3.config import EnvelopeConfig
from s3envelope.s3.install import install

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_WORKERS = 16
_LOOK_SECONDS = 0.2
_NEVER = threading.Event()


@click.command()
@click.argument("location", metavar="[s3://BUCKET[/PREFIX]]", required=False)
@connection_options()
@key_options
@click.option("--key", "named", multiple=True, metavar="ID", help="KMS key to show by its name; repeatable.")
@click.option(
    "--search-region", "regions", multiple=True, metavar="NAME", help="Show all KMS keys of this Region by their names."
)
@click.option("--audit-log", "logs", multiple=True, metavar="FILE", type=_FILE, help="Audit log to show; repeatable.")
@click.option("--audit-anchors", "places", multiple=True, metavar="PLACE", help="Anchors of that log; repeatable.")
@click.option("--audit-public-key", "public_key", metavar="HEX", help="Ed25519 key of the anchors.")
@click.option("--port", default=0, type=click.IntRange(0, 65_535), help="Port on 127.0.0.1; by default any free one.")
@click.option("--open", "opens", is_flag=True, help="Open the page in the browser.")
def ui(
    *,
    location: str | None,
    connection: Connection,
    key_choice: KeyChoice,
    named: Sequence[str],
    regions: Sequence[str],
    logs: Sequence[Path],
    places: Sequence[str],
    public_key: str | None,
    port: int,
    opens: bool,
) -> None:
    """Show buckets, envelopes, keys and the audit log in a browser on this machine.

    The pages change nothing, read metadata and no bodies, and need no key. With a key the sizes of objects in indexed
    layout are exact. Only 127.0.0.1 is served, and only to whoever has the address that is printed: it holds a token
    that is made anew each time. Ctrl-C ends it.
    """
    try:
        from s3envelope.cli.ui.server import Place, serving
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("flask", "werkzeug", "jinja2"):
            raise
        raise click.UsageError("ui needs the extra [ui]: pip install 's3envelope[ui]'") from None
    start = None if location is None else parse_s3(location)
    anchors = AnchorChoice(places, public_key, None, None, None)
    names: KeyNames = named_keys(connection, [*named, *(key_choice.kms_key_ids if not named else ())])
    search_keys(connection, regions, names)
    with ExitStack() as stack:
        client = stack.enter_context(closing(connection.s3(connection.session(), max_pool_connections=_WORKERS)))
        reader = None
        if key_choice.kms_key_ids or key_choice.raw_key_file is not None:
            session = connection.session()
            keyring = stack.enter_context(key_choice.keyring(connection, session))
            install(session, EnvelopeConfig(keyring=keyring))
            reader = stack.enter_context(closing(connection.s3(session, max_pool_connections=_WORKERS)))
        place = Place(client, reader, connection, start, names, tuple(logs), anchors)
        with serving(place, port) as address:
            click.echo(address)
            if opens:
                webbrowser.open(address)
            where = "all buckets" if start is None else str(start)
            complain(f"showing {where} on this machine only; Ctrl-C ends it")
            _wait()


def _wait() -> None:
    """Return when Ctrl-C was pressed, which is how this command ends."""
    with suppress(KeyboardInterrupt):
        # With a limit: a signal that comes between a look at it and a wait without end would not be noticed.
        while not _NEVER.wait(_LOOK_SECONDS):
            pass
