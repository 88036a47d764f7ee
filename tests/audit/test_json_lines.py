"""The log in a file: what is written when, what an interrupted writer left, rotation, and files that went away."""

import os
import threading
from pathlib import Path
from typing import Any

import pytest

from s3envelope.audit.json_lines import JsonLinesAuditSink
from s3envelope.audit.log_file import Rotation
from s3envelope.errors import AuditError, ConfigurationError
from tests.support.auditing import DAY, entries_of, event, examine_bytes, lines, operations_of, write
from tests.support.objects import FakeClock, FakeProcess, fake_ports


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return where a log may be, in a folder that does not exist yet."""
    return tmp_path / "log" / "audit.jsonl"


class Synced:
    """Counts how often the operating system is asked to write a log to the disk."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        self._fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self._count)

    def _count(self, descriptor: int) -> None:
        self.count += 1
        self._fsync(descriptor)


def test_log_when_made_is_for_its_owner_alone(path: Path) -> None:
    write(path, 2)

    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert {file.name for file in path.parent.iterdir()} == {"audit.jsonl", "audit.jsonl.lock"}


def test_log_when_opened_again_goes_on(path: Path) -> None:
    write(path, 5)
    write(path, 4)

    assert operations_of(path) == ["log-begin"] + ["decrypt"] * 7


@pytest.mark.parametrize("threads", [8])
def test_log_when_written_by_threads_has_every_event_once(path: Path, threads: int) -> None:
    with JsonLinesAuditSink(path, fsync="never") as first, JsonLinesAuditSink(path, fsync="never") as second:

        def work(start: int) -> None:
            for number in range(start, start + 25):
                (first if number % 2 else second).write(event(number))

        running = [threading.Thread(target=work, args=(25 * each,)) for each in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()

    assert sorted(str(entry.content["key"]) for entry in entries_of(path)[1:]) == sorted(f"key-{n}" for n in range(200))


def test_log_when_fsync_is_always_is_on_the_disk_with_each_event(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with JsonLinesAuditSink(path, fsync="always") as sink:
        sink.write(event())
        synced = Synced(monkeypatch)
        for number in range(5):
            sink.write(event(number))
        assert synced.count == 5


def test_log_when_fsync_is_by_interval_is_on_the_disk_after_it_and_at_the_end(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = FakeClock()
    sink = JsonLinesAuditSink(path, fsync="interval", fsync_seconds=2, ports=fake_ports(clock=clock))
    sink.write(event())
    synced = Synced(monkeypatch)

    counts = []
    for _ in range(6):
        clock.seconds += 1
        sink.write(event())
        counts.append(synced.count)
    sink.close()

    assert counts == [0, 1, 1, 2, 2, 3]
    assert synced.count == 4


def test_log_when_fsync_is_never_leaves_it_to_the_system(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with JsonLinesAuditSink(path, fsync="never") as sink:
        sink.write(event())
        synced = Synced(monkeypatch)
        sink.write(event())

    assert synced.count == 0


def test_log_when_a_sync_fails_fails_the_call(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    with JsonLinesAuditSink(path, fsync="always") as sink:
        sink.write(event())
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", fail)
            with pytest.raises(AuditError, match="Input/output error"):
                sink.write(event())
        sink.write(event())

    entries_of(path)


def test_log_when_torn_anywhere_is_mended_by_the_next_writer_who_says_so(path: Path) -> None:
    whole = b"".join(write(path, 4))
    last = len(lines(path)[-1])

    for removed in range(1, last):
        path.write_bytes(whole[:-removed])
        write(path, 2, fsync="never")
        records = entries_of(path)
        details: dict[str, str] = dict(records[3].content["details"])  # type: ignore[arg-type]
        assert [record.content["operation"] for record in records[2:]] == ["decrypt", "log-repair", "decrypt"]
        assert details["removed_bytes"] == str(last - removed)
        assert len(details["removed_sha256"]) == 64


@pytest.mark.parametrize("left", [b"\0" * 200_000, b'{"hash":"'], ids=["zeros", "beginning"])
def test_log_when_nothing_but_a_torn_record_is_in_it_begins(path: Path, left: bytes) -> None:
    path.parent.mkdir(mode=0o700)
    path.write_bytes(left)
    path.chmod(0o600)

    write(path, 2)

    assert operations_of(path) == ["log-begin", "log-repair", "decrypt"]


def test_log_when_its_last_record_was_changed_takes_no_more(path: Path) -> None:
    whole = write(path, 3)
    changed = b"".join([*whole[:2], whole[2].replace(b"key-1", b"key-7")])
    path.write_bytes(changed)

    with JsonLinesAuditSink(path) as sink, pytest.raises(AuditError, match="not whole"):
        sink.write(event())

    assert path.read_bytes() == changed


def test_log_when_a_record_of_another_process_follows_goes_on_from_that(path: Path) -> None:
    with JsonLinesAuditSink(path) as first, JsonLinesAuditSink(path) as second:
        for number in range(6):
            (first, second)[number % 2].write(event(number))

    assert operations_of(path) == ["log-begin"] + ["decrypt"] * 6


def test_log_when_cut_while_it_is_written_goes_on_so_that_the_gap_shows(path: Path) -> None:
    with JsonLinesAuditSink(path) as sink:
        for number in range(5):
            sink.write(event(number))
        path.write_bytes(b"".join(lines(path)[:3]))
        sink.write(event(5))

    _, findings = examine_bytes(path.read_bytes())
    assert [(finding.kind, finding.sequence) for finding in findings] == [("missing", 7)]


def test_log_when_removed_while_it_is_written_goes_on_so_that_the_gap_shows(path: Path) -> None:
    with JsonLinesAuditSink(path) as sink:
        sink.write(event(0))
        path.unlink()
        sink.write(event(1))

    entries, findings = examine_bytes(path.read_bytes())
    assert [entry.content["key"] for entry in entries] == ["key-1"]
    assert [(finding.kind, finding.sequence) for finding in findings] == [("missing", 3)]


def test_log_when_replaced_by_another_says_what_went(path: Path, tmp_path: Path) -> None:
    with JsonLinesAuditSink(path) as sink:
        sink.write(event(0))
        lost = entries_of(path)[-1].head
        write(tmp_path / "other" / "audit.jsonl", 3)
        os.replace(tmp_path / "other" / "audit.jsonl", path)
        sink.write(event(1))

    records = entries_of(path)
    assert [record.content["operation"] for record in records[3:]] == ["log-replace", "decrypt"]
    assert records[3].content["details"] == [
        ["lost_chain", lost.chain],
        ["lost_sequence", "2"],
        ["lost_hash", lost.hash],
    ]


def test_log_when_rotated_by_size_is_one_chain_over_its_files(path: Path) -> None:
    write(path, 20, rotation=Rotation(most_bytes=2000))
    write(path, 20, rotation=Rotation(most_bytes=2000))

    files = [*sorted(path.parent.glob("audit.jsonl.0*")), path]
    assert len(files) > 5
    assert all(file.stat().st_size <= 2000 for file in files)
    assert len(entries_of(*files)) == 39
    assert [int(file.suffix[1:]) for file in files[:-1]] == [entries_of_partial(file) for file in files[:-1]]


def entries_of_partial(path: Path) -> int:
    """Return the number of the last record of a file that may begin anywhere."""
    return examine_bytes(path.read_bytes(), partial=True)[0][-1].head.sequence


def test_log_when_rotated_in_front_of_two_writers_takes_both_along(path: Path) -> None:
    rotation = Rotation(most_bytes=1200)
    with JsonLinesAuditSink(path, rotation=rotation) as first, JsonLinesAuditSink(path, rotation=rotation) as second:
        for number in range(30):
            (first, second)[number % 2].write(event(number))

    assert len(entries_of(*sorted(path.parent.glob("audit.jsonl.0*")), path)) == 31


def test_log_when_rotated_by_day_begins_a_file_with_the_first_event_of_the_next(path: Path) -> None:
    with JsonLinesAuditSink(path, rotation=Rotation(daily=True)) as sink:
        for time in (0, 1, DAY, DAY + 1, DAY - 1, 3 * DAY):
            sink.write(event(int(time)))

    files = [*sorted(path.parent.glob("audit.jsonl.0*")), path]
    assert [len(lines(file)) for file in files] == [3, 3, 1]
    entries_of(*files)


def test_log_when_interrupted_between_two_files_goes_on(path: Path) -> None:
    write(path, 3)
    aside = path.with_name("audit.jsonl.000000000003")
    path.rename(aside)

    write(path, 2)

    assert operations_of(aside, path) == ["log-begin", "decrypt", "decrypt", "decrypt"]


def test_log_when_a_stranger_has_the_name_of_an_older_file_is_not_overwritten(path: Path) -> None:
    write(path, 3)
    stranger = path.with_name("audit.jsonl.000000000003")
    stranger.write_bytes(b"keep me")

    with JsonLinesAuditSink(path, rotation=Rotation(most_bytes=1)) as sink, pytest.raises(AuditError, match="already"):
        sink.write(event())

    assert stranger.read_bytes() == b"keep me"
    assert len(entries_of(path)) == 3


def test_log_when_the_process_forks_is_written_by_both(path: Path) -> None:
    process = FakeProcess()
    sink = JsonLinesAuditSink(path, ports=fake_ports(process_id=process))
    sink.write(event(0))
    # Another thread of the parent is writing when it forks: in the child nobody will release its lock.
    sink._lock.acquire()
    process.number += 1

    sink.write(event(1))
    sink.close()

    assert len(entries_of(path)) == 3


@pytest.mark.parametrize("mode", [0o777, 0o770, 0o720])
def test_folder_when_others_can_write_to_it_is_refused(tmp_path: Path, mode: int) -> None:
    tmp_path.chmod(mode)

    with pytest.raises(ConfigurationError, match="others can write"):
        JsonLinesAuditSink(tmp_path / "audit.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_file_when_others_can_write_to_it_is_refused(path: Path) -> None:
    write(path, 2)
    path.chmod(0o666)

    with JsonLinesAuditSink(path) as sink, pytest.raises(AuditError, match="others can write"):
        sink.write(event())
    assert len(lines(path)) == 2


def test_path_when_it_is_a_link_or_no_file_is_refused(path: Path, tmp_path: Path) -> None:
    path.parent.mkdir(mode=0o700)
    target = tmp_path / "target"
    target.touch()

    path.symlink_to(target)
    with JsonLinesAuditSink(path) as sink, pytest.raises(AuditError, match="cannot be written"):
        sink.write(event())
    path.unlink()
    path.mkdir()
    with JsonLinesAuditSink(path) as sink, pytest.raises(AuditError):
        sink.write(event())

    assert target.read_bytes() == b""


@pytest.mark.parametrize(
    "arguments",
    [{"fsync": "sometimes"}, {"rotation": {"most_bytes": 0}}],
    ids=["fsync", "size"],
)
def test_arguments_when_not_legal_are_refused(path: Path, arguments: dict[str, Any]) -> None:
    rotation = arguments.pop("rotation", None)

    with pytest.raises(ConfigurationError, match="use"):
        JsonLinesAuditSink(path, **arguments, rotation=rotation and Rotation(**rotation))


def test_file_when_put_aside_is_on_the_disk_first(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rotation = Rotation(most_bytes=1)
    with JsonLinesAuditSink(path, fsync="never", rotation=rotation) as sink:
        sink.write(event())
        synced = Synced(monkeypatch)
        sink.write(event())

    # The old file, and the folder with the name of the new one.
    assert synced.count == 2
