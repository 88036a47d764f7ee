"""Have Amazon's client for Ruby write objects, read each with ours, and keep them.

    python -m tests.interop.ruby.record [--save]

It needs Ruby and its aws-sdk-s3; see README.md in the folder above. With --save the objects become `objects.json`,
with which the ordinary tests read them without Ruby.
"""

from __future__ import annotations

import base64
import json
import os
import subprocess
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from s3envelope.testing import LocalKms
from tests.interop.recorded import RUBY_FILE, Recording
from tests.interop.recording import fetch, record
from tests.support.endpoints import Endpoint

_SCRIPT = Path(__file__).with_name("write_objects.rb")
# Around the blocks of CBC, and nothing at all.
_SIZES = (0, 1, 15, 16, 17, 100)
_VERSION = 'require "aws-sdk-s3"; print Aws::S3::GEM_VERSION'


def write(endpoint: Endpoint, bucket: str, kms: LocalKms, key_arn: str) -> Recording:
    """Run the Ruby script; return what it wrote."""
    aes_key, rsa_key = _keys()
    settings = {
        "s3_url": endpoint.url,
        "kms_url": kms.endpoint_url,
        "kms_key_arn": key_arn,
        "access_key": endpoint.access_key,
        "secret_key": endpoint.secret_key,
        "bucket": bucket,
        "aes_key": base64.b64encode(aes_key).decode(),
        "rsa_private_key": rsa_key,
        "sizes": _SIZES,
    }
    written: list[dict[str, Any]] = json.loads(ruby([str(_SCRIPT)], json.dumps(settings)))
    version = ruby(["-e", _VERSION])
    objects = tuple(fetch(endpoint, bucket, one) for one in written)
    return Recording(f"aws-sdk-s3 {version} for Ruby", objects, {"aes": aes_key}, rsa_key)


def ruby(arguments: list[str], given: str = "") -> str:
    """Run Ruby; return what it prints."""
    # It warns on stderr that the older client is not to be used any more.
    done = subprocess.run(["ruby", *arguments], input=given, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout


def _keys() -> tuple[bytes, str]:
    """Return those of the recording, so that it changes no more than it must; or new ones."""
    if RUBY_FILE.exists():
        known = Recording.parse(RUBY_FILE.read_text())
        return known.aes_keys["aes"], known.rsa_private_key
    private = rsa.generate_private_key(65537, 2048)
    return os.urandom(32), private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


if __name__ == "__main__":
    record("tests.interop.ruby.record", write, RUBY_FILE)
