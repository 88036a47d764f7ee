"""A round of everything that handles keys, with everything logged at DEBUG. The whole suite can run so too.

`python -m pytest -p tests.support.log_secrecy` runs each test in this way; see there.
"""

from __future__ import annotations

import base64
import datetime
import io
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig

import s3envelope
from s3envelope import (
    AuditTrail,
    CacheKeyFile,
    CacheLimits,
    DiskCache,
    EncryptionContext,
    KmsKeyring,
    LoggingAuditSink,
    MultiKeyring,
    RawAesKeyring,
    SecretBytes,
)
from s3envelope.errors import DecryptionError, KeyAccessError, S3EnvelopeError
from s3envelope.testing.local_kms import LocalKms
from tests.support.endpoints import Endpoint
from tests.support.enveloped import CANARY, MIB, ClientFactory, NewBucket, plaintext_of
from tests.support.log_secrecy import LogWatch, Secrets, watching
from tests.support.uploading import PART, Uploading, read

SECRET = bytes.fromhex("fbefbefffe00112233445566778899aabbccddeeff0a0d27225c7f80fbefbeff")


@pytest.fixture
def watch() -> Iterator[LogWatch]:
    """Watch the log."""
    with watching() as made:
        yield made


@pytest.mark.parametrize(
    "spelled",
    [
        repr,
        lambda secret: repr(bytearray(secret)),
        lambda secret: repr({"body": b"ab" + secret}),
        bytes.hex,
        lambda secret: secret.hex().upper(),
        lambda secret: base64.b64encode(secret).decode(),
        lambda secret: base64.b64encode(b"a" + secret).decode(),
        lambda secret: base64.urlsafe_b64encode(b"ab" + secret).decode(),
        lambda secret: str(list(secret)),
        lambda secret: secret.decode("latin-1"),
        lambda secret: f"x{secret.hex()[:12]}x",
    ],
)
def test_detector_when_a_secret_is_spelled_in_any_way_finds_it(spelled: Callable[[bytes], str]) -> None:
    secrets = Secrets()
    secrets.add(SECRET)

    assert secrets.found_in(f"line with {spelled(SECRET)} in it")
    assert not secrets.found_in(f"line with {spelled(bytes(reversed(SECRET)))} in it")


@pytest.mark.logs_secrets
def test_detector_when_anybody_logs_a_secret_finds_it_in_message_arguments_extra_and_traceback(watch: LogWatch) -> None:
    logger, secret = logging.getLogger("s3envelope.tests"), SecretBytes(SECRET)
    logger.debug("nothing: %r", secret)
    assert watch.leaks() == []

    logger.debug("message: %s", SECRET.hex())
    logger.debug("%.5s", SECRET)
    logger.debug("extra", extra={"found": SECRET})
    try:
        raise ValueError(SECRET)
    except ValueError:
        logger.debug("traceback", exc_info=True)

    found = watch.leaks()
    assert len([line for line in found if "message: " in line]) == 2
    assert any("'%.5s'" in line for line in found)
    assert any("found" in line for line in found)
    assert any("traceback\nTraceback" in line for line in found)


@pytest.mark.logs_secrets
def test_detector_when_a_plain_kms_client_logs_finds_the_data_key(watch: LogWatch, kms: LocalKms, key_arn: str) -> None:
    answer = kms.client().generate_data_key(KeyId=key_arn, KeySpec="AES_256")
    assert watch.leaks() == []

    SecretBytes(answer["Plaintext"])

    assert any("botocore.parsers" in line for line in watch.leaks())


def test_log_when_kms_spells_its_answer_in_another_way_has_no_data_key(
    watch: LogWatch, kms: LocalKms, key_arn: str
) -> None:
    client = kms.client()

    def spell(response_dict: dict[str, Any], **_: object) -> None:
        # As encoders do that escape every slash, and a letter of the name.
        body = response_dict["body"].replace(b"/", b"\\/")
        response_dict["body"] = body.replace(b'"Plaintext"', b'"Plain\\u0074ext"')

    client.meta.events.register_first("before-parse.kms.GenerateDataKey", spell)

    with KmsKeyring(key_arn, client).generate_data_key(EncryptionContext()).plaintext as made:
        assert len(made) == 32

    assert watch.leaks() == []
    assert "bytes>" in watch.text


def test_log_when_every_kind_of_key_was_used_has_no_secret(
    watch: LogWatch,
    moto_s3: Endpoint,
    new_bucket: NewBucket,
    sealed: ClientFactory,
    kms: LocalKms,
    tmp_path: Path,
) -> None:
    first, second = (KmsKeyring(kms.create_key(), kms.client()) for _ in range(2))
    cache = DiskCache(tmp_path / "keys", key=CacheKeyFile(tmp_path / "cache.key"))
    common = {"cache": cache, "cache_limits": CacheLimits(max_objects=1), "audit": AuditTrail(LoggingAuditSink())}
    client: Any = sealed(
        moto_s3, envelope={**common, "keyring": MultiKeyring(first, second), "audit_policy": "best-effort"}
    )
    bucket = new_bucket(moto_s3)

    # put, get, multipart, transfers
    client.put_object(Bucket=bucket, Key="a", Body=CANARY, EncryptionContext={"tenant": "acme"})
    client.put_object(Bucket=bucket, Key="b", Body=io.BytesIO(CANARY), ChecksumAlgorithm="SHA256")
    client.upload_fileobj(io.BytesIO(plaintext_of(9 * MIB)), bucket, "c", Config=TransferConfig())
    client.download_fileobj(bucket, "c", io.BytesIO())
    upload = Uploading(client, bucket, "d")
    upload.part(1, plaintext_of(PART))
    upload.part(2, CANARY)
    state = client.export_upload(**upload.names)
    sealed(moto_s3, envelope={"keyring": first, "state_dir": None}).import_upload(**upload.names, State=state)  # type: ignore[attr-defined]
    upload.complete()
    assert read(client, bucket, "a", Range="bytes=3-") == CANARY[3:]
    resource = s3envelope.resource("s3", keyring=first, **moto_s3.client_arguments())
    resource.Object(bucket, "r").put(Body=CANARY)
    assert resource.Object(bucket, "r").get()["Body"].read() == CANARY
    resource.meta.client.close()
    # copies, rewraps, rotation
    client.copy_object(Bucket=bucket, Key="e", CopySource={"Bucket": bucket, "Key": "a"})
    client.copy({"Bucket": bucket, "Key": "c"}, bucket, "f")
    client.rewrap_object(Bucket=bucket, Key="a", to=second)
    rotating = {"keyring": s3envelope.SuccessionKeyring(second, first), "rotate_on_read": datetime.timedelta(days=1)}
    rotated = sealed(moto_s3, envelope={**common, **rotating})
    assert read(rotated, bucket, "e") == CANARY
    rotated.close()
    # other keyrings and formats
    local = RawAesKeyring(bytes(range(100, 132)), "local")
    for write_format, keyring in (("se1", local), ("s3ec-v3", first), ("s3ec-v2", first)):
        envelope = {"keyring": keyring, "write_format": write_format, "read_formats": ("se1", "s3ec-v3", "s3ec-v2")}
        other = sealed(moto_s3, envelope=envelope)
        other.put_object(Bucket=bucket, Key=write_format, Body=CANARY)
        assert read(other, bucket, write_format) == CANARY
    # failures
    stale = sealed(moto_s3, envelope={**common, "cache_limits": CacheLimits(fresh_for_seconds=0), "keyring": first})
    assert read(stale, bucket, "d", Range="bytes=0-9") == plaintext_of(10)
    with kms.faults.refuse_connections():
        assert read(stale, bucket, "d", Range="bytes=0-9") == plaintext_of(10)
    kms.faults.fail("GenerateDataKey", "AccessDeniedException")
    with pytest.raises(KeyAccessError):
        client.put_object(Bucket=bucket, Key="g", Body=CANARY)
    with pytest.raises(DecryptionError):
        read(client, bucket, "a", EncryptionContext={"tenant": "other"})
    with pytest.raises(S3EnvelopeError):
        read(sealed(moto_s3, envelope={"keyring": local}), bucket, "a")

    assert watch.leaks() == []
    # It is a log, and there was something to find.
    text = watch.text
    for name in ("botocore.parsers", "botocore.endpoint", "urllib3.connectionpool", "s3transfer", "s3envelope.kms"):
        assert f"{name}" in text, name
    assert "s3envelope.audit.events" in text
    assert "boto3.resources.action" in text
    assert len(watch.secrets) > 30
