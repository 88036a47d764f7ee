"""The encryption context: what is refused, and its one spelling."""

from __future__ import annotations

import json

import pytest

from s3envelope.core.context import MAX_CONTEXT_SIZE, EncryptionContext
from s3envelope.errors import ConfigurationError, MalformedEnvelopeError

REFUSED = {
    "name-not-str": {1: "a"},
    "value-not-str": {"a": 1},
    "value-none": {"a": None},
    "value-bytes": {"a": b"a"},
    "name-non-ascii": {"caf\u00e9": "a"},
    "value-non-ascii": {"a": "caf\u00e9"},
    "value-newline": {"a": "b\n"},
    "name-tab": {"\ta": "b"},
    "value-delete": {"a": "\x7f"},
    "value-surrogate": {"a": "\ud800"},
    "name-reserved": {"s3envelope": "SE1"},
    "name-reserved-prefix": {"s3envelope-x": "a"},
    "list": [("a", "b")],
    "text": "a=b",
}


@pytest.mark.parametrize("entries", [pytest.param(value, id=name) for name, value in REFUSED.items()])
def test_context_when_an_entry_is_not_legal_then_it_is_refused(entries: object) -> None:
    with pytest.raises(ConfigurationError):
        EncryptionContext(entries)  # type: ignore[arg-type]


def test_context_when_refused_then_the_message_holds_no_value() -> None:
    with pytest.raises(ConfigurationError) as caught:
        EncryptionContext({"tenant": "secret-caf\u00e9"})

    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("entries", [None, {}])
def test_context_when_empty_then_it_has_no_canonical_form(entries: dict[str, str] | None) -> None:
    context = EncryptionContext(entries)

    assert context.canonical == b""
    assert len(context) == 0
    assert context.canonical_for_key_service() == b'{"s3envelope":"SE1"}'


def test_canonical_form_when_names_are_given_in_any_order_then_it_is_sorted_by_bytes() -> None:
    context = EncryptionContext({"b": "1", "a": "2", "B": "3", "": "4", "aa": "5"})

    assert context.canonical == b'{"":"4","B":"3","a":"2","aa":"5","b":"1"}'


def test_canonical_form_when_there_are_quotes_and_backslashes_then_only_they_are_escaped() -> None:
    printable = "".join(map(chr, range(0x20, 0x7F)))
    context = EncryptionContext({"all": printable})

    expected = printable.replace("\\", "\\\\").replace('"', '\\"')

    assert context.canonical == f'{{"all":"{expected}"}}'.encode()


def test_context_when_its_json_has_the_largest_size_then_one_byte_more_is_refused() -> None:
    largest = "x" * (MAX_CONTEXT_SIZE - len('{"a":""}'))

    assert len(EncryptionContext({"a": largest}).canonical) == MAX_CONTEXT_SIZE
    with pytest.raises(ConfigurationError):
        EncryptionContext({"a": largest + "x"})


def test_context_when_escapes_make_it_too_long_then_it_is_refused() -> None:
    with pytest.raises(ConfigurationError):
        EncryptionContext({"a": '"' * 800})


def test_context_for_key_service_when_asked_then_the_protocol_is_named_and_the_context_unchanged() -> None:
    context = EncryptionContext({"tenant": "acme"})

    assert context.for_key_service() == {"tenant": "acme", "s3envelope": "SE1"}
    assert dict(context) == {"tenant": "acme"}


def test_context_when_source_mapping_changes_then_it_stays() -> None:
    entries = {"a": "b"}
    context = EncryptionContext(entries)

    entries["a"] = "c"

    assert context["a"] == "b"
    assert context.canonical == b'{"a":"b"}'


def test_context_when_compared_then_equal_entries_are_equal_and_hash_alike() -> None:
    context, same = EncryptionContext({"a": "b", "c": "d"}), EncryptionContext({"c": "d", "a": "b"})

    assert context == same
    assert hash(context) == hash(same)
    assert context == {"a": "b", "c": "d"}
    assert context != EncryptionContext({"a": "b"})
    assert EncryptionContext(context) == context


def test_repr_when_printed_then_it_shows_names_and_no_values() -> None:
    assert repr(EncryptionContext({"tenant": "acme"})) == "<EncryptionContext with the names ['tenant']>"


@pytest.mark.parametrize(
    "stored",
    [
        b"",
        b"{}",
        b'{"a": "b"}',
        b'{"a":"b"} ',
        b'{"b":"1","a":"2"}',
        b'{"a":"b","a":"b"}',
        b'{"a":"\\u0062"}',
        b'{"a":1}',
        b'{"a":null}',
        b'{"a":["b"]}',
        b'["a"]',
        b"NaN",
        b'{"a":NaN}',
        b'{"s3envelope":"SE1"}',
        b'{"a":"\xc3\xa9"}',
        b'\xef\xbb\xbf{"a":"b"}',
        b"[" * MAX_CONTEXT_SIZE,
        b'{"a":' * 250,
        b"1" * MAX_CONTEXT_SIZE,
        b'{"a":"' + b"b" * MAX_CONTEXT_SIZE + b'"}',
    ],
)
def test_stored_context_when_not_the_canonical_spelling_then_it_is_refused(stored: bytes) -> None:
    with pytest.raises(MalformedEnvelopeError):
        EncryptionContext.parse(stored)


def test_stored_context_when_canonical_then_it_comes_back() -> None:
    context = EncryptionContext({"a": 'x "y" \\z', "b": "  "})

    assert EncryptionContext.parse(context.canonical) == context
    assert json.loads(context.canonical) == dict(context)
