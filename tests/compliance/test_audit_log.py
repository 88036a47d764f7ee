"""The audit log as checks and bundles use it: older files, and anchors."""

from __future__ import annotations

from pathlib import Path

import pytest

from s3envelope.audit.anchor_keys import Ed25519AnchorKey
from s3envelope.audit.anchor_stores import FileAnchorStore
from s3envelope.audit.anchors import Anchoring
from s3envelope.audit.log_file import Rotation
from s3envelope.compliance.audit_log import FileAuditLog
from s3envelope.compliance.local_checks import AuditChainHolds
from s3envelope.compliance.model import NotAssessedError
from tests.support.auditing import lines, operations_of, write
from tests.support.compliant import SetUp
from tests.support.compliant_command import checked, evidence_of, with_status


def test_log_when_older_files_lie_beside_it_is_verified_whole(tmp_path: Path) -> None:
    path = tmp_path / "log" / "audit.jsonl"
    write(path, 30, rotation=Rotation(most_bytes=2_000))
    older = sorted(file for file in path.parent.iterdir() if file.name.startswith("audit.jsonl.0"))
    assert len(older) > 2

    state = FileAuditLog(path).verify()
    older[1].unlink()
    without = FileAuditLog(path).verify()

    assert (state.record_count, state.problems) == (30, ())
    assert "missing" in without.problems[0]


def test_evidence_when_appended_is_the_next_record(tmp_path: Path) -> None:
    path = tmp_path / "log" / "audit.jsonl"
    write(path, 2)

    FileAuditLog(path).append_evidence("bundle/manifest.json", "0" * 64)

    assert operations_of(path)[-1] == "evidence"
    assert FileAuditLog(path).verify().problems == ()


def test_log_when_everything_in_it_is_wrong_tells_a_hundred_problems_and_their_number(tmp_path: Path) -> None:
    path = tmp_path / "log" / "audit.jsonl"
    write(path, 150)
    path.write_bytes(b"".join(b"x" + line for line in lines(path)))

    state = FileAuditLog(path).verify()

    assert len(state.problems) == 101
    assert state.problems[-1] == "and 50 more"


def test_check_when_the_end_of_the_log_was_cut_is_told_by_anchors_alone(
    good: SetUp, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    key, anchors = Ed25519AnchorKey(tmp_path / "anchor.key", create=True), tmp_path / "anchors"
    good.audit_log.unlink()
    write(good.audit_log, 6, anchors=Anchoring(key, FileAnchorStore(anchors)))
    options = ["--audit-anchors", str(anchors), "--audit-public-key", key.public_key.hex()]

    _, whole = checked(capfd, good, *options)
    good.audit_log.write_bytes(b"".join(lines(good.audit_log)[:-1]))
    code, cut = checked(capfd, good, *options)

    assert "anchors confirm the log up to record 6" in evidence_of(whole, "audit-chain")
    assert with_status(whole, "failed") == []
    assert (code, with_status(cut, "failed")) == (1, ["audit-chain"])
    assert "cut: record 6" in evidence_of(cut, "audit-chain")


@pytest.mark.parametrize("content", [b"", None])
def test_check_when_the_log_is_empty_or_gone_is_not_assessed(good: SetUp, content: bytes | None) -> None:
    good.audit_log.unlink()
    if content is not None:
        good.audit_log.write_bytes(content)

    with pytest.raises(NotAssessedError):
        AuditChainHolds().assess(good.subject())
