"""Answers of the network that nobody has finished: neither read to their end nor closed.

Of such an answer the connection is neither in its pool nor closed. It is given up when garbage is collected, which
Python reports as a `ResourceWarning` in whatever runs just then.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from botocore.response import StreamingBody
from urllib3.response import HTTPResponse


class Answers:
    """The answers that this process gets.

    It refers to them and to their bodies: none is closed by being forgotten, or by a collection of garbage.
    """

    def __init__(self) -> None:
        self._seen: list[HTTPResponse] = []
        self._bodies: list[object] = []

    def __len__(self) -> int:
        return len(self._seen)

    def add(self, answer: HTTPResponse) -> None:
        self._seen.append(answer)

    def keep(self, body: object) -> None:
        """Refer to a body, which would close its answer when nobody else does."""
        self._bodies.append(body)

    def left_open(self) -> list[str]:
        """Return status, size and range of each answer whose connection is neither in its pool nor closed."""
        return [_description(answer) for answer in self._seen if _is_open(answer)]

    def close(self) -> None:
        """Close those that are left open."""
        for answer in filter(_is_open, self._seen):
            answer.close()

    def closed_early(self) -> list[str]:
        """Return the same of each answer that was not read to its end, whose connection is closed for that reason."""
        return [_description(one) for one in self._seen if one.connection is not None and not _is_open(one)]


def _is_open(answer: HTTPResponse) -> bool:
    connection: Any = answer.connection
    # At its end an answer gives the connection to the pool; `close` takes the socket from the connection.
    return connection is not None and (connection.sock is not None or not answer.closed)


def _description(answer: HTTPResponse) -> str:
    headers = answer.headers
    return f"{answer.status} of {headers.get('content-length')} bytes, {headers.get('content-range', 'whole')}"


@contextmanager
def noted_answers() -> Iterator[Answers]:
    """Note every answer that comes in this block."""
    answers = Answers()
    original_answer: Any = HTTPResponse.__init__
    original_body: Any = StreamingBody.__init__

    def note(self: HTTPResponse, *args: Any, **kwargs: Any) -> None:
        original_answer(self, *args, **kwargs)
        answers.add(self)

    def keep(self: StreamingBody, *args: Any, **kwargs: Any) -> None:
        original_body(self, *args, **kwargs)
        answers.keep(self)

    HTTPResponse.__init__ = note  # type: ignore[method-assign]
    StreamingBody.__init__ = keep  # type: ignore[method-assign]
    try:
        yield answers
    finally:
        HTTPResponse.__init__ = original_answer  # type: ignore[method-assign]
        StreamingBody.__init__ = original_body  # type: ignore[method-assign]
