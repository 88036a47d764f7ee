"""Streams of plaintext: true prefixes, a proved end, and errors that stay."""

from __future__ import annotations

import io
from collections.abc import Callable

import pytest

from s3envelope.core.layout import Layout, run_size
from s3envelope.core.ports import ByteSource
from s3envelope.core.ranges import Extent
from s3envelope.engine import streams
from s3envelope.engine.streams import VerifiedStream
from s3envelope.errors import S3EnvelopeError, SegmentAuthenticationError, TruncatedObjectError
from s3envelope.s3.bodies import PlaintextRaw
from s3envelope.testing.streams import FailingSource, OverlongSource, ShortReadSource
from tests.support.objects import SEALED, SEGMENT, StoredObject, stored_plain

SIZES = [0, 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT]
PLAINTEXT = bytes(range(256)) * 512 + b"the end of it"
STORED = {size: stored_plain(PLAINTEXT[:size]) for size in (*SIZES, len(PLAINTEXT))}
WHOLE = STORED[len(PLAINTEXT)]


class TransportError(Exception):
    """What a transport raises."""


class MeasuredSource(io.BytesIO):
    """A body that knows the largest read that was asked of it."""

    largest_read = 0

    def read(self, size: int | None = -1, /) -> bytes:
        self.largest_read = max(self.largest_read, 2**62 if size is None or size < 0 else size)
        return super().read(size)


def _stream(stored: StoredObject, source: ByteSource | None = None, size: int | None = None) -> VerifiedStream:
    """Return a stream over a whole object, of which the server says that it has this size."""
    claimed = len(stored.body) if size is None else size
    layout = Layout.plain(claimed)
    return VerifiedStream(
        io.BytesIO(stored.body) if source is None else source,
        Extent(0, claimed, claimed),
        layout.all_segments(),
        stored.body_key,
        0,
        layout.plaintext_size,
    )


def _drain(stream: VerifiedStream, step: int, released: bytearray) -> None:
    while piece := stream.read(step):
        released += piece


def _fails(stream: VerifiedStream, error: type[Exception], step: int = 1000) -> bytes:
    """Read until the error; it must be raised again on each later read. Return what was released."""
    released = bytearray()
    with pytest.raises(error) as caught:
        _drain(stream, step, released)
    for size in (1, 0, -1, None):
        with pytest.raises(error) as again:
            stream.read(size)
        assert again.value is caught.value
    return bytes(released)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("step", [777, SEGMENT - 1, SEGMENT, SEGMENT + 1, 1 << 20, -1])
def test_stream_when_read_in_any_steps_then_it_is_the_plaintext(size: int, step: int) -> None:
    released = bytearray()
    stream = _stream(STORED[size])

    _drain(stream, step, released)

    assert bytes(released) == PLAINTEXT[:size]
    assert stream.read() == stream.read(5) == b""


@pytest.fixture(params=[1, SEGMENT, 1 << 26])
def reserved_size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """How much may be allocated for what was not verified yet."""
    monkeypatch.setattr(streams, "_RESERVED_SIZE", request.param)
    return int(request.param)


@pytest.mark.parametrize("times", [1, 3, 6])
@pytest.mark.usefixtures("reserved_size")
def test_stream_when_all_is_read_then_it_is_the_plaintext_however_much_was_reserved(times: int) -> None:
    plaintext = PLAINTEXT * times

    stream = _stream(stored_plain(plaintext))

    assert stream.read() == plaintext
    assert stream.read() == b""


@pytest.mark.usefixtures("reserved_size")
def test_stream_when_its_last_segment_is_forged_then_reading_all_releases_nothing() -> None:
    body = bytearray(WHOLE.body)
    body[-1] ^= 1

    assert _fails(_stream(WHOLE, io.BytesIO(bytes(body))), SegmentAuthenticationError, step=-1) == b""


def test_stream_when_an_object_claims_to_be_huge_then_no_such_buffer_is_made() -> None:
    stream = _stream(WHOLE, size=run_size(200 << 40))

    # No process has room for that many bytes: it would be a MemoryError.
    assert _fails(stream, TruncatedObjectError, step=-1) == b""


def test_stream_when_asked_for_nothing_then_nothing_is_read() -> None:
    source = MeasuredSource(WHOLE.body)
    stream = _stream(WHOLE, source)

    assert stream.read(0) == b""
    assert source.tell() == 0


@pytest.mark.parametrize("size", SIZES)
def test_stream_when_the_source_reads_short_then_it_is_the_plaintext(size: int) -> None:
    source = ShortReadSource(STORED[size].body, longest=50_000)

    assert _stream(STORED[size], source).read() == PLAINTEXT[:size]


def test_stream_when_the_source_returns_too_much_then_it_is_refused() -> None:
    assert _fails(_stream(WHOLE, OverlongSource(WHOLE.body)), TruncatedObjectError) == b""


@pytest.mark.parametrize(
    ("size", "most"), [(1, SEALED), (SEGMENT, SEALED), (2 * SEGMENT - 1, 2 * SEALED), (2 * SEGMENT, 2 * SEALED)]
)
def test_stream_when_read_then_no_more_is_asked_for_than_is_needed(size: int, most: int) -> None:
    source = MeasuredSource(WHOLE.body)

    _stream(WHOLE, source).read(size)

    assert source.largest_read == source.tell() == most


def test_stream_when_all_is_read_then_a_few_segments_are_asked_for_at_once() -> None:
    plaintext = PLAINTEXT * 16
    stored = stored_plain(plaintext)
    source = MeasuredSource(stored.body)

    released = _stream(stored, source).read()

    assert released == plaintext
    assert source.largest_read == 4 * SEALED


@pytest.mark.parametrize("kept", [0, 1, 27, 28, SEALED - 1, SEALED, SEALED + 1, 2 * SEALED, 2 * SEALED + 40])
def test_stream_when_the_body_ends_early_then_only_whole_segments_came_out(kept: int) -> None:
    stream = _stream(WHOLE, io.BytesIO(WHOLE.body[:kept]), len(WHOLE.body))

    released = _fails(stream, TruncatedObjectError)

    assert released == PLAINTEXT[: kept // SEALED * SEGMENT][: len(released)]
    assert len(released) == kept // SEALED * SEGMENT // 1000 * 1000


@pytest.mark.parametrize("kept", [0, 5, SEALED, SEALED + 1, 2 * SEALED, len(WHOLE.body)])
def test_stream_when_the_transport_fails_then_every_later_read_fails_alike(kept: int) -> None:
    stream = _stream(WHOLE, FailingSource(WHOLE.body, offset=kept, make_error=TransportError))

    released = _fails(stream, TransportError, step=1)

    # The transport's word on the end of the body counts as well: the last byte waits for it.
    is_whole = kept == len(WHOLE.body)
    assert released == (PLAINTEXT[:-1] if is_whole else PLAINTEXT[: kept // SEALED * SEGMENT])


@pytest.mark.parametrize("position", [0, 12, SEALED - 1, SEALED, 2 * SEALED + 12, len(WHOLE.body) - 1])
def test_stream_when_a_byte_changed_then_its_segment_never_comes_out(position: int) -> None:
    body = bytearray(WHOLE.body)
    body[position] ^= 0x80

    released = _fails(_stream(WHOLE, io.BytesIO(body)), SegmentAuthenticationError, step=1)

    assert released == PLAINTEXT[: position // SEALED * SEGMENT]


@pytest.mark.parametrize("size", [SEGMENT, 2 * SEGMENT])
@pytest.mark.parametrize("step", [1, SEGMENT, 2 * SEGMENT, -1])
def test_stream_when_the_empty_end_is_forged_then_the_last_byte_is_held_back(size: int, step: int) -> None:
    stored = STORED[size]
    body = stored.body[:-1] + bytes([stored.body[-1] ^ 1])

    released = _fails(_stream(stored, io.BytesIO(body)), SegmentAuthenticationError, step=step)

    assert released == PLAINTEXT[: len(released)]
    assert len(released) <= size - 1
    assert step != 1 or len(released) == size - 1


def test_stream_when_it_is_a_range_then_bytes_before_it_are_skipped_in_pieces() -> None:
    layout, source = Layout.plain(len(WHOLE.body)), MeasuredSource(WHOLE.body)
    start, end = SEGMENT + 5, SEGMENT + 10
    stream = VerifiedStream(
        source,
        Extent(0, len(WHOLE.body), len(WHOLE.body)),
        layout.segments(start, end),
        WHOLE.body_key,
        start,
        end,
    )

    assert stream.read() == PLAINTEXT[start:end]
    assert source.largest_read <= SEALED


@pytest.mark.parametrize("extent", [Extent(0, SEALED, 2 * SEALED), Extent(1, 2 * SEALED, 2 * SEALED)])
def test_stream_when_the_answer_lacks_a_segment_then_it_is_refused(extent: Extent) -> None:
    layout = Layout.plain(len(WHOLE.body))
    source = io.BytesIO(WHOLE.body[extent.start : extent.end])
    stream = VerifiedStream(source, extent, layout.segments(0, 2 * SEGMENT), WHOLE.body_key, 0, 2 * SEGMENT)

    released = _fails(stream, TruncatedObjectError)

    assert released == PLAINTEXT[: len(released)]
    assert len(released) <= SEGMENT


def test_stream_when_there_is_no_wanted_byte_then_the_end_is_proved_all_the_same() -> None:
    stored, layout = STORED[SEGMENT], Layout.plain(SEALED + 28)
    forged = stored.body[SEALED:-1] + bytes([stored.body[-1] ^ 1])

    def prove(tail: bytes) -> None:
        extent = Extent(SEALED, SEALED + 28, SEALED + 28)
        segments = layout.segments(SEGMENT, SEGMENT)
        VerifiedStream(io.BytesIO(tail), extent, segments, stored.body_key, SEGMENT, SEGMENT).prove()

    prove(stored.body[SEALED:])
    with pytest.raises(SegmentAuthenticationError):
        prove(forged)


def test_stream_when_closed_then_reading_on_is_an_error() -> None:
    stream = _stream(WHOLE)
    stream.read(10)

    stream.close()
    stream.close()

    with pytest.raises(ValueError, match="closed"):
        stream.read(1)


def test_stream_when_closed_after_a_failure_then_the_failure_stays() -> None:
    stream = _stream(WHOLE, io.BytesIO(WHOLE.body[:5]), len(WHOLE.body))
    _fails(stream, TruncatedObjectError)

    stream.close()

    with pytest.raises(TruncatedObjectError):
        stream.read()


def _raw(stored: StoredObject, body: bytes | None = None) -> PlaintextRaw:
    return PlaintextRaw(_stream(stored, io.BytesIO(stored.body if body is None else body)), io.BytesIO())


def test_raw_stream_when_read_into_a_buffer_then_it_is_the_plaintext() -> None:
    raw, buffer, released = _raw(WHOLE), bytearray(5000), bytearray()

    while count := raw.readinto(buffer):
        released += buffer[:count]

    assert bytes(released) == PLAINTEXT
    assert raw.tell() == len(PLAINTEXT)


def test_raw_stream_when_a_segment_is_forged_then_the_callers_buffer_is_untouched() -> None:
    raw, buffer = _raw(WHOLE, b"\xff" * len(WHOLE.body)), bytearray(b"-" * 100)

    with pytest.raises(SegmentAuthenticationError):
        raw.readinto(buffer)

    assert buffer == b"-" * 100


@pytest.mark.parametrize("read", [PlaintextRaw.readall, lambda raw: b"".join(raw.stream(1000)), io.BufferedReader.read])
def test_raw_stream_when_read_by_any_method_then_it_is_the_plaintext(read: Callable[[object], bytes]) -> None:
    raw = _raw(WHOLE)

    assert read(io.BufferedReader(raw) if read is io.BufferedReader.read else raw) == PLAINTEXT


def test_raw_stream_when_closed_then_stream_and_answer_are_closed() -> None:
    answer = io.BytesIO()
    raw = PlaintextRaw(_stream(WHOLE), answer)

    raw.close()
    raw.close()

    assert answer.closed
    with pytest.raises(ValueError, match="closed"):
        raw.read(1)


def test_error_of_a_segment_when_printed_then_it_holds_no_plaintext() -> None:
    body = bytearray(WHOLE.body)
    body[20] ^= 1

    with pytest.raises(S3EnvelopeError) as caught:
        _stream(WHOLE, io.BytesIO(body)).read()

    assert caught.value.__cause__ is None
    assert "\\x" not in repr(caught.value)
