"""Multipart uploads of one GCM message: parts in sequence, each sealed once, and again only if it is the same."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from s3envelope.core.layout import MAX_PUT_SIZE, MIN_PART_SIZE
from s3envelope.core.ports import SystemPorts
from s3envelope.core.secret import SecretBytes
from s3envelope.engine import message_uploads
from s3envelope.engine.indexed_uploads import RejectedPartsError
from s3envelope.engine.message_uploads import MessageUpload
from s3envelope.engine.messages import CHUNK_SIZE
from s3envelope.engine.sealing import CiphertextReader
from s3envelope.engine.sources import BufferSource
from s3envelope.errors import ConfigurationError, SourceChangedError, UnsupportedOperationError
from s3envelope.formats.s3ec.bodies import MessageSealer
from s3envelope.formats.s3ec.model import MAX_PLAINTEXT_SIZE, ContentAlgorithm, S3ecEnvelope, WrapAlgorithm

KEY, IV = bytes(range(32)), bytes(range(12))
CONTENT = os.urandom(8 * CHUNK_SIZE)


def sealed_by_gcm(plaintext: bytes) -> bytes:
    return AESGCM(KEY).encrypt(IV, plaintext, None)


def new_upload(plaintext_size: int | None = None, process_id: Callable[[], int] = os.getpid) -> MessageUpload:
    envelope = S3ecEnvelope(2, ContentAlgorithm.GCM, WrapAlgorithm.AES_GCM, b"-", IV, None, {})
    sealer = MessageSealer(envelope, SecretBytes(KEY))
    ports = SystemPorts(random=os.urandom, clock=lambda: 0.0, process_id=process_id, wall_clock=lambda: 0.0)
    return MessageUpload(sealer, ports, plaintext_size=plaintext_size)


def seal(upload: MessageUpload, number: int, plaintext: bytes) -> bytes:
    return b"".join(upload.seal_part(number, io.BytesIO(plaintext)))


def send(upload: MessageUpload, number: int, plaintext: bytes) -> bytes:
    """Seal a part and let it succeed."""
    ciphertext = seal(upload, number, plaintext)
    upload.part_succeeded(number, f'"{number}"', ciphertext if len(ciphertext) < MIN_PART_SIZE else None)
    return ciphertext


def listed(count: int) -> list[tuple[int, str]]:
    return [(number, f'"{number}"') for number in range(1, count + 1)]


@pytest.fixture
def small_minimum(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let parts in the middle be small, so that tests are quick."""
    monkeypatch.setattr(message_uploads, "MIN_PART_SIZE", 1)


@pytest.mark.usefixtures("small_minimum")
@given(cuts=st.lists(st.integers(1, 3 * CHUNK_SIZE), min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_parts_when_of_any_sizes_and_sealed_again_are_one_message(cuts: list[int]) -> None:
    upload, position, stored = new_upload(), 0, []
    for number, size in enumerate(cuts, 1):
        part = CONTENT[position : position + size]
        position += len(part)
        first = send(upload, number, part)
        again = CiphertextReader(upload.sealed_part(number, BufferSource(part))).read()
        assert first == again == seal(upload, number, part)
        stored.append(first)

    end = upload.freeze(listed(len(cuts)))

    assert end is not None
    assert b"".join([*stored, end.body]) == sealed_by_gcm(CONTENT[:position])


@pytest.mark.parametrize("size", [0, 1, CHUNK_SIZE, CHUNK_SIZE + 1])
def test_last_part_when_it_is_small_is_sent_again_with_the_tag(size: int) -> None:
    upload = new_upload()
    send(upload, 1, CONTENT[:size])

    end = upload.freeze(listed(1))

    assert end is not None
    assert (end.parts, end.number, end.body, end.etag) == ((), 1, sealed_by_gcm(CONTENT[:size]), None)


@pytest.mark.parametrize("size", [MIN_PART_SIZE - 1, MIN_PART_SIZE])
def test_last_part_when_it_has_5_mib_is_followed_by_the_tag_alone(size: int) -> None:
    upload, plaintext = new_upload(), os.urandom(size)
    send(upload, 1, plaintext)

    end = upload.freeze(listed(1))
    upload.end_sent('"end"')
    repeated = upload.freeze(listed(1))

    assert end is not None
    assert repeated is not None
    tag = sealed_by_gcm(plaintext)[-16:]
    assert (end.number, end.body[-16:], len(end.body)) == (
        (2, tag, 16) if size == MIN_PART_SIZE else (1, tag, size + 16)
    )
    assert (repeated.body, repeated.etag) == (end.body, '"end"')


@pytest.mark.parametrize("size", [0, 1, CHUNK_SIZE])
def test_part_when_it_reaches_the_known_size_carries_the_tag(size: int) -> None:
    upload = new_upload(plaintext_size=size)
    part = CONTENT[:size]

    sent = send(upload, 1, part)

    assert sent == seal(upload, 1, part) == sealed_by_gcm(part)
    assert CiphertextReader(upload.sealed_part(1, BufferSource(part))).read() == sent
    with pytest.raises(UnsupportedOperationError, match="was the last one"):
        seal(upload, 2, b"x")
    assert upload.freeze(listed(1)) is None


def test_part_when_its_number_is_the_last_possible_carries_the_tag(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(message_uploads, "MAX_PART_NUMBER", 2)
    monkeypatch.setattr(message_uploads, "MIN_PART_SIZE", 1)
    upload = new_upload()

    stored = send(upload, 1, CONTENT[:100]) + send(upload, 2, CONTENT[100:150])

    assert stored == sealed_by_gcm(CONTENT[:150])
    assert upload.freeze(listed(2)) is None
    with pytest.raises(ConfigurationError, match="PartNumber is 3"):
        new_upload().check_part(3)


class Untouchable:
    """A stream that must not be read."""

    def read(self, size: int = -1, /) -> bytes:
        raise AssertionError("read")


@pytest.mark.parametrize(("sent", "number"), [(0, 2), (1, 3), (2, 10_000)])
def test_part_when_it_is_not_the_next_one_is_refused_before_it_is_read(sent: int, number: int) -> None:
    upload = new_upload()
    for done in range(1, sent + 1):
        send(upload, done, b"x" * 16)

    with pytest.raises(UnsupportedOperationError, match=f"part {number} is refused, part {sent + 1} is due.*max_conc"):
        next(upload.seal_part(number, Untouchable()))


@pytest.mark.parametrize("number", [0, -1, 10_001])
def test_part_when_its_number_is_not_legal_is_refused(number: int) -> None:
    with pytest.raises(ConfigurationError, match="PartNumber"):
        new_upload().check_part(number)


def test_part_when_the_one_before_it_is_still_being_sealed_is_refused() -> None:
    upload = new_upload()
    running = upload.seal_part(1, io.BytesIO(CONTENT[: 2 * CHUNK_SIZE]))
    first = next(running)

    with pytest.raises(UnsupportedOperationError, match="part 1 is being read"):
        next(upload.seal_part(2, Untouchable()))

    assert first + b"".join(running) == sealed_by_gcm(CONTENT[: 2 * CHUNK_SIZE])[:-16]


@pytest.mark.parametrize("offset", [0, CHUNK_SIZE - 1, CHUNK_SIZE, 2 * CHUNK_SIZE - 1])
def test_part_when_it_is_sealed_again_with_other_content_then_the_chunk_is_refused(offset: int) -> None:
    upload = new_upload()
    part = CONTENT[: 2 * CHUNK_SIZE]
    sent = send(upload, 1, part)
    changed = bytearray(part)
    changed[offset] ^= 1
    released: list[bytes] = []

    with pytest.raises(SourceChangedError, match="part 1 has other content"):
        released.extend(upload.seal_part(1, io.BytesIO(changed)))
    with pytest.raises(SourceChangedError, match="part 1 has other content"):
        CiphertextReader(upload.sealed_part(1, BufferSource(bytes(changed)))).read()

    assert b"".join(released) == sent[: offset // CHUNK_SIZE * CHUNK_SIZE]
    assert seal(upload, 1, part) == sent


@pytest.mark.parametrize("size", [0, 1, CHUNK_SIZE, CHUNK_SIZE + 1, 3 * CHUNK_SIZE])
def test_part_when_it_is_sealed_again_with_another_size_is_refused(size: int) -> None:
    upload = new_upload()
    send(upload, 1, CONTENT[: CHUNK_SIZE + 2])
    released: list[bytes] = []

    with pytest.raises(SourceChangedError):
        released.extend(upload.seal_part(1, io.BytesIO(CONTENT[:size])))
    with pytest.raises(SourceChangedError):
        upload.check_part(1, size)
    with pytest.raises(SourceChangedError):
        upload.sealed_part(1, BufferSource(CONTENT[:size]))

    assert sealed_by_gcm(CONTENT[: CHUNK_SIZE + 2]).startswith(b"".join(released))


def test_part_when_reading_fails_begins_again_with_the_same_content_only() -> None:
    class Failing(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            if self.tell() >= 2 * CHUNK_SIZE:
                raise OSError("gone")
            return super().read(size)

    upload, part = new_upload(), CONTENT[: 3 * CHUNK_SIZE]
    with pytest.raises(OSError, match="gone"):
        list(upload.seal_part(1, Failing(part)))

    with pytest.raises(SourceChangedError):
        seal(upload, 1, b"!" + part[1:])
    with pytest.raises(SourceChangedError):
        seal(upload, 1, part[:CHUNK_SIZE])
    with pytest.raises(UnsupportedOperationError, match="was not read to its end"):
        upload.check_part(2)

    assert send(upload, 1, part) == sealed_by_gcm(part)[:-16]


REJECTED: dict[str, tuple[list[tuple[int, str]], type[Exception], str]] = {
    "empty": ([], RejectedPartsError, "MalformedXML"),
    "descending": ([(2, "2"), (1, "1")], RejectedPartsError, "InvalidPartOrder"),
    "twice": ([(1, "1"), (1, "1")], RejectedPartsError, "InvalidPartOrder"),
    "unknown": ([(1, "1"), (2, "2"), (3, "3")], RejectedPartsError, "InvalidPart"),
    "number 0": ([(0, "1")], RejectedPartsError, "InvalidPart"),
    "wrong ETag": ([(1, "1"), (2, "x")], RejectedPartsError, "InvalidPart"),
    "first left out": ([(2, "2")], UnsupportedOperationError, "leaves one out"),
    "last left out": ([(1, "1")], UnsupportedOperationError, "leaves one out"),
    "small in the middle": ([(1, "1"), (2, "2")], RejectedPartsError, "EntityTooSmall"),
}


@pytest.mark.parametrize("name", REJECTED)
def test_complete_when_the_list_is_not_right_is_refused_and_the_upload_goes_on(name: str) -> None:
    parts, error, message = REJECTED[name]
    upload = new_upload()
    sent = send(upload, 1, CONTENT[:100]) + send(upload, 2, CONTENT[100:120])

    with pytest.raises(error, match=message):
        upload.freeze(parts)

    assert sent + send(upload, 3, CONTENT[120:130]) == sealed_by_gcm(CONTENT[:130])[:-16]


def test_complete_when_a_part_was_sealed_and_not_sent_is_refused() -> None:
    upload = new_upload()
    seal(upload, 1, CONTENT[:100])

    with pytest.raises(RejectedPartsError, match="InvalidPart"):
        upload.freeze(listed(1))

    send(upload, 1, CONTENT[:100])
    assert upload.freeze(listed(1)) is not None


def test_complete_when_the_small_last_part_is_not_here_asks_for_it_again() -> None:
    upload = new_upload()
    seal(upload, 1, CONTENT[:100])
    upload.part_succeeded(1, '"1"', None)

    with pytest.raises(UnsupportedOperationError, match="upload that part again"):
        upload.freeze(listed(1))

    send(upload, 1, CONTENT[:100])
    assert upload.freeze(listed(1)) is not None


def test_complete_when_called_then_no_part_and_no_other_list_is_taken() -> None:
    upload = new_upload()
    send(upload, 1, CONTENT[:100])
    upload.freeze(listed(1))

    for number in (1, 2):
        with pytest.raises(UnsupportedOperationError, match="complete was called"):
            next(upload.seal_part(number, Untouchable()))
    with pytest.raises(UnsupportedOperationError, match="another list"):
        upload.freeze([(1, "other")])


def test_upload_when_over_releases_nothing_more() -> None:
    upload = new_upload()
    send(upload, 1, CONTENT[:CHUNK_SIZE])
    message: Any = upload.sealed_part(1, BufferSource(CONTENT[:CHUNK_SIZE]))
    running = upload.seal_part(2, io.BytesIO(CONTENT[: 2 * CHUNK_SIZE]))
    next(running)

    upload.finish()
    upload.finish()

    for read in (
        lambda: message.read_at(0, 1),
        lambda: next(running),
        lambda: upload.check_part(2),
        lambda: upload.freeze([]),
    ):
        with pytest.raises(UnsupportedOperationError, match="completed or aborted"):
            read()
    upload.part_succeeded(2, "late", None)


def test_upload_when_the_process_was_forked_releases_nothing() -> None:
    process = [1]
    upload = new_upload(process_id=lambda: process[0])
    send(upload, 1, b"x")
    message = upload.sealed_part(1, BufferSource(b"x"))
    process[0] = 2

    for read in (lambda: message.read_at(0, 1), lambda: seal(upload, 2, b"x"), lambda: upload.freeze(listed(1))):
        with pytest.raises(UnsupportedOperationError, match="fork"):
            read()


def test_part_when_the_message_would_be_too_large_is_refused_before_it_is_read() -> None:
    upload = new_upload()
    send(upload, 1, b"x" * 32)

    with pytest.raises(ConfigurationError, match="64 GiB less 32 bytes"):
        upload.check_part(2, MAX_PLAINTEXT_SIZE - 31)
    with pytest.raises(ConfigurationError, match="S3 takes"):
        upload.check_part(2, MAX_PUT_SIZE - 15)
    upload.check_part(2, MAX_PUT_SIZE - 16)


def test_stream_when_the_message_becomes_too_large_is_refused_while_it_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("s3envelope.formats.s3ec.bodies.MAX_PLAINTEXT_SIZE", 2 * CHUNK_SIZE)
    upload = new_upload()
    send(upload, 1, CONTENT[:CHUNK_SIZE])
    released: list[bytes] = []

    with pytest.raises(ConfigurationError, match="the most that one object"):
        released.extend(upload.seal_part(2, io.BytesIO(CONTENT[: CHUNK_SIZE + 1])))

    assert len(b"".join(released)) == CHUNK_SIZE
