"""Steps about keys over time."""

from __future__ import annotations

import hashlib
from typing import Any

from s3envelope.cli.demonstration.sample import MIB, read_at
from s3envelope.cli.demonstration.scene import CONTEXT, Scene, check
from s3envelope.core.envelope import is_envelope_name
from s3envelope.errors import NoMatchingKeyError
from s3envelope.keyrings.raw_aes import RawAesKeyring
from s3envelope.s3.config import EnvelopeConfig

_SHOWN_LENGTH = 28


def rotate(scene: Scene) -> str:
    """Give an object another key, and see that its body was not touched."""
    key = f"{scene.prefix}rotated.bin"
    # No stub knows what this client has beside boto3's.
    writer: Any = scene.writer
    content = read_at(scene.sample.path, 0, min(MIB, scene.sample.size))
    writer.put_object(Bucket=scene.bucket, Key=key, Body=content)
    before = _stored(scene, key)
    second = RawAesKeyring.from_file(scene.folder / "second.key")

    writer.rewrap_object(Bucket=scene.bucket, Key=key, to=second)

    after = _stored(scene, key)
    scene.show(
        *((name, f"{_short(before[0][name])}  ->  {_short(after[0][name])}") for name in before[0]),
        ("SHA-256 of the body", f"{before[1][:16]}...  ->  {after[1][:16]}..."),
    )
    check(before[1] == after[1], "the stored body changed")
    check(before[0]["se1-h"] != after[0]["se1-h"], "the header is the old one")
    reader = scene.storage.make_enveloped(EnvelopeConfig(keyring=second, encryption_context=CONTEXT))
    got = reader.get_object(Bucket=scene.bucket, Key=key)["Body"].read()
    check(got == content, "the new key opens something else")
    refusal = None
    try:
        writer.get_object(Bucket=scene.bucket, Key=key)
    except NoMatchingKeyError as error:
        refusal = error
    check(refusal is not None, "the old key still opens the object")
    return "another key opens the object now, and the old one does not; not a byte of its body moved"


def _stored(scene: Scene, key: str) -> tuple[dict[str, str], str]:
    answer = scene.plain.get_object(Bucket=scene.bucket, Key=key)
    envelope = {name: value for name, value in sorted(answer["Metadata"].items()) if is_envelope_name(name)}
    return envelope, hashlib.sha256(answer["Body"].read()).hexdigest()


def _short(value: str) -> str:
    # Its beginning holds the commitment to the body, which stays.
    return f"...{value[-_SHOWN_LENGTH:]}"
