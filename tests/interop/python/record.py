"""Have Amazon's client for Python write objects, read each with ours, and keep them.

    python -m tests.interop.python.record [--save]

It needs the extra [interop]; see README.md in the folder above. With --save the objects become `objects.json`, with
which the ordinary tests read them without that client.
"""

from __future__ import annotations

from importlib.metadata import version

from s3envelope.formats.names import S3EC_V2, S3EC_V3
from s3envelope.testing import LocalKms
from tests.interop.amazon_python import WAYS, AmazonClient
from tests.interop.recorded import PYTHON_FILE, Recording, StoredObject
from tests.interop.recording import fetch, record
from tests.support.endpoints import Endpoint

_SIZES = (0, 1, 15, 16, 17, 100)
_CONTEXTS: dict[str, dict[str, str]] = {"bare": {}, "context": {"tenant": "acme"}}
_PACKAGE = "amazon-s3-encryption-client-python"


def write(endpoint: Endpoint, bucket: str, kms: LocalKms, key_arn: str) -> Recording:
    """Write with the official client; return what it wrote."""
    objects: list[StoredObject] = []
    for name in (S3EC_V2, S3EC_V3):
        client, short = AmazonClient.of(endpoint, kms, key_arn, bucket, name), name[-2:]
        for way in WAYS:
            for label, context in _CONTEXTS.items():
                for size in _SIZES if way == WAYS[0] else _SIZES[-1:]:
                    key = f"{short}-kms-{label}-{way}-{size}"
                    client.write(key, b"x" * size, context or None, way)
                    written = {"key": key, "version": short, "wrap": "kms", "size": size, "context": context}
                    objects.append(fetch(endpoint, bucket, {**written, "place": "metadata"}))
        client.close()
    return Recording(f"{_PACKAGE} {version(_PACKAGE)}", tuple(objects))


if __name__ == "__main__":
    record("tests.interop.python.record", write, PYTHON_FILE)
