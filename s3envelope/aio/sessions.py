"""The ways in: `client`, `Session`, `install`."""

from __future__ import annotations

import os
import threading
from typing import Any

from aiobotocore.session import AioSession

from s3envelope.aio.client import AsyncEnvelopeMixin
from s3envelope.aio.transfers import TRANSFER_METHODS
from s3envelope.errors import ConfigurationError, UnsupportedOperationError
from s3envelope.s3.config import EnvelopeConfig, make_config, split_arguments
from s3envelope.s3.redaction import hide_bodies_in_logs

_EVENT = "creating-client-class.s3"
_HOOK_ATTRIBUTE = "_s3envelope_hook"
_HOOK_LOCK = threading.Lock()
_S3 = "s3"


class _Hook:
    """Makes the S3 client classes of a session enveloped ones; there is one per session."""

    def __init__(self, session: AioSession) -> None:
        self._session = session
        self.installed: EnvelopeConfig | None = None

    def __call__(self, class_attributes: dict[str, Any], base_classes: list[type], **_: object) -> None:
        if self.installed is None:
            return
        hide_bodies_in_logs()
        settings = {"_s3envelope_settings": (self._session, self.installed)}
        base_classes.insert(0, type("AsyncEnvelopedClient", (AsyncEnvelopeMixin,), settings))
        # INVARIANT: botocore puts this method into the class itself, where it would go before the mixin's refusal.
        class_attributes.pop("generate_presigned_post", None)
        class_attributes.update(TRANSFER_METHODS)


def install(session: Any, config: EnvelopeConfig | None = None, **fields: Any) -> None:
    """Make every S3 client enveloped that a session makes from now on.

    Args:
        session: Of aiobotocore or aioboto3.
        config: By default made from `fields` and the environment.
        fields: Fields of `EnvelopeConfig`.

    Raises:
        ConfigurationError: See `EnvelopeConfig`; or both `config` and `fields` are given.
        UnsupportedOperationError: The session is of another library.
    """
    if config is not None and fields:
        raise ConfigurationError("both config and fields of it are given; pass one of them")
    target = session if isinstance(session, AioSession) else getattr(session, "_session", None)
    if not isinstance(target, AioSession):
        raise UnsupportedOperationError(
            f"a {type(session).__module__}.{type(session).__name__} is refused here: it is no session of aiobotocore "
            "or aioboto3. Instead, use s3envelope.install"
        )
    chosen = config or make_config(fields, os.environ)
    with _HOOK_LOCK:
        hook = getattr(target, _HOOK_ATTRIBUTE, None)
        if not isinstance(hook, _Hook):
            hook = _Hook(target)
            setattr(target, _HOOK_ATTRIBUTE, hook)
            # After aioboto3's, whose transfer methods it replaces.
            target.get_component("event_emitter").register_last(_EVENT, hook)
    # Installing again replaces the configuration.
    hook.installed = chosen


class Session(AioSession):  # type: ignore[misc]  # its package is optional, and not typed
    """An aiobotocore session whose S3 clients are enveloped.

    Give it to aioboto3 as `botocore_session`, and to s3fs as `session`.

    Args:
        args, kwargs: What aiobotocore's `AioSession` takes, and the fields of `EnvelopeConfig`.

    Raises:
        ConfigurationError: See `EnvelopeConfig`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        ours, theirs = split_arguments(kwargs)
        config = make_config(ours, os.environ)
        super().__init__(*args, **theirs)
        install(self, config)


def client(service_name: str, *args: Any, **kwargs: Any) -> Any:
    """Return what `AioSession.create_client` returns, an asynchronous context manager; for "s3" of an enveloped client.

    Each call makes a session of its own: whoever makes many clients makes a `Session`.

    Args:
        service_name: "s3", or any other service, for which it is a plain client.
        args, kwargs: What `create_client` takes, and for "s3" the fields of `EnvelopeConfig`.

    Raises:
        ConfigurationError: See `EnvelopeConfig`.
    """
    if service_name != _S3:
        return AioSession().create_client(service_name, *args, **kwargs)
    ours, theirs = split_arguments(kwargs)
    return Session(**ours).create_client(service_name, *args, **theirs)
