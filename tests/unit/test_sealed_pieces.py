"""Sealed bodies are made in pieces of four segments, in a buffer that is used again: only whole pieces come out."""

from __future__ import annotations

import random

import pytest

from s3envelope.engine.sealing import Attempt, CiphertextReader
from s3envelope.engine.sources import StreamSource
from s3envelope.errors import SourceChangedError
from s3envelope.testing.streams import ChangingSource
from tests.support.objects import SEALED, SEGMENT, new_body_key, sealed_run

PLAINTEXT = random.Random(1).randbytes(2 * SEGMENT + 100)
KEY = new_body_key()


def _ciphertext(plaintext: bytes) -> bytes:
    return CiphertextReader(sealed_run(plaintext, KEY)).read()


@pytest.mark.parametrize("step", [4 * SEALED, 4 * SEALED + 1, 1 << 20, -1])
def test_body_when_a_large_piece_is_asked_for_then_it_comes_in_smaller_ones(step: int) -> None:
    plaintext = PLAINTEXT * 5
    reader, pieces = CiphertextReader(sealed_run(plaintext, KEY)), []

    while piece := reader.read(step):
        pieces.append(len(piece))

    # What is asked for with no number is the rest, at once; a read of up to four segments is as long as asked; of more,
    # what fills 128 KiB with the frame of a chunk.
    assert pieces[0] == {-1: sum(pieces), 4 * SEALED: 4 * SEALED}.get(step, 131_063)
    reader.seek(5)
    assert reader.read(4 * SEALED) == _ciphertext(plaintext)[5 : 5 + 4 * SEALED]
    assert sum(pieces) == len(reader)


def test_body_when_a_later_segment_of_a_piece_changed_then_nothing_of_the_piece_comes_out() -> None:
    source = ChangingSource(PLAINTEXT, offset=2 * SEGMENT, stable_passes=1)
    run = sealed_run(StreamSource(source), KEY)
    reader = CiphertextReader(run)
    reader.read(3 * SEALED)
    reader.seek(0)

    with pytest.raises(SourceChangedError):
        reader.read(3 * SEALED)

    # The first two segments were sealed again, as they were, and are not returned all the same.
    with pytest.raises(SourceChangedError):
        run.read_at(0, 1)


def test_body_when_sealing_is_interrupted_then_nothing_half_written_comes_out(monkeypatch: pytest.MonkeyPatch) -> None:
    run, expected = sealed_run(PLAINTEXT * 2, KEY), _ciphertext(PLAINTEXT * 2)
    run.read_at(0, 2 * SEALED)

    def interrupted(*_: object) -> bytes:
        raise KeyboardInterrupt

    with monkeypatch.context() as changed:
        changed.setattr(Attempt, "confirm", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run.read_at(2 * SEALED, 2 * SEALED)

    assert run.read_at(0, 2 * SEALED) == expected[: 2 * SEALED]
