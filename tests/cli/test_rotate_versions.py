"""`s3envelope rotate --versions`: old versions cannot be changed, and are lost with their keys."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from s3envelope import MultiKeyring, RawAesKeyring
from s3envelope.cli.app import run
from s3envelope.rotation import batch_operations
from s3envelope.rotation.plan import Action, Goal
from tests.cli.commands import Place
from tests.cli.test_rotate import keyring, options, summary
from tests.cli.test_rotate_inventory import NAMES, as_csv, publish
from tests.cli.test_rotation_elsewhere import event, lambda_environment
from tests.support.enveloped import enveloped_client

__all__ = ["lambda_environment"]
A, B, C = "aaaaaaaa", "bbbbbbbb", "cccccccc"


@pytest.fixture
def versioned(place: Place) -> Place:
    """Return a place whose bucket keeps versions."""
    client = place.endpoint.client()
    client.put_bucket_versioning(Bucket=place.bucket, VersioningConfiguration={"Status": "Enabled"})
    client.close()
    return place


def put(place: Place, arn: str, key: str, *bodies: bytes) -> list[str]:
    """Store versions of an object under a key of KMS; return their ids."""
    client = enveloped_client(place.endpoint, keyring(place, arn))
    found = [client.put_object(Bucket=place.bucket, Key=key, Body=body)["VersionId"] for body in bodies]
    client.close()
    return found


def lines(report: Path) -> dict[tuple[str, str | None], dict[str, Any]]:
    found = [json.loads(line) for line in report.read_text().splitlines()]
    return {(line["key"], line["version_id"]): line for line in found}


def test_rotate_when_old_versions_need_the_old_key_names_each_and_leaves_them(
    versioned: Place, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    place, to, report = versioned, versioned.kms.create_key(), tmp_path / "report"
    first, second = put(place, place.key_arn, "p/a", b"first", b"second")
    (mine,) = put(place, to, "p/b", b"mine")
    put(place, to, "p/b", b"mine too")
    (deleted,) = put(place, place.key_arn, "p/gone", b"gone")
    client = place.endpoint.client()
    client.delete_object(Bucket=place.bucket, Key="p/gone")

    code = run(options(place, "--versions", "--report", str(report), "--json", to=to))

    assert code == 1
    # The version that the new envelope put behind it is an old one too.
    found = lines(report)
    assert {name: line["result"] for name, line in found.items()} == {
        ("p/a", None): "done",
        ("p/a", first): "old_version",
        ("p/a", second): "old_version",
        ("p/b", None): "kept",
        ("p/b", mine): "kept",
        ("p/gone", deleted): "old_version",
    }
    assert "is lost with the keys to replace" in found["p/a", first]["reason"]
    assert json.loads(capfd.readouterr().out) == summary(done=1, kept=2, old_version=3, keep=2, rewrap=1, refuse=3)
    old = enveloped_client(place.endpoint, keyring(place, place.key_arn))
    for version, body in ((first, b"first"), (second, b"second")):
        assert old.get_object(Bucket=place.bucket, Key="p/a", VersionId=version)["Body"].read() == body


def test_rotate_when_the_old_versions_are_deleted_has_nothing_left(
    versioned: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    place, to = versioned, versioned.kms.create_key()
    (old,) = put(place, place.key_arn, "p/a", b"content")

    assert run(options(place, "--versions", to=to)) == 1
    assert f"old_version: s3://{place.bucket}/p/a?versionId={old}: an old version" in capfd.readouterr().out
    # Without the option, nobody looks.
    assert run(options(place, to=to)) == 0
    place.endpoint.client().delete_object(Bucket=place.bucket, Key="p/a", VersionId=old)
    assert run(options(place, "--versions", to=to)) == 0


def test_rotate_when_dry_looks_at_old_versions_too(versioned: Place, capfd: pytest.CaptureFixture[str]) -> None:
    place = versioned
    put(place, place.key_arn, "p/a", b"first", b"second")

    assert run(options(place, "--versions", "--dry-run", "--json", to=place.kms.create_key())) == 1

    assert json.loads(capfd.readouterr().out) == summary(planned=1, old_version=1, rewrap=1, refuse=1)


def test_rotate_when_the_bucket_never_had_versions_finds_no_old_ones(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    client = enveloped_client(place.endpoint, keyring(place, place.key_arn))
    client.put_object(Bucket=place.bucket, Key="p/a", Body=b"content")

    assert run(options(place, "--versions", "--json", to=place.kms.create_key())) == 0

    assert json.loads(capfd.readouterr().out) == summary(done=1, rewrap=1)


def test_rotate_when_old_versions_are_of_others_keeps_the_plain_and_reports_what_cannot_be_told(
    versioned: Place, tmp_path: Path
) -> None:
    place, report = versioned, tmp_path / "report"
    place.put_plain("p/plain", b"never sealed")
    place.put_plain("p/amazon", b"sealed", {"x-amz-3": "x"})
    to = place.kms.create_key()
    put(place, to, "p/plain", b"now sealed")
    put(place, to, "p/amazon", b"now sealed")

    assert run(options(place, "--versions", "--report", str(report), to=to)) == 1

    found = sorted((line["key"], line["result"]) for line in lines(report).values() if line["version_id"])
    assert found == [("p/amazon", "old_version"), ("p/plain", "kept")]


def test_rotate_when_an_inventory_lists_versions_looks_at_them(versioned: Place, tmp_path: Path) -> None:
    place, to, report = versioned, versioned.kms.create_key(), tmp_path / "report"
    first, second = put(place, place.key_arn, "p/a", b"first", b"second")
    rows = [("p/a", second, True, False), ("p/a", first, False, False), ("p/a", "marker", False, True)]
    manifest = publish(place, "CSV", as_csv(place, rows))

    assert run(options(place, "--inventory", manifest, "--versions", "--report", str(report), to=to)) == 1

    assert {name: line["result"] for name, line in lines(report).items()} == {
        ("p/a", None): "done",
        ("p/a", first): "old_version",
        ("p/a", second): "old_version",
    }


def test_rotate_when_the_inventory_has_no_versions_says_so(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    schema = ", ".join(name for name in NAMES if name != "VersionId")
    manifest = publish(place, "CSV", as_csv(place, []), fileSchema=schema)

    assert run(options(place, "--inventory", manifest, "--versions", to=place.kms.create_key())) == 2

    assert "make one that includes all versions" in capfd.readouterr().err


def test_batch_handler_when_a_task_names_a_version_does_the_current_one_and_fails_for_an_old_one(
    versioned: Place, lambda_environment: str
) -> None:
    place = versioned
    first, second = put(place, place.key_arn, "p/a", b"first", b"second")
    sent = event(place, "2.0", "p/a", "p/a")
    for task, version in zip(sent["tasks"], (second, first), strict=True):
        task.update(s3VersionId=version, taskId=version)

    answer = batch_operations.handler(sent, None)

    found = {result["taskId"]: (result["resultCode"], result["resultString"]) for result in answer["results"]}
    assert found[second][0] == "Succeeded"
    assert found[first][0] == "PermanentFailure"
    assert found[first][1].startswith("old_version: an old version that is lost")


def test_rotate_when_an_object_is_of_an_amazon_client_refuses_it_unless_it_is_asked_for(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    place.put_plain("p/amazon", b"sealed", {"x-amz-key-v2": "x", "x-amz-iv": "x"})

    assert run(options(place, "--dry-run", to=place.kms.create_key())) == 1

    assert "an object of an Amazon S3 Encryption Client; it is written anew only with --reencrypt" in (
        capfd.readouterr().out
    )


@pytest.mark.parametrize(
    ("hints", "action"),
    [({A}, Action.REFUSE), ({A, C}, Action.REFUSE), ({B}, Action.KEEP), ({C}, Action.KEEP), (set(), Action.KEEP)],
)
def test_plan_when_the_version_is_old_refuses_what_a_key_to_replace_opens(hints: set[str], action: Action) -> None:
    goal = Goal(to_hints=frozenset({B}), from_hints=frozenset({A}))

    assert goal.plan_old_version(frozenset(hints)).action is action


@pytest.mark.parametrize(("hints", "action"), [({A}, Action.REFUSE), ({A, B}, Action.REFUSE), ({B}, Action.KEEP)])
def test_plan_when_no_key_is_named_refuses_old_versions_that_are_not_as_they_should_be(
    hints: set[str], action: Action
) -> None:
    assert Goal(to_hints=frozenset({B})).plan_old_version(frozenset(hints)).action is action


@pytest.mark.parametrize("name", ["x-amz-key", "x-amz-key-v2", "x-amz-3", "X-Amz-Key-V2", "x-amz-iv", "x-amz-d"])
@pytest.mark.parametrize("reencrypt", [False, True])
def test_plan_when_the_object_is_of_an_amazon_client_writes_it_anew_only_if_asked(name: str, reencrypt: bool) -> None:
    plan = Goal(to_hints=frozenset({B}), reencrypt=reencrypt).plan_foreign({name: "x"})

    assert plan is not None
    assert plan.action is (Action.REENCRYPT if reencrypt else Action.REFUSE)


@pytest.mark.parametrize("name", ["x-amz-meta-key", "x-amz-unencrypted-content-length", "key"])
def test_plan_when_no_name_of_an_envelope_is_there_takes_the_object_for_nobodys(name: str) -> None:
    assert Goal(to_hints=frozenset({B}), reencrypt=True).plan_foreign({name: "x"}) is None


def test_rotate_when_another_key_opens_an_old_version_says_that_it_may_not_be_lost(
    versioned: Place, tmp_path: Path
) -> None:
    place, report = versioned, tmp_path / "report"
    both = MultiKeyring(keyring(place, place.key_arn), RawAesKeyring(bytes(32), "escrow"))
    client = enveloped_client(place.endpoint, both)
    old = client.put_object(Bucket=place.bucket, Key="p/a", Body=b"content")["VersionId"]

    assert run(options(place, "--versions", "--report", str(report), to=place.kms.create_key())) == 1

    assert "unless another key that it names opens it" in lines(report)["p/a", old]["reason"]
