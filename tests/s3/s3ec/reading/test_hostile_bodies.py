"""Bodies of objects of the Amazon clients, and answers about them, that are not the writer's: no byte comes out."""

import base64
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import BotoCoreError, IncompleteReadError, ResponseStreamingError
from cryptography.hazmat.primitives.asymmetric import rsa

from s3envelope import RawRsaKeyring
from s3envelope.errors import (
    KeyCommitmentError,
    ObjectChangedError,
    S3ecDecryptionError,
    SegmentAuthenticationError,
    TruncatedObjectError,
)
from s3envelope.testing.s3_proxy import (
    Answer,
    ErrorAnswer,
    TruncatedResponse,
    matching,
    replace_body,
    set_header,
    truncate_body,
)
from tests.support.enveloped import plaintext_of
from tests.support.s3ec_objects import KmsWrap, RsaWrap, S3ecObject, cbc_object, v1_object, v3_object
from tests.support.s3ec_reading import BOTH, IN_A_FILE, KEY, MAKERS, WITH_SE1, S3ecScene, refusals, watched_files

SIZE = 150_000
TAG_SIZE = 16
EVERY_MAKER = pytest.mark.parametrize("maker", MAKERS)
WHERE = pytest.mark.parametrize("fields", [{}, IN_A_FILE], ids=["memory", "file"])
EDITS: dict[str, Callable[[bytes], bytes]] = {
    "cut by 1": lambda body: body[:-1],
    "cut by 16": lambda body: body[:-TAG_SIZE],
    "cut to 15": lambda body: body[:15],
    "cut to 16": lambda body: body[:16],
    "cut to 1": lambda body: body[:1],
    "first bit": lambda body: bytes([body[0] ^ 1]) + body[1:],
    "middle bit": lambda body: body[:70_000] + bytes([body[70_000] ^ 1]) + body[70_001:],
    "last bit": lambda body: body[:-17] + bytes([body[-17] ^ 1]) + body[-16:],
    "tag bit": lambda body: body[:-1] + bytes([body[-1] ^ 1]),
    "tag zeros": lambda body: body[:-TAG_SIZE] + bytes(TAG_SIZE),
    "tag in front": lambda body: body[-TAG_SIZE:] + body[:-TAG_SIZE],
    "one more byte": lambda body: body + b"x",
    "one more tag": lambda body: body + body[-TAG_SIZE:],
    "blocks swapped": lambda body: body[16:32] + body[:16] + body[32:],
}


@EVERY_MAKER
@WHERE
@pytest.mark.parametrize("formats", [BOTH, WITH_SE1], ids=["alone", "with-se1"])
def test_body_when_edited_in_storage_then_every_reader_gets_one_error_and_no_byte(
    s3ec: S3ecScene, maker: str, fields: dict[str, Any], formats: tuple[str, ...]
) -> None:
    stored = MAKERS[maker](plaintext_of(SIZE), s3ec.wrap)
    client, texts = s3ec.client(*formats, **fields), set()
    for name, edit in EDITS.items():
        s3ec.put(stored.with_body(edit(stored.body)))

        errors = refusals(s3ec, client)

        assert {type(error) for error in errors.values()} == {S3ecDecryptionError}, name
        texts |= {str(error) for error in errors.values()}
    # INVARIANT: nothing tells one cause from another.
    assert len(texts) == 1


@EVERY_MAKER
def test_body_when_emptied_then_no_byte_comes_out(s3ec: S3ecScene, maker: str) -> None:
    s3ec.put(MAKERS[maker](plaintext_of(SIZE), s3ec.wrap).with_body(b""))

    for formats in (BOTH, WITH_SE1):
        refusals(s3ec, s3ec.client(*formats))


@EVERY_MAKER
def test_wrong_key_when_compared_with_a_changed_body_then_calls_and_text_are_the_same(
    s3ec: S3ecScene, maker: str
) -> None:
    stored = MAKERS[maker](plaintext_of(100), s3ec.wrap)
    other = MAKERS[maker](plaintext_of(100), KmsWrap(s3ec.wrap.client, s3ec.kms.create_key()))
    client, seen = s3ec.client(), []
    for case in (stored.flipped(3), stored.with_body(stored.body[:-1]), stored.with_body(b"short"), other):
        s3ec.put(case)
        s3ec.forget()
        with pytest.raises(S3ecDecryptionError) as error:
            s3ec.get(client)
        seen.append((str(error.value), s3ec.kms_calls(), s3ec.requests()))

    assert seen == [seen[0]] * 4


def test_data_key_when_of_another_object_then_it_does_not_open(s3ec: S3ecScene) -> None:
    client = s3ec.client()
    for maker, name, expected in (
        ("v3", "x_amz_3", KeyCommitmentError),
        ("v2", "x_amz_key_v2", S3ecDecryptionError),
    ):
        one, other = (MAKERS[maker](plaintext_of(100), s3ec.wrap) for _ in range(2))
        s3ec.put(one.with_metadata(**{name: other.metadata[name.replace("_", "-")]}))

        errors = refusals(s3ec, client)

        assert {type(error) for error in errors.values()} == {expected}


def test_kms_context_when_tampered_with_then_it_is_no_other_error(s3ec: S3ecScene) -> None:
    stored = v3_object(b"content", KmsWrap(s3ec.wrap.client, s3ec.wrap.key_id, {"a": "1"}))
    s3ec.put(stored.with_metadata(x_amz_t='{"a": "2", "aws:x-amz-cek-alg": "115"}'))

    errors = refusals(s3ec, s3ec.client(encryption_context={"a": "2"}))

    assert {type(error) for error in errors.values()} == {S3ecDecryptionError}


@EVERY_MAKER
def test_bodies_when_swapped_between_objects_then_neither_is_read(s3ec: S3ecScene, maker: str) -> None:
    one, other = (MAKERS[maker](plaintext_of(SIZE + extra), s3ec.wrap) for extra in (0, 1))
    s3ec.put(one.with_body(other.body))

    errors = refusals(s3ec, s3ec.client())

    assert {type(error) for error in errors.values()} == {S3ecDecryptionError}


PADDING_EDITS: dict[str, Callable[[bytes], bytes]] = {
    "padding bit": lambda body: body[:-17] + bytes([body[-17] ^ 1]) + body[-16:],
    "last block": lambda body: body[:-16] + bytes(16),
    "cut by a block": lambda body: body[:-16],
    "cut by 1": lambda body: body[:-1],
    "cut to a block": lambda body: body[:16],
    "one more byte": lambda body: body + b"x",
    "cut to 1": lambda body: body[:1],
}


@WHERE
@pytest.mark.parametrize("name", ["kms", "v1-rsa"])
def test_cbc_when_padding_or_length_are_wrong_then_error_and_calls_are_the_same(
    s3ec: S3ecScene, fields: dict[str, Any], name: str
) -> None:
    if name == "kms":
        stored = cbc_object(plaintext_of(1000), KmsWrap(s3ec.wrap.client, s3ec.wrap.key_id, name="kms"))
        client = s3ec.client("s3ec-v2", "s3ec-kms", "s3ec-cbc", **fields)
    else:
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        stored = v1_object(plaintext_of(1000), RsaWrap(key.public_key(), None))
        keyring = RawRsaKeyring(private_key=key)
        client = s3ec.client("s3ec-v1", "s3ec-rsa-pkcs1", "s3ec-cbc", s3ec_keyring=keyring, **fields)
    cases = {edit: stored.with_body(change(stored.body)) for edit, change in PADDING_EDITS.items()}
    if name == "v1-rsa":
        # What unwraps to a bad padding is a wrong key, and no other error.
        wrapped = base64.b64encode(bytes(255) + b"\x09").decode()
        cases["wrapped key"] = stored.with_metadata(x_amz_key=wrapped)
    seen = {}
    for edit, case in cases.items():
        s3ec.put(case)
        s3ec.forget()
        with pytest.raises(S3ecDecryptionError) as error:
            s3ec.get(client)
        seen[edit] = (str(error.value), s3ec.kms_calls(), s3ec.requests())

    assert len({str(outcome) for outcome in seen.values()}) == 1, seen


@pytest.mark.parametrize("byte_range", [None, "0-5"])
def test_cbc_when_the_size_that_head_told_is_not_that_of_the_padding_then_it_is_refused(
    s3ec: S3ecScene, byte_range: str | None
) -> None:
    stored = cbc_object(plaintext_of(20), KmsWrap(s3ec.wrap.client, s3ec.wrap.key_id, name="kms"))
    s3ec.put(stored.with_metadata(x_amz_unencrypted_content_length="21"))
    client = s3ec.client("s3ec-v2", "s3ec-kms", "s3ec-cbc")

    assert client.head_object(Bucket=s3ec.bucket, Key=KEY)["ContentLength"] == 21
    with pytest.raises(S3ecDecryptionError):
        s3ec.get(client, byte_range)


# ---- answers that lie ----


@pytest.fixture
def lying(s3ec: S3ecScene) -> S3ecScene:
    s3ec.put(v3_object(plaintext_of(SIZE), s3ec.wrap))
    return s3ec


def _whole_answers(scene: S3ecScene, edit: Callable[[Answer], Answer]) -> None:
    """Edit the answers that carry the whole object; whoever edits them takes the storage's checksums away."""
    is_get = matching(method="GET")

    def edited(answer: Answer) -> Answer:
        names = [name for name, _ in answer.headers if name.lower().startswith("x-amz-checksum")]
        return edit(answer.without_header(*names))

    scene.proxy.on_response(lambda request: is_get(request) and not request.header("range"), edited)


@pytest.mark.parametrize("formats", [BOTH, WITH_SE1], ids=["alone", "with-se1"])
@WHERE
def test_answer_when_it_has_a_range_that_nobody_asked_for_then_it_is_refused(
    lying: S3ecScene, formats: tuple[str, ...], fields: dict[str, Any]
) -> None:
    _whole_answers(lying, set_header("Content-Range", f"bytes 0-{SIZE + 15}/{SIZE + 16}"))

    errors = refusals(lying, lying.client(*formats, **fields))

    assert {type(error) for error in errors.values()} == {TruncatedObjectError}


@pytest.mark.parametrize("formats", [BOTH, WITH_SE1], ids=["alone", "with-se1"])
def test_answer_when_it_denies_a_range_that_exists_then_it_is_not_believed(
    lying: S3ecScene, formats: tuple[str, ...]
) -> None:
    lying.proxy.inject(ErrorAnswer(416, "InvalidRange"), matching(method="GET"), times=1)

    with pytest.raises(TruncatedObjectError):
        lying.get(lying.client(*formats), "5-9")


@pytest.mark.parametrize("formats", [BOTH, WITH_SE1], ids=["alone", "with-se1"])
@WHERE
def test_answer_when_cut_or_replaced_honestly_then_it_is_refused(
    lying: S3ecScene, formats: tuple[str, ...], fields: dict[str, Any]
) -> None:
    client = lying.client(*formats, **fields)
    for edit in (truncate_body(SIZE), truncate_body(20), replace_body(b"x" * (SIZE + TAG_SIZE))):
        lying.proxy.clear_rules()
        _whole_answers(lying, edit)

        errors = refusals(lying, client)

        assert {type(error) for error in errors.values()} == {S3ecDecryptionError}


@WHERE
@pytest.mark.parametrize("size", [0, 1, 20, 65_536, SIZE])
def test_answer_when_the_connection_breaks_then_it_is_botocores_error_and_no_byte_comes_out(
    lying: S3ecScene, fields: dict[str, Any], size: int
) -> None:
    client = lying.client(**fields)
    lying.proxy.inject(TruncatedResponse(size), matching(method="GET"), times=None)

    with pytest.raises((IncompleteReadError, ResponseStreamingError, BotoCoreError)):
        client.get_object(Bucket=lying.bucket, Key=KEY)

    lying.proxy.clear_rules()
    assert lying.get(client) == plaintext_of(SIZE)


def test_download_when_the_connection_breaks_once_then_the_next_try_is_right(lying: S3ecScene) -> None:
    client = lying.client()
    lying.proxy.inject(TruncatedResponse(70_000), matching(method="GET"), times=1)
    path = lying.folder / "file"

    client.download_file(lying.bucket, KEY, str(path))

    assert path.read_bytes() == plaintext_of(SIZE)


@pytest.mark.parametrize("formats", [BOTH, WITH_SE1], ids=["alone", "with-se1"])
def test_range_when_the_object_is_replaced_before_the_whole_is_fetched_then_it_is_refused(
    lying: S3ecScene, formats: tuple[str, ...]
) -> None:
    client = lying.client(*formats)
    client.head_object(Bucket=lying.bucket, Key=KEY)

    def replace(answer: Answer) -> Answer:
        lying.put(v3_object(b"y" * SIZE, lying.wrap))
        return answer

    lying.proxy.on_response(matching(method="GET"), replace, times=1)

    with pytest.raises(Exception) as error:  # noqa: PT011  # S3's own, or ours where the server ignores conditions
        lying.get(client, "5-9")

    assert type(error.value) is ObjectChangedError or "PreconditionFailed" in str(error.value)


def test_range_when_the_server_ignores_the_condition_then_it_is_refused(lying: S3ecScene) -> None:
    client = lying.client()
    _whole_answers(lying, set_header("ETag", '"another"'))

    with pytest.raises(ObjectChangedError):
        lying.get(client, "5-9")


def test_range_when_metadata_changes_between_two_requests_then_it_is_refused(lying: S3ecScene) -> None:
    client = lying.client()
    _whole_answers(lying, set_header("x-amz-meta-owner", "somebody"))

    with pytest.raises(ObjectChangedError):
        lying.get(client, "5-9")


# ---- after the verification ----


def test_body_when_closed_or_left_half_read_then_what_came_out_was_verified(lying: S3ecScene) -> None:
    client = lying.client(**IN_A_FILE)

    with client.get_object(Bucket=lying.bucket, Key=KEY)["Body"] as body:
        assert body.read(70_000) == plaintext_of(70_000)

    with pytest.raises(ValueError, match="closed"):
        body.read(1)


def test_temporary_file_when_somebody_edits_it_then_every_later_read_fails(
    lying: S3ecScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = watched_files(monkeypatch)
    client = lying.client(**IN_A_FILE)
    body = client.get_object(Bucket=lying.bucket, Key=KEY)["Body"]
    (file,) = files
    file.seek(0)
    content = file.read()
    file.seek(len(content) - 1)
    file.write(bytes([content[-1] ^ 1]))

    # INVARIANT: what waits on the disk is no plaintext.
    assert plaintext_of(SIZE)[:64] not in content
    assert body.read(65_536) == plaintext_of(65_536)
    for _ in range(3):
        with pytest.raises(SegmentAuthenticationError):
            body.read()
    assert file.closed


def test_temporary_file_when_the_object_does_not_verify_then_it_is_closed(
    lying: S3ecScene, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    files = watched_files(monkeypatch, tmp_path)
    client = lying.client(**IN_A_FILE)
    lying.put(v3_object(plaintext_of(SIZE), lying.wrap).flipped(5))

    refusals(lying, client)

    assert files
    assert all(file.closed for file in files)
    assert list(tmp_path.iterdir()) == []


def test_unverified_range_when_the_body_is_changed_then_only_that_switch_releases_it(s3ec: S3ecScene) -> None:
    stored: S3ecObject = v3_object(plaintext_of(SIZE), s3ec.wrap)
    s3ec.put(stored.flipped(100))
    expected = bytearray(plaintext_of(200))
    expected[100] ^= 1

    assert s3ec.get(s3ec.client(unsafe_unverified_ranges=True), "0-199") == expected
    with pytest.raises(S3ecDecryptionError):
        s3ec.get(s3ec.client(unsafe_unverified_ranges=True))
    with pytest.raises(S3ecDecryptionError):
        s3ec.get(s3ec.client(), "0-199")
