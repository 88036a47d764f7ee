"""Which keys objects depend on, read from their metadata; the names of keys, where they are known."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from s3envelope.cli.locations import S3Location
from s3envelope.cli.options import Connection
from s3envelope.core.envelope import Envelope
from s3envelope.core.hints import key_hint
from s3envelope.errors import EnvelopeError, NotEncryptedError
from s3envelope.formats.s3ec.metadata import is_s3ec_metadata
from s3envelope.keyrings.kms import check_key_id, region_of
from s3envelope.rotation.run import Location, in_flight, list_locations, list_versions

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_GONE = frozenset({"404", "NoSuchKey", "NoSuchVersion"})


@dataclass(frozen=True, slots=True)
class SeenObject:
    """What the metadata of one object, or of an old version of one, says."""

    location: Location
    envelope: Envelope | None
    answer: dict[str, Any]
    is_understood: bool = True

    @property
    def hints(self) -> list[str]:
        """The hints of its keys, 8 hexadecimal digits each."""
        keys = () if self.envelope is None else self.envelope.encrypted_data_keys
        return sorted({key.hint.hex() for key in keys})

    @property
    def url(self) -> str:
        """Where it is, for people."""
        version = self.location.version_id
        suffix = "" if version is None else f"?versionId={version}"
        return f"s3://{self.location.bucket}/{self.location.key}{suffix}"


@dataclass(frozen=True, slots=True)
class KeyName:
    """A key that has a name here, and where it is."""

    key: str
    region: str | None


KeyNames = dict[str, list[KeyName]]


def resolved(connection: Connection, key_id: str) -> tuple[str, str | None]:
    """Return the id or ARN of a key, with what is behind an alias, and its Region."""
    session = connection.session()
    if "alias/" in check_key_id(key_id):
        with closing(connection.kms(session, key_id)) as client:
            key_id = client.describe_key(KeyId=key_id)["KeyMetadata"]["Arn"]
    return key_id, region_of(key_id) or session.region_name


def hint_of(key_id: str) -> str:
    """Return the hint of a key in 8 hexadecimal digits, as objects have it."""
    return key_hint(key_id).hex()


def named_keys(connection: Connection, key_ids: Sequence[str]) -> KeyNames:
    """Return the keys by their hints."""
    names: KeyNames = {}
    for given in dict.fromkeys(key_ids):
        key_id, region = resolved(connection, given)
        names.setdefault(hint_of(key_id), []).append(KeyName(given, region))
    return names


def search_keys(connection: Connection, regions: Sequence[str], names: KeyNames) -> None:
    """Add the keys of Regions, where they are not named already."""
    for region in dict.fromkeys(regions):
        with closing(connection.session().client("kms", region, endpoint_url=connection.kms_endpoint_url)) as client:
            for page in client.get_paginator("list_keys").paginate():
                for entry in page["Keys"]:
                    known = names.setdefault(hint_of(entry["KeyArn"]), [])
                    if all(name.region != region for name in known):
                        known.append(KeyName(entry["KeyArn"], region))


def look_at(client: S3Client, where: Location) -> SeenObject | None:
    """Return what HEAD says of an object; `None` if it is gone.

    Args:
        client: A plain one: no key is used.
    """
    version = {} if where.version_id is None else {"VersionId": where.version_id}
    parameters: dict[str, Any] = {"Bucket": where.bucket, "Key": where.key, **version}
    try:
        answer: dict[str, Any] = dict(client.head_object(**parameters))
    except ClientError as error:
        if error.response["Error"].get("Code") in _GONE:
            return None
        raise
    try:
        return SeenObject(where, Envelope.parse(answer["Metadata"]), answer)
    except NotEncryptedError:
        # Which key an object of an Amazon client needs, its metadata does not tell.
        is_understood = not is_s3ec_metadata(answer["Metadata"]) and not answer.get("MissingMeta")
        return SeenObject(where, None, answer, is_understood)
    except EnvelopeError:
        return SeenObject(where, None, answer, is_understood=False)


def seen_objects(client: S3Client, wanted: S3Location, workers: int, *, versions: bool) -> Iterator[SeenObject]:
    """Yield what HEAD says of every object under a prefix, and with `versions` of every old version."""
    locations = (list_versions if versions else list_locations)(client, wanted.bucket, wanted.key)
    with ThreadPoolExecutor(workers) as executor:
        for _, future in in_flight(locations, functools.partial(look_at, client), executor, workers):
            seen = future.result()
            if seen is not None:
                yield seen
