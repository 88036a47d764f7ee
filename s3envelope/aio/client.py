"""What an asynchronous enveloped client has beside aiobotocore's."""

from __future__ import annotations

import asyncio
from typing import Any, NoReturn

from s3envelope.aio.blocking import enveloped_view
from s3envelope.aio.bodies import AsyncBody, BlockingBody, BlockingSource, is_async_source
from s3envelope.aio.bridge import Bridge
from s3envelope.aio.connections import Endpoints
from s3envelope.s3.calls import CONTEXT_NAME, Call
from s3envelope.s3.config import EnvelopeConfig
from s3envelope.s3.mixin import EnvelopeDescription


class AsyncEnvelopeMixin:
    """What an enveloped client has beside aiobotocore's; it comes first among the bases of the client's class.

    Sealing, opening and refusing are those of the synchronous client: a call runs through them in a thread, and only
    its requests run on the loop.
    """

    _s3envelope_settings: tuple[Any, EnvelopeConfig]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        session, config = type(self)._s3envelope_settings
        endpoint: Any = self._endpoint  # type: ignore[attr-defined]
        self._s3envelope_endpoints = Endpoints(endpoint)
        bridge = Bridge(asyncio.get_running_loop(), self._s3envelope_endpoints.thread_count)
        self._s3envelope_blocking = enveloped_view(
            self, bridge, config, session=session, send=AsyncEnvelopeMixin._s3envelope_send.__name__
        )
        self._s3envelope = self._s3envelope_blocking._s3envelope

    async def _make_api_call(self, operation_name: str, api_params: dict[str, Any]) -> dict[str, Any]:
        view = self._s3envelope_blocking
        parameters = dict(api_params)
        if is_async_source(parameters.get("Body")):
            parameters["Body"] = BlockingSource(parameters["Body"], view.bridge)
        answer: dict[str, Any] = await view.bridge.call(view._make_api_call, operation_name, parameters)
        body = answer.get("Body")
        if isinstance(body, BlockingBody):
            answer["Body"] = body.original
        elif body is not None:
            answer["Body"] = AsyncBody(body, view.bridge)
        return answer

    async def _s3envelope_send(self, operation_name: str, api_params: dict[str, Any]) -> dict[str, Any]:
        answer: dict[str, Any] = await super()._make_api_call(operation_name, api_params)  # type: ignore[misc]
        return answer

    async def _make_request(self, operation_model: Any, request_dict: Any, request_context: Any) -> Any:
        call = request_context.get(CONTEXT_NAME)
        if isinstance(call, Call) and call.inner:
            return await self._s3envelope_endpoints.inner.make_request(operation_model, request_dict)
        return await super()._make_request(operation_model, request_dict, request_context)  # type: ignore[misc]

    async def __aenter__(self) -> Any:
        await self._s3envelope_endpoints.open()
        return await super().__aenter__()  # type: ignore[misc]

    async def __aexit__(self, *error: Any) -> None:
        try:
            await self._s3envelope_close()
        finally:
            await super().__aexit__(*error)  # type: ignore[misc]

    async def close(self) -> None:
        """Close as aiobotocore does; waits for a rewrap of `rotate_on_read` that is going on."""
        try:
            await self._s3envelope_close()
        finally:
            await super().close()  # type: ignore[misc]

    async def _s3envelope_close(self) -> None:
        view = self._s3envelope_blocking
        try:
            await view.bridge.call(view.close)
        finally:
            await self._s3envelope_endpoints.close()

    async def generate_presigned_post(self, *args: Any, **kwargs: Any) -> None:
        """Refuse: whoever uses the form would store plaintext."""
        await self._s3envelope_await("generate_presigned_post", *args, **kwargs)

    async def describe_envelope(self, **parameters: Any) -> EnvelopeDescription:
        """See `EnvelopeMixin.describe_envelope`."""
        described: EnvelopeDescription = await self._s3envelope_await("describe_envelope", **parameters)
        return described

    async def export_upload(self, **parameters: Any) -> bytes:
        """See `EnvelopeMixin.export_upload`."""
        state: bytes = await self._s3envelope_await("export_upload", **parameters)
        return state

    async def import_upload(self, **parameters: Any) -> None:
        """See `EnvelopeMixin.import_upload`."""
        await self._s3envelope_await("import_upload", **parameters)

    async def rewrap_object(self, **parameters: Any) -> EnvelopeDescription:
        """See `EnvelopeMixin.rewrap_object`."""
        described: EnvelopeDescription = await self._s3envelope_await("rewrap_object", **parameters)
        return described

    async def _s3envelope_await(self, method: str, *args: Any, **parameters: Any) -> Any:
        view = self._s3envelope_blocking
        return await view.bridge.call(getattr(view, method), *args, **parameters)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a client cannot be copied or pickled; make one per process")
