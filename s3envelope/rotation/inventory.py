"""S3 Inventory instead of a listing: the manifest names files that name the objects.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/storage-inventory-location.html
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import IO, Any
from urllib.parse import unquote

from s3envelope.errors import ConfigurationError, RotationError
from s3envelope.rotation.run import Location

_PIECE_SIZE = 1 << 20
_BATCH_SIZE = 10_000
_PARQUET_NAMES = {
    "key": "Key",
    "version_id": "VersionId",
    "is_latest": "IsLatest",
    "is_delete_marker": "IsDeleteMarker",
}


def inventory_locations(
    client: Any, bucket: str, key: str, *, source: str, prefix: str, versions: bool = False
) -> Iterator[Location]:
    """Yield the current objects that an inventory lists.

    Args:
        client: A plain S3 client: inventories are not encrypted on the client.
        bucket, key: Of the file `manifest.json`.
        source: The bucket that the inventory must be of.
        prefix: Only keys that begin with it.
        versions: Also yield old versions, which the inventory must list.

    Raises:
        ConfigurationError: It is no manifest, of another bucket, or of a format that is not read.
        RotationError: A file of the inventory is not the one that the manifest names.
    """
    manifest = _manifest(client, bucket, key)
    if manifest["sourceBucket"] != source:
        raise ConfigurationError(f"the inventory is of the bucket {manifest['sourceBucket']}, not of {source}")
    read = {"CSV": _csv_rows, "Parquet": _parquet_rows}.get(manifest["fileFormat"])
    if read is None:
        raise ConfigurationError(f"the inventory has the format {manifest['fileFormat']}; CSV and Parquet are read")
    names = _names(manifest["fileSchema"])
    if versions and not {"VersionId", "IsLatest"} <= set(names):
        raise ConfigurationError("the inventory lists current objects only; make one that includes all versions")
    files_bucket = str(manifest["destinationBucket"]).rpartition(":::")[2]
    for entry in manifest["files"]:
        with _downloaded(client, files_bucket, entry) as file:
            for row in read(file, names):
                if not row["Key"].startswith(prefix) or _is_true(row, "IsDeleteMarker", "false"):
                    continue
                if _is_true(row, "IsLatest", "true"):
                    yield Location(source, row["Key"])
                elif versions:
                    # Objects from before versioning have an empty id in CSV.
                    yield Location(source, row["Key"], row.get("VersionId") or "null")


def _manifest(client: Any, bucket: str, key: str) -> dict[str, Any]:
    with closing(client.get_object(Bucket=bucket, Key=key)["Body"]) as body:
        content = body.read()
    try:
        manifest: dict[str, Any] = json.loads(content)
        for name in ("sourceBucket", "destinationBucket", "fileFormat", "fileSchema"):
            if not isinstance(manifest[name], str):
                raise TypeError
        names = manifest["fileSchema"]
        if not all(isinstance(entry["key"], str) for entry in manifest["files"]) or "key" not in names.lower():
            raise TypeError
    except (ValueError, KeyError, TypeError):
        raise ConfigurationError(
            f"s3://{bucket}/{key} is no manifest of S3 Inventory; name its manifest.json"
        ) from None
    return manifest


@contextmanager
def _downloaded(client: Any, bucket: str, entry: dict[str, Any]) -> Iterator[IO[bytes]]:
    """Yield a temporary file with the content of an inventory file, checked against the manifest."""
    digest = hashlib.md5(usedforsecurity=False)
    with tempfile.TemporaryFile() as file:
        with closing(client.get_object(Bucket=bucket, Key=entry["key"])["Body"]) as body:
            for piece in body.iter_chunks(_PIECE_SIZE):
                digest.update(piece)
                file.write(piece)
        expected = entry.get("MD5checksum")
        if expected is not None and digest.hexdigest() != expected.lower():
            raise RotationError(f"s3://{bucket}/{entry['key']} is not the file that the inventory's manifest names")
        file.seek(0)
        yield file


def _csv_rows(file: IO[bytes], names: list[str]) -> Iterator[dict[str, str]]:
    with gzip.open(file) as content, io.TextIOWrapper(content, encoding="utf-8", newline="") as text:
        for row in csv.reader(text):
            fields = dict(zip(names, row, strict=False))
            # Keys are URL-encoded in CSV, and only there.
            yield {**fields, "Key": unquote(fields["Key"])}


def _parquet_rows(file: IO[bytes], _: list[str]) -> Iterator[dict[str, str]]:
    try:
        from pyarrow import parquet  # type: ignore[import-not-found,import-untyped,unused-ignore]
    except ImportError:
        raise ConfigurationError(
            "an inventory in Parquet needs the extra [inventory]: pip install 's3envelope[inventory]'"
        ) from None
    for batch in parquet.ParquetFile(file).iter_batches(batch_size=_BATCH_SIZE):
        for row in batch.to_pylist():
            yield {_PARQUET_NAMES[name]: str(row[name]) for name in _PARQUET_NAMES if row.get(name) is not None}


def _is_true(row: dict[str, str], name: str, default: str) -> bool:
    return row.get(name, default).lower() == "true"


def _names(schema: str) -> list[str]:
    """Return the columns: of the list that CSV has, or of the declaration of Parquet, by the names that CSV has."""
    if "{" not in schema:
        return [name.strip() for name in schema.split(",")]
    words = re.findall(r"\w+", schema)
    return [name for column, name in _PARQUET_NAMES.items() if column in words]
