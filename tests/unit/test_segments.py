"""Opening a segment in place."""

import pytest

from s3envelope.core.segments import NONCE_SIZE, SEGMENT_OVERHEAD, SEGMENT_SIZE, SegmentOpener, SegmentSealer
from s3envelope.errors import SegmentAuthenticationError
from tests.support.objects import new_body_key

_KEY = new_body_key()


def _sealed(plaintext: bytes) -> bytearray:
    sealed = bytearray(len(plaintext) + SEGMENT_OVERHEAD)
    SegmentSealer(_KEY, 0).seal_into(3, bytes(NONCE_SIZE), plaintext, memoryview(sealed))
    return sealed


@pytest.mark.parametrize("size", [0, 1, SEGMENT_SIZE - 1, SEGMENT_SIZE])
def test_open_into_when_the_segment_is_genuine_then_its_plaintext_is_there(size: int) -> None:
    plaintext, out = b"x" * size, bytearray(size)

    SegmentOpener(_KEY).open_into(0, 3, bytes(_sealed(plaintext)), memoryview(out))

    assert out == plaintext


@pytest.mark.parametrize("place", [0, NONCE_SIZE, -1])
def test_open_into_when_the_segment_was_altered_then_no_byte_of_it_is_left(place: int) -> None:
    sealed, out = _sealed(b"x" * 1000), bytearray(b"?" * 1000)
    sealed[place] ^= 1

    with pytest.raises(SegmentAuthenticationError):
        SegmentOpener(_KEY).open_into(0, 3, bytes(sealed), memoryview(out))

    assert out == bytes(1000)


def test_open_into_when_the_segment_is_too_short_then_it_is_refused() -> None:
    with pytest.raises(SegmentAuthenticationError):
        SegmentOpener(_KEY).open_into(0, 3, bytes(SEGMENT_OVERHEAD - 1), memoryview(bytearray(0)))
