"""What lies in buckets, as the entries of a filesystem."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from botocore.exceptions import ClientError

from s3envelope.core.layout import plaintext_size
from s3envelope.errors import EnvelopeError, TruncatedObjectError
from s3envelope.fs.connection import Connection
from s3envelope.fs.locations import Location, s3_errors

Entry = dict[str, Any]
_MOST_REQUESTS = 8
_NOT_FOUND = 404
_KEPT = ("ETag", "LastModified", "StorageClass", "VersionId", "ContentType", "ContentEncoding", "Metadata")


def directory(name: str) -> Entry:
    """Return the entry of a directory or bucket."""
    return {"name": name, "size": 0, "type": "directory"}


def entry_of_head(name: str, answer: Mapping[str, Any]) -> Entry:
    """Return the entry of an object from the answer to its HEAD, whose size is the plaintext's."""
    known = {field: answer[field] for field in _KEPT if field in answer}
    return {"name": name, "size": int(answer["ContentLength"]), "type": "file", **known}


def buckets(client: Any) -> list[Entry]:
    """Return the buckets."""
    with s3_errors(""):
        pages = client.get_paginator("list_buckets").paginate()
        found = [bucket for page in pages for bucket in page.get("Buckets", [])]
    return [{**directory(bucket["Name"]), "CreationDate": bucket.get("CreationDate")} for bucket in found]


def keys_below(client: Any, location: Location) -> Iterator[str]:
    """Yield every key below a location, those of directory markers too."""
    with s3_errors(f"{location.bucket}/{location.key}"):
        pages = client.get_paginator("list_objects_v2").paginate(Bucket=location.bucket, Prefix=location.prefix)
        for page in pages:
            yield from (item["Key"] for item in page.get("Contents", []))


def entries_below(connection: Connection, location: Location, *, deep: bool, with_sizes: bool) -> Iterator[Entry]:
    """Yield what is below a location.

    Args:
        deep: Whether at every depth; else directories are entries.
        with_sizes: Whether sizes are needed; else they are `None`.
    """
    client, bucket = connection.client, location.bucket
    arguments: dict[str, Any] = {"Bucket": bucket, "Prefix": location.prefix}
    if not deep:
        arguments["Delimiter"] = "/"
    with s3_errors(f"{bucket}/{location.key}"):
        for page in client.get_paginator("list_objects_v2").paginate(**arguments):
            for shared in page.get("CommonPrefixes", []):
                yield directory(f"{bucket}/{shared['Prefix']}".rstrip("/"))
            files = []
            for item in page.get("Contents", []):
                if not item["Key"].endswith("/"):
                    files.append(_entry(bucket, item))
                elif item["Key"] != location.prefix:
                    yield directory(f"{bucket}/{item['Key']}".rstrip("/"))
            yield from sized(connection, files) if with_sizes else ({**entry, "size": None} for entry in files)


def _entry(bucket: str, item: Mapping[str, Any]) -> Entry:
    known = {field: item[field] for field in _KEPT if field in item}
    return {"name": f"{bucket}/{item['Key']}", "size": int(item["Size"]), "type": "file", **known}


def sized(connection: Connection, entries: list[Entry]) -> Iterable[Entry]:
    """Give the entries of a listing the sizes of their plaintext, as the configuration says.

    Objects that are gone since they were listed are left out; those without envelope keep the size they have.
    """
    if connection.list_sizes == "exact" and entries:
        client = connection.client
        with ThreadPoolExecutor(min(_MOST_REQUESTS, len(entries))) as executor:
            asked = list(executor.map(lambda entry: _asked(client, entry), entries))
        return [entry for entry in asked if entry is not None]
    if connection.list_sizes == "plaintext":
        return [{**entry, "size": _computed(entry["size"])} for entry in entries]
    return entries


def _asked(client: Any, entry: Entry) -> Entry | None:
    location = Location.of(entry["name"])
    version = {"VersionId": entry["VersionId"]} if entry.get("VersionId") else {}
    try:
        answer = client.head_object(**location.parameters(), **version)
    except EnvelopeError:
        return entry
    except ClientError as error:
        if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == _NOT_FOUND:
            return None
        raise
    return {**entry, **entry_of_head(entry["name"], answer)}


def _computed(stored_size: int) -> int:
    try:
        return plaintext_size(stored_size)
    except TruncatedObjectError:
        # No object of the plain layout has this size: it is what S3 says that it is.
        return stored_size


def versions(connection: Connection, path: str, location: Location) -> list[Entry]:
    """Return every version of an object, the newest first."""
    found: list[Entry] = []
    with s3_errors(path):
        pages = connection.client.get_paginator("list_object_versions").paginate(
            Bucket=location.bucket, Prefix=location.key
        )
        for page in pages:
            for item in page.get("Versions", []):
                if item["Key"] == location.key:
                    found.append({**_entry(location.bucket, item), "IsLatest": item["IsLatest"]})
        return list(sized(connection, found))
