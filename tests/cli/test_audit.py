"""`s3envelope audit`: verify, report, join and keygen, on logs that the library wrote."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from s3envelope.audit.anchor_keys import Ed25519AnchorKey, KmsAnchorMac
from s3envelope.audit.anchor_stores import FileAnchorStore
from s3envelope.audit.anchors import Anchoring
from s3envelope.audit.json_lines import JsonLinesAuditSink
from s3envelope.audit.log_file import Rotation
from s3envelope.audit.names import NameHasher
from s3envelope.audit.s3_objects import LockedPlace, Retention, S3AnchorStore
from s3envelope.cli.app import run
from tests.cli.commands import one_line
from tests.contract.kms_servers import moto
from tests.support.auditing import event, lines
from tests.support.endpoints import Endpoint

OUTPUT = pytest.CaptureFixture[str]


class Log:
    """A log in three files with 30 records, and its anchors."""

    def __init__(self, root: Path) -> None:
        self.path, self.anchors = root / "log" / "audit.jsonl", root / "anchors"
        self.key = Ed25519AnchorKey(root / "anchor.key", create=True)
        hashed = NameHasher.from_file(root / "names.key").hash("orders", "hidden")
        anchoring = Anchoring(self.key, FileAnchorStore(self.anchors), every_records=10)
        with JsonLinesAuditSink(self.path, rotation=Rotation(most_bytes=5000), anchors=anchoring) as sink:
            for number in range(26):
                sink.write(event(number, actor=f"actor-{number % 2}"))
            sink.write(event(26, key="=HYPERLINK(1)", actor="=cmd"))
            sink.write(event(27, key=None, key_hash=hashed, actor="\x1b[31mred"))
            sink.write(event(28, source="key service", kms_request_ids=("both",)))

    @property
    def files(self) -> list[Path]:
        return [*sorted(self.path.parent.glob("audit.jsonl.0*")), self.path]

    @property
    def names(self) -> list[str]:
        return [str(file) for file in self.files]

    @property
    def anchored(self) -> list[str]:
        return ["--anchors", str(self.anchors), "--public-key", self.key.public_key.hex()]


@pytest.fixture
def log(tmp_path: Path) -> Log:
    """Return a log."""
    return Log(tmp_path)


def _run(capsys: OUTPUT, *arguments: str, code: int = 0) -> str:
    assert run(["audit", *arguments]) == code, capsys.readouterr()
    return capsys.readouterr().out


def test_log_when_whole_is_said_to_be_whichever_order_its_files_are_given_in(log: Log, capsys: OUTPUT) -> None:
    assert len(log.files) >= 3

    shown = _run(capsys, "verify", *reversed(log.names), *log.anchored)

    assert "the chain is whole: 30 records, 1 to 30" in shown
    assert "3 anchors confirm it up to record 30; 0 records are newer" in shown
    assert "not found" in _run(capsys, "verify", *log.names)


def test_log_when_changed_says_where(log: Log, capsys: OUTPUT) -> None:
    whole = log.files[1].read_bytes()
    log.files[1].write_bytes(whole.replace(b"key-", b"kex-", 1))

    shown = _run(capsys, "verify", *log.names, *log.anchored, code=1)
    found = json.loads(_run(capsys, "verify", "--json", *log.names, code=1))

    assert f"{log.files[1]}:1: changed: record" in shown
    assert "1 findings: 29 records" in shown
    assert (found["finding_count"], found["findings"][0]["kind"]) == (1, "changed")


def test_log_when_its_end_or_a_file_is_gone_is_found(log: Log, capsys: OUTPUT) -> None:
    assert "missing" in _run(capsys, "verify", log.names[0], log.names[-1], code=1)
    assert "missing" in _run(capsys, "verify", *log.names[1:], code=1)
    assert "chain is whole" in _run(capsys, "verify", "--partial", *log.names[1:], *log.anchored)
    log.path.write_bytes(b"".join(lines(log.path)[:-1]))

    assert "chain is whole" in _run(capsys, "verify", *log.names)
    assert "cut: record 30 of chain" in _run(capsys, "verify", *log.names, *log.anchored, code=1)


def test_log_when_everything_in_it_is_garbage_shows_a_bounded_number_of_findings(log: Log, capsys: OUTPUT) -> None:
    log.path.write_bytes(b"\x1b[31mgarbage\n" * 1000)

    shown = _run(capsys, "verify", str(log.path), code=1)

    assert shown.count("malformed") == 100
    assert "and 900 more" in shown
    assert "no records" in shown
    assert "\x1b" not in shown


def test_anchors_when_another_key_signed_them_are_found(log: Log, tmp_path: Path, capsys: OUTPUT) -> None:
    other = _run(capsys, "keygen", str(tmp_path / "other.key")).strip()

    shown = _run(capsys, "verify", *log.names, "--anchors", str(log.anchors), "--public-key", other, code=1)

    assert shown.count("bad anchor") == 3
    assert "no anchor confirms" in shown
    assert _run(capsys, "keygen", str(tmp_path / "other.key")).strip() == other
    assert (tmp_path / "other.key").stat().st_mode & 0o777 == 0o600


def test_anchors_when_they_are_in_s3_and_signed_by_kms_are_verified(
    moto_s3: Endpoint, tmp_path: Path, capsys: OUTPUT
) -> None:
    storage = moto_s3.client()
    storage.create_bucket(Bucket="anchors-of-cli", ObjectLockEnabledForBucket=True)
    with moto() as server:
        client: Any = server.client()
        key_id = client.create_key(KeyUsage="GENERATE_VERIFY_MAC", KeySpec="HMAC_256")["KeyMetadata"]["Arn"]
        store = S3AnchorStore(LockedPlace(storage, "anchors-of-cli", "a/", Retention(1)))
        anchoring = Anchoring(KmsAnchorMac(key_id, client), store, every_records=10)
        with JsonLinesAuditSink(tmp_path / "log" / "audit.jsonl", anchors=anchoring) as sink:
            for number in range(14):
                sink.write(event(number))
        servers = ["--endpoint-url", moto_s3.url, "--kms-endpoint-url", server.url]
        arguments = [*servers, "--anchors", "s3://anchors-of-cli/a/", "--kms-mac-key-id", key_id]

        shown = _run(capsys, "verify", str(tmp_path / "log" / "audit.jsonl"), *arguments)

    assert "2 anchors confirm it up to record 15" in shown
    storage.close()


@pytest.mark.parametrize(
    "arguments",
    [
        ["--anchors", "{anchors}"],
        ["--public-key", "ab"],
        ["--anchors", "{anchors}", "--public-key", "xyz"],
        ["--anchors", "{anchors}", "--public-key", "abcd"],
        ["--anchors", "{anchors}", "--public-key", "ab", "--kms-key-id", "k"],
    ],
)
def test_anchors_when_the_options_do_not_fit_are_a_wrong_usage(log: Log, arguments: list[str], capsys: OUTPUT) -> None:
    given = [argument.format(anchors=log.anchors) for argument in arguments]

    assert run(["audit", "verify", *log.names, *given]) == 2


def test_report_when_counted_is_a_table_csv_or_json(log: Log, capsys: OUTPUT, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    table = _run(capsys, "report", *log.names, "--by", "actor")
    rows = list(csv.DictReader(io.StringIO(_run(capsys, "report", *log.names, "--by", "actor", "--format", "csv"))))
    found = [
        json.loads(line)
        for line in _run(capsys, "report", *log.names, "--by", "actor", "--format", "json").splitlines()
    ]

    assert "actor-0" in table
    assert "\x1b" not in table
    counted = {row["name"].removeprefix("'"): int(row["events"]) for row in rows}
    assert counted == {row["name"]: row["events"] for row in found}
    assert found[0]["events"] == 14


def test_report_when_of_records_shows_them_and_no_formula_of_a_stranger(
    log: Log, capsys: OUTPUT, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    shown = _run(capsys, "report", *log.names, "--format", "csv", "--since", "2027-01-15T12:00:26")
    rows = list(csv.DictReader(io.StringIO(shown)))

    assert [row["number"] for row in rows] == ["28", "29", "30"]
    assert (rows[0]["object"], rows[0]["actor"]) == ("s3://orders/=HYPERLINK(1)", "'=cmd")
    everything = _run(capsys, "report", *log.names, "--format", "json")
    assert len(everything.splitlines()) == 30
    assert "key-5" in _run(capsys, "report", *log.names, "--object", "s3://orders/key-5")


def test_report_when_a_hidden_name_is_looked_for_finds_it_with_the_key(
    log: Log, tmp_path: Path, capsys: OUTPUT
) -> None:
    wanted = ["report", *log.names, "--format", "json", "--object", "s3://orders/hidden"]

    assert _run(capsys, *wanted) == ""
    assert json.loads(_run(capsys, *wanted, "--names-key", str(tmp_path / "names.key")))["number"] == 29


def test_report_when_the_log_is_not_whole_says_so(log: Log, capsys: OUTPUT) -> None:
    log.files[1].write_bytes(b"".join(lines(log.files[1])[1:]))

    assert run(["audit", "report", *log.names, "--by", "day"]) == 1

    assert "not whole: 1 findings" in one_line(capsys.readouterr().err)


def test_join_when_cloudtrail_knows_more_says_so(log: Log, tmp_path: Path, capsys: OUTPUT) -> None:
    def export(*request_ids: str) -> str:
        usual = {"eventSource": "kms.amazonaws.com", "eventName": "Decrypt", "eventTime": "2027-01-15T12:00:00Z"}
        items = [{**usual, "requestID": request_id} for request_id in request_ids]
        (tmp_path / "export.json").write_text(json.dumps({"Records": items}))
        return str(tmp_path / "export.json")

    assert "1 requests in both, 0 in CloudTrail only" in _run(
        capsys, "join", *log.names, "--cloudtrail", export("both")
    )
    shown = _run(capsys, "join", *log.names, "--cloudtrail", export("both", "theirs\x1b[31m"), code=1)
    found = json.loads(_run(capsys, "join", *log.names, "--cloudtrail", export("theirs"), "--json", code=1))

    assert "only in CloudTrail: 2027-01-15T12:00:00Z Decrypt theirs" in shown
    assert "\x1b" not in shown
    assert list(found["only_ours"]) == ["both"]


def test_join_when_the_export_is_none_says_so(log: Log, tmp_path: Path, capsys: OUTPUT) -> None:
    (tmp_path / "export").write_text("garbage")

    assert run(["audit", "join", *log.names, "--cloudtrail", str(tmp_path / "export")]) == 1

    assert "not an export of CloudTrail" in one_line(capsys.readouterr().err)
