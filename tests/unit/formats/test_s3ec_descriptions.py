"""Descriptions that are not ASCII, as storages give them back."""

from __future__ import annotations

import base64
import json

import pytest

from s3envelope.errors import MalformedEnvelopeError
from s3envelope.formats.s3ec.descriptions import parse_description, write_description

ENTRIES = {"n\u00e4me": "\u20ac 5", "key": "\U0001f511"}
TEXT = json.dumps(ENTRIES, ensure_ascii=False)
MOJIBAKE = TEXT.encode("utf-8").decode("latin-1")


def _b(text: str, charset: str = "UTF-8") -> str:
    return f"=?{charset}?B?{base64.b64encode(text.encode(charset)).decode()}?="


def _q(text: str) -> str:
    octets = (f"={octet:02X}" if octet > 126 or chr(octet) in '=?_ "' else chr(octet) for octet in text.encode())
    return f"=?UTF-8?Q?{''.join(octets)}?="


@pytest.mark.parametrize(
    "stored",
    [
        TEXT,
        MOJIBAKE,
        _b(TEXT),
        _b(MOJIBAKE),
        _q(TEXT),
        _q(MOJIBAKE),
        _b(TEXT).replace("?B?", "?b?").replace("UTF-8", "utf-8"),
        _b(TEXT[:9]) + " " + _b(TEXT[9:]),
        _b(MOJIBAKE, "iso-8859-1"),
        write_description(ENTRIES),
    ],
)
def test_description_when_a_storage_encoded_it_then_it_is_decoded(stored: str) -> None:
    assert parse_description(stored, "x") == ENTRIES


def test_description_when_an_encoder_cut_inside_a_character_then_it_is_decoded() -> None:
    raw = TEXT.encode()
    cut = raw.index("\u20ac".encode()) + 1
    words = [f"=?UTF-8?B?{base64.b64encode(piece).decode()}?=" for piece in (raw[:cut], raw[cut:])]

    assert parse_description(" ".join(words), "x") == ENTRIES


def test_description_when_latin_1_is_meant_then_it_stays() -> None:
    assert parse_description('{"a": "caf\u00e9"}', "x") == {"a": "caf\u00e9"}


def test_description_when_a_value_looks_like_an_encoded_word_then_it_stays() -> None:
    word = "=?UTF-8?B?YQ==?="

    assert parse_description(json.dumps({"a": word}), "x") == {"a": word}


def test_description_when_written_then_no_storage_has_a_reason_to_encode_it() -> None:
    written = write_description(ENTRIES)

    assert written.isascii()
    assert written.isprintable()
    assert parse_description(written, "x") == ENTRIES


@pytest.mark.parametrize(
    "stored",
    [
        "=?",
        "=?UTF-8?B?",
        "=?UTF-8?X?e30=?=",
        "=?UTF-16?B?e30=?=",
        "=?UTF-8?B?e30?=",
        "=?UTF-8?B?e3 0=?=",
        "=?UTF-8?B?e30=?=trailing",
        "=?UTF-8?B?e30=?==?UTF-8?B?e30=?=",
        "=?UTF-8?B?/w==?=",
        "=?UTF-8?Q?=7?=",
        "=?UTF-8?Q?=ZZ?=",
        "=?us-ascii?B?" + base64.b64encode("{}\u00e9".encode()).decode() + "?=",
        _b("{") + " " + _b("}", "iso-8859-1"),
        _b("not json"),
        _b("[]"),
    ],
)
def test_description_when_its_encoding_is_broken_then_it_is_refused(stored: str) -> None:
    with pytest.raises(MalformedEnvelopeError):
        parse_description(stored, "x")


def test_description_when_it_has_64_kib_of_an_almost_encoded_word_then_it_is_refused_at_once() -> None:
    for stored in ("=?UTF-8?Q?" + "=" * 65_000, "=?UTF-8?B?e30=?= " * 3_800, "=?" * 32_000):
        with pytest.raises(MalformedEnvelopeError):
            parse_description(stored, "x")


def test_description_when_it_has_64_kib_then_it_is_read_and_a_character_more_is_refused() -> None:
    full = json.dumps({"a": "b" * ((64 << 10) - 9)})
    assert len(full) == 64 << 10

    assert len(parse_description(full, "x")["a"]) == len(full) - 9
    with pytest.raises(MalformedEnvelopeError):
        parse_description(full + " ", "x")


def test_description_when_it_is_parsed_then_it_cannot_be_changed() -> None:
    parsed = parse_description('{"a": "b"}', "x")

    with pytest.raises(TypeError):
        parsed["a"] = "c"  # type: ignore[index]
