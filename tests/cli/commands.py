"""Running the command: in a process of its own, or in this one where that is enough."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from s3envelope.s3.config import EnvelopeConfig
from s3envelope.s3.install import client as enveloped_client
from s3envelope.testing import LocalKms
from tests.support.endpoints import Endpoint

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

ALIAS = "alias/cli"
COMMAND = (sys.executable, "-m", "s3envelope.cli.main")


def subcommands(group: click.Group) -> dict[str, click.Command]:
    """Return the commands of a group by their names, imported."""
    context = click.Context(group)
    found = {name: group.get_command(context, name) for name in group.list_commands(context)}
    return {name: command for name, command in found.items() if command is not None}


def environment(changes: Mapping[str, str | None] | None = None) -> dict[str, str]:
    """Return the sealed environment of the tests with changes; None removes a variable."""
    merged: dict[str, str | None] = {**os.environ, "COLUMNS": "250", "PYTHONUTF8": "1", **(changes or {})}
    return {name: value for name, value in merged.items() if value is not None}


def run_process(
    *arguments: str, stdin: bytes = b"", changes: Mapping[str, str | None] | None = None, timeout: float = 120
) -> subprocess.CompletedProcess[bytes]:
    """Run the command in a process of its own, to its end, for at most `timeout` seconds."""
    command, env = [*COMMAND, *arguments], environment(changes)
    return subprocess.run(command, input=stdin, capture_output=True, check=False, timeout=timeout, env=env)


def one_line(stderr: str | bytes) -> str:
    """Return a complaint; it must be one line and no traceback."""
    text = stderr.decode() if isinstance(stderr, bytes) else stderr
    assert text.startswith("s3envelope: "), text
    assert text.count("\n") == 1, text
    return text


@dataclass(frozen=True, slots=True)
class Place:
    """A bucket on an S3 server, and a KMS with a key under `ALIAS`."""

    endpoint: Endpoint
    kms: LocalKms
    bucket: str
    key_arn: str

    @property
    def s3_options(self) -> list[str]:
        """What leads the command to the S3 server."""
        return ["--endpoint-url", self.endpoint.url]

    @property
    def options(self) -> list[str]:
        """What leads the command to both servers and the key."""
        return [*self.s3_options, "--kms-endpoint-url", self.kms.endpoint_url, "--kms-key-id", ALIAS]

    def url(self, key: str) -> str:
        """Return the location of an object."""
        return f"s3://{self.bucket}/{key}"

    def put_plain(self, key: str, body: bytes, metadata: dict[str, str] | None = None) -> None:
        """Store an object with a client that knows nothing of encryption."""
        client = self.endpoint.client()
        client.put_object(Bucket=self.bucket, Key=key, Body=body, Metadata=metadata or {})
        client.close()

    def stored(self, key: str) -> tuple[bytes, dict[str, str]]:
        """Return what the server holds: body and metadata."""
        client = self.endpoint.client()
        answer = client.get_object(Bucket=self.bucket, Key=key)
        body = answer["Body"].read()
        client.close()
        return body, answer["Metadata"]

    def keys(self) -> list[str]:
        """Return the keys of all objects in the bucket."""
        client = self.endpoint.client()
        found = [item["Key"] for item in client.list_objects_v2(Bucket=self.bucket).get("Contents", [])]
        client.close()
        return found

    def sealing_client(self, context: dict[str, str] | None = None) -> S3Client:
        """Return an enveloped client of the library."""
        config = EnvelopeConfig(kms_key_id=ALIAS, kms_client=self.kms.client(), encryption_context=context)
        return enveloped_client("s3", envelope=config, **self.endpoint.client_arguments())

    def put_sealed(
        self, key: str, body: bytes, metadata: dict[str, str] | None = None, context: dict[str, str] | None = None
    ) -> None:
        """Store an object with the library."""
        client = self.sealing_client(context)
        client.put_object(Bucket=self.bucket, Key=key, Body=body, Metadata=metadata or {})
        client.close()

    def flip(self, key: str, offset: int) -> None:
        """Change one stored byte of an object and nothing else."""
        body, metadata = self.stored(key)
        changed = bytearray(body)
        changed[offset] ^= 1
        self.put_plain(key, bytes(changed), metadata)
