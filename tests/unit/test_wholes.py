"""Messages that wait until they are verified, the streams over them, and what shares them."""

import io
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from s3envelope.engine.wholes import CHUNK_SIZE, MemoryPlace, Place, SealedFile, WholeReader, verify_whole
from s3envelope.errors import S3ecDecryptionError, SegmentAuthenticationError, TruncatedObjectError
from s3envelope.s3.wholes import Wholes
from tests.support.objects import FakeClock, FakeProcess, SeededRandom

PLACES: dict[str, Callable[[int], Place]] = {
    "memory": MemoryPlace,
    "file": lambda _: SealedFile(io.BytesIO(), SeededRandom()),
}
EVERY_PLACE = pytest.mark.parametrize("kind", PLACES)
SIZES = (0, 1, CHUNK_SIZE - 1, CHUNK_SIZE, CHUNK_SIZE + 1, 2 * CHUNK_SIZE, 5 * CHUNK_SIZE + 7)


class Unchanged:
    """A decryptor that returns what it gets, and perhaps fails at the end."""

    def __init__(self, failure: Exception | None = None) -> None:
        self._failure = failure

    def update(self, ciphertext: bytes, /) -> bytes:
        return ciphertext

    def finish(self) -> bytes:
        if self._failure is not None:
            raise self._failure
        return b""


class Slow(io.BytesIO):
    """A source that gives at most so many bytes at once."""

    def __init__(self, content: bytes, step: int) -> None:
        super().__init__(content)
        self._step = step

    def read(self, size: int | None = -1, /) -> bytes:
        return super().read(self._step if size is None or size < 0 else min(size, self._step))


def _content(size: int) -> bytes:
    return SeededRandom()(size)


def _verified(kind: str, content: bytes, step: int = 50_000) -> Place:
    place = PLACES[kind](len(content))
    verify_whole(Slow(content, step), len(content), Unchanged(), place)
    return place


@EVERY_PLACE
@pytest.mark.parametrize("step", [999, CHUNK_SIZE, 200_000])
def test_place_when_filled_then_it_gives_every_range_back(kind: str, step: int) -> None:
    for size in SIZES:
        content = _content(size)
        place = _verified(kind, content, step)

        assert place.size == size
        for start in {0, 1, CHUNK_SIZE - 1, CHUNK_SIZE, size // 2, size}:
            if start <= size:
                assert WholeReader(place, start, size, lambda _: None).read() == content[start:]


@EVERY_PLACE
@settings(max_examples=50, deadline=None)
@given(data=st.data())
def test_reader_when_read_in_any_steps_then_it_gives_the_range(kind: str, data: st.DataObject) -> None:
    content = _content(3 * CHUNK_SIZE + 5)
    start = data.draw(st.integers(0, len(content)))
    end = data.draw(st.integers(start, len(content)))
    steps = data.draw(st.lists(st.integers(0, 2 * CHUNK_SIZE), max_size=10))
    served: list[int] = []
    reader = WholeReader(_verified(kind, content), start, end, served.append)

    pieces = [reader.read(step) for step in steps]

    assert b"".join(pieces) + reader.read() == content[start:end]
    assert reader.read(10) == b""
    assert served == [end - start]


@EVERY_PLACE
@pytest.mark.parametrize("failure", [S3ecDecryptionError("no"), OSError("disk"), KeyboardInterrupt()])
def test_place_when_the_message_fails_then_nothing_can_be_read(kind: str, failure: BaseException) -> None:
    place = PLACES[kind](200_000)

    with pytest.raises(type(failure)):
        verify_whole(io.BytesIO(_content(200_000)), 200_000, Unchanged(failure), place)  # type: ignore[arg-type]

    assert place.memory_size == 0
    with pytest.raises((ValueError, TruncatedObjectError)):
        WholeReader(place, 0, 10, lambda _: None).read()


@EVERY_PLACE
@pytest.mark.parametrize("claimed", [0, 99_999, 100_001])
def test_body_when_its_length_is_another_than_was_said_then_it_is_refused(kind: str, claimed: int) -> None:
    place = PLACES[kind](claimed)

    with pytest.raises(TruncatedObjectError):
        verify_whole(io.BytesIO(_content(100_000)), claimed, Unchanged(), place)


def test_sealed_file_when_looked_at_then_no_plaintext_is_in_it_and_chunks_cannot_change_places() -> None:
    file = io.BytesIO()
    place = SealedFile(file, SeededRandom())
    content = bytes(3 * CHUNK_SIZE)
    verify_whole(io.BytesIO(content), len(content), Unchanged(), place)
    sealed = file.getvalue()

    assert bytes(64) not in sealed
    # Equal chunks look different: no nonce is used twice.
    step = CHUNK_SIZE + 16
    assert len({sealed[start : start + step] for start in range(0, len(sealed), step)}) == 3
    file.seek(0)
    file.write(sealed[step : 2 * step])
    with pytest.raises(SegmentAuthenticationError):
        place.chunk(0)
    with pytest.raises(SegmentAuthenticationError):
        place.chunk(3)


def test_reader_when_the_file_was_edited_then_it_fails_again_and_again() -> None:
    file = io.BytesIO()
    place = SealedFile(file, SeededRandom())
    ended: list[int] = []
    verify_whole(io.BytesIO(_content(200_000)), 200_000, Unchanged(), place)
    file.getbuffer()[CHUNK_SIZE + 20] ^= 1
    reader = WholeReader(place, 0, 200_000, ended.append)

    assert len(reader.read(CHUNK_SIZE)) == CHUNK_SIZE
    for _ in range(3):
        with pytest.raises(SegmentAuthenticationError):
            reader.read(1)
    assert ended == [CHUNK_SIZE]


# ---- sharing ----


@dataclass
class Loaded:
    place: Place


class Shelf:
    """Wholes with a clock and a process of a test, and how often each was loaded."""

    def __init__(self, memory_size: int = 10 * CHUNK_SIZE) -> None:
        self.clock, self.process = FakeClock(), FakeProcess()
        self.wholes = Wholes(self.clock, self.process, memory_size)
        self.loaded: list[str] = []

    def read(self, name: str, size: int = 10, end: int = 1) -> None:
        lease = self.wholes.lease(name, lambda: self._load(name, size))
        lease.reader(0, end).read()

    def _load(self, name: str, size: int) -> Loaded:
        self.loaded.append(name)
        return Loaded(_verified("memory", bytes(size)))


def test_whole_when_idle_then_it_is_kept_for_a_minute() -> None:
    shelf = Shelf()
    shelf.read("a")
    shelf.clock.seconds += 60
    shelf.read("a")
    shelf.clock.seconds += 61
    shelf.read("a")

    assert shelf.loaded == ["a", "a"]


def test_whole_when_all_of_it_was_served_then_it_is_dropped() -> None:
    shelf = Shelf()
    for _ in range(2):
        shelf.read("a", size=10, end=5)
        shelf.read("a", size=10, end=5)

    assert shelf.loaded == ["a", "a"]


def test_wholes_when_more_than_four_then_the_oldest_idle_one_goes() -> None:
    shelf = Shelf()
    for name in "abcde":
        shelf.read(name)
    for name in "bcde":
        shelf.read(name)
    shelf.read("a")

    assert shelf.loaded == ["a", "b", "c", "d", "e", "a"]


def test_wholes_when_idle_ones_take_more_memory_than_allowed_then_they_go() -> None:
    shelf = Shelf(memory_size=100)
    shelf.read("a", size=60)
    shelf.read("b", size=60)
    shelf.read("b", size=60)
    shelf.read("a", size=60)

    assert shelf.loaded == ["a", "b", "a"]


def test_whole_when_somebody_reads_it_then_it_stays_whatever_others_do() -> None:
    shelf = Shelf()
    lease = shelf.wholes.lease("kept", lambda: Loaded(_verified("file", bytes(100))))
    reader = lease.reader(0, 100)
    for name in "abcdef":
        shelf.read(name)
    shelf.clock.seconds += 1000
    shelf.read("g")

    assert reader.read() == bytes(100)


def test_whole_when_the_process_forks_then_the_child_begins_anew() -> None:
    shelf = Shelf()
    shelf.read("a")
    shelf.wholes.expect("bucket", "key")
    shelf.process.number += 1
    shelf.read("a")

    assert shelf.loaded == ["a", "a"]
    assert not shelf.wholes.is_expected("bucket", "key")


@pytest.mark.parametrize(("failure", "load_count"), [(S3ecDecryptionError("no"), 1), (OSError("broken"), 3)])
def test_whole_when_loading_fails_then_errors_of_the_object_are_shared_and_others_tried_again(
    failure: Exception, load_count: int
) -> None:
    shelf, loads, barrier = Shelf(), [], threading.Event()

    def load() -> Loaded:
        loads.append(1)
        barrier.wait(5)
        raise failure

    def use(_: int) -> Exception:
        try:
            shelf.wholes.lease("a", load)
        except (S3ecDecryptionError, OSError) as error:
            return error
        raise AssertionError

    with ThreadPoolExecutor(3) as pool:
        futures = [pool.submit(use, number) for number in range(3)]
        while len(loads) < 1:
            pass
        _wait_for_waiters(shelf)
        barrier.set()
        errors = [future.result() for future in futures]

    assert [type(error) for error in errors] == [type(failure)] * 3
    assert len(loads) == load_count


def _wait_for_waiters(shelf: Shelf) -> None:
    flight = shelf.wholes._state.flights["a"]
    for _ in range(10_000_000):
        with flight._condition:
            if len(flight._condition._waiters) == 2:  # type: ignore[attr-defined]
                return
    raise AssertionError("nobody waits")
