"""Airflow's S3Hook with our session. It needs an environment of its own: see README.md in this folder."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from s3envelope.errors import UnsupportedOperationError
from tests.ecosystem.page import ROOT
from tests.support.endpoints import Endpoint
from tests.support.enveloped import MIB, plaintext_of

# Airflow makes a folder for itself when it is imported.
os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="s3envelope-airflow-"))
os.environ.setdefault("AIRFLOW__CORE__UNIT_TEST_MODE", "true")
pytest.importorskip(
    "airflow.providers.amazon",
    reason="apache-airflow-providers-amazon is installed apart, see tests/ecosystem/README.md",
)

_USES_THE_FACTORY = """
from airflow.providers.amazon.aws.hooks.s3 import S3Hook
hook = S3Hook(aws_conn_id=None)
hook.load_string("sealed", key="factory", bucket_name="orders")
assert hook.read_key("factory", "orders") == "sealed"
"""


def test_block_when_run_does_what_it_says(run_block: Any, stored: Callable[[], dict[str, bytes]]) -> None:
    run_block("Airflow")

    assert b"sealed" not in stored()["airflow/1.txt"]


def test_session_factory_when_configured_then_all_hooks_seal(
    server: Endpoint, stored: Callable[[], dict[str, bytes]]
) -> None:
    factory = "tests.ecosystem.airflow_sessions.EnvelopedSessionFactory"
    environment = {**os.environ, "AIRFLOW__AWS__SESSION_FACTORY": factory, "PYTHONPATH": str(ROOT)}

    done = subprocess.run(
        [sys.executable, "-c", _USES_THE_FACTORY], env=environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stderr
    assert b"sealed" not in stored()["factory"]


@pytest.fixture
def hook(run_block: Any) -> Any:
    """Return the hook of the page."""
    return run_block("Airflow")["EnvelopedS3Hook"](aws_conn_id=None)


def test_hook_when_used_then_stores_ciphertext_and_reads_it(
    hook: Any, tmp_path: Any, stored: Callable[[], dict[str, bytes]]
) -> None:
    content = plaintext_of(9 * MIB)
    (tmp_path / "up").write_bytes(content)

    hook.load_file(str(tmp_path / "up"), "file", "orders")
    hook.load_bytes(content, "bytes", "orders")
    hook.load_file_obj(io.BytesIO(content), "object", "orders")
    # A small one: moto gives the copy of a multipart upload a checksum that is not its own.
    hook.copy_object("airflow/1.txt", "copy", "orders", "orders")

    assert not [name for name, body in stored().items() if content[:100] in body]
    assert sorted(hook.list_keys("orders")) == ["airflow/1.txt", "bytes", "copy", "file", "object"]
    assert hook.read_key("copy", "orders") == "sealed"
    for name in ("bytes", "file", "object"):
        assert hook.head_object(name, "orders")["ContentLength"] == len(content)
        assert hook.get_key(name, "orders").get()["Body"].read() == content
    (tmp_path / "down").mkdir()
    downloaded = hook.download_file("file", "orders", str(tmp_path / "down"))
    assert Path(downloaded).read_bytes() == content
    hook.delete_objects("orders", ["copy"])
    assert not hook.check_for_key("copy", "orders")


def test_queries_and_urls_when_asked_for_then_refused(hook: Any, server: Endpoint) -> None:
    with pytest.raises(UnsupportedOperationError, match="cannot query ciphertext"):
        hook.select_key("airflow/1.txt", "orders", "SELECT * FROM s3object")
    with pytest.raises(UnsupportedOperationError, match="presigned"):
        hook.generate_presigned_url("get_object", {"Bucket": "orders", "Key": "airflow/1.txt"})
