"""`s3envelope rebind`: objects that something else has moved open under their present names, and only genuine ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from s3envelope.cli.app import run
from s3envelope.errors import NameBindingError
from s3envelope.rotation.rebinding import rebind_object
from s3envelope.rotation.run import Location
from s3envelope.s3.config import EnvelopeConfig
from s3envelope.s3.install import client as enveloped_client
from tests.cli.commands import ALIAS, Place
from tests.cli.test_ls import PART, put_indexed
from tests.conftest import ProxyFactory

BODY = bytes(range(256)) * 600


def move(place: Place, old: str, new: str) -> None:
    """Rename an object as a tool does that knows no envelopes: the body stays in S3, the metadata goes with it."""
    client = place.endpoint.client()
    client.copy_object(Bucket=place.bucket, Key=new, CopySource={"Bucket": place.bucket, "Key": old})
    client.delete_object(Bucket=place.bucket, Key=old)
    client.close()


def read(place: Place, key: str) -> bytes:
    client = place.sealing_client()
    try:
        return client.get_object(Bucket=place.bucket, Key=key)["Body"].read()
    finally:
        client.close()


def rebind(place: Place, capsys: pytest.CaptureFixture[str], *arguments: str, code: int) -> dict[str, Any]:
    """Run `rebind --json` and return the counts that are not zero."""
    assert run(["rebind", *place.options, "--json", *arguments]) == code
    found: dict[str, int] = json.loads(capsys.readouterr().out.splitlines()[0])
    return {name: count for name, count in found.items() if count}


@pytest.mark.parametrize("size", [pytest.param(0, marks=pytest.mark.slow), 150_000])
def test_rebind_when_an_object_was_moved_makes_it_readable_and_leaves_its_body(
    place: Place, size: int, capsys: pytest.CaptureFixture[str]
) -> None:
    body = BODY[:size]
    place.put_sealed("old", body, {"colour": "blue"})
    move(place, "old", "new")
    stored, _ = place.stored("new")
    with pytest.raises(NameBindingError):
        read(place, "new")

    found = rebind(place, capsys, "--from", place.url("old"), place.url("new"), code=0)

    after, metadata = place.stored("new")
    assert found == {"done": 1}
    assert read(place, "new") == body
    assert (after, metadata["colour"]) == (stored, "blue")


@pytest.mark.slow
def test_rebind_when_run_again_keeps_what_is_done(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    place.put_sealed("old", BODY)
    move(place, "old", "new")
    arguments = ["--from", place.url("old"), place.url("new")]

    first = rebind(place, capsys, *arguments, code=0)
    stored = place.stored("new")
    second = rebind(place, capsys, *arguments, code=0)

    assert (first, second) == ({"done": 1}, {"kept": 1})
    assert place.stored("new") == stored


def test_rebind_when_a_prefix_was_moved_maps_each_object(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for key in ("a", "sub/b"):
        place.put_sealed(f"old/{key}", key.encode())
        move(place, f"old/{key}", f"new/deep/{key}")
    report = tmp_path / "report"

    found = rebind(place, capsys, "--report", str(report), "--from", place.url("old/"), place.url("new/deep/"), code=0)

    assert found == {"done": 2}
    assert [read(place, f"new/deep/{key}") for key in ("a", "sub/b")] == [b"a", b"sub/b"]
    assert {json.loads(line)["plan"] for line in report.read_text().splitlines()} == {"rebind"}


@pytest.mark.slow
def test_rebind_when_an_object_has_an_index_makes_it_readable(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    put_indexed(place, "old", (PART, 10))
    move(place, "old", "new")

    found = rebind(place, capsys, "--from", place.url("old"), place.url("new"), code=0)

    assert found == {"done": 1}
    assert read(place, "new") == b"x" * (PART + 10)


def test_rebind_when_two_objects_were_exchanged_refuses_both_and_changes_nothing(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    for key in ("a", "b", "c"):
        place.put_sealed(f"old/{key}", key.encode())
    move(place, "old/a", "new/b")
    move(place, "old/b", "new/a")
    move(place, "old/c", "new/c")
    before = [place.stored(f"new/{key}") for key in ("a", "b")]

    found = rebind(place, capsys, "--from", place.url("old/"), place.url("new/"), code=1)

    assert found == {"done": 1, "refused": 2}
    assert [place.stored(f"new/{key}") for key in ("a", "b")] == before
    assert read(place, "new/c") == b"c"
    with pytest.raises(NameBindingError):
        read(place, "new/a")


@pytest.mark.slow
def test_rebind_when_the_old_name_does_not_prove_refuses_and_changes_nothing(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.put_sealed("old", BODY)
    move(place, "old", "new")
    before = place.stored("new")

    found = rebind(place, capsys, "--from", place.url("another"), place.url("new"), code=1)

    assert found == {"refused": 1}
    assert place.stored("new") == before


def test_rebind_when_the_envelope_was_put_onto_another_body_changes_nothing(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    place.put_sealed("old", BODY)
    place.put_sealed("evil", BODY)
    place.put_plain("new", place.stored("evil")[0], place.stored("old")[1])
    before = place.stored("new")

    found = rebind(place, capsys, "--from", place.url("old"), place.url("new"), code=1)

    assert found == {"failed": 1}
    assert place.stored("new") == before


@pytest.mark.parametrize("setting", [pytest.param(None, marks=pytest.mark.slow), "false"])
def test_rebind_when_an_object_is_bound_to_no_name_refuses_it(
    place: Place, setting: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = EnvelopeConfig(kms_key_id=ALIAS, kms_client=place.kms.client(), bind_key_name=False)
    client = enveloped_client("s3", envelope=config, **place.endpoint.client_arguments())
    client.put_object(Bucket=place.bucket, Key="new", Body=BODY)
    client.close()
    before = place.stored("new")
    if setting is not None:
        monkeypatch.setenv("S3ENVELOPE_BIND_KEY_NAME", setting)

    found = rebind(place, capsys, "--from", place.url("old"), place.url("new"), code=1)

    assert found == {"refused": 1}
    assert place.stored("new") == before


def test_rebind_when_it_is_a_dry_run_proves_the_name_and_changes_nothing(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    for key in ("a", "b"):
        place.put_sealed(f"old/{key}", BODY)
    move(place, "old/a", "new/a")
    move(place, "old/b", "new/c")
    before = [place.stored(f"new/{key}") for key in ("a", "c")]

    found = rebind(place, capsys, "--dry-run", "--from", place.url("old/"), place.url("new/"), code=1)

    assert found == {"planned": 1, "refused": 1}
    assert [place.stored(f"new/{key}") for key in ("a", "c")] == before


def test_rebind_when_objects_are_plain_or_missing_or_the_key_is_denied_says_which(
    place: Place, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    place.put_plain("plain", b"content")
    place.put_sealed("old", BODY)
    move(place, "old", "new")
    report = tmp_path / "report"
    options = ["--report", str(report), "--from", place.url("old")]

    for key in ("plain", "absent"):
        rebind(place, capsys, *options, place.url(key), code=1)
    place.kms.perform("DisableKey", KeyId=place.key_arn)
    rebind(place, capsys, *options, place.url("new"), code=1)

    told = [json.loads(line) for line in report.read_text().splitlines()]
    assert [(one["result"], one["error"]) for one in told] == [
        ("refused", "NotEncryptedError"),
        ("failed", "404"),
        ("failed", "KeyAccessError"),
    ]


def test_rebind_when_the_object_is_overwritten_meanwhile_leaves_the_newer_one(
    real_place: Place, http_proxy: ProxyFactory
) -> None:
    real_place.put_sealed("old", BODY)
    move(real_place, "old", "new")
    proxy, endpoint = http_proxy(real_place.endpoint)

    def overwrite(forwarded: Any) -> Any:
        real_place.put_sealed("new", b"newer")
        return forwarded

    proxy.on_request(lambda request: request.method == "PUT" and request.path.endswith("/new"), overwrite, times=1)
    config = EnvelopeConfig(kms_key_id=ALIAS, kms_client=real_place.kms.client())
    client = enveloped_client("s3", envelope=config, **endpoint.client_arguments())

    outcome = rebind_object(client, Location(real_place.bucket, "new"), "old")

    client.close()
    # Looked at again, it is bound to its name: whoever wrote it meant it to be there.
    assert outcome.result == "kept"
    assert read(real_place, "new") == b"newer"


@pytest.mark.slow
def test_rebind_when_the_storage_is_real_does_the_same(real_place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    for key in ("a", "b"):
        real_place.put_sealed(f"old/{key}", BODY)
        move(real_place, f"old/{key}", f"new/{key}")

    found = rebind(real_place, capsys, "--from", real_place.url("old/"), real_place.url("new/"), code=0)

    assert found == {"done": 2}
    assert read(real_place, "new/b") == BODY


@pytest.mark.parametrize(("origin", "location"), [("s3://b/old/", "s3://b/new"), ("s3://b/old", "s3://b/new/")])
def test_rebind_when_a_prefix_meets_an_object_refuses_it_as_usage(
    origin: str, location: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["rebind", "--from", origin, location])

    assert code == 2
    assert "both are prefixes" in " ".join(capsys.readouterr().err.split())
