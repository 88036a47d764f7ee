"""From an HTTP request to an answer: who calls what, the faults, the operation, the log."""

from __future__ import annotations

import json
import re
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from s3envelope.testing.local_kms import (
    alias_operations,
    crypto_operations,
    key_operations,
    policy_operations,
    rotation_operations,
)
from s3envelope.testing.local_kms.calls import CONNECTION_RESET, OK, CallLog, record_of
from s3envelope.testing.local_kms.errors import KmsServiceError
from s3envelope.testing.local_kms.faults import KmsFaults
from s3envelope.testing.local_kms.request import Answer, Caller, Request
from s3envelope.testing.local_kms.schema import validate
from s3envelope.testing.local_kms.store import KeyStore

_TARGET_PREFIX = "TrentService."
_CREDENTIAL = re.compile(r"AWS4-HMAC-SHA256 Credential=([^/,\s]+)/\d{8}/([^/,\s]+)/([^/,\s]+)/aws4_request\b")

OPERATIONS: Mapping[str, Callable[[Request], Answer]] = {
    "CreateKey": key_operations.create_key,
    "ReplicateKey": key_operations.replicate_key,
    "UpdatePrimaryRegion": key_operations.update_primary_region,
    "DescribeKey": key_operations.describe_key,
    "ListKeys": key_operations.list_keys,
    "UpdateKeyDescription": key_operations.update_key_description,
    "EnableKey": key_operations.enable_key,
    "DisableKey": key_operations.disable_key,
    "ScheduleKeyDeletion": key_operations.schedule_key_deletion,
    "CancelKeyDeletion": key_operations.cancel_key_deletion,
    "CreateAlias": alias_operations.create_alias,
    "UpdateAlias": alias_operations.update_alias,
    "DeleteAlias": alias_operations.delete_alias,
    "ListAliases": alias_operations.list_aliases,
    "EnableKeyRotation": rotation_operations.enable_key_rotation,
    "DisableKeyRotation": rotation_operations.disable_key_rotation,
    "GetKeyRotationStatus": rotation_operations.get_key_rotation_status,
    "RotateKeyOnDemand": rotation_operations.rotate_key_on_demand,
    "ListKeyRotations": rotation_operations.list_key_rotations,
    "PutKeyPolicy": policy_operations.put_key_policy,
    "GetKeyPolicy": policy_operations.get_key_policy,
    "ListGrants": policy_operations.list_grants,
    "TagResource": policy_operations.tag_resource,
    "UntagResource": policy_operations.untag_resource,
    "ListResourceTags": policy_operations.list_resource_tags,
    "GenerateDataKey": crypto_operations.generate_data_key,
    "GenerateDataKeyWithoutPlaintext": crypto_operations.generate_data_key_without_plaintext,
    "Encrypt": crypto_operations.encrypt,
    "Decrypt": crypto_operations.decrypt,
    "ReEncrypt": crypto_operations.re_encrypt,
}


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What the server read. Header names are in lower case."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class HttpResponse:
    """What the server is to send."""

    status: int
    request_id: str
    body: bytes


class ResetConnectionError(Exception):
    """A fault orders that the connection is reset instead of answered."""


class KmsService:
    """The service without its socket.

    Args:
        pause: Waits that many seconds, or until the server stops: tells whether it did.
    """

    def __init__(self, store: KeyStore, faults: KmsFaults, log: CallLog, *, pause: Callable[[float], bool]) -> None:
        self.store = store
        self._faults = faults
        self._log = log
        self._pause = pause
        self._lock = threading.Lock()

    def execute(self, operation: str, parameters: Mapping[str, object], caller: Caller) -> Answer:
        """Carry out one operation.

        Raises:
            KmsServiceError: The error answer.
        """
        handler = OPERATIONS.get(operation)
        if handler is None:
            raise KmsServiceError("UnknownOperationException", f"LocalKms has no operation {operation!r}.")
        self.store.require_region(caller.region)
        values = validate(operation, parameters)
        with self._lock:
            if self.store.doomed:
                self.store.expire()
            return handler(Request(operation, values, caller, self.store))

    def respond(self, http: HttpRequest) -> HttpResponse:
        """Answer one request, and log it before the answer is sent.

        Raises:
            ResetConnectionError: In place of an answer.
        """
        operation, parameters, caller = "", {}, Caller("", "", self.store.account_id)
        request_id = str(uuid.uuid4())
        try:
            operation = _operation_of(http)
            caller = _caller_of(http, self.store.account_id)
            parameters = _parameters_of(http)
            self._apply_faults(operation)
            answer, status, outcome = self.execute(operation, parameters, caller), 200, OK
        except KmsServiceError as error:
            answer, status, outcome = {"__type": error.code}, error.status, error.code
            if error.message:
                answer["message"] = error.message
        except ResetConnectionError:
            self._record(operation, parameters, caller, CONNECTION_RESET, "")
            raise
        self._record(operation, parameters, caller, outcome, request_id)
        body = json.dumps(answer).encode("ascii") if answer else b""
        return HttpResponse(status, request_id, body)

    def _apply_faults(self, operation: str) -> None:
        effect = self._faults.take(operation)
        stopped = bool(effect.latency_seconds) and self._pause(effect.latency_seconds)
        if effect.reset or stopped:
            raise ResetConnectionError
        if effect.error is not None:
            raise effect.error

    def _record(
        self, operation: str, parameters: Mapping[str, object], caller: Caller, outcome: str, request_id: str
    ) -> None:
        self._log.add(
            record_of(
                operation,
                parameters,
                region=caller.region,
                access_key_id=caller.access_key_id,
                outcome=outcome,
                request_id=request_id,
            )
        )


def _operation_of(http: HttpRequest) -> str:
    target = http.headers.get("x-amz-target", "")
    if http.method != "POST" or http.path != "/" or not target.startswith(_TARGET_PREFIX):
        raise KmsServiceError("UnknownOperationException", "Send POST / with X-Amz-Target: TrentService.NAME.")
    return target.removeprefix(_TARGET_PREFIX)


def _caller_of(http: HttpRequest, account_id: str) -> Caller:
    """Return who signed the request. The signature itself is not checked: every secret is right."""
    authorization = http.headers.get("authorization")
    if authorization is None:
        raise KmsServiceError("MissingAuthenticationTokenException", "Missing Authentication Token")
    match = _CREDENTIAL.match(authorization)
    if match is None:
        raise KmsServiceError("IncompleteSignatureException", "Authorization is not a SigV4 header.")
    access_key_id, region, service = match.groups()
    if service != "kms":
        raise KmsServiceError("InvalidSignatureException", "Credential should be scoped to correct service: 'kms'.")
    return Caller(access_key_id, region, account_id)


def _parameters_of(http: HttpRequest) -> dict[str, object]:
    if http.headers.get("content-type", "") != "application/x-amz-json-1.1":
        raise KmsServiceError("SerializationException", "Content-Type is not application/x-amz-json-1.1.")
    try:
        parameters = json.loads(http.body or b"{}")
    except (ValueError, RecursionError):
        raise KmsServiceError("SerializationException", "The body is not JSON.") from None
    if not isinstance(parameters, dict):
        raise KmsServiceError("SerializationException", "The body is not a JSON object.")
    return parameters
