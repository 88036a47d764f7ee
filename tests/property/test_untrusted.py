"""What comes from storage: encodings that come back, and no exception but this library's for any bytes."""

from __future__ import annotations

import contextlib
import json

from hypothesis import given
from hypothesis import strategies as st

from s3envelope.core.context import EncryptionContext
from s3envelope.core.encoding import decode_base64url, encode_base64url
from s3envelope.core.envelope import Envelope, Header, pack_data_keys, unpack_data_keys
from s3envelope.core.index import IndexRow, open_index, seal_index, size_of_index_at_end
from s3envelope.core.layout import run_size
from s3envelope.core.ports import EncryptedDataKey
from s3envelope.core.ranges import AnswerHead, ByteRange, check_answer
from s3envelope.core.upload_state import RecordedPart, UploadState, seal_state, verify_state
from s3envelope.errors import ConfigurationError, S3EnvelopeError
from tests.support.objects import new_body_key, read_object, stored_indexed, stored_plain

KEY = new_body_key(indexed=True)
PLAIN, INDEXED = stored_plain(b"plain"), stored_indexed([(1, b"indexed")])
printable = st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), max_size=30)
contexts = st.dictionaries(printable.filter(lambda name: not name.startswith("s3envelope")), printable, max_size=6)
entries = st.builds(EncryptedDataKey, st.binary(min_size=4, max_size=4), st.binary(min_size=1, max_size=300))
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=10,
)


@given(contexts)
def test_context_when_stored_then_it_comes_back(entries: dict[str, str]) -> None:
    context = EncryptionContext(entries)

    assert json.loads(context.canonical or b"{}") == entries
    if entries:
        assert EncryptionContext.parse(context.canonical) == context


@given(contexts, contexts)
def test_contexts_when_they_differ_then_their_canonical_forms_do(one: dict[str, str], two: dict[str, str]) -> None:
    is_equal = EncryptionContext(one).canonical == EncryptionContext(two).canonical

    assert is_equal == (one == two)


@given(st.one_of(json_values, st.dictionaries(st.text(max_size=20), st.text(max_size=20), max_size=3)))
def test_context_when_made_of_anything_then_it_is_legal_or_refused(entries: object) -> None:
    with contextlib.suppress(ConfigurationError):
        context = EncryptionContext(entries)  # type: ignore[arg-type]
        assert context.canonical.isascii()


@given(st.one_of(st.binary(max_size=200), json_values.map(lambda value: json.dumps(value).encode())))
def test_stored_context_when_it_is_any_bytes_then_only_the_canonical_spelling_is_taken(stored: bytes) -> None:
    with contextlib.suppress(S3EnvelopeError):
        assert EncryptionContext.parse(stored).canonical == stored


@given(st.lists(entries, min_size=1, max_size=4))
def test_data_keys_when_packed_then_they_come_back(keys: list[EncryptedDataKey]) -> None:
    assert unpack_data_keys(pack_data_keys(keys)) == tuple(keys)


@given(st.binary(max_size=60))
def test_data_keys_when_any_bytes_are_unpacked_then_they_pack_to_the_same(raw: bytes) -> None:
    with contextlib.suppress(S3EnvelopeError):
        assert pack_data_keys(unpack_data_keys(raw)) == raw


@given(st.binary(min_size=1, max_size=100))
def test_base64url_when_encoded_then_it_comes_back(raw: bytes) -> None:
    assert decode_base64url(encode_base64url(raw), limit=200, what="x") == raw


@given(st.text(max_size=30))
def test_base64url_when_any_text_is_decoded_then_it_encodes_to_the_same(text: str) -> None:
    with contextlib.suppress(S3EnvelopeError):
        assert encode_base64url(decode_base64url(text, limit=30, what="x")) == text


@given(
    st.dictionaries(
        st.one_of(st.text(max_size=10), st.sampled_from(["se1-h", "SE1-K", "se1-x", "se2-h", "se1-\u212a"])),
        st.one_of(
            st.text(max_size=200),
            st.binary(min_size=1, max_size=100).map(encode_base64url),
            st.sampled_from([*PLAIN.metadata.values(), *INDEXED.metadata.values()]),
        ),
        max_size=5,
    )
)
def test_metadata_when_it_is_anything_then_it_is_an_envelope_or_refused(metadata: dict[str, str]) -> None:
    with contextlib.suppress(S3EnvelopeError):
        envelope = Envelope.parse(metadata)
        folded = {name.lower(): value for name, value in metadata.items() if name.lower().startswith("se1-")}
        assert envelope.to_metadata() == folded

    reading = read_object(PLAIN.storage(metadata=metadata))
    assert reading.error is not None or metadata.items() >= PLAIN.metadata.items()


@given(st.binary(min_size=93, max_size=93))
def test_header_when_any_93_bytes_are_decoded_then_they_encode_to_the_same(raw: bytes) -> None:
    with contextlib.suppress(S3EnvelopeError):
        assert Header.decode(raw).encode() == raw


rows = st.lists(
    st.tuples(st.integers(1, 10_000), st.integers(0, 2**44)), min_size=1, max_size=6, unique_by=lambda r: r[0]
)


@given(rows, st.binary(min_size=12, max_size=12))
def test_index_when_sealed_then_its_rows_come_back(parts: list[tuple[int, int]], nonce: bytes) -> None:
    table = [IndexRow(number, nonce, size) for number, size in sorted(parts)]
    index = seal_index(KEY, table, nonce)
    total = sum(run_size(row.plaintext_size) for row in table) + len(index)

    layout = open_index(KEY, index, total)

    assert size_of_index_at_end(index[-40:], total) == len(index)
    assert [(run.number, run.nonce_start, run.plaintext_size) for run in layout.runs] == [tuple(row) for row in table]


@given(st.binary(max_size=120), st.integers(0, 2**62))
def test_index_when_it_is_any_bytes_then_it_is_refused(raw: bytes, total: int) -> None:
    for read in (lambda: size_of_index_at_end(raw, total), lambda: open_index(KEY, raw, total)):
        with contextlib.suppress(S3EnvelopeError):
            assert isinstance(read(), int)


@given(
    st.one_of(st.binary(max_size=200), json_values.map(lambda value: json.dumps(value).encode())), st.text(max_size=40)
)
def test_state_when_it_is_any_bytes_then_it_is_refused(text: bytes, tag: str) -> None:
    with contextlib.suppress(S3EnvelopeError):
        assert UploadState.parse(text).serialise() == text
    with contextlib.suppress(S3EnvelopeError):
        raise AssertionError(verify_state(KEY, text, tag))


@given(st.text(max_size=20), st.text(max_size=20), rows)
def test_state_when_serialised_then_it_comes_back(key: str, etag: str, parts: list[tuple[int, int]]) -> None:
    recorded = tuple(RecordedPart(IndexRow(number, bytes(12), size), etag) for number, size in parts)
    state = UploadState("bucket", key, "id", INDEXED.metadata, recorded, None)
    text = state.serialise()

    assert verify_state(KEY, text, seal_state(KEY, text, bytes(12))) == state


edge_numbers = st.one_of(st.none(), st.integers(-5, 70), st.integers(-(2**70), 2**70))


@given(
    st.sampled_from([200, 206, 204, 301, 416]),
    st.one_of(st.none(), st.text(max_size=4)),
    edge_numbers,
    st.one_of(
        st.none(), st.text(max_size=20), st.from_regex(r"bytes [0-9]{1,3}-[0-9]{1,3}/[0-9]{1,3}", fullmatch=True)
    ),
    st.one_of(
        st.none(),
        st.builds(ByteRange, st.integers(0, 50), st.integers(0, 99)),
        st.builds(ByteRange.suffix, st.integers(0, 99)),
    ),
)
def test_answer_when_its_head_is_anything_then_its_extent_fits_the_request_or_it_is_refused(
    status: int, etag: str | None, length: int | None, content_range: str | None, requested: ByteRange | None
) -> None:
    head = AnswerHead(status, etag, None, length, content_range)

    with contextlib.suppress(S3EnvelopeError):
        extent = check_answer(head, requested)
        assert 0 <= extent.start < extent.end <= extent.total
        assert length in (None, extent.end - extent.start)
        if status == 206:
            assert requested is not None
            assert (extent.start, extent.end) == requested.resolve(extent.total)


@given(st.text(max_size=30), st.integers(0, 2**70))
def test_range_header_when_it_is_any_text_then_it_is_a_range_or_ignored(header: str, total: int) -> None:
    parsed = ByteRange.parse(header)

    if parsed is not None:
        start, end = parsed.resolve(total)
        assert start >= 0
        assert end <= total
        assert parsed.to_ciphertext().header().startswith("bytes=")
