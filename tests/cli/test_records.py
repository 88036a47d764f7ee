"""Records of unfinished uploads, when the process dies in the middle of writing one."""

from __future__ import annotations

import dataclasses
import io
from pathlib import Path

import pytest

from s3envelope.cli.transferring.records import Entry, Record, Wanted

WANTED = Wanted("/source", "https://s3.example", "bucket", "key", (1, 2, 3, 4, 5), {"context": None})
ASKED = Record(WANTED, "", 8 << 20, 1_800_000_000)
BEGUN = dataclasses.replace(ASKED, upload_id="id")


class _KilledError(Exception):
    """The process is no more."""


class _DyingFile(io.FileIO):
    """A file whose process dies before one of the calls that change it."""

    def __init__(self, path: Path, calls: int) -> None:
        super().__init__(path, "r+")
        self._left = calls

    def _live(self) -> None:
        if self._left == 0:
            raise _KilledError
        self._left -= 1

    def write(self, content: object, /) -> int:
        self._live()
        return super().write(content)  # type: ignore[arg-type]

    def truncate(self, size: int | None = None, /) -> int:
        self._live()
        return super().truncate(size)


@pytest.mark.parametrize("calls", [0, 1])
def test_entry_when_the_process_dies_while_it_gets_the_id_of_the_upload_has_a_record(
    tmp_path: Path, calls: int
) -> None:
    path = tmp_path / "record"
    path.write_bytes(ASKED.serialise())

    with _DyingFile(path, calls) as file, pytest.raises(_KilledError):
        Entry(path, file).write(BEGUN)

    assert Record.parse(path.read_bytes()) == (ASKED, BEGUN)[calls]


def test_entry_when_a_record_is_replaced_by_a_shorter_one_has_nothing_behind_it(tmp_path: Path) -> None:
    path = tmp_path / "record"
    path.write_bytes(BEGUN.serialise())

    with path.open("r+b") as file:
        entry = Entry(path, file)
        entry.write(ASKED)
        read = entry.read()
        entry.clear()

    assert read == ASKED
    assert path.read_bytes() == b""
