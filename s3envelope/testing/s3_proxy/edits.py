"""Hostile storage: answers (and requests) changed on their way."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from s3envelope.errors import ConfigurationError
from s3envelope.testing.s3_proxy.records import Matcher, RecordedRequest
from s3envelope.testing.s3_proxy.wire import Headers, header_of, without_headers


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer on its way to the client.

    Attributes:
        declared_size: The Content-Length to send; None is the honest one. After another the connection ends.
    """

    request: RecordedRequest
    status: int
    headers: Headers
    body: bytes
    declared_size: int | None = None

    def header(self, name: str, default: str = "") -> str:
        """Return the first header of that name, in any case of letters."""
        return header_of(self.headers, name, default)

    def with_header(self, name: str, value: str) -> "Answer":
        """Return the answer with that header replaced, or added."""
        return replace(self, headers=(*without_headers(self.headers, name), (name, value)))

    def without_header(self, *names: str) -> "Answer":
        """Return the answer without those headers."""
        return replace(self, headers=without_headers(self.headers, *names))


@dataclass(frozen=True, slots=True)
class Forwarded:
    """A request on its way to the storage; its signature is not made again."""

    request: RecordedRequest
    method: str
    target: str
    headers: Headers
    body: bytes


AnswerEditor = Callable[[Answer], Answer]
RequestEditor = Callable[[Forwarded], Forwarded]


class EditRule:
    """An editor in force for the requests that match, for a number of times or for good."""

    def __init__(self, matcher: Matcher, times: int | None) -> None:
        self._matcher = matcher
        self._times = times
        self._lock = threading.Lock()
        self.hit_count = 0

    def takes(self, request: RecordedRequest) -> bool:
        """Tell whether the rule applies to the request; counts it if so."""
        if not self._matcher(request):
            return False
        with self._lock:
            if self._times is not None and self.hit_count >= self._times:
                return False
            self.hit_count += 1
            return True


def flip_byte(offset: int) -> AnswerEditor:
    """Flip all bits of one byte of the body.

    Args:
        offset: From the start, or, negative, from the end. One outside the body changes nothing.
    """

    def edit(answer: Answer) -> Answer:
        index = offset if offset >= 0 else len(answer.body) + offset
        if not 0 <= index < len(answer.body):
            return answer
        body = bytearray(answer.body)
        body[index] ^= 0xFF
        return replace(answer, body=bytes(body))

    return edit


def truncate_body(size: int, *, honest: bool = True) -> AnswerEditor:
    """Cut the body to a size.

    Args:
        honest: Announce the new size; else the old Content-Length stays and the connection ends early.
    """

    def edit(answer: Answer) -> Answer:
        declared_size = None if honest else len(answer.body)
        return replace(answer, body=answer.body[:size], declared_size=declared_size)

    return edit


def replace_body(body: bytes) -> AnswerEditor:
    """Answer with another body."""
    return lambda answer: replace(answer, body=body)


def replace_status(status: int) -> AnswerEditor:
    """Answer with another status."""
    return lambda answer: replace(answer, status=status)


def set_header(name: str, value: str) -> AnswerEditor:
    """Replace a header, or add it: ETag, Content-Range, x-amz-meta-..., x-amz-missing-meta."""
    return lambda answer: answer.with_header(name, value)


def drop_header(*names: str) -> AnswerEditor:
    """Leave headers out."""
    return lambda answer: answer.without_header(*names)


def replay(stored: Answer) -> AnswerEditor:
    """Answer what was answered once before."""
    return lambda answer: replace(stored, request=answer.request)


class StoredAnswers:
    """An editor that changes nothing and remembers each answer, to be replayed or swapped later."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._answers: list[Answer] = []

    def __call__(self, answer: Answer) -> Answer:
        """Remember an answer and pass it on."""
        with self._lock:
            self._answers.append(answer)
        return answer

    def latest(self, *, path: str, method: str = "GET", byte_range: str | None = None) -> Answer:
        """Return the last answer for a path; `byte_range` is the Range header that it must have answered.

        Raises:
            ConfigurationError: There was none.
        """
        with self._lock:
            answers = self._answers[::-1]
        for answer in answers:
            request = answer.request
            if (request.path, request.method) != (path, method):
                continue
            if byte_range is None or request.header("range") == byte_range:
                return answer
        raise ConfigurationError(f"no answer of {method} {path} is stored; let the client ask for it first")


def swap_answers(stored: StoredAnswers, path: str, other_path: str) -> AnswerEditor:
    """Answer each of two objects with what is stored for the other (same method, same Range)."""

    def edit(answer: Answer) -> Answer:
        request = answer.request
        others = {path: other_path, other_path: path}
        if request.path not in others:
            return answer
        other = others[request.path]
        swapped = stored.latest(path=other, method=request.method, byte_range=request.header("range"))
        return replace(swapped, request=request)

    return edit


def redirect_path(path: str, other_path: str) -> RequestEditor:
    """Ask the storage for another path; only for storages that check no signatures, such as moto."""

    def edit(forwarded: Forwarded) -> Forwarded:
        if forwarded.request.path != path:
            return forwarded
        _, question_mark, query = forwarded.target.partition("?")
        return replace(forwarded, target=other_path + question_mark + query)

    return edit
