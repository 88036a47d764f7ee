"""Clients that are made while other threads make clients, and what boto logs of them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import boto3
import botocore.hooks
import pytest
from botocore.config import Config

import s3envelope
from s3envelope.errors import UnsupportedOperationError
from s3envelope.s3.mixin import EnvelopeMixin
from s3envelope.testing import LocalKms
from tests.support.endpoints import Endpoint

KEYRING = s3envelope.RawAesKeyring(bytes(32), "test")


def test_client_when_the_session_remembers_its_handlers_from_before_the_hook_is_enveloped_all_the_same(
    monkeypatch: pytest.MonkeyPatch, moto_s3: Endpoint
) -> None:
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    boto3.setup_default_session()
    session = boto3._get_default_session()
    events: Any = session.events
    stale = events._emitter._handlers.prefix_search("creating-client-class.s3")
    register = botocore.hooks.HierarchicalEmitter.register

    def register_and_lose_the_race(self: Any, name: str, *args: Any, **kwargs: Any) -> None:
        register(self, name, *args, **kwargs)
        if kwargs.get("unique_id") is None and name == "creating-client-class.s3" and not lost:
            lost.append(name)
            self._lookup_cache[name] = stale

    lost: list[str] = []
    monkeypatch.setattr(botocore.hooks.HierarchicalEmitter, "register", register_and_lose_the_race)

    client = s3envelope.client("s3", keyring=KEYRING, **moto_s3.client_arguments())

    assert lost
    assert isinstance(client, EnvelopeMixin)


def test_client_when_the_session_never_calls_the_hook_is_not_made(
    monkeypatch: pytest.MonkeyPatch, moto_s3: Endpoint
) -> None:
    session = s3envelope.Session(keyring=KEYRING)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", session)
    monkeypatch.setattr("s3envelope.s3.install.SessionHook.__call__", lambda *_, **__: None)

    with pytest.raises(UnsupportedOperationError, match="no client was made"):
        s3envelope.client("s3", keyring=KEYRING, **moto_s3.client_arguments())


def test_clients_when_made_by_many_threads_are_what_each_thread_asked_for(
    monkeypatch: pytest.MonkeyPatch, moto_s3: Endpoint
) -> None:
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", boto3.Session())
    arguments, wrong = moto_s3.client_arguments(), []

    def make(kind: str, ask: Callable[[], object], enveloped: bool) -> None:
        for _ in range(6):
            if isinstance(ask(), EnvelopeMixin) is not enveloped:
                wrong.append(kind)

    def ours() -> object:
        return s3envelope.client("s3", keyring=KEYRING, **arguments)

    def plain() -> object:
        return boto3.Session().client("s3", **arguments)

    threads = [threading.Thread(target=make, args=("ours", ours, True)) for _ in range(4)]
    threads += [threading.Thread(target=make, args=("plain", plain, False)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert wrong == []


def test_plain_client_when_made_after_an_enveloped_one_stays_plain(moto_s3: Endpoint) -> None:
    s3envelope.client("s3", keyring=KEYRING, **moto_s3.client_arguments())

    assert not isinstance(boto3.client("s3", **moto_s3.client_arguments()), EnvelopeMixin)


def test_session_when_installed_again_has_the_new_configuration(moto_s3: Endpoint) -> None:
    session = boto3.Session()
    s3envelope.install(session, keyring=KEYRING, encryption_context={"v": "1"})
    s3envelope.install(session, keyring=KEYRING, encryption_context={"v": "2"})

    client: Any = session.client("s3", **moto_s3.client_arguments())

    assert client._s3envelope.config.encryption_context == {"v": "2"}
    assert [base for base in type(client).__mro__ if base is EnvelopeMixin] == [EnvelopeMixin]


def test_resource_when_it_puts_at_debug_does_not_log_the_body(
    moto_s3: Endpoint, new_bucket: Callable[[Endpoint], str], caplog: pytest.LogCaptureFixture
) -> None:
    bucket = new_bucket(moto_s3)
    resource = s3envelope.resource("s3", keyring=KEYRING, **moto_s3.client_arguments())
    caplog.set_level(logging.DEBUG)

    resource.Object(bucket, "k").put(Body=b"TOP-SECRET-PLAINTEXT")
    resource.Bucket(bucket).put_object(Key="k2", Body="TOP-SECRET-PLAINTEXT")

    assert "Calling s3:put_object" in caplog.text
    assert "TOP-SECRET" not in caplog.text


def test_kms_client_when_none_is_given_is_reached_like_s3(moto_s3: Endpoint) -> None:
    arguments = moto_s3.client_arguments(connect_timeout=7, read_timeout=9, retries={"total_max_attempts": 2})

    client: Any = s3envelope.client("s3", kms_key_id="alias/a", **arguments)

    kms: Any = client._s3envelope.keyring._client
    assert (kms.meta.config.connect_timeout, kms.meta.config.read_timeout) == (7, 9)
    assert kms.meta.config.retries["total_max_attempts"] == 2
    assert kms._request_signer._credentials.access_key == moto_s3.access_key


@pytest.mark.parametrize(
    ("region", "key_id", "expected"),
    [
        ("eu-west-1", "alias/a", "eu-west-1"),
        ("eu-west-1", "arn:aws:kms:us-west-2:111122223333:key/12345678-1234-1234-1234-123456789012", "us-west-2"),
        ("us-gov-west-1", "arn:aws-us-gov:kms:us-gov-west-1:111122223333:alias/a", "us-gov-west-1"),
        ("aws-global", "alias/a", "us-east-1"),
    ],
)
def test_kms_client_when_none_is_given_is_of_the_keys_region(region: str, key_id: str, expected: str) -> None:
    client: Any = s3envelope.client("s3", kms_key_id=key_id, region_name=region)

    assert client._s3envelope.keyring._client.meta.region_name == expected


def test_certificates_when_s3_is_a_storage_of_ones_own_are_not_used_for_kms(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REQUESTS_CA_BUNDLE", raising=False)
    ca = str(tmp_path / "ca.pem")

    own: Any = s3envelope.client("s3", kms_key_id="alias/a", endpoint_url="https://s3.example", verify=ca)
    off: Any = s3envelope.client("s3", kms_key_id="alias/a", verify=False)
    aws: Any = s3envelope.client("s3", kms_key_id="alias/a", region_name="us-east-1", verify=ca)

    verified = [client._s3envelope.keyring._client._endpoint.http_session._verify for client in (own, off, aws)]
    assert verified == [True, True, ca]


def test_handler_that_changes_the_key_after_sealing_stops_the_request(
    moto_s3: Endpoint, new_bucket: Callable[[Endpoint], str]
) -> None:
    bucket = new_bucket(moto_s3)
    client = s3envelope.client("s3", keyring=KEYRING, **moto_s3.client_arguments())

    def rename(params: dict[str, Any], **_: object) -> None:
        params["Key"] = "other"

    client.meta.events.register("before-parameter-build.s3.PutObject", rename)

    with pytest.raises(UnsupportedOperationError, match="changed by an event handler"):
        client.put_object(Bucket=bucket, Key="k", Body=b"x")

    assert moto_s3.client().list_objects_v2(Bucket=bucket)["KeyCount"] == 0


def test_lines_of_an_answer_when_read_in_a_block_are_those_of_the_object(
    moto_s3: Endpoint, new_bucket: Callable[[Endpoint], str]
) -> None:
    bucket = new_bucket(moto_s3)
    client = s3envelope.client("s3", keyring=KEYRING, **moto_s3.client_arguments())
    text = b"".join(b"line %d\n" % number for number in range(30_000)) + b"end"
    client.put_object(Bucket=bucket, Key="k", Body=text)

    with client.get_object(Bucket=bucket, Key="k")["Body"] as raw:
        first = raw.readline()
        some = raw.read(100)
        rest = list(raw)

    assert first + some + b"".join(rest) == text
    assert all(line.endswith(b"\n") for line in rest[:-1])


def test_version_null_when_the_bucket_never_had_versions_is_read(
    moto_s3: Endpoint, new_bucket: Callable[[Endpoint], str]
) -> None:
    bucket = new_bucket(moto_s3)
    client = s3envelope.client("s3", keyring=KEYRING, **moto_s3.client_arguments())
    client.put_object(Bucket=bucket, Key="k", Body=b"x")

    assert client.get_object(Bucket=bucket, Key="k", VersionId="null")["Body"].read() == b"x"


def test_key_service_when_it_is_away_fails_once_for_all_who_wait() -> None:
    with LocalKms() as kms:
        arn = kms.create_key()
        kms_client = kms.client()
        keyring = s3envelope.KmsKeyring(arn, kms_client)
        client: Any = s3envelope.client("s3", keyring=keyring, region_name="us-east-1", config=Config())
        manager = client._s3envelope.materials
        entered, release, failures = threading.Event(), threading.Event(), []
        original = keyring.generate_data_key

        def slow(context: Any) -> Any:
            entered.set()
            release.wait(10)
            kms.stop()
            return original(context)

        keyring.generate_data_key = slow  # type: ignore[method-assign]

        def seal() -> None:
            try:
                manager.data_key_for_sealing(s3envelope.EncryptionContext())
            except s3envelope.errors.KeyServiceUnavailableError as error:
                failures.append(error)

        threads = [threading.Thread(target=seal) for _ in range(4)]
        threads[0].start()
        entered.wait(10)
        for thread in threads[1:]:
            thread.start()
        while manager._flights._flights[("seal", b"")].users < len(threads):
            threading.Event().wait(0.001)
        release.set()
        for thread in threads:
            thread.join()

    assert len(failures) == len(threads)
    assert len({id(failure) for failure in failures}) == 1


@pytest.mark.parametrize("module", ["aiobotocore.session", "aioboto3.session"])
def test_session_of_an_asynchronous_library_when_installed_on_is_sent_to_the_right_place(module: str) -> None:
    session = type("Session", (), {"__module__": module})()

    with pytest.raises(UnsupportedOperationError, match=r"use s3envelope\.aio\.install"):
        s3envelope.install(session, keyring=KEYRING)
