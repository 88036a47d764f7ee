"""Write V2 objects with our client in every form, and have Amazon's client for Ruby read them.

    python -m tests.interop.ruby.check_ours

It needs Ruby and its aws-sdk-s3; see README.md in the folder above. It is the check of raw AES and RSA keys, of which
Amazon's client for Python knows nothing.
"""

from __future__ import annotations

import base64
import hashlib
import io
import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

import s3envelope
from s3envelope import KmsKeyring, RawAesKeyring, RawRsaKeyring
from s3envelope.formats.names import S3EC_V2
from s3envelope.testing import LocalKms
from tests.interop.recorded import RUBY_FILE, Recording
from tests.interop.recording import seal_environment
from tests.interop.ruby.record import ruby
from tests.support import servers
from tests.support.endpoints import Endpoint
from tests.support.enveloped import MIB, plaintext_of

_SCRIPT = Path(__file__).with_name("read_objects.rb")
_BUCKET = "written-by-ours"
_SIZES = (0, 1, 15, 16, 17, 9 * MIB)
_CONTEXT = {"tenant": "acme"}


def write(endpoint: Endpoint, keyrings: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Write an object in each form; yield what the Ruby script needs to know of it."""
    for (wrap, keyring), with_file in itertools.product(keyrings.items(), (False, True)):
        context = _CONTEXT if wrap == "kms" else {}
        client = s3envelope.client(
            "s3",
            s3ec_keyring=keyring,
            keyring=RawAesKeyring(bytes(32), "unused"),
            write_format=S3EC_V2,
            encryption_context=context or None,
            instruction_file=with_file,
            **endpoint.client_arguments(),
        )
        for size in _SIZES:
            key = f"{wrap}-{with_file}-{size}"
            client.upload_fileobj(io.BytesIO(plaintext_of(size)), _BUCKET, key)
            yield {"key": key, "wrap": wrap, "context": context, "instruction_file": with_file, "size": size}
        client.close()


def main() -> None:
    """Write, and let read."""
    seal_environment()
    recording = Recording.parse(RUBY_FILE.read_text())
    private = load_pem_private_key(recording.rsa_private_key.encode(), None)
    assert isinstance(private, RSAPrivateKey)
    with servers.seaweedfs() as endpoint, LocalKms() as kms:
        key_arn, plain = kms.create_key(), endpoint.client()
        plain.create_bucket(Bucket=_BUCKET)
        plain.close()
        keyrings = {
            "aes": RawAesKeyring(recording.aes_keys["aes"], "ruby"),
            "rsa": RawRsaKeyring(public_key=private.public_key()),
            "kms": KmsKeyring(key_arn, kms.client()),
        }
        objects = list(write(endpoint, keyrings))
        settings = {
            "s3_url": endpoint.url,
            "kms_url": kms.endpoint_url,
            "kms_key_arn": key_arn,
            "access_key": endpoint.access_key,
            "secret_key": endpoint.secret_key,
            "bucket": _BUCKET,
            "aes_key": base64.b64encode(recording.aes_keys["aes"]).decode(),
            "rsa_private_key": recording.rsa_private_key,
            "objects": objects,
        }
        found = json.loads(ruby([str(_SCRIPT)], json.dumps(settings)))
    for one in objects:
        if found[one["key"]] != hashlib.sha256(plaintext_of(one["size"])).hexdigest():
            raise AssertionError(f"{one['key']} was read wrongly")
        print(f"{one['key']}: as written")


if __name__ == "__main__":
    main()
