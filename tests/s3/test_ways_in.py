"""A client is boto3's own: its events, its configuration, and what cannot be done with it."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

import s3envelope
from s3envelope import Keyring
from tests.support.endpoints import Endpoint
from tests.support.enveloped import ClientFactory, NewBucket, plaintext_of
from tests.support.uploading import PART, read

EVENTS = (
    "provide-client-params",
    "before-parameter-build",
    "before-endpoint-resolution",
    "before-call",
    "request-created",
    "choose-signer",
    "before-sign",
    "before-send",
    "before-parse",
    "response-received",
    "needs-retry",
    "after-call",
    "after-call-error",
)
SMALL = plaintext_of(70_000)


def _multipart(client: Any, bucket: str) -> None:
    names = {"Bucket": bucket, "Key": "parts"}
    names["UploadId"] = client.create_multipart_upload(**names)["UploadId"]
    part = client.upload_part(**names, PartNumber=1, Body=bytes(PART))
    client.list_parts(**names)
    client.abort_multipart_upload(**names)
    assert part["ETag"]


CALLS: dict[str, Callable[[Any, str], object]] = {
    "put_object": lambda client, bucket: client.put_object(Bucket=bucket, Key="new", Body=SMALL),
    "get_object": lambda client, bucket: client.get_object(Bucket=bucket, Key="k", Range="bytes=5-9")["Body"].read(),
    "get_object, missing": lambda client, bucket: client.get_object(Bucket=bucket, Key="none"),
    "head_object": lambda client, bucket: client.head_object(Bucket=bucket, Key="k"),
    "head_object, missing": lambda client, bucket: client.head_object(Bucket=bucket, Key="none"),
    "list_objects_v2": lambda client, bucket: client.list_objects_v2(Bucket=bucket),
    "delete_object": lambda client, bucket: client.delete_object(Bucket=bucket, Key="k"),
    "multipart": _multipart,
    "upload_fileobj": lambda client, bucket: client.upload_fileobj(
        io.BytesIO(bytes(PART + 1)),
        bucket,
        "large",
        Config=TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, use_threads=False),
    ),
}


def _events_of(client: Any, bucket: str, call: Callable[[Any, str], object]) -> tuple[list[str], str]:
    """Return the events that a user's handlers see, and the type of the error, if there is one."""
    client.put_object(Bucket=bucket, Key="k", Body=SMALL)
    seen: list[str] = []
    for event in EVENTS:
        client.meta.events.register(f"{event}.s3", lambda event_name, **_: seen.append(event_name))
    try:
        call(client, bucket)
    except Exception as error:  # noqa: BLE001  # compared by the test
        return seen, type(error).__name__
    return seen, ""


@pytest.mark.parametrize("call", CALLS)
def test_events_when_a_call_is_made_are_those_of_a_plain_client_in_its_order(
    moto_s3: Endpoint, sealed: ClientFactory, new_bucket: NewBucket, call: str
) -> None:
    plain = _events_of(moto_s3.client(), new_bucket(moto_s3), CALLS[call])
    ours = _events_of(sealed(moto_s3), new_bucket(moto_s3), CALLS[call])

    assert ours == plain
    assert ours[0]


def test_handler_when_it_looks_at_parameters_sees_what_the_caller_gave(
    moto_s3: Endpoint, sealed: ClientFactory, new_bucket: NewBucket
) -> None:
    client: Any = sealed(moto_s3)
    seen: list[dict[str, Any]] = []
    client.meta.events.register("provide-client-params.s3.PutObject", lambda params, **_: seen.append(dict(params)))
    given = {"Bucket": new_bucket(moto_s3), "Key": "k", "Body": SMALL, "Metadata": {"a": "b"}, "ContentType": "x/y"}

    client.put_object(**given)

    assert seen == [given]


@pytest.mark.parametrize("act", [copy.copy, copy.deepcopy, pickle.dumps], ids=lambda act: act.__name__)
def test_client_when_copied_or_pickled_says_what_to_do(
    moto_s3: Endpoint, sealed: ClientFactory, act: Callable[[object], object]
) -> None:
    with pytest.raises(TypeError, match="make one per process"):
        act(sealed(moto_s3))


def test_configuration_when_given_is_the_clients(moto_s3: Endpoint, keyring: Keyring) -> None:
    config = Config(
        retries={"mode": "standard", "total_max_attempts": 7},
        connect_timeout=3,
        read_timeout=4,
        max_pool_connections=17,
        proxies={"http": "http://127.0.0.1:1"},
        user_agent_extra="mine/1.0",
        s3={"addressing_style": "path", "payload_signing_enabled": True},
        request_checksum_calculation="when_required",
    )
    arguments: dict[str, Any] = {**moto_s3.client_arguments(), "config": config}
    plain: Any = boto3.session.Session().client("s3", **arguments)
    client: Any = s3envelope.client("s3", keyring=keyring, **arguments)

    names = ("retries", "connect_timeout", "read_timeout", "max_pool_connections", "proxies", "s3", "user_agent_extra")
    for name in (*names, "request_checksum_calculation", "signature_version", "region_name"):
        assert getattr(client.meta.config, name) == getattr(plain.meta.config, name)
    assert "mine/1.0" in client.meta.config.user_agent
    for each in (plain, client):
        each.close()


def test_request_when_a_proxy_is_configured_goes_through_it(
    moto_s3: Endpoint, sealed: ClientFactory, new_bucket: NewBucket
) -> None:
    client = sealed(moto_s3, proxies={"http": "http://127.0.0.1:1"}, connect_timeout=1)

    with pytest.raises(Exception, match="proxy"):
        client.put_object(Bucket=new_bucket(moto_s3), Key="k", Body=b"x")


def test_transfer_when_without_threads_works(moto_s3: Endpoint, sealed: ClientFactory, new_bucket: NewBucket) -> None:
    client, bucket = sealed(moto_s3), new_bucket(moto_s3)
    config = TransferConfig(multipart_threshold=PART, multipart_chunksize=PART, use_threads=False)
    body = plaintext_of(2 * PART + 1)

    client.upload_fileobj(io.BytesIO(body), bucket, "k", Config=config)
    arrived = io.BytesIO()
    client.download_fileobj(bucket, "k", arrived, Config=config)

    assert arrived.getvalue() == body
    assert read(client, bucket) == body
