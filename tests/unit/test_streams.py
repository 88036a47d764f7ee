"""Each bad source is bad in exactly the way that it says."""

import hashlib
import io
import itertools

import pytest

from s3envelope.errors import ConfigurationError
from s3envelope.testing.streams import (
    ChangingSource,
    FailingSource,
    HashingSink,
    MemorySource,
    NonSeekableSource,
    OverlongSource,
    PatternStream,
    ResizingSource,
    ShortReadSource,
    SilentSeekSource,
    StrictEndSource,
    TextSource,
)

PLAINTEXT = bytes(range(256))
CANARY = b"CANARY-0123456789"
MIB = 1024 * 1024


def _read_all(source: MemorySource | PatternStream | NonSeekableSource, size: int = 100) -> bytes:
    return b"".join(iter(lambda: source.read(size), b""))


@pytest.mark.parametrize(
    "source",
    [
        MemorySource(PLAINTEXT),
        ShortReadSource(PLAINTEXT),
        OverlongSource(PLAINTEXT),
        StrictEndSource(PLAINTEXT),
        SilentSeekSource(PLAINTEXT),
        ChangingSource(PLAINTEXT, offset=3),
        ResizingSource(PLAINTEXT, sizes=[256, 9]),
    ],
)
def test_source_when_read_once_then_gives_its_plaintext(source: MemorySource) -> None:
    assert _read_all(source) == PLAINTEXT


def test_memory_source_when_sought_then_behaves_as_a_file() -> None:
    source, file = MemorySource(PLAINTEXT), io.BytesIO(PLAINTEXT)

    for offset, whence in [(5, 0), (3, 1), (-4, 2), (300, 0), (0, 2), (0, 0)]:
        assert source.seek(offset, whence) == file.seek(offset, whence)
        assert (source.tell(), source.read(7), source.tell()) == (file.tell(), file.read(7), file.tell())
    with pytest.raises(ValueError, match="negative"):
        source.seek(-1)


def test_memory_source_when_rewound_after_reading_then_counts_a_pass() -> None:
    source = MemorySource(PLAINTEXT)

    source.seek(0)
    source.read(1)
    source.seek(0)
    source.seek(0, io.SEEK_END)
    source.seek(0)

    assert source.pass_count == 2


def test_short_reads_when_asked_for_more_then_never_more_than_longest_and_never_empty_early() -> None:
    source = ShortReadSource(PLAINTEXT, longest=5)
    sizes = [len(piece) for piece in iter(source.read, b"")]

    assert set(sizes) <= {1, 2, 3, 4, 5}
    assert len(set(sizes)) > 1
    assert sum(sizes) == len(PLAINTEXT)


def test_overlong_reads_when_asked_then_more_than_asked() -> None:
    assert len(OverlongSource(PLAINTEXT, excess_size=3).read(10)) == 13


def test_strict_end_when_read_after_the_end_then_fails_until_sought() -> None:
    source = StrictEndSource(PLAINTEXT)
    _read_all(source)

    with pytest.raises(AssertionError, match="after the end"):
        source.read(1)
    source.seek(0)
    assert source.read(1) == b"\0"


def test_non_seekable_when_inspected_then_has_only_read() -> None:
    source = NonSeekableSource(PLAINTEXT)

    assert [name for name in dir(source) if not name.startswith("_")] == ["read"]
    assert _read_all(source) == PLAINTEXT


def test_silent_seek_when_sought_then_none_and_moved() -> None:
    source = SilentSeekSource(PLAINTEXT)

    assert source.seek(5) is None
    assert source.tell() == 5


def test_changing_when_read_again_then_exactly_one_byte_differs() -> None:
    source = ChangingSource(PLAINTEXT, offset=10, stable_passes=2)
    passes = []
    for _ in range(4):
        source.seek(0)
        passes.append(_read_all(source))

    assert passes[0] == passes[1] == PLAINTEXT
    assert passes[2] == passes[3]
    assert [index for index in range(256) if passes[2][index] != PLAINTEXT[index]] == [10]


def test_resizing_when_read_again_then_has_the_sizes_in_turn() -> None:
    source = ResizingSource(PLAINTEXT, sizes=[256, 10, 300])
    sizes = []
    for _ in range(4):
        source.seek(0)
        sizes.append(len(_read_all(source)))

    assert sizes == [256, 10, 300, 300]
    with pytest.raises(ConfigurationError):
        ResizingSource(PLAINTEXT, sizes=[])


@pytest.mark.parametrize("offset", [0, 1, 100, 150])
def test_failing_when_offset_is_reached_then_raises_after_all_bytes_before_it(offset: int) -> None:
    source = FailingSource(PLAINTEXT, offset=offset, make_error=lambda: PermissionError("torn out"))
    got = b""

    def read_until_error() -> None:
        nonlocal got
        while True:
            got += source.read(100)

    with pytest.raises(PermissionError, match="torn out"):
        read_until_error()
    assert got == PLAINTEXT[:offset]


def test_failing_when_first_pass_is_good_then_raises_in_the_second() -> None:
    source = FailingSource(PLAINTEXT, offset=5, good_passes=1)

    assert _read_all(source) == PLAINTEXT
    source.seek(0)
    assert source.read(10) == PLAINTEXT[:5]
    with pytest.raises(OSError):  # noqa: PT011 - the class is all there is
        source.read(1)


def test_text_when_read_then_str() -> None:
    assert TextSource("text").read() == "text"


@pytest.mark.parametrize("size", [0, 1, 99, 100, 117, MIB - 1, MIB, MIB + 1, 2 * MIB + 12_345])
def test_pattern_when_read_in_any_pieces_then_same_bytes(size: int) -> None:
    stream = PatternStream(size, canary=CANARY)
    whole = stream.read()

    assert len(whole) == size
    for piece_size in (99_991, 65_536, MIB):
        stream.seek(0)
        assert _read_all(stream, piece_size) == whole
    assert stream.sha256_hex() == hashlib.sha256(whole).hexdigest()


def test_pattern_when_read_at_random_offsets_then_agrees_with_the_whole() -> None:
    stream = PatternStream(2 * MIB, canary=CANARY, canary_interval=1000, canary_offset=990)
    whole = stream.read()

    for start, size in itertools.product([0, 989, 990, 1000, 1007, MIB - 5, MIB + 31], [1, 17, 3000]):
        stream.seek(start)
        assert stream.read(size) == whole[start : start + size]


def test_pattern_when_it_has_a_canary_then_at_every_interval_and_nowhere_else() -> None:
    whole = PatternStream(2 * MIB, canary=CANARY, canary_interval=65_536, canary_offset=65_530).read()

    assert whole.count(CANARY) == 31
    assert all(whole[at : at + len(CANARY)] == CANARY for at in range(65_530, 2 * MIB - 65_536, 65_536))


def test_pattern_when_seed_or_block_differs_then_other_bytes() -> None:
    whole = PatternStream(3 * MIB).read()
    blocks = [whole[start : start + MIB] for start in range(0, 3 * MIB, MIB)]

    assert len(set(blocks)) == 3
    assert PatternStream(100, seed=1).read() != whole[:100]
    assert PatternStream(100).read() == whole[:100]


@pytest.mark.parametrize("size", [0, 10])
def test_pattern_when_sought_to_the_end_then_tells_its_size(size: int) -> None:
    stream = PatternStream(size)

    assert stream.seek(0, io.SEEK_END) == size
    assert stream.read(1) == b""
    with pytest.raises(ValueError, match="negative"):
        stream.seek(-1)


def test_pattern_when_canaries_would_overlap_then_refused() -> None:
    with pytest.raises(ConfigurationError, match="canary_interval"):
        PatternStream(10, canary=CANARY, canary_interval=len(CANARY))
    with pytest.raises(ConfigurationError, match="negative"):
        PatternStream(-1)


def test_sink_when_written_then_has_size_and_digest() -> None:
    sink = HashingSink()

    assert [sink.write(PLAINTEXT), sink.write(memoryview(PLAINTEXT)[:5]), sink.write(b"")] == [256, 5, 0]
    sink.flush()

    assert sink.size == 261
    assert sink.hexdigest() == hashlib.sha256(PLAINTEXT + PLAINTEXT[:5]).hexdigest()
