"""The envelope: limits, names, and headers that do not open."""

from __future__ import annotations

import string

import pytest

from s3envelope.core.context import EncryptionContext
from s3envelope.core.encoding import decode_base64url, encode_base64url
from s3envelope.core.envelope import (
    Envelope,
    Header,
    encode_object_name,
    is_envelope_name,
    open_header,
    pack_data_keys,
    seal_header,
    unpack_data_keys,
    without_envelope,
)
from s3envelope.core.ports import EncryptedDataKey
from s3envelope.core.secret import SecretBytes
from s3envelope.errors import (
    ConfigurationError,
    HeaderAuthenticationError,
    MalformedEnvelopeError,
    NameBindingError,
    UnsupportedFormatError,
)
from tests.support.objects import stored_plain

DATA_KEY, OBJECT_KEY, NONCE = bytes([1]) * 32, bytes([2]) * 32, bytes([3]) * 12
ENTRY = EncryptedDataKey(b"hint", b"blob")


def _sealed(*, name: str | None = "k", indexed: bool = False, context: dict[str, str] | None = None) -> Header:
    return seal_header(
        SecretBytes(DATA_KEY),
        SecretBytes(OBJECT_KEY),
        context=EncryptionContext(context),
        bound_name=name,
        indexed=indexed,
        nonce=NONCE,
    )[0]


@pytest.mark.parametrize("size", [1, 2, 184, 65535])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_data_keys_when_packed_then_they_come_back(size: int, count: int) -> None:
    keys = tuple(EncryptedDataKey(bytes([number]) * 4, bytes([number]) * size) for number in range(count))

    assert unpack_data_keys(pack_data_keys(keys)) == keys


@pytest.mark.parametrize("count", [0, 5])
def test_data_keys_when_none_or_too_many_then_they_are_not_packed(count: int) -> None:
    with pytest.raises(ConfigurationError):
        pack_data_keys([ENTRY] * count)


@pytest.mark.parametrize(
    "raw",
    [
        b"h",
        b"hint",
        b"hint\0",
        b"hint\0\0",
        b"hint\0\5blob",
        b"hint\xff\xffblob",
        b"hint\0\4blobx",
        b"hint\0\4blob" * 5,
    ],
)
def test_data_keys_when_not_one_to_four_whole_entries_then_they_are_refused(raw: bytes) -> None:
    with pytest.raises(MalformedEnvelopeError):
        unpack_data_keys(raw)


@pytest.mark.parametrize("name", ["se1-h", "SE1-H", "se2-x", "se99-", "Se1-anything"])
def test_name_when_reserved_then_it_is_an_envelope_name(name: str) -> None:
    assert is_envelope_name(name)


@pytest.mark.parametrize("name", ["se-h", "se1h", "xse1-h", "s1-h", "", "se\u0661-h"])
def test_name_when_not_reserved_then_it_is_the_users(name: str) -> None:
    assert not is_envelope_name(name)
    assert without_envelope({name: "v", "Se1-H": "x"}) == {name: "v"}


def test_name_when_it_equals_ours_only_beyond_ascii_then_it_is_not_ours() -> None:
    # The Kelvin sign is a "k" in lower case.
    metadata = dict(stored_plain(b"x").metadata)
    metadata["se1-\u212a"] = metadata.pop("se1-k")

    with pytest.raises(UnsupportedFormatError):
        Envelope.parse(metadata)


@pytest.mark.parametrize("flags", range(4))
def test_header_when_encoded_then_it_has_93_bytes_and_124_characters_and_comes_back(flags: int) -> None:
    header = _sealed(name="k" if flags & 2 else None, indexed=bool(flags & 1))

    raw = header.encode()

    assert (len(raw), raw[0], len(encode_base64url(raw))) == (93, flags, 124)
    assert Header.decode(raw) == header


@pytest.mark.parametrize("size", [0, 92, 94])
def test_header_when_it_has_another_length_then_it_is_refused(size: int) -> None:
    with pytest.raises(MalformedEnvelopeError):
        Header.decode(bytes(size))


def test_header_when_any_bit_is_flipped_then_no_key_comes_out() -> None:
    raw = _sealed(name=None, context={"a": "b"}).encode()

    for position in range(len(raw) * 8):
        edited = bytearray(raw)
        edited[position // 8] ^= 1 << position % 8
        with pytest.raises((HeaderAuthenticationError, MalformedEnvelopeError)):
            open_header(SecretBytes(DATA_KEY), Header.decode(bytes(edited)), EncryptionContext({"a": "b"}), "k")


@pytest.mark.parametrize("size", [0, 16, 24, 31, 33, 64])
def test_header_when_the_data_key_has_another_length_then_it_is_refused(size: int) -> None:
    with pytest.raises(HeaderAuthenticationError):
        open_header(SecretBytes(bytes(size)), _sealed(), EncryptionContext(), "k")


@pytest.mark.parametrize("other", ["K", "k ", "/k", "", "k\0"])
def test_bound_header_when_asked_under_another_name_then_it_is_refused(other: str) -> None:
    with pytest.raises(NameBindingError):
        open_header(SecretBytes(DATA_KEY), _sealed(), EncryptionContext(), other)


def test_unbound_header_when_asked_under_any_name_then_it_opens() -> None:
    object_key, body_key = open_header(SecretBytes(DATA_KEY), _sealed(name=None), EncryptionContext(), "any")

    assert object_key == SecretBytes(OBJECT_KEY)
    assert body_key.commitment == _sealed(name=None).commitment


def test_header_when_context_and_name_could_be_cut_differently_then_it_is_refused() -> None:
    header = _sealed(name='{"a":"b"}k')

    with pytest.raises(NameBindingError):
        open_header(SecretBytes(DATA_KEY), header, EncryptionContext({"a": "b"}), "k")


def test_object_name_when_it_has_lone_surrogates_then_it_is_refused() -> None:
    assert encode_object_name("caf\u00e9") != encode_object_name("cafe\u0301")
    with pytest.raises(ConfigurationError):
        encode_object_name("\ud800")


@pytest.mark.parametrize("raw", [b"\0", b"ab", b"abc", bytes(range(256))])
def test_base64url_when_encoded_then_it_comes_back_and_no_other_spelling_is_taken(raw: bytes) -> None:
    text = encode_base64url(raw)

    assert decode_base64url(text, limit=len(text), what="x") == raw
    for spelling in (text + "=", text + "\n", " " + text, text[:-1] + "+", text + "A" * (1 + -len(text) % 4)):
        with pytest.raises(MalformedEnvelopeError):
            decode_base64url(spelling, limit=len(text) + 1, what="x")


@pytest.mark.parametrize("length", [2, 3])
def test_base64url_when_its_last_character_is_any_then_it_is_taken_where_encoding_gives_it_back(length: int) -> None:
    alphabet = string.ascii_letters + string.digits + "-_"
    taken = set[str]()
    for last in alphabet:
        text = "AAAA" + "A" * (length - 1) + last
        try:
            raw = decode_base64url(text, limit=8, what="x")
        except MalformedEnvelopeError:
            continue
        assert encode_base64url(raw) == text
        taken.add(last)

    # The last character holds 2 or 4 bits of the content; the others of its 6 must be zero.
    assert len(taken) == 4 ** (length - 1)


def test_base64url_when_longer_than_its_limit_then_it_is_refused() -> None:
    with pytest.raises(MalformedEnvelopeError, match="at most 3"):
        decode_base64url("AAAA", limit=3, what="x")


@pytest.mark.parametrize("text", ["", "A", "AAAAA", "AB", "AAB", "\u00e9AAA"])
def test_base64url_when_not_canonical_then_it_is_refused(text: str) -> None:
    with pytest.raises(MalformedEnvelopeError):
        decode_base64url(text, limit=100, what="x")
