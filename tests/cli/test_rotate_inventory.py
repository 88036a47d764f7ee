"""`s3envelope rotate --inventory`: objects named by an S3 Inventory."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
from typing import Any
from urllib.parse import quote

import pytest

from s3envelope.cli.app import run
from tests.cli.commands import Place
from tests.cli.test_rotate import contents, fill, keyring, options, summary

NAMES = ("Bucket", "Key", "VersionId", "IsLatest", "IsDeleteMarker", "Size")


# Key, version id, whether it is the latest version, whether it is a delete marker.
Row = tuple[str, str, bool, bool]


def as_csv(place: Place, rows: list[Row]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, quoting=csv.QUOTE_ALL)
    for key, version_id, is_latest, is_marker in rows:
        writer.writerow([place.bucket, quote(key), version_id, str(is_latest).lower(), str(is_marker).lower(), "1"])
    return gzip.compress(text.getvalue().encode())


def as_parquet(place: Place, rows: list[Row]) -> bytes:
    pyarrow = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
    from pyarrow import parquet  # type: ignore[import-not-found,import-untyped,unused-ignore]

    columns = {
        "bucket": [place.bucket for _ in rows],
        "key": [key for key, _, _, _ in rows],
        "version_id": [version or None for _, version, _, _ in rows],
        "is_latest": [latest for _, _, latest, _ in rows],
        "is_delete_marker": [marker for _, _, _, marker in rows],
    }
    file = io.BytesIO()
    parquet.write_table(pyarrow.table(columns), file)
    return file.getvalue()


def publish(place: Place, form: str, *files: bytes, **changes: Any) -> str:
    """Store an inventory and return the location of its manifest."""
    named = []
    for number, content in enumerate(files):
        place.put_plain(f"inventory/{number}", content)
        digest = hashlib.md5(content, usedforsecurity=False).hexdigest()
        named.append({"key": f"inventory/{number}", "size": len(content), "MD5checksum": digest})
    manifest = {
        "sourceBucket": place.bucket,
        "destinationBucket": f"arn:aws:s3:::{place.bucket}",
        "fileFormat": form,
        "fileSchema": ", ".join(NAMES),
        "files": named,
        **changes,
    }
    place.put_plain("inventory/manifest.json", json.dumps(manifest).encode())
    return place.url("inventory/manifest.json")


@pytest.mark.parametrize("form", ["CSV", "Parquet"])
def test_rotate_when_an_inventory_is_given_does_the_current_objects_it_lists(
    place: Place, capfd: pytest.CaptureFixture[str], form: str
) -> None:
    stored = fill(place, 6)
    stored |= fill(place, 1, prefix="p/with space, é+/")
    unlisted = fill(place, 1, prefix="p/unlisted/")
    keys = sorted(stored)
    write = {"CSV": as_csv, "Parquet": as_parquet}[form]
    first = write(
        place,
        [(key, "", True, False) for key in keys[:4]] + [("p/old", "1", False, False), ("p/gone", "2", True, True)],
    )
    second = write(place, [(key, "", True, False) for key in keys[4:]] + [("q/other", "", True, False)])
    manifest = publish(place, form, first, second)
    to = place.kms.create_key()

    code = run(options(place, "--inventory", manifest, "--json", to=to))

    assert code == 0
    assert json.loads(capfd.readouterr().out) == summary(done=7, rewrap=7)
    assert contents(place, keyring(place, to), stored) == stored
    assert contents(place, keyring(place, place.key_arn), unlisted) == unlisted


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sourceBucket": "another"}, "is of the bucket another"),
        ({"fileFormat": "ORC"}, "CSV and Parquet are read"),
        ({"files": None}, "is no manifest"),
        ({"fileSchema": 5}, "is no manifest"),
    ],
)
def test_rotate_when_the_manifest_is_wrong_says_so(
    place: Place, capfd: pytest.CaptureFixture[str], changes: dict[str, Any], message: str
) -> None:
    manifest = publish(place, "CSV", as_csv(place, []), **changes)

    assert run(options(place, "--inventory", manifest, to=place.kms.create_key())) == 2

    assert message in capfd.readouterr().err


def test_rotate_when_a_file_of_the_inventory_was_exchanged_stops(
    place: Place, capfd: pytest.CaptureFixture[str]
) -> None:
    manifest = publish(place, "CSV", as_csv(place, [("p/a", "", True, False)]))
    place.put_plain("inventory/0", as_csv(place, [("p/b", "", True, False)]))

    assert run(options(place, "--inventory", manifest, to=place.kms.create_key())) == 1

    assert "is not the file that the inventory's manifest names" in capfd.readouterr().err
