"""botocore's Stubber in tests of users, and handlers of users that change what is sent."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.model import OperationModel
from botocore.response import StreamingBody
from botocore.stub import ANY, Stubber

import s3envelope
from s3envelope import KmsKeyring
from s3envelope.errors import NotEncryptedError, UnsupportedOperationError
from s3envelope.testing.s3_proxy import S3Proxy
from tests.conftest import ProxyFactory
from tests.support.endpoints import Endpoint
from tests.support.enveloped import CANARY, ClientFactory, NewBucket, enveloped_client, plaintext_of
from tests.support.objects import StoredObject, raw_keyring, stored_plain
from tests.support.uploading import PART, Uploading

NOWHERE = Endpoint("none", "http://127.0.0.1:1", "test", "test")
NAMES = {"Bucket": "bucket", "Key": "dir/object"}
PLAINTEXT = plaintext_of(150_000)


# ---- stubs ----


@pytest.fixture
def stored() -> StoredObject:
    """Return an object as a storage has it."""
    return stored_plain(PLAINTEXT, name=NAMES["Key"])


@pytest.fixture(params=["refuse", "allow"])
def stubbed(request: pytest.FixtureRequest) -> Iterator[tuple[Any, Stubber]]:
    """Yield a client that refuses plain objects, and one that allows them, whose network is a Stubber."""
    client = enveloped_client(NOWHERE, raw_keyring(), envelope={"unencrypted": request.param, "state_dir": None})
    with Stubber(client) as stubber:
        yield client, stubber
    client.close()


def _body(content: bytes) -> StreamingBody:
    return StreamingBody(io.BytesIO(content), len(content))


@pytest.mark.parametrize("body", [b"body", bytearray(b"body"), "body", io.BytesIO(b"body")], ids=lambda b: str(type(b)))
def test_stub_of_a_put_expects_the_body_and_the_metadata_that_the_caller_gives(
    stubbed: tuple[Any, Stubber], body: Any
) -> None:
    client, stubber = stubbed
    given = {**NAMES, "Body": body, "Metadata": {"mine": "1"}, "ContentType": "text/x"}
    stubber.add_response("put_object", {"ETag": '"e"'}, given)
    stubber.add_response("put_object", {}, {**NAMES, "Body": ANY, "Metadata": ANY})

    assert client.put_object(**given)["ETag"] == '"e"'
    client.put_object(**NAMES, Body=b"other", Metadata={})

    stubber.assert_no_pending_responses()


def test_stub_of_an_upload_in_parts_of_one_size_expects_what_the_caller_gives(stubbed: tuple[Any, Stubber]) -> None:
    client, stubber = stubbed
    upload = {**NAMES, "UploadId": "u"}
    parts = {"Parts": [{"PartNumber": 1, "ETag": '"e"'}]}
    stubber.add_response("create_multipart_upload", {"UploadId": "u"}, {**NAMES, "PartSize": PART})
    stubber.add_response("upload_part", {"ETag": '"e"'}, {**upload, "PartNumber": 1, "Body": b"body"})
    stubber.add_response("complete_multipart_upload", {"ETag": '"f-1"'}, {**upload, "MultipartUpload": parts})

    client.create_multipart_upload(**NAMES, PartSize=PART)
    client.upload_part(**upload, PartNumber=1, Body=b"body")
    client.complete_multipart_upload(**upload, MultipartUpload=parts)

    stubber.assert_no_pending_responses()


@pytest.mark.parametrize("header", [None, "bytes=5-9", "bytes=70000-", "bytes=-7"])
def test_stub_of_a_get_without_http_headers_is_opened(
    stubbed: tuple[Any, Stubber], stored: StoredObject, header: str | None
) -> None:
    client, stubber = stubbed
    asked = NAMES if header is None else {**NAMES, "Range": header}
    response = {
        "Body": _body(stored.body),
        "ContentLength": len(stored.body),
        "ETag": '"e"',
        "Metadata": stored.metadata,
    }
    stubber.add_response("get_object", response, asked)

    answer = client.get_object(**asked)

    expected = {None: PLAINTEXT, "bytes=5-9": PLAINTEXT[5:10], "bytes=70000-": PLAINTEXT[70_000:]}
    assert answer["Body"].read() == expected.get(header, PLAINTEXT[-7:])
    assert answer["Metadata"] == {}
    assert answer["ContentLength"] == len(expected.get(header, PLAINTEXT[-7:]))


def test_stub_of_a_head_without_http_headers_has_the_size_of_the_plaintext(
    stubbed: tuple[Any, Stubber], stored: StoredObject
) -> None:
    client, stubber = stubbed
    response = {"ContentLength": len(stored.body), "ETag": '"e"', "Metadata": {**stored.metadata, "mine": "1"}}
    stubber.add_response("head_object", response, NAMES)

    answer = client.head_object(**NAMES)

    assert (answer["ContentLength"], answer["Metadata"]) == (len(PLAINTEXT), {"mine": "1"})


@pytest.mark.parametrize("response", [{}, {"ContentLength": 5}, {"ContentLength": 5, "ETag": '"e"', "Metadata": {}}])
@pytest.mark.parametrize("operation", ["get_object", "head_object"])
def test_stub_of_a_plain_object_is_passed_on_where_plain_objects_are_allowed_and_refused_elsewhere(
    stubbed: tuple[Any, Stubber], operation: str, response: dict[str, Any]
) -> None:
    client, stubber = stubbed
    body = {"Body": _body(b"plain")} if operation == "get_object" else {}
    stubber.add_response(operation, {**response, **body}, NAMES)

    if client._s3envelope.config.unencrypted == "refuse":
        with pytest.raises(NotEncryptedError):
            getattr(client, operation)(**NAMES)
        return
    answer = getattr(client, operation)(**NAMES)

    assert {name: answer[name] for name in response} == response
    assert operation == "head_object" or answer["Body"].read() == b"plain"


@pytest.mark.parametrize("operation", ["get_object", "head_object", "put_object"])
def test_stub_of_an_error_is_the_exception_of_botocore(stubbed: tuple[Any, Stubber], operation: str) -> None:
    client, stubber = stubbed
    stubber.add_client_error(operation, "NoSuchKey", "none", 404)

    with pytest.raises(client.exceptions.NoSuchKey):
        getattr(client, operation)(**NAMES)


def test_stub_of_listings_and_deletes_is_answered_as_for_a_plain_client(stubbed: tuple[Any, Stubber]) -> None:
    client, stubber = stubbed
    stubber.add_response(
        "list_objects_v2", {"Contents": [{"Key": "k", "Size": 28 + 5}], "KeyCount": 1}, {"Bucket": "bucket"}
    )
    stubber.add_response("delete_object", {}, NAMES)

    assert client.list_objects_v2(Bucket="bucket")["Contents"] == [{"Key": "k", "Size": 5}]
    client.delete_object(**NAMES)

    stubber.assert_no_pending_responses()


# ---- handlers ----


@pytest.fixture
def watched(moto_s3: Endpoint, http_proxy: ProxyFactory, new_bucket: NewBucket) -> tuple[Endpoint, S3Proxy, str]:
    """Return moto behind a proxy that looks for the canary, and a bucket."""
    proxy, endpoint = http_proxy(moto_s3)
    proxy.forbid(CANARY)
    return endpoint, proxy, new_bucket(moto_s3)


def _change(params: dict[str, Any], model: OperationModel, **_: object) -> None:
    if model.name == "PutObject":
        params.update(Body=CANARY, Metadata={"by": "handler"})


@pytest.mark.parametrize(
    "event",
    [
        "provide-client-params.s3.PutObject",
        "provide-client-params.s3",
        "provide-client-params",
        "before-parameter-build.s3.PutObject",
    ],
)
def test_handler_of_a_session_that_changes_body_and_metadata_is_sealed_as_it_gives_them(
    watched: tuple[Endpoint, S3Proxy, str], keyring: KmsKeyring, event: str
) -> None:
    endpoint, proxy, bucket = watched
    session = boto3.Session()
    session.events.register(event, _change)
    s3envelope.install(session, keyring=keyring)
    client = session.client("s3", **endpoint.client_arguments())

    client.put_object(Bucket=bucket, Key="k", Body=b"body", Metadata={"by": "caller"})

    answer = client.get_object(Bucket=bucket, Key="k")
    assert (answer["Body"].read(), answer["Metadata"]) == (CANARY, {"by": "handler"})
    assert proxy.leaks == []
    client.close()


@pytest.mark.parametrize("change", [{"Body": CANARY}, {"Metadata": {"by": "handler"}}, {"Metadata": None}])
@pytest.mark.parametrize(
    "event", ["before-parameter-build.s3.PutObject", "before-parameter-build.s3", "before-parameter-build"]
)
def test_handler_of_a_client_that_replaces_what_was_sealed_stops_the_request(
    watched: tuple[Endpoint, S3Proxy, str], sealed: ClientFactory, event: str, change: dict[str, Any]
) -> None:
    endpoint, proxy, bucket = watched
    client = sealed(endpoint)

    def replace(params: dict[str, Any], **_: object) -> None:
        params.update(change)
        if change.get("Metadata", change) is None:
            del params["Metadata"]

    client.meta.events.register(event, replace)

    with pytest.raises(UnsupportedOperationError, match="nothing was sent"):
        client.put_object(Bucket=bucket, Key="k", Body=b"body", Metadata={"by": "caller"})

    assert proxy.requests == []


def test_handler_of_a_client_that_adds_metadata_leaves_the_envelope_and_is_stored(
    watched: tuple[Endpoint, S3Proxy, str], sealed: ClientFactory
) -> None:
    endpoint, _, bucket = watched
    client = sealed(endpoint)

    def add(params: dict[str, Any], **_: object) -> None:
        params["Metadata"]["added"] = "1"

    client.meta.events.register("before-parameter-build.s3.PutObject", add)
    client.put_object(Bucket=bucket, Key="k", Body=b"body", Metadata={"mine": "2"})

    answer = client.get_object(Bucket=bucket, Key="k")
    assert (answer["Body"].read(), answer["Metadata"]) == (b"body", {"added": "1", "mine": "2"})


def test_handler_that_changes_a_part_early_is_sealed_and_late_stops_the_request(
    watched: tuple[Endpoint, S3Proxy, str], sealed: ClientFactory
) -> None:
    endpoint, proxy, bucket = watched
    client = sealed(endpoint)
    upload = Uploading(client, bucket)

    def replace(params: dict[str, Any], **_: object) -> None:
        params["Body"] = CANARY

    client.meta.events.register("before-parameter-build.s3.UploadPart", replace, unique_id="late")
    before = len(proxy.requests)
    with pytest.raises(UnsupportedOperationError, match="nothing was sent"):
        upload.part(1, b"body")
    assert len(proxy.requests) == before
    client.meta.events.unregister("before-parameter-build.s3.UploadPart", unique_id="late")
    client.meta.events.register("provide-client-params.s3.UploadPart", replace)
    upload.part(1, b"body")
    # `complete` sends the last part again, with the index behind it: what it sends is not the caller's to change.
    client.meta.events.unregister("provide-client-params.s3.UploadPart", replace)
    upload.complete()

    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == CANARY
    assert proxy.leaks == []


def test_handler_that_changes_the_range_of_a_get_gets_that_range_of_the_plaintext(
    watched: tuple[Endpoint, S3Proxy, str], sealed: ClientFactory
) -> None:
    endpoint, _, bucket = watched
    client = sealed(endpoint)
    client.put_object(Bucket=bucket, Key="k", Body=PLAINTEXT)

    def narrow(params: dict[str, Any], **_: object) -> None:
        params["Range"] = "bytes=70000-70009"

    client.meta.events.register("provide-client-params.s3.GetObject", narrow)

    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == PLAINTEXT[70_000:70_010]
