"""Canonical JSON: the fast encoder writes what the library writes, and what is written is read again."""

import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from s3envelope.audit.canonical import canonical_json, parse_canonical

NAMES = st.text(max_size=8)
SCALARS = st.text() | st.integers(min_value=-(2**53) + 1, max_value=2**53 - 1)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4))
OBJECTS = st.dictionaries(NAMES, VALUES, max_size=6)
PLAIN_OBJECTS = st.dictionaries(st.text(st.characters(max_codepoint=127), max_size=8), VALUES, max_size=6)


@given(OBJECTS | PLAIN_OBJECTS)
def test_canonical_json_when_made_is_that_of_the_library(value: dict[str, object]) -> None:
    assert canonical_json(value) == rfc8785.dumps(value)  # type: ignore[arg-type]


@given(OBJECTS | PLAIN_OBJECTS)
def test_canonical_json_when_parsed_gives_the_value_again(value: dict[str, object]) -> None:
    assert parse_canonical(rfc8785.dumps(value)) == value  # type: ignore[arg-type]
