"""Canonical JSON: nothing else is taken, and what has none is refused."""

import sys

import pytest

from s3envelope.audit.canonical import canonical_json, parse_canonical
from s3envelope.errors import AuditError, ConfigurationError


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"1",
        b"\xff",
        b'{"a":1',
        b'{"a": 1}',
        b'{"a":1} ',
        b'{"b":1,"a":1}',
        b'{"a":1,"a":1}',
        b'{"a":1.0}',
        b'{"a":1e3}',
        b'{"a":NaN}',
        b'{"a":-0}',
        b'{"a":9007199254740992}',
        b'{"a":"\\u0061"}',
        b'{"a":"\\ud800"}',
        b'{"a":"\\/"}',
        b'{"\\u00e9":1}',
        '{"a":[{"\uffff":1,"\U00010000":1}]}'.encode(),
        b'{"a":' + b"[" * 100_000,
        b'{"a":' + b"9" * 5000 + b"}",
    ],
)
def test_parse_when_the_text_is_not_canonical_refuses_it(text: bytes) -> None:
    with pytest.raises(AuditError, match="not an object in canonical JSON"):
        parse_canonical(text)


@pytest.mark.parametrize("value", [{"a": "\ud800"}, {"a": 2**53}, {"\ud800": "a"}, {"a": [-(2**53)]}])
def test_canonical_json_when_there_is_none_says_so(value: dict[str, object]) -> None:
    with pytest.raises(AuditError, match="no canonical form"):
        canonical_json(value)  # type: ignore[arg-type]


def test_canonical_json_when_the_library_is_missing_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rfc8785", None)

    assert canonical_json({"a": "plain"}) == b'{"a":"plain"}'
    with pytest.raises(ConfigurationError, match=r"s3envelope\[audit\]"):
        canonical_json({"\u00e9": "unusual"})
