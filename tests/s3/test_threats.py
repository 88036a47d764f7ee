"""The attacks of THREATS.md over real sockets; the numbers are those of its table."""

from __future__ import annotations

import hashlib
import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig

from s3envelope import KmsKeyring, errors
from s3envelope.core.context import EncryptionContext
from s3envelope.core.encoding import decode_base64url, encode_base64url
from s3envelope.core.envelope import pack_data_keys
from s3envelope.core.index import IndexRow, seal_index
from s3envelope.core.ports import EncryptedDataKey
from s3envelope.engine.sealing import CiphertextReader
from s3envelope.testing.local_kms import LocalKms
from s3envelope.testing.s3_proxy import ErrorAnswer, drop_header, set_header, truncate_body
from tests.conftest import ProxyFactory
from tests.support.endpoints import Endpoint
from tests.support.enveloped import ClientFactory
from tests.support.hostile_bucket import HostileBucket, Reading, as_partial, character_changes, flipped
from tests.support.objects import SEALED, SEGMENT, sealed_run, stored_indexed

PART = 5 << 20
PLAINTEXT = random.Random(7).randbytes(2 * SEGMENT + 100)
Classes = tuple[type[Exception], ...]
SEGMENT_ERROR = (errors.SegmentAuthenticationError,)
NO_KEY_FITS = (errors.NameBindingError, errors.HeaderAuthenticationError)


@pytest.fixture
def bucket(
    moto_s3: Endpoint, http_proxy: ProxyFactory, new_bucket: Callable[[Endpoint], str], sealed: ClientFactory
) -> HostileBucket:
    """Return a bucket behind a proxy; every object has a data key of its own."""
    proxy, endpoint = http_proxy(moto_s3)
    client = sealed(endpoint, envelope={"cache_limits": None})
    return HostileBucket(new_bucket(moto_s3), client, moto_s3.client(), proxy)


def _assert_refused(reading: Reading, classes: Classes, plaintext: bytes = b"") -> None:
    """The read failed in one of these ways; what came out before it is a true prefix, and not the whole."""
    assert type(reading.error) in classes
    assert reading.released == plaintext[: len(reading.released)]
    assert len(reading.released) < max(1, len(plaintext))


@pytest.mark.parametrize("position", [0, 11, 100, SEALED - 1, SEALED, 2 * SEALED, 2 * SEALED + 127])
def test_threat_01_changed_body(bucket: HostileBucket, tmp_path: Path, position: int) -> None:
    stored = bucket.put("k", PLAINTEXT)
    bucket.replace("k", type(stored)(flipped(stored.body, position), stored.metadata))

    whole = bucket.read("k")
    one = bucket.read("k", Range=f"bytes={position // SEALED * SEGMENT}-{position // SEALED * SEGMENT + 9}")
    with pytest.raises(errors.SegmentAuthenticationError):
        bucket.client.download_file(bucket.name, "k", str(tmp_path / "file"))

    _assert_refused(whole, SEGMENT_ERROR, PLAINTEXT)
    assert len(whole.released) <= position // SEALED * SEGMENT
    _assert_refused(one, SEGMENT_ERROR)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("position", [0, 40, SEALED, -5, -20, -40, -56])
def test_threat_01_changed_indexed_body(bucket: HostileBucket, keyring: KmsKeyring, position: int) -> None:
    stored = stored_indexed([(1, PLAINTEXT[:100]), (4, PLAINTEXT[100:])], name="k", keyring=keyring)
    bucket.replace("k", stored)
    genuine = bucket.read("k")
    bucket.replace("k", stored_indexed([(1, b"")], name="k", keyring=keyring))
    bucket.plain.put_object(
        Bucket=bucket.name, Key="k", Body=flipped(stored.body, position), Metadata=dict(stored.metadata)
    )

    expected = SEGMENT_ERROR if position >= 0 else (errors.IndexAuthenticationError,)

    assert genuine == Reading(PLAINTEXT, None)
    _assert_refused(bucket.read("k"), expected, PLAINTEXT)


@pytest.mark.parametrize(("name", "step"), [("se1_h", 9), ("se1_k", 23), ("se1_x", 4)])
def test_threat_02_changed_metadata(bucket: HostileBucket, name: str, step: int) -> None:
    stored = bucket.put("k", b"x" * 10, EncryptionContext={"tenant": "acme"})
    allowed = (
        errors.MalformedEnvelopeError,
        errors.NoMatchingKeyError,
        errors.ContextMismatchError,
        *NO_KEY_FITS,
    )

    for value in character_changes(stored.metadata[name.replace("_", "-")], step):
        bucket.replace("k", stored.with_metadata(**{name: value}))
        _assert_refused(bucket.read("k"), allowed)


@pytest.mark.parametrize("size", [0, 1, 27, 28, SEALED, SEALED + 27, SEALED + 28, 2 * SEALED, 2 * SEALED + 127])
def test_threat_03_cut_object(bucket: HostileBucket, tmp_path: Path, size: int) -> None:
    stored = bucket.put("k", PLAINTEXT)
    cut: Classes = (errors.TruncatedObjectError, errors.SegmentAuthenticationError)
    rule = bucket.proxy.on_response(bucket.matcher("k"), truncate_body(size, honest=False), times=1)
    early = bucket.read("k")
    bucket.replace("k", type(stored)(stored.body[:size], stored.metadata))

    whole, start, end = bucket.read("k"), bucket.read("k", Range="bytes=0-9"), bucket.read("k", Range="bytes=-9")
    with pytest.raises(errors.DecryptionError):
        bucket.client.download_file(bucket.name, "k", str(tmp_path / "file"))

    assert rule.hit_count == 1
    assert early.error is not None
    assert early.released == PLAINTEXT[: len(early.released)]
    assert len(early.released) <= size // SEALED * SEGMENT
    _assert_refused(whole, cut, PLAINTEXT)
    assert end.error is not None
    assert end.released == b""
    assert start.released in (b"", PLAINTEXT[:10])
    assert start.error is None or type(start.error) in (*cut, errors.NotEncryptedError)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("extra", [b"x", bytes(28), bytes(SEALED)])
def test_threat_04_extended_object(bucket: HostileBucket, keyring: KmsKeyring, extra: bytes) -> None:
    refused: Classes = (errors.SegmentAuthenticationError, errors.TruncatedObjectError)
    stored = bucket.put("k", PLAINTEXT)
    for body in (stored.body + extra, stored.body + stored.body[2 * SEALED :], stored.body[: 2 * SEALED] + stored.body):
        bucket.replace("k", type(stored)(body, stored.metadata))
        _assert_refused(bucket.read("k"), refused, PLAINTEXT)
    indexed = stored_indexed([(1, PLAINTEXT)], name="k", keyring=keyring)
    run, index = indexed.parts()

    for body in (run + extra + index, indexed.body + extra):
        bucket.plain.put_object(Bucket=bucket.name, Key="k", Body=body, Metadata=dict(indexed.metadata))
        _assert_refused(bucket.read("k"), (errors.IndexAuthenticationError,), PLAINTEXT)


@pytest.mark.parametrize("header", [f"bytes=0-{SEGMENT - 1}", f"bytes=0-{SEGMENT + 50}", "bytes=0-", "bytes=5-"])
@pytest.mark.parametrize("size", [28, 29, 78])
def test_threat_06_false_end_of_range(bucket: HostileBucket, header: str, size: int) -> None:
    stored = bucket.put("k", PLAINTEXT)
    first = int(header.removeprefix("bytes=").partition("-")[0])
    # The first segment is genuine; behind it the object is said to end, with bytes that pass for an end.
    for end in (bytes(size), stored.body[SEALED : SEALED + size], stored.body[-size:]):
        forged = as_partial((stored.body[:SEALED] + end)[: SEALED + size], 0, SEALED + size)
        bucket.proxy.on_response(bucket.matcher("k"), forged, times=1)

        reading = bucket.read("k", Range=header)

        if header == f"bytes=0-{SEGMENT - 1}" and size > 28:
            # This range does not reach the claimed end, and the answer has more than was asked for.
            assert type(reading.error) is errors.TruncatedObjectError
        else:
            _assert_refused(reading, SEGMENT_ERROR, PLAINTEXT[first : first + SEGMENT])


def test_threat_08_superseded_part(bucket: HostileBucket, keyring: KmsKeyring) -> None:
    stored = stored_indexed([(1, b"any")], name="k", keyring=keyring)
    old = CiphertextReader(sealed_run(b"old" * 9, stored.body_key, run=1, nonce_start=b"old nonce  1")).read()
    new = CiphertextReader(sealed_run(b"new" * 9, stored.body_key, run=1, nonce_start=b"new nonce  2")).read()
    index = seal_index(stored.body_key, [IndexRow(1, b"new nonce  2", 27)], bytes(12))
    readings = []

    for part in (new, old):
        bucket.plain.put_object(Bucket=bucket.name, Key="k", Body=part + index, Metadata=dict(stored.metadata))
        readings.append(bucket.read("k"))

    assert readings[0] == Reading(b"new" * 9, None)
    _assert_refused(readings[1], SEGMENT_ERROR)


def test_threat_09_swapped_objects(bucket: HostileBucket, moto_s3: Endpoint, sealed: ClientFactory) -> None:
    by_name = sealed(moto_s3, envelope={"encryption_context": lambda bucket, key: {"key": key}})
    unbound = sealed(moto_s3, envelope={"bind_key_name": False})
    for client, expected in ((bucket.client, errors.NameBindingError), (by_name, errors.ContextMismatchError)):
        for key in ("a", "b"):
            client.put_object(Bucket=bucket.name, Key=key, Body=key.encode())
            assert bucket.read(key, client=client) == Reading(key.encode(), None)
        one, two = bucket.stored("a"), bucket.stored("b")
        bucket.replace("a", two)
        bucket.replace("b", one)
        for key in ("a", "b"):
            _assert_refused(bucket.read(key, client=client), (expected,))
    for key in ("a", "b"):
        unbound.put_object(Bucket=bucket.name, Key=key, Body=key.encode())

    bucket.replace("a", bucket.stored("b"))

    # Unbound objects open under any name: the table says so. A client that binds refuses them.
    assert bucket.read("a", client=unbound) == Reading(b"b", None)
    _assert_refused(bucket.read("a"), (errors.NameBindingError,))


def test_threat_10_mixed_versions(bucket: HostileBucket, tmp_path: Path) -> None:
    old = bucket.put("k", b"o" * PART * 2)
    old_etag = bucket.plain.head_object(Bucket=bucket.name, Key="k")["ETag"]
    bucket.put("k", b"n" * PART * 2)
    new_etag = bucket.plain.head_object(Bucket=bucket.name, Key="k")["ETag"]
    changed = (errors.ObjectChangedError,)
    ranges = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, max_concurrency=1)
    bucket.read("k", Range="bytes=0-0")

    # The server ignores If-Match, and says so; it says nothing; it gives another upload under an ETag that is known.
    bucket.proxy.on_response(bucket.matcher("k"), set_header("ETag", old_etag), times=1)
    _assert_refused(bucket.read("k", IfMatch=new_etag), changed)
    bucket.proxy.on_response(bucket.matcher("k"), drop_header("ETag"), times=1)
    _assert_refused(bucket.read("k"), changed)
    bucket.replace("k", old)
    bucket.proxy.on_response(bucket.matcher("k"), set_header("ETag", new_etag), times=1)
    _assert_refused(bucket.read("k"), changed)
    # One range of a download is of another version.
    bucket.proxy.on_response(
        lambda request: request.header("range").startswith(f"bytes={PART // SEGMENT * SEALED}-"),
        set_header("ETag", '"another"'),
    )
    with pytest.raises(errors.ObjectChangedError):
        bucket.client.download_file(bucket.name, "k", str(tmp_path / "file"), Config=ranges)

    assert list(tmp_path.iterdir()) == []


def test_threat_11_rollback_is_not_detected(bucket: HostileBucket) -> None:
    old = bucket.put("k", b"old")
    bucket.put("k", b"new")
    described = bucket.client.describe_envelope(Bucket=bucket.name, Key="k")  # type: ignore[attr-defined]

    bucket.replace("k", old)

    # A genuine older object is a genuine object. The commitment tells uploads apart, for those who keep a list.
    assert bucket.read("k") == Reading(b"old", None)
    rolled_back = bucket.client.describe_envelope(Bucket=bucket.name, Key="k")  # type: ignore[attr-defined]
    assert rolled_back.commitment != described.commitment


def test_threat_12_stripped_envelope(bucket: HostileBucket, moto_s3: Endpoint, sealed: ClientFactory) -> None:
    stored = bucket.put("k", PLAINTEXT, Metadata={"mine": "1"})
    lenient = sealed(moto_s3, envelope={"unencrypted": "allow"})
    for name in ("se1_h", "se1_k"):
        bucket.replace("k", stored.with_metadata(**{name: None}))
        _assert_refused(bucket.read("k"), (errors.MalformedEnvelopeError,))
        _assert_refused(bucket.read("k", client=lenient), (errors.MalformedEnvelopeError,))

    bucket.plain.put_object(Bucket=bucket.name, Key="k", Body=b"forged")

    _assert_refused(bucket.read("k"), (errors.NotEncryptedError,))
    _assert_refused(bucket.read("k", Range="bytes=0-2"), (errors.NotEncryptedError,))
    with pytest.raises(errors.NotEncryptedError):
        bucket.client.head_object(Bucket=bucket.name, Key="k")
    with pytest.raises(errors.NotEncryptedError):
        bucket.client.download_fileobj(bucket.name, "k", io.BytesIO())


@pytest.mark.parametrize("name", ["se2_h", "se1_z", "se0_h", "se12_"])
def test_threat_13_other_format(bucket: HostileBucket, name: str) -> None:
    stored = bucket.put("k", b"x")
    refused = (errors.UnsupportedFormatError,)

    bucket.replace("k", stored.with_metadata(**{name: stored.metadata["se1-h"]}))
    _assert_refused(bucket.read("k"), refused)
    bucket.replace("k", stored.with_metadata(**{name: "x", "se1_h": None, "se1_k": None}))
    _assert_refused(bucket.read("k"), refused)


def test_threat_14_no_sidecar_is_read(bucket: HostileBucket) -> None:
    bucket.put("k", PLAINTEXT)
    for sidecar in ("k.instruction", "k.se1", "k/se1-h"):
        bucket.plain.put_object(Bucket=bucket.name, Key=sidecar, Body=b"{}", Metadata={"se1-h": "A"})
    bucket.proxy.clear()

    bucket.client.head_object(Bucket=bucket.name, Key="k")
    readings = [bucket.read("k"), bucket.read("k", Range="bytes=5-9")]

    assert readings == [Reading(PLAINTEXT, None), Reading(PLAINTEXT[5:10], None)]
    assert {request.path for request in bucket.proxy.requests} == {f"/{bucket.name}/k"}


def _with_entries(envelope_value: str, *entries: EncryptedDataKey, keep: bool = False) -> str:
    """Return `se1-k` with other entries, in front of its own ones if those stay."""
    own = decode_base64url(envelope_value, limit=2048, what="se1-k") if keep else b""
    return encode_base64url(pack_data_keys(entries) + own)


def test_threat_15_foreign_data_key(bucket: HostileBucket, kms: LocalKms, key_arn: str) -> None:
    stored, sibling = bucket.put("k", PLAINTEXT), bucket.put("sibling", b"x")
    hint = hashlib.sha256(key_arn.rpartition("/")[2].encode()).digest()[:4]
    adversary = KmsKeyring(kms.create_key(), kms.client()).generate_data_key(EncryptionContext()).encrypted[0]
    other_protocol = kms.client().generate_data_key(KeyId=key_arn, KeySpec="AES_256")["CiphertextBlob"]
    own = stored.metadata["se1-k"]
    attacks: list[tuple[str, type[Exception]]] = [
        (sibling.metadata["se1-k"], errors.NameBindingError),
        (_with_entries(own, adversary), errors.NoMatchingKeyError),
        (_with_entries(own, EncryptedDataKey(hint, adversary.ciphertext)), errors.HeaderAuthenticationError),
        (_with_entries(own, EncryptedDataKey(hint, other_protocol)), errors.HeaderAuthenticationError),
        (_with_entries(own, EncryptedDataKey(hint, bytes(184))), errors.HeaderAuthenticationError),
    ]
    kms.clear_calls()

    for value, error in attacks:
        bucket.replace("k", stored.with_metadata(se1_k=value))
        _assert_refused(bucket.read("k"), (error,))
    # Junk in front does not keep a reader from its key, and costs no more than the entries that fit the list.
    junk = EncryptedDataKey(hint, adversary.ciphertext)
    bucket.replace("k", stored.with_metadata(se1_k=_with_entries(own, junk, junk, keep=True)))

    assert bucket.read("k") == Reading(PLAINTEXT, None)
    assert {call.key_id for call in kms.calls} == {key_arn}
    assert len(kms.calls) == 4 + 3


def test_threat_15_refused_key(bucket: HostileBucket, kms: LocalKms, key_arn: str) -> None:
    bucket.put("k", PLAINTEXT)
    kms.faults.fail("Decrypt", "AccessDeniedException")

    _assert_refused(bucket.read("k"), (errors.KeyAccessError,))


@pytest.mark.parametrize("cached", [True, False])
def test_threat_17_changed_context(
    bucket: HostileBucket, moto_s3: Endpoint, sealed: ClientFactory, cached: bool
) -> None:
    client = sealed(moto_s3) if cached else bucket.client
    demanding = sealed(moto_s3, envelope={"encryption_context": {"tenant": "acme"}})
    client.put_object(Bucket=bucket.name, Key="k", Body=PLAINTEXT, EncryptionContext={"tenant": "acme"})  # type: ignore[call-arg]
    client.put_object(Bucket=bucket.name, Key="other", Body=b"x", EncryptionContext={"tenant": "other"})  # type: ignore[call-arg]
    stored, other = bucket.stored("k"), bucket.stored("other")
    # The cache knows both data keys: the key service is not asked about them any more.
    assert bucket.read("k", client=client) == Reading(PLAINTEXT, None)
    assert bucket.read("other", client=client) == Reading(b"x", None)

    for value in (None, other.metadata["se1-x"], encode_base64url(b'{"tenant":"Acme"}')):
        bucket.replace("k", stored.with_metadata(se1_x=value))
        _assert_refused(bucket.read("k", client=client), NO_KEY_FITS)
        _assert_refused(bucket.read("k", client=demanding), (errors.ContextMismatchError,))
    bucket.replace("k", stored.with_metadata(se1_x=other.metadata["se1-x"], se1_k=other.metadata["se1-k"]))
    _assert_refused(bucket.read("k", client=client), NO_KEY_FITS)


def test_threat_23_false_416(bucket: HostileBucket, tmp_path: Path) -> None:
    bucket.put("k", PLAINTEXT)
    not_there = ErrorAnswer(416, "InvalidRange")
    for header in (None, "bytes=0-", "bytes=100-200", "bytes=-5"):
        parameters: dict[str, Any] = {} if header is None else {"Range": header}
        for times, error in ((1, errors.TruncatedObjectError), (2, errors.NotEncryptedError)):
            bucket.proxy.inject(not_there, bucket.matcher("k"), times=times)
            _assert_refused(bucket.read("k", **parameters), (error,))
    bucket.proxy.inject(not_there, bucket.matcher("k"), times=None)

    with pytest.raises((errors.TruncatedObjectError, errors.NotEncryptedError)):
        bucket.client.download_file(bucket.name, "k", str(tmp_path / "file"))

    assert list(tmp_path.iterdir()) == []
