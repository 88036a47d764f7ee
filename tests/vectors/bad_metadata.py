"""Metadata that cannot be understood: names, spelling, and the list of encrypted data keys."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

from tests.vectors.edits import NegativeVector
from tests.vectors.positive import Built
from tests.vectors.sealing import base64url, pack_entries

_malformed = partial(NegativeVector, error="MalformedEnvelopeError", stage="parse")
_other_format = partial(NegativeVector, error="UnsupportedFormatError", stage="parse")


def name_vectors(built: Mapping[str, Built]) -> list[NegativeVector]:
    """Return defects of the names of metadata."""
    base = "put-100"
    header, context = built[base].metadata["se1-h"], built[base].metadata["se1-x"]
    stripped: dict[str, str | None] = {"se1-h": None, "se1-k": None, "se1-x": None}
    no_envelope = partial(NegativeVector, base=base, error="NotEncryptedError", stage="parse")
    similar = {"se1h": header, "se-h": header, "xse1-h": header, "se1_h": header}
    malformed: list[tuple[str, str, dict[str, str | None]]] = [
        ("header-missing", "se1-h is gone.", {"se1-h": None}),
        ("keys-missing", "se1-k is gone.", {"se1-k": None}),
        ("only-context", "Only se1-x is left.", {"se1-h": None, "se1-k": None}),
        ("names-differ-in-case", "A second se1-h in capitals.", {"SE1-H": header}),
        ("user-names-differ-in-case", "Two of the user's names differ in case only.", {"note": "1", "Note": "2"}),
    ]
    other_formats: list[tuple[str, str, dict[str, str | None]]] = [
        ("newer-format-beside", "A name of a newer format beside the envelope.", {"se2-h": header}),
        ("newer-format-alone", "Only a name of a newer format, in title case.", {**stripped, "Se2-h": header}),
        ("unknown-name", "A name of this format that it does not have.", {"se1-z": context}),
        ("distant-format", "A format number of several digits.", {**stripped, "se100-h": header}),
    ]
    return [
        no_envelope(name="no-envelope", what="All names of the envelope are gone.", metadata=stripped),
        no_envelope(name="similar-names", what="Names that only look like ours.", metadata={**stripped, **similar}),
        *(_malformed(name=name, base=base, what=what, metadata=edit) for name, what, edit in malformed),
        *(_other_format(name=name, base=base, what=what, metadata=edit) for name, what, edit in other_formats),
    ]


def _swapped_alphabet(value: str) -> str:
    """Return the value in the standard alphabet of base64."""
    swapped = value.replace("-", "+").replace("_", "/")
    if swapped == value:
        raise AssertionError("the value has no letter that differs between the alphabets")
    return swapped


def _with_spare_bits(value: str) -> str:
    """Return a spelling of the same bytes whose unused last bits are not zero."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    if len(value) % 4 == 0:
        raise AssertionError("the value has no unused bits")
    return value[:-1] + alphabet[alphabet.index(value[-1]) + 1]


def spelling_vectors(built: Mapping[str, Built]) -> list[NegativeVector]:
    """Return values that are not canonical base64url, or of a wrong length."""
    base = "put-100"
    one = built[base]
    header, keys, context = (one.metadata[name] for name in ("se1-h", "se1-k", "se1-x"))
    sealed = one.header.seal()
    values = [
        ("header-empty", "se1-h", "", "An empty header."),
        ("header-padded", "se1-h", header + "=", "A header with padding."),
        ("header-92-bytes", "se1-h", base64url(sealed[:-1]), "A header without its last byte."),
        ("header-94-bytes", "se1-h", base64url(sealed + b"\0"), "A header with one more byte."),
        ("header-90-bytes", "se1-h", header[:-4], "A header that is shorter by a group of four characters."),
        ("header-standard-alphabet", "se1-h", _swapped_alphabet(header), "The standard alphabet in the header."),
        ("header-spaces", "se1-h", f" {header[:-2]} ", "Spaces around a header of 122 characters."),
        ("header-line-break", "se1-h", header[:-1] + "\n", "A line break at the end of the header."),
        ("keys-empty", "se1-k", "", "No encrypted data key."),
        ("keys-padded", "se1-k", keys + "==", "Padding after the encrypted data keys."),
        ("keys-spare-bits", "se1-k", _with_spare_bits(keys), "Unused last bits that are not zero."),
        ("keys-standard-alphabet", "se1-k", _swapped_alphabet(keys), "The standard alphabet in se1-k."),
        ("keys-impossible-length", "se1-k", keys[:253], "A number of characters that base64 cannot have."),
        ("keys-non-ascii", "se1-k", keys[:-1] + "\u0661", "A digit that is not ASCII."),
        ("keys-too-long", "se1-k", base64url(_four_large_entries()), "More than 2048 characters of keys."),
        ("context-empty", "se1-x", "", "se1-x is there and empty."),
        ("context-padded", "se1-x", context + "=", "Padding after the context."),
        ("context-spare-bits", "se1-x", _with_spare_bits(context), "Unused last bits that are not zero."),
        ("context-too-long", "se1-x", "A" * 2052, "More than 2048 characters of context."),
    ]
    return [_malformed(name=name, base=base, what=what, metadata={key: value}) for name, key, value, what in values]


def _four_large_entries() -> bytes:
    return pack_entries([(b"hint", bytes(380))] * 4)


def entry_vectors(built: Mapping[str, Built]) -> list[NegativeVector]:
    """Return lists of encrypted data keys that are not 1 to 4 complete entries."""
    base = "put-100"
    key = built[base].keys[0]
    entry = (key.hint, key.blob)
    good = pack_entries([entry])
    lists = [
        ("entries-five", pack_entries([entry] + [(b"abcd", bytes(60))] * 4), "Five entries."),
        ("entries-zero-length", pack_entries([(key.hint, b"")]), "One entry of length zero."),
        ("entries-zero-length-second", good + key.hint + b"\0\0", "A second entry of length zero."),
        ("entries-cut", good[:-1], "The last byte of the last entry is gone."),
        ("entries-hint-only", good + key.hint, "A second entry ends after its hint."),
        ("entries-trailing-byte", good + b"\0", "One byte after the last entry."),
        ("entries-length-beyond", key.hint + b"\xff\xff" + key.blob, "An entry claims 65535 bytes."),
        ("entries-one-byte", b"\0", "A list of one byte."),
    ]
    return [
        _malformed(name=name, base=base, what=what, metadata={"se1-k": base64url(raw)}) for name, raw, what in lists
    ]
