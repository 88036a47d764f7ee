"""The rewindable form of one GCM message: whatever is read in whatever order is what one-shot GCM gives."""

from __future__ import annotations

import io
import os
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from hypothesis import given, settings
from hypothesis import strategies as st

from s3envelope.core.secret import SecretBytes
from s3envelope.engine.messages import CHUNK_SIZE, PlaintextLog, SealedMessage, WholeMessage, seal_chunk, sealed_message
from s3envelope.engine.sealing import CiphertextReader
from s3envelope.engine.sources import BufferSource, PlaintextSource, StreamSource
from s3envelope.errors import ConfigurationError, SourceChangedError, UnsupportedOperationError
from s3envelope.formats.s3ec.bodies import MessageSealer
from s3envelope.formats.s3ec.model import ContentAlgorithm, S3ecEnvelope, WrapAlgorithm
from s3envelope.testing.streams import OverlongSource, ShortReadSource

KEY, IV = bytes(range(32)), bytes(range(12))
SIZES = (0, 1, 15, 16, 17, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1, 2 * CHUNK_SIZE, 3 * CHUNK_SIZE + 5)
CONTENT = os.urandom(4 * CHUNK_SIZE)


def new_sealer() -> MessageSealer:
    envelope = S3ecEnvelope(2, ContentAlgorithm.GCM, WrapAlgorithm.AES_GCM, b"-", IV, None, {})
    return MessageSealer(envelope, SecretBytes(KEY))


def expected_of(plaintext: bytes) -> bytes:
    return AESGCM(KEY).encrypt(IV, plaintext, None)


def message_of(source: PlaintextSource, process_id: Callable[[], int] = os.getpid) -> CiphertextReader:
    whole = WholeMessage(new_sealer(), PlaintextLog(os.urandom))
    return CiphertextReader(SealedMessage(source, whole, process_id=process_id))


class Changing:
    """A source whose content is replaced at will."""

    def __init__(self, content: bytes) -> None:
        self.content, self.size = bytearray(content), len(content)
        self.reads: list[tuple[int, int]] = []

    def read_at(self, offset: int, size: int) -> bytes:
        self.reads.append((offset, size))
        return bytes(self.content[offset : offset + size])

    def rewind(self, offset: int) -> None:
        """Do nothing."""


@pytest.mark.parametrize("size", SIZES)
def test_message_when_read_whole_twice_is_that_of_one_shot_gcm(size: int) -> None:
    reader = message_of(BufferSource(CONTENT[:size]))

    first = reader.read()
    reader.seek(0)
    second = reader.read()

    assert first == second == expected_of(CONTENT[:size])
    assert (len(reader), reader.tell(), reader.read()) == (size + 16, size + 16, b"")


@pytest.mark.parametrize("size", SIZES)
def test_message_when_its_tag_is_read_first_is_that_of_one_shot_gcm(size: int) -> None:
    reader = message_of(StreamSource(io.BytesIO(CONTENT[:size])))

    reader.seek(-16, io.SEEK_END)
    tag = reader.read()
    reader.seek(0)

    assert reader.read(size) + tag == expected_of(CONTENT[:size])


_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.integers(0, 3 * CHUNK_SIZE)),
        st.tuples(st.just("seek"), st.integers(0, 4 * CHUNK_SIZE)),
        st.tuples(st.just("seek"), st.sampled_from([0, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1])),
        st.tuples(st.just("read"), st.sampled_from([1, 16, 8192, CHUNK_SIZE, CHUNK_SIZE + 1])),
    ),
    max_size=12,
)


@given(size=st.one_of(st.sampled_from(SIZES), st.integers(0, 4 * CHUNK_SIZE)), steps=_STEPS)
@settings(max_examples=150, deadline=None)
def test_message_when_read_and_sought_in_any_sequence_is_that_of_one_shot_gcm(
    size: int, steps: list[tuple[str, int]]
) -> None:
    reader, model = message_of(BufferSource(CONTENT[:size])), io.BytesIO(expected_of(CONTENT[:size]))

    for action, number in steps:
        assert getattr(reader, action)(number) == getattr(model, action)(number)
        assert reader.tell() == model.tell()


@pytest.mark.parametrize("size", SIZES)
def test_stream_when_sealed_once_is_that_of_one_shot_gcm(size: int) -> None:
    stream = ShortReadSource(CONTENT[:size], longest=5000)

    assert b"".join(sealed_message(stream, new_sealer())) == expected_of(CONTENT[:size])


def test_stream_when_it_returns_too_much_is_refused() -> None:
    pieces = sealed_message(OverlongSource(CONTENT), new_sealer())

    with pytest.raises(ConfigurationError, match="more bytes than it is asked for"):
        next(pieces)


@pytest.mark.parametrize("offset", [0, CHUNK_SIZE - 1, CHUNK_SIZE, 3 * CHUNK_SIZE - 1])
def test_source_when_a_byte_changes_between_passes_then_its_chunk_never_leaves(offset: int) -> None:
    source = Changing(CONTENT[: 3 * CHUNK_SIZE])
    reader = message_of(source)
    reader.read()
    source.content[offset] ^= 1
    reader.seek(0)
    chunk = offset // CHUNK_SIZE * CHUNK_SIZE

    unchanged = reader.read(chunk)
    with pytest.raises(SourceChangedError, match="other bytes than in an earlier pass"):
        reader.read(1)

    assert unchanged == expected_of(CONTENT[: 3 * CHUNK_SIZE])[:chunk]
    source.content[offset] ^= 1
    reader.seek(0)
    with pytest.raises(SourceChangedError, match="changed in an earlier pass"):
        reader.read(1)


def test_source_when_it_changes_in_the_middle_of_a_large_read_then_nothing_of_the_read_leaves() -> None:
    source = Changing(CONTENT[: 3 * CHUNK_SIZE])
    reader = message_of(source)
    reader.read(2 * CHUNK_SIZE)
    source.content[CHUNK_SIZE] ^= 1
    reader.seek(0)

    with pytest.raises(SourceChangedError):
        reader.read()

    assert reader.tell() == 0


def test_source_when_it_changes_behind_what_was_read_then_it_is_one_message_all_the_same() -> None:
    source = Changing(CONTENT[: 2 * CHUNK_SIZE])
    reader = message_of(source)
    reader.read(CHUNK_SIZE)
    source.content[CHUNK_SIZE] ^= 1
    reader.seek(0)

    assert reader.read() == expected_of(bytes(source.content))


def test_source_when_it_shrinks_is_refused() -> None:
    source = Changing(CONTENT[: 2 * CHUNK_SIZE])
    reader = message_of(source)
    del source.content[-1:]

    assert len(reader.read(CHUNK_SIZE)) == CHUNK_SIZE
    with pytest.raises(SourceChangedError, match="fewer bytes"):
        reader.read()


def test_source_when_it_returns_too_much_is_refused() -> None:
    class Overlong(Changing):
        def read_at(self, offset: int, size: int) -> bytes:
            return super().read_at(offset, size) + b"!"

    with pytest.raises(SourceChangedError, match="more than was asked for"):
        message_of(Overlong(CONTENT[:10])).read()


def test_pass_when_it_begins_again_reads_the_source_again() -> None:
    source = Changing(CONTENT[:CHUNK_SIZE])
    reader = message_of(source)
    reader.read(10)
    reader.read(10)
    count = len(source.reads)

    reader.seek(0)
    reader.read(10)

    assert (count, len(source.reads)) == (1, 2)


def test_message_when_read_in_a_forked_process_is_refused() -> None:
    process_ids = iter([1, 1, 2])
    reader = message_of(BufferSource(CONTENT[:10]), process_id=lambda: next(process_ids))
    reader.read(1)

    with pytest.raises(UnsupportedOperationError, match="fork"):
        reader.read(1)


def test_log_when_asked_of_other_content_says_so() -> None:
    log = PlaintextLog(os.urandom)
    log.record(b"x" * 10)

    answers = [log.is_same(0, content) for content in (b"x" * 10, b"x" * 9 + b"y", b"x" * 9, b"x" * 11, b"")]

    assert answers == [True, False, False, False, False]


def test_chunk_when_it_would_be_sealed_at_another_place_is_refused() -> None:
    sealer, log = new_sealer(), PlaintextLog(os.urandom)
    seal_chunk(sealer, log, 0, CONTENT[:CHUNK_SIZE])
    # The cipher is ahead of what is known of the plaintext, as after a failure between the two.
    sealer.update(b"x")

    with pytest.raises(SourceChangedError):
        seal_chunk(sealer, log, 1, CONTENT[:CHUNK_SIZE])


def test_chunk_when_it_follows_one_that_was_not_full_is_refused() -> None:
    sealer, log = new_sealer(), PlaintextLog(os.urandom)
    seal_chunk(sealer, log, 0, CONTENT[: CHUNK_SIZE - 1])

    with pytest.raises(SourceChangedError, match="more bytes"):
        seal_chunk(sealer, log, 1, b"x")

    assert (sealer.size, log.size) == (CHUNK_SIZE - 1, CHUNK_SIZE - 1)
