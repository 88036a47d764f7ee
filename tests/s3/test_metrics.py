"""What a client counts: equal to what was stored, released, and asked of KMS."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import opentelemetry.metrics
import pytest
from boto3.s3.transfer import TransferConfig

import s3envelope
from s3envelope import CacheLimits, Instrument, KmsKeyring, MemoryCache, MultiKeyring, OpenTelemetryMetrics
from s3envelope.core.measures import INSTRUMENTS
from s3envelope.errors import (
    ConfigurationError,
    ContextMismatchError,
    KeyAccessError,
    KeyServiceUnavailableError,
    NotEncryptedError,
    SegmentAuthenticationError,
    UnsupportedOperationError,
)
from s3envelope.s3.config import make_config
from s3envelope.testing.local_kms import LocalKms
from tests.support.endpoints import Endpoint
from tests.support.enveloped import MIB, ClientFactory, NewBucket, plaintext_of
from tests.support.measuring import Measured
from tests.support.uploading import PART, Uploading, read

S = 64 * 1024
OVERHEAD = 28


@pytest.fixture
def measured() -> Iterator[Measured]:
    """Yield metrics that end in memory."""
    made = Measured()
    yield made
    made.provider.shutdown()


@pytest.fixture
def own(kms: LocalKms, key_arn: str, monkeypatch: pytest.MonkeyPatch) -> KmsKeyring:
    """Return a keyring that no other test has, over a KMS whose log is empty, with three attempts and no pauses."""
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    return KmsKeyring(key_arn, kms.client(max_attempts=3))


@pytest.fixture
def bucket(moto_s3: Endpoint, new_bucket: NewBucket) -> str:
    return new_bucket(moto_s3)


def _stored_size(endpoint: Endpoint, bucket: str) -> int:
    plain = endpoint.client()
    sizes = [item["Size"] for item in plain.list_objects_v2(Bucket=bucket).get("Contents", [])]
    plain.close()
    return sum(sizes)


def test_sealed_bytes_and_segments_when_objects_are_put_are_those_that_are_stored(
    measured: Measured, moto_s3: Endpoint, bucket: str, sealed: ClientFactory
) -> None:
    client = sealed(moto_s3, envelope={"metrics": measured.metrics})
    sizes = (0, 1, S - 1, S, S + 1, 2 * S)

    for size in sizes:
        client.put_object(Bucket=bucket, Key=f"b{size}", Body=plaintext_of(size))
        client.put_object(Bucket=bucket, Key=f"s{size}", Body=io.BytesIO(plaintext_of(size)))

    assert measured.total("s3envelope.sealed.bytes", format="se1") == 2 * sum(sizes)
    overhead = _stored_size(moto_s3, bucket) - 2 * sum(sizes)
    assert measured.total("s3envelope.sealed.segments") == overhead / OVERHEAD == 2 * (1 + 1 + 1 + 2 + 2 + 3)
    assert measured.total("s3envelope.operations", operation="seal") == 2 * len(sizes)
    assert measured.total("s3envelope.opened.bytes") == 0


@pytest.mark.parametrize("write_format", ["se1", "s3ec-v3"])
def test_sealed_and_opened_bytes_when_moved_in_parts_are_those_of_the_plaintext(
    measured: Measured, moto_s3: Endpoint, bucket: str, sealed: ClientFactory, write_format: str
) -> None:
    envelope = {"metrics": measured.metrics, "write_format": write_format, "read_formats": ("se1", "s3ec-v3")}
    client, sink = sealed(moto_s3, envelope=envelope), io.BytesIO()

    client.put_object(Bucket=bucket, Key="a", Body=plaintext_of(100))
    client.upload_fileobj(io.BytesIO(plaintext_of(9 * MIB)), bucket, "b", Config=TransferConfig())
    upload = Uploading(client, bucket, "c")
    upload.part(1, plaintext_of(PART))
    upload.part(2, plaintext_of(10))
    upload.complete()
    assert measured.total("s3envelope.sealed.bytes", format=write_format) == 100 + 9 * MIB + PART + 10

    assert len(read(client, bucket, "a")) == 100
    client.download_fileobj(bucket, "b", sink)
    assert read(client, bucket, "c", Range=f"bytes={PART - 1}-") == plaintext_of(PART)[-1:] + plaintext_of(10)
    assert measured.total("s3envelope.opened.bytes", format=write_format) == 100 + 9 * MIB + 11


def test_opened_bytes_and_segments_when_parts_of_an_object_are_read_are_what_was_released(
    measured: Measured, moto_s3: Endpoint, bucket: str, sealed: ClientFactory
) -> None:
    client = sealed(moto_s3, envelope={"metrics": measured.metrics})
    client.put_object(Bucket=bucket, Key="k", Body=plaintext_of(3 * S))

    def opened() -> tuple[int, int]:
        return measured.total("s3envelope.opened.bytes"), measured.total("s3envelope.opened.segments")

    client.head_object(Bucket=bucket, Key="k")
    assert opened() == (0, 0)
    read(client, bucket, Range=f"bytes={S - 1}-{S}")
    assert opened() == (2, 2)
    body = client.get_object(Bucket=bucket, Key="k")["Body"]
    assert len(body.read(10)) == 10
    # Nothing is counted before the stream is over.
    assert opened() == (2, 2)
    body.close()
    assert opened() == (12, 3)
    # Three full segments, and the empty one at the end.
    assert b"".join(client.get_object(Bucket=bucket, Key="k")["Body"].iter_chunks()) == plaintext_of(3 * S)
    assert opened() == (12 + 3 * S, 7)
    read(client, bucket)
    assert opened() == (12 + 6 * S, 11)


def test_calls_of_kms_when_counted_are_those_that_kms_answered(
    measured: Measured, moto_s3: Endpoint, bucket: str, sealed: ClientFactory, kms: LocalKms, own: KmsKeyring
) -> None:
    second, third = (KmsKeyring(kms.create_key(), kms.client()) for _ in range(2))
    envelope = {"metrics": measured.metrics, "cache_limits": None, "keyring": MultiKeyring(own, second)}
    client = sealed(moto_s3, envelope=envelope)
    kms.clear_calls()

    for number in range(3):
        client.put_object(Bucket=bucket, Key=str(number), Body=b"x")
        read(client, bucket, str(number))
    client.rewrap_object(Bucket=bucket, Key="0", to=third)  # type: ignore[attr-defined]

    for operation in ("GenerateDataKey", "Encrypt", "Decrypt"):
        assert measured.total("s3envelope.kms.duration", method=operation) == kms.count(operation) >= 3
    assert measured.total("s3envelope.kms.duration") == kms.count()
    assert measured.total("s3envelope.operations", operation="rewrap") == 1
    assert measured.total("s3envelope.kms.retries") == 0
    assert all(point.sum > 0 for name, _, point in measured.points() if name == "s3envelope.kms.duration")


def test_calls_of_kms_when_they_fail_or_are_repeated_tell_the_reason(
    measured: Measured, moto_s3: Endpoint, bucket: str, sealed: ClientFactory, kms: LocalKms, own: KmsKeyring
) -> None:
    client = sealed(moto_s3, envelope={"metrics": measured.metrics, "cache_limits": None, "keyring": own})
    kms.faults.throttle("GenerateDataKey", 2)

    client.put_object(Bucket=bucket, Key="k", Body=b"x")
    for code, error in (("AccessDeniedException", KeyAccessError), ("Custom.arn:aws:kms", KeyAccessError)):
        kms.faults.fail("Decrypt", code, status=400)
        with pytest.raises(error):
            read(client, bucket)
    with kms.faults.refuse_connections(), pytest.raises(KeyServiceUnavailableError):
        read(client, bucket)

    made, opened = (
        {labels for labels in measured.labels("s3envelope.kms.duration") if ("rpc.method", name) in labels}
        for name in ("GenerateDataKey", "Decrypt")
    )
    assert made == {frozenset({("rpc.method", "GenerateDataKey")})}
    assert measured.total("s3envelope.kms.retries", method="GenerateDataKey") == 2
    assert kms.count("GenerateDataKey") == 3
    # What a server calls its errors is not let into the attributes.
    assert {dict(labels)["error.type"] for labels in opened} == {
        "AccessDeniedException",
        "_OTHER",
        "EndpointConnectionError",
    }
    assert measured.total("s3envelope.errors", type="KeyAccessError") == 2
    assert measured.total("s3envelope.errors", type="KeyServiceUnavailableError") == 1
    assert measured.total("s3envelope.refusals", type="KeyAccessError", method="GetObject") == 2


def test_uses_of_data_keys_when_cached_or_offline_tell_where_they_came_from(
    measured: Measured, moto_s3: Endpoint, bucket: str, sealed: ClientFactory, kms: LocalKms, own: KmsKeyring
) -> None:
    limits = CacheLimits(fresh_for_seconds=0)
    cached = {"metrics": measured.metrics, "keyring": own, "cache": MemoryCache()}
    writer, stale = sealed(moto_s3, envelope=cached), sealed(moto_s3, envelope={**cached, "cache_limits": limits})

    for _ in range(3):
        writer.put_object(Bucket=bucket, Key="k", Body=b"x")
    for _ in range(4):
        read(writer, bucket)
    read(stale, bucket)
    with kms.faults.refuse_connections():
        read(stale, bucket)

    def uses(purpose: str, source: str) -> int:
        return measured.total("s3envelope.data_keys", purpose=purpose, source=source)

    assert (uses("seal", "key_service"), uses("seal", "cache")) == (1, 2)
    assert (uses("open", "key_service"), uses("open", "cache"), uses("open", "offline")) == (2, 3, 1)
    assert measured.total("s3envelope.data_keys") == 9
    assert measured.total("s3envelope.errors") == 0


def test_refusals_and_failures_when_counted_have_reason_and_call(
    measured: Measured, moto_s3: Endpoint, bucket: str, sealed: ClientFactory
) -> None:
    client: Any = sealed(moto_s3, envelope={"metrics": measured.metrics})
    plain = moto_s3.client()
    client.put_object(Bucket=bucket, Key="k", Body=plaintext_of(2 * S), EncryptionContext={"tenant": "a"})
    stored = plain.get_object(Bucket=bucket, Key="k")
    changed = bytearray(stored["Body"].read())
    changed[S + 1000] ^= 1
    plain.put_object(Bucket=bucket, Key="k", Body=bytes(changed), Metadata=stored["Metadata"])
    plain.put_object(Bucket=bucket, Key="plain", Body=b"x")
    plain.close()

    with pytest.raises(SegmentAuthenticationError):
        read(client, bucket)
    with pytest.raises(NotEncryptedError):
        client.head_object(Bucket=bucket, Key="plain")
    with pytest.raises(ContextMismatchError):
        read(client, bucket, EncryptionContext={"tenant": "b"})
    for _ in range(2):
        with pytest.raises(UnsupportedOperationError):
            client.select_object_content(Bucket=bucket, Key="k")
    with pytest.raises(ConfigurationError):
        client.create_multipart_upload(Bucket=bucket, Key="k", PartSize=5)
    with pytest.raises(client.exceptions.NoSuchKey):
        read(client, bucket, "none")

    failures = measured.labels("s3envelope.authentication.failures")
    assert failures == {frozenset({("error.type", "SegmentAuthenticationError"), ("rpc.method", "GetObject")})}
    assert measured.total("s3envelope.authentication.failures") == 1
    assert measured.total("s3envelope.refusals", type="NotEncryptedError", method="HeadObject") == 1
    assert measured.total("s3envelope.refusals", type="ContextMismatchError", method="GetObject") == 1
    assert measured.total("s3envelope.refusals", type="UnsupportedOperationError", method="SelectObjectContent") == 2
    assert measured.total("s3envelope.errors", type="ConfigurationError") == 1
    # Those of S3 itself are not ours.
    assert measured.total("s3envelope.errors") == 6


def test_attributes_when_everything_was_counted_name_no_object_bucket_or_key(
    measured: Measured, moto_s3: Endpoint, bucket: str, sealed: ClientFactory, own: KmsKeyring, key_arn: str
) -> None:
    client: Any = sealed(moto_s3, envelope={"metrics": measured.metrics, "keyring": own})
    context = {"tenant": "name-of-the-tenant"}
    client.put_object(Bucket=bucket, Key="name-of-the-object", Body=b"x", EncryptionContext=context)
    read(client, bucket, "name-of-the-object")
    client.copy_object(
        Bucket=bucket, Key="name-of-the-copy", CopySource={"Bucket": bucket, "Key": "name-of-the-object"}
    )
    client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "name-of-the-copy"}]})
    with pytest.raises(ContextMismatchError):
        read(client, bucket, "name-of-the-object", EncryptionContext={"tenant": "other"})

    names = {name for name, _, _ in measured.points()}
    attributes = {pair for _, labels, _ in measured.points() for pair in labels.items()}

    assert names <= {instrument.name for instrument in INSTRUMENTS}
    assert measured.total("s3envelope.operations", operation="delete") == 1
    assert not [pair for pair in attributes if "name-of" in pair[1] or bucket in pair[1] or key_arn in pair[1]]


def test_metrics_when_an_audit_log_refuses_count_the_error_and_not_the_call(
    measured: Measured, moto_s3: Endpoint, bucket: str, sealed: ClientFactory
) -> None:
    class Full:
        def record(self, occurrence: s3envelope.Occurrence) -> None:
            if occurrence.operation == "open":
                raise s3envelope.errors.AuditError("the disk is full")

    client = sealed(moto_s3, envelope={"metrics": measured.metrics, "audit": Full()})

    client.put_object(Bucket=bucket, Key="k", Body=b"x")
    with pytest.raises(s3envelope.errors.AuditError):
        read(client, bucket)

    assert measured.total("s3envelope.errors", type="AuditError") == 1
    assert measured.total("s3envelope.operations", operation="seal") == 1
    assert measured.total("s3envelope.operations", operation="open") == measured.total("s3envelope.opened.bytes") == 0


def test_metrics_of_ones_own_when_passed_get_instruments_and_numbers(
    moto_s3: Endpoint, bucket: str, sealed: ClientFactory
) -> None:
    class Own:
        def __init__(self) -> None:
            self.added: list[tuple[str, int]] = []

        def add(self, instrument: Instrument, amount: int, attributes: Mapping[str, str]) -> None:
            self.added.append((instrument.name, amount))

        def record(self, instrument: Instrument, value: float, attributes: Mapping[str, str]) -> None:
            """Do without."""

    own = Own()
    sealed(moto_s3, envelope={"metrics": own}).put_object(Bucket=bucket, Key="k", Body=b"abc")

    assert ("s3envelope.sealed.bytes", 3) in own.added
    assert ("s3envelope.sealed.segments", 1) in own.added


def test_client_without_metrics_when_it_works_has_nobody_to_tell(
    moto_s3: Endpoint, bucket: str, sealed: ClientFactory
) -> None:
    client: Any = sealed(moto_s3)

    assert client._s3envelope.metering is None
    assert client._s3envelope.audit is None
    code = "import sys, s3envelope; print(sorted(n for n in sys.modules if n.startswith('opentelemetry')))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_metrics_when_configured_are_those_of_the_environment_or_refused(
    keyring: KmsKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = {"keyring": keyring, "cache": None}

    assert isinstance(make_config(fields, {"S3ENVELOPE_METRICS": "otel"}).metrics, OpenTelemetryMetrics)
    assert make_config(fields, {"S3ENVELOPE_METRICS": "off"}).metrics is None
    with pytest.raises(ConfigurationError, match="otel or off"):
        make_config(fields, {"S3ENVELOPE_METRICS": "statsd"})
    with pytest.raises(ConfigurationError, match="OpenTelemetryMetrics"):
        make_config({**fields, "metrics": opentelemetry.metrics.get_meter_provider()}, {})
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    with pytest.raises(ConfigurationError, match=r"s3envelope\[otel\]"):
        OpenTelemetryMetrics()
