"""Every code block of the README is executed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from s3envelope.testing import LocalKms
from tests.support.endpoints import Endpoint

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
REGION = "eu-west-1"


def blocks(language: str) -> list[str]:
    """Return the fenced code blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture
def cloud(moto_s3: Endpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalKms]:
    """Run in an empty folder, with the bucket and the key of the README behind the default endpoints."""
    with LocalKms() as kms:
        client = kms.client(region_name=REGION)
        key_id = client.create_key()["KeyMetadata"]["KeyId"]
        client.create_alias(AliasName="alias/orders", TargetKeyId=key_id)
        storage = moto_s3.client()
        existing = [bucket["Name"] for bucket in storage.list_buckets()["Buckets"]]
        if "orders" in existing:
            for item in storage.list_objects_v2(Bucket="orders").get("Contents", []):
                storage.delete_object(Bucket="orders", Key=item["Key"])
        else:
            storage.create_bucket(Bucket="orders")
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", moto_s3.url)
        monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", kms.endpoint_url)
        monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
        monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
        monkeypatch.chdir(tmp_path)
        yield kms


@pytest.mark.usefixtures("cloud")
def test_python_blocks_when_run_in_order_do_what_the_text_says(capsys: pytest.CaptureFixture[str]) -> None:
    code = "\n\n".join(blocks("python"))
    assert len(blocks("python")) >= 7

    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})  # noqa: S102  # the README is ours

    assert "encryption context" in capsys.readouterr().out


@pytest.mark.usefixtures("cloud")
def test_shell_blocks_when_run_do_what_the_text_says(tmp_path: Path) -> None:
    (tmp_path / "report.bin").write_bytes(b"report" * 1000)
    folder = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": folder + os.pathsep + os.environ["PATH"]}

    for block in blocks("sh"):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    assert (tmp_path / "again.bin").read_bytes() == b"report" * 1000
    assert "SE1" in done.stdout


def test_set_up_commands_when_read_are_those_that_the_check_runs() -> None:
    commands = re.findall(r"^ {4}(python3 -m venv \.venv && .*)$", README, re.MULTILINE)
    check = (ROOT / ".ci" / "run").read_text()

    assert len(commands) == 2
    assert commands[0].endswith("s3envelope demo")
    assert commands[1].endswith(".venv/bin/pytest")
    assert "README.md" in check


def test_fenced_blocks_when_counted_are_all_of_a_language_that_is_run() -> None:
    fences = re.findall(r"^```(\S*)\n.*?^```", README, re.MULTILINE | re.DOTALL)

    assert set(fences) <= {"python", "sh"}
