"""The state of an unfinished indexed upload: one spelling, one tag."""

from __future__ import annotations

import json
from typing import Any

import pytest

from s3envelope.core.index import IndexRow
from s3envelope.core.upload_state import RecordedPart, UploadEnd, UploadState, seal_state, verify_state
from s3envelope.errors import DecryptionError, MalformedEnvelopeError
from tests.support.objects import StoredObject, new_body_key, stored_indexed

NONCE = bytes(range(12))
# FORMAT.md, "Upload state": strings are ASCII, everything else is \uXXXX in UTF-16.
AWKWARD_KEY = 'caf\u00e9 "x" \\ \U0001f511 \n'


@pytest.fixture(scope="module")
def stored() -> StoredObject:
    return stored_indexed([(1, b"a" * 10)])


def _state(stored: StoredObject, **changes: Any) -> UploadState:
    fields: dict[str, Any] = {
        "bucket": "bucket",
        "key": AWKWARD_KEY,
        "upload_id": "id",
        "metadata": stored.metadata,
        "parts": (
            RecordedPart(IndexRow(3, bytes([7]) * 12, 5), "etag-3"),
            RecordedPart(IndexRow(1, bytes([8]) * 12, 2**40), "etag-1"),
        ),
        "end": None,
        **changes,
    }
    return UploadState(**fields)


def test_state_when_serialised_then_it_comes_back(stored: StoredObject) -> None:
    ends = (None, UploadEnd(((1, "a"), (3, "b")), b"index", None), UploadEnd(((1, "a"),), b"index", "etag"))
    for end in ends:
        state = _state(stored, end=end)

        text = state.serialise()

        assert UploadState.parse(text) == state
        assert text.isascii()
        assert UploadState.parse(text).envelope().header.indexed


def test_state_when_serialised_then_names_ascend_without_spaces_and_other_characters_are_escaped(
    stored: StoredObject,
) -> None:
    text = _state(stored).serialise().decode()

    assert text.startswith('{"bucket":"bucket","end":null,"h":"')
    assert '"key":"caf\\u00e9 \\"x\\" \\\\ \\ud83d\\udd11 \\n"' in text
    assert '"parts":[[3,"etag-3","070707070707070707070707",5],[1,"etag-1"' in text


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{}",
        b"[]",
        b"null",
        b"1",
        b'"state"',
        b"\xff\xfe",
        b"{" * 5000,
        b"[" * 100_000,
        b'{"bucket":1}',
        b'{"bucket":"b","end":null,"h":1,"k":2,"key":"k","parts":[[1]],"uploadId":"u","x":""}',
        b'{"bucket":"b","end":5,"h":"","k":"","key":"k","parts":[],"uploadId":"u","x":""}',
        b'{"bucket":"b","end":null,"h":"","k":"","key":"k","parts":{},"uploadId":"u","x":""}',
        b'{"bucket":"b","end":null,"h":"","k":"","key":"k","parts":[],"uploadId":"u","x":"","y":""}',
        b'{"bucket": "b","end":null,"h":"","k":"","key":"k","parts":[],"uploadId":"u","x":""}',
        b'{"bucket":"b","end":null,"h":"","k":"","key":"k","parts":[[1,"e","AB",5]],"uploadId":"u","x":""}',
    ],
)
def test_state_when_it_is_none_then_it_is_refused(text: bytes) -> None:
    with pytest.raises(MalformedEnvelopeError):
        UploadState.parse(text)


def test_state_when_deeply_nested_at_any_depth_then_no_other_error_escapes() -> None:
    # Somewhere in between the parser still follows and the serialiser does not.
    for depth in range(100, 1200, 7):
        nested = b"[" * depth + b"]" * depth
        text = b'{"bucket":%b,"end":null,"h":"","k":"","key":"k","parts":[],"uploadId":"u","x":""}' % nested

        with pytest.raises(MalformedEnvelopeError):
            UploadState.parse(text)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("bucket", 5),
        ("bucket", None),
        ("key", ["k"]),
        ("uploadId", {"a": "b"}),
        ("h", None),
        ("k", 1),
        ("x", 0),
        ("parts", [[True, "etag", "00", 5]]),
        ("parts", [[1, 5, "00", 5]]),
        ("parts", [[1, "etag", "00", 5.5]]),
        ("parts", [[1, "etag", "00", -1]]),
        ("parts", [[1, "etag", "0011", 5]]),
        ("end", {"list": [[1, 2]], "index": "00", "etag": None}),
        ("end", {"list": [["1", "etag"]], "index": "00", "etag": None}),
        ("end", {"list": [], "index": "00", "etag": 5}),
    ],
)
def test_state_when_a_value_has_another_type_then_it_is_refused(
    stored: StoredObject, field: str, value: object
) -> None:
    document = json.loads(_state(stored).serialise())
    document[field] = value

    with pytest.raises(MalformedEnvelopeError):
        UploadState.parse(json.dumps(document, sort_keys=True, separators=(",", ":")).encode())


def test_state_when_its_tag_is_genuine_then_it_is_returned(stored: StoredObject) -> None:
    text = _state(stored).serialise()

    tag = seal_state(stored.body_key, text, NONCE)

    assert len(tag) == 38
    assert verify_state(stored.body_key, text, tag) == _state(stored)


def test_state_when_any_character_changes_then_it_is_refused(stored: StoredObject) -> None:
    text = _state(stored).serialise()
    tag = seal_state(stored.body_key, text, NONCE)

    for position in range(len(text)):
        edited = bytearray(text)
        edited[position] ^= 1
        with pytest.raises(DecryptionError):
            verify_state(stored.body_key, bytes(edited), tag)


def test_state_when_its_tag_is_anothers_then_it_is_refused(stored: StoredObject) -> None:
    text = _state(stored).serialise()
    tag = seal_state(new_body_key("another", indexed=True), text, NONCE)

    with pytest.raises(DecryptionError):
        verify_state(stored.body_key, text, tag)


@pytest.mark.parametrize("tag", ["", "A", "A" * 37, "A" * 39, "=" * 38, "\u00e9" * 38, "A" * 10_000])
def test_state_when_its_tag_is_malformed_then_it_is_refused(stored: StoredObject, tag: str) -> None:
    with pytest.raises((MalformedEnvelopeError, DecryptionError)):
        verify_state(stored.body_key, _state(stored).serialise(), tag)
