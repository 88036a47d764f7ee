"""Anchors: who signs them and where they lie, when one is due, and what is not one."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import rfc8785
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from s3envelope.audit.anchor_keys import Ed25519AnchorKey, Ed25519AnchorVerifier, KmsAnchorKey, KmsAnchorMac
from s3envelope.audit.anchor_stores import FileAnchorStore, StreamAnchorStore
from s3envelope.audit.anchors import MOST_ANCHOR, Anchor, Anchoring, open_anchor, seal_anchor
from s3envelope.audit.chain import Finding, Head
from s3envelope.audit.json_lines import JsonLinesAuditSink
from s3envelope.audit.s3_objects import LockedPlace, Retention, S3AnchorStore, stored_anchors
from s3envelope.audit.verify import BAD_ANCHOR, CUT, read_anchors
from s3envelope.errors import AuditError, ConfigurationError
from tests.contract.kms_servers import moto
from tests.support.auditing import event, examine_bytes, lines
from tests.support.endpoints import Endpoint
from tests.support.objects import FakeClock, FakeProcess, fake_ports
from tests.support.open_answers import noted_answers

HEAD = Head("a" * 32, 7, "b" * 64)
ANCHOR = Anchor(HEAD, "2027-01-15T12:00:00.000000Z", "key")


@pytest.fixture
def key(tmp_path: Path) -> Ed25519AnchorKey:
    """Return a new key."""
    return Ed25519AnchorKey(tmp_path / "anchor.key", create=True)


@pytest.fixture(scope="module")
def kms() -> Iterator[Any]:
    """Yield a client of a KMS that signs."""
    with moto() as server:
        yield server.client()


class Stored:
    """A store in memory, which can fail."""

    def __init__(self) -> None:
        self.lines: list[bytes] = []
        self.sequences: list[int] = []
        self.is_broken = False

    def put(self, head: Head, anchor: bytes) -> None:
        if self.is_broken:
            raise OSError(28, "No space left on device")
        self.sequences.append(head.sequence)
        self.lines.append(anchor)


def test_anchor_when_sealed_opens_to_itself(key: Ed25519AnchorKey) -> None:
    line = seal_anchor(ANCHOR, key)

    assert open_anchor(line, Ed25519AnchorVerifier(key.public_key)) == ANCHOR
    assert line.count(b"\n") == 1


def test_anchor_when_signed_is_signed_as_documented(key: Ed25519AnchorKey) -> None:
    sealed = json.loads(seal_anchor(ANCHOR, key))

    message = b"s3envelope audit anchor\n" + rfc8785.dumps(sealed["anchor"])
    Ed25519PublicKey.from_public_bytes(key.public_key).verify(base64.b64decode(sealed["signature"]), message)

    assert set(sealed) == {"anchor", "signature"}
    assert sealed["anchor"]["sequence"] == 7


def test_anchor_when_any_byte_is_changed_does_not_open(key: Ed25519AnchorKey) -> None:
    line = seal_anchor(ANCHOR, key)
    verifier = Ed25519AnchorVerifier(key.public_key)

    for offset in range(len(line) - 1):
        for bit in (0, 5):
            changed = bytearray(line)
            changed[offset] ^= 1 << bit
            with pytest.raises(AuditError):
                open_anchor(bytes(changed), verifier)


def test_anchor_when_signed_by_another_key_does_not_open(key: Ed25519AnchorKey, tmp_path: Path) -> None:
    other = Ed25519AnchorKey(tmp_path / "other.key", create=True)

    with pytest.raises(AuditError, match="not one of this key"):
        open_anchor(seal_anchor(ANCHOR, other), Ed25519AnchorVerifier(key.public_key))


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2},
        {"chain": 5},
        {"sequence": "7"},
        {"hash": None},
        {"time": 5},
        {"key_id": 5},
    ],
    ids=lambda change: next(iter(change)),
)
def test_anchor_when_it_says_something_else_is_none_though_signed(
    key: Ed25519AnchorKey, change: dict[str, object]
) -> None:
    record = {**ANCHOR.to_record(), **change}
    signature = base64.b64encode(key.sign(b"whatever")).decode()
    line = json.dumps({"anchor": record, "signature": signature}, sort_keys=True, separators=(",", ":")).encode()

    with pytest.raises(AuditError):
        open_anchor(line, Ed25519AnchorVerifier(key.public_key))


def test_key_when_others_can_read_it_is_refused(tmp_path: Path, key: Ed25519AnchorKey) -> None:
    (tmp_path / "anchor.key").chmod(0o640)

    with pytest.raises(ConfigurationError, match="others must not read it"):
        Ed25519AnchorKey(tmp_path / "anchor.key")
    with pytest.raises(ConfigurationError, match="Ed25519"):
        Ed25519AnchorVerifier(b"short")


@pytest.mark.parametrize("kind", ["ECC_NIST_P256", "RSA_2048", "HMAC_256"])
def test_key_of_kms_when_it_signs_verifies_and_nothing_else_does(kms: Any, kind: str) -> None:
    usage = "GENERATE_VERIFY_MAC" if kind == "HMAC_256" else "SIGN_VERIFY"
    key_id = kms.create_key(KeyUsage=usage, KeySpec=kind)["KeyMetadata"]["Arn"]
    algorithm = {"ECC_NIST_P256": "ECDSA_SHA_256", "RSA_2048": "RSASSA_PSS_SHA_256", "HMAC_256": "HMAC_SHA_256"}[kind]
    key = (KmsAnchorMac if kind == "HMAC_256" else KmsAnchorKey)(key_id, kms, algorithm=algorithm)
    line = seal_anchor(ANCHOR, key)

    assert open_anchor(line, key) == ANCHOR
    assert key.key_id == f"kms:{key_id}"
    with pytest.raises(AuditError, match="not one of this key"):
        open_anchor(line.replace(b'"sequence":7', b'"sequence":8'), key)


def test_anchor_when_the_count_is_round_or_the_time_is_up_is_due(key: Ed25519AnchorKey) -> None:
    clock, store = FakeClock(), Stored()
    anchoring = Anchoring(key, store, every_records=10, every_seconds=60, ports=fake_ports(clock=clock))

    for sequence in range(1, 26):
        clock.seconds += 61 if sequence == 14 else 1
        anchoring.see(Head("a" * 32, sequence, f"{sequence:064x}"))
    anchoring.finish()
    anchoring.finish()

    assert store.sequences == [10, 14, 20, 25]


def test_anchor_when_the_store_fails_fails_the_call_and_is_tried_again(key: Ed25519AnchorKey) -> None:
    store = Stored()
    anchoring = Anchoring(key, store, every_records=10, every_seconds=None)
    store.is_broken = True

    with pytest.raises(AuditError, match="record 10 was not written"):
        anchoring.see(Head("a" * 32, 10, "b" * 64))
    store.is_broken = False
    anchoring.see(Head("a" * 32, 11, "c" * 64))
    anchoring.see(Head("a" * 32, 12, "d" * 64))

    assert store.sequences == [11]


def test_anchor_when_the_process_forks_is_not_written_for_the_parent(key: Ed25519AnchorKey) -> None:
    process, store = FakeProcess(), Stored()
    anchoring = Anchoring(key, store, every_records=None, every_seconds=None, ports=fake_ports(process_id=process))
    anchoring.see(HEAD)
    anchoring._lock.acquire()
    process.number += 1

    anchoring.finish()

    assert store.sequences == []


def test_file_of_anchors_when_a_writer_was_interrupted_keeps_the_next(key: Ed25519AnchorKey, tmp_path: Path) -> None:
    path = tmp_path / "anchors"
    store = FileAnchorStore(path)
    store.put(HEAD, seal_anchor(ANCHOR, key))
    path.write_bytes(path.read_bytes()[:-20])
    store.put(HEAD, seal_anchor(ANCHOR, key))

    with path.open("rb") as file:
        found = list(read_anchors([("anchors", file)], Ed25519AnchorVerifier(key.public_key)))

    assert isinstance(found[0], Finding)
    assert (found[0].kind, found[1:]) == (BAD_ANCHOR, [ANCHOR])
    assert path.stat().st_mode & 0o777 == 0o600


def test_stream_of_anchors_when_others_print_there_too_is_read(key: Ed25519AnchorKey) -> None:
    stream = io.BytesIO()
    store = StreamAnchorStore(stream)
    stream.write(b"starting\n" + b"x" * 100_000 + b'{"anchor":' + b"\n")
    store.put(HEAD, seal_anchor(ANCHOR, key))
    stream.write(b"done\n")
    stream.seek(0)

    assert list(read_anchors([("stdout", stream)], Ed25519AnchorVerifier(key.public_key))) == [ANCHOR]


def test_anchor_when_longer_than_any_is_bad_and_read_in_bounds(key: Ed25519AnchorKey) -> None:
    stream = io.BytesIO(b'{"anchor":' + b"x" * (1 << 20))

    found = list(read_anchors([("long", stream)], Ed25519AnchorVerifier(key.public_key)))

    assert [isinstance(item, Finding) for item in found] == [True]


@pytest.mark.parametrize("removed_count", range(1, 50))
def test_log_when_its_end_is_cut_is_found_by_the_anchors_that_the_sink_wrote(
    key: Ed25519AnchorKey, tmp_path: Path, removed_count: int
) -> None:
    store = Stored()
    anchors = Anchoring(key, store, every_records=10)
    with JsonLinesAuditSink(tmp_path / "log" / "audit.jsonl", fsync="never", anchors=anchors) as sink:
        for number in range(49):
            sink.write(event(number))
    verifier = Ed25519AnchorVerifier(key.public_key)
    known = [open_anchor(line, verifier) for line in store.lines]
    whole = lines(tmp_path / "log" / "audit.jsonl")

    assert not examine_bytes(b"".join(whole), anchors=known)[1]
    _, findings = examine_bytes(b"".join(whole[:-removed_count]), anchors=known)

    assert {finding.kind for finding in findings} == {CUT}
    assert findings[-1].sequence == 50
    assert len(findings) == 1 + sum(sequence > 50 - removed_count for sequence in (10, 20, 30, 40))


def test_anchors_in_s3_when_a_newer_version_hides_them_are_read_all_the_same(
    moto_s3: Endpoint, key: Ed25519AnchorKey
) -> None:
    client = moto_s3.client()
    client.create_bucket(Bucket="anchors-locked", ObjectLockEnabledForBucket=True)
    place = LockedPlace(client, "anchors-locked", "a/", Retention(30))
    store = S3AnchorStore(place)

    store.put(HEAD, seal_anchor(ANCHOR, key))
    name = f"a/{HEAD.chain}/000000000007.json"
    mode = client.head_object(Bucket="anchors-locked", Key=name)["ObjectLockMode"]
    client.delete_object(Bucket="anchors-locked", Key=name)
    client.put_object(Bucket="anchors-locked", Key=name, Body=b'{"anchor":"forged"}')

    sources = (("s3", anchor) for anchor in stored_anchors(client, "anchors-locked", "a/"))
    found = list(read_anchors(sources, Ed25519AnchorVerifier(key.public_key)))
    assert mode == "COMPLIANCE"
    assert ANCHOR in found
    assert [item.kind for item in found if isinstance(item, Finding)] == [BAD_ANCHOR]
    client.close()


def test_anchor_in_s3_when_it_is_too_long_leaves_no_answer_open_while_it_is_looked_at(moto_s3: Endpoint) -> None:
    client = moto_s3.client()
    client.create_bucket(Bucket="anchors-too-long")
    client.put_object(Bucket="anchors-too-long", Key="a", Body=bytes(1 << 20))

    with noted_answers() as answers:
        anchors = stored_anchors(client, "anchors-too-long", "a")
        content = next(anchors).read()

        assert content == bytes(MOST_ANCHOR)
        assert answers.left_open() == []
    client.close()


def test_retention_and_count_when_not_legal_are_refused(key: Ed25519AnchorKey) -> None:
    with pytest.raises(ConfigurationError, match="retention"):
        Retention(0)
    with pytest.raises(ConfigurationError, match="every_records"):
        Anchoring(key, Stored(), every_records=0)
