"""Folders of files for the tests of transfers, and what is in them."""

from __future__ import annotations

import json
import os
from contextlib import closing
from pathlib import Path

from tests.cli.commands import Place

NAMES = ("a.txt", "b/c.bin", "b/d/empty", "b/d/e f+ü.log")


def make_tree(root: Path, names: tuple[str, ...] = NAMES) -> dict[str, bytes]:
    """Make files of some bytes each, one of them empty; return their contents by name."""
    contents = {name: b"" if name.endswith("empty") else os.urandom(300) for name in names}
    for name, content in contents.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return contents


def tree(root: Path) -> dict[str, bytes]:
    """Return the contents of all files below a folder, by name."""
    return {path.relative_to(root).as_posix(): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def put_tree(place: Place, prefix: str, contents: dict[str, bytes]) -> None:
    """Store objects with the library."""
    with closing(place.sealing_client()) as client:
        for name, content in contents.items():
            client.put_object(Bucket=place.bucket, Key=prefix + name, Body=content)


def objects(place: Place, prefix: str = "") -> dict[str, bytes]:
    """Return the plaintext of all objects below a prefix, by what follows it."""
    with closing(place.sealing_client()) as client:
        listed = client.list_objects_v2(Bucket=place.bucket, Prefix=prefix).get("Contents", [])
        return {
            entry["Key"][len(prefix) :]: client.get_object(Bucket=place.bucket, Key=entry["Key"])["Body"].read()
            for entry in listed
        }


def unfinished(place: Place) -> list[str]:
    """Return the keys of the multipart uploads that S3 keeps."""
    with closing(place.endpoint.client()) as client:
        return [upload["Key"] for upload in client.list_multipart_uploads(Bucket=place.bucket).get("Uploads", [])]


def json_lines(text: str) -> tuple[list[dict[str, object]], dict[str, int]]:
    """Return what a command with --json said of the files, and its summary."""
    lines = [json.loads(line) for line in text.splitlines()]
    (summary,) = [line["summary"] for line in lines if "summary" in line]
    return lines[:-1], summary
