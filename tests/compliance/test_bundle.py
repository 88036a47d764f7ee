"""The evidence bundle: its forms, its manifest, and the audit log that the manifest is in."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from pathlib import Path
from typing import Any

import pytest

from s3envelope.cli.app import run
from s3envelope.compliance.audit_log import FileAuditLog
from s3envelope.compliance.bundle import chain_bundle, prepare_folder, write_bundle
from s3envelope.compliance.bundle_names import ARTIFACTS, MANIFEST
from s3envelope.compliance.controls import read_controls
from s3envelope.compliance.markdown import as_markdown, quoted
from s3envelope.compliance.model import Status
from s3envelope.compliance.oscal import as_oscal
from s3envelope.compliance.page import as_page
from s3envelope.errors import AuditError, ConfigurationError
from tests.support.auditing import entries_of, lines
from tests.support.compliant import SetUp
from tests.support.compliant_assessment import HOSTILE, assessment, hostile_assessment
from tests.support.compliant_command import checked


def uuids_in(value: Any) -> list[str]:
    """Return every UUID that a document gives to something."""
    if isinstance(value, dict):
        own = [value["uuid"]] if "uuid" in value else []
        return own + [uuid for child in value.values() for uuid in uuids_in(child)]
    return [uuid for child in value for uuid in uuids_in(child)] if isinstance(value, list) else []


def test_bundle_when_written_is_named_in_the_manifest_which_is_in_the_audit_log(
    good: SetUp, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    folder = tmp_path / "evidence" / "today"

    code, summary = checked(capfd, good, "--output", str(folder))

    manifest = (folder / MANIFEST).read_bytes()
    named = {entry["name"]: entry for entry in json.loads(manifest)["artifacts"]}
    assert code == 0
    assert set(named) == set(ARTIFACTS) == set(os.listdir(folder)) - {MANIFEST}
    for name, entry in named.items():
        content = (folder / name).read_bytes()
        assert (entry["sha256"], entry["size"]) == (hashlib.sha256(content).hexdigest(), len(content))
    digest = hashlib.sha256(manifest).hexdigest()
    assert summary["bundle"] == {"folder": str(folder), "manifest_sha256": digest, "in_audit_log": True}
    last = entries_of(good.audit_log)[-1].content
    assert last["operation"] == "evidence"
    assert last["details"] == [["document", f"today/{MANIFEST}"], ["sha256", digest]]
    assert last["actor"] == summary["assessor"]


@pytest.mark.skipif(os.name != "posix", reason="modes of files are those of POSIX")
def test_bundle_when_written_is_for_its_owner_alone(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    prepare_folder(folder)

    write_bundle(assessment(), folder)

    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()} == {0o600}


def test_bundle_when_there_is_one_already_is_not_replaced_and_nothing_is_looked_at(
    good: SetUp, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / MANIFEST).write_text("kept")

    assert run(["compliance", "check", *good.options, "--output", str(tmp_path)]) == 2

    assert "exists already" in capfd.readouterr().err
    assert (tmp_path / MANIFEST).read_text() == "kept"


def test_bundle_when_a_link_lies_in_its_place_is_not_written_through_it(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    folder = tmp_path / "bundle"
    prepare_folder(folder)
    (folder / ARTIFACTS[1]).symlink_to(victim)

    with pytest.raises(FileExistsError):
        write_bundle(assessment(), folder)

    assert not victim.exists()
    with pytest.raises(ConfigurationError, match="exists already"):
        prepare_folder(folder)


def test_bundle_when_the_log_cannot_be_written_says_so_and_exits_1(
    good: SetUp, capfd: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    *whole, last = lines(good.audit_log)
    good.audit_log.write_bytes(b"".join(whole) + last.replace(b"key-3", b"key-4"))

    code, summary = checked(capfd, good, "--output", str(tmp_path / "bundle"), "--skip", "audit-chain")

    assert code == 1
    assert summary["bundle"]["in_audit_log"] is False


def test_chain_when_the_folder_of_the_log_is_open_to_others_is_refused(tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    prepare_folder(folder)
    open_folder = tmp_path / "log"
    open_folder.mkdir()
    open_folder.chmod(0o777)

    with pytest.raises(AuditError):
        chain_bundle(write_bundle(assessment(), folder), FileAuditLog(open_folder / "log.jsonl"))


def test_oscal_when_made_refers_only_to_what_it_defines_and_once() -> None:
    found = as_oscal(assessment(), os.urandom)

    defined = uuids_in(found)
    assert len(defined) == len(set(defined))
    text = json.dumps(found)
    (result,) = found["assessment-results"]["results"]
    for finding in result["findings"]:
        assert {one["observation-uuid"] for one in finding["related-observations"]} <= set(defined)
    for observation in result["observations"]:
        assert {one["subject-uuid"] for one in observation["subjects"]} <= set(defined)
    assert found["assessment-results"]["import-ap"]["href"].removeprefix("#") in defined
    assert text.isascii()


def test_oscal_when_names_are_hostile_has_titles_of_one_line() -> None:
    text = json.dumps(as_oscal(hostile_assessment(), os.urandom))

    assert "alert(1)" in text
    assert '"title": "S3 bucket' in text
    # A line break and a sign that turns text are escaped twice: as text, and as JSON.
    assert text.count("\\u202e") == text.count("\\\\u202e") > 0
    assert text.count("\\n") == text.count("\\\\n") > 0


def test_oscal_when_a_check_was_not_assessed_is_not_satisfied_for_another_reason() -> None:
    found = as_oscal(assessment(kms_reencrypt=Status.NOT_ASSESSED, bucket_tls=Status.FAILED), os.urandom)

    (result,) = found["assessment-results"]["results"]
    states = {one["title"].partition(":")[0]: one["target"]["status"] for one in result["findings"]}
    assert (states["NIST SP 800-53 SC-12"]["state"], states["NIST SP 800-53 SC-12"]["reason"]) == (
        "not-satisfied",
        "other",
    )
    assert (states["NIST SP 800-53 SC-8"]["state"], states["NIST SP 800-53 SC-8"]["reason"]) == (
        "not-satisfied",
        "fail",
    )
    assert (states["NIST SP 800-53 AU-9"]["state"], states["NIST SP 800-53 AU-9"]["reason"]) == ("satisfied", "pass")


def test_page_when_made_needs_nothing_from_elsewhere_and_shows_every_status() -> None:
    page = as_page(assessment(kms_reencrypt=Status.NOT_ASSESSED, bucket_tls=Status.FAILED))

    assert "<script" not in page
    assert not any(word in page for word in ("http://", "https://", "url(", "src=", "@import"))
    assert page.count("<svg") == len(read_controls()) + 5
    assert all(f"{status.value}</span>" in page for status in Status)


def test_page_when_names_are_hostile_shows_them_as_text() -> None:
    page = as_page(hostile_assessment())

    assert "<img" not in page
    assert "&lt;img src=x onerror=alert(1)&gt;" in page
    assert "\u202e" not in page
    assert "\\u202e" in page


def test_markdown_when_names_are_hostile_shows_them_as_text() -> None:
    report = as_markdown(hostile_assessment())

    assert HOSTILE not in report
    assert "<img" not in report
    assert "](" not in report
    assert "\u202e" not in report
    heads = [line for line in report.splitlines() if line.startswith("#")]
    assert len(heads) == 4 + len(assessment().results)


def test_markdown_when_made_has_the_scores_with_their_numbers() -> None:
    report = as_markdown(assessment(bucket_tls=Status.FAILED))

    assert "| SOC 2 | 92 % | 100 x 12 / (12 + 1 + 0) |" in report
    assert report.index("### bucket-tls: failed") < report.index("### key-state: passed")


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("# head", "\\# head"),
        ("- item", "\\- item"),
        ("+ item", "\\+ item"),
        ("1. one", "1\\. one"),
        ("2) two", "2\\) two"),
        ("a-b. 1 # 2", "a-b. 1 # 2"),
    ],
)
def test_markdown_when_a_line_begins_like_a_list_or_a_heading_shows_it_as_it_is(text: str, shown: str) -> None:
    assert quoted(text) == shown
