"""The keyring of a client, and the KMS client behind it where none is given."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import urlsplit

from botocore.config import Config

from s3envelope.core.context import EncryptionContext
from s3envelope.core.ports import DataKey, EncryptedDataKey, Keyring
from s3envelope.core.secret import SecretBytes
from s3envelope.errors import ConfigurationError
from s3envelope.formats import names
from s3envelope.formats.s3ec.ports import S3ecKeyring
from s3envelope.keyrings.kms import KmsKeyring
from s3envelope.keyrings.kms_names import check_key_ids, region_of
from s3envelope.keyrings.multi import MultiKeyring
from s3envelope.keyrings.succession import SuccessionKeyring
from s3envelope.s3.config import EnvelopeConfig

# Of the S3 client's configuration, what KMS is reached by as well.
_SHARED_SETTINGS = (
    "proxies",
    "proxies_config",
    "use_fips_endpoint",
    "use_dualstack_endpoint",
    "client_cert",
    "tcp_keepalive",
    "user_agent_extra",
)
# An answer of KMS is small and quick, and a read that can go on without it should not wait as long as for an object.
_TIMEOUTS = {"connect_timeout": 5, "read_timeout": 10}
# Where another key can do it as well, a region that does not answer is given up sooner.
_TIMEOUTS_WITH_OTHERS = {"connect_timeout": 2, "read_timeout": 3}
_BOTOCORE_TIMEOUT = 60
# Exponential backoff with jitter, and a rate that adapts itself to what KMS allows.
_RETRY_MODE = "adaptive"
_AWS_DOMAINS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")
_GLOBAL_REGION, _REGION_OF_GLOBAL = "aws-global", "us-east-1"


def keyring_for(session: Any, client: Any, config: EnvelopeConfig) -> Keyring:
    """Return the configured keyring; with only KMS key ids, one over KMS clients like the S3 client."""
    if config.keyring is None and config.kms_key_id is None:
        return NoKeyring()
    current = config.keyring or kms_keyring(session, client, config, config.kms_key_ids)
    retired = [kms_keyring(session, client, config, (key_id,)) for key_id in config.retired_kms_key_ids]
    return SuccessionKeyring(current, *retired) if retired else current


def s3ec_keyring_for(config: EnvelopeConfig, keyring: Keyring) -> S3ecKeyring | None:
    """Return the keyring for objects of the Amazon formats; `None` if they are neither read nor written.

    Raises:
        ConfigurationError: They are read or written, and neither keyring knows how.
    """
    if config.s3ec_keyring is not None:
        return config.s3ec_keyring
    if not config.reads_s3ec and config.write_format == names.SE1:
        return None
    if not isinstance(keyring, S3ecKeyring):
        raise ConfigurationError(
            f"read_formats or write_format names a format of the Amazon clients, but a {type(keyring).__name__} does "
            "not wrap keys as they do; pass s3ec_keyring=..."
        )
    return keyring


class NoKeyring:
    """The keyring of a client that neither reads nor writes SE1: it has no key and refuses."""

    key_ids: frozenset[str] = frozenset()
    encrypted_data_key_sizes: tuple[int, ...] = ()

    def generate_data_key(self, context: EncryptionContext) -> DataKey:
        raise _no_keyring()

    def encrypt_data_key(self, plaintext: SecretBytes, context: EncryptionContext) -> EncryptedDataKey:
        raise _no_keyring()

    def decrypt_data_keys(
        self, keys: Sequence[EncryptedDataKey], context: EncryptionContext
    ) -> Iterator[tuple[EncryptedDataKey, SecretBytes]]:
        raise _no_keyring()

    def reencrypt_data_key(
        self, key: EncryptedDataKey, context: EncryptionContext, *, source_key_arn: str
    ) -> EncryptedDataKey:
        raise _no_keyring()


def _no_keyring() -> ConfigurationError:
    return ConfigurationError("this client has only s3ec_keyring; pass keyring=... or kms_key_id=... as well")


def kms_keyring(session: Any, client: Any, config: EnvelopeConfig, key_ids: Sequence[str]) -> Keyring:
    """Return the keyring of some KMS keys, over the configured KMS client where that is of the key's region.

    The first key makes data keys. Reading tries those of the S3 client's region first, else the given order.

    Raises:
        ConfigurationError: A key id is not well-formed or there twice, or the KMS client is of another region.
    """
    names = check_key_ids(tuple(key_ids))
    home, given = _region_of(client), config.kms_client
    made: dict[str, Any] = {}

    def client_for(key_id: str) -> Any:
        is_the_only = names == config.kms_key_ids and len(names) == 1
        if given is not None and (is_the_only or region_of(key_id) in (None, given.meta.region_name)):
            return given
        region = region_of(key_id) or home
        if region not in made:
            made[region] = _kms_client(session, client, region, kms_config(client, has_others=len(names) > 1))
        return made[region]

    keyrings = [KmsKeyring(key_id, client_for(key_id)) for key_id in names]
    if len(keyrings) == 1:
        return keyrings[0]
    nearest_first = sorted(keyrings, key=lambda one: one.region != home)
    return MultiKeyring(*keyrings, read_order=nearest_first)


def kms_config(client: Any, *, has_others: bool) -> Config:
    """Return the settings of a KMS client that goes with an S3 client, alone or with others for other keys."""
    settings = {name: getattr(client.meta.config, name, None) for name in _SHARED_SETTINGS}
    settings["retries"] = {**(client.meta.config.retries or {}), "mode": _RETRY_MODE}
    for name, seconds in (_TIMEOUTS_WITH_OTHERS if has_others else _TIMEOUTS).items():
        given = getattr(client.meta.config, name, _BOTOCORE_TIMEOUT)
        settings[name] = seconds if given == _BOTOCORE_TIMEOUT else given
    return Config(**{name: value for name, value in settings.items() if value is not None})


def _region_of(client: Any) -> str:
    region = str(client.meta.region_name)
    return _REGION_OF_GLOBAL if region == _GLOBAL_REGION else region


def _kms_client(session: Any, client: Any, region: str, config: Config) -> Any:
    """Make a KMS client with the session and credentials of an S3 client, in a region."""
    arguments: dict[str, Any] = {"region_name": region, **_credentials(session, client), **_verification(client)}
    create = getattr(session, "client", None) or session.create_client
    return create("kms", **arguments, config=config)


def _credentials(session: Any, client: Any) -> dict[str, str]:
    """Return the credentials that an S3 client was given; those of the session are found, and renewed, there."""
    credentials = client._request_signer._credentials
    known = getattr(getattr(session, "_session", session), "_credentials", None)
    if credentials is None or credentials is known:
        return {}
    frozen = credentials.get_frozen_credentials()
    return {
        "aws_access_key_id": frozen.access_key,
        "aws_secret_access_key": frozen.secret_key,
        "aws_session_token": frozen.token,
    }


def _verification(client: Any) -> dict[str, str]:
    """Return the certificate authorities of an S3 client of AWS.

    Those of a storage of one's own say nothing about KMS, and verification is never switched off for it.
    """
    verify = client._endpoint.http_session._verify
    host = urlsplit(str(client.meta.endpoint_url)).hostname or ""
    return {"verify": verify} if isinstance(verify, str) and host.endswith(_AWS_DOMAINS) else {}
