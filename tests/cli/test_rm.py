"""`s3envelope rm`."""

from __future__ import annotations

import io
import json

import pytest

from s3envelope.cli.app import run
from s3envelope.cli.filters import Filters
from s3envelope.testing.s3_proxy.edits import replace_body
from tests.cli.commands import Place, one_line
from tests.conftest import ProxyFactory

KEYS = ["logs/1.tmp", "logs/2.txt", "logs/old/3.tmp", "other"]


class Terminal(io.StringIO):
    """Standard input of somebody who answers."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def full(place: Place) -> Place:
    """Return a bucket with some objects; rm reads none of them."""
    for key in KEYS:
        place.put_plain(key, b"content")
    return place


def test_rm_when_an_object_is_named_deletes_it_and_nothing_else(
    full: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["rm", *full.s3_options, full.url("logs/1.tmp")])

    assert code == 0
    assert full.keys() == ["logs/2.txt", "logs/old/3.tmp", "other"]
    assert capsys.readouterr().out == f"delete: {full.url('logs/1.tmp')}\n"


def test_rm_when_recursive_deletes_what_has_the_prefix(full: Place, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["rm", *full.s3_options, "--recursive", "--json", full.url("logs/")])

    found = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert code == 0
    assert full.keys() == ["other"]
    assert [(one["key"], one["result"], one["error"]) for one in found] == [(key, "deleted", "") for key in KEYS[:3]]


@pytest.mark.parametrize(
    ("filters", "left"),
    [
        (["--include", "*.tmp"], ["logs/2.txt", "other"]),
        (["--exclude", "*.tmp"], ["logs/1.tmp", "logs/old/3.tmp", "other"]),
        (["--exclude", "*", "--include", "*.txt"], ["logs/1.tmp", "logs/old/3.tmp", "other"]),
        (["--include", "*.txt", "--exclude", "*"], KEYS),
        (["--include", "*", "--exclude", "old/*"], ["logs/old/3.tmp", "other"]),
    ],
)
def test_rm_when_keys_are_filtered_deletes_what_the_last_match_says(
    full: Place, filters: list[str], left: list[str]
) -> None:
    code = run(["rm", *full.s3_options, "--recursive", *filters, full.url("logs/")])

    assert code == 0
    assert full.keys() == left


def test_filters_when_the_first_one_includes_take_nothing_else() -> None:
    assert Filters(are_strict=True).admit("a")
    assert not Filters(((True, "*.tmp"),), are_strict=True).admit("a")
    assert Filters(((False, "*.tmp"),), are_strict=True).admit("a")
    assert Filters(((True, "*.tmp"),)).admit("a")


def test_rm_when_it_is_a_dry_run_deletes_nothing(full: Place, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["rm", *full.s3_options, "--recursive", "--dry-run", full.url("")])

    assert code == 0
    assert full.keys() == KEYS
    assert capsys.readouterr().out.count("(dry run) delete: ") == len(KEYS)


@pytest.mark.parametrize(
    ("answer", "options", "code", "left"),
    [("n\n", [], 130, KEYS), ("", [], 130, KEYS), ("y\n", [], 0, ["other"]), ("", ["--yes"], 0, ["other"])],
)
def test_rm_when_somebody_sits_at_a_terminal_asks_before_it_deletes_many(
    full: Place, monkeypatch: pytest.MonkeyPatch, answer: str, options: list[str], code: int, left: list[str]
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(answer))

    done = run(["rm", *full.s3_options, "--recursive", *options, "--json", full.url("logs/")])

    assert (done, full.keys()) == (code, left)


def test_rm_when_a_version_is_named_deletes_it_for_good(full: Place, capsys: pytest.CaptureFixture[str]) -> None:
    client = full.endpoint.client()
    client.put_bucket_versioning(Bucket=full.bucket, VersioningConfiguration={"Status": "Enabled"})
    first = client.put_object(Bucket=full.bucket, Key="v", Body=b"1")["VersionId"]
    second = client.put_object(Bucket=full.bucket, Key="v", Body=b"2")["VersionId"]

    code = run(["rm", *full.s3_options, "--version-id", first, full.url("v")])

    versions = client.list_object_versions(Bucket=full.bucket, Prefix="v")["Versions"]
    client.close()
    assert code == 0
    assert [one["VersionId"] for one in versions] == [second]
    assert f"?versionId={first}" in capsys.readouterr().out


def test_rm_when_s3_refuses_one_key_reports_it_and_deletes_the_others(
    full: Place, http_proxy: ProxyFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    proxy, endpoint = http_proxy(full.endpoint)
    refusal = (
        b'<?xml version="1.0"?><DeleteResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Error>'
        b"<Key>logs/2.txt</Key><Code>AccessDenied</Code><Message>Access Denied</Message></Error></DeleteResult>"
    )
    proxy.on_response(lambda request: request.method == "POST", replace_body(refusal))

    code = run(["rm", "--endpoint-url", endpoint.url, "--recursive", full.url("logs/")])

    captured = capsys.readouterr()
    assert code == 1
    assert "logs/2.txt: Access Denied (AccessDenied)" in one_line(captured.err)
    assert captured.out.count("delete: ") == 2


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["s3://bucket"], "names a bucket"),
        (["--include", "*", "s3://bucket/key"], "need --recursive"),
        (["--recursive", "--version-id", "x", "s3://bucket/"], "exclude each other"),
        (["file"], "no S3 location"),
    ],
)
def test_rm_when_used_wrongly_says_how_to_use_it(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(["rm", *arguments])

    assert code == 2
    assert complaint in " ".join(capsys.readouterr().err.split())


@pytest.mark.slow
def test_rm_when_the_storage_is_real_deletes_more_than_one_request_takes(
    real_place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("s3envelope.cli.rm._BATCH", 2)
    for number in range(5):
        real_place.put_plain(f"a/{number}", b"x")

    code = run(["rm", *real_place.s3_options, "--recursive", real_place.url("a/")])

    assert code == 0
    assert real_place.keys() == []
    assert capsys.readouterr().out.count("delete: ") == 5
