"""Where a client is enveloped: its control flow, its event handlers, and what they share."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from s3envelope.caches.manager import CachingMaterialsManager
from s3envelope.core.ports import Keyring, MaterialsManager, SpillStore, SystemPorts
from s3envelope.engine.materials import DefaultMaterialsManager
from s3envelope.engine.opening import ReadingSessions
from s3envelope.errors import UnsupportedOperationError
from s3envelope.s3.calls import CALL_PARAMETER, CONTEXT_NAME, Call
from s3envelope.s3.config import EnvelopeConfig
from s3envelope.s3.copies import copy_object, upload_part_copy
from s3envelope.s3.envelopes import EnvelopeMaker
from s3envelope.s3.listings import present_listing
from s3envelope.s3.multipart import finish_abort, prepare_complete, prepare_create, prepare_part
from s3envelope.s3.operations import OPERATIONS, Treatment, refuse, rule_for
from s3envelope.s3.reads import finish_get, finish_head, object_attributes, prepare_read
from s3envelope.s3.upload_registry import UploadRegistry
from s3envelope.s3.writes import prepare_put
from s3envelope.stores.spill import temporary_spill
from s3envelope.stores.upload_states import DirectoryUploadStates

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from botocore.model import OperationModel

_Send = Callable[[str, dict[str, Any]], dict[str, Any]]
_Prepare = Callable[["Seam", Call, dict[str, Any], "OperationModel"], None]

_PREPARE: Mapping[str, _Prepare] = {
    "PutObject": prepare_put,
    "CreateMultipartUpload": prepare_create,
    "UploadPart": prepare_part,
    "CompleteMultipartUpload": prepare_complete,
    "GetObject": prepare_read,
    "HeadObject": prepare_read,
}
_FINISH = {"GetObject": finish_get, "HeadObject": finish_head}
# Operations that take several requests.
_COMPOSED: Mapping[str, Callable[[Seam, dict[str, Any]], dict[str, Any]]] = {
    "CopyObject": copy_object,
    "UploadPartCopy": upload_part_copy,
    "GetObjectAttributes": object_attributes,
}
_LISTINGS = frozenset({"ListObjects", "ListObjectsV2", "ListObjectVersions"})
# Operations whose request must have a sealed body when it leaves.
_WITH_BODY = frozenset({"PutObject", "UploadPart"})
_PRESIGNABLE = frozenset({"GetObject", "HeadObject"})
_FIRST_ERROR = 300


class Seam:
    """Everything that one enveloped client has beside a plain one.

    Its methods are the event handlers of the client, so it refers to the client weakly: a client is freed as soon as
    nobody uses it.
    """

    def __init__(self, client: BaseClient, config: EnvelopeConfig, keyring: Keyring, ports: SystemPorts) -> None:
        self._client = weakref.ref(client)
        self.config = config
        self.keyring = keyring
        self.ports = ports
        self.endpoint_url = str(client.meta.endpoint_url)
        self.materials: MaterialsManager = DefaultMaterialsManager(keyring)
        if config.cache_limits is not None:
            self.materials = CachingMaterialsManager(keyring, config.cache_limits, ports)
        self.envelopes = EnvelopeMaker(
            keyring,
            self.materials,
            ports,
            bind_key_name=config.bind_key_name,
            metadata_limit=config.metadata_limit,
        )
        self.sessions = ReadingSessions()
        states = None if config.state_dir is None else DirectoryUploadStates(config.state_dir)
        self.uploads = UploadRegistry(self, states)
        self.spill_store: SpillStore = temporary_spill
        self._register(client)

    def _register(self, client: BaseClient) -> None:
        events = client.meta.events
        events.register_first("provide-client-params.*.*", self._take_call)
        events.register_first("needs-retry.s3", self._stop_retries)
        for operation, rule in OPERATIONS.items():
            if rule.treatment is Treatment.PASS or operation in _LISTINGS:
                continue
            events.register(f"before-parameter-build.s3.{operation}", self._prepare)
        # The least specific name runs last, after the user's handlers for the operation.
        events.register_last("before-parameter-build", self._check_place)
        events.register_last("before-call", self._check_request)
        for operation in (*_FINISH, *_LISTINGS):
            events.register(f"after-call.s3.{operation}", self._finish)

    def call(self, operation: str, parameters: dict[str, Any], send: _Send) -> dict[str, Any]:
        """Make one API call; `send` is the client's own `_make_api_call`."""
        call = parameters.get(CALL_PARAMETER)
        if not isinstance(call, Call):
            rule = rule_for(operation)
            if rule.treatment is Treatment.REFUSE:
                raise refuse(operation)
            if rule.treatment is Treatment.PASS:
                return self._pass(operation, parameters, send)
            if operation in _COMPOSED:
                return _COMPOSED[operation](self, parameters)
            call = Call(operation, bucket=str(parameters.get("Bucket", "")))
        # INVARIANT: botocore records the parameters of a call before any handler runs, where recording is on; the body
        # is not among them.
        sent = {name: value for name, value in parameters.items() if name != "Body"}
        call.given.update({name: value for name, value in parameters.items() if name == "Body"})
        try:
            answer = send(operation, {**sent, CALL_PARAMETER: call})
        except BaseException as error:
            if call.on_failure is not None:
                call.on_failure()
            # Whatever the transport made of it: HTTPClientError, or an error of its own with another signer.
            if call.failure is not None and isinstance(error, Exception):
                raise call.failure from None
            raise
        finally:
            call.close()
        if call.on_success is not None:
            call.on_success(answer)
        return answer

    def _pass(self, operation: str, parameters: dict[str, Any], send: _Send) -> dict[str, Any]:
        try:
            answer = send(operation, parameters)
        except ClientError as error:
            if operation == "AbortMultipartUpload" and error.response.get("Error", {}).get("Code") == "NoSuchUpload":
                finish_abort(self, parameters)
            raise
        if operation == "AbortMultipartUpload":
            finish_abort(self, parameters)
        return answer

    def inner(self, operation: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """Make a call whose parameters and answer are ciphertext.

        Raises:
            ClientError, BotoCoreError: As botocore has them.
        """
        client = self.client()
        answer: dict[str, Any] = client._make_api_call(
            operation, {**parameters, CALL_PARAMETER: Call(operation, inner=True, body=parameters.get("Body"))}
        )
        return answer

    def client(self) -> Any:
        """Return the client, which exists as long as one of its calls runs."""
        client = self._client()
        if client is None:
            raise UnsupportedOperationError("the client of this stream is gone")
        return client

    def error(self, code: str, answer: dict[str, Any], operation: str) -> ClientError:
        """Return botocore's own exception for an error code."""
        made: ClientError = self.client().exceptions.from_code(code)(answer, operation)
        return made

    # ---- event handlers, in the order in which they run ----

    def _take_call(self, params: dict[str, Any], context: dict[str, Any], **_: object) -> None:
        call = params.pop(CALL_PARAMETER, None)
        if isinstance(call, Call):
            context[CONTEXT_NAME] = call
            params.update(call.given)
            call.given.clear()

    def _prepare(self, params: dict[str, Any], model: OperationModel, context: dict[str, Any], **_: object) -> None:
        if context.get("is_presign_request"):
            self._check_presigned(model.name)
            return
        call = context.get(CONTEXT_NAME)
        if not isinstance(call, Call) or call.operation != model.name:
            raise UnsupportedOperationError(f"{model.name} did not come through the client's own method; call that")
        if not call.inner and model.name in _PREPARE:
            _PREPARE[model.name](self, call, params, model)
        call.place = (params.get("Bucket"), params.get("Key"))

    def _check_presigned(self, operation: str) -> None:
        if operation in _PRESIGNABLE and self.config.allow_presigned_ciphertext:
            return
        if operation in _PRESIGNABLE:
            raise UnsupportedOperationError(
                f"a presigned {operation} is refused: whoever uses the URL gets ciphertext. Instead, read the object "
                "through this client; or configure allow_presigned_ciphertext=True if ciphertext is wanted"
            )
        raise UnsupportedOperationError(
            f"a presigned {operation} is refused: whoever uses the URL would go around the encryption. "
            "Instead, make the call through this client"
        )

    def _check_place(self, params: dict[str, Any], context: dict[str, Any], model: OperationModel, **_: object) -> None:
        # INVARIANT: an envelope leaves for the key that it was made for, and an answer is opened under the key that it
        # was asked for.
        call = context.get(CONTEXT_NAME)
        if (
            isinstance(call, Call)
            and call.place is not None
            and call.place != (params.get("Bucket"), params.get("Key"))
        ):
            raise UnsupportedOperationError(
                f"Bucket or Key of {model.name} was changed by an event handler after the envelope was made; nothing "
                "was sent. Change them in provide-client-params handlers"
            )

    def _check_request(
        self, params: dict[str, Any], context: dict[str, Any], model: OperationModel, **_: object
    ) -> None:
        # INVARIANT: the last look at the whole request. Whatever handlers did to the parameters, the body that leaves
        # is the one that was sealed for this call, and its envelope leaves with it. A handler that is registered later
        # for no operation in particular, or that changes a request that is being sent, is beyond it.
        call = context.get(CONTEXT_NAME)
        if model.name in _WITH_BODY and (
            not isinstance(call, Call) or call.body is None or params.get("body") is not call.body
        ):
            raise UnsupportedOperationError(
                f"the body of {model.name} was replaced by an event handler after it was sealed, or was never sealed; "
                "nothing was sent. Change bodies in provide-client-params handlers"
            )
        envelope = call.envelope if isinstance(call, Call) else {}
        headers = params.get("headers", {})
        if any(headers.get(f"x-amz-meta-{name}") != value for name, value in envelope.items()):
            raise UnsupportedOperationError(
                f"the metadata of {model.name} was changed by an event handler after the envelope was added; nothing "
                "was sent. Change metadata in provide-client-params handlers"
            )

    def _stop_retries(self, request_dict: dict[str, Any], **_: object) -> None:
        call = request_dict.get("context", {}).get(CONTEXT_NAME)
        if isinstance(call, Call) and call.failure is not None:
            raise call.failure

    def _finish(
        self, http_response: Any, parsed: dict[str, Any], model: OperationModel, context: dict[str, Any], **_: object
    ) -> None:
        call = context.get(CONTEXT_NAME)
        if not isinstance(call, Call) or call.inner:
            return
        if model.name in _FINISH:
            _FINISH[model.name](self, call, http_response, parsed)
        elif http_response.status_code < _FIRST_ERROR:
            quoted = parsed.get("EncodingType") == "url" and not context.get("encoding_type_auto_set")
            present_listing(self, call.bucket, model.name, parsed, quoted=quoted)
