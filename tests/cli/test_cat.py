"""`s3envelope cat`: verified bytes, and nothing else, on stdout."""

from __future__ import annotations

import pytest

from s3envelope.cli.app import run
from tests.cli.commands import Place, one_line
from tests.cli.test_ls import put_s3ec

SEALED_SEGMENT = 65_536 + 28


def test_cat_when_objects_are_several_writes_them_one_after_the_other(
    place: Place, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    place.put_sealed("a", b"first ")
    place.put_sealed("b", b"second")

    code = run(["cat", *place.options, place.url("a"), place.url("b"), place.url("a")])

    assert code == 0
    assert capfdbinary.readouterr().out == b"first secondfirst "


@pytest.mark.parametrize(("wanted", "expected"), [("3-5", b"345"), ("7-", b"789"), ("-2", b"89")])
def test_cat_when_a_range_is_given_writes_those_bytes(
    place: Place, wanted: str, expected: bytes, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    place.put_sealed("a", b"0123456789")

    code = run(["cat", *place.options, "--range", wanted, place.url("a")])

    assert code == 0
    assert capfdbinary.readouterr().out == expected


@pytest.mark.parametrize("wanted", ["5-3", "a-b", "1", "", "1-2,4-5", "-"])
def test_cat_when_the_range_is_none_refuses_it_as_usage(wanted: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(["cat", "--range", wanted, "s3://bucket/key"])

    assert code == 2
    assert "is no range" in capsys.readouterr().err


def test_cat_when_an_object_is_tampered_with_writes_what_is_before_and_fails(
    place: Place, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    body = bytes(range(256)) * 512
    place.put_sealed("good", b"good")
    place.put_sealed("bad", body)
    place.flip("bad", SEALED_SEGMENT + 100)

    code = run(["cat", *place.options, place.url("good"), place.url("bad"), place.url("good")])

    captured = capfdbinary.readouterr()
    assert code == 1
    assert "SegmentAuthenticationError" in one_line(captured.err)
    # INVARIANT: no byte of the segment that does not open, and nothing of what would come after it.
    assert captured.out == b"good" + body[:65_536]


def test_cat_when_an_object_is_missing_or_plain_fails_in_one_line(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    place.put_plain("plain", b"secret?")

    codes = [run(["cat", *place.options, place.url(key)]) for key in ("absent", "plain")]

    captured = capfd.readouterr()
    assert codes == [1, 1]
    assert captured.out == ""
    assert "does not exist" in captured.err
    assert "NotEncryptedError" in captured.err


@pytest.mark.slow
def test_cat_when_a_version_is_named_writes_that_one(place: Place, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    client = place.endpoint.client()
    client.put_bucket_versioning(Bucket=place.bucket, VersioningConfiguration={"Status": "Enabled"})
    place.put_sealed("a", b"old")
    first = client.head_object(Bucket=place.bucket, Key="a")["VersionId"]
    place.put_sealed("a", b"new")
    client.close()

    code = run(["cat", *place.options, "--version-id", first, place.url("a")])

    assert code == 0
    assert capfdbinary.readouterr().out == b"old"
    assert run(["cat", "--version-id", first, place.url("a"), place.url("a")]) == 2


@pytest.mark.slow
def test_cat_when_an_amazon_format_is_named_reads_it(place: Place, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    put_s3ec(place, "a", b"for a reader in Java")

    refused = run(["cat", *place.options, place.url("a")])
    code = run(["cat", *place.options, "--read-formats", "se1,s3ec-v3", place.url("a")])

    assert (refused, code) == (1, 0)
    assert capfdbinary.readouterr().out == b"for a reader in Java"


def test_cat_when_the_context_is_another_writes_nothing(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    place.put_sealed("a", b"content", context={"tenant": "acme"})

    code = run(["cat", *place.options, "--context", "tenant=other", place.url("a")])

    captured = capfd.readouterr()
    assert (code, captured.out) == (1, "")
    assert "ContextMismatchError" in captured.err
