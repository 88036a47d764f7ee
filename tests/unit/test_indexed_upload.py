"""The rules of uploads in the indexed layout."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest

from s3envelope.core.context import EncryptionContext
from s3envelope.core.envelope import Envelope, Header
from s3envelope.core.index import IndexRow, open_index
from s3envelope.core.kdf import BodyKey, derive_body_key
from s3envelope.core.layout import run_size
from s3envelope.core.ports import EncryptedDataKey, SystemPorts
from s3envelope.core.secret import SecretBytes
from s3envelope.core.upload_state import UploadState
from s3envelope.engine.indexed_uploads import IndexedUpload, RejectedPartsError
from s3envelope.engine.sealing import CiphertextReader
from s3envelope.engine.sources import BufferSource
from s3envelope.errors import ConfigurationError, DecryptionError, UnsupportedOperationError
from s3envelope.testing.streams import NonSeekableSource

MIB = 1 << 20
BIG = b"b" * (5 * MIB)


class Machine:
    """Counted randomness and a process that a test can fork."""

    def __init__(self) -> None:
        self._numbers = itertools.count(1)
        self.process = 1

    def ports(self) -> SystemPorts:
        return SystemPorts(
            random=lambda size: next(self._numbers).to_bytes(size, "big"),
            clock=lambda: 0.0,
            process_id=lambda: self.process,
            wall_clock=lambda: 0.0,
        )


def body_key() -> BodyKey:
    return derive_body_key(SecretBytes(bytes(32)), indexed=True)


def begun(upload_id: str = "u") -> UploadState:
    header = Header(indexed=True, bound=False, commitment=bytes(32), nonce=bytes(12), sealed_object_key=bytes(48))
    envelope = Envelope(header, (EncryptedDataKey(b"hint", b"wrapped"),), EncryptionContext())
    return UploadState("bucket", "key", upload_id, envelope.to_metadata(), (), None)


class Upload:
    """An upload, and a server that accepts every part."""

    def __init__(self, machine: Machine | None = None, upload_id: str = "u") -> None:
        self.machine = machine or Machine()
        self.engine = IndexedUpload(begun(upload_id), body_key(), self.machine.ports())
        self._etags: Iterator[int] = itertools.count(1)
        self.sent: dict[tuple[int, str], bytes] = {}

    def part(self, number: int, plaintext: bytes, etag: str | None = None) -> tuple[int, str]:
        run = self.engine.begin_part(number, BufferSource(plaintext))
        ciphertext = CiphertextReader(run).read()
        tag = etag or f'"{next(self._etags)}"'
        row = IndexRow(number, run.attempt.nonce_start, len(plaintext))
        self.engine.part_succeeded(row, tag, ciphertext if len(ciphertext) < 5 * MIB else None)
        self.sent[number, tag] = ciphertext
        return number, tag


@pytest.fixture
def upload() -> Upload:
    return Upload()


def test_complete_when_the_last_part_is_small_puts_the_index_behind_it(upload: Upload) -> None:
    first, last = upload.part(1, BIG), upload.part(4, b"end")

    done = upload.engine.freeze([first, last])

    assert (done.parts, done.number, done.etag) == ((first,), 4, None)
    assert done.body.startswith(upload.sent[last])
    index = done.body[len(upload.sent[last]) :]
    layout = open_index(body_key(), index, run_size(len(BIG)) + len(done.body))
    assert [(run.number, run.plaintext_size) for run in layout.runs] == [(1, len(BIG)), (4, 3)]


def test_complete_when_the_last_part_is_large_makes_the_index_a_part(upload: Upload) -> None:
    parts = [upload.part(2, BIG), upload.part(7, BIG)]

    done = upload.engine.freeze(parts)

    assert (done.parts, done.number) == (tuple(parts), 8)
    open_index(body_key(), done.body, 2 * run_size(len(BIG)) + len(done.body))


def test_complete_when_repeated_has_the_same_index_and_etag(upload: Upload) -> None:
    parts = [upload.part(1, b"only")]
    first = upload.engine.freeze(parts)
    upload.engine.end_sent('"i"')

    again = upload.engine.freeze(parts)

    assert (again.body, again.etag) == (first.body, '"i"')
    with pytest.raises(UnsupportedOperationError, match="another list"):
        upload.engine.freeze([(1, '"other"')])


def test_part_when_complete_was_called_is_refused(upload: Upload) -> None:
    upload.engine.freeze([upload.part(1, b"only")])

    with pytest.raises(UnsupportedOperationError):
        upload.engine.begin_part(2, BufferSource(b"x"))
    with pytest.raises(UnsupportedOperationError):
        upload.engine.begin_stream(2, NonSeekableSource(b"x"))


@pytest.mark.parametrize("number", [0, -1, 10_001])
def test_part_when_its_number_is_illegal_is_refused(upload: Upload, number: int) -> None:
    with pytest.raises(ConfigurationError):
        upload.engine.begin_part(number, BufferSource(b"x"))


def test_list_when_wrong_is_rejected_with_the_code_of_s3_and_decides_nothing(upload: Upload) -> None:
    big, small, last = upload.part(1, BIG), upload.part(2, b"small"), upload.part(3, b"last")
    cases = {
        "MalformedXML": [],
        "InvalidPartOrder": [last, big],
        "InvalidPart": [(1, '"other"')],
        "EntityTooSmall": [small, last],
    }

    for code, parts in cases.items():
        with pytest.raises(RejectedPartsError, match=code):
            upload.engine.freeze(parts)
    with pytest.raises(RejectedPartsError, match="InvalidPartOrder"):
        upload.engine.freeze([big, big])
    with pytest.raises(RejectedPartsError, match="InvalidPart"):
        upload.engine.freeze([(9, '"1"')])

    assert upload.engine.freeze([big, last]).number == 3


def test_part_10000_when_large_leaves_no_number_for_the_index(upload: Upload) -> None:
    part = upload.part(10_000, BIG)

    with pytest.raises(UnsupportedOperationError, match="no number is left"):
        upload.engine.freeze([part])


def test_part_10000_when_small_carries_the_index(upload: Upload) -> None:
    assert upload.engine.freeze([upload.part(10_000, b"x")]).number == 10_000


def test_part_when_uploaded_again_counts_as_the_last_one_did(upload: Upload) -> None:
    old = upload.part(1, b"old")
    new = upload.part(1, b"new")

    with pytest.raises(RejectedPartsError, match="InvalidPart"):
        upload.engine.freeze([old])
    assert upload.engine.freeze([new]).body.startswith(upload.sent[new])


def test_every_call_when_for_the_same_part_has_nonces_of_its_own(upload: Upload) -> None:
    sent = [upload.sent[upload.part(1, b"same")] for _ in range(3)]

    assert len({ciphertext[:12] for ciphertext in sent}) == 3


def test_server_when_it_gives_one_etag_to_two_attempts_is_refused(upload: Upload) -> None:
    upload.part(1, b"one", '"e"')

    with pytest.raises(DecryptionError, match="one ETag"):
        upload.part(1, b"two", '"e"')


def test_small_last_part_when_its_ciphertext_is_elsewhere_must_be_uploaded_again(upload: Upload) -> None:
    part = upload.part(1, b"only")
    other = IndexedUpload(begun(), body_key(), upload.machine.ports())
    other.adopt(upload.engine.state, {})

    with pytest.raises(UnsupportedOperationError, match="upload part 1 again"):
        other.freeze([part])


@pytest.mark.parametrize("place", [0, 12, -1])
def test_small_last_part_when_its_kept_ciphertext_was_changed_is_not_sent(upload: Upload, place: int) -> None:
    part = upload.part(1, b"only")
    changed = bytearray(upload.sent[part])
    changed[place] ^= 1
    other = IndexedUpload(begun(), body_key(), upload.machine.ports())
    other.adopt(upload.engine.state, {1: (part[1], bytes(changed))})

    with pytest.raises(UnsupportedOperationError, match="was changed"):
        other.freeze([part])


def test_state_when_adopted_by_another_goes_on_with_all_parts() -> None:
    one = Upload()
    first = one.part(1, BIG)
    text, tag = one.engine.sealed_state()
    other = IndexedUpload(begun(), body_key(), one.machine.ports())

    other.adopt(other.verified(text, tag), one.engine.small_parts)
    run = other.begin_part(2, BufferSource(b"tail"))
    other.part_succeeded(IndexRow(2, run.attempt.nonce_start, 4), '"t"', CiphertextReader(run).read())

    assert other.freeze([first, (2, '"t"')]).number == 2


def test_state_when_of_another_upload_or_edited_is_refused(upload: Upload) -> None:
    upload.part(1, b"x")
    text, tag = upload.engine.sealed_state()
    stranger = IndexedUpload(begun("v"), body_key(), upload.machine.ports())

    with pytest.raises(DecryptionError, match="another upload"):
        stranger.verified(text, tag)
    with pytest.raises(DecryptionError, match="authenticate"):
        upload.engine.verified(text.replace(b'"key"', b'"kex"', 1), tag)


def test_state_when_merged_keeps_the_order_of_the_store_and_what_is_new_here(upload: Upload) -> None:
    upload.part(1, b"mine", '"mine"')
    theirs = Upload(upload.machine)
    theirs.part(1, b"theirs", '"theirs"')

    upload.engine.adopt(theirs.engine.state, {})

    assert [part.etag for part in upload.engine.state.parts] == ['"theirs"', '"mine"']


def test_upload_when_the_process_forked_is_refused(upload: Upload) -> None:
    part = upload.part(1, b"x")
    upload.machine.process = 2

    with pytest.raises(UnsupportedOperationError, match="fork"):
        upload.engine.begin_part(2, BufferSource(b"x"))
    with pytest.raises(UnsupportedOperationError, match="fork"):
        upload.engine.freeze([part])


def test_upload_when_finished_is_over_and_its_key_wiped(upload: Upload) -> None:
    part = upload.part(1, b"x")
    upload.engine.finish()

    with pytest.raises(UnsupportedOperationError, match="completed or aborted"):
        upload.engine.freeze([part])
    with pytest.raises(ValueError, match="wiped"):
        upload.engine.sealed_state()


def test_stream_when_read_once_is_sealed_like_a_part(upload: Upload) -> None:
    nonce_start, segments = upload.engine.begin_stream(3, NonSeekableSource(b"s" * 70_000))
    ciphertext = b"".join(segments)
    upload.engine.part_succeeded(IndexRow(3, nonce_start, 70_000), '"s"', ciphertext)

    done = upload.engine.freeze([(3, '"s"')])

    assert len(ciphertext) == run_size(70_000)
    assert done.body.startswith(ciphertext)


def test_state_when_replaced_by_one_with_an_end_is_frozen(upload: Upload) -> None:
    part = upload.part(1, b"x")
    frozen = upload.engine.freeze([part])
    other = IndexedUpload(replace(begun(), parts=()), body_key(), upload.machine.ports())

    other.adopt(upload.engine.state, upload.engine.small_parts)

    assert other.freeze([part]) == frozen
