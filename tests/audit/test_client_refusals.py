"""What a client leaves in its log of calls that it refuses, or that a key service refuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from s3envelope import KmsKeyring, MultiKeyring
from s3envelope.errors import (
    ContextMismatchError,
    KeyAccessError,
    KeyServiceUnavailableError,
    NotEncryptedError,
    UnsupportedOperationError,
)
from tests.support.audited import Audited
from tests.support.enveloped import CANARY

Refused = Callable[[Audited, Any], object]


def _with_other_context(audited: Audited, client: Any) -> object:
    return client.get_object(Bucket=audited.bucket, Key="k", EncryptionContext={"tenant": "other"})


def _without_key(audited: Audited, client: Any) -> object:
    audited.kms.perform("DisableKey", KeyId=audited.key_arn)
    return client.get_object(Bucket=audited.bucket, Key="k")


def _unreachable(audited: Audited, client: Any) -> object:
    with audited.kms.faults.refuse_connections():
        return client.get_object(Bucket=audited.bucket, Key="k")


def _plain(audited: Audited, client: Any) -> object:
    plain = audited.endpoint.client()
    plain.put_object(Bucket=audited.bucket, Key="k", Body=b"x")
    plain.close()
    return client.get_object(Bucket=audited.bucket, Key="k")


def _presigned(audited: Audited, client: Any) -> object:
    return client.generate_presigned_url("get_object", Params={"Bucket": audited.bucket, "Key": "k"})


def _posted(audited: Audited, client: Any) -> object:
    return client.generate_presigned_post(audited.bucket, "k")


@pytest.mark.parametrize(
    ("refused", "error", "operation", "outcome"),
    [
        (_with_other_context, ContextMismatchError, "refuse", "refused"),
        (_without_key, KeyAccessError, "refuse", "refused"),
        (_unreachable, KeyServiceUnavailableError, "decrypt", "failed"),
        (_plain, NotEncryptedError, "refuse", "refused"),
        (_presigned, UnsupportedOperationError, "refuse", "refused"),
        (_posted, UnsupportedOperationError, "refuse", "refused"),
    ],
)
def test_call_when_refused_is_one_record(
    audited: Audited, refused: Refused, error: type[Exception], operation: str, outcome: str
) -> None:
    client = audited.client()
    client.put_object(Bucket=audited.bucket, Key="k", Body=CANARY)
    audited.new()
    audited.kms.clear_calls()

    with pytest.raises(error):
        refused(audited, client)

    client.close()
    (record,) = audited.new()
    assert (record["operation"], record["outcome"], record["error"]) == (operation, outcome, error.__name__)
    answered = [call.request_id for call in audited.kms.calls if call.operation == "Decrypt" and call.request_id]
    assert record.get("kms_request_ids", []) == answered


def test_denial_when_it_is_of_several_keys_has_the_requests_of_all(audited: Audited) -> None:
    arns = [audited.key_arn, audited.kms.create_key()]
    keyring = MultiKeyring(*(KmsKeyring(arn, audited.kms.client()) for arn in arns))
    client = audited.client(keyring=keyring)
    client.put_object(Bucket=audited.bucket, Key="k", Body=CANARY)
    audited.new()
    audited.kms.clear_calls()
    for arn in arns:
        audited.kms.perform("DisableKey", KeyId=arn)

    with pytest.raises(KeyAccessError):
        client.get_object(Bucket=audited.bucket, Key="k")

    client.close()
    (record,) = audited.new()
    answered = [call.request_id for call in audited.kms.calls if call.operation == "Decrypt"]
    assert (len(answered), record["kms_request_ids"]) == (2, answered)


def test_request_when_a_handler_changed_it_is_told_once_as_failed(audited: Audited) -> None:
    client = audited.client()
    audited.new()

    def change(params: dict[str, Any], **_: object) -> None:
        params["body"] = CANARY

    client.meta.events.register("before-call.s3.PutObject", change)
    with pytest.raises(UnsupportedOperationError):
        client.put_object(Bucket=audited.bucket, Key="k", Body=CANARY)

    client.close()
    records = audited.new()
    assert [(record["operation"], record["outcome"]) for record in records] == [
        ("generate", "success"),
        ("seal", "begun"),
        ("seal", "failed"),
    ]
    assert records[-1]["error"] == "UnsupportedOperationError"
