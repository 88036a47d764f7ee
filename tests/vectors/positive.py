"""Objects that every reader must open, built from a table of cases."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from tests.vectors.cases import CASES, Case
from tests.vectors.sealing import (
    BOUND,
    INDEXED,
    SEALED,
    SEGMENT,
    Call,
    HeaderInputs,
    KnownKey,
    base64url,
    canonical,
    derive,
    pack_keys,
    seal_index,
    seal_state,
    sha256,
    shake,
    wrap_raw,
)
from tests.vectors.two_keys import colliding_context

MIN_PART = 5 << 20
LARGEST_INLINE_BODY = 1000


@dataclass(frozen=True, slots=True)
class Built:
    """One object with everything that went into it."""

    case: Case
    header: HeaderInputs
    keys: Sequence[KnownKey]
    metadata: Mapping[str, str]
    plaintext: bytes
    body_key: bytes
    calls: Sequence[Call]
    sent: Sequence[tuple[int, bytes]]
    body: bytes
    rows: Sequence[tuple[int, bytes, int]] = ()
    index: bytes = b""
    index_nonce: bytes = b""
    other: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sealed:
    """The header of one object; makes its body."""

    case: Case
    header: HeaderInputs
    keys: Sequence[KnownKey]
    metadata: Mapping[str, str]
    body_key: bytes
    other: Mapping[str, bytes]

    def calls(self) -> tuple[list[Call], bytes, list[tuple[int, bytes]]]:
        """Return the calls, the plaintext and what the calls send."""
        plaintext = shake(f"plaintext/{self.case.name}", self.case.plaintext_size)
        calls = make_calls(self.case)
        return calls, plaintext, seal_calls(self.case, calls, self.body_key, plaintext)

    def plain(self) -> Built:
        """Return the object in the plain layout."""
        calls, plaintext, sent = self.calls()
        return Built(
            case=self.case,
            header=self.header,
            keys=self.keys,
            metadata=self.metadata,
            plaintext=plaintext,
            body_key=self.body_key,
            calls=calls,
            sent=sent if self.case.parts else (),
            body=b"".join(content for _, content in sent),
            other=self.other,
        )

    def with_index(self) -> Built:
        """Return the object in the indexed layout: the index on a small last part, or behind a big one."""
        plain = self.plain()
        starts = {call.run: call.nonce_start for call in plain.calls}
        rows = [(k, starts[k], size) for k, size in self.case.parts]
        nonce = shake(f"{self.case.name}/index", 12)
        index = seal_index(self.body_key, rows, nonce)
        parts, last = dict(plain.sent), self.case.parts[-1][0]
        end = (last, parts[last] + index) if len(parts[last]) < MIN_PART else (last + 1, index)
        body = b"".join(parts[k] for k, _ in self.case.parts) + index
        sent = [*plain.sent, end]
        return replace(plain, sent=sent, body=body, rows=rows, index=index, index_nonce=nonce)


def make_keys(case: Case, data_key: bytes, context: Mapping[str, str]) -> list[KnownKey]:
    """Wrap the data key; KMS ciphertext is opaque, so any bytes of the usual length will do."""
    keys: list[KnownKey] = []
    for number, key_id in enumerate(case.key_ids):
        if key_id.startswith("raw:"):
            master = shake(f"master/{key_id}", 32)
            salt = shake(f"{case.name}/salt/{number}", 32)
            blob = wrap_raw(master, key_id[4:], data_key, salt=salt, context=context)
            keys.append(KnownKey(key_id, blob, data_key, master))
        else:
            keys.append(KnownKey(key_id, opaque_blob(f"{case.name}/edk/{number}"), data_key))
    first = {"junk": None, "foreign": shake(f"{case.name}/foreign-dek", 32)}
    if case.front:
        keys.insert(0, KnownKey(case.key_ids[0], opaque_blob(f"{case.name}/front"), first[case.front]))
    return keys


def opaque_blob(label: str) -> bytes:
    """Return 184 bytes, as KMS makes them of a 32-byte data key; no key service knows what is inside."""
    return bytes.fromhex("0102030078") + shake(label, 179)


def make_calls(case: Case) -> list[Call]:
    """Return the upload calls in the order in which they were made."""

    def start(number: int) -> bytes:
        given = case.nonce_starts.get(number)
        return bytes.fromhex(given) if given else shake(f"{case.name}/call/{number}", 12)

    if case.layout == "put":
        return [Call(0, 0, case.size, True, start(0))]
    if case.layout == "lowlevel":
        sizes = dict(case.parts)
        order = case.order or tuple(sizes)
        return [Call(k, 0, sizes[k], True, start(number)) for number, k in enumerate(order)]
    per_part, last = case.part_size // SEGMENT, len(case.parts)
    calls = [Call(0, (k - 1) * per_part, size, k == last and not case.own_end, start(k - 1)) for k, size in case.parts]
    if case.own_end:
        calls.append(Call(0, last * per_part, 0, True, start(last)))
    return calls


def seal_calls(case: Case, calls: Sequence[Call], body_key: bytes, plaintext: bytes) -> list[tuple[int, bytes]]:
    """Return (part number, bytes) of every call, in call order."""
    sent = []
    for number, call in enumerate(calls):
        before = sum(size for k, size in case.parts if k < call.run)
        offset = before if case.layout == "lowlevel" else call.first_segment * SEGMENT
        piece = plaintext[offset : offset + call.length]
        sent.append((call.run if case.layout == "lowlevel" else number + 1, call.seal(body_key, piece)))
    return sent


def build(case: Case) -> Built:
    """Seal one object."""
    flags = BOUND * case.bound | INDEXED * (case.layout == "lowlevel")
    data_key, object_key = shake(f"{case.name}/dek", 32), shake(f"{case.name}/oek", 32)
    nonce = shake(f"{case.name}/header", 12)
    body_key, commitment = derive(object_key, flags)
    header = HeaderInputs(
        data_key=data_key,
        object_key=object_key,
        flags=flags,
        commitment=commitment,
        nonce=nonce,
        context=canonical(case.context),
        name=case.key.encode(),
    )
    context: Mapping[str, str] = case.context
    other: dict[str, bytes] = {}
    if case.two_keys:
        other["data_key"] = shake(f"{case.name}/second-dek", 32)
        context, header = colliding_context(header, other["data_key"])
    keys = make_keys(case, data_key, context)
    metadata = {"se1-h": base64url(header.seal()), "se1-k": pack_keys(keys)}
    if header.context:
        metadata["se1-x"] = base64url(header.context)
    if case.title_case:
        metadata = {name.title(): value for name, value in metadata.items()}
    sealed = Sealed(case, header, keys, metadata, body_key, other)
    return sealed.with_index() if case.layout == "lowlevel" else sealed.plain()


def upload_state(built: Built) -> dict[str, object]:
    """Return the sealed state of an indexed upload as it was before `complete`."""
    lowered = {name.lower(): value for name, value in built.metadata.items()}
    part_of = [content for _, content in built.sent]
    parts = [
        [call.run, f'"{sha256(part_of[number])[:32]}"', call.nonce_start.hex(), call.length]
        for number, call in enumerate(built.calls)
    ]
    document = {
        "bucket": "b",
        "end": None,
        "h": lowered["se1-h"],
        "k": lowered["se1-k"],
        "key": built.case.key,
        "parts": parts,
        "uploadId": f"upload-of-{built.case.name}",
        "x": lowered.get("se1-x", ""),
    }
    text = json.dumps(document, sort_keys=True, separators=(",", ":"))
    nonce = shake(f"{built.case.name}/state", 12)
    first = json.dumps(parts[0], separators=(",", ":"))
    refuse = [
        ['"bucket":"b"', '"bucket":"c"'],
        ['"uploadId":"upload', '"uploadId":"UPLOAD'],
        ['"end":null', '"end":[]'],
        [first, json.dumps([*parts[0][:2], "00" * 12, parts[0][3]], separators=(",", ":"))],
        [first, json.dumps([*parts[0][:3], built.calls[0].length + 1], separators=(",", ":"))],
    ]
    return {"json": text, "tag": seal_state(built.body_key, text, nonce), "refuse": refuse}


def intervals(size: int) -> list[tuple[int, int]]:
    """Return half-open intervals with the interesting borders, without repetition."""
    points = [
        (0, 1),
        (0, size),
        (SEGMENT - 1, SEGMENT + 1),
        (size - 1, size),
        (size // 2, size // 2 + 70000),
        (0, SEGMENT),
        (size, size),
    ]
    clipped = [(min(max(start, 0), size), min(end, size)) for start, end in points]
    return list(dict.fromkeys(clipped))


def describe(built: Built) -> dict[str, object]:
    """Return the vector as it is written down."""
    case, header, plaintext = built.case, built.header, built.plaintext
    return {
        "name": case.name,
        "what": case.what,
        "fits_s3": case.fits_s3,
        "layout": case.layout,
        "flags": header.flags,
        "context": dict(json.loads(header.context)) if header.context else {},
        "key": case.key,
        "keys": [describe_key(key) for key in built.keys],
        "dek": header.data_key.hex(),
        "oek": header.object_key.hex(),
        "header_nonce": header.nonce.hex(),
        "plaintext": {
            "shake128": f"plaintext/{case.name}",
            "length": len(plaintext),
            "sha256": sha256(plaintext),
        },
        **describe_upload(built),
        **describe_result(built),
    }


def describe_upload(built: Built) -> dict[str, object]:
    """Return the shape and the randomness of the upload."""
    case = built.case
    return {
        "part_size": case.part_size or None,
        "parts": [list(part) for part in case.parts] or None,
        "calls": [
            {
                "run": call.run,
                "first_segment": call.first_segment,
                "length": call.length,
                "ends_run": call.ends_run,
                "R": call.nonce_start.hex(),
            }
            for call in built.calls
        ],
        "sent": [[k, len(content), sha256(content)] for k, content in built.sent] or None,
        "index": {"nonce": built.index_nonce.hex(), "hex": built.index.hex()} if built.index else None,
        "state": upload_state(built) if built.index else None,
    }


def describe_result(built: Built) -> dict[str, object]:
    """Return the derived values, the stored object and what ranges of it give."""
    header, body, plaintext = built.header, built.body, built.plaintext
    return {
        "derived": {
            "K": built.body_key.hex(),
            "C": header.commitment.hex(),
            "header_aad": header.associated_data().hex(),
        },
        "metadata": dict(built.metadata),
        "body": {
            "length": len(body),
            "sha256": sha256(body),
            "hex": body.hex() if len(body) <= LARGEST_INLINE_BODY else None,
            "first_segment_sha256": sha256(body[:SEALED]),
            "last_64_hex": body[-64:].hex(),
        },
        "ranges": [
            {"first": start, "end": end, "sha256": sha256(plaintext[start:end])}
            for start, end in intervals(len(plaintext))
        ],
    }


def describe_key(key: KnownKey) -> dict[str, object]:
    """Return one entry of `keys`."""
    entry: dict[str, object] = {
        "key_id": key.key_id,
        "edk": key.blob.hex(),
        "opens_to": None if key.opens_to is None else key.opens_to.hex(),
    }
    return {**entry, "mk": key.master_key.hex()} if key.master_key else entry


def build_all() -> dict[str, Built]:
    """Return all objects by name."""
    return {case.name: build(case) for case in CASES}
