"""The code blocks of the documents, and the servers that they are run against."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import boto3
import pytest

from s3envelope.cli.app import run
from s3envelope.testing import LocalKms
from tests.support.endpoints import Endpoint

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
SPEC = ROOT / "s3envelope" / "spec"
BUCKET = "orders"
REGION = "eu-west-1"
_FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# A command of this library, without anything that only a shell understands but for the exit code that is expected.
_SIMPLE = re.compile(r"(s3envelope [^|&;<>$`*?()#]*)(?: \|\| test \$\? = ([0-9]))?")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block of a page.

    Args:
        line_number: Of its first line of content, from 1.
    """

    language: str
    content: str
    line_number: int

    @property
    def first_line(self) -> str:
        return self.content.partition("\n")[0]


def blocks_of(page: Path) -> list[Block]:
    """Return the fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(found[1].strip(), found[2], text.count("\n", 0, found.start()) + 2) for found in _FENCE.finditer(text)
    ]


@contextmanager
def servers_of_documents(endpoint: Endpoint, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalKms]:
    """Run in an empty folder, with the bucket and the keys of the documents behind the default endpoints."""
    with LocalKms() as kms:
        for alias in ("alias/orders", "alias/orders-2027"):
            kms.create_key(REGION, alias=alias)
        _empty_bucket(endpoint)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", endpoint.url)
        monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", kms.endpoint_url)
        monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
        monkeypatch.chdir(folder)
        yield kms


def _empty_bucket(endpoint: Endpoint) -> None:
    storage = endpoint.client()
    if BUCKET in [bucket["Name"] for bucket in storage.list_buckets()["Buckets"]]:
        for item in storage.list_objects_v2(Bucket=BUCKET).get("Contents", []):
            storage.delete_object(Bucket=BUCKET, Key=item["Key"])
    else:
        storage.create_bucket(Bucket=BUCKET)
    storage.close()


def run_python(block: Block, page: Path, names: dict[str, object]) -> None:
    """Run a block; a failure shows its line in the page."""
    code = "\n" * (block.line_number - 1) + block.content
    exec(compile(code, str(page), "exec"), names)  # noqa: S102  # the documents are ours


def run_shell(block: Block, folder: Path, read_output: Callable[[], str]) -> str:
    """Run a block in a folder, with the commands of this environment; return what it printed.

    A block of nothing but commands of this library is run in this process, which is a hundred times faster.

    Args:
        read_output: Returns what this process has printed since it was called before.

    Raises:
        AssertionError: It failed.
    """
    commands = [_SIMPLE.fullmatch(line) for line in block.content.replace("\\\n", " ").splitlines()]
    if None not in commands:
        output = ""
        for command in filter(None, commands):
            code = run(shlex.split(command[1])[1:])
            output += read_output()
            assert code == int(command[2] or 0), f"line {block.line_number}: {command[1]} exited with {code}: {output}"
        return output
    path = str(Path(sys.executable).parent) + os.pathsep + os.environ["PATH"]
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block.content],
        cwd=folder,
        env={**os.environ, "PATH": path, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"line {block.line_number}: {done.stdout}{done.stderr}"
    return done.stdout
