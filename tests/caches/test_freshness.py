"""How long a remembered data key serves: alone, while the key service is away, and never after it has said no."""

from __future__ import annotations

import logging

import pytest

from s3envelope.caches.limits import CacheLimits
from s3envelope.core.ports import DataKeyStatus
from s3envelope.errors import KeyAccessError, KeyServiceUnavailableError
from tests.support.caching import CONTEXT, DAY, HOUR, Place, Process


def test_another_process_when_the_key_is_fresh_then_asks_nothing(place: Place) -> None:
    keys, data_key = place.new_keys()
    Process(place).open(keys)
    place.pass_time(299)
    place.kms.clear_calls()

    second = Process(place)

    assert second.open(keys) == data_key
    assert place.kms.count() == 0
    assert second.uses.sources == ["cache"]


def test_another_process_when_the_key_is_not_fresh_then_the_key_service_decides(place: Place) -> None:
    keys, data_key = place.new_keys()
    Process(place).open(keys)
    place.pass_time(300)
    place.kms.clear_calls()

    assert Process(place).open(keys) == data_key

    assert [call.operation for call in place.kms.calls] == ["DescribeKey", "Decrypt"]


def test_process_when_another_one_has_asked_meanwhile_then_it_need_not(place: Place) -> None:
    keys, _ = place.new_keys()
    first, second = Process(place), Process(place)
    first.open(keys)
    second.open(keys)
    place.pass_time(301, first, second)
    second.open(keys)
    place.kms.clear_calls()

    first.open(keys)

    assert place.kms.count() == 0


@pytest.mark.parametrize("age", [301.0, HOUR, DAY - 1])
def test_reading_when_the_key_service_is_away_then_goes_on_for_a_day(
    place: Place, age: float, caplog: pytest.LogCaptureFixture
) -> None:
    keys, data_key = place.new_keys()
    Process(place).open(keys)
    place.pass_time(age)
    place.kms.stop()

    late = Process(place)

    assert late.open(keys) == data_key
    assert late.uses.sources == ["offline"]
    assert late.uses.of_keys[0].details == (("age_seconds", str(round(age))),)
    assert late.manager.status_of(keys, CONTEXT) == DataKeyStatus(age, is_fresh=False, served_offline=True)
    warnings = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert any("read offline" in record.getMessage() for record in warnings)
    assert not any(secret in caplog.text for secret in (place.arn, "acme-canary", data_key.hex()))


@pytest.mark.parametrize(("limits", "age"), [(CacheLimits(), DAY), (CacheLimits(offline_for_seconds=0), 300)])
@pytest.mark.parametrize("is_new", [True, False], ids=["new process", "same process"])
def test_reading_when_the_key_service_is_away_for_longer_then_fails(
    place: Place, limits: CacheLimits, age: float, is_new: bool
) -> None:
    keys, _ = place.new_keys()
    process = Process(place, limits=limits)
    process.open(keys)
    place.pass_time(age, process)
    place.kms.stop()

    with pytest.raises(KeyServiceUnavailableError):
        (Process(place, limits=limits) if is_new else process).open(keys)


def test_reading_when_throttled_then_serves_offline_and_is_fresh_again_afterwards(place: Place) -> None:
    keys, data_key = place.new_keys()
    process = Process(place)
    process.open(keys)
    place.pass_time(301, process)
    place.kms.faults.throttle("Decrypt")

    assert process.open(keys) == data_key
    place.pass_time(10, process)
    assert process.open(keys) == data_key
    place.pass_time(10, process)
    assert process.open(keys) == data_key

    assert process.uses.sources == ["key service", "offline", "key service", "cache"]
    status = process.manager.status_of(keys, CONTEXT)
    assert status == DataKeyStatus(10, is_fresh=True, served_offline=False)


@pytest.mark.parametrize("is_new", [True, False], ids=["new process", "same process"])
def test_reading_when_the_key_was_disabled_then_fails_and_stays_so_while_the_key_service_is_away(
    place: Place, is_new: bool
) -> None:
    keys, _ = place.new_keys()
    process = Process(place, place.arn)
    process.open(keys)
    place.kms.perform("DisableKey", KeyId=place.arn)
    place.pass_time(301, process)
    late = Process(place, place.arn) if is_new else process

    with pytest.raises(KeyAccessError):
        late.open(keys)
    place.kms.stop()

    # The entry is gone for everyone, though it is not an hour old.
    for reader in (late, Process(place, place.arn)):
        with pytest.raises(KeyServiceUnavailableError):
            reader.open(keys)
    assert late.manager.status_of(keys, CONTEXT) is None


@pytest.mark.parametrize("code", ["AccessDeniedException", "NotFoundException", "KMSInvalidStateException"])
def test_reading_when_denied_then_the_entry_is_dropped(place: Place, code: str) -> None:
    keys, _ = place.new_keys()
    process = Process(place)
    process.open(keys)
    place.pass_time(301, process)
    place.kms.faults.fail("Decrypt", code)

    with pytest.raises(KeyAccessError):
        process.open(keys)

    place.kms.stop()
    with pytest.raises(KeyServiceUnavailableError):
        process.open(keys)


def test_wall_clock_when_set_back_then_no_entry_gets_younger(place: Place) -> None:
    keys, _ = place.new_keys()
    process = Process(place)
    process.open(keys)
    place.pass_time(200, process)
    process.open(keys)
    place.wall_clock.seconds -= 150
    process.clock.seconds += 101
    second = Process(place)
    second.clock.seconds = process.clock.seconds
    place.kms.clear_calls()

    second.open(keys)
    assert place.kms.count("Decrypt") == 1
    process.open(keys)
    assert place.kms.count("Decrypt") == 1


@pytest.mark.parametrize("back", [2.0, 70.0, DAY, 400 * DAY])
def test_wall_clock_when_set_back_then_entries_on_disk_are_dropped(place: Place, back: float) -> None:
    keys, others = place.new_keys()[0], place.new_keys()[0]
    process = Process(place, place.arn)
    process.open(keys)
    # An hour later another object leaves a note of the time.
    place.pass_time(HOUR)
    Process(place, place.arn).open(others)
    place.wall_clock.seconds -= back
    place.kms.stop()

    for some in (keys, others):
        with pytest.raises(KeyServiceUnavailableError):
            Process(place, place.arn).open(some)


def test_wall_clock_when_it_went_on_during_a_sleep_then_the_entry_is_older(place: Place) -> None:
    keys, _ = place.new_keys()
    process = Process(place)
    process.open(keys)
    place.pass_time(301)
    place.kms.clear_calls()

    process.open(keys)

    assert place.kms.count("Decrypt") == 1


def test_reading_when_the_key_service_is_away_then_it_is_asked_again_only_after_a_while(place: Place) -> None:
    keys, _ = place.new_keys()
    process = Process(place)
    process.open(keys)
    place.pass_time(301, process)
    place.kms.stop()
    process.attempts.clear()

    for _ in range(50):
        process.open(keys)
    assert process.attempts == ["Decrypt"]

    process.clock.seconds += 7
    for _ in range(50):
        process.open(keys)
    assert process.attempts == ["Decrypt"] * 2

    # The pause was doubled.
    process.clock.seconds += 7
    process.open(keys)
    assert process.attempts == ["Decrypt"] * 2


def test_reading_when_the_key_service_is_back_then_it_is_found_by_itself(place: Place) -> None:
    keys, _ = place.new_keys()
    process = Process(place)
    process.open(keys)
    place.pass_time(301, process)
    with place.kms.faults.refuse_connections():
        process.open(keys)
    process.open(keys)
    process.clock.seconds += 7

    process.open(keys)

    assert process.uses.sources[1:] == ["offline", "offline", "key service"]


def test_sealing_when_the_key_service_was_away_then_asks_all_the_same(place: Place) -> None:
    keys, _ = place.new_keys()
    process = Process(place)
    process.open(keys)
    place.pass_time(301, process)
    with place.kms.faults.refuse_connections():
        process.open(keys)

    assert len(process.manager.data_key_for_sealing(CONTEXT).encrypted) == 1
    # That was an answer: reading asks again too.
    process.open(keys)
    assert process.uses.sources[-2:] == ["key service", "key service"]


def test_object_without_an_entry_when_the_circuit_is_open_then_asks_all_the_same(place: Place) -> None:
    keys, others = place.new_keys()[0], place.new_keys()[0]
    process = Process(place)
    process.open(keys)
    place.pass_time(301, process)
    with place.kms.faults.refuse_connections():
        process.open(keys)

    assert process.open(others)


def test_alias_when_the_key_service_is_away_then_a_new_process_reads(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    keys, data_key = place.new_keys()
    Process(place).open(keys)
    place.pass_time(HOUR)
    place.kms.stop()

    process = Process(place)

    assert process.open(keys) == data_key
    assert process.attempts == ["DescribeKey"]
    assert "alias" in caplog.text


def test_alias_when_it_was_kept_too_long_then_a_new_process_fails(place: Place) -> None:
    keys, _ = place.new_keys()
    Process(place).open(keys)
    place.pass_time(DAY)
    place.kms.stop()

    with pytest.raises(KeyServiceUnavailableError):
        Process(place).open(keys)


def test_alias_when_it_was_given_to_another_key_then_the_old_entries_do_not_serve(place: Place) -> None:
    keys, _ = place.new_keys()
    Process(place).open(keys)
    place.pass_time(301)
    place.kms.perform("UpdateAlias", AliasName=place.alias, TargetKeyId=place.kms.create_key())

    process = Process(place)

    with pytest.raises(Exception, match="none of the object's 1 encrypted data keys"):
        process.open(keys)


def test_alias_when_it_was_deleted_then_a_kept_one_is_dropped(place: Place) -> None:
    keys, _ = place.new_keys()
    Process(place).open(keys)
    place.pass_time(301)
    place.kms.perform("DeleteAlias", AliasName=place.alias)
    with pytest.raises(KeyAccessError):
        Process(place).open(keys)

    place.kms.stop()

    with pytest.raises(KeyServiceUnavailableError):
        Process(place).open(keys)
