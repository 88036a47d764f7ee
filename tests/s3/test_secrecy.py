"""What logs and errors tell: neither plaintext nor data keys, whatever the level."""

import base64
import io
import logging
from collections.abc import Iterator, Sequence

import boto3
import pytest
from boto3.s3.transfer import TransferConfig

from s3envelope import DataKey, EncryptedDataKey, EncryptionContext, KmsKeyring, SecretBytes
from s3envelope.errors import SourceChangedError
from s3envelope.testing.local_kms import LocalKms
from s3envelope.testing.s3_proxy import ErrorAnswer, matching
from s3envelope.testing.streams import ChangingSource
from tests.conftest import ProxyFactory
from tests.support.endpoints import Endpoint
from tests.support.enveloped import CANARY, MIB, ClientFactory, NewBucket, keeping_nothing, plaintext_of
from tests.support.uploading import Uploading


class Eavesdropper:
    """A keyring that remembers the data keys of another one."""

    def __init__(self, keyring: KmsKeyring) -> None:
        self._keyring = keyring
        self.data_keys: set[bytes] = set()

    @property
    def key_ids(self) -> frozenset[str]:
        return self._keyring.key_ids

    @property
    def encrypted_data_key_sizes(self) -> tuple[int, ...]:
        return self._keyring.encrypted_data_key_sizes

    def generate_data_key(self, context: EncryptionContext) -> DataKey:
        made = self._keyring.generate_data_key(context)
        self.data_keys.add(bytes(made.plaintext.view()))
        return made

    def encrypt_data_key(self, plaintext: SecretBytes, context: EncryptionContext) -> EncryptedDataKey:
        return self._keyring.encrypt_data_key(plaintext, context)

    def decrypt_data_keys(
        self, keys: Sequence[EncryptedDataKey], context: EncryptionContext
    ) -> Iterator[tuple[EncryptedDataKey, SecretBytes]]:
        for entry, plaintext in self._keyring.decrypt_data_keys(keys, context):
            self.data_keys.add(bytes(plaintext.view()))
            yield entry, plaintext

    def reencrypt_data_key(
        self, key: EncryptedDataKey, context: EncryptionContext, *, source_key_arn: str
    ) -> EncryptedDataKey:
        return self._keyring.reencrypt_data_key(key, context, source_key_arn=source_key_arn)


class _Everything(logging.Handler):
    """Keep every record with its arguments and traceback, as text."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []
        self.setFormatter(logging.Formatter("%(name)s %(message)s"))

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record) + repr(record.args))


@pytest.fixture
def log(monkeypatch: pytest.MonkeyPatch) -> Iterator[_Everything]:
    """Log everything of every library at DEBUG."""
    handler, root = _Everything(), logging.getLogger()
    level = root.level
    root.addHandler(handler)
    root.setLevel(logging.DEBUG)
    monkeypatch.setattr("botocore.endpoint.time.sleep", lambda _: None)
    yield handler
    root.removeHandler(handler)
    root.setLevel(level)


def _spellings(secret: bytes) -> list[str]:
    """Return how a secret may stand in a log; of base64 the characters that depend on it alone."""
    encoded = [
        base64.b64encode(bytes(shift) + secret).decode()[-(-8 * shift // 6) : 8 * (shift + len(secret)) // 6]
        for shift in range(3)
    ]
    urlsafe = [text.replace("+", "-").replace("/", "_") for text in encoded]
    text = repr(secret)[2:-1]
    return [secret.hex(), secret.hex().upper(), text, repr(bytearray(secret))[12:-2], *encoded, *urlsafe]


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_debug_log_when_everything_is_logged_then_has_neither_plaintext_nor_data_key(
    request: pytest.FixtureRequest,
    moto_s3: Endpoint,
    new_bucket: NewBucket,
    sealed: ClientFactory,
    keyring: KmsKeyring,
    log: _Everything,
    scheme: str,
) -> None:
    make: ProxyFactory = request.getfixturevalue(f"{scheme}_proxy")
    proxy, endpoint = make(moto_s3)
    spy = Eavesdropper(keyring)
    envelope = {"keyring": spy, "cache_limits": None}
    client = sealed(endpoint, envelope=envelope, retries={"mode": "standard", "total_max_attempts": 3})
    bucket, sink = new_bucket(moto_s3), io.BytesIO()
    proxy.inject(ErrorAnswer(500, "InternalError"), matching(method="PUT"), times=1)

    client.put_object(Bucket=bucket, Key="a", Body=CANARY)
    client.put_object(Bucket=bucket, Key="b", Body=io.BytesIO(CANARY), ChecksumAlgorithm="SHA256")
    client.upload_fileobj(io.BytesIO(plaintext_of(9 * MIB)), bucket, "c", Config=TransferConfig())
    assert client.get_object(Bucket=bucket, Key="a")["Body"].read() == CANARY
    assert client.get_object(Bucket=bucket, Key="a", Range="bytes=3-")["Body"].read() == CANARY[3:]
    client.download_fileobj(bucket, "c", sink)
    client.copy_object(Bucket=bucket, Key="d", CopySource={"Bucket": bucket, "Key": "a"})
    upload = Uploading(client, bucket, "e")
    upload.part(1, CANARY)
    upload.complete()
    client.list_objects_v2(Bucket=bucket)
    with pytest.raises(client.exceptions.NoSuchKey):
        client.get_object(Bucket=bucket, Key="none")
    text = "\n".join(log.lines)

    # It is a log: the requests are in it.
    assert "botocore.endpoint" in text
    assert "GenerateDataKey" in text
    assert len(spy.data_keys) == 5
    found = [spelling for secret in (CANARY, *spy.data_keys) for spelling in _spellings(secret) if spelling in text]
    assert found == []


def test_stream_logger_of_boto3_when_set_for_everything_prints_neither_plaintext_nor_data_key(
    moto_s3: Endpoint,
    new_bucket: NewBucket,
    sealed: ClientFactory,
    keyring: KmsKeyring,
    capsys: pytest.CaptureFixture[str],
) -> None:
    spy, root = Eavesdropper(keyring), logging.getLogger()
    client, bucket = sealed(moto_s3, envelope={"keyring": spy, "cache_limits": None}), new_bucket(moto_s3)
    level, handlers = root.level, list(root.handlers)

    boto3.set_stream_logger("")
    try:
        client.put_object(Bucket=bucket, Key="k", Body=CANARY)
        assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == CANARY
    finally:
        root.setLevel(level)
        root.handlers[:] = handlers
    printed = capsys.readouterr()
    text = printed.out + printed.err

    assert "botocore.endpoint" in text
    assert spy.data_keys
    assert [
        spelling for secret in (CANARY, *spy.data_keys) for spelling in _spellings(secret) if spelling in text
    ] == []


def test_detector_when_a_plain_kms_client_logs_then_finds_the_data_key(
    kms: LocalKms, key_arn: str, log: _Everything
) -> None:
    plaintext = kms.client().generate_data_key(KeyId=key_arn, KeySpec="AES_256")["Plaintext"]

    text = "\n".join(log.lines)

    assert any(spelling in text for spelling in _spellings(plaintext))


def test_errors_when_shown_then_have_no_plaintext(
    moto_s3: Endpoint, new_bucket: NewBucket, sealed: ClientFactory, log: _Everything
) -> None:
    client, bucket = keeping_nothing(sealed(moto_s3)), new_bucket(moto_s3)
    body = ChangingSource(CANARY * 100, offset=5)

    with pytest.raises(SourceChangedError) as raised:
        client.put_object(Bucket=bucket, Key="k", Body=body)  # type: ignore[arg-type]

    shown = f"{raised.value!r} {raised.value} {raised.value.__cause__!r}" + "\n".join(log.lines)
    assert not [spelling for spelling in _spellings(CANARY) if spelling in shown]


def test_objects_when_shown_then_have_no_data_key(
    moto_s3: Endpoint, new_bucket: NewBucket, sealed: ClientFactory, keyring: KmsKeyring
) -> None:
    spy = Eavesdropper(keyring)
    client = sealed(moto_s3, envelope={"keyring": spy})
    client.put_object(Bucket=new_bucket(moto_s3), Key="k", Body=CANARY)
    (data_key,) = spy.data_keys

    made = spy.generate_data_key(EncryptionContext())
    shown = f"{client!r} {made!r} {made.plaintext!r} {keyring!r} {vars(client)!r}"

    assert not [spelling for spelling in _spellings(data_key) if spelling in shown]
    assert not [spelling for key in spy.data_keys for spelling in _spellings(key) if spelling in shown]
