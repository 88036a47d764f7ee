"""The trail of a client: what is written down of it, by whom, and what never is."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
from pathlib import Path
from typing import Any

import pytest

from s3envelope import EncryptionContext, KmsKeyring
from s3envelope.audit.event import AuditEvent
from s3envelope.audit.json_lines import JsonLinesAuditSink
from s3envelope.audit.names import NameHasher
from s3envelope.audit.trail import AuditTrail, CallerIdentity
from s3envelope.caches.limits import CacheLimits
from s3envelope.caches.memory import MemoryCache
from s3envelope.core.key_uses import key_use
from s3envelope.core.occurrences import ObjectName, Occurrence
from s3envelope.core.ports import AuditSink
from s3envelope.core.secret import SecretBytes
from s3envelope.errors import AuditError, ConfigurationError, KeyAccessError
from s3envelope.testing import LocalKms
from tests.audit.test_sinks import Kept
from tests.support.auditing import NOON, entries_of
from tests.support.endpoints import Endpoint
from tests.support.enveloped import CANARY, NewBucket, enveloped_client
from tests.support.objects import FakeClock, FakeProcess, fake_ports

CONTEXT = EncryptionContext({"tenant": "acme-value", "purpose": "secret-value"})


def _trail(sink: Kept, **arguments: Any) -> AuditTrail:
    wall_clock = FakeClock()
    wall_clock.seconds = NOON
    return AuditTrail(sink, ports=fake_ports(wall_clock=wall_clock), **{"host": "tests", **arguments})


def test_use_when_recorded_is_an_event() -> None:
    sink = Kept()
    trail = _trail(sink, actor="batch job", context_values=["tenant"])

    trail.record(key_use("decrypt", "offline", CONTEXT, ObjectName("orders", "k"), 12.4))

    assert isinstance(trail, AuditSink)
    assert sink.events == [
        AuditEvent(
            operation="decrypt",
            outcome="success",
            time=NOON,
            host="tests",
            process=1,
            actor="batch job",
            source="offline",
            bucket="orders",
            key="k",
            context_names=("purpose", "tenant"),
            context_values=(("tenant", "acme-value"),),
            details=(("age_seconds", "12"),),
        )
    ]


def test_occurrence_when_told_has_all_its_fields_and_of_an_error_its_class() -> None:
    sink = Kept()

    _trail(sink).record(
        Occurrence(
            operation="refuse",
            outcome="refused",
            bucket="orders",
            key="k",
            version_id="v",
            key_arns=("arn",),
            format="se1",
            commitment=b"\xab" * 32,
            error=KeyAccessError("with a secret-value in its text"),
            kms_request_ids=("kms",),
            s3_request_ids=("s3",),
            duration_seconds=0.25,
        )
    )

    record = sink.events[0].to_record()
    assert record == {
        "schema": 1,
        "time": "2027-01-15T12:00:00.000000Z",
        "operation": "refuse",
        "outcome": "refused",
        "host": "tests",
        "process": 1,
        "bucket": "orders",
        "key": "k",
        "version_id": "v",
        "key_arns": ["arn"],
        "format": "se1",
        "commitment": "ab" * 32,
        "error": "KeyAccessError",
        "kms_request_ids": ["kms"],
        "s3_request_ids": ["s3"],
        "duration_us": 250_000,
    }


def test_process_when_forked_has_its_own_number_in_its_events() -> None:
    process, sink = FakeProcess(), Kept()
    trail = AuditTrail(sink, ports=fake_ports(process_id=process))
    trail.record(Occurrence(operation="open"))
    process.number += 1
    trail.record(Occurrence(operation="open"))

    assert [event.process for event in sink.events] == [1, 2]


def test_names_when_hidden_are_hashes_that_only_the_key_can_make(tmp_path: Path) -> None:
    sink = Kept()
    hasher = NameHasher.from_file(tmp_path / "names" / "audit-names.key")
    trail = _trail(sink, redact_names=True, name_hasher=hasher)

    for bucket, key in (("b", "invoice"), ("b", "invoice"), ("b", "other"), ("c", "invoice"), ("bi", "nvoice")):
        trail.record(Occurrence(operation="open", bucket=bucket, key=key))

    hashes = [event.key_hash for event in sink.events]
    assert hashes[0] == hashes[1] == NameHasher.from_file(tmp_path / "names" / "audit-names.key").hash("b", "invoice")
    assert len(set(hashes)) == 4
    assert "invoice" not in json.dumps([event.to_record() for event in sink.events])
    assert NameHasher.from_file(tmp_path / "other.key").hash("b", "invoice") not in hashes
    with pytest.raises(ConfigurationError, match="32"):
        NameHasher(SecretBytes(b"short"))
    with pytest.raises(ConfigurationError, match="cannot be read"):
        NameHasher.from_file(tmp_path / "missing.key", create=False)


def test_name_when_hashed_is_hashed_as_documented() -> None:
    message = b"s3envelope audit name" + b"\x00\x00\x00\x06orders" + b"\x00\x00\x00\x02\xc3\xa9"

    expected = hmac.new(b"k" * 32, message, hashlib.sha256).hexdigest()

    assert NameHasher(SecretBytes(b"k" * 32)).hash("orders", "\u00e9") == expected


@pytest.mark.parametrize("length", [2047, 2048, 2049, 1_000_000])
def test_names_when_too_long_are_cut_and_stay_different(length: int) -> None:
    sink = Kept()
    trail = _trail(sink)
    for end in "ab":
        trail.record(Occurrence(operation="refuse", bucket="b", key="k" * (length - 1) + end))

    first, second = (str(event.to_record()["key"]) for event in sink.events)

    assert first != second
    assert len(first) == (length if length <= 2048 else 2048 + len("... cut, sha256 ") + 16)


def test_names_when_not_unicode_are_written_so_that_the_log_takes_them(tmp_path: Path) -> None:
    with JsonLinesAuditSink(tmp_path / "log" / "audit.jsonl") as sink:
        trail = AuditTrail(sink, policy="required", host="h\udcff")
        trail.record(Occurrence(operation="refuse", bucket="b", key="\ud800\u00e9\n\x00"))

    record = entries_of(tmp_path / "log" / "audit.jsonl")[1].content
    assert (record["key"], record["host"]) == ("\\ud800\u00e9\n\x00", "h\\udcff")


class Sts:
    """An STS that answers from some call on."""

    def __init__(self, failure_count: int) -> None:
        self.call_count = 0
        self._failure_count = failure_count

    def get_caller_identity(self) -> dict[str, str]:
        self.call_count += 1
        if self.call_count <= self._failure_count:
            raise OSError("no network")
        return {"Arn": "arn:aws:sts::1:assumed-role/a/b"}


def test_actor_when_sts_answers_is_its_arn_and_until_then_what_is_configured() -> None:
    clock, sts = FakeClock(), Sts(failure_count=2)
    identity = CallerIdentity(sts, "configured", ports=fake_ports(clock=clock))

    names = []
    for seconds in (0, 59, 1, 60, 1000):
        clock.seconds += seconds
        names.append(identity())

    arn = "arn:aws:sts::1:assumed-role/a/b"
    assert names == ["configured", "configured", "configured", arn, arn]
    assert sts.call_count == 3


def test_actor_when_it_cannot_be_had_is_as_bad_as_a_full_disk() -> None:
    def unknown() -> str:
        raise RuntimeError("who?")

    _trail(Kept(), actor=unknown).record(Occurrence(operation="open"))
    with pytest.raises(AuditError, match="requires it"):
        _trail(Kept(), actor=unknown, policy="required").record(Occurrence(operation="open"))


def test_context_values_when_given_as_one_text_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="collection"):
        _trail(Kept(), context_values="tenant")


def test_client_when_audited_leaves_a_whole_log_of_every_use_and_no_secret_in_it(
    moto_s3: Endpoint, new_bucket: NewBucket, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "s3envelope")
    path, bucket = tmp_path / "log" / "audit.jsonl", new_bucket(moto_s3)
    with LocalKms() as kms, JsonLinesAuditSink(path, fsync="always") as sink:
        trail = AuditTrail(sink, policy="required", actor="tests")
        fields = {
            "audit": trail,
            "cache": MemoryCache(),
            "encryption_context": dict(CONTEXT),
            "cache_limits": CacheLimits(fresh_for_seconds=0),
        }
        client = enveloped_client(moto_s3, KmsKeyring(kms.create_key(), kms.client()), envelope=fields)
        client.put_object(Bucket=bucket, Key="a", Body=CANARY)
        client.put_object(Bucket=bucket, Key="b", Body=CANARY)
        assert client.get_object(Bucket=bucket, Key="a")["Body"].read() == CANARY
        with kms.faults.refuse_connections():
            assert client.get_object(Bucket=bucket, Key="a")["Body"].read() == CANARY
        client.close()

    records = [entry.content for entry in entries_of(path)]
    assert [(record["operation"], record["key"], record["source"]) for record in records if "source" in record] == [
        ("generate", "a", "key service"),
        ("reuse", "b", "cache"),
        ("decrypt", "a", "key service"),
        ("decrypt", "a", "offline"),
    ]
    written = path.read_bytes() + caplog.text.encode()
    for secret in (CANARY, b"secret-value", b"acme-value"):
        assert secret not in written
