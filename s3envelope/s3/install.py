"""The ways in: `client`, `resource`, `Session`, `install`."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, overload

import boto3

from s3envelope.errors import ConfigurationError, UnsupportedOperationError
from s3envelope.s3 import managed_copies, transfers
from s3envelope.s3.config import EnvelopeConfig, make_config, split_arguments
from s3envelope.s3.mixin import EnvelopeMixin
from s3envelope.s3.redaction import hide_bodies_in_logs
from s3envelope.s3.seam import Seam, make_seam

if TYPE_CHECKING:
    from botocore.config import Config
    from botocore.session import Session as BotocoreSession
    from typing_extensions import Unpack

    from s3envelope.s3.interfaces import EnvelopeArguments, EnvelopeClient, EnvelopeFields, EnvelopeResource

_EVENT = "creating-client-class.s3"
_HOOK_ATTRIBUTE = "_s3envelope_hook"
_HOOK_LOCK = threading.Lock()
_MOST_TRIES = 5
_S3 = "s3"
_ASYNCHRONOUS = ("aiobotocore.", "aioboto3.")
# boto3's own may choose a transfer client that bypasses the client's event handlers.
TRANSFER_METHODS: dict[str, Callable[..., None]] = {
    "upload_file": transfers.upload_file,
    "upload_fileobj": transfers.upload_fileobj,
    "download_file": transfers.download_file,
    "download_fileobj": transfers.download_fileobj,
    "copy": managed_copies.copy,
}


class SessionHook:
    """Makes the S3 client classes of a session enveloped ones, as configured for the session or for one call.

    There is one per session, registered once and never taken away: while handlers are exchanged, another thread that
    makes a client could get a plain one.
    """

    def __init__(self, session: Any) -> None:
        self._session = session
        self._calls = threading.local()
        self.installed: EnvelopeConfig | None = None

    @classmethod
    def of(cls, session: Any) -> SessionHook:
        """Return the hook of a session."""
        with _HOOK_LOCK:
            known = getattr(session, _HOOK_ATTRIBUTE, None)
            if not isinstance(known, cls):
                known = cls(session)
                setattr(session, _HOOK_ATTRIBUTE, known)
                _events(session).register(_EVENT, known)
            return known

    @contextmanager
    def enveloping(self, config: EnvelopeConfig) -> Iterator[None]:
        """Make the clients enveloped that this thread makes from the session in this block."""
        self._calls.config = config
        try:
            yield
        finally:
            self._calls.config = None

    def __call__(self, class_attributes: dict[str, Any], base_classes: list[type], **_: object) -> None:
        config = getattr(self._calls, "config", None) or self.installed
        if config is None:
            return
        session, chosen = self._session, config

        def setup(client: Any) -> Seam:
            return make_seam(session, client, chosen)

        hide_bodies_in_logs()
        mixin = type("EnvelopedClient", (EnvelopeMixin,), {"_s3envelope_setup": staticmethod(setup)})
        base_classes.insert(0, mixin)
        # INVARIANT: botocore puts this method into the class itself, where it would go before the mixin's refusal.
        class_attributes.pop("generate_presigned_post", None)
        for name, method in TRANSFER_METHODS.items():
            if name in class_attributes:
                class_attributes[name] = method


def _events(session: Any) -> Any:
    if any(made.__module__.startswith(_ASYNCHRONOUS) for made in type(session).__mro__):
        raise UnsupportedOperationError(
            f"a {type(session).__module__}.{type(session).__name__} is refused here: its clients are asynchronous. "
            "Instead, use s3envelope.aio.install, which needs the extra [async]; or a boto3 session"
        )
    events = getattr(session, "events", None)
    return events if events is not None else session.get_component("event_emitter")


def _default_session() -> Any:
    return boto3._get_default_session()


@overload
def client(
    service_name: Literal["s3"],
    region_name: str | None = None,
    api_version: str | None = None,
    use_ssl: bool | None = True,
    verify: bool | str | None = None,
    endpoint_url: str | None = None,
    aws_access_key_id: str | None = None,
    aws_secret_access_key: str | None = None,
    aws_session_token: str | None = None,
    config: Config | None = None,
    aws_account_id: str | None = None,
    **fields: Unpack[EnvelopeArguments],
) -> EnvelopeClient: ...


@overload
def client(
    service_name: str,
    region_name: str | None = None,
    api_version: str | None = None,
    use_ssl: bool | None = True,
    verify: bool | str | None = None,
    endpoint_url: str | None = None,
    aws_access_key_id: str | None = None,
    aws_secret_access_key: str | None = None,
    aws_session_token: str | None = None,
    config: Config | None = None,
    aws_account_id: str | None = None,
) -> Any: ...


def client(service_name: str, *args: Any, **kwargs: Any) -> Any:
    """Return what `boto3.client` returns; for "s3" a client that seals what it writes and opens what it reads.

    Args:
        service_name: "s3", or any other service, which is handed to boto3 unchanged.
        args, kwargs: What `boto3.client` takes, and for "s3" the fields of `EnvelopeConfig`.

    Raises:
        ConfigurationError: See `EnvelopeConfig`.
    """
    return _make(_default_session(), "client", service_name, args, kwargs)


@overload
def resource(
    service_name: Literal["s3"],
    region_name: str | None = None,
    api_version: str | None = None,
    use_ssl: bool | None = True,
    verify: bool | str | None = None,
    endpoint_url: str | None = None,
    aws_access_key_id: str | None = None,
    aws_secret_access_key: str | None = None,
    aws_session_token: str | None = None,
    config: Config | None = None,
    **fields: Unpack[EnvelopeArguments],
) -> EnvelopeResource: ...


@overload
def resource(
    service_name: str,
    region_name: str | None = None,
    api_version: str | None = None,
    use_ssl: bool | None = True,
    verify: bool | str | None = None,
    endpoint_url: str | None = None,
    aws_access_key_id: str | None = None,
    aws_secret_access_key: str | None = None,
    aws_session_token: str | None = None,
    config: Config | None = None,
) -> Any: ...


def resource(service_name: str, *args: Any, **kwargs: Any) -> Any:
    """Return what `boto3.resource` returns; for "s3" one whose client is enveloped. Arguments as for `client`."""
    return _make(_default_session(), "resource", service_name, args, kwargs)


def _make(session: Any, kind: str, service_name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    ours, theirs = split_arguments(kwargs)
    make = getattr(session, kind)
    if service_name != _S3:
        return make(service_name, *args, **kwargs)
    config = make_config(ours, os.environ)
    hook = SessionHook.of(session)
    for _ in range(_MOST_TRIES):
        with hook.enveloping(config):
            made = make(service_name, *args, **theirs)
        if isinstance(made if kind == "client" else made.meta.client, EnvelopeMixin):
            return made
        _forget_lookups(session)
    raise UnsupportedOperationError(
        "the session did not let its client be enveloped; no client was made. Instead, use a session of your own: "
        "s3envelope.Session(...)"
    )


def _forget_lookups(session: Any) -> None:
    """Have the session look up its handlers anew: a thread may have remembered those from before the hook."""
    events = _events(session)
    events.register(_EVENT, _do_nothing)
    events.unregister(_EVENT, _do_nothing)


def _do_nothing(**_: object) -> None:
    """Be a handler."""


class Session(boto3.Session):
    """A `boto3.Session` whose S3 clients and resources are enveloped.

    Args:
        args, kwargs: What `boto3.Session` takes, and the fields of `EnvelopeConfig`.

    Raises:
        ConfigurationError: See `EnvelopeConfig`.
    """

    if TYPE_CHECKING:

        def __init__(
            self,
            aws_access_key_id: str | None = None,
            aws_secret_access_key: str | None = None,
            aws_session_token: str | None = None,
            region_name: str | None = None,
            botocore_session: BotocoreSession | None = None,
            profile_name: str | None = None,
            aws_account_id: str | None = None,
            **fields: Unpack[EnvelopeArguments],
        ) -> None: ...

        @overload  # type: ignore[override]  # a name that boto3-stubs knows is not checked for services but S3
        def client(
            self,
            service_name: Literal["s3"],
            region_name: str | None = None,
            api_version: str | None = None,
            use_ssl: bool | None = True,
            verify: bool | str | None = None,
            endpoint_url: str | None = None,
            aws_access_key_id: str | None = None,
            aws_secret_access_key: str | None = None,
            aws_session_token: str | None = None,
            config: Config | None = None,
            aws_account_id: str | None = None,
        ) -> EnvelopeClient: ...

        @overload
        def client(
            self,
            service_name: str,
            region_name: str | None = None,
            api_version: str | None = None,
            use_ssl: bool | None = True,
            verify: bool | str | None = None,
            endpoint_url: str | None = None,
            aws_access_key_id: str | None = None,
            aws_secret_access_key: str | None = None,
            aws_session_token: str | None = None,
            config: Config | None = None,
            aws_account_id: str | None = None,
        ) -> Any: ...

        def client(self, service_name: str, *args: Any, **kwargs: Any) -> Any: ...

        @overload  # type: ignore[override]
        def resource(
            self,
            service_name: Literal["s3"],
            region_name: str | None = None,
            api_version: str | None = None,
            use_ssl: bool | None = True,
            verify: bool | str | None = None,
            endpoint_url: str | None = None,
            aws_access_key_id: str | None = None,
            aws_secret_access_key: str | None = None,
            aws_session_token: str | None = None,
            config: Config | None = None,
        ) -> EnvelopeResource: ...

        @overload
        def resource(
            self,
            service_name: str,
            region_name: str | None = None,
            api_version: str | None = None,
            use_ssl: bool | None = True,
            verify: bool | str | None = None,
            endpoint_url: str | None = None,
            aws_access_key_id: str | None = None,
            aws_secret_access_key: str | None = None,
            aws_session_token: str | None = None,
            config: Config | None = None,
        ) -> Any: ...

        def resource(self, service_name: str, *args: Any, **kwargs: Any) -> Any: ...

    else:

        def __init__(self, *args, **kwargs):
            ours, theirs = split_arguments(kwargs)
            config = make_config(ours, os.environ)
            super().__init__(*args, **theirs)
            install(self, config)


def install(session: Any = None, config: EnvelopeConfig | None = None, **fields: Unpack[EnvelopeFields]) -> None:
    """Make every S3 client and resource enveloped that a session makes from now on.

    Call it before other threads make clients. `boto3.setup_default_session` makes another default session, for which it
    is to be called again.

    Args:
        session: A `boto3.Session` or botocore session; by default boto3's default session.
        config: By default made from `fields` and the environment.
        fields: Fields of `EnvelopeConfig`.

    Raises:
        ConfigurationError: See `EnvelopeConfig`; or both `config` and `fields` are given.
        UnsupportedOperationError: The session is one of an asynchronous library.
    """
    if config is not None and fields:
        raise ConfigurationError("both config and fields of it are given; pass one of them")
    chosen = config or make_config(fields, os.environ)
    target = session or _default_session()
    # Installing again replaces the configuration.
    SessionHook.of(target).installed = chosen
    _forget_lookups(target)
