"""A small decoder of the format, from the text of FORMAT.md: it shares no code with the writer of the vectors.

It holds whole objects in memory and says which class of error a reader must raise, at which stage, and how many
plaintext bytes may have left the reader by then.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import struct
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
_STRING = r'"((?:[ !#-\[\]-~]|\\"|\\\\)*)"'
_PAIR = re.compile(_STRING + ":" + _STRING)


class RefusedError(Exception):
    """The object must be refused with this class of error."""

    def __init__(self, error: str, stage: str, released: int = 0) -> None:
        super().__init__(f"{error} at {stage}, {released} bytes released")
        self.error, self.stage, self.released = error, stage, released


@dataclass(frozen=True, slots=True)
class Stored:
    """What the server holds and the name it is asked for."""

    key: str
    metadata: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Reader:
    """The configured key ids in order, what the key service makes of each blob, and the reader's policy."""

    key_ids: Sequence[str]
    opens: Mapping[bytes, bytes | None]
    require_bound: bool = False
    context: Mapping[str, str] = field(default_factory=dict)


def decode_base64url(text: str, limit: int) -> bytes:
    """Return the bytes of the one canonical spelling."""
    if not 0 < len(text) <= limit or len(text) % 4 == 1 or any(letter not in _ALPHABET for letter in text):
        raise RefusedError("MalformedEnvelopeError", "parse")
    bits = 0
    for letter in text:
        bits = bits << 6 | _ALPHABET.index(letter)
    spare = len(text) * 6 % 8
    if bits & ((1 << spare) - 1):
        raise RefusedError("MalformedEnvelopeError", "parse")
    return (bits >> spare).to_bytes(len(text) * 6 // 8, "big")


def parse_context(stored: bytes) -> dict[str, str]:
    """Read a context by the grammar of its canonical form."""
    problem = RefusedError("MalformedEnvelopeError", "parse")
    text = stored.decode("latin-1")
    if len(text) > 1536 or text[:1] != "{" or text[-1:] != "}":
        raise problem
    context: dict[str, str] = {}
    position, last = 1, None
    while True:
        match = _PAIR.match(text, position)
        if match is None:
            raise problem
        name, value = (re.sub(r"\\(.)", r"\1", part) for part in match.groups())
        if (last is not None and name <= last) or name.startswith("s3envelope"):
            raise problem
        context[name], last, position = value, name, match.end() + 1
        if position == len(text):
            return context
        if text[match.end()] != ",":
            raise problem


@dataclass(frozen=True, slots=True)
class Parsed:
    """The metadata, understood and not yet trusted."""

    header: bytes
    entries: Sequence[tuple[bytes, bytes]]
    raw_context: bytes
    context: Mapping[str, str]


def parse(metadata: Mapping[str, str]) -> Parsed:
    """Read the metadata of an object."""
    lowered = {name.lower(): value for name, value in metadata.items()}
    ours = {name for name in lowered if re.match(r"se[0-9]+-", name)}
    if not ours:
        raise RefusedError("NotEncryptedError", "parse")
    if ours - {"se1-h", "se1-k", "se1-x"}:
        raise RefusedError("UnsupportedFormatError", "parse")
    if len(lowered) < len(metadata) or not {"se1-h", "se1-k"} <= ours:
        raise RefusedError("MalformedEnvelopeError", "parse")
    header = decode_base64url(lowered["se1-h"], 124)
    if len(header) != 93 or header[0] > 3:
        raise RefusedError("MalformedEnvelopeError", "parse")
    raw_context = decode_base64url(lowered["se1-x"], 2048) if "se1-x" in lowered else b""
    context = parse_context(raw_context) if "se1-x" in lowered else {}
    return Parsed(header, parse_entries(decode_base64url(lowered["se1-k"], 2048)), raw_context, context)


def parse_entries(raw: bytes) -> list[tuple[bytes, bytes]]:
    """Read 1 to 4 encrypted data keys."""
    entries: list[tuple[bytes, bytes]] = []
    while raw:
        size = int.from_bytes(raw[4:6], "big")
        blob = raw[6 : 6 + size]
        if len(raw) < 7 or not size or len(blob) < size or len(entries) == 4:
            raise RefusedError("MalformedEnvelopeError", "parse")
        entries.append((raw[:4], blob))
        raw = raw[6 + size :]
    return entries


def open_gcm(key: bytes, nonce: bytes, sealed: bytes, associated: bytes) -> bytes | None:
    """Return the plaintext, or `None` if it does not authenticate."""
    if len(nonce) != 12 or len(sealed) < 16:
        return None
    decryptor = Cipher(algorithms.AES(key), modes.GCM(nonce, sealed[-16:])).decryptor()
    decryptor.authenticate_additional_data(associated)
    try:
        return decryptor.update(sealed[:-16]) + decryptor.finalize()
    except InvalidTag:
        return None


def open_header(stored: Stored, reader: Reader) -> tuple[int, bytes]:
    """Return flags and K."""
    parsed = parse(stored.metadata)
    header, flags = parsed.header, parsed.header[0]
    if any(parsed.context.get(name) != value for name, value in reader.context.items()):
        raise RefusedError("ContextMismatchError", "open")
    if reader.require_bound and not flags & 2:
        raise RefusedError("NameBindingError", "open")
    by_hint = [(hashlib.sha256(key_id.encode()).digest()[:4], key_id) for key_id in reader.key_ids]
    candidates = [blob for own, _ in by_hint for hint, blob in parsed.entries if hint == own]
    if not candidates:
        raise RefusedError("NoMatchingKeyError", "open")
    size = struct.pack(">I", len(parsed.raw_context))
    name = stored.key.encode("utf-8") if flags & 2 else b""
    associated = b"".join([b"s3envelope/SE1/header", header[:33], size, parsed.raw_context, name])
    for blob in candidates:
        data_key = reader.opens.get(blob)
        if data_key is None or len(data_key) != 32:
            continue
        object_key = open_gcm(data_key, header[33:45], header[45:], associated)
        if object_key is not None:
            return flags, check_commitment(object_key, header)
    raise RefusedError("NameBindingError" if flags & 2 else "HeaderAuthenticationError", "open")


def check_commitment(object_key: bytes, header: bytes) -> bytes:
    """Return K if the header commits to it."""
    extracted = hmac.new(b"\0" * 64, object_key, hashlib.sha512).digest()
    info = b"s3envelope/SE1/body" + (b"\1" if header[0] & 1 else b"\0") + b"\1"
    output = hmac.new(extracted, info, hashlib.sha512).digest()
    if output[32:] != header[1:33]:
        raise RefusedError("KeyCommitmentError", "open")
    return output[:32]


@dataclass(frozen=True, slots=True)
class Run:
    """One run: its number, the pinned first nonce, its place and its plaintext size."""

    number: int
    nonce: int | None
    offset: int
    size: int


def plain_runs(body: bytes) -> list[Run]:
    """Return the one run of a plain body."""
    full, rest = divmod(len(body), 65564)
    if rest < 28:
        raise RefusedError("TruncatedObjectError", "open")
    return [Run(0, None, 0, full * 65536 + rest - 28)]


def indexed_runs(body_key: bytes, body: bytes) -> list[Run]:
    """Return the runs that an authentic index lists."""
    problem = RefusedError("IndexAuthenticationError", "open")
    count = int.from_bytes(body[-4:], "big")
    start = len(body) - 24 * count - 32
    if not 1 <= count <= 10000 or start < 0:
        raise problem
    table, frame = body[start : start + 24 * count], body[start + 24 * count : -4]
    if open_gcm(body_key, frame[:12], frame[12:], b"\xff\xff\xff\xff\0\0\0\0" + table) is None:
        raise problem
    runs: list[Run] = []
    offset = last = 0
    for at in range(0, len(table), 24):
        number, nonce, size = struct.unpack(">I12sQ", table[at : at + 24])
        if not last < number <= 10000:
            raise problem
        runs.append(Run(number, int.from_bytes(nonce, "big"), offset, size))
        offset, last = offset + size + 28 * (size // 65536 + 1), number
    if offset != start:
        raise problem
    return runs


def segments(body_key: bytes, body: bytes, runs: Sequence[Run]) -> Iterator[bytes | None]:
    """Yield what every segment opens to, lazily; `None` for one that does not."""
    for run in runs:
        for index in range(run.size // 65536 + 1):
            size = min(65536, run.size - index * 65536)
            at = run.offset + index * 65564
            sealed = body[at : at + size + 28]
            pinned = None if run.nonce is None else ((run.nonce + index) % 2**96).to_bytes(12, "big")
            if pinned not in (None, sealed[:12]):
                yield None
                continue
            plaintext = open_gcm(body_key, sealed[:12], sealed[12:], struct.pack(">II", run.number, index))
            yield plaintext if plaintext is not None and len(plaintext) == size else None


def read(stored: Stored, reader: Reader, interval: tuple[int, int] | None = None) -> bytes:
    """Return the plaintext, or that of a half-open interval in the plain layout.

    Raises:
        RefusedError: With the class, the stage and the number of bytes that a streaming reader may have released.
    """
    flags, body_key = open_header(stored, reader)
    runs = indexed_runs(body_key, stored.body) if flags & 1 else plain_runs(stored.body)
    total = sum(run.size for run in runs)
    start, end = interval or (0, total)
    end = min(end, total)
    out, position = bytearray(), 0
    for plaintext in segments(body_key, stored.body, runs):
        # The segment that ends the object is needed by every answer that reaches its end, even if it is empty.
        needed = interval is None or end == total or position < end
        if plaintext is None and needed and (interval is None or position + 65536 > start):
            # The last byte of an answer is held back until the segment that ends the object has opened.
            raise RefusedError("SegmentAuthenticationError", "read", min(len(out), max(end - start - 1, 0)))
        size = 65536 if plaintext is None else len(plaintext)
        if plaintext is not None:
            out += plaintext[max(start - position, 0) : max(end - position, 0)]
        position += size
    return bytes(out)
