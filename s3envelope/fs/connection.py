"""The enveloped client of a filesystem: made of storage options, in every process anew, and never written down."""

from __future__ import annotations

import datetime
import os
import threading
import types
from collections.abc import Mapping
from typing import Any

from botocore.config import Config

from s3envelope.caches.disk import DiskCache
from s3envelope.caches.limits import CacheLimits
from s3envelope.caches.memory import MemoryCache
from s3envelope.errors import ConfigurationError
from s3envelope.s3.config import FIELD_NAMES, make_config
from s3envelope.s3.install import Session, client
from s3envelope.s3.mixin import EnvelopeMixin

_CREDENTIALS = frozenset({"aws_access_key_id", "aws_secret_access_key", "aws_session_token"})
_OF_BOTO = _CREDENTIALS | {
    "api_version",
    "config",
    "endpoint_url",
    "region_name",
    "use_ssl",
    "verify",
    "aws_account_id",
}
_OWN = frozenset({"client", "config_kwargs", "profile", "region"})
# What fsspec itself, and the libraries above it, pass to every filesystem.
_OF_FSSPEC = frozenset(
    {
        "asynchronous",
        "batch_size",
        "listings_expiry_time",
        "loop",
        "max_paths",
        "skip_instance_cache",
        "use_listings_cache",
    }
)
# Options of s3fs that have other names here.
_INSTEAD = {
    "key": "aws_access_key_id",
    "secret": "aws_secret_access_key",
    "token": "aws_session_token",
    "client_kwargs": "the arguments of boto3's client themselves, as endpoint_url and region",
    "anon": "nothing: without credentials there are no data keys",
    "default_cache_type": "cache_type of open",
}
_CACHES: Mapping[str, Any] = {"disk": DiskCache, "memory": MemoryCache, "off": lambda: None}
_PLAIN = (str, int, float, bool, bytes, type(None), datetime.timedelta, os.PathLike, CacheLimits, types.FunctionType)
_LIST_SIZES = "list_sizes"
# botocore's sessions are not made for several threads that make clients.
_MAKING = threading.Lock()


class Connection:
    """Makes the client of a filesystem when it is first needed, and in a forked child again.

    Args:
        options: The storage options; see `S3EnvelopeFileSystem`.

    Raises:
        ConfigurationError: An option is not known, or has no legal value; or there is no keyring.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = {name: value for name, value in options.items() if name not in _OF_FSSPEC}
        self._client: Any | None = None
        self._process_id = 0
        self._lock = threading.Lock()
        self._check_names()
        if self._options.get("client") is None:
            # Before any request: what is wrong with the configuration is said where the filesystem is made.
            make_config(self._fields(), os.environ)

    @property
    def client(self) -> Any:
        """The client of this process."""
        if self._client is None or self._process_id != os.getpid():
            with self._lock:
                if self._client is None or self._process_id != os.getpid():
                    # A connection that is shared with the parent process would mix up the answers.
                    self._client = self._make()
                    self._process_id = os.getpid()
        return self._client

    @property
    def list_sizes(self) -> str:
        """How sizes in listings are made: "exact" or "plaintext"; "stored" where those of the client are taken."""
        given = self._options.get("client")
        return "stored" if given is not None else str(self._fields()[_LIST_SIZES])

    @property
    def sizes_are_exact(self) -> bool:
        """Whether the sizes in listings are those of the plaintext, to the byte."""
        if self._options.get("client") is None:
            return self.list_sizes == "exact"
        return bool(self.client._s3envelope.config.list_sizes == "exact")

    def check_portable(self) -> None:
        """Raise `TypeError` if the options cannot leave this process, or should not."""
        secrets = sorted(name for name in _CREDENTIALS if self._options.get(name) is not None)
        if secrets:
            raise TypeError(
                f"a filesystem with {', '.join(secrets)} in its options is not pickled: the secret would be sent and "
                "stored in clear. Use profile=..., or the environment of each process"
            )
        held = sorted(name for name, value in self._options.items() if not _is_plain(value))
        if held:
            raise TypeError(
                f"a filesystem with an object as {', '.join(held)} is not pickled: it holds keys or connections. Use "
                "kms_key_id=..., words for cache, config_kwargs for config; or client=, a function that makes the "
                "client in each process"
            )

    def _check_names(self) -> None:
        known = FIELD_NAMES | _OF_BOTO | _OWN | {"envelope"}
        for name in sorted(set(self._options) - known):
            remedy = f"use {_INSTEAD[name]}" if name in _INSTEAD else "use those of s3envelope.client"
            raise ConfigurationError(f"the storage option {name!r} is not known; {remedy}")
        if self._options.get("client") is not None and len(self._options) > 1:
            others = ", ".join(sorted(set(self._options) - {"client"}))
            raise ConfigurationError(f"client and {others} are given; what the client is made with is its own")
        for one, other in (("region", "region_name"), ("config", "config_kwargs"), ("profile", "client")):
            if self._options.get(one) is not None and self._options.get(other) is not None:
                raise ConfigurationError(f"both {one} and {other} are given; pass one of them")

    def _fields(self) -> dict[str, Any]:
        """Return the fields of `EnvelopeConfig`, with what listings say about sizes made definite."""
        names = FIELD_NAMES | {"envelope"}
        fields = {name: value for name, value in self._options.items() if name in names}
        if isinstance(fields.get("cache"), str):
            if fields["cache"] not in _CACHES:
                raise ConfigurationError(f"cache is {fields['cache']!r}; use disk, memory or off")
            fields["cache"] = _CACHES[fields["cache"]]()
        if "envelope" in fields:
            return {_LIST_SIZES: fields["envelope"].list_sizes, **fields}
        return {_LIST_SIZES: os.environ.get("S3ENVELOPE_LIST_SIZES", "exact"), **fields}

    def _make(self) -> Any:
        given = self._options.get("client")
        if given is not None:
            made = given() if isinstance(given, types.FunctionType) else given
            if not isinstance(made, EnvelopeMixin):
                raise ConfigurationError(
                    f"client gave a {type(made).__name__}, which stores plaintext; pass one of s3envelope.client, or a "
                    "function that makes one"
                )
            return made
        # The filesystem asks for the sizes that it needs itself: names alone cost no request for each object.
        fields = {**self._fields(), _LIST_SIZES: "stored"}
        arguments = {name: value for name, value in self._options.items() if name in _OF_BOTO}
        if self._options.get("region") is not None:
            arguments["region_name"] = self._options["region"]
        if self._options.get("config_kwargs"):
            arguments["config"] = Config(**self._options["config_kwargs"])
        profile = self._options.get("profile")
        with _MAKING:
            if profile is None:
                return client("s3", **fields, **arguments)
            region = arguments.pop("region_name", None)
            session = Session(profile_name=profile, region_name=region, **fields)
            return session.client("s3", **arguments)


def _is_plain(value: object) -> bool:
    if isinstance(value, Mapping):
        return all(_is_plain(name) and _is_plain(entry) for name, entry in value.items())
    if isinstance(value, list | tuple | set | frozenset):
        return all(map(_is_plain, value))
    return isinstance(value, _PLAIN)
