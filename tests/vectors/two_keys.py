"""A header that opens under two data keys: what AES-GCM allows, and the commitment must refuse.

GCM's tag is linear in the associated data over GF(2). With enough free bits in the encryption context one can solve
for a context under which the tags of two keys agree on the same ciphertext. The letters "`" and "a" to "o" differ in
their low four bits only, so a value of such letters is printable whatever the solution is.
"""

from __future__ import annotations

from dataclasses import replace

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from tests.vectors.sealing import HeaderInputs, canonical

_LETTERS = 40


def _context(bits: int) -> dict[str, str]:
    return {"filler": "".join(chr(0x60 | bits >> 4 * place & 15) for place in range(_LETTERS))}


def _with_bits(header: HeaderInputs, bits: int) -> HeaderInputs:
    return replace(header, context=canonical(_context(bits)))


def _tag(data_key: bytes, header: HeaderInputs, plaintext: bytes) -> int:
    sealed = AESGCM(data_key).encrypt(header.nonce, plaintext, header.associated_data())
    return int.from_bytes(sealed[-16:], "big")


def _solve(columns: list[int], target: int) -> int:
    """Return the set of columns, as a bit mask, whose XOR is the target."""
    basis: dict[int, tuple[int, int]] = {}
    for place, column in enumerate(columns):
        vector, mask = column, 1 << place
        while vector and vector.bit_length() in basis:
            other_vector, other_mask = basis[vector.bit_length()]
            vector, mask = vector ^ other_vector, mask ^ other_mask
        if vector:
            basis[vector.bit_length()] = vector, mask
    solution = 0
    while target:
        vector, mask = basis[target.bit_length()]
        target, solution = target ^ vector, solution ^ mask
    return solution


def colliding_context(header: HeaderInputs, second_key: bytes) -> tuple[dict[str, str], HeaderInputs]:
    """Return a context under which the header opens under the second data key too, and the header with it."""
    key_stream = AESGCM(header.data_key).encrypt(header.nonce, bytes(32), None)[:32]
    second_stream = AESGCM(second_key).encrypt(header.nonce, bytes(32), None)[:32]
    second_object_key = bytes(a ^ b ^ c for a, b, c in zip(header.object_key, key_stream, second_stream, strict=True))

    def difference(bits: int) -> int:
        candidate = _with_bits(header, bits)
        first = _tag(header.data_key, candidate, header.object_key)
        return first ^ _tag(second_key, candidate, second_object_key)

    constant = difference(0)
    columns = [difference(1 << place) ^ constant for place in range(4 * _LETTERS)]
    bits = _solve(columns, constant)
    return _context(bits), _with_bits(header, bits)
