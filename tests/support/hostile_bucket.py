"""A bucket whose storage is the adversary: what it holds is edited behind the client's back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

from mypy_boto3_s3 import S3Client

from s3envelope.testing.s3_proxy import Answer, AnswerEditor, Matcher, S3Proxy
from s3envelope.testing.s3_proxy.records import RecordedRequest
from tests.support.objects import StoredObject


@dataclass(frozen=True, slots=True)
class Stored:
    """What the storage holds under one key."""

    body: bytes
    metadata: Mapping[str, str]

    def with_metadata(self, **changes: str | None) -> Stored:
        """Return it with entries set or, by None, removed; `se1_h` is `se1-h`."""
        merged = {**self.metadata, **{name.replace("_", "-"): value for name, value in changes.items()}}
        return replace(self, metadata={name: value for name, value in merged.items() if value is not None})


@dataclass(frozen=True, slots=True)
class Reading:
    """What came out of a read before the error that ended it, if one did."""

    released: bytes
    error: Exception | None


@dataclass(frozen=True, slots=True)
class HostileBucket:
    """A bucket, an enveloped client that reaches it through a proxy, and the adversary's own access."""

    name: str
    client: S3Client
    plain: S3Client
    proxy: S3Proxy

    def put(self, key: str, plaintext: bytes, **parameters: Any) -> Stored:
        """Store plaintext through the client; return what the storage has."""
        self.client.put_object(Bucket=self.name, Key=key, Body=plaintext, **parameters)
        return self.stored(key)

    def stored(self, key: str) -> Stored:
        """Return what the storage has."""
        answer = self.plain.get_object(Bucket=self.name, Key=key)
        return Stored(answer["Body"].read(), answer["Metadata"])

    def replace(self, key: str, stored: Stored | StoredObject) -> None:
        """Put something into the place of an object."""
        self.plain.put_object(Bucket=self.name, Key=key, Body=stored.body, Metadata=dict(stored.metadata))

    def read(self, key: str, *, client: S3Client | None = None, **parameters: Any) -> Reading:
        """Get an object in small steps; a second read after an error must raise it again."""
        released = bytearray()
        try:
            body = (client or self.client).get_object(Bucket=self.name, Key=key, **parameters)["Body"]
        except Exception as error:  # noqa: BLE001  # the test looks at it
            return Reading(b"", error)
        try:
            while piece := body.read(4000):
                released += piece
        except Exception as error:  # noqa: BLE001
            repeated = _error_of(body)
            return Reading(bytes(released), error if repeated is error else repeated)
        return Reading(bytes(released), None)

    def matcher(self, key: str, method: str = "GET") -> Matcher:
        """Match the requests for one object."""

        def matches(request: RecordedRequest) -> bool:
            return request.method == method and request.path == f"/{self.name}/{key}"

        return matches


def _error_of(body: Any) -> Exception | None:
    try:
        body.read(1)
    except Exception as error:  # noqa: BLE001
        return error
    return None


def flipped(content: bytes, position: int) -> bytes:
    """Return the bytes with one bit changed."""
    edited = bytearray(content)
    edited[position] ^= 1
    return bytes(edited)


def character_changes(value: str, step: int) -> Iterator[str]:
    """Yield the value with every `step`-th character, and the last, replaced by another of its alphabet."""
    for position in {*range(0, len(value), step), len(value) - 1}:
        other = "A" if value[position] != "A" else "B"
        yield value[:position] + other + value[position + 1 :]


def as_partial(body: bytes, start: int, total: int) -> AnswerEditor:
    """Answer with a range of one's own choice."""

    def edit(answer: Answer) -> Answer:
        content_range = f"bytes {start}-{start + len(body) - 1}/{total}"
        return replace(answer.with_header("Content-Range", content_range), status=206, body=body)

    return edit
