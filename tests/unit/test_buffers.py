"""A result becomes immutable, or it is not given away."""

import pytest

from s3envelope.engine.buffers import ResultBuffer


@pytest.mark.parametrize(("size", "taken"), [(0, 0), (1, 0), (1, 1), (70_000, 70_000), (70_000, 69_999), (1 << 20, 5)])
def test_buffer_when_filled_then_its_bytes_are_taken(size: int, taken: int) -> None:
    buffer = ResultBuffer(size)
    wanted = bytes(index % 251 for index in range(size))
    buffer.view[:] = wanted

    result = buffer.take(taken)

    assert type(result) is bytes
    assert result == wanted[:taken]


def test_buffer_when_taken_then_its_view_is_released() -> None:
    buffer = ResultBuffer(4)
    view = buffer.view

    buffer.take(4)

    with pytest.raises(ValueError, match="released"):
        view[0] = 1


def test_buffer_when_a_writable_view_is_left_then_nothing_is_given_away() -> None:
    buffer = ResultBuffer(4)
    left = buffer.view[1:2]

    with pytest.raises(BufferError):
        buffer.take(4)

    left[0] = 1
