"""Wrong settings and arguments: refused with a class of ours, and no request is made for them."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ParamValidationError
from mypy_boto3_s3 import S3Client

import s3envelope
from s3envelope import EnvelopeConfig, KmsKeyring
from s3envelope.errors import (
    ConfigurationError,
    KeyAccessError,
    KeyServiceUnavailableError,
    MetadataTooLargeError,
    S3EnvelopeError,
    UnsupportedOperationError,
)
from s3envelope.testing.local_kms import LocalKms
from s3envelope.testing.s3_proxy import S3Proxy
from tests.conftest import ProxyFactory
from tests.support.endpoints import Endpoint
from tests.support.enveloped import MIB, ClientFactory, NewBucket

Act = Callable[[S3Client, str], object]


@pytest.fixture
def watched(
    moto_s3: Endpoint, http_proxy: ProxyFactory, new_bucket: NewBucket, sealed: ClientFactory, kms: LocalKms
) -> tuple[S3Client, S3Proxy, str]:
    """Return a client, the proxy that sees its requests, and a bucket."""
    proxy, endpoint = http_proxy(moto_s3)
    return sealed(endpoint), proxy, new_bucket(moto_s3)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"kms_key_id": ""},
        {"kms_key_id": "not a key"},
        {"kms_key_id": "alias/"},
        {"kms_key_id": "arn:aws:s3:::bucket"},
        {"kms_key_id": 5},
        {"keyring": object()},
        {"kms_key_id": "alias/a", "encryption_context": {"a": "\u00e9"}},
        {"kms_key_id": "alias/a", "encryption_context": {"a": 5}},
        {"kms_key_id": "alias/a", "encryption_context": {5: "a"}},
        {"kms_key_id": "alias/a", "encryption_context": {"s3envelope": "SE1"}},
        {"kms_key_id": "alias/a", "part_size": 5 * MIB + 1},
        {"kms_key_id": "alias/a", "part_size": 65_536},
        {"kms_key_id": "alias/a", "unencrypted": "ignore"},
        {"kms_key_id": "alias/a", "list_sizes": "guess"},
        {"kms_key_id": "alias/a", "metadata_limit": 0},
        {"kms_key_id": "alias/a", "unseekable_limit": -1},
        {"kms_key_id": "alias/a", "bind_key_name": "yes"},
        {"envelope": object()},
    ],
)
def test_client_when_a_setting_is_illegal_then_refused_before_it_exists(fields: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError):
        s3envelope.client("s3", **fields)
    with pytest.raises(ConfigurationError):
        s3envelope.Session(**fields)
    if "envelope" not in fields:
        with pytest.raises(ConfigurationError):
            EnvelopeConfig(**fields)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("KMS_KEY_ID", "not a key"),
        ("CONTEXT", "{"),
        ("CONTEXT", "[]"),
        ("CONTEXT", '{"a": 1}'),
        ("BIND_KEY_NAME", "perhaps"),
        ("UNENCRYPTED", "yes"),
        ("PART_SIZE", "big"),
        ("PART_SIZE", "5242881"),
        ("METADATA_LIMIT", "x"),
    ],
)
def test_client_when_the_environment_is_illegal_then_refused(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv("S3ENVELOPE_KMS_KEY_ID", "alias/a")
    monkeypatch.setenv(f"S3ENVELOPE_{name}", value)

    with pytest.raises(ConfigurationError):
        s3envelope.client("s3")


def _put(**arguments: Any) -> Act:
    return lambda client, bucket: client.put_object(Bucket=bucket, Key="k", Body=b"body", **arguments)


def _upload(**arguments: Any) -> Act:
    return lambda client, bucket: client.upload_fileobj(io.BytesIO(b"body"), bucket, "k", **arguments)


def _create(**arguments: Any) -> Act:
    return lambda client, bucket: client.create_multipart_upload(Bucket=bucket, Key="k", **arguments)


REFUSED_WRITES: dict[str, tuple[Act, type[Exception]]] = {
    "context not ASCII": (_put(EncryptionContext={"a": "\u00e9"}), ConfigurationError),
    "context not a string": (_put(EncryptionContext={"a": 1}), ConfigurationError),
    "context reserved": (_put(EncryptionContext={"s3envelope": "SE1"}), ConfigurationError),
    "metadata reserved": (_put(Metadata={"se1-h": "x"}), ConfigurationError),
    "metadata reserved in capitals": (_put(Metadata={"SE2-Anything": "x"}), ConfigurationError),
    "metadata twice": (_put(Metadata={"a": "1", "A": "2"}), ConfigurationError),
    "metadata too large": (_put(Metadata={"a": "x" * 2048}), MetadataTooLargeError),
    "metadata not ASCII": (_put(Metadata={"a": "\u00e9"}), ParamValidationError),
    "unknown parameter": (_put(Colour="red"), ParamValidationError),
    "upload: context": (_upload(ExtraArgs={"EncryptionContext": {"a": "\u00e9"}}), ConfigurationError),
    "upload: metadata": (_upload(ExtraArgs={"Metadata": {"se1-k": "x"}}), ConfigurationError),
    "upload: metadata size": (_upload(ExtraArgs={"Metadata": {"a": "x" * 2048}}), MetadataTooLargeError),
    "upload: part size": (_upload(ExtraArgs={"PartSize": 5 * MIB + 1}), ConfigurationError),
    "upload: argument": (_upload(ExtraArgs={"Colour": "red"}), ValueError),
    "upload: crt": (_upload(Config=TransferConfig(preferred_transfer_client="crt")), UnsupportedOperationError),
    "create: part size": (_create(PartSize=5 * MIB + 1), ConfigurationError),
    "create: small parts": (_create(PartSize=65_536), ConfigurationError),
    "create: context": (_create(PartSize=5 * MIB, EncryptionContext={"a": 1}), ConfigurationError),
    "create: metadata": (_create(PartSize=5 * MIB, Metadata={"se1-x": "x"}), ConfigurationError),
    "create: full checksum": (_create(PartSize=5 * MIB, ChecksumType="FULL_OBJECT"), UnsupportedOperationError),
}


@pytest.mark.parametrize("name", REFUSED_WRITES)
def test_write_when_an_argument_is_illegal_then_refused_and_no_request_is_made(
    watched: tuple[S3Client, S3Proxy, str], kms: LocalKms, name: str
) -> None:
    client, proxy, bucket = watched
    act, expected = REFUSED_WRITES[name]

    with pytest.raises(expected):
        act(client, bucket)

    assert (proxy.requests, kms.calls) == ([], ())


def test_metadata_when_exactly_at_the_limit_then_stored_and_one_byte_more_is_refused(
    watched: tuple[S3Client, S3Proxy, str],
) -> None:
    client, proxy, bucket = watched
    fits = [size for size in range(1000, 2048) if _accepted(client, bucket, size, proxy)][-1]

    client.put_object(Bucket=bucket, Key="k", Body=b"", Metadata={"a": "x" * fits})

    assert client.head_object(Bucket=bucket, Key="k")["Metadata"] == {"a": "x" * fits}
    with pytest.raises(MetadataTooLargeError):
        client.put_object(Bucket=bucket, Key="k", Body=b"", Metadata={"a": "x" * (fits + 1)})


def _accepted(client: S3Client, bucket: str, size: int, proxy: S3Proxy) -> bool:
    try:
        client.put_object(Bucket=bucket, Key="k", Metadata={"a": "x" * size}, ContentMD5="wrong")
    except MetadataTooLargeError:
        return False
    except client.exceptions.ClientError:
        # The checksum is looked at later.
        return True
    raise AssertionError("a wrong checksum was accepted")


REFUSED_OPERATIONS: dict[str, dict[str, Any]] = {
    "put_object_annotation": {"Key": "k", "AnnotationName": "a", "AnnotationPayload": b"x"},
    "get_object_torrent": {"Key": "k"},
    "rename_object": {"Key": "k", "RenameSource": "other"},
    "select_object_content": {
        "Key": "k",
        "Expression": "SELECT * FROM s3object",
        "ExpressionType": "SQL",
        "InputSerialization": {"CSV": {}},
        "OutputSerialization": {"CSV": {}},
    },
}


@pytest.mark.parametrize("operation", REFUSED_OPERATIONS)
def test_operation_when_it_would_break_the_promise_then_refused_and_no_request_is_made(
    watched: tuple[S3Client, S3Proxy, str], kms: LocalKms, operation: str
) -> None:
    client, proxy, bucket = watched

    with pytest.raises(S3EnvelopeError) as raised:
        getattr(client, operation)(Bucket=bucket, **REFUSED_OPERATIONS[operation])

    assert isinstance(raised.value, UnsupportedOperationError)
    assert (proxy.requests, kms.calls) == ([], ())


@pytest.mark.parametrize("is_known_to_s3", [True, False])
def test_part_when_the_upload_is_not_this_client_s_then_refused_and_nothing_is_sent(
    watched: tuple[S3Client, S3Proxy, str], kms: LocalKms, moto_s3: Endpoint, is_known_to_s3: bool
) -> None:
    client, proxy, bucket = watched
    call: dict[str, Any] = {"Bucket": bucket, "Key": "k", "UploadId": "elsewhere"}
    if is_known_to_s3:
        call["UploadId"] = moto_s3.client().create_multipart_upload(Bucket=bucket, Key="k")["UploadId"]
    refusal = UnsupportedOperationError if is_known_to_s3 else client.exceptions.NoSuchUpload

    with pytest.raises(refusal):
        client.upload_part(**call, PartNumber=1, Body=b"body")
    with pytest.raises(refusal):
        client.complete_multipart_upload(**call, MultipartUpload={"Parts": [{"PartNumber": 1, "ETag": "e"}]})

    # S3 is asked whether it knows the upload.
    assert ([request.method for request in proxy.requests], kms.calls) == (["GET", "GET"], ())


@pytest.mark.parametrize("operation", ["put_object", "get_object", "head_object", "upload_part"])
def test_presigned_url_when_asked_for_then_refused(
    watched: tuple[S3Client, S3Proxy, str], kms: LocalKms, operation: Any
) -> None:
    client, proxy, bucket = watched
    parameters: dict[str, Any] = {"Bucket": bucket, "Key": "k"}
    if operation == "upload_part":
        parameters.update(UploadId="u", PartNumber=1)
    before = dict(parameters)

    with pytest.raises(UnsupportedOperationError, match="presigned"):
        client.generate_presigned_url(operation, Params=parameters)
    with pytest.raises(UnsupportedOperationError):
        client.generate_presigned_post(bucket, "k")

    assert parameters == before
    assert (proxy.requests, kms.calls) == ([], ())


def test_presigned_reads_when_ciphertext_is_allowed_then_signed_but_never_writes(
    moto_s3: Endpoint, sealed: ClientFactory
) -> None:
    client = sealed(moto_s3, envelope={"allow_presigned_ciphertext": True})
    parameters = {"Bucket": "b", "Key": "k"}
    methods: Any = ("get_object", "head_object")

    for url in [client.generate_presigned_url(method, Params=parameters) for method in methods]:
        assert "/b/k?" in url
        assert "se1" not in url
        assert "x-amz-meta" not in url.lower()
    assert parameters == {"Bucket": "b", "Key": "k"}
    with pytest.raises(UnsupportedOperationError):
        client.generate_presigned_url("put_object", Params=parameters)


def test_missing_file_when_uploaded_then_the_plain_client_s_error_and_no_request(
    watched: tuple[S3Client, S3Proxy, str], tmp_path: Path
) -> None:
    client, proxy, bucket = watched

    with pytest.raises(FileNotFoundError):
        client.upload_file(str(tmp_path / "missing"), bucket, "k")
    with pytest.raises(ValueError, match="read"):
        client.upload_fileobj(b"bytes", bucket, "k")  # type: ignore[arg-type]
    with pytest.raises(ConfigurationError, match="binary"):
        client.upload_fileobj(io.StringIO("text"), bucket, "k")

    assert proxy.requests == []


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("AccessDeniedException", KeyAccessError),
        ("DisabledException", KeyAccessError),
        ("NotFoundException", KeyAccessError),
        ("KMSInternalException", KeyServiceUnavailableError),
        ("ThrottlingException", KeyServiceUnavailableError),
    ],
)
def test_write_when_the_key_service_refuses_then_no_request_to_s3(
    watched: tuple[S3Client, S3Proxy, str], kms: LocalKms, code: str, expected: type[S3EnvelopeError]
) -> None:
    client, proxy, bucket = watched
    kms.faults.fail("GenerateDataKey", code, count=2)

    with pytest.raises(expected):
        client.put_object(Bucket=bucket, Key="k", Body=b"body")
    with pytest.raises(expected):
        client.upload_fileobj(io.BytesIO(b"body"), bucket, "k")

    assert proxy.requests == []
    kms.faults.clear()


def test_write_when_the_key_does_not_exist_then_no_request_to_s3(
    moto_s3: Endpoint, http_proxy: ProxyFactory, kms: LocalKms, sealed: ClientFactory
) -> None:
    proxy, endpoint = http_proxy(moto_s3)
    keyring = KmsKeyring("alias/never-made", kms.client())

    with pytest.raises(KeyAccessError):
        sealed(endpoint, envelope={"keyring": keyring}).put_object(Bucket="b", Key="k", Body=b"body")

    assert proxy.requests == []
