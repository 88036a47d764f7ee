"""The data-key cache: limits by a clock that tests turn, one call for many threads, nothing kept that did not open."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

import pytest

from s3envelope.caches import manager
from s3envelope.caches.entries import name_of
from s3envelope.caches.limits import CacheLimits
from s3envelope.caches.manager import CachingMaterialsManager
from s3envelope.core.context import EncryptionContext
from s3envelope.core.ports import DataKey, EncryptedDataKey
from s3envelope.core.secret import SecretBytes
from s3envelope.errors import (
    ConfigurationError,
    HeaderAuthenticationError,
    KeyCommitmentError,
    KeyServiceUnavailableError,
)
from tests.support.objects import FakeClock, FakeProcess, fake_ports, raw_keyring

ACME, OTHER = EncryptionContext({"tenant": "acme"}), EncryptionContext({"tenant": "other"})


class CountingKeyring:
    """A raw keyring that counts its calls, can be down, and can wait for a signal."""

    encrypted_data_key_sizes = (80,)
    key_ids = frozenset({"raw:tests"})

    def __init__(self) -> None:
        self._keyring = raw_keyring()
        self.generated = self.decrypted = 0
        self.is_down = False
        self.entered, self.gate = threading.Semaphore(0), threading.Event()
        self.gate.set()

    def _pass(self) -> None:
        self.entered.release()
        assert self.gate.wait(20)
        if self.is_down:
            raise KeyServiceUnavailableError("down")

    def generate_data_key(self, context: EncryptionContext) -> DataKey:
        self.generated += 1
        self._pass()
        return self._keyring.generate_data_key(context)

    def encrypt_data_key(self, plaintext: SecretBytes, context: EncryptionContext) -> EncryptedDataKey:
        return self._keyring.encrypt_data_key(plaintext, context)

    def decrypt_data_keys(
        self, keys: Sequence[EncryptedDataKey], context: EncryptionContext
    ) -> Iterator[tuple[EncryptedDataKey, SecretBytes]]:
        self.decrypted += 1
        self._pass()
        yield from self._keyring.decrypt_data_keys(keys, context)

    def reencrypt_data_key(
        self, key: EncryptedDataKey, context: EncryptionContext, *, source_key_arn: str
    ) -> EncryptedDataKey:
        raise AssertionError("a cache does not rotate")


class Cache:
    """A manager with everything around it."""

    def __init__(self, limits: CacheLimits | None = None) -> None:
        self.keyring, self.clock, self.process = CountingKeyring(), FakeClock(), FakeProcess()
        ports = fake_ports(clock=self.clock, process_id=self.process)
        self.manager = CachingMaterialsManager(self.keyring, limits or CacheLimits(), ports)

    def seal(self, context: EncryptionContext = ACME) -> bytes:
        with self.manager.data_key_for_sealing(context).plaintext as plaintext:
            return bytes(plaintext.view())

    def open(self, keys: Sequence[EncryptedDataKey], context: EncryptionContext = ACME) -> bytes:
        return self.manager.open_with_data_key(keys, context, lambda data_key: bytes(data_key.view()))


def _entries(context: EncryptionContext = ACME, seed: object = "entries") -> tuple[EncryptedDataKey, ...]:
    return raw_keyring(seed).generate_data_key(context).encrypted


def _refuse(_: SecretBytes) -> bytes:
    raise HeaderAuthenticationError("no")


def test_sealing_when_within_limits_then_one_data_key_serves_many_objects() -> None:
    cache = Cache()

    assert len({cache.seal() for _ in range(10)}) == 1
    assert cache.keyring.generated == 1


def test_sealing_when_the_caller_wipes_its_key_then_the_next_one_is_whole() -> None:
    cache = Cache()
    first = cache.manager.data_key_for_sealing(ACME)
    kept = bytes(first.plaintext.view())

    first.plaintext.wipe()

    assert cache.seal() == kept != bytes(32)


def test_sealing_when_contexts_differ_then_data_keys_do() -> None:
    cache = Cache()

    assert len({cache.seal(ACME), cache.seal(OTHER), cache.seal(EncryptionContext()), cache.seal(ACME)}) == 3
    assert cache.keyring.generated == 3


@pytest.mark.parametrize(("seconds", "calls"), [(0, 1), (599.9, 1), (600, 2), (10_000, 2), (-0.1, 2), (-10_000, 2)])
def test_sealing_when_time_passes_or_goes_backwards_then_the_age_limit_holds(seconds: float, calls: int) -> None:
    cache = Cache(CacheLimits(max_age_seconds=600))
    cache.seal()

    cache.clock.seconds += seconds
    cache.seal()

    assert cache.keyring.generated == calls


@pytest.mark.parametrize(("most", "calls"), [(1, 6), (2, 3), (5, 2), (6, 1)])
def test_sealing_when_a_key_has_sealed_enough_objects_then_the_next_one_is_new(most: int, calls: int) -> None:
    cache = Cache(CacheLimits(max_objects=most))

    keys = [cache.seal() for _ in range(6)]

    assert cache.keyring.generated == len(set(keys)) == calls
    assert max(keys.count(key) for key in keys) == most


def test_sealing_when_no_age_is_allowed_then_every_object_has_its_own_key() -> None:
    cache = Cache(CacheLimits(max_age_seconds=0))

    assert len({cache.seal() for _ in range(3)}) == 3


def test_sealing_when_the_keyring_fails_then_nothing_is_kept() -> None:
    cache = Cache()
    cache.keyring.is_down = True
    with pytest.raises(KeyServiceUnavailableError):
        cache.seal()

    cache.keyring.is_down = False

    assert len(cache.seal()) == 32


def _run_threads(cache: Cache, work: list[threading.Thread], calls: int) -> None:
    """Start threads, let `calls` of them reach the keyring, then let it answer."""
    cache.keyring.gate.clear()
    for thread in work:
        thread.start()
    for _ in range(calls):
        assert cache.keyring.entered.acquire(timeout=20)
    cache.keyring.gate.set()
    for thread in work:
        thread.join(20)


def test_sealing_when_many_threads_miss_at_once_then_one_asks() -> None:
    cache, keys = Cache(), list[bytes]()

    _run_threads(cache, [threading.Thread(target=lambda: keys.append(cache.seal())) for _ in range(8)], 1)

    assert len(keys) == 8
    assert cache.keyring.generated == len(set(keys)) == 1


def test_sealing_when_many_threads_share_a_key_then_it_seals_no_more_objects_than_allowed() -> None:
    cache, keys = Cache(CacheLimits(max_objects=7)), list[bytes]()
    work = [threading.Thread(target=lambda: keys.extend(cache.seal() for _ in range(20))) for _ in range(8)]

    for thread in work:
        thread.start()
    for thread in work:
        thread.join(20)

    assert len(keys) == 160
    assert max(keys.count(key) for key in keys) == 7
    assert cache.keyring.generated == len(set(keys)) == -(-160 // 7)


def test_cache_when_it_has_what_is_asked_for_then_nobody_waits_for_another_object() -> None:
    cache, keys, found = Cache(), _entries(), list[bytes]()
    expected = [cache.seal(), cache.open(keys)]
    others = cache.manager._flights
    name = name_of(keys[0], ACME)

    # Somebody asks the key service for the same keys, and has no answer yet.
    with others.holding(("seal", ACME.canonical)), others.holding(("open", name)):
        thread = threading.Thread(target=lambda: found.extend((cache.seal(), cache.open(keys))), daemon=True)
        thread.start()
        thread.join(20)

    assert found == expected


def test_sealing_when_threads_have_other_contexts_then_they_do_not_wait_for_each_other() -> None:
    cache, keys = Cache(), list[bytes]()
    work = [
        threading.Thread(target=lambda context=context: keys.append(cache.seal(context))) for context in (ACME, OTHER)
    ]

    # Both are inside the keyring before either has an answer.
    _run_threads(cache, work, 2)

    assert len(set(keys)) == cache.keyring.generated == 2


def test_opening_when_repeated_then_the_keyring_is_asked_once() -> None:
    cache, keys = Cache(), _entries()

    assert len({cache.open(keys) for _ in range(5)}) == 1
    assert cache.keyring.decrypted == 1


def test_opening_when_many_threads_miss_at_once_then_one_asks() -> None:
    cache, keys, found = Cache(), _entries(), list[bytes]()

    _run_threads(cache, [threading.Thread(target=lambda: found.append(cache.open(keys))) for _ in range(8)], 1)

    assert len(found) == 8
    assert cache.keyring.decrypted == len(set(found)) == 1


@pytest.mark.parametrize(("seconds", "calls"), [(0, 1), (299.9, 1), (300, 2), (-0.1, 2)])
def test_opening_when_time_passes_or_goes_backwards_then_the_limit_holds(seconds: float, calls: int) -> None:
    cache, keys = Cache(CacheLimits(fresh_for_seconds=300)), _entries()
    cache.open(keys)

    cache.clock.seconds += seconds
    cache.open(keys)

    assert cache.keyring.decrypted == calls


def test_opening_when_used_all_the_time_then_it_does_not_stay_fresh_for_ever() -> None:
    cache, keys = Cache(CacheLimits(fresh_for_seconds=300)), _entries()

    for _ in range(10):
        cache.open(keys)
        cache.clock.seconds += 100

    assert cache.keyring.decrypted == 4


def test_opening_when_freshness_is_zero_then_every_object_asks() -> None:
    cache, keys = Cache(CacheLimits(fresh_for_seconds=0)), _entries()

    for _ in range(3):
        cache.open(keys)

    assert cache.keyring.decrypted == 3


@pytest.mark.parametrize("error", [HeaderAuthenticationError, KeyCommitmentError])
def test_opening_when_the_header_does_not_open_then_nothing_is_kept(error: type[Exception]) -> None:
    cache, keys = Cache(), _entries()

    def refuse(_: SecretBytes) -> bytes:
        raise error("no")

    for _ in range(2):
        with pytest.raises(error):
            cache.manager.open_with_data_key(keys, ACME, refuse)

    assert cache.keyring.decrypted == 2


def test_opening_when_a_kept_key_does_not_fit_then_the_keyring_decides_and_the_key_stays() -> None:
    cache, keys = Cache(), _entries()
    cache.open(keys)

    with pytest.raises(HeaderAuthenticationError):
        cache.manager.open_with_data_key(keys, ACME, _refuse)
    cache.open(keys)

    assert cache.keyring.decrypted == 2


def test_opening_when_the_context_is_another_then_a_kept_key_is_not_used() -> None:
    cache, keys = Cache(), _entries(ACME)
    cache.open(keys, ACME)

    with pytest.raises(HeaderAuthenticationError):
        cache.open(keys, OTHER)

    assert cache.keyring.decrypted == 2


def test_opening_when_a_kept_key_stands_behind_junk_then_it_is_found() -> None:
    cache, keys = Cache(), _entries()
    junk = EncryptedDataKey(keys[0].hint, bytes(80))
    cache.open(keys)

    assert cache.open([junk, *keys]) == cache.open(keys)
    assert cache.keyring.decrypted == 1


def test_opening_when_the_attempt_wipes_its_key_then_the_kept_one_is_whole() -> None:
    cache, keys = Cache(), _entries()
    genuine = cache.open(keys)

    cache.manager.open_with_data_key(keys, ACME, lambda data_key: data_key.wipe())

    assert cache.open(keys) == genuine


def test_cache_when_the_process_forked_then_the_child_starts_empty() -> None:
    cache, keys = Cache(), _entries()
    before = cache.seal()
    cache.open(keys)

    cache.process.number += 1

    assert cache.seal() != before
    cache.open(keys)
    assert (cache.keyring.generated, cache.keyring.decrypted) == (2, 2)


def test_cache_when_another_thread_of_the_parent_held_its_locks_at_the_fork_then_the_child_goes_on() -> None:
    cache = Cache()
    cache.manager._lock.acquire()

    cache.process.number += 1

    assert len(cache.seal()) == 32


def test_cache_when_full_then_the_least_recently_used_goes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manager, "_MOST_ENTRIES", 3)
    cache = Cache()
    objects = [_entries(seed=number) for number in range(4)]
    for keys in (objects[0], objects[1], objects[2], objects[0], objects[3]):
        cache.open(keys)
    assert cache.keyring.decrypted == 4

    cache.open(objects[0])
    assert cache.keyring.decrypted == 4
    cache.open(objects[1])
    assert cache.keyring.decrypted == 5


def test_cache_when_many_contexts_are_sealed_then_it_does_not_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manager, "_MOST_ENTRIES", 3)
    cache = Cache()

    for number in range(10):
        cache.seal(EncryptionContext({"n": str(number)}))

    assert len(cache.manager._sealing) == 3
    assert cache.manager._flights._flights == {}


@pytest.mark.parametrize(
    "limits",
    [
        {"max_objects": 0},
        {"max_objects": -1},
        {"max_objects": 2**20 + 1},
        {"max_age_seconds": -1},
        {"max_age_seconds": float("nan")},
        {"fresh_for_seconds": -0.1},
    ],
)
def test_limits_when_out_of_range_then_they_are_refused(limits: dict[str, int]) -> None:
    with pytest.raises(ConfigurationError):
        CacheLimits(**limits)
