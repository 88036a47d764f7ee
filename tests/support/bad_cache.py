"""What the tests of bad cache folders share: a look into the database, and the proof that the key service helps out."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest

from s3envelope.core.ports import EncryptedDataKey
from tests.support.caching import Place, Process

Keys = tuple[EncryptedDataKey, ...]


def opens_by_key_service(
    place: Place, kept: tuple[Keys, bytes], caplog: pytest.LogCaptureFixture, *, logs: bool = True
) -> None:
    """Check that a new process opens the object, that it asks the key service for that, and that it says why."""
    keys, data_key = kept
    place.kms.clear_calls()
    caplog.clear()
    process = Process(place, place.arn)

    assert process.open(keys) == data_key
    assert place.kms.count("Decrypt") == 1
    lines = [record.getMessage() for record in caplog.records if record.name == "s3envelope.cache"]
    assert bool(lines) == logs, lines
    assert not any(data_key.hex() in line for line in lines)
    # And it goes on like this: memory serves.
    assert process.open(keys) == data_key
    assert place.kms.count("Decrypt") == 1


def rows_of(place: Place) -> list[tuple[int, bytes, bytes]]:
    with contextlib.closing(sqlite3.connect(place.database)) as connection:
        return connection.execute("SELECT rowid, key, value FROM Cache").fetchall()


def execute(place: Place, *statements: str | tuple[str, tuple[object, ...]]) -> None:
    with contextlib.closing(sqlite3.connect(place.database)) as connection, connection:
        for statement in statements:
            connection.execute(*((statement, ()) if isinstance(statement, str) else statement))
