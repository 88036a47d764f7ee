"""A plain multipart upload: the rules that no reader could check afterwards."""

from __future__ import annotations

import itertools

import pytest

from s3envelope.core.segments import SegmentOpener
from s3envelope.engine import uploads
from s3envelope.engine.sealing import CiphertextReader, SealedRun
from s3envelope.engine.sources import BufferSource
from s3envelope.engine.uploads import PlainUpload
from s3envelope.errors import ConfigurationError, SourceChangedError, UnsupportedOperationError
from tests.support.objects import SEALED, SEGMENT, FakeProcess, fake_ports, new_body_key

# The engine takes any multiple of a segment; only the integration demands 5 MiB.
PART = 2 * SEGMENT
FULL, SHORT = b"f" * PART, b"s" * 10


def _upload(plaintext_size: int | None = None, process_id: FakeProcess | None = None) -> PlainUpload:
    return PlainUpload(new_body_key(), PART, fake_ports(process_id=process_id), plaintext_size=plaintext_size)


def _begin(upload: PlainUpload, number: int, plaintext: bytes) -> bytes:
    return CiphertextReader(upload.begin_part(number, BufferSource(plaintext))).read()


def _send(upload: PlainUpload, number: int, plaintext: bytes) -> bytes:
    sent = _begin(upload, number, plaintext)
    upload.part_succeeded(number, f'"e{number}"')
    return sent


def _fail(upload: PlainUpload, number: int, plaintext: bytes) -> bytes:
    sent = _begin(upload, number, plaintext)
    upload.part_failed(number)
    return sent


def _drain(reader: CiphertextReader, sent: bytearray) -> None:
    while piece := reader.read(1000):
        sent += piece


def _listed(*numbers: int) -> list[tuple[int, str]]:
    return [(number, f"e{number}") for number in numbers]


def _end(end: tuple[int, SealedRun] | None) -> tuple[int, bytes]:
    assert end is not None
    return end[0], CiphertextReader(end[1]).read()


def test_parts_when_sent_in_any_order_then_they_are_slices_of_one_run() -> None:
    upload = _upload()
    second, third, first = _send(upload, 2, FULL), _send(upload, 3, SHORT), _send(upload, 1, FULL)

    end = upload.freeze(_listed(1, 2, 3))

    body, opener = first + second + third, SegmentOpener(new_body_key())
    opened = [opener.open(0, index, body[index * SEALED : (index + 1) * SEALED]) for index in range(5)]
    assert end is None
    assert b"".join(opened) == FULL + FULL + SHORT
    assert len(body) == 4 * SEALED + 38


@pytest.mark.parametrize("sizes", [[PART], [PART, PART]])
def test_end_when_no_part_carries_it_then_it_is_one_more_part_produced_once(sizes: list[int]) -> None:
    upload = _upload()
    for number, size in enumerate(sizes, 1):
        _send(upload, number, bytes(size))
    listed = _listed(*range(1, len(sizes) + 1))

    first, again = _end(upload.freeze(listed)), _end(upload.freeze(listed))

    assert first == again
    assert (first[0], len(first[1])) == (len(sizes) + 1, 28)


@pytest.mark.parametrize(("size", "last"), [(0, 1), (PART, 1), (2 * PART, 2), (PART + 1, 2)])
def test_end_when_the_size_is_known_then_the_last_part_carries_it(size: int, last: int) -> None:
    upload = _upload(plaintext_size=size)
    sent = [_send(upload, number, bytes(min(PART, size - (number - 1) * PART))) for number in range(1, last + 1)]

    end = upload.freeze(_listed(*range(1, last + 1)))

    assert end is None
    assert sum(map(len, sent)) == size + 28 * (size // SEGMENT + 1)


def test_part_when_it_is_number_10000_then_it_ends_the_run() -> None:
    upload = _upload()

    assert len(_send(upload, 10_000, FULL)) == 2 * SEALED + 28
    with pytest.raises(UnsupportedOperationError):
        upload.freeze(_listed(10_000))


@pytest.mark.parametrize("number", [-1, 0, 10_001])
def test_part_when_its_number_is_out_of_range_then_it_is_refused(number: int) -> None:
    with pytest.raises(ConfigurationError):
        _upload().begin_part(number, BufferSource(FULL))


def test_part_when_longer_than_declared_then_it_is_refused_and_not_registered() -> None:
    upload = _upload()

    with pytest.raises(ConfigurationError):
        upload.begin_part(1, BufferSource(FULL + b"x"))

    assert len(_send(upload, 1, FULL)) == 2 * SEALED


def test_part_when_in_flight_or_sent_then_a_second_call_is_refused() -> None:
    upload = _upload()
    _begin(upload, 1, FULL)
    _send(upload, 2, FULL)

    for number in (1, 2):
        with pytest.raises(UnsupportedOperationError, match="written once"):
            upload.begin_part(number, BufferSource(FULL))


def test_part_when_it_failed_then_a_repetition_with_the_same_content_sends_the_same_bytes() -> None:
    upload = _upload()

    assert _fail(upload, 1, FULL) == _fail(upload, 1, FULL) == _send(upload, 1, FULL)


@pytest.mark.parametrize("position", [0, SEGMENT - 1, SEGMENT, PART - 1])
def test_part_when_it_failed_then_a_repetition_with_other_content_is_refused_before_that_segment(
    position: int,
) -> None:
    upload = _upload()
    genuine = _fail(upload, 1, FULL)
    changed = FULL[:position] + b"x" + FULL[position + 1 :]
    run = upload.begin_part(1, BufferSource(changed))
    reader, sent = CiphertextReader(run), bytearray()

    with pytest.raises(SourceChangedError):
        _drain(reader, sent)

    assert bytes(sent) == genuine[: len(sent)]
    assert len(sent) <= position // SEGMENT * SEALED


def test_part_when_a_repetition_with_other_content_was_refused_then_even_the_genuine_one_is() -> None:
    upload = _upload()
    _fail(upload, 1, FULL)
    run = upload.begin_part(1, BufferSource(b"x" * PART))
    with pytest.raises(SourceChangedError):
        run.read_at(0, 1)
    upload.part_failed(1)

    again = upload.begin_part(1, BufferSource(FULL))

    with pytest.raises(SourceChangedError):
        again.read_at(0, 1)


@pytest.mark.parametrize(("first", "second"), [(SHORT, SHORT + b"x"), (SHORT, b""), (SHORT, FULL), (FULL, SHORT)])
def test_part_when_it_failed_then_a_repetition_of_another_size_is_refused(first: bytes, second: bytes) -> None:
    upload = _upload()
    _fail(upload, 1, first)

    with pytest.raises(SourceChangedError):
        upload.begin_part(1, BufferSource(second))
    with pytest.raises(SourceChangedError):
        _begin(upload, 1, second)


def test_part_when_only_half_of_it_was_produced_before_it_failed_then_the_rest_is_free() -> None:
    upload = _upload()
    run = upload.begin_part(1, BufferSource(FULL))
    first = run.read_at(0, SEALED)
    upload.part_failed(1)

    again = upload.begin_part(1, BufferSource(FULL[:SEGMENT] + b"x" * SEGMENT))

    # The second segment never left, so nothing was sealed twice under its nonce.
    assert again.read_at(0, SEALED) == first
    assert len(again.read_at(SEALED, SEALED)) == SEALED


@pytest.mark.parametrize("order", list(itertools.permutations((1, 2, 3, 4))))
@pytest.mark.parametrize("short", [(), (1,), (2,), (4,), (1, 3), (2, 4)])
def test_part_when_any_other_is_registered_then_it_is_refused_exactly_where_the_run_would_end_early(
    order: tuple[int, ...], short: tuple[int, ...]
) -> None:
    upload, registered = _upload(), set[int]()

    for number in order:
        ends = number in short
        is_early = any(other < number for other in registered & set(short)) or (
            ends and any(other > number for other in registered)
        )
        plaintext = SHORT if ends else FULL
        if is_early:
            with pytest.raises(UnsupportedOperationError, match="last one"):
                upload.begin_part(number, BufferSource(plaintext))
        else:
            _fail(upload, number, plaintext)
            registered.add(number)


@pytest.mark.parametrize("failed", [True, False])
def test_part_when_it_ends_the_run_below_a_registered_part_then_it_is_refused(failed: bool) -> None:
    upload = _upload()
    (_fail if failed else _send)(upload, 2, FULL)

    with pytest.raises(UnsupportedOperationError, match="last one"):
        upload.begin_part(1, BufferSource(SHORT))


@pytest.mark.parametrize("failed", [True, False])
@pytest.mark.parametrize("plaintext", [FULL, SHORT])
def test_part_when_it_lies_behind_an_end_then_it_is_refused_even_if_the_end_failed(
    failed: bool, plaintext: bytes
) -> None:
    upload = _upload()
    (_fail if failed else _send)(upload, 1, SHORT)

    with pytest.raises(UnsupportedOperationError, match="last one"):
        upload.begin_part(2, BufferSource(plaintext))


def test_complete_when_the_list_is_not_all_parts_then_it_is_refused() -> None:
    upload = _upload()
    _send(upload, 1, FULL)
    _send(upload, 2, FULL)
    wrong = [
        [],
        _listed(1),
        _listed(2),
        _listed(2, 1),
        _listed(1, 2, 3),
        _listed(1, 1, 2),
        [(1, "e1"), (2, "other")],
        [(1, "e1"), (2, "")],
    ]

    for parts in wrong:
        with pytest.raises(UnsupportedOperationError):
            upload.freeze(parts)

    assert upload.freeze([(1, '"e1"'), (2, "e2")]) is not None


@pytest.mark.parametrize("numbers", [(2,), (1, 3)])
def test_complete_when_numbers_have_gaps_then_it_is_refused(numbers: tuple[int, ...]) -> None:
    upload = _upload()
    for number in numbers:
        _send(upload, number, FULL)

    with pytest.raises(UnsupportedOperationError):
        upload.freeze(_listed(*numbers))


@pytest.mark.parametrize("is_failed", [True, False])
def test_complete_when_a_part_failed_or_is_in_flight_then_it_is_refused_with_and_without_it(is_failed: bool) -> None:
    upload = _upload()
    _send(upload, 1, FULL)
    (_fail if is_failed else _begin)(upload, 2, SHORT)

    for parts in (_listed(1), _listed(1, 2), [(1, "e1"), (2, "")]):
        with pytest.raises(UnsupportedOperationError):
            upload.freeze(parts)


def test_complete_when_frozen_then_no_part_and_no_other_list_is_taken() -> None:
    upload = _upload()
    _send(upload, 1, FULL)
    upload.freeze(_listed(1))

    with pytest.raises(UnsupportedOperationError, match="completing"):
        upload.begin_part(2, BufferSource(FULL))
    with pytest.raises(UnsupportedOperationError, match="another list"):
        upload.freeze([(1, "other")])
    assert upload.freeze(_listed(1)) is not None


def test_complete_when_refused_then_the_upload_is_not_frozen() -> None:
    upload = _upload()
    _send(upload, 1, FULL)
    with pytest.raises(UnsupportedOperationError):
        upload.freeze(_listed(1, 2))

    _send(upload, 2, SHORT)

    assert upload.freeze(_listed(1, 2)) is None


def test_upload_when_finished_then_nothing_goes_on() -> None:
    body_key = new_body_key()
    upload = PlainUpload(body_key, PART, fake_ports())
    _send(upload, 1, FULL)

    upload.finish()
    upload.finish()

    with pytest.raises(UnsupportedOperationError):
        upload.begin_part(2, BufferSource(FULL))
    with pytest.raises(UnsupportedOperationError):
        upload.freeze(_listed(1))
    with pytest.raises(ValueError, match="wiped"):
        body_key.key.view()


def test_upload_when_the_process_forked_then_nothing_goes_on() -> None:
    process = FakeProcess()
    upload = _upload(process_id=process)
    in_flight = upload.begin_part(1, BufferSource(FULL))
    upload.part_succeeded(1, "e1")

    process.number += 1

    with pytest.raises(UnsupportedOperationError, match="fork"):
        upload.begin_part(2, BufferSource(FULL))
    with pytest.raises(UnsupportedOperationError, match="fork"):
        upload.freeze(_listed(1))
    with pytest.raises(UnsupportedOperationError, match="fork"):
        in_flight.read_at(0, 1)


def test_upload_when_it_has_made_too_many_calls_then_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "_MAX_CALLS", 3)
    upload = _upload()
    _fail(upload, 1, FULL)
    _fail(upload, 1, FULL)

    with pytest.raises(UnsupportedOperationError, match="too many"):
        upload.begin_part(1, BufferSource(FULL))


def test_upload_when_its_calls_have_too_many_segments_then_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uploads, "_MAX_SEGMENTS", 6)
    upload = _upload()
    _send(upload, 1, FULL)
    _fail(upload, 2, FULL)

    with pytest.raises(UnsupportedOperationError, match="too many"):
        upload.begin_part(2, BufferSource(FULL))


def test_nonces_when_parts_are_sealed_then_each_call_has_its_own() -> None:
    upload = _upload()
    sent = [_send(upload, number, FULL) for number in (1, 2, 3)]
    end = _end(upload.freeze(_listed(1, 2, 3)))[1]

    nonces = [part[start : start + 12] for part in (*sent, end) for start in range(0, len(part), SEALED)]

    assert len(set(nonces)) == len(nonces) == 7
