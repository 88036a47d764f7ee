"""Scenarios: what programs written for boto3 do, run once with a plain client and once with an enveloped one."""

from __future__ import annotations

import base64
import copy
import hashlib
import io
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from s3envelope.testing.s3_proxy.records import RecordedRequest
from tests.conftest import SERVER_NAMES
from tests.s3.matrix.terms import Terms, at, differences, replaced
from tests.support.enveloped import KIB, MIB, SEGMENT_SIZE, plaintext_of

SCHEMES = ("http", "https")
SIZE = 3 * SEGMENT_SIZE + 3000
BODY = plaintext_of(SIZE)
SMALL = plaintext_of(3 * KIB)
PART = 5 * MIB
# The least that a multipart upload of two parts can have.
BIG = plaintext_of(PART + 70_000)


class Side:
    """One client with a place of its own: what a scenario is given.

    Args:
        resource: The client is that of the resource.
        bucket, versioned_bucket: Shared with other scenarios; the second has versions where the server can.
        prefix: Of all keys of this scenario.
        folder: For files.
        names: What differs between the sides, and what to call it.
    """

    def __init__(
        self, resource: Any, bucket: str, versioned_bucket: str, *, prefix: str, folder: Path, names: Mapping[str, str]
    ) -> None:
        self.resource = resource
        self.client: Any = resource.meta.client
        self.bucket = bucket
        self.versioned_bucket = versioned_bucket
        self.prefix = prefix
        self.folder = folder
        self.terms = Terms({**names, str(folder): "<folder>"})

    def key(self, name: str = "k") -> str:
        return self.prefix + name

    def source(self, name: str = "k", **more: str) -> dict[str, str]:
        """Return a `CopySource`."""
        return {"Bucket": self.bucket, "Key": self.key(name), **more}

    def object(self, name: str = "k") -> Any:
        return self.resource.Object(self.bucket, self.key(name))

    def call(self, operation: str, **arguments: Any) -> Any:
        """Make a call in this side's place: with its bucket, and its prefix before `Key` and `Prefix`."""
        model = self.client.meta.service_model
        members = model.operation_model(self.client.meta.method_to_api_mapping[operation]).input_shape.members
        given = dict(arguments)
        if "Bucket" in members:
            given.setdefault("Bucket", self.bucket)
        for name, default in (("Key", "k"), ("Prefix", "")):
            if name in members:
                given[name] = self.key(given.get(name, default))
        return getattr(self.client, operation)(**given)

    def put(self, name: str = "k", body: Any = BODY, **arguments: Any) -> Any:
        return self.call("put_object", Key=name, Body=body, **arguments)

    def read(self, name: str = "k", **arguments: Any) -> bytes:
        body: bytes = self.call("get_object", Key=name, **arguments)["Body"].read()
        return body

    def show(self, operation: str, **arguments: Any) -> Any:
        """Make a call and return what a program gets, be it an error."""
        return self.terms.of(lambda: self.call(operation, **arguments))

    def tell(self, act: Callable[[], Any]) -> Any:
        """Do something and return what a program gets, be it an error."""
        return self.terms.of(act)

    def file(self, content: bytes = BODY, name: str = "source") -> str:
        path = self.folder / name
        path.write_bytes(content)
        return str(path)

    def stream(self, content: bytes = BODY) -> io.BytesIO:
        return io.BytesIO(content)


@dataclass(frozen=True, slots=True)
class Differs:
    """A difference that is meant: where, why, and what the enveloped client gives there.

    Args:
        reason: Why it is meant.
        ours: What is there, by the path into the outcome; "" is all of it. A function says that it is what the plain
            client gives to another program.
        on, over: The servers and schemes on which it shows.
    """

    reason: str
    ours: Mapping[str, Any]
    on: tuple[str, ...] = SERVER_NAMES
    over: tuple[str, ...] = SCHEMES


@dataclass(frozen=True, slots=True)
class Defect:
    """A difference that is not meant: the scenario is expected to fail until it is gone.

    Args:
        reason: What is wrong.
        on, over: The servers and schemes on which it shows.
    """

    reason: str
    on: tuple[str, ...] = SERVER_NAMES
    over: tuple[str, ...] = SCHEMES


@dataclass(frozen=True, slots=True)
class Scenario:
    """What a program does, and where the enveloped client gives something else."""

    name: str
    run: Callable[[Side], Any] = field(repr=False)
    differs: tuple[Differs | Defect, ...] = ()

    def declared(self, server: str, scheme: str, plain: Side) -> dict[str, Any]:
        """Return the differences that must show in one place, by path."""
        found: dict[str, Any] = {}
        for difference in self.differs:
            if isinstance(difference, Differs) and server in difference.on and scheme in difference.over:
                found.update(difference.ours)
        return {path: _made(ours, plain) for path, ours in found.items()}

    def defect(self, server: str, scheme: str) -> str | None:
        """Return what is known to be wrong in one place."""
        found = [known for known in self.differs if isinstance(known, Defect)]
        return next((known.reason for known in found if server in known.on and scheme in known.over), None)


def _made(ours: Any, plain: Side) -> Any:
    return plain.tell(lambda: ours(plain)) if callable(ours) else ours


def refused(reason: str, error: str, *paths: str, on: tuple[str, ...] = SERVER_NAMES) -> Differs:
    """Return the difference of an operation that the library refuses.

    Args:
        error: Class and beginning of the error.
        paths: Where; by default it is all of the outcome.
    """
    return Differs(reason, dict.fromkeys(paths or ("",), error), on=on)


def scenario(*differs: Differs | Defect) -> Callable[[Callable[[Side], Any]], Scenario]:
    """Make a scenario of a function."""
    return lambda run: Scenario(run.__name__.strip("_"), run, differs)


def each(
    cases: Mapping[str, Any], differs: Mapping[str, tuple[Differs, ...] | Differs] | None = None
) -> Callable[[Callable[[Side, Any], Any]], tuple[Scenario, ...]]:
    """Make a scenario of a function for each of several cases, whose names are part of the scenarios' names."""

    def make(run: Callable[[Side, Any], Any]) -> tuple[Scenario, ...]:
        unknown = set(differs or {}) - set(cases)
        assert not unknown, unknown
        return tuple(
            Scenario(f"{run.__name__}_{name}", _with(run, case), _as_tuple((differs or {}).get(name, ())))
            for name, case in cases.items()
        )

    return make


def _with(run: Callable[[Side, Any], Any], case: Any) -> Callable[[Side], Any]:
    return lambda side: run(side, case)


def _as_tuple(differs: tuple[Differs, ...] | Differs) -> tuple[Differs, ...]:
    return differs if isinstance(differs, tuple) else (differs,)


def collected(*modules: ModuleType) -> dict[str, Scenario]:
    """Return the scenarios of modules, by their full names."""
    found: dict[str, Scenario] = {}
    for module in modules:
        theme = module.__name__.rpartition(".")[2].removesuffix("_scenarios")
        for made in _scenarios_of(module):
            name = f"{theme}.{made.name}"
            assert name not in found, name
            found[name] = made
    return found


def _scenarios_of(module: ModuleType) -> Iterator[Scenario]:
    for value in vars(module).values():
        if isinstance(value, Scenario):
            yield value
        elif isinstance(value, tuple):
            yield from (item for item in value if isinstance(item, Scenario))


def check(ours: Any, theirs: Any, declared: Mapping[str, Any]) -> None:
    """Compare two outcomes: ours must be theirs but for what is declared, and what is declared must differ."""
    expected = copy.deepcopy(theirs)
    for path, value in declared.items():
        expected = replaced(expected, path, value)
    found = differences(ours, expected)
    idle = [
        path
        for path in declared
        if not differences(expected, replaced(copy.deepcopy(expected), path, at(theirs, path)))
    ]
    assert not found, f"(ours, what it must be): {found}"
    assert not idle, f"declared, but the same on both sides: {idle}"


def digests_in_heads(requests: Iterable[RecordedRequest]) -> list[str]:
    """Return which digests of the plaintext of the scenarios stand in lines and headers of requests.

    A digest tells whoever knows the plaintext, or a good guess of it, that this is it.
    """
    heads = ["\n".join([request.target, *(value for _, value in request.headers)]) for request in requests]
    return [name for name, digest in _DIGESTS.items() if any(digest in head for head in heads)]


def _digests(name: str, plaintext: bytes) -> Iterator[tuple[str, str]]:
    for algorithm in ("md5", "sha1", "sha256"):
        digest = hashlib.new(algorithm, plaintext, usedforsecurity=False)
        yield f"{algorithm} of {name} in hex", digest.hexdigest()
        yield f"{algorithm} of {name} in base64", base64.b64encode(digest.digest()).decode("ascii")


_DIGESTS = dict([*_digests("BODY", BODY), *_digests("SMALL", SMALL), *_digests("BIG", BIG)])
