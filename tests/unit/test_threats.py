"""The attacks of THREATS.md that are tried on the engine; the numbers are those of its table."""

from __future__ import annotations

import dataclasses
import io
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from s3envelope import errors
from s3envelope.core.context import EncryptionContext
from s3envelope.core.encoding import decode_base64url, encode_base64url
from s3envelope.core.envelope import Envelope, header_associated_data
from s3envelope.core.index import IndexRow, seal_index
from s3envelope.core.ports import EncryptedDataKey
from s3envelope.core.ranges import AnswerHead, ByteRange
from s3envelope.core.secret import SecretBytes
from s3envelope.core.upload_state import UploadState, seal_state, verify_state
from s3envelope.engine.opening import Answer, Condition
from s3envelope.engine.sealing import CiphertextReader
from s3envelope.engine.sources import StreamSource
from s3envelope.keyrings.kms import KmsKeyring
from s3envelope.testing.local_kms import LocalKms
from s3envelope.testing.streams import ChangingSource
from tests.support.objects import (
    OBJECT_NAME,
    SEALED,
    SEGMENT,
    Reading,
    StoredObject,
    read_object,
    sealed_run,
    stored_indexed,
    stored_plain,
)
from tests.support.vector_objects import MemoryStorage, load, open_range, opener_for, vector_keyring

# Three full segments that differ everywhere, and an empty end.
PLAIN = stored_plain(b"".join(bytes([65 + number]) * SEGMENT for number in range(3)))
INDEXED = stored_indexed([(1, b"a" * SEGMENT), (2, b"b" * SEGMENT), (3, b"c" * SEGMENT)])
Classes = tuple[type[errors.S3EnvelopeError], ...]


def _assert_refused(reading: Reading, classes: Classes, plaintext: bytes, start: int = 0) -> None:
    """The read failed in one of these ways; what came out before is a true prefix."""
    assert type(reading.error) in classes
    assert reading.released == plaintext[start : start + len(reading.released)]
    assert len(reading.released) < max(1, len(plaintext) - start)


class LyingStorage(MemoryStorage):
    """Edits the heads of its answers."""

    def __init__(self, stored: StoredObject, lie: Callable[[AnswerHead], AnswerHead]) -> None:
        super().__init__(stored.metadata, stored.body)
        self._lie = lie

    def fetch(self, wanted: ByteRange | None, condition: Condition) -> Answer | None:
        answer = super().fetch(wanted, condition)
        return None if answer is None else dataclasses.replace(answer, head=self._lie(answer.head))


WHOLE_SIZES = [0, 1, 28, SEALED, SEALED + 28, 2 * SEALED + 28, 3 * SEALED, 3 * SEALED + 27, 3 * SEALED + 29, 4 * SEALED]


@pytest.mark.parametrize("size", [*WHOLE_SIZES, 2**62])
def test_threat_03_lying_answers(size: int) -> None:
    longer_lies: Classes = (errors.TruncatedObjectError, errors.SegmentAuthenticationError)
    interval = f"bytes 0-{SEALED - 1}/{size}"
    whole = LyingStorage(PLAIN, lambda head: dataclasses.replace(head, content_length=size))
    part = LyingStorage(PLAIN, lambda head: dataclasses.replace(head, content_range=interval))
    other = LyingStorage(PLAIN, lambda head: dataclasses.replace(head, content_range=f"bytes 1-{SEALED}/{size}"))

    _assert_refused(read_object(whole), longer_lies, PLAIN.plaintext)
    _assert_refused(read_object(other, "bytes=0-9"), (errors.TruncatedObjectError,), PLAIN.plaintext)
    reading = read_object(part, "bytes=0-9")
    # A larger total is not noticed by a range that does not reach the end: what it gives is true all the same.
    if reading.error is None:
        assert reading.released == PLAIN.plaintext[:10]
        assert size >= SEALED
    else:
        _assert_refused(reading, longer_lies, PLAIN.plaintext)


def test_threat_05_moved_segments() -> None:
    segments = [PLAIN.segment(index) for index in range(4)]
    genuine = list(range(4))
    orders = [list(order) for order in itertools.permutations(range(4)) if list(order) != genuine]
    orders += [[0, 0, 1, 2, 3], [0, 1, 1, 3], [0, 1, 3], [1, 2, 3], [0, 2, 3], [3], [3, 3]]

    for order in orders:
        moved = b"".join(segments[index] for index in order)
        for header in (None, "bytes=0-", f"bytes=0-{3 * SEGMENT - 1}"):
            reading = read_object(PLAIN.storage(body=moved), header)
            _assert_refused(reading, (errors.SegmentAuthenticationError, errors.TruncatedObjectError), PLAIN.plaintext)
            same = sum(
                1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(order, genuine, strict=False))
            )
            assert len(reading.released) <= same * SEGMENT


def test_threat_05_segments_of_another_object() -> None:
    other = stored_plain(PLAIN.plaintext, seed="other")

    mixed = PLAIN.segment(0) + other.segment(1) + PLAIN.body[2 * SEALED :]

    reading = read_object(PLAIN.storage(body=mixed))
    _assert_refused(reading, (errors.SegmentAuthenticationError,), PLAIN.plaintext)
    assert len(reading.released) <= SEGMENT


def test_threat_07_moved_parts() -> None:
    one, two, three, index = INDEXED.parts()
    row_one, row_two, row_three, sealed = index[:24], index[24:48], index[48:72], index[72:-4]
    of_two, of_three = (2).to_bytes(4, "big"), (3).to_bytes(4, "big")
    refused: Classes = (errors.SegmentAuthenticationError, errors.IndexAuthenticationError)
    bodies = [
        two + one + three + index,
        one + one + three + index,
        one + three + index,
        one + two + index,
        index,
        # With their rows of the index.
        two + one + three + row_two + row_one + row_three + sealed + of_three,
        one + three + row_one + row_three + sealed + of_two,
        one + two + row_one + row_two + sealed + of_two,
        two + three + row_two + row_three + sealed + of_two,
    ]

    for body in bodies:
        _assert_refused(read_object(INDEXED.storage(body=body)), refused, INDEXED.plaintext)
        # The second byte of part 2: a range that touches what was moved, or an index that contradicts the length.
        reading = read_object(INDEXED.storage(body=body), f"bytes={SEGMENT + 1}-{SEGMENT + 1}")
        _assert_refused(reading, refused, INDEXED.plaintext[: SEGMENT + 2], SEGMENT + 1)


def test_threat_08_superseded_part() -> None:
    # The same part was uploaded twice under one key; the index lists the second call.
    first = CiphertextReader(sealed_run(b"old" * 30_000, INDEXED.body_key, run=1, nonce_start=b"old nonce  1")).read()
    second = CiphertextReader(sealed_run(b"new" * 30_000, INDEXED.body_key, run=1, nonce_start=b"new nonce  2")).read()
    index = seal_index(INDEXED.body_key, [IndexRow(1, b"new nonce  2", 90_000)], bytes(12))

    genuine = read_object(INDEXED.storage(body=second + index))
    whole = read_object(INDEXED.storage(body=first + index))
    ranges = [read_object(INDEXED.storage(body=first + index), header) for header in ("bytes=0-9", "bytes=-9")]
    mixed = read_object(INDEXED.storage(body=second[:SEALED] + first[SEALED:] + index))

    assert genuine.released == b"new" * 30_000
    for reading in (whole, *ranges):
        _assert_refused(reading, (errors.SegmentAuthenticationError,), b"")
    _assert_refused(mixed, (errors.SegmentAuthenticationError,), b"new" * 30_000)


def test_threat_15_rotation_is_no_laundry() -> None:
    context = EncryptionContext({"tenant": "acme"})
    with LocalKms() as kms:
        trusted, new, adversary = kms.create_key(), kms.create_key(), kms.create_key()
        foreign = KmsKeyring(adversary, kms.client()).generate_data_key(context).encrypted[0]
        genuine = KmsKeyring(trusted, kms.client()).generate_data_key(context)
        keyring = KmsKeyring(new, kms.client())
        kms.clear_calls()

        # KMS itself would follow the blob to the adversary's key if the source were not named.
        with pytest.raises(errors.KeyringError):
            keyring.reencrypt_data_key(foreign, context, source_key_arn=trusted)
        with pytest.raises(errors.KeyringError):
            keyring.reencrypt_data_key(genuine.encrypted[0], EncryptionContext(), source_key_arn=trusted)
        rotated = keyring.reencrypt_data_key(genuine.encrypted[0], context, source_key_arn=trusted)

        assert [call.source_key_id for call in kms.calls if call.operation == "ReEncrypt"] == [trusted] * 3
        assert next(keyring.decrypt_data_keys([rotated], context))[1] == genuine.plaintext


def test_threat_16_two_keys_one_header() -> None:
    (attack,) = [vector for vector in load("se1_negative.json") if vector["name"] == "commitment-two-keys"]
    (base,) = [vector for vector in load("se1_positive.json") if vector["name"] == attack["base"]]
    keys = attack["edit"]["keys"]
    envelope = Envelope.parse(base["metadata"])
    header, context = envelope.header, envelope.context
    name = base["key"].encode() if header.bound else b""
    associated = header_associated_data(header.flags, header.commitment, context.canonical, name)
    storage = MemoryStorage(base["metadata"], bytes(33))
    opener = opener_for(vector_keyring(base, keys), storage, base["key"])

    # The attack is real: AES-GCM opens this one header under both data keys.
    opened = {
        AESGCM(bytes.fromhex(key)).decrypt(header.nonce, header.sealed_object_key, associated)
        for key in (base["dek"], keys[0]["opens_to"])
    }

    assert len(opened) == 2
    with pytest.raises(errors.KeyCommitmentError):
        open_range(opener, storage, None)


@pytest.mark.parametrize("bound", [True, False])
@pytest.mark.parametrize("indexed", [True, False])
@pytest.mark.parametrize("bit", range(8))
def test_threat_18_changed_flags(indexed: bool, bound: bool, bit: int) -> None:
    parts = [(1, b"x" * 10)]
    stored = stored_indexed(parts, bound=bound) if indexed else stored_plain(b"x" * 10, bound=bound)
    raw = bytearray(decode_base64url(stored.metadata["se1-h"], limit=124, what="header"))
    raw[0] ^= 1 << bit
    metadata = {**stored.metadata, "se1-h": encode_base64url(bytes(raw))}
    still_bound = bool(raw[0] & 2)
    expected = (
        errors.MalformedEnvelopeError
        if bit > 1
        else errors.NameBindingError
        if still_bound
        else errors.HeaderAuthenticationError
    )

    reading = read_object(stored.storage(metadata=metadata))

    assert type(reading.error) is expected
    assert reading.released == b""


class MeasuredBody:
    """A body that knows the largest read that was asked of it."""

    def __init__(self, body: bytes) -> None:
        self._body = io.BytesIO(body)
        self.largest_read = 0

    def read(self, size: int = -1, /) -> bytes:
        self.largest_read = max(self.largest_read, 2**62 if size < 0 else size)
        return self._body.read(size)


class ClaimingStorage(MemoryStorage):
    """Says that the object is huge, and answers every range with a 200 if it is told to."""

    def __init__(self, stored: StoredObject, total: int, *, ignores_ranges: bool) -> None:
        super().__init__(stored.metadata, stored.body)
        self._total = total
        self._ignores_ranges = ignores_ranges
        self.bodies: list[MeasuredBody] = []

    def fetch(self, wanted: ByteRange | None, condition: Condition) -> Answer | None:
        self.requests += 1
        self.bodies.append(MeasuredBody(self.body))
        start, end = (0, self._total) if wanted is None or self._ignores_ranges else wanted.resolve(self._total)
        status = 200 if (start, end) == (0, self._total) else 206
        content_range = None if status == 200 else f"bytes {start}-{end - 1}/{self._total}"
        head = AnswerHead(status, self.etag, None, end - start, content_range)
        return Answer(head, self.metadata, self.bodies[-1])


@pytest.mark.parametrize("total", [2**40 * 28 + 28, 2**48, 2**62])
@pytest.mark.parametrize("ignores_ranges", [True, False])
@pytest.mark.parametrize("stored", [PLAIN, INDEXED], ids=["plain", "indexed"])
def test_threat_19_bounded_claims(stored: StoredObject, ignores_ranges: bool, total: int) -> None:
    for header in (None, "bytes=0-9", "bytes=-9", f"bytes={2**39}-"):
        storage = ClaimingStorage(stored, total, ignores_ranges=ignores_ranges)

        reading = read_object(storage, header)

        if reading.error is not None:
            assert isinstance(reading.error, errors.DecryptionError)
        assert reading.released == stored.plaintext[: len(reading.released)]
        # Nothing is allocated by a claim: one segment, or one index, is the most that is ever asked for.
        assert max(body.largest_read for body in storage.bodies) <= 240_032
        assert storage.requests <= 3


def test_threat_19_bounded_index_and_entries() -> None:
    for count in (0, 10_001, 2**31, 2**32 - 1):
        body = INDEXED.body[:-4] + count.to_bytes(4, "big")
        _assert_refused(read_object(INDEXED.storage(body=body)), (errors.IndexAuthenticationError,), b"")
    entry = decode_base64url(PLAIN.metadata["se1-k"], limit=2048, what="keys")
    for keys in (encode_base64url(entry * 5), encode_base64url(bytes(4) + b"\xff\xff" + bytes(1500)), "A" * 2049):
        reading = read_object(PLAIN.storage(metadata={**PLAIN.metadata, "se1-k": keys}))
        _assert_refused(reading, (errors.MalformedEnvelopeError,), b"")


class CountingKeyring:
    """A keyring for which nothing opens; it counts what it was asked."""

    encrypted_data_key_sizes = (80,)
    key_ids = frozenset({"counting"})

    def __init__(self) -> None:
        self.asked = 0

    def decrypt_data_keys(
        self, keys: Sequence[EncryptedDataKey], context: EncryptionContext
    ) -> Iterator[tuple[EncryptedDataKey, SecretBytes]]:
        for key in keys:
            self.asked += 1
            yield key, SecretBytes(bytes(32))


def test_threat_19_bounded_key_service_calls() -> None:
    entry = decode_base64url(PLAIN.metadata["se1-k"], limit=2048, what="keys")
    storage = PLAIN.storage(metadata={**PLAIN.metadata, "se1-k": encode_base64url(entry * 4)})
    keyring = CountingKeyring()

    with pytest.raises(errors.NameBindingError):
        open_range(opener_for(keyring, storage, OBJECT_NAME), storage, None)  # type: ignore[arg-type]

    assert keyring.asked == 4


DEEP = encode_base64url(b'{"a":' * 300)
MALFORMED: dict[str, Mapping[str, str]] = {
    "padding": {"se1-h": PLAIN.metadata["se1-h"] + "="},
    "standard base64": {"se1-k": "+/+/"},
    "spaces": {"se1-h": " " * 124},
    "not ascii": {"se1-k": "\u00e9" * 4},
    "null characters": {"se1-h": "\0" * 124},
    "impossible length": {"se1-k": "A" * 5},
    "empty": {"se1-h": ""},
    "spare bits": {"se1-k": PLAIN.metadata["se1-k"][:-1] + "_"},
    "deep json": {"se1-x": DEEP},
    "not json": {"se1-x": encode_base64url(b"not json")},
    "not utf-8": {"se1-x": encode_base64url(b'{"a":"\xff"}')},
    "number": {"se1-x": encode_base64url(b"1" * 1000)},
    "spelling": {"se1-x": encode_base64url(b'{"a": "b"}')},
}


@pytest.mark.parametrize("edit", [pytest.param(edit, id=name) for name, edit in MALFORMED.items()])
def test_threat_20_malformed_input(edit: Mapping[str, str]) -> None:
    reading = read_object(PLAIN.storage(metadata={**PLAIN.metadata, **edit}))

    _assert_refused(reading, (errors.MalformedEnvelopeError,), b"")


@pytest.mark.parametrize(
    "content_range",
    ["", "bytes", "bytes 0-9", "bytes 0-9/", "bytes a-b/c", "bytes 0-9/*", "bytes 0-99999999999999999999/1", "\udcff"],
)
def test_threat_20_malformed_headers_of_answers(content_range: str) -> None:
    storage = LyingStorage(PLAIN, lambda head: dataclasses.replace(head, content_range=content_range))

    _assert_refused(read_object(storage, "bytes=0-9"), (errors.TruncatedObjectError,), b"")


def test_threat_21_changed_source() -> None:
    run = sealed_run(StreamSource(ChangingSource(PLAIN.plaintext, offset=SEGMENT + 5)), PLAIN.body_key)
    first_reader, second_reader = CiphertextReader(run), CiphertextReader(run)
    first = first_reader.read()
    first_reader.seek(0)

    kept = first_reader.read(SEALED)
    with pytest.raises(errors.SourceChangedError):
        first_reader.read(1)

    # One key and nonce never sealed two plaintexts that left; and no reader of this body goes on.
    assert kept == first[:SEALED]
    with pytest.raises(errors.SourceChangedError):
        second_reader.read(1)


def test_threat_26_forged_upload_state() -> None:
    text = UploadState("bucket", OBJECT_NAME, "id", INDEXED.metadata, (), None).serialise()
    tag = seal_state(INDEXED.body_key, text, bytes(12))
    other = stored_indexed([(1, b"x")], seed="other")
    forged = [
        # Edited.
        (INDEXED, text.replace(b'"id"', b'"ie"'), tag),
        (INDEXED, text.replace(b'"bucket":"bucket"', b'"bucket":"socket"'), tag),
        # Swapped: with the envelope of another upload, or for it.
        (INDEXED, text.replace(INDEXED.metadata["se1-h"].encode(), other.metadata["se1-h"].encode()), tag),
        (other, text, tag),
        # Invented, from the public metadata and index of a finished object.
        (INDEXED, text, encode_base64url(INDEXED.body[-32:-4])),
        (INDEXED, text, encode_base64url(bytes(28))),
        (INDEXED, text, encode_base64url(INDEXED.body[:28])),
    ]

    assert verify_state(INDEXED.body_key, text, tag).key == OBJECT_NAME
    for stored, claimed, claimed_tag in forged:
        with pytest.raises(errors.DecryptionError):
            verify_state(stored.body_key, claimed, claimed_tag)
    for bad_tag in ("", tag + "A", tag[:-1], tag + "="):
        with pytest.raises((errors.MalformedEnvelopeError, errors.DecryptionError)):
            verify_state(INDEXED.body_key, text, bad_tag)
    with pytest.raises(errors.MalformedEnvelopeError):
        verify_state(INDEXED.body_key, b"{}", seal_state(INDEXED.body_key, b"{}", bytes(12)))
