"""Sealed bodies: the same bytes however they are read, and never two plaintexts under one nonce."""

from __future__ import annotations

import copy
import io
import os
import pickle
import random
import threading
from collections.abc import Callable

import pytest

from s3envelope.core.segments import SegmentOpener
from s3envelope.engine.one_pass import sealed_segments
from s3envelope.engine.sealing import Attempt, CiphertextReader, SealedRun
from s3envelope.engine.sources import BufferSource, PlaintextSource, StreamSource, is_seekable, plaintext_source
from s3envelope.errors import ConfigurationError, SourceChangedError, UnsupportedOperationError
from s3envelope.testing.streams import (
    ChangingSource,
    FailingSource,
    MemorySource,
    NonSeekableSource,
    OverlongSource,
    ResizingSource,
    ShortReadSource,
    SilentSeekSource,
    StrictEndSource,
    TextSource,
)
from tests.support.objects import SEALED, SEGMENT, FakeProcess, new_body_key, sealed_run

SIZES = [0, 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT]
PLAINTEXT = random.Random(1).randbytes(2 * SEGMENT + 100)
KEY = new_body_key()


def _ciphertext(plaintext: bytes) -> bytes:
    return CiphertextReader(sealed_run(plaintext, KEY)).read()


def _drain(reader: CiphertextReader, size: int, out: bytearray | None = None) -> bytes:
    """Read to the end; `out` also has what came before an error."""
    drained = bytearray() if out is None else out
    while piece := reader.read(size):
        assert len(piece) <= size
        drained += piece
    return bytes(drained)


@pytest.mark.parametrize("size", SIZES)
def test_body_when_sealed_then_its_segments_open_in_order(size: int) -> None:
    body = _ciphertext(PLAINTEXT[:size])
    opener = SegmentOpener(KEY)

    opened = [opener.open(0, start // SEALED, body[start : start + SEALED]) for start in range(0, len(body), SEALED)]

    assert b"".join(opened) == PLAINTEXT[:size]
    assert [len(piece) for piece in opened] == [SEGMENT] * (size // SEGMENT) + [size % SEGMENT]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("step", [1000, SEALED - 1, SEALED, SEALED + 1, 3 * SEALED, 1 << 20])
def test_body_when_read_in_steps_of_any_size_then_it_is_the_same(size: int, step: int) -> None:
    run = sealed_run(PLAINTEXT[:size], KEY)

    assert _drain(CiphertextReader(run), step) == _ciphertext(PLAINTEXT[:size])
    assert len(CiphertextReader(run)) == run.size == len(_ciphertext(PLAINTEXT[:size]))


def test_body_when_read_byte_by_byte_around_a_boundary_then_it_is_the_same() -> None:
    expected, reader = _ciphertext(PLAINTEXT), CiphertextReader(sealed_run(PLAINTEXT, KEY))

    reader.seek(SEALED - 5)
    pieces = [reader.read(1) for _ in range(10)]

    assert b"".join(pieces) == expected[SEALED - 5 : SEALED + 5]
    assert reader.tell() == SEALED + 5


def test_reader_when_it_seeks_then_it_does_so_like_a_file() -> None:
    expected, reader = io.BytesIO(_ciphertext(PLAINTEXT)), CiphertextReader(sealed_run(PLAINTEXT, KEY))

    for offset, whence in [(5, 0), (-3, 1), (SEALED, 1), (-10, 2), (0, 2), (10, 2), (0, 0), (7, 0)]:
        assert reader.seek(offset, whence) == expected.seek(offset, whence)
        assert reader.tell() == expected.tell()
        assert reader.read(20) == expected.read(20)
    assert reader.seekable()
    assert reader.readable()


def test_reader_when_asked_for_readinto_then_it_has_none() -> None:
    # A signer that finds readinto reads ahead of what is sent.
    assert not hasattr(CiphertextReader(sealed_run(b"x", KEY)), "readinto")
    assert not isinstance(CiphertextReader(sealed_run(b"x", KEY)), io.IOBase)


@pytest.mark.parametrize("attempt", [copy.copy, copy.deepcopy, pickle.dumps])
def test_reader_when_copied_or_pickled_then_it_is_refused(attempt: Callable[[object], object]) -> None:
    with pytest.raises(TypeError, match="cannot be copied"):
        attempt(CiphertextReader(sealed_run(b"x", KEY)))


def test_body_when_several_readers_take_turns_then_each_gets_it_whole() -> None:
    run = sealed_run(StreamSource(MemorySource(PLAINTEXT)), KEY)
    readers = [CiphertextReader(run) for _ in range(3)]
    out = [bytearray() for _ in readers]

    for _ in range(10):
        for place, reader in enumerate(readers):
            out[place] += reader.read(30_000 + place)

    assert out == [_ciphertext(PLAINTEXT)] * 3


def test_body_when_read_by_threads_then_each_gets_it_whole() -> None:
    run = sealed_run(StreamSource(MemorySource(PLAINTEXT)), KEY)
    results: list[bytes] = []

    threads = [
        threading.Thread(target=lambda step=step: results.append(_drain(CiphertextReader(run), step)))
        for step in (4000, 5000, 70_000, 200_000)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert results == [_ciphertext(PLAINTEXT)] * 4


@pytest.mark.parametrize("make", [MemorySource, ShortReadSource, SilentSeekSource, StrictEndSource, io.BytesIO])
def test_body_when_the_source_behaves_oddly_then_it_is_the_same(make: type[MemorySource]) -> None:
    plaintext = PLAINTEXT[: SEGMENT + 7]
    source = make(b"before" + plaintext)
    source.seek(6)
    reader = CiphertextReader(sealed_run(StreamSource(source), KEY))

    first = reader.read()
    reader.seek(0)

    assert first == _ciphertext(plaintext)
    assert _drain(reader, 10_000) == first


@pytest.mark.parametrize(
    "body", [PLAINTEXT, bytearray(PLAINTEXT), memoryview(PLAINTEXT), memoryview(bytearray(PLAINTEXT)).cast("i")]
)
def test_body_when_the_source_is_any_buffer_then_it_is_the_same(body: bytes) -> None:
    assert CiphertextReader(sealed_run(plaintext_source(body), KEY)).read() == _ciphertext(PLAINTEXT)


def _is_refused_from_now_on(run: SealedRun) -> None:
    """The body is dead: nothing of it is returned any more, by any reader."""
    for position in (0, 5, SEALED, run.size - 1):
        with pytest.raises(SourceChangedError):
            run.read_at(position, 1)


@pytest.mark.parametrize("step", [100, 70_000, 1 << 20])
@pytest.mark.parametrize("offset", [0, SEGMENT - 1, SEGMENT, 2 * SEGMENT + 99])
def test_body_when_a_byte_changes_between_passes_then_it_dies_before_that_segment(offset: int, step: int) -> None:
    run = sealed_run(StreamSource(ChangingSource(PLAINTEXT, offset=offset)), KEY)
    reader = CiphertextReader(run)
    genuine = _drain(reader, step)
    reader.seek(0)

    again = bytearray()
    with pytest.raises(SourceChangedError):
        _drain(reader, step, again)

    assert genuine == _ciphertext(PLAINTEXT)
    assert bytes(again) == genuine[: len(again)]
    assert len(again) <= offset // SEGMENT * SEALED
    _is_refused_from_now_on(run)


@pytest.mark.parametrize("size", [0, 1, SEGMENT, 2 * SEGMENT + 99])
def test_body_when_the_source_shrinks_between_passes_then_it_dies(size: int) -> None:
    source = ResizingSource(PLAINTEXT, sizes=[len(PLAINTEXT), size])
    run = sealed_run(StreamSource(source), KEY)
    reader = CiphertextReader(run)
    genuine = reader.read()
    reader.seek(0)

    with pytest.raises(SourceChangedError, match="fewer bytes"):
        reader.read()

    assert genuine == _ciphertext(PLAINTEXT)
    _is_refused_from_now_on(run)


def test_body_when_the_source_grows_between_passes_then_the_rest_is_ignored() -> None:
    source = ResizingSource(PLAINTEXT + bytes(100), sizes=[len(PLAINTEXT), len(PLAINTEXT) + 100])
    reader = CiphertextReader(sealed_run(StreamSource(source), KEY))
    first = reader.read()

    reader.seek(0)

    assert reader.read() == first == _ciphertext(PLAINTEXT)


def test_body_when_a_buffer_changes_under_it_then_it_dies() -> None:
    plaintext = bytearray(PLAINTEXT)
    reader = CiphertextReader(sealed_run(BufferSource(plaintext), KEY))
    reader.read(10)

    plaintext[5] ^= 1
    rest_of_kept_segment = reader.read(10)
    reader.seek(0)

    assert rest_of_kept_segment == _ciphertext(PLAINTEXT)[10:20]
    with pytest.raises(SourceChangedError):
        reader.read(1)


def test_body_when_the_source_returns_too_much_then_it_is_refused() -> None:
    reader = CiphertextReader(sealed_run(StreamSource(OverlongSource(PLAINTEXT)), KEY))

    with pytest.raises(SourceChangedError):
        reader.read(SEALED)


@pytest.mark.parametrize(
    ("size", "most"), [(1, SEGMENT), (SEALED, SEGMENT), (SEALED + 1, 2 * SEGMENT), (-1, 2 * SEGMENT)]
)
def test_body_when_read_then_no_more_of_the_source_is_read_than_is_needed(size: int, most: int) -> None:
    class Measured(MemorySource):
        largest_read = 0

        def read(self, size: int | None = -1) -> bytes:
            self.largest_read = max(self.largest_read, -1 if size is None else size)
            return super().read(size)

    source = Measured(PLAINTEXT * 4)

    CiphertextReader(sealed_run(StreamSource(source), KEY)).read(size)

    assert source.largest_read == most


def test_body_when_the_source_fails_then_it_may_be_read_again() -> None:
    class Flaky(MemorySource):
        failures = 1

        def read(self, size: int | None = -1) -> bytes:
            if self.tell() == SEGMENT and self.failures:
                self.failures -= 1
                raise OSError("flaky")
            return super().read(size)

    reader = CiphertextReader(sealed_run(StreamSource(Flaky(PLAINTEXT)), KEY))

    reader.read(SEALED)
    with pytest.raises(OSError, match="flaky"):
        reader.read(SEALED)
    reader.seek(0)

    assert reader.read() == _ciphertext(PLAINTEXT)


def test_body_when_the_process_forked_then_it_is_refused() -> None:
    process = FakeProcess()
    run = sealed_run(PLAINTEXT, KEY, process_id=process)
    run.read_at(0, 10)

    process.number += 1

    with pytest.raises(UnsupportedOperationError, match="fork"):
        run.read_at(10, 10)


@pytest.mark.parametrize("size", [0, SEGMENT, 2 * SEGMENT])
def test_part_when_it_does_not_end_the_run_then_it_has_full_segments_only(size: int) -> None:
    run = sealed_run(PLAINTEXT[:size], KEY, first_segment=5, ends_run=False)

    body = CiphertextReader(run).read()

    assert len(body) == run.size == size // SEGMENT * SEALED
    opener = SegmentOpener(KEY)
    opened = [
        opener.open(0, 5 + index, body[index * SEALED : (index + 1) * SEALED]) for index in range(size // SEGMENT)
    ]
    assert b"".join(opened) == PLAINTEXT[:size]


@pytest.mark.parametrize("size", [1, SEGMENT - 1, SEGMENT + 1])
def test_part_when_it_is_ragged_and_not_the_last_then_it_is_refused(size: int) -> None:
    with pytest.raises(ConfigurationError):
        Attempt(bytes(12), size, ends_run=False)


def test_attempt_when_the_source_of_its_repetition_has_another_size_then_it_is_dead() -> None:
    attempt = sealed_run(b"12345", KEY).attempt

    with pytest.raises(SourceChangedError):
        SealedRun(BufferSource(b"1234"), attempt, KEY, run=0, first_segment=0, process_id=FakeProcess())

    assert attempt.dead


def test_nonces_when_they_pass_their_end_then_they_go_on_at_zero() -> None:
    body = CiphertextReader(sealed_run(PLAINTEXT, KEY, nonce_start=b"\xff" * 12)).read()

    assert body[:12] == b"\xff" * 12
    assert body[SEALED : SEALED + 12] == bytes(12)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("make", [NonSeekableSource, ShortReadSource, io.BytesIO])
def test_stream_when_sealed_once_then_it_is_the_same_body(make: type[MemorySource], size: int) -> None:
    segments = list(sealed_segments(make(PLAINTEXT[:size]), KEY, bytes(12)))

    assert b"".join(segments) == _ciphertext(PLAINTEXT[:size])


def test_stream_when_it_returns_too_much_then_it_is_refused_and_no_long_segment_is_made() -> None:
    segments = sealed_segments(OverlongSource(PLAINTEXT), KEY, bytes(12))

    with pytest.raises(ConfigurationError, match="more bytes"):
        list(segments)


def test_stream_when_it_fails_then_the_end_is_never_sealed() -> None:
    sealed: list[bytes] = []

    with pytest.raises(ConnectionError):
        sealed.extend(
            sealed_segments(FailingSource(PLAINTEXT, offset=SEGMENT + 5, make_error=ConnectionError), KEY, bytes(12))
        )

    assert [len(segment) for segment in sealed] == [SEALED]


def test_source_when_it_is_text_then_it_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="binary"):
        plaintext_source(TextSource("text"))


def test_source_when_it_starts_behind_its_end_then_it_is_empty() -> None:
    stream = io.BytesIO(b"abc")
    stream.seek(10)

    source: PlaintextSource = StreamSource(stream)

    assert source.size == 0
    assert source.read_at(0, 5) == b""


def test_source_when_asked_whether_it_can_seek_then_it_is_tried() -> None:
    class Untold:
        def seek(self, offset: int, whence: int = 0) -> int:
            return offset

        def tell(self) -> int:
            return 0

    class Pipe(Untold):
        def tell(self) -> int:
            raise OSError("pipe")

    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as pipe, os.fdopen(writing, "wb"):
        assert not is_seekable(pipe)
    assert is_seekable(io.BytesIO())
    assert is_seekable(Untold())
    assert not is_seekable(Pipe())
    assert not is_seekable(NonSeekableSource(b""))
