"""LocalKms as a server: the log, failures on demand, stopping and starting, many threads."""

from __future__ import annotations

import gc
import http.client
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError, EndpointConnectionError

from s3envelope.testing import LocalKms

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient


@pytest.fixture
def local_kms() -> Iterator[LocalKms]:
    with LocalKms() as running:
        yield running


@pytest.fixture
def kms(local_kms: LocalKms) -> KMSClient:
    return local_kms.client()


@pytest.fixture
def key(local_kms: LocalKms) -> str:
    return local_kms.create_key(alias="alias/log")


def _generate(kms: KMSClient) -> bytes:
    return kms.generate_data_key(KeyId="alias/log", KeySpec="AES_256")["CiphertextBlob"]


def _error_code(kms: KMSClient) -> str:
    with pytest.raises(ClientError) as caught:
        _generate(kms)
    return caught.value.response["Error"]["Code"]


# ---- the log ----


def test_call_is_logged_as_it_was_sent(local_kms: LocalKms, key: str) -> None:
    client = local_kms.client("eu-west-1", access_key_id="SOMEBODY")

    with pytest.raises(ClientError):
        client.generate_data_key(KeyId="alias/log", KeySpec="AES_256", EncryptionContext={"a": "b"})

    (call,) = local_kms.calls
    assert (call.operation, call.region, call.access_key_id) == ("GenerateDataKey", "eu-west-1", "SOMEBODY")
    assert (call.key_id, call.encryption_context) == ("alias/log", {"a": "b"})
    assert (call.outcome, call.succeeded) == ("NotFoundException", False)


def test_re_encrypt_is_logged_with_both_keys_and_contexts(local_kms: LocalKms, kms: KMSClient, key: str) -> None:
    blob = kms.encrypt(KeyId=key, Plaintext=b"p", EncryptionContext={"from": "1"})["CiphertextBlob"]

    kms.re_encrypt(
        CiphertextBlob=blob,
        SourceKeyId=key,
        SourceEncryptionContext={"from": "1"},
        DestinationKeyId="alias/log",
        DestinationEncryptionContext={"to": "2"},
    )

    call = local_kms.calls[-1]
    assert (call.source_key_id, call.source_encryption_context) == (key, {"from": "1"})
    assert (call.key_id, call.encryption_context, call.outcome) == ("alias/log", {"to": "2"}, "OK")


def test_count_is_by_operation_until_the_log_is_cleared(local_kms: LocalKms, kms: KMSClient, key: str) -> None:
    blob = _generate(kms)
    for _ in range(2):
        kms.decrypt(CiphertextBlob=blob)

    assert (local_kms.count("Decrypt"), local_kms.count("Encrypt"), local_kms.count()) == (2, 0, 3)

    local_kms.clear_calls()
    assert local_kms.count() == 0


def test_keys_made_by_the_test_itself_are_not_logged(local_kms: LocalKms, key: str) -> None:
    assert local_kms.calls == ()


# ---- failures on demand ----


def test_throttle_hits_the_ordered_number_of_calls(local_kms: LocalKms, kms: KMSClient, key: str) -> None:
    local_kms.faults.throttle("GenerateDataKey", count=2)

    codes = [_error_code(kms) for _ in range(2)]
    _generate(kms)

    assert codes == ["ThrottlingException"] * 2
    assert [call.outcome for call in local_kms.calls] == ["ThrottlingException", "ThrottlingException", "OK"]


def test_throttled_client_with_retries_succeeds(local_kms: LocalKms, key: str) -> None:
    local_kms.faults.throttle(count=1)

    _generate(local_kms.client(max_attempts=2))

    assert local_kms.count("GenerateDataKey") == 2


def test_failure_of_one_operation_leaves_others_alone(local_kms: LocalKms, kms: KMSClient, key: str) -> None:
    local_kms.faults.fail("Decrypt", "KMSInternalException")

    blob = _generate(kms)

    with pytest.raises(ClientError) as caught:
        kms.decrypt(CiphertextBlob=blob)
    assert caught.value.response["Error"]["Code"] == "KMSInternalException"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500


def test_failure_has_the_ordered_code_status_and_message(local_kms: LocalKms, kms: KMSClient, key: str) -> None:
    local_kms.faults.fail(code="DependencyTimeoutException", status=503, message="Try again.")

    with pytest.raises(ClientError) as caught:
        _generate(kms)

    assert caught.value.response["Error"] == {"Code": "DependencyTimeoutException", "Message": "Try again."}
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 503


def test_failures_without_a_count_last_until_cleared(local_kms: LocalKms, kms: KMSClient, key: str) -> None:
    local_kms.faults.fail(code="LimitExceededException", count=None)
    codes = {_error_code(kms) for _ in range(5)}

    local_kms.faults.clear()

    assert codes == {"LimitExceededException"}
    assert _generate(kms)


def test_failures_are_served_in_order(local_kms: LocalKms, kms: KMSClient, key: str) -> None:
    local_kms.faults.throttle()
    local_kms.faults.fail(code="KMSInternalException")

    assert [_error_code(kms), _error_code(kms)] == ["ThrottlingException", "KMSInternalException"]


def test_failed_operation_is_not_carried_out(local_kms: LocalKms, kms: KMSClient, key: str) -> None:
    local_kms.faults.fail("DisableKey", "KMSInternalException")

    with pytest.raises(ClientError):
        kms.disable_key(KeyId=key)

    assert kms.describe_key(KeyId=key)["KeyMetadata"]["Enabled"]


def test_pending_count_is_what_has_not_happened_yet(local_kms: LocalKms, kms: KMSClient, key: str) -> None:
    local_kms.faults.throttle("Decrypt")
    local_kms.faults.throttle("GenerateDataKey")

    _error_code(kms)

    assert local_kms.faults.pending_count == 1


def test_fault_count_of_zero_is_refused(local_kms: LocalKms) -> None:
    with pytest.raises(ValueError, match="count is 0"):
        local_kms.faults.throttle(count=0)


def test_latency_delays_the_named_operation_only(local_kms: LocalKms, kms: KMSClient, key: str) -> None:
    local_kms.faults.latency(3600, "Decrypt")
    # It would not come back in the time that the client waits.
    blob = _generate(kms)
    local_kms.faults.clear()
    local_kms.faults.latency(0.2, "Decrypt")
    start = time.perf_counter()

    kms.decrypt(CiphertextBlob=blob)

    assert time.perf_counter() - start >= 0.2


def test_reset_breaks_the_connection_once(local_kms: LocalKms, kms: KMSClient, key: str) -> None:
    local_kms.faults.reset("GenerateDataKey")

    with pytest.raises(ConnectionClosedError):
        _generate(kms)

    assert _generate(kms)
    assert [call.outcome for call in local_kms.calls] == ["ConnectionReset", "OK"]


def test_refused_connections_come_back_on_the_same_port(local_kms: LocalKms, kms: KMSClient, key: str) -> None:
    blob, url = _generate(kms), local_kms.endpoint_url

    with local_kms.faults.refuse_connections(), pytest.raises(EndpointConnectionError):
        _generate(kms)

    assert local_kms.endpoint_url == url
    assert kms.decrypt(CiphertextBlob=blob)["KeyId"] == key
    assert local_kms.count() == 2


# ---- stopping and starting ----


def test_stopped_server_is_unreachable_and_comes_back_with_its_keys(
    local_kms: LocalKms, kms: KMSClient, key: str
) -> None:
    blob = _generate(kms)

    local_kms.stop()
    with pytest.raises(EndpointConnectionError):
        kms.decrypt(CiphertextBlob=blob)
    local_kms.start()

    assert kms.decrypt(CiphertextBlob=blob)["KeyId"] == key


def test_stop_closes_open_connections_at_once(local_kms: LocalKms) -> None:
    idle = http.client.HTTPConnection(urlsplit(local_kms.endpoint_url).netloc, timeout=5)
    with closing(idle):
        idle.request("POST", "/", b"{}")
        idle.getresponse().read()
        start = time.perf_counter()

        local_kms.stop()

        assert idle.sock.recv(1) == b""
        assert time.perf_counter() - start < 1


def test_stop_cuts_a_delay_short(local_kms: LocalKms, kms: KMSClient, key: str) -> None:
    local_kms.faults.latency(60, count=1)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(_generate, kms)
        while local_kms.faults.pending_count:
            time.sleep(0.001)
        start = time.perf_counter()

        local_kms.stop()

        assert isinstance(waiting.exception(timeout=5), ConnectionClosedError)
        assert time.perf_counter() - start < 5
    assert [call.outcome for call in local_kms.calls] == ["ConnectionReset"]


def test_starting_and_stopping_twice_changes_nothing(local_kms: LocalKms, kms: KMSClient, key: str) -> None:
    local_kms.start()
    assert _generate(kms)

    local_kms.stop()
    local_kms.stop()
    local_kms.start()
    assert _generate(kms)


def test_endpoint_of_a_server_never_started_is_an_error() -> None:
    with pytest.raises(RuntimeError, match="start"):
        _ = LocalKms().endpoint_url


def test_dropped_server_gives_its_port_back() -> None:
    port = urlsplit(LocalKms().start().endpoint_url).port or 0

    gc.collect()

    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=5)


# ---- the wire ----


def test_many_threads_each_get_their_own_answer(local_kms: LocalKms, kms: KMSClient, key: str) -> None:
    def round_trip(number: int) -> bool:
        context = {"number": str(number)}
        made = kms.generate_data_key(KeyId=key, KeySpec="AES_256", EncryptionContext=context)
        opened = kms.decrypt(CiphertextBlob=made["CiphertextBlob"], EncryptionContext=context)
        return opened["Plaintext"] == made["Plaintext"]

    with ThreadPoolExecutor(16) as pool:
        results = list(pool.map(round_trip, range(200)))

    assert all(results)
    assert local_kms.count("GenerateDataKey") == local_kms.count("Decrypt") == 200


def test_every_answer_has_a_request_id_of_its_own(kms: KMSClient, key: str) -> None:
    answers = [kms.describe_key(KeyId=key)["ResponseMetadata"] for _ in range(2)]

    assert answers[0]["RequestId"] != answers[1]["RequestId"]
    assert all(len(answer["RequestId"]) == 36 for answer in answers)


def _signed(service: str) -> dict[str, str]:
    return {
        "X-Amz-Target": "TrentService.ListKeys",
        "Content-Type": "application/x-amz-json-1.1",
        "Authorization": f"AWS4-HMAC-SHA256 Credential=ME/20250101/us-east-1/{service}/aws4_request, Signature=0",
    }


def _post(local_kms: LocalKms, headers: dict[str, str], body: bytes = b"{}") -> tuple[int, bytes]:
    connection = http.client.HTTPConnection(urlsplit(local_kms.endpoint_url).netloc, timeout=5)
    with closing(connection):
        connection.request("POST", "/", body, headers)
        response = connection.getresponse()
        return response.status, response.read()


def test_request_signed_for_kms_is_answered(local_kms: LocalKms) -> None:
    assert _post(local_kms, _signed("kms")) == (200, b'{"Keys": [], "Truncated": false}')


def test_request_without_a_signature_is_refused(local_kms: LocalKms) -> None:
    headers = _signed("kms")
    del headers["Authorization"]

    status, body = _post(local_kms, headers)

    assert status == 400
    assert b"MissingAuthenticationTokenException" in body


def test_request_signed_for_another_service_is_refused(local_kms: LocalKms) -> None:
    status, body = _post(local_kms, _signed("s3"))

    assert status == 400
    assert b"InvalidSignatureException" in body


@pytest.mark.parametrize("body", [b"{", b"[]", b"\xff"])
def test_body_that_is_no_json_object_is_refused(local_kms: LocalKms, body: bytes) -> None:
    status, answer = _post(local_kms, _signed("kms"), body)

    assert status == 400
    assert b"SerializationException" in answer


def test_ordered_reset_is_a_reset_and_no_orderly_end(local_kms: LocalKms) -> None:
    local_kms.faults.reset()

    with pytest.raises(ConnectionResetError) as caught:
        _post(local_kms, _signed("kms"))

    # An orderly end would be its subclass RemoteDisconnected.
    assert caught.type is ConnectionResetError


@pytest.mark.parametrize("request_bytes", [b"nonsense\r\n\r\n", b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n"])
def test_malformed_http_is_answered_and_closed(local_kms: LocalKms, request_bytes: bytes) -> None:
    address = urlsplit(local_kms.endpoint_url)
    with socket.create_connection((address.hostname or "", address.port or 0), timeout=5) as connection:
        connection.sendall(request_bytes)

        answer = connection.makefile("rb").read()

    assert answer.startswith(b"HTTP/1.1 400 ")
