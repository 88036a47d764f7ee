"""The ways in: `client`, `resource`, `Session`, `install`."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

import boto3

from s3envelope.core.envelope import Envelope
from s3envelope.core.layout import plaintext_size
from s3envelope.errors import ConfigurationError, UnsupportedOperationError
from s3envelope.s3 import managed_copies, reads, transfers
from s3envelope.s3.config import EnvelopeConfig, make_config, split_arguments
from s3envelope.s3.keyrings import keyring_for
from s3envelope.s3.redaction import hide_bodies_in_logs
from s3envelope.s3.seam import Seam
from s3envelope.stores.system import system_ports

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client, S3ServiceResource

_EVENT = "creating-client-class.s3"
_HOOK_ATTRIBUTE = "_s3envelope_hook"
_HOOK_LOCK = threading.Lock()
_MOST_TRIES = 5
_S3 = "s3"
# boto3's own may choose a transfer client that bypasses the client's event handlers.
_TRANSFER_METHODS: dict[str, Callable[..., None]] = {
    "upload_file": transfers.upload_file,
    "upload_fileobj": transfers.upload_fileobj,
    "download_file": transfers.download_file,
    "download_fileobj": transfers.download_fileobj,
    "copy": managed_copies.copy,
}


@dataclass(frozen=True, slots=True)
class EnvelopeDescription:
    """What the metadata of an object says of itself; not verified.

    Args:
        format: "SE1".
        bound: Whether it opens only under the key it was written to.
        indexed: Whether its parts are listed in an index at its end.
        commitment: 64 hexadecimal digits that identify the upload.
        encryption_context: In clear.
        key_hints: One per encrypted data key, 8 hexadecimal digits each.
        plaintext_size: In bytes; `None` in the indexed layout, where it takes a key to know.
        ciphertext_size: In bytes.
        etag, version_id: As S3 has them.
    """

    format: str
    bound: bool
    indexed: bool
    commitment: str
    encryption_context: dict[str, str]
    key_hints: tuple[str, ...]
    plaintext_size: int | None
    ciphertext_size: int
    etag: str
    version_id: str | None


class EnvelopeMixin:
    """What an enveloped client has beside botocore's; it comes first among the bases of the client's class."""

    _s3envelope_setup: Callable[[Any], Seam]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._s3envelope = type(self)._s3envelope_setup(self)

    def _make_api_call(self, operation_name: str, api_params: dict[str, Any]) -> dict[str, Any]:
        send = super()._make_api_call  # type: ignore[misc]
        return self._s3envelope.call(operation_name, api_params, send)

    def _get_credentials(self) -> None:
        # boto3 asks for these only to build a CRT client, which no handler of this client would see: it would
        # upload plaintext. Without credentials it takes its classic transfer manager.
        return None

    def generate_presigned_post(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse: whoever uses the form would store plaintext."""
        raise UnsupportedOperationError(
            "generate_presigned_post is refused: whoever uses the form would store plaintext. "
            "Instead, write the object through this client"
        )

    def describe_envelope(self, **parameters: Any) -> EnvelopeDescription:
        """Return what an object's metadata says of it, without a key; `Bucket`, `Key` and those of head_object.

        Raises:
            EnvelopeError: The object has no envelope, or one that is not understood.
        """
        envelope, answer = reads.describe(self._s3envelope, parameters)
        return _description(envelope, answer)

    def export_upload(self, *, Bucket: str, Key: str, UploadId: str) -> bytes:  # noqa: N803  # boto3's names
        """Return the state of an unfinished multipart upload, for `import_upload` in another process or machine.

        It is no secret, but authentic: it holds no plaintext and no key.

        Raises:
            UnsupportedOperationError: The upload is not known here, or was created with `PartSize`.
        """
        return self._s3envelope.uploads.export({"Bucket": Bucket, "Key": Key, "UploadId": UploadId})

    def import_upload(self, *, Bucket: str, Key: str, UploadId: str, State: bytes) -> None:  # noqa: N803
        """Go on with an unfinished multipart upload that another process exported.

        Raises:
            DecryptionError, EnvelopeError, KeyringError: The state does not open, or is of another upload.
        """
        self._s3envelope.uploads.import_({"Bucket": Bucket, "Key": Key, "UploadId": UploadId}, State)

    def __reduce_ex__(self, protocol: object) -> NoReturn:
        raise TypeError("a client cannot be copied or pickled; make one per process")


def _description(envelope: Envelope, answer: dict[str, Any]) -> EnvelopeDescription:
    header, stored_size = envelope.header, int(answer["ContentLength"])
    return EnvelopeDescription(
        format="SE1",
        bound=header.bound,
        indexed=header.indexed,
        commitment=header.commitment.hex(),
        encryption_context=dict(envelope.context),
        key_hints=tuple(key.hint.hex() for key in envelope.encrypted_data_keys),
        plaintext_size=None if header.indexed else plaintext_size(stored_size),
        ciphertext_size=stored_size,
        etag=str(answer.get("ETag", "")),
        version_id=answer.get("VersionId"),
    )


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
            return Seam(client, chosen, keyring_for(session, client, chosen), system_ports())

        hide_bodies_in_logs()
        mixin = type("EnvelopedClient", (EnvelopeMixin,), {"_s3envelope_setup": staticmethod(setup)})
        base_classes.insert(0, mixin)
        # INVARIANT: botocore puts this method into the class itself, where it would go before the mixin's refusal.
        class_attributes.pop("generate_presigned_post", None)
        for name, method in _TRANSFER_METHODS.items():
            if name in class_attributes:
                class_attributes[name] = method


def _events(session: Any) -> Any:
    if type(session).__module__.startswith(("aiobotocore", "aioboto3")):
        raise UnsupportedOperationError(
            f"a {type(session).__module__} session is refused: asynchronous clients are not supported yet. "
            "Instead, use a boto3 session"
        )
    events = getattr(session, "events", None)
    return events if events is not None else session.get_component("event_emitter")


def _default_session() -> Any:
    return boto3._get_default_session()


def client(service_name: str, *args: Any, **kwargs: Any) -> S3Client:
    """Return what `boto3.client` returns; for "s3" a client that seals what it writes and opens what it reads.

    Args:
        service_name: "s3", or any other service, which is handed to boto3 unchanged.
        args, kwargs: What `boto3.client` takes, and for "s3" the fields of `EnvelopeConfig`.

    Raises:
        ConfigurationError: See `EnvelopeConfig`.
    """
    return _make(_default_session(), "client", service_name, args, kwargs)  # type: ignore[no-any-return]


def resource(service_name: str, *args: Any, **kwargs: Any) -> S3ServiceResource:
    """Return what `boto3.resource` returns; for "s3" one whose client is enveloped. Arguments as for `client`."""
    return _make(_default_session(), "resource", service_name, args, kwargs)  # type: ignore[no-any-return]


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

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        ours, theirs = split_arguments(kwargs)
        config = make_config(ours, os.environ)
        super().__init__(*args, **theirs)
        install(self, config)


def install(session: Any = None, config: EnvelopeConfig | None = None, **fields: Any) -> None:
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
