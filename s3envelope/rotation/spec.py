"""What a rotation needs to know, in a form that travels to other processes: each makes clients of its own from it."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

from s3envelope.core.hints import key_hint
from s3envelope.core.ports import Keyring
from s3envelope.errors import ConfigurationError
from s3envelope.formats import names
from s3envelope.keyrings.kms import KmsKeyring, check_key_id, region_of
from s3envelope.keyrings.multi import MultiKeyring
from s3envelope.keyrings.raw_aes import RawAesKeyring
from s3envelope.rotation.plan import Goal
from s3envelope.rotation.run import Job, Location, Outcome, rotate_object
from s3envelope.s3.config import make_config
from s3envelope.s3.install import install


@dataclass(frozen=True, slots=True)
class RotationSpec:
    """How objects are to be, and how the servers are reached. Credentials come from where boto3 finds them.

    Args:
        to_keys, to_files: KMS key ids, and files of raw keys, that wrap new data keys: one to four together.
        from_keys, from_files: The keys to replace; without any, all objects are looked at.
        context: Entries that each encryption context is to have.
        bind: Bind objects that are not bound, whoever put them there.
        edk_only: Let KMS re-encrypt the data keys.
        dry_run: Only say what would be done.
        versions: Also tell of the old versions that are left behind.
        reencrypt: Write objects of the Amazon S3 Encryption Clients anew; the first key to replace opens them.
        profile, region, endpoint_url, kms_endpoint_url: As for boto3.
        workers: Threads that use the client at the same time.

    Raises:
        ConfigurationError: There is no key to wrap with, or the options contradict each other.
    """

    to_keys: tuple[str, ...] = ()
    to_files: tuple[str, ...] = ()
    from_keys: tuple[str, ...] = ()
    from_files: tuple[str, ...] = ()
    context: tuple[tuple[str, str], ...] = ()
    bind: bool = False
    edk_only: bool = False
    dry_run: bool = False
    versions: bool = False
    reencrypt: bool = False
    profile: str | None = None
    region: str | None = None
    endpoint_url: str | None = None
    kms_endpoint_url: str | None = None
    workers: int = 16

    def __post_init__(self) -> None:
        if not self.to_keys and not self.to_files:
            raise ConfigurationError("there is no key to wrap with; name one")
        if self.edk_only and (self.context or self.bind):
            raise ConfigurationError("edk_only keeps the header; a context or binding needs one of its own")
        if self.edk_only and self.reencrypt:
            raise ConfigurationError("edk_only opens nothing; to write objects anew takes their plaintext")
        for key_id in (*self.to_keys, *self.from_keys):
            check_key_id(key_id)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> RotationSpec:
        """Return what `S3ENVELOPE_ROTATE_TO`, `_FROM` (KMS key ids, with commas), `_EDK_ONLY` and `_DRY_RUN` say."""

        def listed(name: str) -> tuple[str, ...]:
            return tuple(filter(None, environment.get(f"S3ENVELOPE_ROTATE_{name}", "").replace(" ", "").split(",")))

        def is_set(name: str) -> bool:
            value = environment.get(f"S3ENVELOPE_ROTATE_{name}", "false").lower()
            if value not in ("true", "false"):
                raise ConfigurationError(f"S3ENVELOPE_ROTATE_{name} is {value!r}; use true or false")
            return value == "true"

        return cls(
            to_keys=listed("TO"), from_keys=listed("FROM"), edk_only=is_set("EDK_ONLY"), dry_run=is_set("DRY_RUN")
        )

    def open(self) -> tuple[Any, Job]:
        """Return an enveloped client and the job; aliases are resolved now.

        Raises:
            ConfigurationError: A key file does not exist, or is no key.
        """
        session = boto3.Session(profile_name=self.profile, region_name=self.region)
        old = self._keyrings(session, self.from_keys, self.from_files)
        new = self._keyrings(session, self.to_keys, self.to_files)
        goal = Goal(
            to_hints=frozenset(map(_hint, new)),
            from_hints=frozenset(map(_hint, old)) if old else None,
            context=dict(self.context),
            bind=self.bind,
            reencrypt=self.reencrypt,
        )
        keyring = _joined(list({next(iter(one.key_ids)): one for one in (*old, *new)}.values()))
        fields: dict[str, Any] = {"keyring": keyring}
        writer = None
        if self.reencrypt:
            # What is written anew is this library's own, under the name that it was found by.
            writer = self._client(
                session,
                {"keyring": _joined(new), "encryption_context": dict(self.context), "bind_key_name": self.bind},
            )
            fields.update(s3ec_keyring=(old or new)[0])
            # The weak formats are read only where the environment names them.
            if "S3ENVELOPE_READ_FORMATS" not in os.environ:
                fields.update(read_formats=(names.SE1, names.S3EC_V3, names.S3EC_V2))
        # INVARIANT: nothing is bound here that was not, unless `bind` vouches for it.
        client = self._client(session, {**fields, "bind_key_name": False})
        job = Job(
            goal, _joined(new), edk_only=self.edk_only, dry_run=self.dry_run, versions=self.versions, writer=writer
        )
        return client, job

    def _client(self, session: boto3.Session, fields: dict[str, Any]) -> Any:
        install(session, make_config(fields, os.environ))
        config = Config(max_pool_connections=self.workers)
        return session.client("s3", endpoint_url=self.endpoint_url, config=config)

    def _keyrings(self, session: boto3.Session, key_ids: Sequence[str], files: Sequence[str]) -> list[Keyring]:
        found: list[Keyring] = []
        for key_id in key_ids:
            client = session.client("kms", region_name=region_of(key_id), endpoint_url=self.kms_endpoint_url)
            # Objects show hints of key ids, of which an alias is only a name; and re-encryption names keys by ARN.
            is_arn = region_of(key_id) is not None and ":key/" in key_id
            found.append(
                KmsKeyring(key_id if is_arn else client.describe_key(KeyId=key_id)["KeyMetadata"]["Arn"], client)
            )
        return found + [RawAesKeyring.from_file(Path(file), create=False) for file in files]


@functools.lru_cache(maxsize=8)
def _opened(spec: RotationSpec, process: int) -> tuple[Any, Job]:
    return spec.open()


def open_once(spec: RotationSpec) -> tuple[Any, Job]:
    """Return the client and the job of a spec: the same ones for every call in a process."""
    return _opened(spec, os.getpid())


def forget_clients() -> None:
    """Close nothing, but make new clients from now on."""
    _opened.cache_clear()


def rotate_one(spec: RotationSpec, where: Location) -> Outcome:
    """Bring one object to the goal of a spec; to be given to an executor of any kind."""
    client, job = open_once(spec)
    return rotate_object(client, job, where)


def _joined(keyrings: Sequence[Keyring]) -> Keyring:
    return keyrings[0] if len(keyrings) == 1 else MultiKeyring(*keyrings)


def _hint(keyring: Keyring) -> str:
    (name,) = keyring.key_ids
    return key_hint(name).hex()
