"""`s3envelope verify`: every tampered object is found, and the others are fine."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from s3envelope.cli.app import run
from s3envelope.rotation.run import Location
from s3envelope.rotation.verification import RESULTS, StoppedError, sampled, verify_object
from tests.cli.commands import COMMAND, Place, environment
from tests.cli.test_ls import PART, put_indexed, put_s3ec
from tests.conftest import ProxyFactory

SMALL = bytes(range(256)) * 600


def summary_of(place: Place, capsys: pytest.CaptureFixture[str], *arguments: str, code: int) -> dict[str, Any]:
    """Run `verify --json`, and return the one object that it prints."""
    assert run(["verify", *place.options, "--json", *arguments]) == code
    found: dict[str, Any] = json.loads(capsys.readouterr().out.splitlines()[0])
    return found


def results(summary: dict[str, Any]) -> dict[str, int]:
    """Return the results that there are."""
    return {name: count for name, count in summary["results"].items() if count}


def _flip_first(place: Place, key: str) -> None:
    place.flip(key, 100)


def _flip_last(place: Place, key: str) -> None:
    place.flip(key, len(place.stored(key)[0]) - 1)


def _cut(place: Place, key: str) -> None:
    body, metadata = place.stored(key)
    place.put_plain(key, body[: 65_536 + 28], metadata)


def _cut_within(place: Place, key: str) -> None:
    body, metadata = place.stored(key)
    place.put_plain(key, body[:-1], metadata)


def _extend(place: Place, key: str) -> None:
    body, metadata = place.stored(key)
    place.put_plain(key, body + body[-100:], metadata)


def _exchange_segments(place: Place, key: str) -> None:
    body, metadata = place.stored(key)
    size = 65_536 + 28
    place.put_plain(key, body[size : 2 * size] + body[:size] + body[2 * size :], metadata)


def _change_header(place: Place, key: str) -> None:
    body, metadata = place.stored(key)
    value = metadata["se1-h"]
    place.put_plain(key, body, {**metadata, "se1-h": value[:40] + ("A" if value[40] != "A" else "B") + value[41:]})


def _change_context(place: Place, key: str) -> None:
    body, metadata = place.stored(key)
    place.put_plain(key, body, {**metadata, "se1-x": "eyJ0ZW5hbnQiOiJldmlsIn0"})


def _drop_keys(place: Place, key: str) -> None:
    body, metadata = place.stored(key)
    place.put_plain(key, body, {name: value for name, value in metadata.items() if name != "se1-k"})


def _strip(place: Place, key: str) -> None:
    place.put_plain(key, place.stored(key)[0])


def _take_place_of_another(place: Place, key: str) -> None:
    place.put_plain(key, *place.stored("good/0"))


ATTACKS: dict[str, tuple[Callable[[Place, str], None], str]] = {
    "first-segment": (_flip_first, "tampered"),
    "last-segment": (_flip_last, "tampered"),
    "cut-at-a-segment": (_cut, "tampered"),
    "cut-within-one": (_cut_within, "tampered"),
    "extended": (_extend, "tampered"),
    "segments-exchanged": (_exchange_segments, "tampered"),
    # A changed header does not open, and cannot say whether that is for its name.
    "header": (_change_header, "wrong_name"),
    "context": (_change_context, "tampered"),
    "keys-dropped": (_drop_keys, "tampered"),
    "stripped": (_strip, "plain"),
    "another-object": (_take_place_of_another, "wrong_name"),
}


def test_verify_when_the_storage_is_hostile_finds_every_object_and_the_others_are_fine(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(3):
        place.put_sealed(f"good/{number}", SMALL)
    for name, (attack, _) in ATTACKS.items():
        place.put_sealed(f"bad/{name}", SMALL)
        attack(place, f"bad/{name}")
    lines = tmp_path / "lines"

    found = summary_of(place, capsys, "--output", str(lines), f"s3://{place.bucket}", code=1)

    told = {one["key"]: one["result"] for one in map(json.loads, lines.read_text().splitlines())}
    assert told == {
        **{f"good/{number}": "ok" for number in range(3)},
        **{f"bad/{name}": result for name, (_, result) in ATTACKS.items()},
    }
    assert found["fault_count"] == len(ATTACKS)
    assert {one["key"] for one in found["faults"]} == {f"bad/{name}" for name in ATTACKS}
    assert all(one["error"] and one["reason"] for one in found["faults"])


def test_verify_when_all_is_well_says_so_and_counts_bytes_and_kms_calls(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(4):
        place.put_sealed(f"a/{number}", SMALL)
    size = put_indexed(place, "a/parts", (PART, 10))
    place.kms.clear_calls()

    found = summary_of(place, capsys, place.url("a/"), code=0)

    assert (found["complete"], found["objects"], found["bytes"]) == (True, 5, 4 * len(SMALL) + size)
    assert found["kms_calls"] == len(place.kms.calls) > 0
    assert tuple(found["results"]) == RESULTS
    assert results(found) == {"ok": 5}


@pytest.mark.parametrize("extra", [(), ("--recursive",)])
@pytest.mark.slow
def test_verify_when_an_object_has_the_name_reads_that_one_unless_told_otherwise(
    place: Place, extra: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    place.put_sealed("a", SMALL)
    place.put_sealed("ab", SMALL)

    found = summary_of(place, capsys, *extra, place.url("a"), code=0)

    assert found["objects"] == (2 if extra else 1)


def test_verify_when_no_object_has_the_name_takes_it_for_a_prefix(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.put_sealed("abc", SMALL)

    assert summary_of(place, capsys, place.url("ab"), code=0)["objects"] == 1
    assert summary_of(place, capsys, place.url("absent"), code=1)["objects"] == 0


def test_verify_when_objects_are_plain_is_a_fault_unless_that_is_allowed(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    place.put_plain("plain", b"content")
    # What the environment allows readers is no proof.
    monkeypatch.setenv("S3ENVELOPE_UNENCRYPTED", "allow")

    refused = summary_of(place, capsys, place.url(""), code=1)
    allowed = summary_of(place, capsys, "--allow-unencrypted", place.url(""), code=0)

    assert results(refused) == results(allowed) == {"plain": 1}
    assert (refused["fault_count"], allowed["fault_count"]) == (1, 0)


@pytest.mark.slow
def test_verify_when_versions_are_asked_for_reads_old_ones_too(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    client = place.endpoint.client()
    client.put_bucket_versioning(Bucket=place.bucket, VersioningConfiguration={"Status": "Enabled"})
    client.close()
    place.put_sealed("a", SMALL)
    place.flip("a", 5)
    place.put_sealed("a", SMALL)

    current = summary_of(place, capsys, place.url("a"), code=0)
    everything = summary_of(place, capsys, "--versions", place.url("a"), code=1)

    assert results(current) == {"ok": 1}
    assert results(everything) == {"ok": 2, "tampered": 1}
    assert everything["faults"][0]["version_id"]


def test_verify_when_the_key_is_denied_tells_that_and_not_that_objects_are_bad(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.put_sealed("a", SMALL)
    place.kms.perform("DisableKey", KeyId=place.key_arn)

    found = summary_of(place, capsys, place.url(""), code=1)

    assert results(found) == {"key_unavailable": 1}
    assert found["faults"][0]["error"] == "KeyAccessError"


def test_verify_when_a_context_is_demanded_finds_objects_of_another(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.put_sealed("a", SMALL, context={"tenant": "acme"})
    place.put_sealed("b", SMALL, context={"tenant": "other"})

    found = summary_of(place, capsys, "--context", "tenant=acme", place.url(""), code=1)

    assert results(found) == {"ok": 1, "wrong_context": 1}


@pytest.mark.slow
def test_verify_when_an_amazon_format_is_named_reads_it(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    put_s3ec(place, "amazon", SMALL)

    unnamed = summary_of(place, capsys, place.url(""), code=1)
    named = summary_of(place, capsys, "--read-formats", "se1,s3ec-v3", place.url(""), code=0)

    assert results(unnamed) == {"failed": 1}
    assert (results(named), named["bytes"]) == ({"ok": 1}, len(SMALL))


@pytest.mark.slow
def test_verify_when_only_a_sample_is_asked_for_reads_so_many(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(6):
        place.put_sealed(f"a/{number}", b"x")

    assert summary_of(place, capsys, "--sample", "2", place.url("a/"), code=0)["objects"] == 2
    assert summary_of(place, capsys, "--sample", "20", place.url("a/"), code=0)["objects"] == 6


def test_sample_when_chosen_often_takes_every_object_as_often_as_the_others() -> None:
    locations = [Location("b", str(number)) for number in range(6)]
    choose = random.Random(7)

    counts = dict.fromkeys(locations, 0)
    for _ in range(3000):
        for where in sampled(locations, 2, choose):
            counts[where] += 1

    assert all(900 < count < 1100 for count in counts.values())


@pytest.mark.slow
def test_verify_when_read_by_a_person_names_what_is_wrong(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.put_sealed("good", SMALL)
    place.put_sealed("bad", SMALL)
    place.flip("bad", 5)

    code = run(["verify", *place.options, place.url("")])

    shown = capsys.readouterr().out
    assert code == 1
    assert f"tampered: {place.url('bad')}: SegmentAuthenticationError: " in shown
    assert "2 objects" in shown
    assert "1 ok, 1 tampered" in shown


def test_verify_when_it_is_to_stop_gives_up_in_the_middle_of_an_object(place: Place) -> None:
    place.put_sealed("a", SMALL)
    client = place.sealing_client()

    with pytest.raises(StoppedError):
        verify_object(client, Location(place.bucket, "a"), is_stopped=lambda: True)

    client.close()


def test_verify_when_interrupted_shows_what_was_done_so_far(place: Place, http_proxy: ProxyFactory) -> None:
    for number in range(2):
        place.put_sealed(f"a/{number}", SMALL)
    proxy, endpoint = http_proxy(place.endpoint)
    release, reached = threading.Event(), threading.Event()

    def wait(answer: Any) -> Any:
        reached.set()
        release.wait(60)
        return answer

    proxy.on_response(lambda request: request.method == "GET" and request.path.endswith("/a/1"), wait)
    options = ["--endpoint-url", endpoint.url, *place.options[2:], "--jobs", "1", "--json"]
    process = subprocess.Popen(
        [*COMMAND, "verify", *options, place.url("a/")],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    )

    assert reached.wait(60)
    process.send_signal(signal.SIGINT)
    release.set()
    out, err = process.communicate(timeout=60)

    summary, error = map(json.loads, out.decode().splitlines())
    assert process.returncode == 130
    assert summary["complete"] is False
    assert results(summary) in ({"ok": 1}, {})
    assert error == {"error": {"class": "Interrupted", "message": "interrupted"}}
    assert b"Traceback" not in err


@pytest.mark.slow
def test_verify_when_the_storage_is_real_finds_the_same(real_place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    real_place.put_sealed("good", SMALL)
    real_place.put_sealed("bad", SMALL)
    real_place.flip("bad", 70_000)

    found = summary_of(real_place, capsys, real_place.url(""), code=1)

    assert results(found) == {"ok": 1, "tampered": 1}
