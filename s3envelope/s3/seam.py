"""Where a client is enveloped: its control flow, its event handlers, and what they share."""

from __future__ import annotations

import logging
import os
import weakref
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from s3envelope.caches.disk import DiskCache
from s3envelope.caches.manager import CachingMaterialsManager
from s3envelope.caches.partition import CacheScope
from s3envelope.core.measures import Measurable, measure_keyring
from s3envelope.core.ports import Keyring, MaterialsManager, SpillStore, SystemPorts
from s3envelope.core.secret import overwrite_cipher_stack
from s3envelope.engine.kept import KeptPool
from s3envelope.engine.materials import DefaultMaterialsManager
from s3envelope.engine.opening import ReadingSessions
from s3envelope.engine.sealing import SealedRun
from s3envelope.errors import UnsupportedOperationError
from s3envelope.formats import names
from s3envelope.keyrings.succession import SuccessionKeyring
from s3envelope.s3 import auditing
from s3envelope.s3.bodies import UploadBody
from s3envelope.s3.calls import CALL_PARAMETER, CONTEXT_NAME, Call
from s3envelope.s3.config import EnvelopeConfig
from s3envelope.s3.copies import copy_object, upload_part_copy
from s3envelope.s3.envelopes import EnvelopeMaker
from s3envelope.s3.instruction_files import DELETIONS
from s3envelope.s3.keyrings import keyring_for, kms_keyring, s3ec_keyring_for
from s3envelope.s3.listings import present_listing
from s3envelope.s3.metering import Metering
from s3envelope.s3.multipart import finish_abort, prepare_complete, prepare_create, prepare_part
from s3envelope.s3.operations import OPERATIONS, Treatment, refuse, refuse_query, rule_for
from s3envelope.s3.read_rotation import ReadRotation
from s3envelope.s3.reads import finish_get, finish_head, object_attributes, prepare_read
from s3envelope.s3.s3ec_multipart import prepare_s3ec_create, prepare_s3ec_part
from s3envelope.s3.s3ec_writes import prepare_s3ec_put
from s3envelope.s3.targets import Targets
from s3envelope.s3.upload_registry import UploadRegistry
from s3envelope.s3.wholes import Wholes
from s3envelope.s3.writes import prepare_put
from s3envelope.stores.spill import temporary_spill
from s3envelope.stores.system import system_ports
from s3envelope.stores.upload_states import DirectoryUploadStates

if TYPE_CHECKING:
    from botocore.client import BaseClient
    from botocore.model import OperationModel

_LOGGER = logging.getLogger("s3envelope.calls")
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
# What a client does instead that writes a format of the Amazon clients.
_PREPARE_S3EC: Mapping[str, _Prepare] = {
    "PutObject": prepare_s3ec_put,
    "CreateMultipartUpload": prepare_s3ec_create,
    "UploadPart": prepare_s3ec_part,
}
_FINISH = {"GetObject": finish_get, "HeadObject": finish_head}
# Operations that take several requests.
_COMPOSED: Mapping[str, Callable[[Seam, dict[str, Any]], dict[str, Any]]] = {
    "CopyObject": copy_object,
    "UploadPartCopy": upload_part_copy,
    "GetObjectAttributes": object_attributes,
}
_LISTINGS = frozenset({"ListObjects", "ListObjectsV2", "ListObjectVersions", "ListParts"})
# Operations whose request must have a sealed body when it leaves.
_WITH_BODY = frozenset({"PutObject", "UploadPart"})
_PRESIGNABLE = frozenset({"GetObject", "HeadObject"})
_FIRST_ERROR = 300
# In pieces of 256 KiB. A part of 8 MiB takes 33; of all uploads of a client 16.5 MiB are kept.
_KEPT_SHARE = 33
_KEPT_PIECES = 2 * _KEPT_SHARE
# With two processors one body is prepared while another is sent; what is kept is enough for two anyway.
_KEPT_TURNS = 1 if (os.cpu_count() or 1) <= 2 else 2


def _new_pool() -> KeptPool:
    return KeptPool(_KEPT_PIECES, share=_KEPT_SHARE, turns=_KEPT_TURNS)


class Seam:
    """Everything that one enveloped client has beside a plain one.

    Its methods are the event handlers of the client, so it refers to the client weakly: a client is freed as soon as
    nobody uses it.
    """

    def __init__(
        self,
        client: BaseClient,
        config: EnvelopeConfig,
        keyring: Keyring,
        ports: SystemPorts,
        make_keyring: Callable[[Any, Sequence[str]], Keyring],
    ) -> None:
        overwrite_cipher_stack()
        self._client = weakref.ref(client)
        self.config = config
        self.keyring = keyring
        self.ports = ports
        self.audit = auditing.sink_of(config, ports)
        self.metering = Metering.of(config)
        self.endpoint_url = str(client.meta.endpoint_url)
        self.materials = self.manager(keyring)
        self.envelopes = self.maker(keyring, self.materials)
        # Without proxies this object would be freed, and its data keys wiped, only when cycles are collected.
        self.targets = Targets(weakref.proxy(self), make_keyring)
        self.sessions = ReadingSessions()
        self.read_rotation: ReadRotation | None = None
        if config.rotate_on_read is not None and isinstance(keyring, SuccessionKeyring):
            seconds = config.rotate_on_read.total_seconds()
            self.read_rotation = ReadRotation(weakref.ref(client), keyring, seconds, ports)
        self.s3ec_keyring = s3ec_keyring_for(config, keyring)
        if self.metering is not None and isinstance(self.s3ec_keyring, Measurable):
            self.s3ec_keyring.measure(self.metering.meter)
        self.wholes = Wholes(ports.clock, ports.process_id, config.verify_in_memory)
        writes_se1 = config.write_format == names.SE1
        self._prepare_writing: Mapping[str, _Prepare] = {} if writes_se1 else _PREPARE_S3EC
        # The uploads of the other formats live in one process.
        states = None if config.state_dir is None or not writes_se1 else DirectoryUploadStates(config.state_dir)
        self.uploads = UploadRegistry(weakref.proxy(self), states)
        self.spill_store: SpillStore = temporary_spill
        # Over http a body is read for a checksum, to sign it, and to send it; over https once.
        self._keeps = self.endpoint_url.startswith("http:")
        self.kept, self._kept_owner = _new_pool(), ports.process_id()
        auditing.tell_configuration(self)
        self._register(client)

    def manager(self, keyring: Keyring) -> MaterialsManager:
        """Return a materials manager for a keyring, with the configured cache."""
        config = self.config
        if self.metering is not None:
            measure_keyring(keyring, self.metering.meter)
        if config.cache is None or config.cache_limits is None:
            return DefaultMaterialsManager(keyring, self.audit)
        return CachingMaterialsManager(
            keyring,
            config.cache_limits,
            self.ports,
            disk=config.cache if isinstance(config.cache, DiskCache) else None,
            scope=CacheScope(partition=config.cache_partition),
            audit=self.audit,
        )

    def maker(self, keyring: Keyring, materials: MaterialsManager) -> EnvelopeMaker:
        """Return a maker of envelopes with the configured binding and limit."""
        config = self.config
        return EnvelopeMaker(
            keyring, materials, self.ports, bind_key_name=config.bind_key_name, metadata_limit=config.metadata_limit
        )

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
        if self._keeps:
            events.register("before-send.s3", self._begin_sending)
        for operation in (*_FINISH, *_LISTINGS):
            events.register(f"after-call.s3.{operation}", self._finish)

    def call(self, operation: str, parameters: dict[str, Any], send: _Send) -> dict[str, Any]:
        """Make one API call; `send` is the client's own `_make_api_call`."""
        call = parameters.get(CALL_PARAMETER)
        if isinstance(call, Call):
            return self._send(call, parameters, send)
        # Not `auditing.refusals`: a generator on the way of every call costs more than what it does.
        try:
            rule = rule_for(operation)
            if rule.treatment is Treatment.REFUSE:
                raise refuse(operation)
            if rule.treatment is Treatment.PASS:
                return self._pass(operation, parameters, send)
            if operation in _COMPOSED:
                return _COMPOSED[operation](self, parameters)
            return self._send(Call(operation, bucket=str(parameters.get("Bucket", ""))), parameters, send)
        except BaseException as error:
            auditing.tell_failure(self.audit, operation, parameters, error)
            raise

    def _send(self, call: Call, parameters: dict[str, Any], send: _Send) -> dict[str, Any]:
        # INVARIANT: botocore records the parameters of a call before any handler runs, where recording is on; the body
        # is not among them.
        sent = {**parameters, CALL_PARAMETER: call}
        if "Body" in sent:
            call.given["Body"] = sent.pop("Body")
        try:
            answer = send(call.operation, sent)
        except BaseException as error:
            if call.on_failure is not None:
                call.on_failure()
            if call.undertaking is not None:
                call.undertaking.failed(call.failure or error)
            # Whatever the transport made of it: HTTPClientError, or an error of its own with another signer.
            if call.failure is not None and isinstance(error, Exception):
                raise call.failure from None
            raise
        finally:
            call.close()
        _LOGGER.debug("%s of %s: answered", call.operation, call.place)
        if self.metering is not None:
            self.metering.sent(call)
        try:
            if call.on_success is not None:
                call.on_success(answer)
        finally:
            if call.undertaking is not None:
                call.undertaking.succeeded(answer)
        return answer

    def _pass(self, operation: str, parameters: dict[str, Any], send: _Send) -> dict[str, Any]:
        if operation == "RestoreObject":
            refuse_query(parameters)
        try:
            if operation in DELETIONS:
                answer = auditing.delete(self, operation, parameters, lambda: send(operation, parameters))
            else:
                answer = send(operation, parameters)
        except ClientError as error:
            if operation == "AbortMultipartUpload" and error.response.get("Error", {}).get("Code") == "NoSuchUpload":
                finish_abort(self, parameters)
            raise
        if operation == "AbortMultipartUpload":
            finish_abort(self, parameters)
        if self.config.delete_instruction_files and operation in DELETIONS:
            DELETIONS[operation](self, parameters, answer)
        return answer

    def keep(self, call: Call, run: SealedRun, body: UploadBody) -> None:
        """Let the body of a call be sealed once for all passes over it, as far as memory goes."""
        if not self._keeps:
            return
        if self.ports.process_id() != self._kept_owner:
            # What other threads had of the pool when the process was forked is not given back in the child.
            self.kept, self._kept_owner = _new_pool(), self.ports.process_id()
        run.keep(self.kept)
        call.cleanups.append(run.drop)
        body.on_sending = run.begin_sending

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
            with auditing.refusals(self, model.name, params):
                self._check_presigned(model.name)
            return
        call = context.get(CONTEXT_NAME)
        if not isinstance(call, Call) or call.operation != model.name:
            raise UnsupportedOperationError(f"{model.name} did not come through the client's own method; call that")
        if not call.inner and model.name in _PREPARE:
            prepare = self._prepare_writing.get(model.name) or _PREPARE[model.name]
            prepare(self, call, params, model)
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

    @staticmethod
    def _begin_sending(request: Any, **_: Any) -> None:
        if isinstance(request.body, UploadBody):
            request.body.begin_sending()

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
            try:
                _FINISH[model.name](self, call, http_response, parsed)
            except BaseException as error:
                asked = {} if call.read is None else call.read.parameters
                auditing.tell_failure(self.audit, model.name, asked, error, parsed)
                raise
        elif http_response.status_code < _FIRST_ERROR:
            quoted = parsed.get("EncodingType") == "url" and not context.get("encoding_type_auto_set")
            present_listing(self, call.bucket, model.name, parsed, quoted=quoted)


def make_seam(session: Any, client: Any, config: EnvelopeConfig) -> Seam:
    """Return what makes a client of a session an enveloped one."""

    def make_keyring(client: Any, key_ids: Sequence[str]) -> Keyring:
        return kms_keyring(session, client, config, key_ids)

    return Seam(client, config, keyring_for(session, client, config), system_ports(), make_keyring)
