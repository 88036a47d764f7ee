"""Enveloped clients of the test servers, and the plaintext of the tests."""

import functools
from collections.abc import Callable
from typing import Any, Protocol

from mypy_boto3_s3 import S3Client

import s3envelope
from s3envelope import Keyring
from s3envelope.engine.kept import KeptPool
from s3envelope.testing.streams import PatternStream
from tests.support.endpoints import Endpoint

KIB = 1024
MIB = 1024 * KIB
SEGMENT_SIZE = 64 * KIB
# Every byte of it changes in base64, also between the alphabets.
CANARY = b"CANARY-" + bytes([0xFB, 0xEF, 0xBE, 0xFF, 0xFE]) + b"-0123456789"
_CANARY_INTERVAL = 4 * KIB

NewBucket = Callable[[Endpoint], str]


class ClientFactory(Protocol):
    """Make an enveloped client of an endpoint."""

    def __call__(self, endpoint: Endpoint, *, envelope: dict[str, Any] | None = None, **config: Any) -> S3Client:
        """Return the client.

        Args:
            envelope: Fields of `EnvelopeConfig`, over the default: a key of the local KMS.
            config: Fields of botocore's `Config`, as for `Endpoint.client`.
        """


def enveloped_client(
    endpoint: Endpoint, keyring: Keyring, *, envelope: dict[str, Any] | None = None, **config: Any
) -> S3Client:
    """Return an enveloped client; see `ClientFactory`."""
    fields = {"keyring": keyring, **(envelope or {})}
    made: S3Client = s3envelope.client("s3", **fields, **endpoint.client_arguments(**config))
    return made


@functools.lru_cache(maxsize=1)
def _all_plaintext() -> memoryview:
    stream = PatternStream(64 * MIB, canary=CANARY, canary_interval=_CANARY_INTERVAL, canary_offset=100)
    return memoryview(stream.read())


def plaintext_of(size: int) -> bytes:
    """Return plaintext of a size, 64 MiB at most, with a canary every 4 KiB; smaller ones are prefixes of larger."""
    return bytes(_all_plaintext()[:size])


def keeping_nothing(client: S3Client) -> S3Client:
    """Let a client read its sources in every pass, as it does with bodies that are too large to be kept sealed."""
    seam: Any = client._s3envelope  # type: ignore[attr-defined]
    seam.kept = KeptPool(0)
    return client
