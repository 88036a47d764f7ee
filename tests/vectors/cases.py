"""The table of positive vectors: shapes, names and contexts at every border of the format."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

SEGMENT = 65536
PART = 5 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What one vector is made from; all randomness comes from its name, except what is pinned here.

    Args:
        name: Unique.
        what: One sentence.
        layout: `put`, `managed` or `lowlevel`.
        size: Plaintext bytes of a `put`.
        part_size, own_end: Of a `managed` upload; whether the end segment is a part of its own.
        parts: (number, plaintext bytes) of a multipart upload.
        order: Part numbers of a `lowlevel` upload in call order, if that is not ascending.
        front: `junk` or `foreign`: an entry with the right hint in front of the list of encrypted data keys.
        nonce_starts: Hex, by number of the call, instead of a random start.
        two_keys: Whether the context makes the header open under a second data key.
        fits_s3: Whether S3 itself could store the parts (5 MiB at least, but for the last).
    """

    name: str
    what: str
    layout: str = "put"
    key: str = "object"
    bound: bool = True
    context: Mapping[str, str] = field(default_factory=dict)
    key_ids: tuple[str, ...] = ("mrk-1",)
    size: int = 0
    part_size: int = 0
    parts: tuple[tuple[int, int], ...] = ()
    own_end: bool = False
    order: tuple[int, ...] = ()
    front: str = ""
    nonce_starts: Mapping[int, str] = field(default_factory=dict)
    title_case: bool = False
    two_keys: bool = False
    fits_s3: bool = True

    @property
    def plaintext_size(self) -> int:
        return self.size + sum(size for _, size in self.parts)


# 1216 bytes of canonical JSON: with one KMS entry the metadata is exactly 2048 bytes.
LARGEST_CONTEXT = {"notes": "0123456789" * 119 + "0123abc", "t": ""}

CASES = (
    Case(name="put-0", what="The empty object: one empty segment.", key="empty"),
    Case(name="put-1", what="One byte, bound to no name.", size=1, bound=False, context={"tenant": "acme"}),
    Case(name="put-100", what="A hundred bytes with a context.", size=100, key="dir/file", context={"tenant": "acme"}),
    Case(name="put-100-unbound", what="A hundred bytes, bound to no name, no context.", size=100, bound=False),
    Case(name="put-65535", what="The longest single segment; a name in NFC.", size=65535, key="caf\u00e9/\u00fc"),
    Case(name="put-65536", what="One full segment, then an empty one; a name in NFD.", size=65536, key="cafe\u0301"),
    Case(
        name="put-65537",
        what="One byte in the second segment; a name beyond the BMP.",
        size=65537,
        key="\U0001f511/\U0001f9fe",
    ),
    Case(
        name="put-131072",
        what="Two full segments, then an empty one; four wrapping keys.",
        size=131072,
        key_ids=("mrk-1", "key-2", "key-3", "key-4"),
    ),
    Case(name="put-196608", what="Three full segments, then an empty one.", size=196608, key="three"),
    Case(
        name="put-largest-context", what="A context of 1216 bytes of canonical JSON.", size=10, context=LARGEST_CONTEXT
    ),
    Case(
        name="put-awkward-context",
        what="Double spaces, an encoded-word, quotes, backslashes, an empty name.",
        size=10,
        context={"": "", "b": "x  y ", "a": '\\"{}[]:,\\\\', "A": "=?UTF-8?Q?caf=C3=A9?=", "~": "/"},
    ),
    Case(name="put-long-name", what="A name of 1024 bytes of UTF-8.", size=10, key="\u00e9" * 512),
    Case(
        name="put-raw-keyring",
        what="A raw AES key instead of KMS, with a context.",
        size=70,
        key_ids=("raw:site-1",),
        context={"tenant": "a  b"},
    ),
    Case(
        name="put-raw-and-kms", what="A raw AES key and a KMS key.", size=70, key_ids=("raw:!~", "mrk-1"), bound=False
    ),
    Case(name="put-nonce-wrap", what="Nonces that pass 2^96.", size=131072, nonce_starts={0: "ff" * 11 + "fe"}),
    Case(
        name="put-junk-entry-first",
        what="An entry of the right hint that no key service opens, then the true one.",
        size=5,
        front="junk",
    ),
    Case(
        name="put-foreign-entry-first",
        what="An entry that opens to a data key of another object, then the true one.",
        size=5,
        front="foreign",
    ),
    Case(
        name="put-title-case",
        what="A server that answers metadata names in title case.",
        size=5,
        context={"a": "b"},
        title_case=True,
    ),
    Case(
        name="put-two-keys",
        what="A context found by algebra under which a second data key opens the header as well.",
        size=5,
        two_keys=True,
    ),
    Case(
        name="managed-ragged",
        what="A full part and a ragged last one.",
        layout="managed",
        part_size=PART,
        parts=((1, PART), (2, 70000)),
    ),
    Case(
        name="managed-longer-last",
        what="An exact multiple of the part size; the last part carries the empty segment.",
        layout="managed",
        part_size=PART,
        parts=((1, PART), (2, PART)),
    ),
    Case(
        name="managed-own-end",
        what="An exact multiple; the empty segment is a part of its own.",
        layout="managed",
        part_size=PART,
        parts=((1, PART),),
        own_end=True,
    ),
    Case(
        name="managed-odd-part-size",
        what="A part size that is a multiple of 64 KiB and not of 1 MiB.",
        layout="managed",
        part_size=PART + SEGMENT,
        parts=((1, PART + SEGMENT), (2, 1)),
    ),
    Case(
        name="indexed-equal",
        what="Equal parts; the index is a part of its own.",
        layout="lowlevel",
        parts=((1, PART), (2, PART)),
    ),
    Case(
        name="indexed-unequal-gaps",
        what="Unequal parts with gaps, sent out of order; the index on the small last part.",
        layout="lowlevel",
        parts=((1, PART + 1), (3, PART + SEGMENT), (9, 100)),
        order=(9, 3, 1),
        bound=False,
        context={"tenant": "acme"},
        key_ids=("mrk-1", "key-2"),
    ),
    Case(
        name="indexed-10000-small",
        what="Part number 10000, small, carries the index.",
        layout="lowlevel",
        parts=((2, PART), (10000, 100)),
        key="last",
    ),
    Case(name="indexed-empty", what="One empty part.", layout="lowlevel", parts=((1, 0),)),
    Case(
        name="indexed-small-parts",
        what="Small and empty parts with gaps, as only a lenient server stores them.",
        layout="lowlevel",
        parts=((1, 70000), (2, 0), (3, 70000), (7, 0), (8, 65536), (10000, 33)),
        fits_s3=False,
        key="parts",
    ),
    Case(
        name="indexed-nonce-wrap",
        what="A part whose pinned nonces pass 2^96.",
        layout="lowlevel",
        parts=((5, 131072),),
        nonce_starts={0: "ff" * 12},
    ),
)
