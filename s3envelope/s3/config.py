"""The configuration of an enveloped client: arguments first, then the environment, then defaults."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from s3envelope.caches.limits import CacheLimits
from s3envelope.core.context import EncryptionContext
from s3envelope.core.layout import MAX_PUT_SIZE, check_part_size
from s3envelope.core.ports import Keyring
from s3envelope.errors import ConfigurationError
from s3envelope.keyrings.kms import check_key_id
from s3envelope.stores.upload_states import default_state_dir

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

ContextSource = Mapping[str, str] | Callable[[str, str], Mapping[str, str]]
_PREFIX = "S3ENVELOPE_"
_LIMITS = {"metadata_limit": (1, 8192), "unseekable_limit": (0, MAX_PUT_SIZE)}
_CHOICES = {"unencrypted": ("refuse", "allow"), "list_sizes": ("plaintext", "exact", "stored")}


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvelopeConfig:
    """How a client seals and opens. Every field is also a keyword of `client`, `resource` and `Session`.

    Args:
        keyring: Where data keys come from.
        kms_key_id: Instead of `keyring`: a KMS key id, key ARN, alias or alias ARN.
            Environment: `S3ENVELOPE_KMS_KEY_ID`.
        kms_client: A boto3 KMS client for `kms_key_id`; by default one is made from the session of the S3 client.
        encryption_context: Entries of the encryption context of every object, or a function of bucket and key. They
            are stored in clear, authenticated, logged by KMS, and demanded of every object that is read.
            Environment: `S3ENVELOPE_CONTEXT`, a JSON object.
        bind_key_name: Whether an object opens only under the key it was written to; if so, unbound objects are
            refused. Environment: `S3ENVELOPE_BIND_KEY_NAME`, true or false.
        unencrypted: "refuse" raises `NotEncryptedError` for an object without envelope. "allow" returns it as it
            is, and so lets everyone who can write to the bucket replace what you read.
            Environment: `S3ENVELOPE_UNENCRYPTED`.
        cache_limits: How long data keys are used again; `None` asks the keyring for every object.
        part_size: Plaintext bytes per part of low-level multipart uploads that name none themselves.
            Environment: `S3ENVELOPE_PART_SIZE`.
        list_sizes: "plaintext" computes the sizes that listings show from the stored ones; those of multipart uploads
            without `part_size` may read up to 52 bytes per part and 4 bytes high. "exact" asks for each object with a
            HEAD, several at once. "stored" leaves them. Environment: `S3ENVELOPE_LIST_SIZES`.
        allow_presigned_ciphertext: Whether URLs for GET and HEAD may be presigned; they serve ciphertext.
        metadata_limit: Bytes that user metadata and envelope may take together, each name counted with 11 bytes
            more. S3 allows 2048. Environment: `S3ENVELOPE_METADATA_LIMIT`.
        unseekable_limit: The largest body in plaintext bytes that `put_object` takes from a stream that cannot seek;
            its ciphertext is kept in a temporary file meanwhile.
        state_dir: Where the states of unfinished multipart uploads are kept, so that another process can go on with
            them: no plaintext and no keys. By default in the user's state folder; `None` keeps them in memory.
            Environment: `S3ENVELOPE_STATE_DIR`.

    Raises:
        ConfigurationError: A field has no legal value, or there is no keyring.
    """

    keyring: Keyring | None = None
    kms_key_id: str | None = None
    kms_client: KMSClient | None = None
    encryption_context: ContextSource | None = None
    bind_key_name: bool = True
    unencrypted: Literal["refuse", "allow"] = "refuse"
    cache_limits: CacheLimits | None = dataclasses.field(default_factory=CacheLimits)
    part_size: int | None = None
    list_sizes: Literal["plaintext", "exact", "stored"] = "plaintext"
    allow_presigned_ciphertext: bool = False
    metadata_limit: int = 2048
    unseekable_limit: int = MAX_PUT_SIZE
    state_dir: str | os.PathLike[str] | None = dataclasses.field(default_factory=default_state_dir)

    def __post_init__(self) -> None:
        self._check_keyring()
        if self.encryption_context is not None and not callable(self.encryption_context):
            EncryptionContext(self.encryption_context)
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ConfigurationError(f"{name} is {getattr(self, name)!r}; use one of {', '.join(choices)}")
        for name in ("bind_key_name", "allow_presigned_ciphertext"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigurationError(f"{name} is {getattr(self, name)!r}; use True or False")
        if self.part_size is not None:
            check_part_size(self.part_size)
        for name, (least, most) in _LIMITS.items():
            limit = getattr(self, name)
            if not isinstance(limit, int) or isinstance(limit, bool) or not least <= limit <= most:
                raise ConfigurationError(f"{name} is {limit!r}; use {least} to {most} bytes")
        if not isinstance(self.state_dir, str | os.PathLike | None):
            raise ConfigurationError(f"state_dir is a {type(self.state_dir).__name__}; use a path or None")
        if not isinstance(self.cache_limits, CacheLimits | None):
            raise ConfigurationError(f"cache_limits is a {type(self.cache_limits).__name__}; use CacheLimits or None")

    def _check_keyring(self) -> None:
        if self.keyring is None and self.kms_key_id is None:
            raise ConfigurationError(
                "there is no keyring; pass kms_key_id=... or keyring=..., or set S3ENVELOPE_KMS_KEY_ID"
            )
        if self.keyring is not None and self.kms_key_id is not None:
            raise ConfigurationError("both keyring and kms_key_id are given; pass one of them")
        if self.keyring is not None and not isinstance(self.keyring, Keyring):
            raise ConfigurationError(
                f"keyring is a {type(self.keyring).__name__}; pass an object with Keyring's methods"
            )
        if self.kms_key_id is not None:
            check_key_id(self.kms_key_id)
        elif self.kms_client is not None:
            raise ConfigurationError("kms_client is given without kms_key_id; name the key too")

    def context_for(self, bucket: str, key: str, entries: Mapping[str, str] | None = None) -> EncryptionContext:
        """Return the encryption context of one object: the configured entries and those of the call.

        Raises:
            ConfigurationError: An entry is not legal, or is given twice with two values.
        """
        source = self.encryption_context
        configured = EncryptionContext(source(bucket, key) if callable(source) else source)
        if entries is None:
            return configured
        given = EncryptionContext(entries)
        clash = sorted(name for name in given if name in configured and given[name] != configured[name])
        if clash:
            raise ConfigurationError(
                f"EncryptionContext of the call and the configured one differ in {', '.join(clash)}; give them once"
            )
        return EncryptionContext({**configured, **given})


FIELD_NAMES = frozenset(field.name for field in dataclasses.fields(EnvelopeConfig))


def split_arguments(arguments: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (fields of `EnvelopeConfig` and `envelope`, what boto3 takes)."""
    ours = {name: value for name, value in arguments.items() if name in FIELD_NAMES or name == "envelope"}
    return ours, {name: value for name, value in arguments.items() if name not in ours}


def make_config(fields: Mapping[str, Any], environment: Mapping[str, str]) -> EnvelopeConfig:
    """Return a configuration from keyword arguments and, for what they leave open, the environment.

    Args:
        fields: Fields of `EnvelopeConfig`; or `envelope`, a whole configuration, which the others then override.
        environment: `os.environ`.

    Raises:
        ConfigurationError: A value is not legal.
    """
    given = dict(fields)
    whole = given.pop("envelope", None)
    if whole is not None:
        if not isinstance(whole, EnvelopeConfig):
            raise ConfigurationError(f"envelope is a {type(whole).__name__}; pass an EnvelopeConfig")
        if "keyring" in given or "kms_key_id" in given:
            given = {"keyring": None, "kms_key_id": None, "kms_client": None, **given}
        return dataclasses.replace(whole, **given)
    return EnvelopeConfig(**{**_from_environment(environment, given), **given})


def _from_environment(environment: Mapping[str, str], given: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for variable, (name, read) in _VARIABLES.items():
        value = environment.get(_PREFIX + variable)
        has_keyring = name == "kms_key_id" and given.get("keyring") is not None
        if value is not None and name not in given and not has_keyring:
            found[name] = read(_PREFIX + variable, value)
    return found


def _read_text(_: str, value: str) -> str:
    return value


def _read_bool(variable: str, value: str) -> bool:
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if value.lower() not in words:
        raise ConfigurationError(f"{variable} is {value!r}; use true or false")
    return words[value.lower()]


def _read_int(variable: str, value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise ConfigurationError(f"{variable} is {value!r}; use a whole number") from None


def _read_context(variable: str, value: str) -> Mapping[str, str]:
    try:
        entries = json.loads(value)
    except ValueError:
        entries = None
    if not isinstance(entries, dict):
        raise ConfigurationError(f'{variable} is not a JSON object; use one of strings, {{"tenant": "acme"}}')
    return EncryptionContext(entries)


_VARIABLES: dict[str, tuple[str, Callable[[str, str], Any]]] = {
    "KMS_KEY_ID": ("kms_key_id", _read_text),
    "CONTEXT": ("encryption_context", _read_context),
    "BIND_KEY_NAME": ("bind_key_name", _read_bool),
    "UNENCRYPTED": ("unencrypted", _read_text),
    "PART_SIZE": ("part_size", _read_int),
    "LIST_SIZES": ("list_sizes", _read_text),
    "METADATA_LIMIT": ("metadata_limit", _read_int),
    "STATE_DIR": ("state_dir", _read_text),
}
