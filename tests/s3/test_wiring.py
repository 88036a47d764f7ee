"""The ways in, and what lives in one client: sessions, resources, handlers of users, transfer clients."""

import gc
import io
import weakref
from pathlib import Path
from typing import Any

import boto3
import botocore.session
import pytest
from boto3.s3.transfer import S3Transfer, TransferConfig, create_transfer_manager
from botocore.stub import Stubber
from s3transfer.manager import TransferManager

import s3envelope
from s3envelope import EnvelopeConfig, KmsKeyring
from s3envelope.errors import ConfigurationError, UnsupportedOperationError
from s3envelope.testing.local_kms import LocalKms
from tests.conftest import ProxyFactory
from tests.support.endpoints import Endpoint
from tests.support.enveloped import CANARY, MIB, ClientFactory, NewBucket, plaintext_of


def _is_sealed(client: Any, endpoint: Endpoint, bucket: str) -> bool:
    """Tell whether what a client puts is sealed, and reads back."""
    client.put_object(Bucket=bucket, Key="k", Body=CANARY)
    stored = endpoint.client().get_object(Bucket=bucket, Key="k")["Body"].read()
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == CANARY
    return CANARY not in stored


def test_every_way_in_when_used_then_seals(moto_s3: Endpoint, new_bucket: NewBucket, keyring: KmsKeyring) -> None:
    bucket, arguments = new_bucket(moto_s3), moto_s3.client_arguments()
    installed, whole = boto3.Session(), boto3.Session()
    s3envelope.install(installed, keyring=keyring)
    s3envelope.install(whole, EnvelopeConfig(keyring=keyring))
    core = botocore.session.get_session()
    s3envelope.install(core, keyring=keyring)
    clients: list[Any] = [
        s3envelope.client("s3", keyring=keyring, **arguments),
        s3envelope.client("s3", envelope=EnvelopeConfig(keyring=keyring), **arguments),
        s3envelope.resource("s3", keyring=keyring, **arguments).meta.client,
        s3envelope.Session(keyring=keyring).client("s3", **arguments),
        s3envelope.Session(keyring=keyring).resource("s3", **arguments).meta.client,
        installed.client("s3", **arguments),
        installed.resource("s3", **arguments).meta.client,
        whole.client("s3", **arguments),
        core.create_client("s3", **arguments),
    ]

    for client in clients:
        assert _is_sealed(client, moto_s3, bucket)
        client.close()


def test_default_session_when_installed_then_boto3_client_seals_and_others_before_do_not(
    moto_s3: Endpoint, new_bucket: NewBucket, keyring: KmsKeyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    bucket, arguments = new_bucket(moto_s3), moto_s3.client_arguments()
    before = boto3.client("s3", **arguments)

    s3envelope.install(keyring=keyring)
    after = boto3.client("s3", **arguments)

    assert _is_sealed(after, moto_s3, bucket)
    assert not _is_sealed(before, moto_s3, bucket)
    assert not hasattr(boto3.client("kms", region_name="us-east-1"), "describe_envelope")
    before.close()
    after.close()


def test_client_when_made_by_s3envelope_then_boto3_client_stays_plain(
    moto_s3: Endpoint, new_bucket: NewBucket, sealed: ClientFactory
) -> None:
    bucket = new_bucket(moto_s3)
    ours = sealed(moto_s3)

    plain = boto3.client("s3", **moto_s3.client_arguments())

    assert not _is_sealed(plain, moto_s3, bucket)
    assert _is_sealed(ours, moto_s3, bucket)
    plain.close()


def test_install_when_repeated_then_the_last_configuration_counts_and_bodies_are_sealed_once(
    moto_s3: Endpoint, new_bucket: NewBucket, keyring: KmsKeyring
) -> None:
    session, bucket = boto3.Session(), new_bucket(moto_s3)
    s3envelope.install(session, keyring=keyring, encryption_context={"stage": "first"})
    s3envelope.install(session, keyring=keyring, encryption_context={"stage": "second"})
    client: Any = session.client("s3", **moto_s3.client_arguments())

    client.put_object(Bucket=bucket, Key="k", Body=CANARY)

    description = client.describe_envelope(Bucket=bucket, Key="k")
    assert description.encryption_context == {"stage": "second"}
    assert description.ciphertext_size == len(CANARY) + 28
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == CANARY
    client.close()


def test_install_when_config_and_fields_are_given_then_refused(keyring: KmsKeyring) -> None:
    with pytest.raises(ConfigurationError):
        s3envelope.install(boto3.Session(), EnvelopeConfig(keyring=keyring), unencrypted="allow")


def test_session_when_it_makes_two_clients_then_their_settings_do_not_mix(
    moto_s3: Endpoint, new_bucket: NewBucket, sealed: ClientFactory
) -> None:
    bucket = new_bucket(moto_s3)
    one = sealed(moto_s3, envelope={"encryption_context": {"tenant": "one"}})
    two = sealed(moto_s3, envelope={"encryption_context": {"tenant": "two"}})

    one.put_object(Bucket=bucket, Key="k", Body=b"body")

    assert one.get_object(Bucket=bucket, Key="k")["Body"].read() == b"body"
    with pytest.raises(s3envelope.errors.ContextMismatchError):
        two.get_object(Bucket=bucket, Key="k")


def test_resource_when_used_as_boto3_s_then_everything_is_sealed_and_opened(
    moto_s3: Endpoint, http_proxy: ProxyFactory, new_bucket: NewBucket, keyring: KmsKeyring, tmp_path: Path
) -> None:
    proxy, endpoint = http_proxy(moto_s3)
    proxy.forbid(CANARY)
    resource = s3envelope.resource("s3", keyring=keyring, **endpoint.client_arguments())
    bucket = resource.Bucket(new_bucket(moto_s3))
    plaintext, path = plaintext_of(100_000), tmp_path / "file"
    path.write_bytes(plaintext)

    bucket.put_object(Key="a", Body=plaintext)
    resource.Object(bucket.name, "b").put(Body=plaintext)
    bucket.upload_file(str(path), "c")
    bucket.Object("d").upload_fileobj(io.BytesIO(plaintext))

    for entry in bucket.objects.all():
        sink = io.BytesIO()
        entry.Object().download_fileobj(sink)
        assert sink.getvalue() == entry.get()["Body"].read() == plaintext
        assert entry.size == entry.Object().content_length == len(plaintext)
    assert proxy.leaks == []
    resource.meta.client.close()


def test_stubber_when_it_answers_a_read_without_envelope_then_refused_as_any_other(sealed: ClientFactory) -> None:
    client = sealed(Endpoint("none", "http://127.0.0.1:1", "test", "test"))
    with Stubber(client) as stubber:
        stubber.add_response("list_buckets", {"Buckets": []})
        assert client.list_buckets()["Buckets"] == []


# ---- handlers of users ----


@pytest.mark.parametrize("operation", ["put_object", "upload_part"])
def test_handler_when_it_replaces_the_sealed_body_then_refused_and_nothing_sent(
    moto_s3: Endpoint, http_proxy: ProxyFactory, new_bucket: NewBucket, sealed: ClientFactory, operation: str
) -> None:
    proxy, endpoint = http_proxy(moto_s3)
    client, bucket = sealed(endpoint), new_bucket(moto_s3)
    call: dict[str, Any] = {"Bucket": bucket, "Key": "k", "Body": b"body"}
    if operation == "upload_part":
        part_size: dict[str, Any] = {"PartSize": 5 * MIB}
        upload = client.create_multipart_upload(Bucket=bucket, Key="k", **part_size)["UploadId"]
        call.update(UploadId=upload, PartNumber=1)

    def replace_body(params: dict[str, Any], **_: object) -> None:
        params["body"] = CANARY

    client.meta.events.register("before-call.s3", replace_body)
    before = len(proxy.requests)

    with pytest.raises(UnsupportedOperationError, match="replaced"):
        getattr(client, operation)(**call)

    assert len(proxy.requests) == before


def test_handler_when_it_changes_parameters_early_then_what_it_gives_is_sealed(
    moto_s3: Endpoint, http_proxy: ProxyFactory, new_bucket: NewBucket, sealed: ClientFactory
) -> None:
    proxy, endpoint = http_proxy(moto_s3)
    proxy.forbid(CANARY)
    client, bucket = sealed(endpoint), new_bucket(moto_s3)

    def change(params: dict[str, Any], **_: object) -> None:
        params.update(Body=CANARY, Metadata={"by": "handler"})

    client.meta.events.register("provide-client-params.s3.PutObject", change)
    client.put_object(Bucket=bucket, Key="k", Body=b"body")

    answer = client.get_object(Bucket=bucket, Key="k")
    assert (answer["Body"].read(), answer["Metadata"]) == (CANARY, {"by": "handler"})
    assert proxy.leaks == []


def test_handler_when_it_makes_calls_of_its_own_then_those_are_sealed_too(
    moto_s3: Endpoint, http_proxy: ProxyFactory, new_bucket: NewBucket, sealed: ClientFactory
) -> None:
    proxy, endpoint = http_proxy(moto_s3)
    proxy.forbid(CANARY)
    client, bucket = sealed(endpoint), new_bucket(moto_s3)
    written: list[str] = []

    def audit(params: dict[str, Any], **_: object) -> None:
        if not written:
            written.append("audit")
            client.put_object(Bucket=bucket, Key="audit", Body=CANARY)

    client.meta.events.register("before-call.s3.GetObject", audit)
    client.put_object(Bucket=bucket, Key="k", Body=b"body")

    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"body"
    assert client.get_object(Bucket=bucket, Key="audit")["Body"].read() == CANARY
    assert proxy.leaks == []


# ---- other transfer clients ----


def test_crt_transfer_client_when_it_could_be_chosen_then_is_not(
    moto_s3: Endpoint, http_proxy: ProxyFactory, new_bucket: NewBucket, sealed: ClientFactory, tmp_path: Path
) -> None:
    proxy, endpoint = http_proxy(moto_s3)
    proxy.forbid(CANARY)
    client: Any = sealed(endpoint)
    bucket, path = new_bucket(moto_s3), tmp_path / "file"
    path.write_bytes(plaintext_of(9 * MIB))

    # Without credentials boto3 does not build a client that would see no handler of ours.
    assert client._get_credentials() is None
    assert isinstance(create_transfer_manager(client, TransferConfig()), TransferManager)
    for config in (None, TransferConfig(preferred_transfer_client="classic"), TransferConfig()):
        client.upload_file(str(path), bucket, "k", Config=config)

    assert proxy.leaks == []


@pytest.mark.parametrize("method", ["upload_file", "upload_fileobj", "download_file", "download_fileobj"])
@pytest.mark.parametrize("spelling", ["crt", "CRT"])
def test_crt_transfer_client_when_demanded_then_refused(
    moto_s3: Endpoint, sealed: ClientFactory, method: str, spelling: str, tmp_path: Path
) -> None:
    client, config = sealed(moto_s3), TransferConfig(preferred_transfer_client=spelling)
    arguments: dict[str, tuple[Any, ...]] = {
        "upload_file": (str(tmp_path / "file"), "b", "k"),
        "upload_fileobj": (io.BytesIO(), "b", "k"),
        "download_file": ("b", "k", str(tmp_path / "file")),
        "download_fileobj": ("b", "k", io.BytesIO()),
    }

    with pytest.raises(UnsupportedOperationError, match="crt"):
        getattr(client, method)(*arguments[method], Config=config)


def test_boto3_s_own_transfer_when_given_our_client_then_small_and_large_files_are_sealed(
    moto_s3: Endpoint, http_proxy: ProxyFactory, new_bucket: NewBucket, sealed: ClientFactory, tmp_path: Path
) -> None:
    proxy, endpoint = http_proxy(moto_s3)
    proxy.forbid(CANARY)
    client, bucket, path = sealed(endpoint), new_bucket(moto_s3), tmp_path / "file"
    path.write_bytes(plaintext_of(MIB))

    with S3Transfer(client) as transfer:
        transfer.upload_file(str(path), bucket, "k")
        transfer.download_file(bucket, "k", str(tmp_path / "back"))

    assert (tmp_path / "back").read_bytes() == plaintext_of(MIB)
    path.write_bytes(plaintext_of(9 * MIB))
    with S3Transfer(client) as transfer:
        transfer.upload_file(str(path), bucket, "k")
        transfer.download_file(bucket, "k", str(tmp_path / "back"))
    assert (tmp_path / "back").read_bytes() == plaintext_of(9 * MIB)
    assert proxy.leaks == []


# ---- life ----


def test_client_when_dropped_then_freed_without_the_garbage_collector(
    moto_s3: Endpoint, new_bucket: NewBucket, keyring: KmsKeyring
) -> None:
    bucket = new_bucket(moto_s3)
    client = s3envelope.client("s3", keyring=keyring, **moto_s3.client_arguments())
    client.put_object(Bucket=bucket, Key="k", Body=b"body")
    client.get_object(Bucket=bucket, Key="k")["Body"].read()
    client.close()
    freed: list[int] = []
    weakref.finalize(client, freed.append, 1)
    gc.collect()
    gc.disable()

    try:
        del client
        assert freed == [1]
    finally:
        gc.enable()


def test_kms_client_when_not_given_then_made_from_the_session_of_the_s3_client(
    moto_s3: Endpoint, new_bucket: NewBucket, kms: LocalKms, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", kms.endpoint_url)
    key = kms.create_key(alias="alias/wiring")
    bucket, arguments = new_bucket(moto_s3), {**moto_s3.client_arguments(), "aws_access_key_id": "SOMEBODY"}

    for key_id in (key, "alias/wiring"):
        client = s3envelope.Session(kms_key_id=key_id).client("s3", **arguments)
        client.put_object(Bucket=bucket, Key="k", Body=b"body")
        assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == b"body"
        client.close()

    assert {call.access_key_id for call in kms.calls} == {"SOMEBODY"}
