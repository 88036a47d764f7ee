"""The opener: policy, session, index, ranges and what ties further requests to the first."""

from __future__ import annotations

import dataclasses
import io
from collections.abc import Callable

import pytest

from s3envelope.core.context import EncryptionContext
from s3envelope.core.ranges import AnswerHead, ByteRange
from s3envelope.engine.opening import Answer, Condition, ReadingSessions, ReadPolicy
from s3envelope.errors import (
    ContextMismatchError,
    IndexAuthenticationError,
    NameBindingError,
    NotEncryptedError,
    ObjectChangedError,
    S3EnvelopeError,
    TruncatedObjectError,
)
from tests.support.objects import (
    OBJECT_NAME,
    SEALED,
    SEGMENT,
    StoredObject,
    raw_keyring,
    read_object,
    stored_indexed,
    stored_plain,
)
from tests.support.vector_objects import MemoryStorage, open_range, opener_for

PLAIN = stored_plain(b"0123456789" * 7000, context={"tenant": "acme"})
PARTS = [(1, b"a" * 70_000), (2, b""), (7, b"b" * SEGMENT), (9, b"c" * 5)]
INDEXED = stored_indexed(PARTS)
MANY = stored_indexed([(number, b"%d" % number) for number in range(1, 1366)])
Edit = Callable[[AnswerHead], AnswerHead]


class RecordingStorage(MemoryStorage):
    """Remembers what it was asked; from the `edit_from`-th answer on, the heads are edited."""

    def __init__(self, stored: StoredObject, edit: Edit | None = None, edit_from: int = 1) -> None:
        super().__init__(stored.metadata, stored.body)
        self.asked: list[tuple[str | None, Condition]] = []
        self._edit, self._edit_from = edit, edit_from

    def fetch(self, wanted: ByteRange | None, condition: Condition) -> Answer | None:
        self.asked.append((None if wanted is None else wanted.header(), condition))
        answer = super().fetch(wanted, condition)
        if answer is not None and self._edit is not None and len(self.asked) > self._edit_from:
            answer = dataclasses.replace(answer, head=self._edit(answer.head))
        return answer


def _policy(expected: dict[str, str] | None = None, *, require_bound: bool = False) -> ReadPolicy:
    return ReadPolicy(EncryptionContext(expected), require_bound=require_bound)


def _refused(storage: MemoryStorage, error: type[S3EnvelopeError], header: str | None = None) -> None:
    reading = read_object(storage, header)

    assert type(reading.error) is error
    assert reading.released == b""


@pytest.mark.parametrize("expected", [{}, {"tenant": "acme"}])
def test_policy_when_the_context_has_what_is_expected_then_the_object_opens(expected: dict[str, str]) -> None:
    storage = PLAIN.storage()
    opener = opener_for(raw_keyring(), storage, OBJECT_NAME, _policy(expected, require_bound=True))

    opened = open_range(opener, storage, None)

    assert opened.stream is not None
    assert opened.stream.read() == PLAIN.plaintext


@pytest.mark.parametrize("expected", [{"tenant": "other"}, {"other": "acme"}, {"tenant": "acme", "more": ""}])
def test_policy_when_the_context_lacks_an_entry_then_no_key_is_used(expected: dict[str, str]) -> None:
    storage = PLAIN.storage()
    # A keyring that does not fit would be the error if it were asked.
    opener = opener_for(raw_keyring(key_id="other"), storage, OBJECT_NAME, _policy(expected))

    with pytest.raises(ContextMismatchError) as caught:
        open_range(opener, storage, None)

    assert "acme" not in str(caught.value)


def test_policy_when_binding_is_required_then_an_unbound_object_is_refused() -> None:
    stored = stored_plain(b"x", bound=False)
    storage = stored.storage()

    with pytest.raises(NameBindingError):
        open_range(opener_for(raw_keyring(), storage, "any", _policy(require_bound=True)), storage, None)

    assert read_object(storage, name="any").released == b"x"


def _opened_twice(first: AnswerHead, second: AnswerHead, limit: int = 100) -> None:
    """Open two different uploads in one session, whose answers have these heads."""
    sessions = ReadingSessions(limit)
    for seed, head in enumerate((first, second)):
        stored = stored_plain(b"x" * 10, seed=seed)
        storage = stored.storage()
        opener = opener_for(raw_keyring(), storage, OBJECT_NAME, sessions=sessions)
        opener.open(Answer(head, stored.metadata, io.BytesIO(stored.body)), None)


def _head(etag: str = '"e"', version_id: str | None = None) -> AnswerHead:
    return AnswerHead(200, etag, version_id, 38, None)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (_head(), _head()),
        (_head('"e"'), _head('W/"e"')),
        (_head('"e"', "v1"), _head('"f"', "v1")),
        # The version "null" is overwritten in place: its ETag is what names it.
        (_head('"e"', "null"), _head('"e"', "null")),
        (_head('"e"', "null"), _head('"e"')),
    ],
)
def test_session_when_one_version_is_two_uploads_then_the_second_is_refused(
    first: AnswerHead, second: AnswerHead
) -> None:
    with pytest.raises(ObjectChangedError):
        _opened_twice(first, second)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (_head('"e"'), _head('"f"')),
        (_head('"e"', "v1"), _head('"e"', "v2")),
        (_head('"e"', "null"), _head('"f"', "null")),
        (_head('"v1"'), _head('"e"', "v1")),
    ],
)
def test_session_when_versions_differ_then_both_open(first: AnswerHead, second: AnswerHead) -> None:
    _opened_twice(first, second)


def test_session_when_it_is_full_then_the_oldest_entry_goes() -> None:
    sessions = ReadingSessions(limit=2)
    for name in ("a", "b", "a", "c"):
        sessions.check((name,), b"1")

    # "b" was used least recently.
    sessions.check(("b",), b"2")
    with pytest.raises(ObjectChangedError):
        sessions.check(("c",), b"2")


@pytest.mark.parametrize(
    ("condition", "version_id", "matches"),
    [
        (Condition(), None, True),
        (Condition(etag='"genuine"'), None, True),
        (Condition(etag="genuine"), None, True),
        (Condition(etag="*"), None, True),
        (Condition(etag='"other"'), None, False),
        (Condition(version_id="v"), "v", True),
        (Condition(version_id="v"), "w", False),
        (Condition(version_id="v"), None, False),
        (Condition(version_id="null"), None, True),
        (Condition(version_id="null"), "null", True),
        (Condition(version_id="null"), "v", False),
        (Condition(etag='"other"', version_id="v"), "v", False),
    ],
)
def test_condition_when_the_server_ignores_it_then_the_answer_is_refused(
    condition: Condition, version_id: str | None, matches: bool
) -> None:
    storage = PLAIN.storage()
    opener = opener_for(raw_keyring(), storage, OBJECT_NAME)
    answer = storage.fetch(None, Condition())
    assert answer is not None
    answer = dataclasses.replace(answer, head=dataclasses.replace(answer.head, version_id=version_id))

    if matches:
        assert opener.open(answer, None, condition).total == len(PLAIN.plaintext)
        assert opener.size(answer, condition)[1] == len(PLAIN.plaintext)
        return
    for read in (lambda: opener.open(answer, None, condition), lambda: opener.size(answer, condition)):
        with pytest.raises(ObjectChangedError):
            read()


@pytest.mark.parametrize("header", ["bytes=0-0", f"bytes={SEGMENT - 1}-{SEGMENT}", "bytes=69999-", "bytes=-1"])
def test_plain_range_when_read_then_one_request_was_enough(header: str) -> None:
    storage = RecordingStorage(PLAIN)
    requested = ByteRange.parse(header)
    assert requested is not None

    reading = read_object(storage, header)

    assert reading.released == PLAIN.plaintext[slice(*requested.resolve(70_000))]
    assert len(storage.asked) == 1


def test_indexed_object_when_read_whole_then_the_index_was_one_more_request_for_the_same_version() -> None:
    storage = RecordingStorage(INDEXED)

    reading = read_object(storage)

    assert reading.released == INDEXED.plaintext
    assert storage.asked == [(None, Condition()), ("bytes=-32768", Condition(etag='"genuine"'))]


@pytest.mark.parametrize(
    ("header", "exact"),
    [
        ("bytes=0-0", (0, SEALED)),
        ("bytes=70000-70000", (70_056 + 28, 70_056 + 28 + SEALED)),
        ("bytes=69999-70000", (SEALED, 70_056 + 28 + SEALED)),
        # The end of the object: the last run is short, and the end of the part before it is skipped over.
        ("bytes=-5", (70_056 + 28 + SEALED + 28, 70_056 + 28 + SEALED + 28 + 33)),
    ],
)
def test_indexed_range_when_read_then_exactly_its_segments_are_asked_for_once(
    header: str, exact: tuple[int, int]
) -> None:
    storage = RecordingStorage(INDEXED)
    requested = ByteRange.parse(header)
    assert requested is not None

    reading = read_object(storage, header)

    assert reading.released == INDEXED.plaintext[slice(*requested.resolve(len(INDEXED.plaintext)))]
    tied = Condition(etag='"genuine"')
    assert storage.asked[1:] == [("bytes=-32768", tied), (f"bytes={exact[0]}-{exact[1] - 1}", tied)]


def test_index_when_larger_than_the_first_request_then_one_more_brings_it() -> None:
    storage = RecordingStorage(MANY)

    reading = read_object(storage)

    assert reading.released == MANY.plaintext
    assert [header for header, _ in storage.asked] == [None, "bytes=-32768", f"bytes=-{1365 * 24 + 32}"]


def test_index_when_it_just_fits_the_first_request_then_that_was_enough() -> None:
    storage = RecordingStorage(stored_indexed([(number, b"x") for number in range(1, 1365)]))

    assert read_object(storage).released == b"x" * 1364
    assert len(storage.asked) == 2


def test_versioned_object_when_further_requests_are_made_then_they_name_the_version() -> None:
    storage = RecordingStorage(INDEXED, lambda head: dataclasses.replace(head, version_id="v7"), edit_from=0)

    assert read_object(storage, "bytes=0-9").released == b"a" * 10
    assert [condition for _, condition in storage.asked[1:]] == [Condition(version_id="v7")] * 2


def test_null_version_when_further_requests_are_made_then_they_name_the_etag() -> None:
    storage = RecordingStorage(INDEXED, lambda head: dataclasses.replace(head, version_id="null"), edit_from=0)

    assert read_object(storage, "bytes=0-9").released == b"a" * 10
    assert [condition for _, condition in storage.asked[1:]] == [Condition(etag='"genuine"')] * 2


@pytest.mark.parametrize("header", [None, "bytes=0-9"])
@pytest.mark.parametrize("edit_from", [1, 2])
def test_further_answer_when_it_is_of_another_version_then_it_is_refused(header: str | None, edit_from: int) -> None:
    if header is None and edit_from == 2:
        return
    storage = RecordingStorage(INDEXED, lambda head: dataclasses.replace(head, etag='"other"'), edit_from)

    _refused(storage, ObjectChangedError, header)


@pytest.mark.parametrize("edit_from", [1, 2])
def test_further_answer_when_the_object_has_another_length_then_it_is_refused(edit_from: int) -> None:
    def longer(head: AnswerHead) -> AnswerHead:
        interval, _, total = (head.content_range or "").partition("/")
        if edit_from == 2:
            return dataclasses.replace(head, content_range=f"{interval}/{int(total) + 24}")
        first, _, last = interval.removeprefix("bytes ").partition("-")
        return dataclasses.replace(head, content_range=f"bytes {int(first) + 24}-{int(last) + 24}/{int(total) + 24}")

    _refused(RecordingStorage(INDEXED, longer, edit_from), ObjectChangedError, "bytes=0-9")


def test_index_when_the_server_has_none_then_it_is_refused() -> None:
    class Nothing(RecordingStorage):
        def fetch(self, wanted: ByteRange | None, condition: Condition) -> Answer | None:
            answer = super().fetch(wanted, condition)
            return answer if len(self.asked) == 1 else None

    _refused(Nothing(INDEXED), TruncatedObjectError)
    _refused(Nothing(INDEXED), TruncatedObjectError, "bytes=0-9")


def test_index_when_its_second_request_says_another_count_then_it_is_refused() -> None:
    class Changing(RecordingStorage):
        def fetch(self, wanted: ByteRange | None, condition: Condition) -> Answer | None:
            if len(self.asked) == 2:
                self.body = self.body[:-4] + (3).to_bytes(4, "big")
            return super().fetch(wanted, condition)

    _refused(Changing(MANY), IndexAuthenticationError)


@pytest.mark.parametrize("stored", [PLAIN, INDEXED], ids=["plain", "indexed"])
@pytest.mark.parametrize("header", ["bytes=-0", "bytes=999999-", "bytes=999999-1000000"])
def test_range_when_behind_the_end_then_that_is_proved(stored: StoredObject, header: str) -> None:
    reading = read_object(stored.storage(), header)

    assert reading.error is None
    assert reading.opened is not None
    assert (reading.opened.stream, reading.opened.total) == (None, len(stored.plaintext))


@pytest.mark.parametrize("header", ["bytes=-0", "bytes=999999-", "bytes=70000-"])
def test_range_behind_the_end_when_the_end_is_forged_then_it_is_refused(header: str) -> None:
    body = PLAIN.body[:-1] + bytes([PLAIN.body[-1] ^ 1])
    reading = read_object(PLAIN.storage(body=body), header)

    assert reading.error is not None
    assert reading.released == b""
    assert reading.opened is None


@pytest.mark.parametrize("header", [None, "bytes=0-", "bytes=69999-69999", "bytes=-1"])
@pytest.mark.parametrize("stored", [PLAIN, stored_plain(b"")], ids=["some", "empty"])
def test_416_when_the_object_has_the_range_then_it_is_not_believed(stored: StoredObject, header: str | None) -> None:
    storage = stored.storage()
    opener = opener_for(raw_keyring(), storage, OBJECT_NAME)
    requested = ByteRange.parse(header)

    if requested is not None and not stored.plaintext:
        assert opener.open(None, requested).stream is None
        return
    with pytest.raises(TruncatedObjectError):
        opener.open(None, requested)


def test_416_when_the_object_has_no_byte_at_all_then_it_is_not_encrypted() -> None:
    storage = PLAIN.storage(body=b"")

    with pytest.raises(NotEncryptedError):
        opener_for(raw_keyring(), storage, OBJECT_NAME).open(None, ByteRange(0, None))


def test_size_when_asked_by_head_then_plain_needs_no_key_and_indexed_verifies_its_index() -> None:
    plain, indexed = PLAIN.storage(), INDEXED.storage()
    head = plain.fetch(None, Condition())
    assert head is not None

    stranger = opener_for(raw_keyring(key_id="other"), plain, OBJECT_NAME)
    assert stranger.size(head)[1] == len(PLAIN.plaintext)

    head = indexed.fetch(None, Condition())
    assert head is not None
    assert opener_for(raw_keyring(), indexed, OBJECT_NAME).size(head)[1] == len(INDEXED.plaintext)
    indexed.body = indexed.body[:-5] + bytes([indexed.body[-5] ^ 1]) + indexed.body[-4:]
    with pytest.raises(IndexAuthenticationError):
        opener_for(raw_keyring(), indexed, OBJECT_NAME).size(head)
