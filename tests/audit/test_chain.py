"""The chain: whatever is done to a log of 50 records is found, and where."""

import hashlib
import json
import random
from pathlib import Path
from typing import Any

import pytest
import rfc8785

from s3envelope.audit.anchor_keys import Ed25519AnchorKey
from s3envelope.audit.anchors import Anchor
from s3envelope.audit.chain import NO_HASH, Finding, Head, chain_line, parse_line
from s3envelope.audit.verify import CUT, REWRITTEN, Verification
from s3envelope.errors import AuditError
from tests.support.auditing import event, examine_bytes, write

COUNT = 50
ALL = range(COUNT)


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """Return the lines of a log."""
    return write(tmp_path_factory.mktemp("audit", numbered=True) / "audit.jsonl", COUNT)


def _end(log: list[bytes]) -> Anchor:
    return Anchor(parse_line(log[-1]).head, "2027-01-15T12:01:00Z", "key")


def _findings(*changed: bytes, anchors: tuple[Anchor, ...] = ()) -> list[Finding]:
    return examine_bytes(b"".join(changed), anchors=anchors)[1]


def test_log_when_untouched_has_every_record_and_no_finding(log: list[bytes]) -> None:
    found = Verification()

    entries, findings = examine_bytes(b"".join(log), anchors=[_end(log)], into=found)

    assert not findings
    assert [entry.head.sequence for entry in entries] == list(range(1, COUNT + 1))
    assert entries[0].content["operation"] == "log-begin"
    assert (found.records, found.anchors) == (COUNT, 1)
    assert found.anchored == found.last == entries[-1].head


def test_log_when_empty_has_no_finding() -> None:
    assert examine_bytes(b"") == ([], [])


@pytest.mark.parametrize("index", ALL)
def test_record_when_any_sampled_byte_of_it_is_changed_is_found_there(log: list[bytes], index: int) -> None:
    chosen = random.Random(index)
    offsets = {0, 9, 72, 73, 83, 84, len(log[index]) - 2, *(chosen.randrange(len(log[index]) - 1) for _ in range(25))}

    for offset in offsets:
        line = bytearray(log[index])
        line[offset] ^= 1 << chosen.randrange(8)
        findings = _findings(*log[:index], bytes(line), *log[index + 1 :])
        assert findings, offset
        # A byte that became a newline makes two lines of one.
        assert findings[0].line_number in (index + 1, index + 2), offset
        assert len(findings) <= 2, offset


@pytest.mark.parametrize("index", ALL)
def test_newline_when_changed_is_found(log: list[bytes], index: int) -> None:
    findings = _findings(*log[:index], log[index][:-1] + b"\x0b", *log[index + 1 :])

    assert findings[0].line_number == index + 1
    assert findings[0].kind in ("changed", "malformed", "torn")


@pytest.mark.parametrize("index", ALL)
def test_record_when_removed_is_missed_by_the_next_or_by_the_anchor(log: list[bytes], index: int) -> None:
    findings = _findings(*log[:index], *log[index + 1 :], anchors=(_end(log),))

    assert [finding.kind for finding in findings] == [CUT if index == COUNT - 1 else "missing"]
    assert findings[0].sequence == (COUNT if index == COUNT - 1 else index + 2)


@pytest.mark.parametrize("index", range(COUNT - 1))
def test_records_when_swapped_are_found_there(log: list[bytes], index: int) -> None:
    findings = _findings(*log[:index], log[index + 1], log[index], *log[index + 2 :])

    assert {finding.kind for finding in findings} == {"missing", "out of order"}
    assert {finding.line_number for finding in findings} == {index + 1, index + 2}


@pytest.mark.parametrize("index", ALL)
def test_record_when_repeated_elsewhere_is_found_there(log: list[bytes], index: int) -> None:
    where = random.Random(index).randrange(index + 1, COUNT + 1)

    findings = _findings(*log[:where], log[index], *log[where:])

    assert [(finding.kind, finding.line_number) for finding in findings] == [("out of order", where + 1)]


@pytest.mark.parametrize("index", range(1, COUNT))
def test_record_when_made_by_a_forger_who_can_hash_is_found_behind_it(log: list[bytes], index: int) -> None:
    before = parse_line(log[index - 1]).head
    forged, head = chain_line(before, event(1000).to_record())

    replaced = _findings(*log[:index], forged, *log[index + 1 :], anchors=(_end(log),))
    inserted = _findings(*log[:index], forged, *log[index:], anchors=(_end(log),))

    expected = ("unlinked", index + 2) if index < COUNT - 1 else (REWRITTEN, index + 1)
    assert [(finding.kind, finding.line_number) for finding in replaced] == [expected]
    assert ("out of order", index + 2) in [(finding.kind, finding.line_number) for finding in inserted]
    assert {finding.kind for finding in inserted} == {"out of order", "unlinked" if index < COUNT - 1 else REWRITTEN}
    assert head.sequence == index + 1


@pytest.mark.parametrize("count", ALL)
def test_log_when_cut_behind_any_record_is_found_by_the_anchor_alone(log: list[bytes], count: int) -> None:
    assert not _findings(*log[:count])

    findings = _findings(*log[:count], anchors=(_end(log),))

    assert [(finding.kind, finding.sequence) for finding in findings] == [(CUT, COUNT)]


@pytest.mark.parametrize("index", ALL)
def test_log_when_cut_within_a_record_is_torn(log: list[bytes], index: int) -> None:
    for size in (1, len(log[index]) // 2, len(log[index]) - 1):
        findings = _findings(*log[:index], log[index][:size])
        assert [(finding.kind, finding.line_number) for finding in findings] == [("torn", index + 1)]


@pytest.mark.parametrize("count", [1, 25, 49])
def test_log_when_its_beginning_is_removed_is_found_unless_it_may_be(log: list[bytes], count: int) -> None:
    old = Anchor(parse_line(log[0]).head, "2027-01-15T12:00:00Z", "key")

    assert [finding.kind for finding in _findings(*log[count:])] == ["missing"]
    entries, findings = examine_bytes(b"".join(log[count:]), anchors=[old, _end(log)], partial=True)

    assert not findings
    assert len(entries) == COUNT - count


def test_log_when_written_anew_by_somebody_else_is_found_by_the_anchor(log: list[bytes], tmp_path: Path) -> None:
    other = write(tmp_path / "other" / "audit.jsonl", COUNT)

    assert not _findings(*other)
    assert [finding.kind for finding in _findings(*other, anchors=(_end(log),))] == [REWRITTEN]
    mixed = _findings(*log[:25], *other[25:], anchors=(_end(log),))

    assert {finding.kind for finding in mixed[:25]} == {"foreign"}


def test_log_when_in_several_files_is_one_chain_and_loses_none(log: list[bytes]) -> None:
    parts = [b"".join(log[:20]), b"", b"".join(log[20:21]), b"".join(log[21:])]

    assert not examine_bytes(*parts)[1]
    without = examine_bytes(parts[0], parts[3])[1]
    assert [(finding.kind, finding.file, finding.line_number) for finding in without] == [("missing", "file-1", 1)]


@pytest.mark.parametrize("garbage", [b"\n", b"{}\n", b"garbage\n", b"\0" * 4096 + b"\n", b"x" * (3 << 20) + b"\n"])
def test_line_when_it_is_no_record_is_found_and_the_rest_is_read(log: list[bytes], garbage: bytes) -> None:
    entries, findings = examine_bytes(b"".join([*log[:7], garbage, *log[7:]]))

    assert [(finding.kind, finding.line_number) for finding in findings] == [("malformed", 8)]
    assert len(entries) == COUNT


def test_line_when_longer_than_any_and_never_ended_is_found_once(log: list[bytes]) -> None:
    findings = _findings(*log, b"x" * (5 << 20))

    assert [(finding.kind, finding.line_number) for finding in findings] == [("malformed", COUNT + 1)]


@pytest.mark.parametrize(
    "record",
    [{"chain": "x"}, {"sequence": 0}, {"sequence": "1"}, {"previous": 5}, {"chain": "A" * 32}],
    ids=["chain", "zero", "text", "previous", "capital"],
)
def test_record_when_it_lacks_what_a_chain_needs_is_no_record(record: dict[str, Any]) -> None:
    body = rfc8785.dumps({"chain": "a" * 32, "sequence": 1, "previous": NO_HASH, **record})
    line = b'{"hash":"' + hashlib.sha256(body).hexdigest().encode() + b'","record":' + body + b"}\n"

    with pytest.raises(AuditError, match="the record"):
        parse_line(line)


def test_line_when_made_is_canonical_as_a_whole_and_hashes_as_documented() -> None:
    line, head = chain_line(Head("a" * 32, 6, "b" * 64), event(3, key="\u00e9\U0001f600").to_record())

    whole = json.loads(line)
    assert line == rfc8785.dumps(whole) + b"\n"
    assert head == Head("a" * 32, 7, hashlib.sha256(rfc8785.dumps(whole["record"])).hexdigest())
    assert (whole["hash"], whole["record"]["previous"]) == (head.hash, "b" * 64)


def test_record_when_too_long_is_refused() -> None:
    with pytest.raises(AuditError, match="at most"):
        chain_line(Head("a" * 32, 0, NO_HASH), {"details": "x" * (1 << 20)})


def test_anchors_when_a_key_signs_them_are_needed_for_the_end_only(log: list[bytes], tmp_path: Path) -> None:
    key = Ed25519AnchorKey(tmp_path / "anchor.key", create=True)
    middle = Anchor(parse_line(log[24]).head, "2027-01-15T12:00:30Z", key.key_id)
    found = Verification()

    assert not examine_bytes(b"".join(log), anchors=[middle], into=found)[1]
    assert found.anchored is not None
    assert found.anchored.sequence == 25
