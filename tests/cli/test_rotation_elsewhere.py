"""Rotation by other engines: processes, a Dask cluster, S3 Batch Operations."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any
from urllib.parse import quote_plus

import pytest

from s3envelope.cli.app import run
from s3envelope.errors import ConfigurationError
from s3envelope.rotation import batch_operations
from s3envelope.rotation.run import list_locations
from s3envelope.rotation.run import rotate as run_rotation
from s3envelope.rotation.spec import RotationSpec, forget_clients, rotate_one
from tests.cli.commands import Place
from tests.cli.test_rotate import contents, fill, keyring, options


def test_rotation_when_run_by_processes_is_the_same(place: Place) -> None:
    stored = fill(place, 40)
    to = place.kms.create_key()
    spec = RotationSpec(
        to_keys=(to,),
        from_keys=(place.key_arn,),
        region="us-east-1",
        endpoint_url=place.endpoint.url,
        kms_endpoint_url=place.kms.endpoint_url,
    )
    client = place.endpoint.client()

    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as executor:
        work = _Work(spec)
        outcomes = list(run_rotation(list_locations(client, place.bucket, "p/"), work, executor, 2))

    assert [outcome.result for outcome in outcomes] == ["done"] * 40
    assert contents(place, keyring(place, to), stored) == stored


class _Work:
    """`rotate_one` with its spec, as something that can be pickled."""

    def __init__(self, spec: RotationSpec) -> None:
        self.spec = spec

    def __call__(self, where: Any) -> Any:
        return rotate_one(self.spec, where)


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Yield a Dask cluster of four worker processes."""
    distributed = pytest.importorskip("distributed", reason="the extra [dask] is not installed")
    with distributed.LocalCluster(
        n_workers=4, threads_per_worker=1, processes=True, dashboard_address=None, host="127.0.0.1"
    ) as running:
        yield running


@pytest.mark.slow
def test_rotation_when_a_dask_worker_is_killed_is_done_by_the_others(
    place: Place, cluster: Any, tmp_path: Path
) -> None:
    stored = fill(place, 400)
    to, report = place.kms.create_key(), tmp_path / "report"
    victim = next(iter(cluster.workers.values())).pid

    def kill() -> None:
        while not report.exists() or len(report.read_text().splitlines()) < 50:
            time.sleep(0.01)
        os.kill(victim, signal.SIGKILL)

    killing = threading.Thread(target=kill)
    killing.start()
    code = run(options(place, "--dask", cluster.scheduler_address, "--report", str(report), to=to))
    killing.join()

    assert code == 0
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    assert sorted(line["key"] for line in lines) == sorted(stored)
    assert contents(place, keyring(place, to), stored) == stored


@pytest.fixture
def lambda_environment(place: Place, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Set the environment of the function; yield the new key."""
    to = place.kms.create_key()
    monkeypatch.setenv("S3ENVELOPE_ROTATE_FROM", place.key_arn)
    monkeypatch.setenv("S3ENVELOPE_ROTATE_TO", to)
    monkeypatch.setenv("AWS_ENDPOINT_URL_S3", place.endpoint.url)
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", place.kms.endpoint_url)
    yield to
    forget_clients()


def event(place: Place, schema: str, *keys: str) -> dict[str, Any]:
    where = {"s3BucketArn": f"arn:aws:s3:::{place.bucket}"} if schema == "1.0" else {"s3Bucket": place.bucket}
    return {
        "invocationSchemaVersion": schema,
        "invocationId": "invocation",
        "job": {"id": "job", **({} if schema == "1.0" else {"userArguments": {}})},
        "tasks": [{"taskId": f"task-{key}", "s3Key": quote_plus(key), "s3VersionId": None, **where} for key in keys],
    }


@pytest.mark.parametrize("schema", ["1.0", "2.0"])
def test_batch_handler_when_invoked_tells_the_result_of_each_task(
    place: Place, lambda_environment: str, schema: str
) -> None:
    stored = fill(place, 2, prefix="p/with space é/")
    place.put_plain("plain", b"x")
    keys = [*stored, "plain", "missing"]

    answer = batch_operations.handler(event(place, schema, *keys), None)

    assert answer["invocationSchemaVersion"] == schema
    assert answer["invocationId"] == "invocation"
    found = {result["taskId"]: result["resultCode"] for result in answer["results"]}
    expected = ["Succeeded", "Succeeded", "PermanentFailure", "Succeeded"]
    assert found == dict(zip((f"task-{key}" for key in keys), expected, strict=True))
    assert json.dumps(answer)
    assert contents(place, keyring(place, lambda_environment), stored) == stored


def test_batch_handler_when_the_key_service_is_away_asks_to_be_called_again(
    place: Place, lambda_environment: str
) -> None:
    (key,) = stored = fill(place, 1)
    place.kms.faults.throttle(count=None)

    first = batch_operations.handler(event(place, "2.0", key), None)
    place.kms.faults.clear()
    second = batch_operations.handler(event(place, "2.0", key), None)

    assert [answer["results"][0]["resultCode"] for answer in (first, second)] == ["TemporaryFailure", "Succeeded"]
    assert contents(place, keyring(place, lambda_environment), stored) == stored


def test_batch_handler_when_the_key_is_denied_fails_for_good(place: Place, lambda_environment: str) -> None:
    (key,) = fill(place, 1)
    place.kms.client().disable_key(KeyId=lambda_environment)

    (result,) = batch_operations.handler(event(place, "1.0", key), None)["results"]

    assert result["resultCode"] == "PermanentFailure"
    assert "DisabledException" in result["resultString"]


@pytest.mark.parametrize("schema", ["3.0", None])
def test_batch_handler_when_the_schema_is_another_says_which_it_knows(
    place: Place, lambda_environment: str, schema: Any
) -> None:
    with pytest.raises(ConfigurationError, match=r"1\.0 and 2\.0"):
        batch_operations.handler({**event(place, "1.0"), "invocationSchemaVersion": schema}, None)


def test_batch_handler_when_no_key_is_configured_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("S3ENVELOPE_ROTATE_TO", raising=False)

    with pytest.raises(ConfigurationError, match="no key to wrap with"):
        batch_operations.handler({"invocationSchemaVersion": "1.0", "invocationId": "i", "tasks": []}, None)
