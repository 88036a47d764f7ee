"""Envelopes of the Amazon formats that are broken, spoofed or weakened: refused before any key service, no byte."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from botocore.exceptions import ClientError

from s3envelope.errors import (
    ContextMismatchError,
    KeyCommitmentError,
    MalformedEnvelopeError,
    NotEncryptedError,
    S3ecDecryptionError,
    S3EnvelopeError,
    UnsupportedFormatError,
)
from s3envelope.formats.names import READ_FORMATS
from s3envelope.testing.s3_proxy import ErrorAnswer, matching
from tests.support.s3ec_objects import S3ecObject, v2_object, v3_object
from tests.support.s3ec_reading import BOTH, KEY, WITH_SE1, S3ecScene, refusals

CONTENT = b"content that nobody may see" * 10
Edit = Callable[[S3ecObject], S3ecObject]
BROKEN = (MalformedEnvelopeError, NotEncryptedError)


def _set(name: str, value: str | None) -> Edit:
    return lambda stored: stored.with_metadata(**{name: value})


V3_EDITS: dict[str, tuple[Edit, tuple[type[S3EnvelopeError], ...]]] = {
    **{
        f"{name} removed": (_set(name, None), BROKEN)
        for name in ("x-amz-c", "x-amz-3", "x-amz-w", "x-amz-d", "x-amz-i")
    },
    **{f"c={value!r}": (_set("x-amz-c", value), BROKEN) for value in ("114", "116", "112", "0x73")},
    **{f"w={value!r}": (_set("x-amz-w", value), BROKEN) for value in ("11", "2", "kms", "kms+context", "AES/GCM")},
    "d short": (_set("x-amz-d", "AAAA"), BROKEN),
    "d no base64": (_set("x-amz-d", "%%%"), BROKEN),
    "d other": (_set("x-amz-d", "A" * 37 + "Q=="[:3]), (*BROKEN, KeyCommitmentError)),
    "i short": (_set("x-amz-i", "AAAA"), BROKEN),
    "wrap kms and matdesc": (
        lambda stored: stored.with_metadata(x_amz_w="kms", x_amz_matdesc='{"kms_cmk_id": "a"}'),
        BROKEN,
    ),
    "V2 key too": (_set("x-amz-key-v2", "AAAA"), BROKEN),
    "V1 key too": (_set("x-amz-key", "AAAA"), BROKEN),
    "t no JSON": (_set("x-amz-t", "{"), BROKEN),
    "t array": (_set("x-amz-t", "[]"), BROKEN),
    "t nested": (_set("x-amz-t", '{"a": {}}'), BROKEN),
    "t twice": (_set("x-amz-t", '{"aws:x-amz-cek-alg": "115", "aws:x-amz-cek-alg": "115"}'), BROKEN),
    "t of another algorithm": (_set("x-amz-t", '{"aws:x-amz-cek-alg": "AES/GCM/NoPadding"}'), (ContextMismatchError,)),
    "t without entry": (_set("x-amz-t", "{}"), (ContextMismatchError,)),
    "t with an entry more": (_set("x-amz-t", '{"aws:x-amz-cek-alg": "115", "x": "y"}'), (ContextMismatchError,)),
}
V2_EDITS: dict[str, tuple[Edit, tuple[type[S3EnvelopeError], ...]]] = {
    **{
        f"{name} removed": (_set(name, None), (*BROKEN, ContextMismatchError))
        for name in ("x-amz-key-v2", "x-amz-iv", "x-amz-cek-alg", "x-amz-wrap-alg", "x-amz-tag-len", "x-amz-matdesc")
    },
    **{f"{name} too": (_set(name, "115"), BROKEN) for name in ("x-amz-c", "x-amz-d", "x-amz-i", "x-amz-w")},
    "c, d, i too": (lambda stored: stored.with_metadata(x_amz_c="115", x_amz_d="AAAA", x_amz_i="AAAA"), BROKEN),
    "V3 key too": (_set("x-amz-3", "AAAA"), BROKEN),
    "V1 key too": (_set("x-amz-key", "AAAA"), BROKEN),
    **{f"tag of {bits!r}": (_set("x-amz-tag-len", bits), BROKEN) for bits in ("96", "0", "0128", "-1")},
    "iv of 16": (_set("x-amz-iv", "AAAAAAAAAAAAAAAAAAAAAA=="), BROKEN),
    "iv with a space": (_set("x-amz-iv", "AAAAAAAA AAAAAAAA"), BROKEN),
    "wrap kms": (_set("x-amz-wrap-alg", "kms"), BROKEN),
    "wrap AESWrap": (_set("x-amz-wrap-alg", "AESWrap"), BROKEN),
    "wrap AES": (_set("x-amz-wrap-alg", "AES"), BROKEN),
    "CBC": (lambda stored: stored.with_metadata(x_amz_cek_alg="AES/CBC/PKCS5Padding", x_amz_tag_len=None), BROKEN),
    "matdesc of another algorithm": (_set("x-amz-matdesc", '{"aws:x-amz-cek-alg": "115"}'), (ContextMismatchError,)),
    "matdesc without entry": (_set("x-amz-matdesc", "{}"), (ContextMismatchError,)),
}


@pytest.mark.parametrize("unencrypted", ["refuse", "allow"])
@pytest.mark.parametrize("maker", ["v3", "v2"])
def test_envelope_when_edited_then_it_is_refused_before_any_key_service_whatever_is_allowed(
    s3ec: S3ecScene, maker: str, unencrypted: str
) -> None:
    make, edits = {"v3": (v3_object, V3_EDITS), "v2": (v2_object, V2_EDITS)}[maker]
    stored = make(CONTENT, s3ec.wrap)
    # INVARIANT: even a reader that names every weak format lets nobody weaken an object that is not.
    client = s3ec.client(*READ_FORMATS, unencrypted=unencrypted)
    for name, (edit, expected) in edits.items():
        s3ec.put(edit(stored))
        s3ec.forget()

        with pytest.raises(S3EnvelopeError) as error:
            s3ec.get(client)

        assert isinstance(error.value, expected), name
        assert KeyCommitmentError in expected or s3ec.kms_calls() == [], name


@pytest.mark.parametrize("maker", ["v3", "v2"])
@pytest.mark.parametrize("unencrypted", ["refuse", "allow"])
def test_envelope_when_half_of_it_is_left_then_no_reader_gets_a_byte(
    s3ec: S3ecScene, maker: str, unencrypted: str
) -> None:
    make, key_name = {"v3": (v3_object, "x_amz_3"), "v2": (v2_object, "x_amz_key_v2")}[maker]
    s3ec.put(make(CONTENT, s3ec.wrap).with_metadata(**{key_name: None}))

    for formats in (BOTH, WITH_SE1, ("se1",)):
        errors = refusals(s3ec, s3ec.client(*formats, unencrypted=unencrypted))

        assert {type(error) for error in errors.values()} <= {NotEncryptedError, UnsupportedFormatError}


def test_version_when_not_named_then_it_is_refused_before_any_key_service(s3ec: S3ecScene) -> None:
    for make, named, needed in ((v3_object, "s3ec-v2", "s3ec-v3"), (v2_object, "s3ec-v3", "s3ec-v2")):
        s3ec.put(make(CONTENT, s3ec.wrap))
        s3ec.forget()

        errors = refusals(s3ec, s3ec.client(named, "se1", unencrypted="allow"))

        assert {type(error) for error in errors.values()} == {UnsupportedFormatError}
        assert all(needed in str(error) for error in errors.values())
        assert s3ec.kms_calls() == []


def test_commitment_when_a_bit_of_it_is_flipped_then_the_key_is_refused(s3ec: S3ecScene) -> None:
    stored = v3_object(CONTENT, s3ec.wrap)
    for name in ("x-amz-d", "x-amz-i"):
        value = stored.metadata[name]
        s3ec.put(stored.with_metadata(**{name: ("B" if value[0] == "A" else "A") + value[1:]}))

        errors = refusals(s3ec, s3ec.client())

        assert {type(error) for error in errors.values()} == {KeyCommitmentError}


def test_names_when_in_another_case_then_they_are_the_same_names(s3ec: S3ecScene) -> None:
    stored = v3_object(CONTENT, s3ec.wrap)
    s3ec.put(S3ecObject(stored.body, {name.title(): value for name, value in stored.metadata.items()}))

    assert s3ec.get(s3ec.client()) == CONTENT


# ---- instruction files ----


def _entries(stored: S3ecObject, **changes: Any) -> bytes:
    entries = json.loads(stored.instruction or b"{}")
    named = {name.replace("_", "-"): value for name, value in changes.items()}
    return json.dumps({name: value for name, value in {**entries, **named}.items() if value is not None}).encode()


FILE_EDITS: dict[str, Callable[[S3ecObject], bytes]] = {
    "empty": lambda _: b"",
    "no JSON": lambda _: b"{",
    "array": lambda stored: b"[" + (stored.instruction or b"") + b"]",
    "no UTF-8": lambda _: b"\xff\xfe",
    "two objects": lambda stored: (stored.instruction or b"") * 2,
    "too large": lambda stored: (stored.instruction or b"") + b" " * 65_536,
    "names twice": lambda stored: (stored.instruction or b"")[:-1] + b',"a":"1","a":"2"}',
    "numbers": lambda stored: _entries(stored, x_amz_w=12, x_amz_wrap_alg=12),
    "nested": lambda stored: _entries(stored, x_amz_t={}, x_amz_matdesc={}),
    "nothing": lambda _: b"{}",
    "c, d, i": lambda stored: _entries(stored, x_amz_c="115", x_amz_d="AAAA", x_amz_i="AAAA"),
    "renamed": lambda stored: (stored.instruction or b"").replace(b"key-v2", b"key-v2-tampered").replace(b"-3", b"-3x"),
}


@pytest.mark.parametrize("unencrypted", ["refuse", "allow"])
@pytest.mark.parametrize("maker", ["v3", "v2"])
def test_instruction_file_when_edited_then_no_byte_comes_out(s3ec: S3ecScene, maker: str, unencrypted: str) -> None:
    stored = {"v3": v3_object, "v2": v2_object}[maker](CONTENT, s3ec.wrap).with_instruction_file()
    client = s3ec.client(*WITH_SE1, unencrypted=unencrypted)
    for name, edit in FILE_EDITS.items():
        s3ec.put(stored.with_instruction(edit(stored)))
        s3ec.forget()

        with pytest.raises(BROKEN) as error:
            s3ec.get(client)

        assert isinstance(error.value, BROKEN), name
        assert s3ec.kms_calls() == [], name


def test_instruction_file_when_too_large_then_it_is_not_read_to_its_end(s3ec: S3ecScene) -> None:
    stored = v3_object(CONTENT, s3ec.wrap).with_instruction_file()
    s3ec.put(stored.with_instruction(b"{" + b" " * (8 << 20)))

    errors = refusals(s3ec, s3ec.client())

    assert {type(error) for error in errors.values()} == {MalformedEnvelopeError}


@pytest.mark.parametrize("maker", ["v3", "v2"])
def test_instruction_file_when_deleted_then_the_object_is_not_encrypted_for_a_reader(
    s3ec: S3ecScene, maker: str
) -> None:
    stored = {"v3": v3_object, "v2": v2_object}[maker](CONTENT, s3ec.wrap).with_instruction_file()
    s3ec.put(stored)
    s3ec.plain.delete_object(Bucket=s3ec.bucket, Key=f"{KEY}.instruction")

    errors = refusals(s3ec, s3ec.client())

    assert {type(error) for error in errors.values()} == {NotEncryptedError}
    if maker == "v3":
        assert {type(error) for error in refusals(s3ec, s3ec.client(unencrypted="allow")).values()} == {
            NotEncryptedError
        }


@pytest.mark.parametrize("unencrypted", ["refuse", "allow"])
def test_instruction_file_when_it_may_not_be_read_then_s3_says_so_and_no_byte_comes_out(
    s3ec: S3ecScene, unencrypted: str
) -> None:
    s3ec.put(v2_object(CONTENT, s3ec.wrap).with_instruction_file())
    client = s3ec.client(*WITH_SE1, unencrypted=unencrypted)
    s3ec.proxy.inject(ErrorAnswer(403, "AccessDenied"), matching(contains=".instruction"), times=None)

    with pytest.raises(ClientError, match="instruction file") as error:
        s3ec.get(client)

    assert error.value.response["Error"]["Code"] == "AccessDenied"


def test_instruction_file_when_of_another_object_then_it_does_not_open(s3ec: S3ecScene) -> None:
    for make, expected in ((v3_object, KeyCommitmentError), (v2_object, S3ecDecryptionError)):
        one, other = (make(CONTENT, s3ec.wrap).with_instruction_file() for _ in range(2))
        s3ec.put(one.with_instruction(other.instruction or b""))

        errors = refusals(s3ec, s3ec.client())

        assert {type(error) for error in errors.values()} == {expected}


def test_instruction_file_when_of_another_version_then_it_is_refused(s3ec: S3ecScene) -> None:
    new, old = (make(CONTENT, s3ec.wrap).with_instruction_file() for make in (v3_object, v2_object))
    for stored in (new.with_instruction(old.instruction or b""), old.with_instruction(new.instruction or b"")):
        s3ec.put(stored)

        for error in refusals(s3ec, s3ec.client()).values():
            assert isinstance(error, BROKEN)


def test_instruction_file_when_beside_a_complete_or_plain_object_then_it_is_not_asked_for_or_refused(
    s3ec: S3ecScene,
) -> None:
    whole = v3_object(CONTENT, s3ec.wrap)
    s3ec.put(S3ecObject(whole.body, whole.metadata, b"nonsense"))
    assert s3ec.get(s3ec.client()) == CONTENT

    s3ec.put(S3ecObject(b"plain", {}, whole.with_instruction_file().instruction))
    for error in refusals(s3ec, s3ec.client(unencrypted="allow")).values():
        assert isinstance(error, (*BROKEN, S3ecDecryptionError))


def test_instruction_file_when_the_suffix_is_another_then_the_object_is_not_read(s3ec: S3ecScene) -> None:
    s3ec.put(v3_object(CONTENT, s3ec.wrap).with_instruction_file(), suffix="-mine")

    errors = refusals(s3ec, s3ec.client())

    assert {type(error) for error in errors.values()} == {NotEncryptedError}


def test_reserved_metadata_when_a_file_is_missing_then_even_a_size_alone_marks_the_object(s3ec: S3ecScene) -> None:
    s3ec.put(S3ecObject(b"plain or not", {"x-amz-unencrypted-content-length": "3"}))

    errors = refusals(s3ec, s3ec.client(unencrypted="allow"))

    assert {type(error) for error in errors.values()} == {NotEncryptedError}
