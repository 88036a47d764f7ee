"""Metadata that can be understood and is not the writer's; and contexts that are sealed validly but spelled wrongly."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from tests.vectors.edits import NegativeVector
from tests.vectors.positive import Built
from tests.vectors.sealing import base64url, shake

_FIELDS = (
    ("commitment-first", 1),
    ("commitment-last", 32),
    ("nonce-first", 33),
    ("nonce-last", 44),
    ("sealed-first", 45),
    ("sealed-last", 76),
    ("tag-first", 77),
    ("tag-last", 92),
)
_malformed = partial(NegativeVector, error="MalformedEnvelopeError", stage="parse")
_unbound = partial(NegativeVector, error="HeaderAuthenticationError", stage="open")
_bound = partial(NegativeVector, error="NameBindingError", stage="open")


_SPELLINGS = (
    ("space", b'{"tenant": "acme"}', "White space after a colon."),
    ("space-at-end", b'{"tenant":"acme"} ', "White space at the end."),
    ("duplicate-name", b'{"tenant":"acme","tenant":"acme"}', "One name twice."),
    ("unsorted", b'{"tenant":"acme","a":"b"}', "Names that do not ascend."),
    ("nested", b'{"tenant":{"a":"b"}}', "An object as a value."),
    ("number", b'{"tenant":1}', "A number as a value."),
    ("null-value", b'{"tenant":null}', "Null as a value."),
    ("empty-object", b"{}", "An empty object; an empty context is not stored."),
    ("null", b"null", "Null instead of an object."),
    ("array", b'["tenant"]', "An array instead of an object."),
    ("string", b'"tenant"', "A string instead of an object."),
    ("needless-escape", b'{"tenant":"\\u0061cme"}', "A letter as an escape."),
    ("escaped-slash", b'{"tenant":"a\\/b"}', "A slash as an escape."),
    ("long-quote", b'{"tenant":"\\u0022"}', "A quotation mark in the long escape."),
    ("non-ascii", '{"tenant":"\u00e9"}'.encode(), "A character outside ASCII."),
    ("escaped-non-ascii", b'{"tenant":"\\u00e9"}', "A character outside ASCII, escaped."),
    ("control", b'{"tenant":"\\n"}', "A control character, escaped."),
    ("delete", b'{"tenant":"\x7f"}', "The character 0x7F."),
    ("reserved-name", b'{"s3envelope":"SE1"}', "The reserved entry itself."),
    ("reserved-prefix", b'{"s3envelope-a":"b"}', "A name with the reserved prefix."),
    ("deep", b"[" * 1500, "Fifteen hundred open brackets."),
    ("cut", b'{"tenant":"acme"', "The closing brace is gone."),
    ("byte-order-mark", b'\xef\xbb\xbf{"tenant":"acme"}', "A byte order mark."),
    ("trailing-zero", b'{"tenant":"acme"}\0', "A zero byte at the end."),
)


def context_vectors(built: Mapping[str, Built]) -> list[NegativeVector]:
    """Return contexts that the header authenticates, and that are not in canonical form."""
    base = "put-100"
    vectors = []
    for name, spelling, what in _SPELLINGS:
        header = replace(built[base].header, context=spelling)
        metadata = {"se1-h": base64url(header.seal()), "se1-x": base64url(spelling)}
        vectors.append(_malformed(name=f"context-{name}", base=base, what=f"{what} Validly sealed.", metadata=metadata))
    return vectors


def _changed(header: bytes, offset: int, mask: int = 1) -> dict[str, str | None]:
    """Return the metadata of a header with one changed byte."""
    return {"se1-h": base64url(header[:offset] + bytes([header[offset] ^ mask]) + header[offset + 1 :])}


def header_vectors(built: Mapping[str, Built]) -> list[NegativeVector]:
    """Return headers with one changed field."""
    one, free, indexed = (built[base].header for base in ("put-100", "put-100-unbound", "indexed-small-parts"))
    sealed, free_sealed = one.seal(), free.seal()
    vectors = []
    for bit in (4, 8, 16, 32, 64, 128):
        header = replace(one, flags=one.flags | bit).seal()
        what = f"The reserved flag {bit} is set, validly sealed."
        reserved = {"se1-h": base64url(header)}
        vectors.append(_malformed(name=f"flags-reserved-{bit}", base="put-100", what=what, metadata=reserved))
    for name, offset in _FIELDS:
        what = f"Byte {offset} of the header is changed."
        bound_name, unbound_name = f"header-flip-{name}", f"header-flip-{name}-unbound"
        vectors.append(_bound(name=bound_name, base="put-100", what=what, metadata=_changed(sealed, offset)))
        changed = _changed(free_sealed, offset)
        vectors.append(_unbound(name=unbound_name, base="put-100-unbound", what=what, metadata=changed))
    flags = [
        (_bound, "indexed-set", "put-100", "INDEXED is set", _changed(sealed, 0)),
        (_unbound, "indexed-set-unbound", "put-100-unbound", "INDEXED is set", _changed(free_sealed, 0)),
        (_bound, "indexed-cleared", "indexed-small-parts", "INDEXED is cleared", _changed(indexed.seal(), 0)),
        (_unbound, "bound-cleared", "put-100", "BOUND is cleared", _changed(sealed, 0, 2)),
        (_bound, "bound-set", "put-100-unbound", "BOUND is set", _changed(free_sealed, 0, 2)),
        (_unbound, "both-changed", "put-100", "INDEXED is set and BOUND is cleared", _changed(sealed, 0, 3)),
    ]
    for make, name, base, what, metadata in flags:
        vectors.append(make(name=f"flags-{name}", base=base, what=f"The flag {what}.", metadata=metadata))
    return vectors


def place_vectors(built: Mapping[str, Built]) -> list[NegativeVector]:
    """Return genuine headers that stand at the wrong place, and contexts that are not theirs."""
    names = [
        ("other", "put-100", "A bound object under another name.", "dir/other"),
        ("longer", "put-100", "A bound object under its name and a space.", "dir/file "),
        ("slash-in-front", "put-100", "A bound object under its name with a slash in front.", "/dir/file"),
        ("nfd-for-nfc", "put-65535", "The name in NFD, where it was bound in NFC.", "cafe\u0301/u\u0308"),
        ("nfc-for-nfd", "put-65536", "The name in NFC, where it was bound in NFD.", "caf\u00e9"),
    ]
    vectors = [_bound(name=f"name-{name}", base=base, what=what, key=key) for name, base, what, key in names]
    sibling = replace(built["put-100"].header, object_key=shake("sibling/oek", 32), name=b"sibling").seal()
    more, acme = base64url(b'{"tenant":"acme","z":""}'), base64url(b'{"tenant":"acme"}')
    values: list[tuple[str, str, dict[str, str | None]]] = [
        ("header-of-sibling", "A header of another object under the same data key.", {"se1-h": base64url(sibling)}),
        ("context-removed", "se1-x is gone.", {"se1-x": None}),
        ("context-changed", "Another value in the context.", {"se1-x": base64url(b'{"tenant":"acmf"}')}),
        ("context-entry-added", "One more entry in the context.", {"se1-x": more}),
    ]
    vectors += [_bound(name=name, base="put-100", what=what, metadata=metadata) for name, what, metadata in values]
    free, mismatch = "put-100-unbound", partial(NegativeVector, error="ContextMismatchError", stage="open")
    other, expected = {"tenant": "other"}, {"tenant": "acme"}
    what = "A context on an object without one."
    vectors += [
        _unbound(name="context-added-unbound", base=free, what=what, metadata={"se1-x": acme}),
        _bound(
            name="name-unbound-required", base=free, what="Unbound, but the reader wants bound.", require_bound=True
        ),
        mismatch(name="context-not-expected", base="put-100", what="Another context.", expected_context=other),
        mismatch(name="context-expected-missing", base=free, what="No context.", expected_context=expected),
    ]
    return vectors
