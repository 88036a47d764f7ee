"""`s3envelope demo`: every promise of the library, checked on real servers."""

from __future__ import annotations

import json
import secrets
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import click
from rich.console import Console

from s3envelope.cli.demonstration import attacks, offline, places, reading, rotating
from s3envelope.cli.demonstration.places import FetchMeter, KeyService, Storage
from s3envelope.cli.demonstration.sample import MIB, make_sample
from s3envelope.cli.demonstration.scene import CONTEXT, Scene, Scores, bucket_for, make_config, remove_objects
from s3envelope.cli.options import Connection, connection_options
from s3envelope.cli.output import plain, size, stdout

# put_object takes 5 GiB of ciphertext; the edited objects are put in one piece.
_MOST_MIB = 4096
_STEPS: tuple[tuple[str, Callable[[Scene], str]], ...] = (
    ("Upload with a progress bar", reading.upload),
    ("What the server holds", reading.inspect_stored),
    ("Download and compare", reading.download),
    ("Read a range", reading.read_range),
    ("A tampered byte", attacks.refuse_tampered),
    ("A truncated object", attacks.refuse_truncated),
    ("A wrong encryption context", attacks.refuse_wrong_context),
    ("KMS calls", reading.count_key_calls),
    ("Reading while KMS is away", offline.read_offline),
    ("Another key", rotating.rotate),
    ("Speed beside plain boto3", reading.compare_speed),
)


@dataclass(frozen=True, slots=True)
class _Order:
    """What the command line asks for."""

    connection: Connection
    bucket: str | None
    kms_key_id: str | None
    sample_size: int

    @property
    def has_own_storage(self) -> bool:
        return self.connection.endpoint_url is not None or self.bucket is not None

    @property
    def has_own_key_service(self) -> bool:
        return self.connection.kms_endpoint_url is not None or self.kms_key_id is not None


@click.command()
@connection_options()
@click.option("--bucket", metavar="NAME", help="Existing bucket; by default one is made and deleted afterwards.")
@click.option("--kms-key-id", metavar="ID", help="KMS key id, ARN or alias.")
@click.option(
    "--size",
    "size_mib",
    type=click.IntRange(1, _MOST_MIB),
    default=64,
    show_default=True,
    metavar="MIB",
    help="Size of the file.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object; the story goes to stderr.")
def demo(*, connection: Connection, bucket: str | None, kms_key_id: str | None, size_mib: int, as_json: bool) -> int:
    """Show on a real file what encryption does, and check it.

    Without options it starts an S3 and a KMS on this machine, and needs neither an account nor the network.
    --endpoint-url or --bucket use your S3 instead, --kms-endpoint-url or --kms-key-id your KMS. Whatever is put into
    your S3 is deleted afterwards.

    The exit code is 0 only if every step held.
    """
    order = _Order(connection, bucket, kms_key_id, size_mib * MIB)
    if (connection.profile or connection.region) and not (order.has_own_storage or order.has_own_key_service):
        raise click.UsageError(
            "--profile and --region need --endpoint-url, --bucket, --kms-endpoint-url or --kms-key-id"
        )
    console = Console(stderr=True) if as_json else stdout()
    scores = Scores(console)
    started = time.monotonic()
    _perform(order, console, scores)
    seconds = time.monotonic() - started
    verdict = "every step held" if not scores.failed_count else f"{scores.failed_count} did not hold"
    console.print(f"\n{scores.held_count} steps held in {seconds:.1f} s; {verdict}.", highlight=False)
    if as_json:
        summary = {"held": scores.held_count, "failed": scores.failed_count, "seconds": round(seconds, 3)}
        click.echo(json.dumps({**summary, "steps": scores.steps}))
    return 1 if scores.failed_count else 0


def _perform(order: _Order, console: Console, scores: Scores) -> None:
    with ExitStack() as stack:
        ready: list[Scene] = []

        def prepare() -> str:
            ready.append(_set_up(order, console, stack))
            return f"ready: a file of {size(order.sample_size)}, half text and half random"

        if scores.run("Servers and file", prepare):
            (scene,) = ready
            # A step that fails takes those with it that look at what it should have made.
            for title, step in _STEPS:
                if not scores.run(title, lambda step=step: step(scene)) and step is reading.upload:  # type: ignore[misc]
                    break
        scores.run("Clean up", lambda: _clean_up(stack))


def _set_up(order: _Order, console: Console, stack: ExitStack) -> Scene:
    storage, key_service = _enter_servers(order, stack)
    console.print("  S3: ", plain(storage.label), sep="", highlight=False)
    console.print("  KMS:", plain(f" {key_service.label}, key {key_service.key_id}"), sep="", highlight=False)
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="s3envelope-demo-")))
    bucket = stack.enter_context(bucket_for(storage, order.bucket))
    prefix = f"s3envelope-demo-{secrets.token_hex(6)}/"
    stack.callback(remove_objects, storage, bucket, prefix)
    writer = storage.make_enveloped(make_config(key_service, CONTEXT))
    reader = storage.make_enveloped(make_config(key_service, CONTEXT))
    return Scene(
        console=console,
        storage=storage,
        key_service=key_service,
        sample=make_sample(folder / "orders.bin", order.sample_size),
        folder=folder,
        bucket=bucket,
        prefix=prefix,
        writer=writer,
        reader=reader,
        meter=FetchMeter.of(reader),
    )


def _enter_servers(order: _Order, stack: ExitStack) -> tuple[Storage, KeyService]:
    own = order.connection
    storage = places.own_storage(own) if order.has_own_storage else places.embedded_storage()
    keys = places.own_key_service(own, order.kms_key_id) if order.has_own_key_service else places.embedded_key_service()
    return stack.enter_context(storage), stack.enter_context(keys)


def _clean_up(stack: ExitStack) -> str:
    stack.close()
    return "what the demo put there is gone"
