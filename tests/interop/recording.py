"""What the scripts share that have others write objects."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from s3envelope.testing import LocalKms
from tests.interop.recorded import INSTRUCTION_SUFFIX, KMS_SEED, Recording, StoredObject
from tests.support import servers
from tests.support.endpoints import Endpoint

_BUCKET = "written-by-others"
Write = Callable[[Endpoint, str, LocalKms, str], Recording]


def fetch(endpoint: Endpoint, bucket: str, written: Mapping[str, Any]) -> StoredObject:
    """Return an object as the server holds it, with its instruction file where `place` says that it has one."""
    fields = dict(written)
    client = endpoint.client()
    answer = client.get_object(Bucket=bucket, Key=fields["key"])
    body, file = answer["Body"].read(), None
    if fields.pop("place") == "instruction_file":
        file = client.get_object(Bucket=bucket, Key=fields["key"] + INSTRUCTION_SUFFIX)["Body"].read()
    client.close()
    return StoredObject(**fields, body=body, metadata=answer["Metadata"], instruction_file=file)


def seal_environment() -> None:
    """Let nothing reach a real account, and keep no key."""
    own = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}
    os.environ.update(own, AWS_EC2_METADATA_DISABLED="true", S3ENVELOPE_CACHE="off")


def record(program: str, write: Write, file: Path) -> None:
    """Write with `write`, read each object with our client, and save them if the command line asks for it."""
    # Imported here, so that the objects can be recorded without what reads them.
    from tests.interop.reading import Reader

    parser = argparse.ArgumentParser(prog=program, description="Have others write objects, and read them.")
    parser.add_argument("--save", action="store_true", help=f"keep them in {file.name}")
    options = parser.parse_args()
    seal_environment()
    with servers.seaweedfs() as endpoint, LocalKms(seed=KMS_SEED) as kms:
        key_arn, client = kms.create_key(), endpoint.client()
        client.create_bucket(Bucket=_BUCKET)
        client.close()
        recording = write(endpoint, _BUCKET, kms, key_arn)
        reader = Reader(recording, endpoint, _BUCKET, kms, key_arn)
        for one in recording.objects:
            reader.store(one)
            if reader.read(one) != one.content:
                raise AssertionError(f"{one.key} was read wrongly")
            print(f"{one.key}: {one.size} bytes, as written")
        reader.close()
    if options.save:
        recording.save(file)
