"""The log in S3: batches, Object Lock, retries, forks, and a chain of its own for each process."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from s3envelope.audit.s3_objects import LockedPlace, Retention
from s3envelope.audit.s3_sink import S3AuditSink
from s3envelope.errors import AuditError, ConfigurationError
from tests.conftest import ProxyFactory
from tests.support.auditing import NOON, event, examine_bytes
from tests.support.endpoints import Endpoint
from tests.support.enveloped import NewBucket
from tests.support.objects import FakeClock, FakeProcess, fake_ports


@pytest.fixture
def client(moto_s3: Endpoint) -> Iterator[Any]:
    """Yield a plain client."""
    client = moto_s3.client()
    yield client
    client.close()


@pytest.fixture
def bucket(moto_s3: Endpoint, new_bucket: NewBucket) -> str:
    """Return a new bucket."""
    return new_bucket(moto_s3)


def _objects(client: Any, bucket: str) -> dict[str, bytes]:
    found = client.list_objects_v2(Bucket=bucket).get("Contents", [])
    return {item["Key"]: client.get_object(Bucket=bucket, Key=item["Key"])["Body"].read() for item in found}


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11])
def test_events_when_batched_are_objects_of_one_chain(client: Any, bucket: str, count: int) -> None:
    sink = S3AuditSink(LockedPlace(client, bucket, "audit/"), batch_count=10)

    for number in range(count):
        sink.write(event(number))
    before = len(_objects(client, bucket))
    sink.close()

    objects = _objects(client, bucket)
    assert (before, len(objects)) == (count // 10, -(-count // 10))
    entries, findings = examine_bytes(*(objects[name] for name in sorted(objects)))
    assert not findings
    assert [entry.content["key"] for entry in entries] == [f"key-{number}" for number in range(count)]
    assert all(name.startswith(f"audit/{entries[0].head.chain}/") for name in objects)


def test_events_when_the_first_waited_long_enough_are_written(client: Any, bucket: str) -> None:
    clock = FakeClock()
    sink = S3AuditSink(LockedPlace(client, bucket), batch_seconds=60, ports=fake_ports(clock=clock))

    sink.write(event())
    clock.seconds += 59
    sink.write(event())
    assert not _objects(client, bucket)
    clock.seconds += 1
    sink.write(event())

    assert [body.count(b"\n") for body in _objects(client, bucket).values()] == [3]


def test_object_when_written_is_locked_for_as_long_as_configured(client: Any) -> None:
    wall_clock = FakeClock()
    wall_clock.seconds = NOON
    client.create_bucket(Bucket="audit-locked", ObjectLockEnabledForBucket=True)
    place = LockedPlace(client, "audit-locked", retention=Retention(30, "GOVERNANCE"))
    sink = S3AuditSink(place, batch_count=1, ports=fake_ports(wall_clock=wall_clock))

    sink.write(event())

    (name,) = _objects(client, "audit-locked")
    head = client.head_object(Bucket="audit-locked", Key=name)
    assert head["ObjectLockMode"] == "GOVERNANCE"
    assert head["ObjectLockRetainUntilDate"] == datetime.datetime(2027, 2, 14, 12, tzinfo=datetime.timezone.utc)
    assert not sink.is_buffered


def test_object_when_written_to_a_real_storage_cannot_be_removed(seaweedfs: Endpoint) -> None:
    client: Any = seaweedfs.client()
    client.create_bucket(Bucket="audit-locked", ObjectLockEnabledForBucket=True)
    sink = S3AuditSink(LockedPlace(client, "audit-locked", retention=Retention(1)), batch_count=1)
    sink.write(event())
    (version,) = client.list_object_versions(Bucket="audit-locked")["Versions"]
    where = {"Bucket": "audit-locked", "Key": version["Key"], "VersionId": version["VersionId"]}

    with pytest.raises(ClientError):
        client.delete_object(**where)

    assert not examine_bytes(client.get_object(**where)["Body"].read())[1]
    client.close()


def test_events_when_s3_fails_wait_and_are_written_with_the_next(
    moto_s3: Endpoint, http_proxy: ProxyFactory, client: Any, bucket: str
) -> None:
    proxy, endpoint = http_proxy(moto_s3)
    behind = endpoint.client()
    sink = S3AuditSink(LockedPlace(behind, bucket), batch_count=1)
    proxy.close()

    for number in range(3):
        with pytest.raises(AuditError, match="could not be written"):
            sink.write(event(number))
    sink._place = LockedPlace(client, bucket)
    sink.write(event(3))

    objects = _objects(client, bucket)
    entries, findings = examine_bytes(*(objects[name] for name in sorted(objects)))
    assert not findings
    assert [entry.content["key"] for entry in entries] == ["key-0", "key-1", "key-2", "key-3"]
    assert [objects[name].count(b"\n") for name in sorted(objects)] == [1, 3]
    behind.close()


def test_events_when_s3_fails_for_long_are_bounded_in_memory(client: Any) -> None:
    sink = S3AuditSink(LockedPlace(client, "no-such-bucket-of-audit"), batch_count=10_000)
    sink._waiting = [b""] * 10_000

    for _ in range(3):
        with pytest.raises(AuditError, match="could not be written"):
            sink.write(event())
        # What was tried is one object; behind it others may wait again.
        sink._waiting = [b""] * 10_000

    assert sink._head.sequence == 0


def test_events_when_the_process_forks_are_written_once_and_the_child_has_its_own_chain(
    client: Any, bucket: str
) -> None:
    process = FakeProcess()
    sink = S3AuditSink(LockedPlace(client, bucket), ports=fake_ports(process_id=process))
    sink.write(event(0))
    sink._lock.acquire()
    process.number += 1

    sink.write(event(1))
    sink.close()

    (body,) = _objects(client, bucket).values()
    assert [entry.content["key"] for entry in examine_bytes(body)[0]] == ["key-1"]


def test_client_when_it_is_an_enveloped_one_is_refused(client: Any) -> None:
    client.describe_envelope = None

    with pytest.raises(ConfigurationError, match="enveloped"):
        LockedPlace(client, "bucket")
    with pytest.raises(ConfigurationError, match="batch_count"):
        S3AuditSink(LockedPlace(object(), "bucket"), batch_count=0)  # type: ignore[arg-type]
