"""Data keys as a client uses them: how often KMS is asked, and what a read without KMS looks like."""

from __future__ import annotations

import io
import logging
import threading
from typing import Any

import pytest
from botocore.config import Config
from mypy_boto3_s3 import S3Client

import s3envelope
from s3envelope import CacheLimits, DiskCache, KmsKeyring, MemoryCache
from s3envelope.errors import ConfigurationError, ContextMismatchError, KeyAccessError, KeyServiceUnavailableError
from s3envelope.testing import LocalKms
from tests.support.caching import Uses
from tests.support.endpoints import Endpoint
from tests.support.enveloped import MIB, ClientFactory, NewBucket, plaintext_of
from tests.support.uploading import Uploading

ALWAYS_STALE = CacheLimits(fresh_for_seconds=0)
CACHES = {"disk": DiskCache, "memory": MemoryCache}


@pytest.fixture
def bucket(moto_s3: Endpoint, new_bucket: NewBucket) -> str:
    return new_bucket(moto_s3)


def _read(client: S3Client, bucket: str, key: str = "k") -> bytes:
    return client.get_object(Bucket=bucket, Key=key)["Body"].read()


def _described(client: Any, bucket: str) -> Any:
    return client.describe_envelope(Bucket=bucket, Key="k").data_key


@pytest.mark.parametrize(("most", "calls"), [(2**20, 1), (1, 1000)])
def test_1000_objects_when_put_take_as_many_data_keys_as_the_limit_says(
    moto_s3: Endpoint, sealed: ClientFactory, kms: LocalKms, bucket: str, most: int, calls: int
) -> None:
    client = sealed(moto_s3, envelope={"cache_limits": CacheLimits(max_objects=most)})

    for number in range(1000):
        client.put_object(Bucket=bucket, Key=f"{number % 10}", Body=b"x")

    assert kms.count("GenerateDataKey") == kms.count() == calls


@pytest.mark.parametrize(("cache", "count"), [("disk", 1000), ("memory", 200)])
def test_objects_of_one_data_key_when_read_take_one_decrypt(
    moto_s3: Endpoint, sealed: ClientFactory, kms: LocalKms, bucket: str, cache: str, count: int
) -> None:
    writer = sealed(moto_s3)
    for number in range(100):
        writer.put_object(Bucket=bucket, Key=str(number), Body=b"%d" % number)
    reader = sealed(moto_s3, envelope={"cache": CACHES[cache]()})
    kms.clear_calls()

    for number in range(count):
        assert _read(reader, bucket, str(number % 100)) == b"%d" % (number % 100)

    assert kms.count("Decrypt") == kms.count() == 1


@pytest.mark.parametrize("cache", CACHES)
def test_32_threads_when_they_miss_the_same_key_at_once_make_one_decrypt(
    moto_s3: Endpoint, sealed: ClientFactory, kms: LocalKms, bucket: str, cache: str
) -> None:
    sealed(moto_s3).put_object(Bucket=bucket, Key="k", Body=b"content")
    reader = sealed(moto_s3, envelope={"cache": CACHES[cache]()}, max_pool_connections=32)
    kms.clear_calls()
    kms.faults.latency(0.2, "Decrypt")
    barrier, found = threading.Barrier(32), list[bytes]()

    def read() -> None:
        barrier.wait(30)
        found.append(_read(reader, bucket))

    threads = [threading.Thread(target=read) for _ in range(32)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert found == [b"content"] * 32
    assert kms.count("Decrypt") == 1


@pytest.mark.parametrize("size", [40 * MIB, pytest.param(1024 * MIB, marks=pytest.mark.slow)])
def test_download_file_when_it_takes_many_ranges_makes_at_most_one_decrypt(
    seaweedfs: Endpoint,
    new_bucket: NewBucket,
    sealed: ClientFactory,
    kms: LocalKms,
    size: int,
) -> None:
    place = new_bucket(seaweedfs)
    block = plaintext_of(8 * MIB)
    writer = sealed(seaweedfs, envelope={"part_size": 64 * MIB})
    writer.upload_fileobj(_Repeated(block, size // len(block)), place, "k")  # type: ignore[arg-type]
    reader = sealed(seaweedfs, envelope={"cache": MemoryCache()})
    kms.clear_calls()

    sink = _Counted()
    reader.download_fileobj(place, "k", sink)  # type: ignore[arg-type]

    assert sink.size == size
    assert kms.count("Decrypt") == kms.count() == 1


class _Repeated(io.RawIOBase):
    """A block, many times."""

    def __init__(self, block: bytes, count: int) -> None:
        self._block, self._size, self._position = block, len(block) * count, 0

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        wanted = self._size - self._position if size < 0 else size
        start = self._position % len(self._block)
        piece = (self._block[start:] + self._block)[: min(wanted, self._size - self._position, len(self._block))]
        self._position += len(piece)
        return piece


class _Counted(io.RawIOBase):
    """Counts what is written."""

    def __init__(self) -> None:
        self.size = 0

    def writable(self) -> bool:
        return True

    def write(self, piece: Any, /) -> int:
        self.size += len(piece)
        return len(piece)


def test_cache_when_nothing_is_configured_is_on_disk_and_shared_by_clients(
    moto_s3: Endpoint, sealed: ClientFactory, kms: LocalKms, bucket: str
) -> None:
    sealed(moto_s3).put_object(Bucket=bucket, Key="k", Body=b"content")
    _read(sealed(moto_s3), bucket)
    kms.clear_calls()

    assert _read(sealed(moto_s3), bucket) == b"content"
    assert kms.count() == 0
    assert DiskCache().stats().entry_count == 1


@pytest.mark.parametrize("cache", [None, MemoryCache()], ids=["none", "memory"])
def test_cache_when_off_or_in_memory_leaves_nothing_on_disk(
    moto_s3: Endpoint, sealed: ClientFactory, kms: LocalKms, bucket: str, cache: MemoryCache | None
) -> None:
    client = sealed(moto_s3, envelope={"cache": cache})
    client.put_object(Bucket=bucket, Key="k", Body=b"content")
    kms.clear_calls()

    for _ in range(3):
        _read(client, bucket)

    assert kms.count("Decrypt") == (3 if cache is None else 1)
    assert _described(client, bucket) is None if cache is None else _described(client, bucket).is_fresh
    assert not DiskCache().folder.exists()


@pytest.mark.parametrize("value", ["disk", "memory", "off"])
def test_cache_when_named_by_the_environment_is_that_one(
    moto_s3: Endpoint, keyring: KmsKeyring, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.setenv("S3ENVELOPE_CACHE", value)
    monkeypatch.setenv("S3ENVELOPE_CACHE_PARTITION", "readers")

    client: Any = s3envelope.client("s3", keyring=keyring, **moto_s3.client_arguments())

    config = client._s3envelope.config
    assert type(config.cache) is {"disk": DiskCache, "memory": MemoryCache, "off": type(None)}[value]
    assert config.cache_partition == "readers"


@pytest.mark.parametrize("field", ["cache", "cache_partition", "audit"])
def test_fields_when_of_another_type_are_refused(moto_s3: Endpoint, keyring: KmsKeyring, field: str) -> None:
    wrong: dict[str, Any] = {field: 5}
    with pytest.raises(ConfigurationError, match=field):
        s3envelope.client("s3", keyring=keyring, **wrong, **moto_s3.client_arguments())
    with pytest.raises(ConfigurationError, match="S3ENVELOPE_CACHE"):
        s3envelope.s3.config.make_config({"keyring": keyring}, {"S3ENVELOPE_CACHE": "cloud"})


def test_read_when_kms_is_away_goes_on_and_everyone_can_tell(
    moto_s3: Endpoint, sealed: ClientFactory, kms: LocalKms, bucket: str, caplog: pytest.LogCaptureFixture
) -> None:
    uses = Uses()
    client = sealed(moto_s3, envelope={"cache_limits": ALWAYS_STALE, "audit": uses})
    client.put_object(Bucket=bucket, Key="k", Body=b"content")
    _read(client, bucket)
    assert not _described(client, bucket).served_offline

    with kms.faults.refuse_connections():
        for reader in (client, sealed(moto_s3, envelope={"cache_limits": ALWAYS_STALE})):
            caplog.clear()
            assert _read(reader, bucket) == b"content"
            assert _described(reader, bucket).served_offline
            lines = [record for record in caplog.records if record.name == "s3envelope.cache"]
            assert [record.levelno for record in lines] == [logging.WARNING]

    assert [(use.operation, use.source) for use in uses.of_keys] == [
        ("generate", "key service"),
        ("decrypt", "key service"),
        ("decrypt", "offline"),
    ]


def test_read_when_kms_is_away_and_offline_is_forbidden_fails(
    moto_s3: Endpoint, sealed: ClientFactory, kms: LocalKms, bucket: str
) -> None:
    limits = CacheLimits(fresh_for_seconds=0, offline_for_seconds=0)
    client = sealed(moto_s3, envelope={"cache_limits": limits})
    client.put_object(Bucket=bucket, Key="k", Body=b"content")
    _read(client, bucket)

    with kms.faults.refuse_connections(), pytest.raises(KeyServiceUnavailableError):
        _read(client, bucket)


def test_read_when_the_key_is_disabled_fails_though_the_entry_is_young(
    moto_s3: Endpoint, kms: LocalKms, bucket: str
) -> None:
    arn = kms.create_key()
    keyring = KmsKeyring(arn, kms.client())
    arguments = {**moto_s3.client_arguments(), "keyring": keyring, "cache_limits": ALWAYS_STALE}
    client = s3envelope.client("s3", **arguments)
    client.put_object(Bucket=bucket, Key="k", Body=b"content")
    _read(client, bucket)
    kms.perform("DisableKey", KeyId=arn)

    with pytest.raises(KeyAccessError):
        _read(client, bucket)

    with kms.faults.refuse_connections(), pytest.raises(KeyServiceUnavailableError):
        _read(s3envelope.client("s3", **arguments), bucket)


@pytest.mark.parametrize("is_hit", [False, True], ids=["miss", "hit"])
def test_context_when_another_is_expected_is_refused_on_a_hit_as_on_a_miss(
    moto_s3: Endpoint, sealed: ClientFactory, kms: LocalKms, bucket: str, is_hit: bool
) -> None:
    acme = sealed(moto_s3, envelope={"encryption_context": {"tenant": "acme"}})
    acme.put_object(Bucket=bucket, Key="k", Body=b"for acme only")
    other = sealed(moto_s3, envelope={"encryption_context": {"tenant": "other"}})
    both = sealed(moto_s3)
    if is_hit:
        _read(acme, bucket)
        _read(both, bucket)
    kms.clear_calls()

    for client in (other, both):
        with pytest.raises(ContextMismatchError):
            client.get_object(Bucket=bucket, Key="k", EncryptionContext={"tenant": "other"})  # type: ignore[call-arg]

    assert kms.count() == 0


def test_aborted_upload_when_its_key_was_opened_here_drops_it(
    moto_s3: Endpoint, sealed: ClientFactory, kms: LocalKms, bucket: str
) -> None:
    begun = Uploading(sealed(moto_s3), bucket)
    begun.part(1, b"x" * 5 * MIB)
    here = sealed(moto_s3)
    begun.part(2, b"y", client=here)
    assert DiskCache().stats().entry_count == 1

    here.abort_multipart_upload(**begun.names)

    assert DiskCache().stats().entry_count == 0


def test_kms_client_when_none_is_given_retries_adaptively_and_waits_less_than_for_an_object() -> None:
    default: Any = s3envelope.client("s3", kms_key_id="alias/a", region_name="us-east-1")
    config = Config(connect_timeout=3, retries={"max_attempts": 7})
    own: Any = s3envelope.client("s3", kms_key_id="alias/a", region_name="us-east-1", config=config)

    settings = [client._s3envelope.keyring._client.meta.config for client in (default, own)]
    assert [config.retries["mode"] for config in settings] == ["adaptive", "adaptive"]
    assert [config.connect_timeout for config in settings] == [5, 3]
    assert settings[1].retries["total_max_attempts"] == 8


def test_kms_when_it_throttles_is_asked_again_until_it_answers(
    moto_s3: Endpoint, kms: LocalKms, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", kms.endpoint_url)
    arguments = moto_s3.client_arguments(retries={"mode": "standard"})
    # A session of its own, so that the variable is read.
    sealed = s3envelope.Session(kms_key_id=kms.create_key()).client("s3", **arguments)
    kms.faults.throttle("GenerateDataKey", count=2)

    sealed.put_object(Bucket=bucket, Key="k", Body=b"x")

    assert kms.count("GenerateDataKey") == 3
