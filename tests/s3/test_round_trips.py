"""Every way to write, every way to read, on every server: the same bytes come back, and none of them was sent."""

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, cast

import pytest
from boto3.exceptions import S3UploadFailedError
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError
from mypy_boto3_s3 import S3Client

from s3envelope import KmsKeyring
from s3envelope.core.layout import run_size
from s3envelope.testing.s3_proxy import S3Proxy
from s3envelope.testing.streams import NonSeekableSource
from tests.conftest import SERVER_NAMES
from tests.support.certificates import TlsFiles
from tests.support.endpoints import Endpoint
from tests.support.enveloped import CANARY, MIB, enveloped_client, plaintext_of

SIZES = [0, 1, 65535, 65536, 65537, 5 * MIB, 8 * MIB - 1, 8 * MIB, 8 * MIB + 1, 64 * MIB]
METADATA = {"Owner": "somebody", "note": "a b"}
STORED_METADATA = {"owner": "somebody", "note": "a b"}


@dataclass(frozen=True, slots=True)
class Lane:
    """A client of one server, over http or https, with one mode of checksums, through a recording proxy."""

    endpoint: Endpoint
    proxy: S3Proxy
    client: S3Client
    plain: S3Client
    bucket: str

    @property
    def transfer(self) -> TransferConfig | None:
        """Few ranges for moto, which makes a copy of the whole object for each."""
        return TransferConfig(multipart_chunksize=32 * MIB) if self.endpoint.name == "moto" else None


def _lanes() -> list[tuple[str, str, str]]:
    lanes = [
        (server, scheme, mode)
        for server in SERVER_NAMES
        for scheme in ("http", "https")
        for mode in ("when_supported", "when_required")
    ]
    # This gateway takes no trailers; see the test at the end.
    lanes.remove(("juicefs", "https", "when_supported"))
    return lanes


def _open_lane(
    request: pytest.FixtureRequest, keyring: KmsKeyring, tls: TlsFiles, names: tuple[str, str, str]
) -> Iterator[Lane]:
    server, scheme, mode = names
    endpoint: Endpoint = request.getfixturevalue({"moto": "moto_s3"}.get(server, server))
    certificate_files = tls.certificate_files if scheme == "https" else None
    with S3Proxy(endpoint.url, certificate_files=certificate_files) as proxy:
        proxy.forbid(CANARY)
        behind = endpoint.behind(proxy.url, ca_file=tls.ca_file if scheme == "https" else None)
        client = enveloped_client(behind, keyring, request_checksum_calculation=mode)
        plain = endpoint.client()
        bucket = f"round-trips-{'-'.join(names)}".replace("_", "-")
        plain.create_bucket(Bucket=bucket)
        yield Lane(endpoint, proxy, client, plain, bucket)
        plain.close()
        client.close()


@pytest.fixture(scope="module", params=_lanes(), ids="-".join)
def lane(request: pytest.FixtureRequest, keyring: KmsKeyring, tls: TlsFiles) -> Iterator[Lane]:
    yield from _open_lane(request, keyring, tls, request.param)


@pytest.fixture(scope="module")
def lane_without_trailers(request: pytest.FixtureRequest, keyring: KmsKeyring, tls: TlsFiles) -> Iterator[Lane]:
    yield from _open_lane(request, keyring, tls, ("juicefs", "https", "when_supported"))


@pytest.fixture(scope="module")
def source_file(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    folder = tmp_path_factory.mktemp("sources")

    def make(size: int) -> Path:
        path = folder / str(size)
        if not path.exists():
            path.write_bytes(plaintext_of(size))
        return path

    return make


def _write(lane: Lane, how: str, path: Path) -> None:
    client, bucket, size = lane.client, lane.bucket, path.stat().st_size
    extra: dict[str, Any] = {"Metadata": METADATA}
    if how == "put_object":
        client.put_object(Bucket=bucket, Key="k", Body=plaintext_of(size), Metadata=METADATA)
    elif how == "upload_file":
        client.upload_file(str(path), bucket, "k", ExtraArgs=extra)
    elif how == "upload_fileobj":
        client.upload_fileobj(io.BytesIO(plaintext_of(size)), bucket, "k", ExtraArgs=extra)
    else:
        stream = cast(IO[bytes], NonSeekableSource(plaintext_of(size)))
        client.upload_fileobj(stream, bucket, "k", ExtraArgs=extra)


WRITERS = ["put_object", "upload_file", "upload_fileobj", "upload_fileobj_without_seek"]


def is_slow(parameters: Mapping[str, Any]) -> bool:
    """Tell whether a case is left to the slow run.

    Each lane has all sizes with one way to write, and all ways with the sizes around a segment and a part.
    """
    if "lane" not in parameters:
        return False
    usual = WRITERS[_lanes().index(parameters["lane"]) % len(WRITERS)]
    return parameters["writer"] != usual and parameters["size"] not in (0, 65537, 8 * MIB + 1)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("writer", WRITERS)
def test_object_when_written_any_way_then_every_reader_gets_it_and_no_request_had_its_plaintext(
    lane: Lane, writer: str, size: int, source_file: Callable[[int], Path], tmp_path: Path
) -> None:
    lane.proxy.clear()

    _write(lane, writer, source_file(size))

    sent_size = sum(request.body_size for request in lane.proxy.requests)
    assert sent_size >= run_size(size)
    _check_sizes(lane, size)
    _check_whole(lane, size)
    _check_ranges(lane, size)
    _check_downloads(lane, size, tmp_path)
    assert lane.proxy.leaks == []


def _check_sizes(lane: Lane, size: int) -> None:
    head = lane.client.head_object(Bucket=lane.bucket, Key="k")
    stored = lane.plain.head_object(Bucket=lane.bucket, Key="k")
    (listed,) = lane.client.list_objects_v2(Bucket=lane.bucket)["Contents"]
    assert head["ContentLength"] == listed.get("Size") == size
    assert head["Metadata"] == STORED_METADATA
    assert stored["ContentLength"] == run_size(size)
    assert {"se1-h", "se1-k"} <= set(stored["Metadata"])


def _check_whole(lane: Lane, size: int) -> None:
    answer = lane.client.get_object(Bucket=lane.bucket, Key="k")
    assert answer["ContentLength"] == size
    assert answer["Metadata"] == STORED_METADATA
    assert answer["Body"].read() == plaintext_of(size)


def _ranges(lane: Lane, size: int) -> list[tuple[str, int, int]]:
    """Return headers and the half-open intervals that they mean."""
    if size == 0:
        return []
    # moto copies the whole object for every range of it.
    few = lane.endpoint.name == "moto" and size == 64 * MIB
    middle = [(size // 2, min(size, size // 2 + 70_000))]
    edges = [(0, 1), (size - 1, size), (max(0, size - 65_536), size), (min(65_535, size - 1), min(65_537, size))]
    closed = middle if few else [*middle, *edges]
    ranges = [(f"bytes={start}-{end - 1}", start, end) for start, end in closed]
    ranges.append((f"bytes=-{min(size, 5)}", size - min(size, 5), size))
    ranges.append((f"bytes={size - 1}-{size + 9}", size - 1, size))
    return ranges


def _check_ranges(lane: Lane, size: int) -> None:
    for header, start, end in _ranges(lane, size):
        answer = lane.client.get_object(Bucket=lane.bucket, Key="k", Range=header)
        assert answer["Body"].read() == plaintext_of(size)[start:end]
        assert answer["ContentRange"] == f"bytes {start}-{end - 1}/{size}"
    with pytest.raises(ClientError, match="InvalidRange"):
        lane.client.get_object(Bucket=lane.bucket, Key="k", Range=f"bytes={size}-")


def _check_downloads(lane: Lane, size: int, folder: Path) -> None:
    path, buffer = folder / "downloaded", io.BytesIO()
    config = lane.transfer if size == 64 * MIB else None
    lane.client.download_file(lane.bucket, "k", str(path), Config=config)
    assert path.read_bytes() == plaintext_of(size)
    path.unlink()
    lane.client.download_fileobj(lane.bucket, "k", buffer, Config=config)
    assert buffer.getvalue() == plaintext_of(size)


@pytest.mark.parametrize("size", [1, 8 * MIB + 1])
@pytest.mark.parametrize("writer", WRITERS)
def test_upload_when_server_takes_no_trailers_then_its_error_and_nothing_is_left(
    lane_without_trailers: Lane, writer: str, size: int, source_file: Callable[[int], Path]
) -> None:
    lane = lane_without_trailers

    # boto3's upload_file wraps the error of the server.
    with pytest.raises((ClientError, S3UploadFailedError), match="MissingContentLength"):
        _write(lane, writer, source_file(size))

    assert lane.plain.list_objects_v2(Bucket=lane.bucket)["KeyCount"] == 0
    assert "Uploads" not in lane.plain.list_multipart_uploads(Bucket=lane.bucket, Prefix="k")
    assert lane.proxy.leaks == []
