"""The step without a key service: what was read before is read again."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from s3envelope.caches.disk import DiskCache
from s3envelope.caches.key_sources import CacheKeyFile
from s3envelope.caches.limits import CacheLimits
from s3envelope.cli.demonstration.sample import read_at
from s3envelope.cli.demonstration.scene import CONTEXT, Scene, check, make_config
from s3envelope.errors import KeyServiceUnavailableError, S3EnvelopeError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_RANGE = 1000
# So that every read asks the key service first.
_LIMITS = CacheLimits(fresh_for_seconds=0)


def read_offline(scene: Scene) -> str:
    """Read an object while the key service is away, in what could be another program with the same cache."""
    with_cache = make_config(scene.key_service, CONTEXT, cache=_cache(scene), limits=_LIMITS)
    _read(scene, scene.storage.make_enveloped(with_cache))
    before = scene.key_service.count_calls()
    other_program = make_config(scene.key_service, CONTEXT, cache=_cache(scene), limits=_LIMITS)
    reader = scene.storage.make_enveloped(other_program)
    stranger = scene.storage.make_enveloped(make_config(scene.key_service, CONTEXT, cache=None))
    with scene.key_service.away(), _log() as lines:
        first, second = _read(scene, reader), _read(scene, reader)
        refused = _error_of(scene, stranger)
        envelope = reader.describe_envelope(Bucket=scene.bucket, Key=scene.key)  # type: ignore[attr-defined]
    calls = scene.key_service.count_calls() - before
    scene.show(
        ("the key service", "away"),
        ("first read", f"{first * 1000:.0f} ms, after trying to reach it"),
        ("second read", f"{second * 1000:.0f} ms"),
        ("logged", lines[-1] if lines else "nothing"),
        ("KMS calls answered meanwhile", str(sum(calls.values()))),
        ("without the cache", type(refused).__name__),
    )
    check(sum(calls.values()) == 0, f"{calls.total()} calls were answered by a key service that is away")
    check(any("read offline" in line for line in lines), "nothing was logged")
    check(envelope.data_key is not None and envelope.data_key.served_offline, "the client does not say it was offline")
    check(isinstance(refused, KeyServiceUnavailableError), "without the cache the object was read all the same")
    return "what was read before can be read while KMS is away, also by another program of this user"


@contextmanager
def _log() -> Iterator[list[str]]:
    """Yield the warnings of the cache while a block runs, which go nowhere else meanwhile."""
    lines: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("s3envelope.cache")
    propagated, logger.propagate = logger.propagate, False
    logger.addHandler(handler)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)
        logger.propagate = propagated


def _cache(scene: Scene) -> DiskCache:
    return DiskCache(scene.folder / "cache", key=CacheKeyFile(scene.folder / "cache.key"))


def _read(scene: Scene, client: S3Client) -> float:
    """Read the first bytes of the object, compare them, and return the seconds that it took."""
    started = time.monotonic()
    answer = client.get_object(Bucket=scene.bucket, Key=scene.key, Range=f"bytes=0-{_RANGE - 1}")
    content = answer["Body"].read()
    seconds = time.monotonic() - started
    check(content == read_at(scene.sample.path, 0, _RANGE), "what came back is not the file")
    return seconds


def _error_of(scene: Scene, client: S3Client) -> S3EnvelopeError | None:
    try:
        _read(scene, client)
    except S3EnvelopeError as error:
        return error
    return None
