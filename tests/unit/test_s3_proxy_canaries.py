"""The detector must detect: every spelling of a secret, wherever the pieces of a stream are cut."""

import base64
import random

import pytest

from s3envelope.errors import ConfigurationError
from s3envelope.testing.s3_proxy.aws_chunked import AwsChunkedDecoder
from s3envelope.testing.s3_proxy.canaries import StreamScanner, needles_of

# Its base64 has + and / in every alignment, so the two alphabets differ.
CANARY = bytes([0xFB, 0xEF, 0xBE, 0xFF, 0xFE, 0x3F]) * 3 + b"canary\x00\xff\xfe"
FILLER = random.Random(1).randbytes(5_000)


def _spellings() -> dict[str, bytes]:
    spellings = {"raw": CANARY, "hex": CANARY.hex().encode(), "HEX": CANARY.hex().upper().encode()}
    for alignment in range(3):
        before, after = FILLER[:alignment], FILLER[:2]
        spellings[f"base64+{alignment}"] = base64.b64encode(before + CANARY + after)
        spellings[f"base64url+{alignment}"] = base64.urlsafe_b64encode(before + CANARY + after)
    return spellings


def _encodings_found(stream: bytes, *, piece_size: int) -> list[str]:
    scanner = StreamScanner(needles_of(CANARY))
    found = []
    for start in range(0, len(stream), piece_size):
        found += [sighting.needle.encoding for sighting in scanner.feed(stream[start : start + piece_size])]
    return found


@pytest.mark.parametrize("piece_size", [1, 7, 40, 1024, 100_000])
@pytest.mark.parametrize("encoding", _spellings())
def test_scanner_when_secret_is_spelt_any_way_then_finds_that_spelling(encoding: str, piece_size: int) -> None:
    stream = FILLER + _spellings()[encoding] + FILLER

    assert _encodings_found(stream, piece_size=piece_size) == [encoding]


@pytest.mark.parametrize("cut", range(len(CANARY) + 1))
def test_scanner_when_secret_straddles_two_pieces_then_finds_it_at_its_offset(cut: int) -> None:
    scanner = StreamScanner(needles_of(CANARY))

    found = scanner.feed(FILLER + CANARY[:cut]) + scanner.feed(CANARY[cut:] + FILLER)

    assert [(sighting.needle.encoding, sighting.offset) for sighting in found] == [("raw", len(FILLER))]


def test_scanner_when_secret_is_absent_then_finds_nothing() -> None:
    assert _encodings_found(random.Random(2).randbytes(1_000_000), piece_size=65_536) == []


def test_scanner_when_secret_comes_twice_then_reports_it_once() -> None:
    assert _encodings_found((CANARY + FILLER) * 3, piece_size=300) == ["raw"]


def test_needles_when_canary_is_short_then_refused() -> None:
    with pytest.raises(ConfigurationError, match="11 bytes"):
        needles_of(b"12345678901")


def _decode(body: bytes, *, piece_size: int) -> tuple[bytes, bytes]:
    payload, framing = bytearray(), bytearray()
    decoder = AwsChunkedDecoder(payload.extend, framing.extend)
    for start in range(0, len(body), piece_size):
        decoder.feed(body[start : start + piece_size])
    return bytes(payload), bytes(framing)


@pytest.mark.parametrize("piece_size", [1, 3, 1000])
def test_decoder_when_body_is_signed_and_has_trailer_then_payload_and_framing_apart(piece_size: int) -> None:
    body = b"5;chunk-signature=aa\r\nhello\r\n1\r\n!\r\n0\r\nx-amz-checksum-crc32:AAAAAA==\r\n\r\n"

    payload, framing = _decode(body, piece_size=piece_size)

    assert payload == b"hello!"
    assert b"chunk-signature=aa" in framing
    assert b"x-amz-checksum-crc32:AAAAAA==" in framing


@pytest.mark.parametrize("body", [b"not framed at all\r\nrest", b"2\r\nab\r\nzz\r\nrest", b"x" * 20_000])
def test_decoder_when_framing_is_broken_then_no_byte_is_unseen(body: bytes) -> None:
    payload, framing = _decode(body, piece_size=7)

    assert len(payload) + len(framing) == len(body)
