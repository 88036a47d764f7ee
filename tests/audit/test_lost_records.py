"""A record that cannot be written: nobody gets what it should have told of, and its secrets are wiped."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from s3envelope import AuditTrail, LoggingAuditSink, Occurrence, RawAesKeyring, SecretBytes
from s3envelope.caches import manager as manager_module
from s3envelope.caches.limits import CacheLimits
from s3envelope.caches.manager import CachingMaterialsManager
from s3envelope.core.context import EncryptionContext
from s3envelope.core.ports import AuditSink, DataKey, EncryptedDataKey
from s3envelope.engine.materials import DefaultMaterialsManager
from s3envelope.errors import AuditError, ConfigurationError, KeyAccessError, UnsupportedOperationError
from tests.support.caching import Uses
from tests.support.endpoints import Endpoint
from tests.support.enveloped import CANARY, NewBucket, enveloped_client
from tests.support.objects import FakeClock, fake_ports

CONTEXT = EncryptionContext({"tenant": "acme"})


class Failing:
    """A sink that fails for one operation."""

    def __init__(self, operation: str, error: Exception | None = None) -> None:
        self.operation, self._error = operation, error or AuditError("no space left")
        self.told: list[tuple[str, str]] = []

    def record(self, occurrence: Occurrence) -> None:
        self.told.append((occurrence.operation, occurrence.outcome))
        if occurrence.operation == self.operation:
            raise self._error


class Watched(RawAesKeyring):
    """A keyring whose secrets a test can look at."""

    def __init__(self) -> None:
        super().__init__(SecretBytes(b"w" * 32))
        self.given: list[SecretBytes] = []
        self.is_denied = False

    def generate_data_key(self, context: EncryptionContext) -> DataKey:
        made = super().generate_data_key(context)
        self.given.append(made.plaintext)
        return made

    def decrypt_data_keys(
        self, keys: Sequence[EncryptedDataKey], context: EncryptionContext
    ) -> Iterator[tuple[EncryptedDataKey, SecretBytes]]:
        if self.is_denied:
            raise KeyAccessError("denied")
        for entry, plaintext in super().decrypt_data_keys(keys, context):
            self.given.append(plaintext)
            yield entry, plaintext


Manager = DefaultMaterialsManager | CachingMaterialsManager
Make = Callable[[Watched, AuditSink | None], Manager]


def _caching(keyring: Watched, audit: AuditSink | None, clock: FakeClock | None = None) -> CachingMaterialsManager:
    ports = fake_ports(clock=clock or FakeClock(), wall_clock=clock or FakeClock())
    return CachingMaterialsManager(keyring, CacheLimits(), ports, audit=audit)


def _is_wiped(secret: SecretBytes) -> bool:
    try:
        secret.view()
    except ValueError:
        return True
    return False


@pytest.mark.parametrize("make", [DefaultMaterialsManager, _caching])
def test_new_data_key_when_it_cannot_be_told_is_wiped(make: Make) -> None:
    keyring = Watched()
    manager = make(keyring, Failing("generate"))

    for _ in range(2):
        # Nor is it kept: the next object does not get it either.
        with pytest.raises(AuditError):
            manager.data_key_for_sealing(CONTEXT)

    assert [_is_wiped(secret) for secret in keyring.given] == [True, True]


@pytest.mark.parametrize("make", [DefaultMaterialsManager, _caching])
def test_data_key_when_its_opening_cannot_be_told_is_wiped_with_all_that_was_made_of_it(make: Make) -> None:
    keyring, opened = Watched(), []
    entries = keyring.generate_data_key(CONTEXT).encrypted
    keyring.given.clear()
    manager = make(keyring, Failing("decrypt"))

    def attempt(data_key: SecretBytes) -> tuple[SecretBytes, SecretBytes]:
        opened.extend([data_key.copy(), data_key.copy()])
        return opened[-2], opened[-1]

    with pytest.raises(AuditError):
        manager.open_with_data_key(entries, CONTEXT, attempt)

    assert len(opened) == 2
    assert all(map(_is_wiped, [*opened, *keyring.given]))
    assert manager.status_of(entries, CONTEXT) is None


def test_cached_data_key_when_its_use_cannot_be_told_opens_nothing() -> None:
    keyring, sink, opened = Watched(), Failing("none"), []
    entries = keyring.generate_data_key(CONTEXT).encrypted
    manager = _caching(keyring, sink)
    manager.open_with_data_key(entries, CONTEXT, lambda _: None)
    sink.operation = "decrypt"

    def attempt(data_key: SecretBytes) -> SecretBytes:
        opened.append(data_key.copy())
        return opened[-1]

    with pytest.raises(AuditError):
        manager.open_with_data_key(entries, CONTEXT, attempt)

    assert [_is_wiped(secret) for secret in opened] == [True]


def test_denial_when_the_eviction_cannot_be_told_is_still_the_denial() -> None:
    keyring, sink, clock = Watched(), Failing("evict"), FakeClock()
    entries = keyring.generate_data_key(CONTEXT).encrypted
    manager = _caching(keyring, sink, clock)
    manager.open_with_data_key(entries, CONTEXT, lambda _: None)
    clock.seconds += CacheLimits().fresh_for_seconds
    keyring.is_denied = True

    with pytest.raises(KeyAccessError) as caught:
        manager.open_with_data_key(entries, CONTEXT, lambda _: None)

    assert isinstance(caught.value.__context__, AuditError)
    assert manager.status_of(entries, CONTEXT) is None


def _evictions(uses: Uses) -> list[tuple[tuple[str, str], ...]]:
    return [told.details for told in uses.all if told.operation == "evict" and told.context == CONTEXT]


def test_data_key_when_dropped_from_the_cache_is_told_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    keyring, uses, clock = Watched(), Uses(), FakeClock()
    monkeypatch.setattr(manager_module, "_MOST_ENTRIES", 1)
    one, other = (keyring.generate_data_key(CONTEXT).encrypted for _ in range(2))
    manager = _caching(keyring, uses, clock)
    manager.open_with_data_key(one, CONTEXT, lambda _: None)
    manager.open_with_data_key(other, CONTEXT, lambda _: None)
    assert _evictions(uses) == [(("reason", "full"),)]

    manager.forget(other, CONTEXT)
    manager.forget(other, CONTEXT)
    assert _evictions(uses)[1:] == [(("reason", "forgotten"),)]

    manager.open_with_data_key(one, CONTEXT, lambda _: None)
    limits = CacheLimits()
    clock.seconds += max(limits.fresh_for_seconds, limits.offline_for_seconds)
    assert manager.status_of(one, CONTEXT) is None
    assert _evictions(uses)[2:] == [(("reason", "expired"),)]

    manager.open_with_data_key(one, CONTEXT, lambda _: None)
    clock.seconds += limits.fresh_for_seconds
    keyring.is_denied = True
    with pytest.raises(KeyAccessError):
        manager.open_with_data_key(one, CONTEXT, lambda _: None)
    assert _evictions(uses)[3:] == [(("reason", "refused"),)]


def _client(endpoint: Endpoint, sink: object, **fields: Any) -> Any:
    return enveloped_client(endpoint, Watched(), envelope={"audit": sink, "cache": None, **fields})


def test_refusal_when_it_cannot_be_told_is_still_the_refusal(moto_s3: Endpoint) -> None:
    client = _client(moto_s3, Failing("refuse"))

    with pytest.raises(UnsupportedOperationError, match="get_object") as caught:
        client.get_object_torrent(Bucket="b", Key="k")

    client.close()
    assert isinstance(caught.value.__context__, AuditError)


def test_client_when_its_configuration_cannot_be_told_is_not_made(moto_s3: Endpoint) -> None:
    with pytest.raises(AuditError):
        _client(moto_s3, Failing("configure"))


@pytest.mark.parametrize("policy", [None, "required"])
def test_sink_of_somebody_else_when_it_raises_ends_the_call(
    moto_s3: Endpoint, new_bucket: NewBucket, policy: str | None
) -> None:
    bucket, sink = new_bucket(moto_s3), Failing("seal", RuntimeError("broken"))
    client = _client(moto_s3, sink, audit_policy=policy)

    with pytest.raises(AuditError, match="requires it"):
        client.put_object(Bucket=bucket, Key="k", Body=CANARY)

    assert client.list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    client.close()


def test_sink_of_somebody_else_when_best_effort_is_enough_is_logged(
    moto_s3: Endpoint, new_bucket: NewBucket, caplog: pytest.LogCaptureFixture
) -> None:
    bucket, sink = new_bucket(moto_s3), Failing("seal", RuntimeError("broken"))
    client = _client(moto_s3, sink, audit_policy="best-effort")
    caplog.set_level(logging.WARNING, "s3envelope.audit")

    client.put_object(Bucket=bucket, Key="k", Body=CANARY)

    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == CANARY
    client.close()
    assert [record.message for record in caplog.records] == [
        "1 audit records were not written; the newest because: broken"
    ]


def test_object_when_its_opening_cannot_be_told_is_not_released(moto_s3: Endpoint, new_bucket: NewBucket) -> None:
    bucket, sink = new_bucket(moto_s3), Failing("open")
    client = _client(moto_s3, sink)
    client.put_object(Bucket=bucket, Key="k", Body=CANARY)

    for arguments in ({}, {"Range": "bytes=1-2"}, {"Range": "bytes=-0"}):
        with pytest.raises(AuditError):
            client.get_object(Bucket=bucket, Key="k", **arguments)

    client.close()
    assert sink.told[-2:] == [("decrypt", "success"), ("open", "success")]


def test_policy_when_the_sink_cannot_keep_it_is_refused(moto_s3: Endpoint) -> None:
    with pytest.raises(ConfigurationError, match="required"):
        _client(moto_s3, AuditTrail(LoggingAuditSink()), audit_policy="required")
    with pytest.raises(ConfigurationError, match="audit_policy"):
        _client(moto_s3, AuditTrail(LoggingAuditSink()), audit_policy="sometimes")
    with pytest.raises(ConfigurationError, match="without a sink"):
        _client(moto_s3, None, audit_policy="required")
