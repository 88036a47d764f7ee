"""`s3envelope migrate`: what Amazon's clients wrote, and what nobody encrypted, becomes SE1, whatever happens."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from s3envelope.cli.app import run
from tests.cli.commands import Place
from tests.cli.migrating import CONTEXT, contents, is_se1, options, put, put_mixed, snapshot, summary
from tests.interop.recorded import RUBY_FILE, Recording
from tests.support.enveloped import MIB, SEGMENT_SIZE, plaintext_of
from tests.support.s3ec_objects import KmsWrap, v2_object, v3_object

SIZES = (0, 1, SEGMENT_SIZE - 1, SEGMENT_SIZE, SEGMENT_SIZE + 1, 9 * MIB)


@pytest.fixture(params=["place", "real_place"])
def any_place(request: pytest.FixtureRequest) -> Place:
    """Return a bucket on each of two servers in turn."""
    found: Place = request.getfixturevalue(request.param)
    return found


def wrap(place: Place, context: dict[str, str] | None = None) -> KmsWrap:
    return KmsWrap(place.kms.client(), place.key_arn, context or {})


def test_migrate_when_run_makes_everything_of_the_amazon_clients_se1(
    any_place: Place, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    stored = put_mixed(any_place, SIZES)
    report = tmp_path / "report"

    code = run(options(any_place, "--report", str(report), "--json"))

    files = list(filter(lambda key: key.endswith(".instruction"), any_place.keys()))
    assert code == 0
    assert summary(capfd) == {"done": len(stored), "kept": len(files)}
    assert contents(any_place, stored) == stored
    assert all(is_se1(any_place, key) for key in stored)
    lines = [json.loads(line) for line in report.read_text().splitlines()]
    assert {line["key"]: line["result"] for line in lines} == {
        **dict.fromkeys(stored, "done"),
        **dict.fromkeys(files, "kept"),
    }
    assert set(any_place.keys()) == {*stored, *files}


def test_migrate_when_run_again_changes_nothing(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    stored = put_mixed(place, (5,))
    run(options(place))
    before = snapshot(place)
    place.kms.clear_calls()
    capfd.readouterr()

    assert run(options(place, "--json")) == 0

    assert summary(capfd) == {"kept": len(place.keys())}
    assert snapshot(place) == before
    assert place.kms.count("Decrypt") == 0
    assert contents(place, stored) == stored


def test_migrate_when_dry_changes_nothing_and_says_what_it_would_do(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    stored = put_mixed(place, (5,))
    place.put_plain("p/plain", b"plain")
    before = snapshot(place)
    place.kms.clear_calls()

    assert run(options(place, "--dry-run", "--plaintext", "--delete-instruction-files")) == 1

    out = " ".join(capfd.readouterr().out.split())
    assert f"{len(stored) + 1} planned" in out
    assert "s3ec-v2; would be sealed as SE1" in out
    assert "not encrypted; would be sealed as SE1" in out
    assert snapshot(place) == before
    assert not place.kms.calls


def test_migrate_when_objects_have_headers_metadata_and_tags_keeps_them(any_place: Place) -> None:
    told: dict[str, Any] = {
        "CacheControl": "max-age=5",
        "ContentDisposition": "inline",
        "ContentEncoding": "gzip",
        "ContentLanguage": "de",
        "ContentType": "text/plain",
        "Metadata": {"colour": "blue"},
    }
    client = any_place.endpoint.client()
    v3_object(b"sealed", wrap(any_place)).put(client, any_place.bucket, "p/sealed", Tagging="a=b&c=d", **told)
    told["Metadata"] = {"colour": "blue"}
    client.put_object(Bucket=any_place.bucket, Key="p/plain", Body=b"plain", Tagging="a=b&c=d", **told)

    assert run(options(any_place, "--plaintext")) == 0

    ours = any_place.sealing_client()
    for key in ("p/sealed", "p/plain"):
        head = ours.head_object(Bucket=any_place.bucket, Key=key)
        assert {name: head.get(name) for name in told} == told
        tags = client.get_object_tagging(Bucket=any_place.bucket, Key=key)["TagSet"]
        assert sorted((tag["Key"], tag["Value"]) for tag in tags) == [("a", "b"), ("c", "d")]
        assert not any(name.startswith("x-amz-") for name in any_place.stored(key)[1])
    assert contents(any_place, ["p/sealed", "p/plain"]) == {"p/sealed": b"sealed", "p/plain": b"plain"}
    for each in (client, ours):
        each.close()


def test_migrate_when_plaintext_is_asked_for_seals_every_size(real_place: Place) -> None:
    stored = {f"p/plain-{size}": plaintext_of(size) for size in SIZES}
    for key, content in stored.items():
        real_place.put_plain(key, content)

    assert run(options(real_place, "--plaintext")) == 0

    assert all(is_se1(real_place, key) for key in stored)
    assert contents(real_place, stored) == stored
    assert set(real_place.keys()) == set(stored)


def test_migrate_when_plaintext_is_not_asked_for_refuses_it(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    place.put_plain("p/plain", b"plain")

    assert run(options(place)) == 1

    assert "refused: s3://" in (out := capfd.readouterr().out)
    assert "--plaintext" in out
    assert place.stored("p/plain") == (b"plain", {})


def test_migrate_when_half_an_envelope_is_left_never_takes_the_object_for_plaintext(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    halves = ({"x-amz-iv": "AAAA"}, {"x-amz-c": "115", "x-amz-i": "AAAA"}, {"x-amz-w": "12"}, {"X-Amz-Key-V2": "AAAA"})
    for number, half in enumerate(halves):
        place.put_plain(f"p/half-{number}", b"ciphertext", half)
    before = snapshot(place)

    assert run(options(place, "--plaintext", "--json")) == 1

    counts = summary(capfd)
    assert counts.get("refused", 0) + counts.get("failed", 0) == len(halves)
    assert snapshot(place) == before


def test_migrate_when_the_whole_envelope_is_in_a_broken_file_never_takes_the_object_for_plaintext(place: Place) -> None:
    made = v2_object(b"content", wrap(place)).with_instruction_file()
    put(
        place,
        "p/object",
        made.with_instruction(made.instruction.replace(b"AES/GCM", b"AES/XXX") if made.instruction else b""),
    )
    before = snapshot(place)

    assert run(options(place, "--plaintext")) == 1

    assert snapshot(place) == before


def test_migrate_when_an_object_is_tampered_with_reports_it_leaves_it_and_does_the_rest(
    any_place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    stored = put_mixed(any_place, (70_000,))
    bad = {
        "p/flipped": v3_object(b"x" * 70_000, wrap(any_place)).flipped(5),
        "p/cut": v2_object(b"x" * 70_000, wrap(any_place)),
        "p/other-context": v3_object(b"x", wrap(any_place, {"tenant": "other"})),
    }
    bad["p/cut"] = bad["p/cut"].with_body(bad["p/cut"].body[:-1])
    for key, made in bad.items():
        put(any_place, key, made)
    before = snapshot(any_place, bad)

    assert run(options(any_place)) == 1

    out = capfd.readouterr().out
    assert f"{len(stored)} done" in out
    assert "3 failed" in out
    assert "was not expected" not in out
    assert snapshot(any_place, bad) == before
    assert contents(any_place, stored) == stored


def test_migrate_when_a_context_is_named_demands_it_and_keeps_it(place: Place) -> None:
    put(place, "p/object", v3_object(b"content", wrap(place, CONTEXT)))

    assert run(options(place)) == 1
    assert not is_se1(place, "p/object")
    assert run(options(place, "--context", "tenant=acme")) == 0

    client = place.sealing_client(CONTEXT)
    assert client.get_object(Bucket=place.bucket, Key="p/object")["Body"].read() == b"content"
    client.close()


def test_migrate_when_only_other_formats_are_read_refuses_the_object(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    put(place, "p/object", v2_object(b"content", wrap(place)))
    before = snapshot(place)
    place.kms.clear_calls()

    assert run(options(place, "--read-formats", "s3ec-v3")) == 1

    assert "s3ec-v2" in capfd.readouterr().out
    assert snapshot(place) == before
    assert not place.kms.calls


@pytest.mark.parametrize(
    ("key", "wanted"),
    [
        ("v1-aes-metadata-100", ["--read-formats", "s3ec-v1,s3ec-cbc,s3ec-aes-ecb", "--aes-key-file", "AES"]),
        (
            "v1-rsa-instruction_file-100",
            ["--read-formats", "s3ec-v1,s3ec-cbc,s3ec-rsa-pkcs1", "--rsa-private-key", "RSA"],
        ),
        ("v2-aes-instruction_file-100", ["--aes-key-file", "AES"]),
        ("v2-rsa-metadata-100", ["--rsa-private-key", "RSA"]),
    ],
)
def test_migrate_when_a_raw_key_is_named_opens_what_the_ruby_client_wrote(
    place: Place, tmp_path: Path, key: str, wanted: list[str]
) -> None:
    recording = Recording.parse(RUBY_FILE.read_text())
    (made,) = (one for one in recording.objects if one.key == key)
    place.put_plain("p/object", made.body, dict(made.metadata))
    if made.instruction_file is not None:
        place.put_plain("p/object.instruction", made.instruction_file)
    files = {"AES": recording.aes_keys["aes"], "RSA": recording.rsa_private_key.encode()}
    for name, content in files.items():
        (tmp_path / name).touch(0o600)
        (tmp_path / name).write_bytes(content)

    assert run(options(place, *(str(tmp_path / word) if word in files else word for word in wanted))) == 0

    assert contents(place, ["p/object"]) == {"p/object": made.content}
    assert place.stored("p/object")[1]["colour"] == "blue"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--read-formats", "s3ec-v9"], "is none of"),
        (["--read-formats", "se1"], "is none of"),
        (["--aes-key-file", "OPEN", "--rsa-private-key", "OPEN"], "exclude each other"),
        (["--aes-key-file", "OPEN"], "others must not read it"),
        (["--aes-key-file", "SHORT"], "use 16, 24 or 32"),
        (["--rsa-private-key", "SHORT"], "key"),
        (["--s3ec-kms-key", "not a key"], "not a key"),
    ],
)
def test_migrate_when_told_the_wrong_things_says_so_before_any_request(
    place: Place, tmp_path: Path, capfd: pytest.CaptureFixture[str], *, arguments: list[str], message: str
) -> None:
    for name, mode in (("OPEN", 0o644), ("SHORT", 0o600)):
        (tmp_path / name).write_bytes(b"0" * 15)
        (tmp_path / name).chmod(mode)
    put(place, "p/object", v3_object(b"content", wrap(place)))
    before = snapshot(place)

    code = run(options(place, *(str(tmp_path / word) if word.isupper() else word for word in arguments)))

    assert code == 2
    assert message in capfd.readouterr().err
    assert snapshot(place) == before


def test_migrate_when_files_are_to_be_deleted_deletes_those_of_what_reads_back(
    any_place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    stored = put_mixed(any_place, (5,))
    any_place.put_plain("p/lonely.instruction", b'{"x-amz-key-v2": "AAAA"}')

    assert run(options(any_place, "--delete-instruction-files", "--json")) == 0

    assert summary(capfd)["done"] == len(stored)
    assert set(any_place.keys()) == {*stored, "p/lonely.instruction"}
    assert contents(any_place, stored) == stored


def test_migrate_when_files_were_left_by_an_earlier_run_deletes_them(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    stored = put_mixed(place, (5,))
    run(options(place))
    place.put_plain("p/own.instruction", b"somebody's own file")
    capfd.readouterr()

    assert run(options(place, "--delete-instruction-files", "--json", "--plaintext")) == 0

    assert summary(capfd) == {"done": 1, "kept": len(stored), "removed": 2}
    assert set(place.keys()) == {*stored, "p/own.instruction"}
    assert contents(place, ["p/own.instruction"]) == {"p/own.instruction": b"somebody's own file"}


def test_migrate_when_the_object_does_not_read_back_keeps_its_file(place: Place) -> None:
    put(place, "p/object", v3_object(b"content", wrap(place)).with_instruction_file())
    run(options(place))
    place.flip("p/object", 3)

    assert run(options(place, "--delete-instruction-files")) == 1

    assert set(place.keys()) == {"p/object", "p/object.instruction"}


def test_migrate_when_the_old_object_fails_keeps_its_file(place: Place) -> None:
    put(place, "p/object", v3_object(b"content", wrap(place)).with_instruction_file().flipped(0))
    before = snapshot(place)

    assert run(options(place, "--delete-instruction-files")) == 1

    assert snapshot(place) == before


def test_migrate_when_another_suffix_is_used_finds_the_files(place: Place) -> None:
    client = place.endpoint.client()
    v2_object(b"content", wrap(place)).with_instruction_file().put(client, place.bucket, "p/object", suffix=".envelope")
    client.close()

    assert run(options(place, "--instruction-suffix", ".envelope", "--delete-instruction-files")) == 0

    assert contents(place, ["p/object"]) == {"p/object": b"content"}
    assert place.keys() == ["p/object"]


def test_migrate_when_the_bucket_does_not_exist_fails(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    arguments = options(place)
    arguments[1] = "s3://no-such-bucket/"

    assert run(arguments) == 1

    assert "does not exist" in capfd.readouterr().err


def test_migrate_when_the_new_key_is_refused_leaves_everything_as_it_was(place: Place) -> None:
    put_mixed(place, (5,))
    before = snapshot(place)
    other = place.kms.create_key(alias="alias/refused")
    place.kms.client().disable_key(KeyId=other)
    arguments = ["alias/refused" if word == "alias/cli" else word for word in options(place)]

    assert run([*arguments, "--s3ec-kms-key", place.key_arn]) == 1

    assert snapshot(place) == before


def test_plain_client_when_it_reads_a_migrated_object_gets_ciphertext(place: Place) -> None:
    place.put_plain("p/plain", plaintext_of(MIB))

    run(options(place, "--plaintext"))

    assert plaintext_of(64) not in place.stored("p/plain")[0]


def test_rotate_when_told_to_reencrypt_makes_objects_of_the_amazon_clients_se1_too(real_place: Place) -> None:
    put(real_place, "p/v2", v2_object(b"two", wrap(real_place)))
    put(real_place, "p/v3", v3_object(b"three", wrap(real_place)))
    arguments = ["rotate", f"s3://{real_place.bucket}/p/", *real_place.options[:-2], "--bind"]
    arguments += ["--from-key", real_place.key_arn, "--to-key", real_place.key_arn]

    assert run(arguments) == 1
    assert run([*arguments, "--reencrypt"]) == 0

    assert is_se1(real_place, "p/v2")
    assert contents(real_place, ["p/v2", "p/v3"]) == {"p/v2": b"two", "p/v3": b"three"}
