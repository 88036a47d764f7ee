"""Encrypted data keys and data keys that are not the writer's, and commitments to another key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial

from tests.vectors.edits import NegativeVector
from tests.vectors.positive import Built
from tests.vectors.sealing import HeaderInputs, KnownKey, base64url, pack_entries, pack_keys, shake

_FREE, _BOUND = "put-100-unbound", "put-100"
_unbound = partial(NegativeVector, error="HeaderAuthenticationError", stage="open")
_bound = partial(NegativeVector, error="NameBindingError", stage="open")
_no_match = partial(NegativeVector, error="NoMatchingKeyError", stage="open")
_commitment = partial(NegativeVector, error="KeyCommitmentError", stage="open")


def _entry(hint: bytes, blob: bytes) -> dict[str, str | None]:
    return {"se1-k": base64url(pack_entries([(hint, blob)]))}


def _header(inputs: HeaderInputs) -> dict[str, str | None]:
    return {"se1-h": base64url(inputs.seal())}


def key_vectors(built: Mapping[str, Built]) -> list[NegativeVector]:
    """Return encrypted data keys that do not open, and data keys that the header does not open with."""
    free, bound = built[_FREE], built[_BOUND]
    key = free.keys[0]
    foreign = KnownKey(key.key_id, b"foreign" * 20, shake("foreign/dek", 32))
    flipped = key.blob[:-1] + bytes([key.blob[-1] ^ 1])
    short = shake("short/dek", 16)
    short_header = _header(replace(free.header, data_key=short))
    of_another = "The encrypted data key of another object, under the same key."
    other = {"se1-k": pack_keys([foreign])}
    keys = [foreign, *bound.keys]
    short_key = replace(key, opens_to=short)
    long_key = replace(key, opens_to=free.header.data_key + bytes(16))
    sixteen = "A data key of 16 bytes, which AES would accept; the header is validly sealed under it."
    return [
        _unbound(name="entry-flipped", base=_FREE, what="No key service opens it.", metadata=_entry(key.hint, flipped)),
        _unbound(name="entry-foreign-only", base=_FREE, what=of_another, metadata=other, keys=[foreign, key]),
        _bound(name="entry-foreign-only-bound", base=_BOUND, what=of_another, metadata=other, keys=keys),
        _no_match(
            name="entry-other-hint",
            base=_BOUND,
            what="A hint of no configured key.",
            metadata=_entry(bytes(4), key.blob),
        ),
        _unbound(name="data-key-16-bytes", base=_FREE, what=sixteen, metadata=short_header, keys=[short_key]),
        _unbound(name="data-key-48-bytes", base=_FREE, what="The true data key and 16 bytes more.", keys=[long_key]),
    ]


def commitment_vectors(built: Mapping[str, Built]) -> list[NegativeVector]:
    """Return headers that authenticate, and do not commit to the key that they open to."""
    free, bound, two = built[_FREE].header, built[_BOUND].header, built["put-two-keys"]
    wrong = _header(replace(free, commitment=shake("wrong-commitment", 32)))
    wrong_bound = _header(replace(bound, commitment=bytes(32)))
    other_layout = _header(replace(free, flags=free.flags | 1))
    second = replace(two.keys[0], opens_to=two.other["data_key"])
    what = "A commitment to another key, validly sealed."
    layout = "The flag INDEXED, validly sealed over the commitment to the plain layout."
    both = "One header that authenticates under two data keys; the key service gives the one that is not committed to."
    return [
        _commitment(name="commitment-wrong", base=_FREE, what=what, metadata=wrong),
        _commitment(name="commitment-wrong-bound", base=_BOUND, what=what, metadata=wrong_bound),
        _commitment(name="commitment-other-layout", base=_FREE, what=layout, metadata=other_layout),
        _commitment(name="commitment-two-keys", base="put-two-keys", what=both, keys=[second]),
    ]
