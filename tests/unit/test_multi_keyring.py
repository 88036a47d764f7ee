"""Data keys wrapped by several keys: two regions on sockets, and a raw key in escrow."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import pytest

from s3envelope import KmsKeyring, MultiKeyring, RawAesKeyring
from s3envelope.core.context import EncryptionContext
from s3envelope.core.ports import EncryptedDataKey, Keyring
from s3envelope.core.secret import SecretBytes
from s3envelope.errors import (
    ConfigurationError,
    KeyAccessError,
    KeyServiceUnavailableError,
    NoMatchingKeyError,
)
from s3envelope.testing.local_kms import LocalKms
from tests.support.objects import FakeClock

CONTEXT = EncryptionContext({"tenant": "acme"})
OTHER = EncryptionContext({"tenant": "other"})
HOME, AWAY = "eu-central-1", "eu-west-1"
OUTAGES = ["stopped", "throttled"]
DENIALS = ["disabled", "denied"]


@dataclass(frozen=True, slots=True)
class Regions:
    """Two key services that know nothing of each other, and a raw key."""

    home: LocalKms
    away: LocalKms
    home_arn: str
    away_arn: str
    near: KmsKeyring
    far: KmsKeyring
    escrow: RawAesKeyring

    def all(self, **options: Any) -> MultiKeyring:
        return MultiKeyring(self.near, self.far, self.escrow, **options)

    def breaks(self, kms: LocalKms, region: str, arn: str, how: str) -> None:
        if how == "stopped":
            kms.stop()
        elif how == "throttled":
            kms.faults.throttle(count=None)
        elif how == "denied":
            kms.faults.fail("*", "AccessDeniedException", None, status=400)
        else:
            kms.client(region).disable_key(KeyId=arn)


@pytest.fixture
def regions() -> Iterator[Regions]:
    with ExitStack() as stack:
        home, away = (stack.enter_context(LocalKms()) for _ in range(2))
        home_arn, away_arn = home.create_key(region_name=HOME), away.create_key(region_name=AWAY)
        yield Regions(
            home,
            away,
            home_arn,
            away_arn,
            KmsKeyring(home_arn, home.client(HOME)),
            KmsKeyring(away_arn, away.client(AWAY)),
            RawAesKeyring(bytes(range(32)), "escrow"),
        )


def opened(keyring: Keyring, keys: tuple[EncryptedDataKey, ...], context: EncryptionContext = CONTEXT) -> bytes:
    _, plaintext = next(keyring.decrypt_data_keys(keys, context))
    return bytes(plaintext.view())


def test_data_key_when_made_is_wrapped_by_every_key_and_opens_with_each_alone(regions: Regions) -> None:
    keyring = regions.all()

    made = keyring.generate_data_key(CONTEXT)

    plaintext = bytes(made.plaintext.view())
    assert isinstance(keyring, Keyring)
    assert [len(key.ciphertext) for key in made.encrypted] == list(keyring.encrypted_data_key_sizes)
    for one in (regions.near, regions.far, regions.escrow):
        assert opened(one, made.encrypted) == plaintext
    assert keyring.key_ids == {regions.home_arn, regions.away_arn, "raw:escrow"}
    assert len({key.hint for key in made.encrypted}) == 3


def test_read_when_the_first_region_answers_asks_no_other(regions: Regions) -> None:
    keyring = regions.all()
    made = keyring.generate_data_key(CONTEXT)
    regions.home.clear_calls()
    regions.away.clear_calls()

    opened(keyring, made.encrypted)

    assert (regions.home.count("Decrypt"), regions.away.count("Decrypt")) == (1, 0)


@pytest.mark.parametrize("how", OUTAGES + DENIALS)
def test_read_when_the_first_region_fails_goes_on_with_the_next(regions: Regions, how: str) -> None:
    keyring = regions.all()
    made = keyring.generate_data_key(CONTEXT)
    regions.breaks(regions.home, HOME, regions.home_arn, how)

    assert opened(keyring, made.encrypted) == bytes(made.plaintext.view())
    assert regions.away.count("Decrypt") == 1


@pytest.mark.parametrize("how", OUTAGES + DENIALS)
def test_read_when_every_keyring_fails_lists_each_attempt(regions: Regions, how: str) -> None:
    keyring = MultiKeyring(regions.near, regions.far)
    made = keyring.generate_data_key(CONTEXT)
    regions.breaks(regions.home, HOME, regions.home_arn, how)
    regions.breaks(regions.away, AWAY, regions.away_arn, "stopped")

    with pytest.raises((KeyAccessError, KeyServiceUnavailableError)) as caught:
        opened(keyring, made.encrypted)

    # An outage passes; a denial does not, whatever else is down.
    expected = KeyServiceUnavailableError if how in OUTAGES else KeyAccessError
    assert type(caught.value) is expected
    assert regions.home_arn in str(caught.value)
    assert regions.away_arn in str(caught.value)
    assert "kms:Decrypt" in str(caught.value)


def test_read_when_no_key_is_one_of_ours_says_which_were_looked_for(regions: Regions) -> None:
    strange = RawAesKeyring(bytes(32), "strange").generate_data_key(CONTEXT)

    with pytest.raises(NoMatchingKeyError) as caught:
        opened(regions.all(), strange.encrypted)

    assert all(name in str(caught.value) for name in regions.all().key_ids)
    assert regions.home.count("Decrypt") == regions.away.count("Decrypt") == 0


def test_read_when_another_context_is_claimed_opens_with_none(regions: Regions) -> None:
    keyring = regions.all()
    made = keyring.generate_data_key(CONTEXT)

    assert list(keyring.decrypt_data_keys(made.encrypted, OTHER)) == []


@pytest.mark.parametrize("how", OUTAGES + DENIALS)
@pytest.mark.parametrize("which", ["home", "away"])
def test_write_when_one_key_fails_is_an_error_and_leaves_no_data_key(
    regions: Regions, how: str, which: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wiped: list[SecretBytes] = []

    def wipe(secret: SecretBytes) -> None:
        wiped.append(secret)

    monkeypatch.setattr(SecretBytes, "wipe", wipe)
    at_home = which == "home"
    kms, arn = (regions.home, regions.home_arn) if at_home else (regions.away, regions.away_arn)
    regions.breaks(kms, HOME if at_home else AWAY, arn, how)

    with pytest.raises((KeyAccessError, KeyServiceUnavailableError), match=arn):
        regions.all().generate_data_key(CONTEXT)

    assert bool(wiped) is not at_home


@pytest.mark.parametrize("which", ["home", "away"])
def test_write_when_fewer_are_required_goes_on_and_says_so(
    regions: Regions, which: str, caplog: pytest.LogCaptureFixture
) -> None:
    kms, arn = (regions.home, regions.home_arn) if which == "home" else (regions.away, regions.away_arn)
    kms.stop()

    with caplog.at_level(logging.WARNING, "s3envelope.keyrings"):
        made = regions.all(require=1).generate_data_key(CONTEXT)

    kms.start()
    assert len(made.encrypted) == 2
    assert arn in caplog.text
    assert opened(regions.escrow, made.encrypted) == bytes(made.plaintext.view())
    assert opened(regions.all(), made.encrypted) == bytes(made.plaintext.view())


def test_write_when_fewer_than_required_answer_is_an_error(regions: Regions) -> None:
    regions.home.stop()
    regions.away.stop()

    with pytest.raises(KeyServiceUnavailableError):
        regions.all(require=2).generate_data_key(CONTEXT)


def test_reencryption_is_the_first_keyrings(regions: Regions) -> None:
    keyring = regions.all()
    made = keyring.generate_data_key(CONTEXT)

    again = keyring.reencrypt_data_key(made.encrypted[0], CONTEXT, source_key_arn=regions.home_arn)

    assert again.ciphertext != made.encrypted[0].ciphertext
    assert opened(regions.near, (again,)) == bytes(made.plaintext.view())


def _asked(regions: Regions) -> tuple[int, int]:
    """Return how often each region was asked since the last time."""
    counts = regions.home.count("Decrypt"), regions.away.count("Decrypt")
    regions.home.clear_calls()
    regions.away.clear_calls()
    return counts


def test_read_when_a_region_was_away_asks_it_last_for_half_a_minute(regions: Regions) -> None:
    clock = FakeClock()
    keyring = regions.all(clock=clock)
    made = keyring.generate_data_key(CONTEXT)
    regions.home.faults.throttle("Decrypt", 2)

    def read() -> tuple[int, int]:
        assert opened(keyring, made.encrypted) == bytes(made.plaintext.view())
        return _asked(regions)

    assert read() == (1, 1)
    clock.seconds += 29.9
    assert read() == (0, 1)
    clock.seconds += 0.2
    # One read tries again, finds it away, and the half minute begins anew.
    assert read() == (1, 1)
    clock.seconds += 29.9
    assert read() == (0, 1)
    clock.seconds += 0.2
    assert read() == (1, 0)
    assert read() == (1, 0)


def test_read_when_a_region_is_due_again_lets_one_thread_try_and_not_all(regions: Regions) -> None:
    clock = FakeClock()
    keyring = regions.all(clock=clock)
    made = keyring.generate_data_key(CONTEXT)
    regions.home.faults.throttle("Decrypt", 1)
    opened(keyring, made.encrypted)
    clock.seconds += 31
    _asked(regions)

    asked: list[str] = []
    started, done = threading.Event(), threading.Event()

    def hold(**_: object) -> None:
        asked.append(threading.current_thread().name)
        started.set()
        done.wait(30)

    regions.near._client.meta.events.register("before-call.kms.Decrypt", hold)

    with ThreadPoolExecutor(1) as executor:
        held = executor.submit(opened, keyring, made.encrypted)
        assert started.wait(30)
        # This thread does not wait for the region that holds the other one.
        assert opened(keyring, made.encrypted) == bytes(made.plaintext.view())
        done.set()
        assert held.result(30) == bytes(made.plaintext.view())

    assert (len(asked), _asked(regions)) == (1, (1, 1))


@pytest.mark.parametrize("how", DENIALS)
def test_read_when_a_region_denies_keeps_the_order(regions: Regions, how: str) -> None:
    keyring = regions.all()
    made = keyring.generate_data_key(CONTEXT)
    regions.breaks(regions.home, HOME, regions.home_arn, how)

    for _ in range(2):
        opened(keyring, made.encrypted)

    assert _asked(regions) == (2, 2)


def test_read_when_only_the_region_that_was_away_has_the_key_still_asks_it(regions: Regions) -> None:
    keyring = MultiKeyring(regions.near, regions.far)
    made = regions.near.generate_data_key(CONTEXT)
    regions.home.faults.throttle("Decrypt", 1)
    with pytest.raises(KeyServiceUnavailableError):
        opened(keyring, made.encrypted)

    assert opened(keyring, made.encrypted) == bytes(made.plaintext.view())


def test_read_order_when_given_is_that_of_reads_and_the_generator_still_makes(regions: Regions) -> None:
    keyring = MultiKeyring(regions.far, regions.near, read_order=[regions.near, regions.far])

    made = keyring.generate_data_key(CONTEXT)
    opened(keyring, made.encrypted)

    assert keyring.keyrings == (regions.near, regions.far)
    assert (regions.away.count("GenerateDataKey"), regions.home.count("Encrypt")) == (1, 1)
    assert _asked(regions) == (1, 0)


RAW = [RawAesKeyring(bytes([number]) * 32, f"raw{number}") for number in range(5)]
WRONG: dict[str, tuple[tuple[Any, ...], dict[str, Any], str]] = {
    "one": ((RAW[0],), {}, "2 to 4"),
    "five": (tuple(RAW), {}, "2 to 4"),
    "twice": ((RAW[0], RAW[1], RAW[0]), {}, "each of them once"),
    "nested twice": ((MultiKeyring(RAW[0], RAW[1]), RAW[1]), {}, "each of them once"),
    "no keyring": ((RAW[0], "alias/x"), {}, "one of them is a str"),
    "none required": ((RAW[0], RAW[1]), {"require": 0}, "from 1 to 2"),
    "more required": ((RAW[0], RAW[1]), {"require": 3}, "from 1 to 2"),
    "a bool": ((RAW[0], RAW[1]), {"require": True}, "from 1 to 2"),
    "another order": ((RAW[0], RAW[1]), {"read_order": [RAW[0], RAW[2]]}, "read_order"),
    "a short order": ((RAW[0], RAW[1]), {"read_order": [RAW[0]]}, "read_order"),
    "an order with one twice": ((RAW[0], RAW[1]), {"read_order": [RAW[0], RAW[0]]}, "read_order"),
    "a word": ((RAW[0], RAW[1]), {"require": "any"}, "from 1 to 2"),
}


@pytest.mark.parametrize("case", WRONG)
def test_keyring_when_made_of_the_wrong_things_says_what_it_takes(case: str) -> None:
    keyrings, options, message = WRONG[case]

    with pytest.raises(ConfigurationError, match=message):
        MultiKeyring(*keyrings, **options)


def test_keyring_when_printed_names_its_keys_and_no_secret(regions: Regions) -> None:
    assert regions.home_arn in repr(regions.all())
    assert bytes(range(32)).hex() not in repr(regions.all())
