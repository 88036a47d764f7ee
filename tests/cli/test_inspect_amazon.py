"""`s3envelope inspect` of what the Amazon S3 Encryption Clients write."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from s3envelope.cli.app import run
from s3envelope.testing.s3_proxy import ErrorAnswer, matching
from tests.cli.commands import Place, one_line
from tests.cli.migrating import put
from tests.cli.test_inspect import NAMES
from tests.conftest import ProxyFactory
from tests.interop.recorded import JAVA_FILE, PYTHON_FILE, RUBY_FILE, Recording
from tests.support.s3ec_objects import (
    AesWrap,
    KmsWrap,
    RsaWrap,
    S3ecObject,
    cbc_object,
    v1_object,
    v2_object,
    v3_object,
)
from tests.support.s3ec_writing import rsa_key

KEY = "p/object"
PLAINTEXT = b"x" * 1000
CONTEXT = {"tenant": "acme"}
CBC, GCM = "ALG_AES_256_CBC_IV16_NO_KDF", "ALG_AES_256_GCM_IV12_TAG16_NO_KDF"
COMMITTED = "ALG_AES_256_GCM_HKDF_SHA512_COMMIT_KEY"


def _inspect(place: Place, capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, object]:
    assert run(["inspect", *place.s3_options, "--json", *arguments, place.url(KEY)]) == 0
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def _kms(place: Place, name: str = "kms+context") -> KmsWrap:
    return KmsWrap(place.kms.client(), place.key_arn, CONTEXT if name == "kms+context" else {}, name)


MADE: dict[str, tuple[Callable[[Place], S3ecObject], tuple[str, str, list[str]]]] = {
    "v3 kms": (lambda place: v3_object(PLAINTEXT, _kms(place)), ("kms+context", COMMITTED, ["s3ec-v3"])),
    "v3 aes": (lambda _: v3_object(PLAINTEXT, AesWrap(os.urandom(32))), ("AES/GCM", COMMITTED, ["s3ec-v3"])),
    "v2 kms": (lambda place: v2_object(PLAINTEXT, _kms(place)), ("kms+context", GCM, ["s3ec-v2"])),
    "v2 rsa": (lambda _: v2_object(PLAINTEXT, RsaWrap(rsa_key().public_key())), ("RSA-OAEP-SHA1", GCM, ["s3ec-v2"])),
    "v1 kms": (
        lambda place: cbc_object(PLAINTEXT, _kms(place, "kms")),
        ("kms", CBC, ["s3ec-v2", "s3ec-cbc", "s3ec-kms"]),
    ),
    "v1 aes": (
        lambda _: v1_object(PLAINTEXT, AesWrap(os.urandom(32), None)),
        ("AES", CBC, ["s3ec-v1", "s3ec-cbc", "s3ec-aes-ecb"]),
    ),
}


@pytest.mark.parametrize("in_file", [False, True], ids=["metadata", "instruction file"])
@pytest.mark.parametrize("name", MADE)
def test_inspect_when_an_amazon_client_wrote_the_object_names_format_algorithms_and_place(
    place: Place, capsys: pytest.CaptureFixture[str], name: str, *, in_file: bool
) -> None:
    make, (wrap, content, read_formats) = MADE[name]
    made = make(place)
    put(place, KEY, made.with_instruction_file() if in_file else made)
    place.kms.clear_calls()

    found = _inspect(place, capsys)

    assert set(NAMES) <= found.keys()
    assert found["format"] == read_formats[0]
    assert (found["wrapping_algorithm"], found["content_algorithm"]) == (wrap, content)
    assert found["read_formats"] == read_formats
    assert found["envelope_in"] == ("instruction file" if in_file else "metadata")
    assert found["instruction_file"] == (f"{KEY}.instruction" if in_file else None)
    assert found["ciphertext_size"] == len(made.body)
    assert place.kms.calls == ()


@pytest.mark.parametrize("recorded", [JAVA_FILE, PYTHON_FILE, RUBY_FILE], ids=["java", "python", "ruby"])
def test_inspect_when_the_object_was_recorded_from_a_client_names_what_is_stored(
    place: Place, capsys: pytest.CaptureFixture[str], recorded: Path
) -> None:
    objects = [made for made in Recording.parse(recorded.read_text()).objects if made.size == 100]
    for made in objects:
        place.put_plain(KEY, made.body, dict(made.metadata))
        if made.instruction_file is not None:
            place.put_plain(f"{KEY}.instruction", made.instruction_file)

        found = _inspect(place, capsys)

        assert found["format"] in (f"s3ec-{made.version}", "s3ec-v2"), made.key
        assert (found["envelope_in"] == "instruction file") == (made.instruction_file is not None), made.key
        assert found["plaintext_size"] in (100, None), made.key
        assert found["wrapping_algorithm"] == made.envelope.get("x-amz-wrap-alg", found["wrapping_algorithm"])
    assert objects


def test_inspect_when_an_amazon_client_wrote_the_object_shows_context_size_and_metadata_of_the_user(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    made = v3_object(PLAINTEXT, _kms(place))
    client = place.endpoint.client()
    made.put(client, place.bucket, KEY, Metadata={"colour": "blue"})
    client.close()

    found = _inspect(place, capsys, "--kms-key-id", place.key_arn)

    assert found["encryption_context"] == {**CONTEXT, "aws:x-amz-cek-alg": "115"}
    assert found["user_metadata"] == {"colour": "blue"}
    assert found["plaintext_size"] == len(PLAINTEXT)
    assert len(str(found["commitment"])) == 56
    assert (found["bound"], found["indexed"]) == (False, False)
    assert found["encrypted_data_keys"] == [{"hint": None, "size": 184, "matches_configured_key": None}]


def test_inspect_when_only_decryption_tells_the_size_says_so(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    put(place, KEY, cbc_object(PLAINTEXT, _kms(place, "kms"), tells_size=False))

    found = _inspect(place, capsys)
    run(["inspect", *place.s3_options, place.url(KEY)])

    assert (found["plaintext_size"], found["commitment"]) == (None, None)
    assert "only with a key" in capsys.readouterr().out


def test_inspect_when_the_instruction_file_has_another_suffix_finds_it_by_the_option(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    client = place.endpoint.client()
    v2_object(PLAINTEXT, _kms(place)).with_instruction_file().put(client, place.bucket, KEY, suffix=".other")
    client.close()

    without = run(["inspect", *place.s3_options, place.url(KEY)])
    told = one_line(capsys.readouterr().err)
    found = _inspect(place, capsys, "--instruction-suffix", ".other")
    empty = run(["inspect", "--instruction-suffix", "", place.url(KEY)])

    assert (without, empty) == (1, 2)
    assert f"'{KEY}.instruction'" in told
    assert "NotEncryptedError" in told
    assert found["instruction_file"] == f"{KEY}.other"


def test_inspect_when_read_by_a_person_shows_the_amazon_envelope(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    put(place, KEY, v3_object(PLAINTEXT, _kms(place)).with_instruction_file())

    code = run(["inspect", *place.s3_options, place.url(KEY)])

    shown = capsys.readouterr().out
    assert code == 0
    for text in ("s3ec-v3", "instruction file", f"{KEY}.instruction", "kms+context", COMMITTED, "184 bytes"):
        assert text in shown
    assert "1,000 bytes" in shown
    assert "Nothing of this has been verified" in shown


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"x_amz_3": None}, "NotEncryptedError"),
        ({"x_amz_key_v2": "AAAA"}, "MalformedEnvelopeError"),
        ({"x_amz_w": "99"}, "MalformedEnvelopeError"),
    ],
)
def test_inspect_when_an_amazon_envelope_is_broken_fails_in_one_line(
    place: Place, capsys: pytest.CaptureFixture[str], change: dict[str, str | None], error: str
) -> None:
    put(place, KEY, v3_object(PLAINTEXT, _kms(place)).with_metadata(**change))

    code = run(["inspect", *place.s3_options, place.url(KEY)])

    assert code == 1
    assert error in one_line(capsys.readouterr().err)


def test_inspect_when_an_amazon_object_is_cut_below_its_tag_fails_in_one_line(
    place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    put(place, KEY, v3_object(PLAINTEXT, _kms(place)).with_body(b"short"))

    code = run(["inspect", *place.s3_options, place.url(KEY)])

    assert code == 1
    assert "S3ecDecryptionError" in one_line(capsys.readouterr().err)


def test_inspect_when_the_instruction_file_may_not_be_read_says_which(
    place: Place, http_proxy: ProxyFactory, capsys: pytest.CaptureFixture[str]
) -> None:
    proxy, endpoint = http_proxy(place.endpoint)
    proxy.inject(ErrorAnswer(403, "AccessDenied"), matching(method="GET", contains=".instruction"))
    place.put_plain(KEY, b"content")

    code = run(["inspect", "--endpoint-url", endpoint.url, place.url(KEY)])

    told = one_line(capsys.readouterr().err)
    assert code == 1
    assert f"its instruction file '{KEY}.instruction' may not be read" in told
    assert "s3:ListBucket" in told
