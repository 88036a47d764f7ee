"""Every negative vector is refused with its class, and no more plaintext is released than it allows."""

from __future__ import annotations

from typing import Any

import pytest

from s3envelope import errors
from s3envelope.core.context import EncryptionContext
from s3envelope.core.envelope import Envelope
from s3envelope.engine.opening import ReadPolicy
from tests.support.vector_objects import (
    MemoryStorage,
    Vector,
    load,
    open_range,
    opener_for,
    plaintext_of,
    vector_keyring,
)
from tests.vectors.test_positive import body_of, header_of

BASES = {vector["name"]: vector for vector in load("se1_positive.json")}
NEGATIVE = [pytest.param(vector, id=vector["name"]) for vector in load("se1_negative.json")]


def edited_body(genuine: bytes, edit: dict[str, Any]) -> bytes:
    """Apply the edits of a body, in the order that the vectors define."""
    body = genuine
    if "pieces" in edit:
        body = b"".join(genuine[start:end] for start, end in edit["pieces"])
    if "cut" in edit:
        body = body[: edit["cut"]]
    if "replace" in edit:
        offset, piece = edit["replace"][0], bytes.fromhex(edit["replace"][1])
        body = body[:offset] + piece + body[offset + len(piece) :]
    if "flip" in edit:
        offset = edit["flip"]
        body = body[:offset] + bytes([body[offset] ^ 1]) + body[offset + 1 :]
    return body + bytes.fromhex(edit.get("append", ""))


def edited_metadata(genuine: dict[str, str], edit: dict[str, str | None]) -> dict[str, str]:
    """Set and remove names, by their exact spelling."""
    merged = {**genuine, **edit}
    return {name: value for name, value in merged.items() if value is not None}


def policy_of(vector: Vector) -> ReadPolicy:
    policy = vector.get("policy") or {}
    return ReadPolicy(
        EncryptionContext(policy.get("expected_context", {})), require_bound=policy.get("require_bound", False)
    )


@pytest.mark.parametrize("vector", NEGATIVE)
def test_edited_object_when_read_is_refused_and_releases_no_more_than_allowed(vector: Vector) -> None:
    base, edit = BASES[vector["base"]], vector["edit"]
    plaintext, (_, body_key) = plaintext_of(base), header_of(base)
    storage = MemoryStorage(
        edited_metadata(base["metadata"], edit.get("metadata", {})),
        edited_body(body_of(base, plaintext, body_key), edit.get("body", {})),
    )
    keyring = vector_keyring(base, edit.get("keys"))
    opener = opener_for(keyring, storage, edit.get("key", base["key"]), policy_of(vector))
    header = (vector["read"] or {}).get("range")
    first = int(header.removeprefix("bytes=").partition("-")[0] or 0) if header else 0
    released = bytearray()

    def read() -> None:
        opened = open_range(opener, storage, header)
        assert opened.stream is not None
        while piece := opened.stream.read(1000):
            released.extend(piece)

    with pytest.raises(errors.S3EnvelopeError) as caught:
        read()

    assert type(caught.value) is getattr(errors, vector["error"])
    assert len(released) <= vector["released"]
    assert bytes(released) == plaintext[first : first + len(released)]


@pytest.mark.parametrize("vector", [param for param in NEGATIVE if param.values[0]["stage"] == "parse"])  # type: ignore[index]
def test_metadata_when_it_cannot_be_understood_is_refused_without_a_key(vector: Vector) -> None:
    base = BASES[vector["base"]]

    with pytest.raises(getattr(errors, vector["error"])):
        Envelope.parse(edited_metadata(base["metadata"], vector["edit"].get("metadata", {})))


@pytest.mark.parametrize("vector", [param for param in NEGATIVE if param.values[0]["stage"] == "read"])  # type: ignore[index]
def test_stream_when_it_has_failed_raises_the_same_error_on_every_read(vector: Vector) -> None:
    base, edit = BASES[vector["base"]], vector["edit"]
    plaintext, (_, body_key) = plaintext_of(base), header_of(base)
    storage = MemoryStorage(
        edited_metadata(base["metadata"], edit.get("metadata", {})),
        edited_body(body_of(base, plaintext, body_key), edit.get("body", {})),
    )
    opener = opener_for(vector_keyring(base, edit.get("keys")), storage, base["key"])
    opened = open_range(opener, storage, (vector["read"] or {}).get("range"))
    assert opened.stream is not None

    raised = []
    for _ in range(3):
        with pytest.raises(errors.DecryptionError) as caught:
            opened.stream.read()
        raised.append(caught.value)

    assert raised[0] is raised[1] is raised[2]
