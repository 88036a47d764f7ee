"""The names of KMS keys: ids, ARNs, aliases, and what they say about where a key is."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from s3envelope.errors import ConfigurationError

_KEY_ID = r"(?:mrk-[0-9a-f]{32}|[0-9A-Za-z-]{1,64})"
_MANAGED_ALIAS = "alias/aws/"
_ALIAS = r"alias/[0-9A-Za-z/_-]{1,250}"
_NAME = re.compile(rf"{_KEY_ID}|{_ALIAS}", re.ASCII)
_ARN = re.compile(rf"arn:(aws[a-z-]*):kms:([a-z0-9-]+):([0-9]{{12}}):(?:key/({_KEY_ID})|{_ALIAS})", re.ASCII)
_MULTI_REGION_PREFIX = "mrk-"
_MOST_KEYS = 4


@dataclass(frozen=True, slots=True)
class KeyArn:
    """The parts of the ARN of a KMS key, or of an alias: `key_id` is "" then."""

    partition: str
    region: str
    account_id: str
    key_id: str


def parse_arn(name: str) -> KeyArn | None:
    """Return the parts of a well-formed ARN of a key or an alias; `None` for every other name."""
    match = _ARN.fullmatch(name)
    return KeyArn(match[1], match[2], match[3], match[4] or "") if match else None


def check_key_id(key_id: object) -> str:
    """Return a well-formed KMS key id, key ARN, alias or alias ARN.

    Raises:
        ConfigurationError: It is none of these.
    """
    if isinstance(key_id, str) and _MANAGED_ALIAS in key_id:
        raise ConfigurationError(
            f"kms_key_id is {key_id!r}, a key that AWS manages; only AWS services can use it. Use a key of your own"
        )
    if isinstance(key_id, str) and (_ARN.fullmatch(key_id) or _NAME.fullmatch(key_id)):
        return key_id
    found = repr(key_id) if isinstance(key_id, str) else f"a {type(key_id).__name__}"
    raise ConfigurationError(
        f"kms_key_id is {found}; use a KMS key id, a key ARN, 'alias/name' or an alias ARN of a symmetric key"
    )


def check_key_ids(key_ids: object) -> tuple[str, ...]:
    """Return the well-formed names of one to four keys: of one as a string, or of several as a list or a tuple.

    Raises:
        ConfigurationError: One is not well-formed or there twice, or there are none or too many.
    """
    if not isinstance(key_ids, list | tuple):
        return (check_key_id(key_ids),)
    names = tuple(check_key_id(key_id) for key_id in key_ids)
    if not 1 <= len(names) <= _MOST_KEYS or len(set(names)) < len(names):
        raise ConfigurationError(
            f"kms_key_id has {len(names)} keys, {len(set(names))} different ones; give 1 to {_MOST_KEYS}, each once"
        )
    return names


def region_of(key_id: str) -> str | None:
    """Return the region that an ARN names; `None` for a bare id or alias."""
    arn = parse_arn(key_id)
    return arn.region if arn else None


def region_of_client(client: Any) -> str:
    """Return the region of a KMS client; "" if it does not tell one."""
    return getattr(client.meta, "region_name", None) or ""


def name_for_client(key_id: str, client: Any) -> str:
    """Return the name of a key for the region of a KMS client: of a multi-Region key, the replica there.

    Args:
        key_id: Well-formed.
        client: A boto3 KMS client.

    Raises:
        ConfigurationError: An ARN is of another region, and not of a multi-Region key that could be in both.
    """
    arn, region = parse_arn(key_id), region_of_client(client)
    if arn is None or not region or arn.region == region:
        return key_id
    # Replicas have the same key id and account in every region, and are confined to a partition.
    if arn.key_id.startswith(_MULTI_REGION_PREFIX) and arn.partition == client.meta.partition:
        return f"arn:{arn.partition}:kms:{region}:{arn.account_id}:key/{arn.key_id}"
    raise ConfigurationError(
        f"{key_id} is in {arn.region}, but its KMS client is for {region}; use a client of the key's region, or a "
        "multi-Region key (mrk-...) with a replica there"
    )
