"""An asynchronous client as the synchronous parts of this library, boto3 and s3transfer want it: for threads."""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aiobotocore.response import AioStreamingBody

from s3envelope.aio.bodies import AsyncBody, BlockingBody, store_body
from s3envelope.aio.bridge import Bridge
from s3envelope.aio.kms import KmsSession
from s3envelope.errors import UnsupportedOperationError
from s3envelope.s3.calls import CONTEXT_NAME, Call
from s3envelope.s3.config import EnvelopeConfig
from s3envelope.s3.install import TRANSFER_METHODS
from s3envelope.s3.mixin import EnvelopeMixin
from s3envelope.s3.seam import Seam, make_seam

# Handlers that may ask KMS, encrypt, decrypt or make requests; the others are done in microseconds.
_PREPARING = "before-parameter-build.s3."
_FINISHING = "after-call.s3."
# What ends a transfer that was cancelled.
_CLEANS_UP = "AbortMultipartUpload"


class _Events:
    """The event emitter of an asynchronous client, whose slow handlers run in the thread that made the call."""

    def __init__(self, events: Any, bridge: Bridge) -> None:
        self._events = events
        self._bridge = bridge

    def register(self, event_name: str, handler: Callable[..., Any], **options: Any) -> None:
        if event_name.startswith(_PREPARING):
            handler = functools.partial(_prepare, self._bridge, handler)
        elif event_name.startswith(_FINISHING):
            handler = functools.partial(_finish, self._bridge, handler)
        self._events.register(event_name, handler, **options)

    def register_first(self, event_name: str, handler: Callable[..., Any], **options: Any) -> None:
        self._events.register_first(event_name, handler, **options)

    def register_last(self, event_name: str, handler: Callable[..., Any], **options: Any) -> None:
        self._events.register_last(event_name, handler, **options)


async def _prepare(
    bridge: Bridge, handler: Callable[..., None], params: dict[str, Any], context: dict[str, Any], **event: Any
) -> None:
    if context.get("is_presign_request"):
        handler(params=params, context=context, **event)
        return

    def run() -> None:
        handler(params=params, context=context, **event)
        call = context.get(CONTEXT_NAME)
        if isinstance(call, Call):
            store_body(call, params)

    await bridge.call(run)


async def _finish(bridge: Bridge, handler: Callable[..., None], parsed: dict[str, Any], **event: Any) -> None:
    original = parsed.get("Body")
    if isinstance(original, AioStreamingBody):
        parsed["Body"] = BlockingBody(original, bridge)
    try:
        await bridge.call(handler, parsed=parsed, **event)
    except BaseException:
        # Whatever it was, be it that the task was cancelled: nobody will read it.
        if isinstance(original, AioStreamingBody):
            original.close()
        raise


@dataclass(frozen=True, slots=True)
class _Meta:
    """What of a client's `meta` is looked at."""

    events: _Events
    endpoint_url: str
    region_name: str
    config: Any
    service_model: Any
    method_to_api_mapping: Mapping[str, str]


class BlockingClient:
    """The calls of an asynchronous client, made from threads. It has the operations of the service, and no more.

    Args:
        client: Referred to weakly.
        send: The name of its coroutine method that makes a call.
    """

    def __init__(self, client: Any, bridge: Bridge, *, send: str = "_make_api_call") -> None:
        meta = client.meta
        self.meta = _Meta(
            events=_Events(meta.events, bridge),
            endpoint_url=str(meta.endpoint_url),
            region_name=str(meta.region_name),
            config=meta.config,
            service_model=meta.service_model,
            method_to_api_mapping=meta.method_to_api_mapping,
        )
        self.exceptions = client.exceptions
        self.bridge = bridge
        self._client = weakref.ref(client)
        self._send_name = send
        # Looked at when a KMS client is made: the authorities that the S3 client trusts.
        self._endpoint = client._endpoint

    def _make_api_call(self, operation_name: str, api_params: dict[str, Any]) -> dict[str, Any]:
        client = self._client()
        if client is None:
            raise UnsupportedOperationError("the client of this call is gone; keep it until its calls have ended")
        send = getattr(client, self._send_name)
        answer: dict[str, Any] = self.bridge.wait_for(
            lambda: send(operation_name, api_params), cleans_up=operation_name == _CLEANS_UP
        )
        body = answer.get("Body")
        if isinstance(body, AsyncBody):
            answer["Body"] = body.blocking
        elif isinstance(body, AioStreamingBody):
            answer["Body"] = BlockingBody(body, self.bridge)
        return answer


def _methods(client: Any) -> dict[str, Any]:
    return {
        method: functools.partialmethod(_operation, operation)
        for method, operation in client.meta.method_to_api_mapping.items()
    }


def _operation(self: Any, operation: str, **parameters: Any) -> Any:
    return self._make_api_call(operation, parameters)


def blocking_view(client: Any, bridge: Bridge) -> Any:
    """Return an asynchronous client that is not enveloped, for threads."""
    return type("PlainBlockingClient", (BlockingClient,), _methods(client))(client, bridge)


def enveloped_view(client: Any, bridge: Bridge, config: EnvelopeConfig, *, session: Any, send: str) -> Any:
    """Return an asynchronous client for threads, enveloped there: as every synchronous client of this library.

    Args:
        session: The client's session.
        send: The name of the client's coroutine method that makes a call without sealing and opening.
    """

    def setup(view: Any) -> Seam:
        return make_seam(KmsSession(session, client._request_signer._credentials, bridge), view, config)

    attributes = {**_methods(client), **TRANSFER_METHODS, "_s3envelope_setup": staticmethod(setup)}
    view_class = type("EnvelopedBlockingClient", (_EnvelopedBlockingClient,), attributes)
    return view_class(client, bridge, send=send)


class _EnvelopedBlockingClient(EnvelopeMixin, BlockingClient):
    # None: those of the session, which `KmsSession` knows.
    _request_signer = type("NoSigner", (), {"_credentials": None})

    def close(self) -> None:
        """Wait for a rewrap of `rotate_on_read` that is going on; the connections are the asynchronous client's."""
        rotation = self._s3envelope.read_rotation
        if rotation is not None:
            rotation.close()
