"""Whatever lies in the folder of the cache: a miss and a line in the log, and the key service opens the object."""

from __future__ import annotations

import contextlib
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from s3envelope.errors import CacheError
from tests.support.bad_cache import Keys, execute, opens_by_key_service, rows_of
from tests.support.caching import CONTEXT, HOUR, Place, Process
from tests.support.owners import give_away


def _change_values(place: Place, change: Callable[[bytes], bytes]) -> None:
    execute(
        place,
        *(("UPDATE Cache SET value = ? WHERE rowid = ?", (change(value), row)) for row, _, value in rows_of(place)),
    )


def _flipped(position: int) -> Callable[[bytes], bytes]:
    return lambda value: bytes(byte ^ (number == position % len(value)) for number, byte in enumerate(value))


_VALUES: dict[str, Callable[[bytes], bytes]] = {
    "first byte flipped": _flipped(0),
    "nonce flipped": _flipped(11),
    "ciphertext flipped": _flipped(40),
    "last byte flipped": _flipped(-1),
    "cut": lambda value: value[:-1],
    "cut to the nonce": lambda value: value[:12],
    "empty": lambda value: b"",
    "longer": lambda value: value + b"\0",
    "much longer": lambda value: bytes(60_000),
    "huge": lambda value: bytes(5_000_000),
    "zeros": lambda value: bytes(len(value)),
}


@pytest.mark.parametrize("change", _VALUES)
def test_value_when_changed_is_a_miss(
    place: Place, kept: tuple[Keys, bytes], change: str, caplog: pytest.LogCaptureFixture
) -> None:
    _change_values(place, _VALUES[change])

    opens_by_key_service(place, kept, caplog)
    # What it wrote instead is whole.
    place.kms.stop()
    assert Process(place, place.arn).open(kept[0]) == kept[1]


def test_value_when_any_of_its_bytes_is_flipped_is_a_miss(place: Place, kept: tuple[Keys, bytes]) -> None:
    pristine = place.database.read_bytes()
    (size,) = {len(value) for _, _, value in rows_of(place) if len(value) > 80}

    for position in range(0, size, 7):
        place.database.write_bytes(pristine)
        _change_values(place, _flipped(position))
        assert Process(place, place.arn).manager.status_of(kept[0], CONTEXT) is None


@pytest.mark.parametrize("columns", ["value", "key"])
def test_entries_when_swapped_are_misses(
    place: Place, kept: tuple[Keys, bytes], columns: str, caplog: pytest.LogCaptureFixture
) -> None:
    others = place.new_keys()
    Process(place, place.arn).open(others[0])
    rows = [row for row in rows_of(place) if len(row[2]) > 80]
    assert len(rows) == 2
    place_of = {"key": 1, "value": 2}[columns]
    blank = ("UPDATE Cache SET key = ? WHERE rowid = ?", (bytes(32), rows[0][0]))
    swaps = [(_SWAP[columns], (other[place_of], row[0])) for row, other in zip(rows, reversed(rows), strict=True)]
    execute(place, blank, *reversed(swaps)) if columns == "key" else execute(place, *swaps)

    for some in (kept, others):
        opens_by_key_service(place, some, caplog)


def test_entry_when_rolled_back_is_as_old_as_it_was(place: Place) -> None:
    keys, data_key = place.new_keys()
    process = Process(place, place.arn)
    process.open(keys)
    older = place.database.read_bytes()
    place.pass_time(HOUR, process)
    process.open(keys)
    place.database.write_bytes(older)
    place.kms.clear_calls()

    late = Process(place, place.arn)

    assert late.open(keys) == data_key
    assert place.kms.count("Decrypt") == 1


def test_entry_of_another_cache_key_when_planted_is_a_miss(
    place: Place, kept: tuple[Keys, bytes], caplog: pytest.LogCaptureFixture
) -> None:
    (place.root / "cache.key").rename(place.root / "mine.key")
    place.database.rename(place.root / "mine.db")
    Process(place, place.arn).open(kept[0])
    foreign = [value for _, _, value in rows_of(place)]
    (place.root / "mine.key").rename(place.root / "cache.key")
    (place.root / "mine.db").rename(place.database)
    _change_values(place, lambda _: foreign[-1])

    opens_by_key_service(place, kept, caplog)


class _Payload:
    """What creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.touch, (self._path,)


_SWAP = {
    "value": "UPDATE Cache SET value = ? WHERE rowid = ?",
    "key": "UPDATE Cache SET key = ? WHERE rowid = ?",
}
_NO_FILE = "UPDATE Cache SET mode = 4, filename = NULL, value = ?"
_PICKLED_KEY = "UPDATE Cache SET raw = 0, key = ? WHERE rowid = (SELECT max(rowid) FROM Cache)"


@pytest.mark.parametrize("statement", [_NO_FILE, _PICKLED_KEY, f"{_NO_FILE}, raw = 1"])
def test_pickle_when_planted_is_not_executed(
    place: Place, kept: tuple[Keys, bytes], statement: str, caplog: pytest.LogCaptureFixture
) -> None:
    trap = place.root / "executed"
    payload = pickle.dumps(_Payload(trap))
    execute(place, (statement, (payload,)))

    opens_by_key_service(place, kept, caplog, logs=statement is not _PICKLED_KEY)
    with contextlib.suppress(CacheError):
        place.cache().rekey()
    place.cache().clear()

    assert not trap.exists()
    # The trap is one.
    pickle.loads(payload)  # noqa: S301
    assert trap.exists()


@pytest.mark.parametrize("mode", [1, 2, 3, 4])
def test_file_when_a_row_names_one_is_neither_read_nor_deleted(
    place: Place, kept: tuple[Keys, bytes], mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    victim = place.root / "victim"
    victim.write_bytes(pickle.dumps(_Payload(place.root / "executed")))
    execute(place, ("UPDATE Cache SET mode = ?, filename = ?, value = NULL, expire_time = 1e18", (mode, "../victim")))

    opens_by_key_service(place, kept, caplog)
    place.cache().clear()

    assert victim.exists()
    assert not (place.root / "executed").exists()


@pytest.mark.parametrize("act", ["clear", "rekey", "forget", "evict"])
def test_file_when_a_row_names_one_is_not_deleted_with_the_row(
    place: Place, kept: tuple[Keys, bytes], act: str
) -> None:
    victim = place.root / "victim"
    victim.write_bytes(b"stays")
    execute(place, ("UPDATE Cache SET filename = ?", (str(victim),)))

    if act == "forget":
        Process(place, place.arn).manager.forget(kept[0], CONTEXT)
    elif act == "evict":
        process = Process(place, place.arn, cache=place.cache(max_entries=1))
        for _ in range(3):
            process.open(place.new_keys()[0])
    else:
        with contextlib.suppress(CacheError):
            getattr(place.cache(), act)()

    assert victim.read_bytes() == b"stays"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("sqlite_writable_schema", 1),
        ("sqlite_x; DROP TABLE Cache", 1),
        ("disk_min_file_size", 0),
        ("disk_unknown", 1),
        ("get", 1),
        ("_sql", 1),
        ("eviction_policy", "bogus"),
        ("eviction_policy", "least-recently-used"),
        ("size_limit", 1 << 60),
        ("size_limit", "text"),
        ("count", "text"),
        ("size", b"blob"),
        ("cull_limit", 0),
    ],
)
def test_settings_when_planted_are_not_obeyed(place: Place, kept: tuple[Keys, bytes], name: str, value: object) -> None:
    execute(place, ("INSERT OR REPLACE INTO Settings VALUES (?, ?)", (name, value)))
    keys, data_key = kept
    process = Process(place, place.arn)

    assert process.open(keys) == data_key
    others, other_key = place.new_keys()
    assert process.open(others) == other_key
    database = process.cache._opened.database if process.cache._opened is not None else None
    if database is not None:
        assert (database.eviction_policy, database.cull_limit) == ("least-recently-stored", 10)
        assert database.size_limit == process.cache.stats().max_bytes
    # Whatever was done about it, the cache is one again after a moment.
    assert Process(place, place.arn).open(others) == other_key


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER mine AFTER INSERT ON Cache BEGIN DELETE FROM Cache; END",
        "CREATE VIEW mine AS SELECT 1",
        "CREATE TABLE mine (x)",
        "DROP TABLE Settings",
        "ALTER TABLE Cache RENAME COLUMN value TO other",
        "DROP TABLE Cache",
    ],
)
def test_schema_when_it_is_not_the_caches_is_made_anew(
    place: Place, kept: tuple[Keys, bytes], statement: str, caplog: pytest.LogCaptureFixture
) -> None:
    execute(place, statement)

    opens_by_key_service(place, kept, caplog, logs=statement != "DROP TABLE Cache")
    place.kms.stop()
    assert Process(place, place.arn).open(kept[0]) == kept[1]


def _as_directory(place: Place) -> None:
    place.database.unlink()
    place.database.mkdir()


def _as_link(place: Place) -> None:
    place.database.rename(place.root / "elsewhere.db")
    place.database.symlink_to(place.root / "elsewhere.db")


def _folder_as_link(place: Place) -> None:
    place.folder.rename(place.root / "elsewhere")
    place.folder.symlink_to(place.root / "elsewhere", target_is_directory=True)


def _folder_as_file(place: Place) -> None:
    shutil.rmtree(place.folder)
    place.folder.write_bytes(b"a file")


def _journal_as_link(place: Place) -> None:
    (place.folder / "cache.db-journal").unlink(missing_ok=True)
    (place.folder / "cache.db-journal").symlink_to(place.root / "victim")


def _mode(mode: int, of: Callable[[Place], Path]) -> Callable[[Place], None]:
    return lambda place: of(place).chmod(mode)


_PLANTED: dict[str, Callable[[Place], None]] = {
    "the database is a directory": _as_directory,
    "the database is a link": _as_link,
    "the folder is a link": _folder_as_link,
    "the folder is a file": _folder_as_file,
    "others can write to the folder": _mode(0o777, lambda place: place.folder),
    "the group can write to the folder": _mode(0o770, lambda place: place.folder),
    "others can write to the database": _mode(0o666, lambda place: place.database),
    "the journal is a link": _journal_as_link,
}


@pytest.mark.parametrize("planted", _PLANTED)
def test_folder_when_planted_is_refused_and_left_as_it_is(
    place: Place, kept: tuple[Keys, bytes], planted: str, caplog: pytest.LogCaptureFixture
) -> None:
    _PLANTED[planted](place)
    before = sorted((path.name, path.lstat().st_mode) for path in place.root.rglob("*"))

    opens_by_key_service(place, kept, caplog)

    assert sorted((path.name, path.lstat().st_mode) for path in place.root.rglob("*")) == before


@pytest.mark.parametrize("name", ["", "cache.db"])
def test_folder_when_another_user_owns_it_is_refused(
    place: Place,
    kept: tuple[Keys, bytes],
    name: str,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    give_away(place.folder / name, monkeypatch)

    opens_by_key_service(place, kept, caplog)
    with pytest.raises(CacheError, match="another user"):
        place.cache().stats()
