"""Sealing: the same bytes for the same randomness, however the body is read or the object is cut."""

from __future__ import annotations

import io
import random

from hypothesis import given
from hypothesis import strategies as st

from s3envelope.engine.one_pass import sealed_segments
from s3envelope.engine.sealing import Attempt, CiphertextReader, SealedRun
from s3envelope.engine.sources import BufferSource, StreamSource
from s3envelope.engine.uploads import PlainUpload
from s3envelope.errors import SourceChangedError
from s3envelope.testing.streams import ShortReadSource
from tests.support.objects import (
    SEALED,
    SEGMENT,
    FakeProcess,
    fake_ports,
    new_body_key,
    read_object,
    sealed_run,
    stored_plain,
)

ALL = random.Random(3).randbytes(3 * SEGMENT + 10)
KEY = new_body_key()
sizes = st.one_of(
    st.integers(0, 3 * SEGMENT),
    st.builds(lambda count, near: max(0, count * SEGMENT + near), st.integers(0, 3), st.integers(-2, 2)),
)
# Read so many bytes, or seek to a place that is a fraction of the body.
steps = st.lists(
    st.one_of(
        st.tuples(st.just("read"), st.one_of(st.integers(0, 200), st.integers(0, 4 * SEALED), st.just(-1))),
        st.tuples(st.just("seek"), st.integers(0, 4 * SEALED)),
    ),
    max_size=12,
)


def _expected(plaintext: bytes) -> bytes:
    return b"".join(sealed_segments(io.BytesIO(plaintext), KEY, bytes(12)))


@given(sizes, steps, st.integers(0, 2**32))
def test_body_when_read_and_sought_in_any_pattern_then_it_is_like_a_file_of_the_same_bytes(
    size: int, pattern: list[tuple[str, int]], seed: int
) -> None:
    plaintext = ALL[:size]
    source = StreamSource(ShortReadSource(plaintext, longest=100_000, seed=seed))
    file, reader = io.BytesIO(_expected(plaintext)), CiphertextReader(sealed_run(source, KEY))

    for verb, argument in pattern:
        if verb == "read":
            assert reader.read(argument) == file.read(argument)
        else:
            assert reader.seek(argument) == file.seek(argument)
        assert reader.tell() == file.tell()


@given(sizes, st.integers(1, 3), st.booleans(), st.data())
def test_parts_when_sent_in_any_order_with_failures_then_they_are_one_object(
    size: int, segments: int, is_known: bool, data: st.DataObject
) -> None:
    plaintext, part_size = ALL[:size], segments * SEGMENT
    stored = stored_plain(b"")
    upload = PlainUpload(stored.body_key, part_size, fake_ports(), plaintext_size=size if is_known else None)
    count = max(1, -(-size // part_size))
    # The short last part must come after all others; the rest in any order.
    order = [*data.draw(st.permutations(range(1, count))), count]
    sent = {}
    for number in order:
        piece = plaintext[(number - 1) * part_size : number * part_size]
        attempts = [CiphertextReader(_begin(upload, number, piece)).read() for _ in range(data.draw(st.integers(1, 2)))]
        assert len(set(attempts)) == 1
        upload.part_succeeded(number, f"e{number}")
        sent[number] = attempts[0]
    end = upload.freeze([(number, f"e{number}") for number in sorted(sent)])

    body = b"".join(sent[number] for number in sorted(sent))
    body += b"" if end is None else CiphertextReader(end[1]).read()

    assert read_object(stored.storage(body=body), step=-1).released == plaintext


def _begin(upload: PlainUpload, number: int, piece: bytes) -> SealedRun:
    run = upload.begin_part(number, BufferSource(piece))
    upload.part_failed(number)
    return run


@given(st.integers(1, 3 * SEGMENT), st.data())
def test_body_when_any_byte_of_the_source_changes_then_its_segment_never_leaves_again(
    size: int, data: st.DataObject
) -> None:
    plaintext, position = bytearray(ALL[:size]), data.draw(st.integers(0, size - 1))
    attempt = Attempt(bytes(12), size, ends_run=True)
    run = SealedRun(BufferSource(plaintext), attempt, KEY, run=0, first_segment=0, process_id=FakeProcess())
    reader = CiphertextReader(run)
    genuine = reader.read()
    plaintext[position] ^= data.draw(st.integers(1, 255))
    step = data.draw(st.sampled_from([5000, SEALED, 1 << 20]))

    reader.seek(0)
    again = bytearray()
    is_dead = False
    try:
        while piece := reader.read(step):
            again += piece
    except SourceChangedError:
        is_dead = True

    assert is_dead
    assert len(again) <= position // SEGMENT * SEALED
    assert bytes(again) == genuine[: len(again)]
