"""Objects to migrate, and what became of them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence

import pytest

from tests.cli.commands import Place
from tests.support.enveloped import plaintext_of
from tests.support.s3ec_objects import KmsWrap, S3ecObject, v2_object, v3_object

CONTEXT = {"tenant": "acme"}


def options(place: Place, *others: str) -> list[str]:
    """Return the command line that migrates a prefix."""
    return ["migrate", f"s3://{place.bucket}/p/", *place.options, *others]


def put(place: Place, key: str, made: S3ecObject) -> None:
    """Store an object of an Amazon client."""
    client = place.endpoint.client()
    made.put(client, place.bucket, key)
    client.close()


def put_mixed(place: Place, sizes: Sequence[int]) -> dict[str, bytes]:
    """Store an object of each size in four forms; return what they hold."""
    wrap, stored = KmsWrap(place.kms.client(), place.key_arn), {}
    client = place.endpoint.client()
    for size in sizes:
        for name, make in (("v2", v2_object), ("v3", v3_object)):
            content = plaintext_of(size)
            made = make(content, wrap)
            made.put(client, place.bucket, f"p/{name}-{size}")
            stored[f"p/{name}-{size}"] = content
            if size == sizes[0]:
                made.with_instruction_file().put(client, place.bucket, f"p/{name}-{size}-with-file")
                stored[f"p/{name}-{size}-with-file"] = content
    client.close()
    return stored


def snapshot(place: Place, keys: Iterable[str] | None = None) -> dict[str, tuple[bytes, dict[str, str]]]:
    """Return all that the server holds, or what it holds under some keys."""
    return {key: place.stored(key) for key in (place.keys() if keys is None else keys)}


def contents(place: Place, keys: Iterable[str]) -> dict[str, bytes]:
    """Return what objects hold, read as SE1 and as nothing else."""
    client = place.sealing_client()
    found = {key: client.get_object(Bucket=place.bucket, Key=key)["Body"].read() for key in keys}
    client.close()
    return found


def is_se1(place: Place, key: str) -> bool:
    """Tell whether an object has an envelope of this library and none of another one."""
    names = place.stored(key)[1]
    return any(name.startswith("se1-") for name in names) and not any(name.startswith("x-amz-") for name in names)


def summary(capfd: pytest.CaptureFixture[str]) -> dict[str, int]:
    """Return the counts that are not 0 of a printed summary."""
    counts: dict[str, int] = json.loads(capfd.readouterr().out)
    return {name: count for name, count in counts.items() if count}
