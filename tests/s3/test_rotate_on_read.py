"""rotate_on_read: what was read under a retired key gets the current one; no read waits for it or fails by it."""

from __future__ import annotations

import gc
import logging
import os
import threading
import weakref
from pathlib import Path
from typing import Any

import pytest

from s3envelope import MultiKeyring, RawAesKeyring, SuccessionKeyring
from s3envelope.s3 import read_rotation
from s3envelope.testing.s3_proxy import ErrorAnswer
from tests.support.enveloped import MIB, enveloped_client, plaintext_of
from tests.support.rewrapping import SMALL, Scene
from tests.support.rotating_reads import HOUR, Clock, Reading, finish, readings, wait, with_clock, with_process
from tests.support.uploading import PART, Uploading, read

LARGE = plaintext_of(20 * MIB)


def test_object_when_read_under_a_retired_key_gets_the_current_one(reading: Reading) -> None:
    body = reading.scene.put(Metadata={"mine": "kept"})
    client = reading.make()

    assert read(client, reading.scene.bucket) == SMALL
    finish(client)

    assert reading.is_current()
    assert reading.scene.stored()[1]["mine"] == body["mine"]
    assert read(reading.scene.with_keyring(reading.scene.second), reading.scene.bucket) == SMALL


def test_object_when_its_key_is_current_already_is_left_alone(reading: Reading) -> None:
    client = reading.make()
    client.put_object(Bucket=reading.scene.bucket, Key="k", Body=SMALL)
    both = MultiKeyring(reading.scene.second, reading.scene.client._s3envelope.keyring)
    reading.scene.with_keyring(both).put_object(Bucket=reading.scene.bucket, Key="both", Body=SMALL)

    for key in ("k", "both"):
        read(client, reading.scene.bucket, key)
    finish(client)

    assert reading.copies() == 0


def test_object_when_aliases_name_the_keys_is_rotated_all_the_same(reading: Reading) -> None:
    kms = reading.scene.kms
    name = f"alias/{os.urandom(4).hex()}"
    for suffix, arn in (("-new", reading.scene.second_arn), ("-old", reading.retired)):
        kms.perform("CreateAlias", AliasName=name + suffix, TargetKeyId=arn)
    reading.scene.put()
    client = reading.make(kms_key_id=f"{name}-new", retired_kms_key_ids=(f"{name}-old",))

    read(client, reading.scene.bucket)
    finish(client)

    assert reading.is_current()


def test_object_when_its_keyring_is_of_the_callers_making_is_rotated(reading: Reading) -> None:
    old, new = RawAesKeyring(bytes(range(32)), "old"), RawAesKeyring(bytes(range(1, 33)), "new")
    reading.scene.with_keyring(old).put_object(Bucket=reading.scene.bucket, Key="k", Body=SMALL)
    client = reading.make(keyring=SuccessionKeyring(new, old), kms_key_id=None, kms_client=None, retired_kms_key_ids=())

    assert read(client, reading.scene.bucket) == SMALL
    finish(client)

    assert read(reading.scene.with_keyring(new), reading.scene.bucket) == SMALL


def warnings_in(caplog: pytest.LogCaptureFixture) -> list[logging.LogRecord]:
    """Return what was logged of rotations; other loggers may be at DEBUG."""
    return [record for record in caplog.records if record.name == "s3envelope.rotation"]


@pytest.mark.parametrize("how", ["chunks", "close", "with", "exactly"])
def test_object_when_read_in_any_way_is_rotated_only_after_it(reading: Reading, how: str) -> None:
    reading.scene.put()
    client = reading.make()
    body = client.get_object(Bucket=reading.scene.bucket, Key="k")["Body"]
    assert body.read(10) == SMALL[:10]
    assert client._s3envelope.read_rotation._state.tried == {}

    if how == "chunks":
        assert b"".join(body.iter_chunks(1000)) == SMALL[10:]
    elif how == "exactly":
        assert body.read(len(SMALL) - 10) == SMALL[10:]
        body.close()
    elif how == "with":
        with body:
            body.read(1)
    else:
        body.close()
    finish(client)

    assert reading.is_current()


def test_object_when_downloaded_in_ranges_is_rotated_at_the_end_of_the_download(
    reading: Reading, tmp_path: Path
) -> None:
    upload = Uploading(reading.scene.client, reading.scene.bucket)
    for number in range(4):
        upload.part(number + 1, LARGE[number * PART : (number + 1) * PART])
    upload.complete()
    client, target = reading.make(), tmp_path / "target"

    client.download_file(reading.scene.bucket, "k", str(target))
    finish(client)

    assert target.read_bytes() == LARGE
    assert reading.copies() == 1
    assert reading.is_current()


def test_range_when_read_by_itself_rotates_nothing(reading: Reading) -> None:
    reading.scene.put()
    client = reading.make()

    assert read(client, reading.scene.bucket, Range="bytes=5-9") == SMALL[5:10]
    finish(client)

    assert not reading.is_current()


def test_version_when_read_by_its_id_rotates_nothing(moto_scene: Scene) -> None:
    making = readings(moto_scene)
    reading = next(making)
    moto_scene.plain.put_bucket_versioning(Bucket=moto_scene.bucket, VersioningConfiguration={"Status": "Enabled"})
    moto_scene.put()
    version = moto_scene.plain.head_object(Bucket=moto_scene.bucket, Key="k")["VersionId"]
    client = reading.make()

    assert read(client, moto_scene.bucket, VersionId=version) == SMALL
    finish(client)

    assert reading.copies() == 0


def test_object_when_it_was_tried_is_tried_again_after_the_interval(
    reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock, done = Clock(), threading.Event()
    monkeypatch.setattr(read_rotation, "rewrap", lambda *_: done.set())
    reading.scene.put()
    client = reading.make()
    client._s3envelope.read_rotation._ports = with_clock(client, clock)
    tried = []
    for elapsed in (0, 3599, 1):
        clock.now += elapsed
        done.clear()
        read(client, reading.scene.bucket)
        wait(client)
        tried.append(done.is_set())

    assert tried == [True, False, True]


@pytest.mark.parametrize(
    ("operation", "code", "told"),
    [
        ("GenerateDataKey", "AccessDeniedException", "KeyAccessError"),
        (None, "AccessDenied", "AccessDenied"),
    ],
)
def test_read_when_the_rewrap_fails_is_none_the_worse_and_the_failure_is_told_once(
    reading: Reading, caplog: pytest.LogCaptureFixture, operation: str | None, code: str, told: str
) -> None:
    clock = Clock()
    reading.scene.put()
    before = reading.scene.put("second")
    client = reading.make()
    client._s3envelope.read_rotation._ports = with_clock(client, clock)
    if operation is None:
        reading.scene.proxy.inject(ErrorAnswer(403, code), lambda sent: bool(sent.header("x-amz-copy-source")), times=2)
    else:
        reading.scene.kms.faults.fail(operation, code, None, status=400)

    with caplog.at_level(logging.WARNING, "s3envelope.rotation"):
        for key in ("k", "second"):
            assert read(client, reading.scene.bucket, key) == SMALL
            wait(client)
    reading.scene.kms.faults.clear()
    reading.scene.proxy.clear_rules()

    # The second one is not even tried: what failed for one will fail for all.
    (record,) = warnings_in(caplog)
    assert record.getMessage() == f"rotate_on_read: 's3://{reading.scene.bucket}/k' keeps its retired key: {told}"
    assert reading.scene.stored("second")[1] == before
    clock.now += 60
    read(client, reading.scene.bucket, "second")
    finish(client)
    assert reading.is_current("second")


def test_object_when_overwritten_before_its_turn_stays_the_newer_one(reading: Reading) -> None:
    reading.scene.put()
    client = reading.make()
    other = reading.scene.with_keyring(reading.scene.second)

    def overwrite(**_: object) -> None:
        other.put_object(Bucket=reading.scene.bucket, Key="k", Body=b"newer")

    client.meta.events.register("before-call.s3.CopyObject", overwrite)

    assert read(client, reading.scene.bucket) == SMALL
    finish(client)

    assert read(other, reading.scene.bucket) == b"newer"


def test_object_when_it_was_deleted_or_replaced_by_a_plain_one_is_left_alone(
    reading: Reading, caplog: pytest.LogCaptureFixture
) -> None:
    client = reading.make()
    for key in ("deleted", "plain"):
        reading.scene.put(key)
        body = client.get_object(Bucket=reading.scene.bucket, Key=key)["Body"]
        reading.scene.plain.delete_object(Bucket=reading.scene.bucket, Key=key)
        if key == "plain":
            reading.scene.plain.put_object(Bucket=reading.scene.bucket, Key=key, Body=b"plain")
        with caplog.at_level(logging.WARNING, "s3envelope.rotation"):
            body.close()
            wait(client)

    assert warnings_in(caplog) == []
    assert reading.copies() == 0
    assert reading.scene.stored("plain") == (b"plain", {})


def test_unbound_object_when_rotated_is_not_bound(reading: Reading) -> None:
    loose = reading.scene.with_keyring(reading.scene.client._s3envelope.keyring, bind_key_name=False)
    loose.put_object(Bucket=reading.scene.bucket, Key="k", Body=SMALL)
    client = reading.make(bind_key_name=False)

    read(client, reading.scene.bucket)
    finish(client)

    assert reading.is_current()
    assert not client.describe_envelope(Bucket=reading.scene.bucket, Key="k").bound


def test_queue_when_full_drops_what_comes_and_no_read_waits(reading: Reading, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(read_rotation, "_MOST_PENDING", 1)
    entered, released = threading.Event(), threading.Event()

    def hold(*_: object) -> None:
        entered.set()
        assert released.wait(30)

    monkeypatch.setattr(read_rotation, "rewrap", hold)
    client = reading.make()
    for key in "abcd":
        reading.scene.put(key)
    read(client, reading.scene.bucket, "a")
    assert entered.wait(30)
    for key in "bcd":
        read(client, reading.scene.bucket, key)

    state = client._s3envelope.read_rotation._state
    assert [candidate.key for candidate in state.pending] == ["b"]
    assert {key for _, key in state.tried} == {"a", "b"}
    released.set()
    client.close()


def test_client_when_closed_waits_for_the_running_rewrap_and_begins_no_other(
    reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    entered, released, finished = threading.Event(), threading.Event(), []

    def hold(*_: object) -> None:
        entered.set()
        assert released.wait(30)
        finished.append(1)

    monkeypatch.setattr(read_rotation, "rewrap", hold)
    client = reading.make()
    for key in "ab":
        reading.scene.put(key)
        read(client, reading.scene.bucket, key)
    assert entered.wait(30)

    closing = threading.Thread(target=client.close)
    closing.start()
    assert finished == []
    released.set()
    closing.join(30)

    assert finished == [1]
    assert client._s3envelope.read_rotation._state.thread is None
    read(client, reading.scene.bucket, "b")
    assert finished == [1]


def test_client_when_nobody_uses_it_is_freed_with_rotation_on(reading: Reading) -> None:
    reading.scene.put()
    nothing: Any = None
    fields = {
        "kms_key_id": reading.scene.second_arn,
        "kms_client": reading.scene.kms.client(),
        "retired_kms_key_ids": [reading.retired],
        "rotate_on_read": HOUR,
    }
    client: Any = enveloped_client(reading.scene.endpoint, nothing, envelope=fields)
    read(client, reading.scene.bucket)
    wait(client)
    seam = weakref.ref(client._s3envelope)

    client.close()
    del client
    gc.collect()

    assert seam() is None


def test_child_process_when_forked_rotates_with_a_thread_of_its_own(
    reading: Reading, monkeypatch: pytest.MonkeyPatch
) -> None:
    client = reading.make()
    rotation = client._s3envelope.read_rotation
    before = rotation._state
    # As in a child that was forked while another thread held the lock.
    before.lock.acquire()
    monkeypatch.setattr(rotation, "_ports", with_process(client, os.getpid() + 1))
    reading.scene.put()

    read(client, reading.scene.bucket)
    finish(client)

    assert rotation._state is not before
    assert reading.is_current()
    before.lock.release()
