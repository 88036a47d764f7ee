"""The index of parts, and the derivation of the keys that it is sealed under."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from s3envelope.core.index import MAX_INDEX_SIZE, IndexRow, index_size, open_index, seal_index, size_of_index_at_end
from s3envelope.core.kdf import derive_body_key
from s3envelope.core.layout import run_size
from s3envelope.core.secret import SecretBytes
from s3envelope.errors import IndexAuthenticationError
from tests.support.objects import new_body_key

NONCE = bytes(range(12))
ROWS = [IndexRow(2, bytes([1]) * 12, 10), IndexRow(9, bytes([2]) * 12, 65536)]
BODY_SIZE = run_size(10) + run_size(65536)


def test_index_when_sealed_then_its_layout_comes_back() -> None:
    key = new_body_key(indexed=True)
    index = seal_index(key, ROWS, NONCE)

    layout = open_index(key, index, BODY_SIZE + len(index))

    assert len(index) == index_size(2) == 80
    assert size_of_index_at_end(index, BODY_SIZE + 80) == 80
    assert [IndexRow(run.number, run.nonce_start or b"", run.plaintext_size) for run in layout.runs] == ROWS
    assert (layout.plaintext_size, layout.ciphertext_size, layout.indexed) == (65546, BODY_SIZE + 80, True)


def test_index_when_any_bit_is_flipped_then_it_is_refused() -> None:
    key = new_body_key(indexed=True)
    index = seal_index(key, ROWS, NONCE)
    total = BODY_SIZE + len(index)

    for position in range((len(index) - 4) * 8):
        edited = bytearray(index)
        edited[position // 8] ^= 1 << position % 8
        with pytest.raises(IndexAuthenticationError):
            open_index(key, bytes(edited), total)


@pytest.mark.parametrize("difference", [-1, 1, -28, 28, 65564])
def test_index_when_the_object_has_another_length_then_it_is_refused(difference: int) -> None:
    key = new_body_key(indexed=True)
    index = seal_index(key, ROWS, NONCE)

    with pytest.raises(IndexAuthenticationError, match="contradict"):
        open_index(key, index, BODY_SIZE + len(index) + difference)


@pytest.mark.parametrize("numbers", [(0, 1), (1, 1), (2, 1), (1, 10_001), (1, 2**32 - 1)])
def test_index_when_numbers_do_not_ascend_from_1_to_10000_then_it_is_refused(numbers: tuple[int, int]) -> None:
    key = new_body_key(indexed=True)
    rows = [IndexRow(number, bytes(12), 5) for number in numbers]
    index = seal_index(key, rows, NONCE)

    with pytest.raises(IndexAuthenticationError, match="ascending"):
        open_index(key, index, 2 * run_size(5) + len(index))


def test_index_when_a_size_is_as_large_as_its_field_then_nothing_is_allocated_and_it_is_refused() -> None:
    key = new_body_key(indexed=True)
    index = seal_index(key, [IndexRow(1, bytes(12), 2**64 - 1)], NONCE)

    with pytest.raises(IndexAuthenticationError):
        open_index(key, index, 2**63)


@pytest.mark.parametrize("count", [1, 10_000])
def test_index_size_at_the_end_when_it_can_be_one_then_it_is_told(count: int) -> None:
    tail = count.to_bytes(4, "big")

    assert size_of_index_at_end(tail, index_size(count)) == index_size(count) <= MAX_INDEX_SIZE == 240_032


@pytest.mark.parametrize(
    ("tail", "total"),
    [
        (b"", 0),
        (b"\0\0\1", 10**6),
        (b"\0\0\0\0", 10**6),
        ((10_001).to_bytes(4, "big"), 10**9),
        (b"\xff\xff\xff\xff", 2**62),
        ((1).to_bytes(4, "big"), index_size(1) - 1),
        ((10_000).to_bytes(4, "big"), index_size(10_000) - 1),
    ],
)
def test_index_size_at_the_end_when_none_can_be_there_then_it_is_refused(tail: bytes, total: int) -> None:
    with pytest.raises(IndexAuthenticationError):
        size_of_index_at_end(tail, total)


@pytest.mark.parametrize("indexed", [False, True])
def test_body_key_when_derived_then_it_is_hkdf_by_hand(indexed: bool) -> None:
    object_key = bytes(range(32))

    derived = derive_body_key(SecretBytes(object_key), indexed=indexed)

    extracted = hmac.digest(bytes(64), object_key, "sha512")
    output = hmac.digest(extracted, b"s3envelope/SE1/body" + bytes([indexed]) + b"\x01", "sha512")
    assert bytes(derived.key.view()) + derived.commitment == output
    assert hashlib.sha512(output).digest() != output


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_body_key_when_the_object_key_has_another_length_then_it_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        derive_body_key(SecretBytes(bytes(size)), indexed=False)


def test_body_key_when_printed_or_wiped_then_the_key_does_not_show() -> None:
    derived = new_body_key()
    key = bytes(derived.key.view())

    text = repr(derived)
    derived.wipe()

    assert derived.commitment.hex() in text
    assert key.hex() not in text
    with pytest.raises(ValueError, match="wiped"):
        derived.key.view()
