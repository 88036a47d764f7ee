"""Reading: every range is the slice, in both layouts; no edit of an object is accepted."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from s3envelope.errors import DecryptionError, EnvelopeError, KeyringError
from tests.support.objects import SEALED, SEGMENT, StoredObject, read_object, stored_indexed, stored_plain

ALL = random.Random(4).randbytes(3 * SEGMENT)
PLAIN = {size: stored_plain(ALL[:size]) for size in (0, 1, SEGMENT - 1, SEGMENT, SEGMENT + 1, 2 * SEGMENT + 9)}
INDEXED = [
    stored_indexed(list(zip(range(1, 100), parts, strict=False)))
    for parts in (
        [b""],
        [b"", b""],
        [ALL[:SEGMENT]],
        [b"", ALL[:5], b"", ALL[5:SEGMENT], b""],
        [ALL[:70_000], ALL[70_000 : 70_000 + SEGMENT], b"x"],
    )
]
OBJECTS = [*PLAIN.values(), *INDEXED]
SMALL = [stored_plain(b"attack at dawn", context={"a": "b"}), stored_indexed([(1, b"attack"), (3, b" at dawn")])]
objects = st.sampled_from(OBJECTS)
small_objects = st.sampled_from(SMALL)


@given(objects, st.data(), st.integers(1, 100_000))
def test_range_when_read_then_it_is_the_slice(stored: StoredObject, data: st.DataObject, step: int) -> None:
    total = len(stored.plaintext)
    first = data.draw(st.one_of(st.integers(0, total + 2), st.integers(max(0, total - 2), total)))
    last = first + data.draw(st.one_of(st.integers(0, 5), st.integers(0, 2 * SEGMENT)))
    form = data.draw(st.sampled_from(["bytes={0}-{1}", "bytes={0}-", "bytes=-{0}"]))

    reading = read_object(stored.storage(), form.format(first, last), step=step)

    expected = {
        "bytes={0}-{1}": stored.plaintext[first : last + 1],
        "bytes={0}-": stored.plaintext[first:],
        "bytes=-{0}": stored.plaintext[max(0, total - first) :],
    }[form]
    assert reading.error is None
    assert reading.released == expected
    assert reading.opened is not None
    assert (reading.opened.stream is None) == (not expected)
    assert reading.opened.total == total


@given(objects, st.integers(1, 200_000))
def test_object_when_read_whole_in_any_steps_then_it_is_the_plaintext(stored: StoredObject, step: int) -> None:
    reading = read_object(stored.storage(), step=step)

    assert (reading.released, reading.error) == (stored.plaintext, None)


def _edit(body: bytes, data: st.DataObject) -> bytes:
    """Change bytes, cut, insert, repeat or move a piece."""
    start = data.draw(st.integers(0, len(body) - 1))
    end = data.draw(st.integers(start, len(body)))
    kind = data.draw(st.sampled_from(["flip", "cut", "drop", "insert", "repeat", "reverse"]))
    if kind == "flip":
        return body[:start] + bytes([body[start] ^ data.draw(st.integers(1, 255))]) + body[start + 1 :]
    if kind == "insert":
        return body[:start] + data.draw(st.binary(min_size=1, max_size=60)) + body[start:]
    return {
        "cut": body[:start],
        "drop": body[:start] + body[end:],
        "repeat": body[:end] + body[start:],
        "reverse": body[:start] + body[start:end][::-1] + body[end:],
    }[kind]


@given(small_objects, st.data(), st.sampled_from([None, "bytes=0-", "bytes=0-13", "bytes=-14"]))
def test_body_when_edited_in_any_way_then_nothing_but_a_true_prefix_comes_out(
    stored: StoredObject, data: st.DataObject, header: str | None
) -> None:
    body = _edit(stored.body, data)

    reading = read_object(stored.storage(body=body), header, step=1)

    if body == stored.body:
        assert reading.released == stored.plaintext
        return
    assert isinstance(reading.error, DecryptionError | EnvelopeError)
    assert stored.plaintext.startswith(reading.released)
    assert len(reading.released) < len(stored.plaintext)


@given(st.sampled_from(list(PLAIN.values())), st.data())
def test_segments_when_put_together_in_any_other_order_then_nothing_but_a_true_prefix_comes_out(
    stored: StoredObject, data: st.DataObject
) -> None:
    segments = [stored.body[start : start + SEALED] for start in range(0, len(stored.body), SEALED)]
    body = b"".join(data.draw(st.lists(st.sampled_from(segments), max_size=4)))

    reading = read_object(stored.storage(body=body))

    if body == stored.body:
        assert reading.released == stored.plaintext
        return
    assert isinstance(reading.error, DecryptionError)
    assert stored.plaintext.startswith(reading.released)


@given(small_objects, st.data())
def test_metadata_when_a_value_is_edited_in_any_way_then_nothing_comes_out(
    stored: StoredObject, data: st.DataObject
) -> None:
    name = data.draw(st.sampled_from(sorted(stored.metadata)))
    value = stored.metadata[name]
    start = data.draw(st.integers(0, len(value)))
    end = data.draw(st.integers(start, min(start + 3, len(value))))
    alphabet = "ABCXYZabcxyz0189-_=+/ "
    edited = value[:start] + data.draw(st.text(alphabet, max_size=3)) + value[end:]

    reading = read_object(stored.storage(metadata={**stored.metadata, name: edited}))

    if edited == value:
        assert reading.released == stored.plaintext
        return
    assert isinstance(reading.error, DecryptionError | EnvelopeError | KeyringError)
    assert reading.released == b""
