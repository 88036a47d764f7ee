"""The keyring of a client, and the KMS client behind it where none is given."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from botocore.config import Config

from s3envelope.core.ports import Keyring
from s3envelope.keyrings.kms import KmsKeyring, region_of
from s3envelope.s3.config import EnvelopeConfig

# Of the S3 client's configuration, what KMS is reached by as well.
_SHARED_SETTINGS = (
    "proxies",
    "proxies_config",
    "connect_timeout",
    "read_timeout",
    "retries",
    "use_fips_endpoint",
    "use_dualstack_endpoint",
    "client_cert",
    "tcp_keepalive",
    "user_agent_extra",
)
_AWS_DOMAINS = (".amazonaws.com", ".amazonaws.com.cn", ".api.aws")
_GLOBAL_REGION, _REGION_OF_GLOBAL = "aws-global", "us-east-1"


def keyring_for(session: Any, client: Any, config: EnvelopeConfig) -> Keyring:
    """Return the configured keyring; with only a KMS key id, one over a KMS client like the S3 client."""
    if config.keyring is not None:
        return config.keyring
    key_id = config.kms_key_id or ""
    return KmsKeyring(key_id, config.kms_client or _kms_client(session, client, key_id))


def _kms_client(session: Any, client: Any, key_id: str) -> Any:
    """Make a KMS client with the session, credentials and network settings of an S3 client, in the key's region."""
    region = region_of(key_id) or client.meta.region_name
    arguments: dict[str, Any] = {"region_name": _REGION_OF_GLOBAL if region == _GLOBAL_REGION else region}
    arguments.update(_credentials(session, client))
    arguments.update(_verification(client))
    settings = {name: getattr(client.meta.config, name, None) for name in _SHARED_SETTINGS}
    arguments["config"] = Config(**{name: value for name, value in settings.items() if value is not None})
    create = getattr(session, "client", None) or session.create_client
    return create("kms", **arguments)


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
