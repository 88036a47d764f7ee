"""The configuration of an enveloped client: arguments first, then the environment, then defaults."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from s3envelope.caches.disk import DiskCache
from s3envelope.caches.limits import CacheLimits
from s3envelope.caches.memory import MemoryCache
from s3envelope.core.context import EncryptionContext
from s3envelope.core.layout import MAX_PUT_SIZE, check_part_size
from s3envelope.core.measures import Metrics
from s3envelope.core.ports import AuditSink, Keyring
from s3envelope.errors import ConfigurationError
from s3envelope.formats import names
from s3envelope.formats.s3ec.ports import S3ecKeyring
from s3envelope.keyrings.kms_names import check_key_id, check_key_ids
from s3envelope.keyrings.succession import SuccessionKeyring
from s3envelope.stores.upload_states import default_state_dir
from s3envelope.telemetry.otel import OpenTelemetryMetrics

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

ContextSource = Mapping[str, str] | Callable[[str, str], Mapping[str, str]]
_PREFIX = "S3ENVELOPE_"
# What the environment says of keys is not meant for a keyring that is given.
_OF_KEYS = ("kms_key_id", "retired_kms_key_ids", "rotate_on_read")
_LIMITS = {
    "metadata_limit": (1, 8192),
    "unseekable_limit": (0, MAX_PUT_SIZE),
    "verify_in_memory": (0, MAX_PUT_SIZE),
}
_CHOICES = {
    "unencrypted": ("refuse", "allow"),
    "list_sizes": ("plaintext", "exact", "stored"),
    "write_format": names.WRITE_FORMATS,
    "audit_policy": ("required", "best-effort", None),
}
_SWITCHES = (
    "bind_key_name",
    "allow_presigned_ciphertext",
    "unsafe_unverified_ranges",
    "instruction_file",
    "delete_instruction_files",
    "hide_instruction_files",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class EnvelopeConfig:
    """How a client seals and opens. Every field is also a keyword of `client`, `resource` and `Session`.

    Args:
        keyring: Where data keys come from.
        kms_key_id: Instead of `keyring`: a KMS key id, key ARN, alias or alias ARN. A list of up to four wraps every
            data key with each of them: the first makes it, and reading tries those in the S3 client's region first.
            Environment: `S3ENVELOPE_KMS_KEY_ID`, separated by commas.
        kms_client: A boto3 KMS client for the keys in its region; for all others, one is made from the session of the
            S3 client. A single multi-Region key is used in the region of this client.
        retired_kms_key_ids: KMS keys that wrap nothing new, but still open what they wrapped. Not for keys that
            somebody else may hold: what a retired key opens is taken for genuine.
            Environment: `S3ENVELOPE_RETIRED_KMS_KEY_IDS`, separated by commas.
        rotate_on_read: Whether an object that only a retired key opens gets an envelope of the current key after it was
            read whole, in the background; each is tried at most once in this time. The reader needs leave to write.
            Environment: `S3ENVELOPE_ROTATE_ON_READ`, in seconds.
        encryption_context: Entries of the encryption context of every object, or a function of bucket and key. They
            are stored in clear, authenticated, logged by KMS, and demanded of every object that is read.
            Environment: `S3ENVELOPE_CONTEXT`, a JSON object.
        bind_key_name: Whether an object opens only under the key it was written to; if so, unbound objects are
            refused. Environment: `S3ENVELOPE_BIND_KEY_NAME`, true or false.
        unencrypted: "refuse" raises `NotEncryptedError` for an object without envelope. "allow" returns it as it
            is, and so lets everyone who can write to the bucket replace what you read.
            Environment: `S3ENVELOPE_UNENCRYPTED`.
        cache: Where opened data keys are kept, so that objects are read again without asking the key service, and
            while it cannot be reached: a `DiskCache`, by default in the user's cache folder; `MemoryCache()`; or
            `None`, which asks for every object. Environment: `S3ENVELOPE_CACHE`, disk, memory or off.
        cache_limits: How long data keys are used again; `None` asks the keyring for every object.
        cache_partition: A name for those who may share entries of a disk cache, in the place of the access key id; for
            roles, whose access keys change. Only for principals that may use the same keys.
            Environment: `S3ENVELOPE_CACHE_PARTITION`.
        audit: Is told of every use of a key and of every refusal: an `AuditTrail`, or a sink of one's own.
        audit_policy: "required": what cannot be written down does not happen. "best-effort": it is logged. By default
            that of the `AuditTrail`; of another sink "required".
        metrics: Takes what the client counts and measures: `OpenTelemetryMetrics()`, or one's own. A keyring that is
            given has its calls of KMS measured from then on. Environment: `S3ENVELOPE_METRICS`, otel or off.
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
        read_formats: The formats that are read: "se1", and of the Amazon S3 Encryption Clients "s3ec-v3", "s3ec-v2" and
            the older ones by their names in `s3envelope.formats.names`, each of which is weak.
            Environment: `S3ENVELOPE_READ_FORMATS`, separated by commas.
        write_format: "se1"; or "s3ec-v3" or "s3ec-v2" for readers that cannot change.
            Environment: `S3ENVELOPE_WRITE_FORMAT`.
        s3ec_keyring: Opens and wraps the data keys of the Amazon formats; by default `keyring` does, if it can.
        verify_in_memory: Objects of the Amazon formats are verified whole before a byte is released: in memory up to
            so many bytes, beyond that in an encrypted temporary file.
        unsafe_unverified_ranges: Whether ranges of such objects are decrypted without verification.
        instruction_file: Whether such objects are written with their envelope in an instruction file beside them.
        instruction_suffix: What the key of an instruction file has behind that of its object.
        delete_instruction_files: Whether deleting an object deletes its instruction file too.
        hide_instruction_files: Whether listings leave instruction files out.

    Raises:
        ConfigurationError: A field has no legal value, or there is no keyring.
    """

    keyring: Keyring | None = None
    kms_key_id: str | Sequence[str] | None = None
    kms_client: KMSClient | None = None
    retired_kms_key_ids: Sequence[str] = ()
    rotate_on_read: datetime.timedelta | None = None
    encryption_context: ContextSource | None = None
    bind_key_name: bool = True
    unencrypted: Literal["refuse", "allow"] = "refuse"
    cache: DiskCache | MemoryCache | None = dataclasses.field(default_factory=DiskCache)
    cache_limits: CacheLimits | None = dataclasses.field(default_factory=CacheLimits)
    cache_partition: str | None = None
    audit: AuditSink | None = None
    audit_policy: Literal["required", "best-effort"] | None = None
    metrics: Metrics | None = None
    part_size: int | None = None
    list_sizes: Literal["plaintext", "exact", "stored"] = "plaintext"
    allow_presigned_ciphertext: bool = False
    metadata_limit: int = 2048
    unseekable_limit: int = MAX_PUT_SIZE
    state_dir: str | os.PathLike[str] | None = dataclasses.field(default_factory=default_state_dir)
    read_formats: Sequence[str] = (names.SE1,)
    write_format: Literal["se1", "s3ec-v3", "s3ec-v2"] = "se1"
    s3ec_keyring: S3ecKeyring | None = None
    verify_in_memory: int = 64 << 20
    unsafe_unverified_ranges: bool = False
    instruction_file: bool = False
    instruction_suffix: str = ".instruction"
    delete_instruction_files: bool = False
    hide_instruction_files: bool = False

    def __post_init__(self) -> None:
        self._check_keyring()
        self._check_retired()
        if self.encryption_context is not None and not callable(self.encryption_context):
            # Validated once and not for every call; and what the caller does to a mapping later changes nothing.
            object.__setattr__(self, "encryption_context", EncryptionContext(self.encryption_context))
        for name, choices in _CHOICES.items():
            if getattr(self, name) not in choices:
                raise ConfigurationError(
                    f"{name} is {getattr(self, name)!r}; use one of {', '.join(map(str, choices))}"
                )
        for name in _SWITCHES:
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
        self._check_formats()
        self._check_cache()

    def _check_formats(self) -> None:
        formats = self.read_formats
        if isinstance(formats, str) or not formats or not set(formats) <= set(names.READ_FORMATS):
            raise ConfigurationError(f"read_formats is {formats!r}; use some of {', '.join(names.READ_FORMATS)}")
        if not self.instruction_suffix:
            raise ConfigurationError("instruction_suffix is empty; use '.instruction' or another suffix")
        if self.s3ec_keyring is not None and not isinstance(self.s3ec_keyring, S3ecKeyring):
            raise ConfigurationError(
                f"s3ec_keyring is a {type(self.s3ec_keyring).__name__}; pass an object with S3ecKeyring's methods"
            )

    @property
    def reads_s3ec(self) -> bool:
        """Whether any format of the Amazon clients is read."""
        return any(name != names.SE1 for name in self.read_formats)

    @property
    def kms_key_ids(self) -> tuple[str, ...]:
        """The KMS keys that are named; none if there is a keyring."""
        return () if self.kms_key_id is None else check_key_ids(self.kms_key_id)

    def _check_cache(self) -> None:
        expected = {
            "cache": (DiskCache | MemoryCache | None, "DiskCache(), MemoryCache() or None"),
            "cache_limits": (CacheLimits | None, "CacheLimits or None"),
            "cache_partition": (str | None, "a name or None"),
            "audit": (AuditSink | None, "an object with AuditSink's method or None"),
            "metrics": (Metrics | None, "OpenTelemetryMetrics(), an object with the methods of Metrics, or None"),
        }
        for name, (types, remedy) in expected.items():
            value = getattr(self, name)
            if not isinstance(value, types):
                raise ConfigurationError(f"{name} is a {type(value).__name__}; use {remedy}")
        if self.audit_policy is not None and self.audit is None:
            raise ConfigurationError("audit_policy is given without a sink; pass audit=AuditTrail(...) too")
        if self.cache_partition == "":
            raise ConfigurationError("cache_partition is empty; use a name or None")

    def _check_keyring(self) -> None:
        needs_none = (
            self.s3ec_keyring is not None and self.write_format != names.SE1 and names.SE1 not in self.read_formats
        )
        if self.keyring is None and self.kms_key_id is None and not needs_none:
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
            check_key_ids(self.kms_key_id)
        elif self.kms_client is not None:
            raise ConfigurationError("kms_client is given without kms_key_id; name the key too")

    def _check_retired(self) -> None:
        ids, interval = self.retired_kms_key_ids, self.rotate_on_read
        if not isinstance(ids, list | tuple):
            raise ConfigurationError(f"retired_kms_key_ids is a {type(ids).__name__}; use a list of KMS key ids")
        for key_id in ids:
            check_key_id(key_id)
        has_succession = isinstance(self.keyring, SuccessionKeyring)
        if ids and has_succession:
            raise ConfigurationError("retired_kms_key_ids and a SuccessionKeyring are given; name retired keys once")
        if interval is None:
            return
        if not _is_positive(interval):
            raise ConfigurationError(f"rotate_on_read is {interval!r}; use a datetime.timedelta above zero, or None")
        if not ids and not has_succession:
            raise ConfigurationError(
                "rotate_on_read is given without retired keys; name them in retired_kms_key_ids, or pass a "
                "SuccessionKeyring"
            )

    def context_for(self, bucket: str, key: str, entries: Mapping[str, str] | None = None) -> EncryptionContext:
        """Return the encryption context of one object: the configured entries and those of the call.

        Raises:
            ConfigurationError: An entry is not legal, or is given twice with two values.
        """
        source = self.encryption_context
        if isinstance(source, EncryptionContext):
            configured = source
        else:
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


def _is_positive(interval: object) -> bool:
    return isinstance(interval, datetime.timedelta) and interval > datetime.timedelta()


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
            cleared = {"keyring": None, "kms_key_id": None, "kms_client": None, "retired_kms_key_ids": ()}
            given = {**cleared, "rotate_on_read": None, **given}
        return dataclasses.replace(whole, **given)
    return EnvelopeConfig(**{**_from_environment(environment, given), **given})


def _from_environment(environment: Mapping[str, str], given: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for variable, (name, read) in _VARIABLES.items():
        value = environment.get(_PREFIX + variable)
        has_keyring = name in _OF_KEYS and given.get("keyring") is not None
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


def _read_seconds(variable: str, value: str) -> datetime.timedelta:
    return datetime.timedelta(seconds=_read_int(variable, value))


def _read_context(variable: str, value: str) -> Mapping[str, str]:
    try:
        entries = json.loads(value)
    except ValueError:
        entries = None
    if not isinstance(entries, dict):
        raise ConfigurationError(f'{variable} is not a JSON object; use one of strings, {{"tenant": "acme"}}')
    return EncryptionContext(entries)


def _read_key_ids(_: str, value: str) -> str | tuple[str, ...]:
    return tuple(name.strip() for name in value.split(",")) if "," in value else value


def _read_names(_: str, value: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in value.split(","))


def _read_cache(variable: str, value: str) -> DiskCache | MemoryCache | None:
    if value not in ("disk", "memory", "off"):
        raise ConfigurationError(f"{variable} is {value!r}; use disk, memory or off")
    if value == "off":
        return None
    return DiskCache() if value == "disk" else MemoryCache()


def _read_metrics(variable: str, value: str) -> Metrics | None:
    if value not in ("otel", "off"):
        raise ConfigurationError(f"{variable} is {value!r}; use otel or off")
    return OpenTelemetryMetrics() if value == "otel" else None


_VARIABLES: dict[str, tuple[str, Callable[[str, str], Any]]] = {
    "KMS_KEY_ID": ("kms_key_id", _read_key_ids),
    "RETIRED_KMS_KEY_IDS": ("retired_kms_key_ids", _read_names),
    "ROTATE_ON_READ": ("rotate_on_read", _read_seconds),
    "CONTEXT": ("encryption_context", _read_context),
    "BIND_KEY_NAME": ("bind_key_name", _read_bool),
    "UNENCRYPTED": ("unencrypted", _read_text),
    "PART_SIZE": ("part_size", _read_int),
    "LIST_SIZES": ("list_sizes", _read_text),
    "METADATA_LIMIT": ("metadata_limit", _read_int),
    "STATE_DIR": ("state_dir", _read_text),
    "CACHE": ("cache", _read_cache),
    "READ_FORMATS": ("read_formats", _read_names),
    "WRITE_FORMAT": ("write_format", _read_text),
    "CACHE_PARTITION": ("cache_partition", _read_text),
    "METRICS": ("metrics", _read_metrics),
}
