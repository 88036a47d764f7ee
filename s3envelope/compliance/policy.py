"""What is asked of a set-up: limits, and what may be trusted."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from s3envelope.errors import ConfigurationError

_MOST_BYTES = 1 << 20
_ACCOUNT_LENGTH = 12
MultiRegion = Literal["either", "required", "forbidden"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CompliancePolicy:
    """Limits that checks compare with.

    Args:
        rotation_period_days: The longest period of the automatic rotation of the KMS key.
        data_key_age_days: The highest age of the data key of an object.
        cache_max_age_seconds: For how long a data key may seal new objects.
        cache_max_objects: How many objects a data key may seal.
        cache_fresh_seconds: For how long an opened data key may be used without asking KMS.
        cache_offline_seconds: For how long it may be used while KMS cannot be reached.
        key_origins: Where the material of the KMS key may come from.
        multi_region: Whether the KMS key must, or must not, be a multi-Region one.
        trusted_accounts: Other AWS accounts that the key policy may let make and open data keys.

    Raises:
        ConfigurationError: A limit is not legal.
    """

    rotation_period_days: int = 365
    data_key_age_days: int = 365
    cache_max_age_seconds: float = 3600
    cache_max_objects: int = 2**20
    cache_fresh_seconds: float = 3600
    cache_offline_seconds: float = 86_400
    key_origins: tuple[str, ...] = ("AWS_KMS",)
    multi_region: MultiRegion = "either"
    trusted_accounts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.type in ("int", "float"):
                legal = int if field.type == "int" else (int, float)
                if isinstance(value, bool) or not isinstance(value, legal) or not value >= 0:
                    raise ConfigurationError(f"{field.name} is {value!r}; use a number, 0 or more")
        if self.multi_region not in get_args(MultiRegion):
            raise ConfigurationError(
                f"multi_region is {self.multi_region!r}; use one of {', '.join(get_args(MultiRegion))}"
            )
        for name in ("key_origins", "trusted_accounts"):
            value = getattr(self, name)
            if not isinstance(value, tuple) or not all(isinstance(entry, str) for entry in value):
                raise ConfigurationError(f"{name} is {value!r}; use a list of strings")
        for account in self.trusted_accounts:
            if len(account) != _ACCOUNT_LENGTH or not account.isdecimal():
                raise ConfigurationError(f"trusted_accounts has {account!r}; use account ids of twelve digits")

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in _items(self)}

    @classmethod
    def read(cls, path: Path) -> CompliancePolicy:
        """Read a JSON object with any of the fields.

        Raises:
            ConfigurationError: It cannot be read, has another field, or a limit is not legal.
        """
        fields = read_object(path)
        known = {field.name for field in dataclasses.fields(cls)}
        unknown = sorted(set(fields) - known)
        if unknown:
            raise ConfigurationError(f"{path} has {unknown[0]!r}; a policy has {', '.join(sorted(known))}")
        given: dict[str, Any] = {
            name: tuple(value) if isinstance(value, list) else value for name, value in fields.items()
        }
        return cls(**given)


def _items(policy: CompliancePolicy) -> list[tuple[str, Any]]:
    return [(field.name, getattr(policy, field.name)) for field in dataclasses.fields(policy)]


def read_object(path: Path, limit: int = _MOST_BYTES) -> Mapping[str, Any]:
    """Return the JSON object in a file.

    Raises:
        ConfigurationError: It cannot be read, is larger than `limit` bytes, or holds something else.
    """
    try:
        with path.open("rb") as file:
            content = file.read(limit + 1)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    if len(content) > limit:
        raise ConfigurationError(f"{path} has more than {limit} bytes; it is no file of this kind")
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ConfigurationError(f"{path} does not hold a JSON object")
    return found
