"""All keys and aliases of all Regions of one account."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from s3envelope.testing.local_kms.errors import KmsServiceError, not_found
from s3envelope.testing.local_kms.keys import PENDING_REPLICA_DELETION, KeyFamily, RegionalKey
from s3envelope.testing.local_kms.random_source import Random

_KEY_ID = re.compile(r"mrk-[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.ASCII)
_ARN = re.compile(r"arn:(aws[a-z-]*):kms:([a-z0-9-]+):([0-9]{12}):(key/[^/\s]+|alias/\S+)", re.ASCII)


def partition_of(region: str) -> str:
    """Return the partition in the ARNs of a Region."""
    if region.startswith("cn-"):
        return "aws-cn"
    return "aws-us-gov" if region.startswith("us-gov-") else "aws"


def new_key_id(random: Random, *, multi_region: bool) -> str:
    """Return an id that no key has."""
    digits = uuid.UUID(bytes=random(16), version=4)
    return f"mrk-{digits.hex}" if multi_region else str(digits)


def local_name(arn: str, region: str, account_id: str) -> str:
    """Return the key id or the alias of an ARN that belongs to this Region and account.

    Raises:
        KmsServiceError: NotFoundException, InvalidArnException.
    """
    match = _ARN.fullmatch(arn)
    if match is None:
        raise KmsServiceError("InvalidArnException", f"{arn} is not a valid ARN of a key or an alias.")
    partition, arn_region, arn_account_id, resource = match.groups()
    if arn_region != region or partition != partition_of(region):
        raise not_found(f"Invalid arn {arn_region}")
    if arn_account_id != account_id:
        raise not_found(f"Key '{arn}' does not exist")
    return resource.removeprefix("key/")


@dataclass(slots=True)
class Alias:
    """A name for a key in one Region."""

    name: str
    arn: str
    key_id: str
    created: float
    updated: float


@dataclass(slots=True, repr=False)
class _Region:
    keys: dict[str, RegionalKey] = field(default_factory=dict)
    aliases: dict[str, Alias] = field(default_factory=dict)


class KeyStore:
    """The state of the service. Not synchronised: the service holds one lock around every operation."""

    def __init__(
        self, account_id: str, *, random: Random, clock: Callable[[], float], regions: Iterable[str] | None
    ) -> None:
        self.account_id = account_id
        self.random = random
        self.clock = clock
        self.allowed_regions = None if regions is None else frozenset(regions)
        self.service_secret = random(32)
        self.doomed: dict[str, RegionalKey] = {}
        self._regions: dict[str, _Region] = {}

    def require_region(self, name: str) -> None:
        """Raise if this server was started without the Region."""
        if self.allowed_regions is not None and name not in self.allowed_regions:
            raise KmsServiceError("InvalidSignatureException", f"Credential should not be scoped to {name}.")

    def arn(self, region: str, resource: str) -> str:
        """Return the ARN of `key/...` or `alias/...`."""
        return f"arn:{partition_of(region)}:kms:{region}:{self.account_id}:{resource}"

    def add(self, key: RegionalKey) -> None:
        """Put a key into its Region."""
        self._region(key.region).keys[key.key_id] = key

    def keys(self, region: str) -> list[RegionalKey]:
        """Return the keys of a Region, oldest first."""
        return list(self._region(region).keys.values())

    def aliases(self, region: str) -> dict[str, Alias]:
        """Return the aliases of a Region by name, to read and to change."""
        return self._region(region).aliases

    def aliases_of(self, key: RegionalKey) -> list[Alias]:
        """Return the aliases of one key."""
        return [alias for alias in self.aliases(key.region).values() if alias.key_id == key.key_id]

    def find(self, region: str, key_id: str) -> RegionalKey | None:
        """Return a key by its bare id, after the automatic rotation that may be due."""
        key = self._region(region).keys.get(key_id)
        if key is not None and key.family.next_rotation is not None:
            key.family.catch_up(self.clock(), self.random(32))
        return key

    def expire(self) -> None:
        """Delete the keys whose waiting period is over, each with its aliases."""
        now = self.clock()
        for key in [key for key in self.doomed.values() if (key.deletion_date or now + 1) <= now]:
            del self.doomed[key.arn]
            del self._region(key.region).keys[key.key_id]
            for alias in self.aliases_of(key):
                del self.aliases(key.region)[alias.name]
            remaining = self.replicas(key.family)
            # A primary key whose last replica goes starts its own waiting period.
            if len(remaining) == 1 and remaining[0].state == PENDING_REPLICA_DELETION:
                remaining[0].doom(now)

    def replicas(self, family: KeyFamily) -> list[RegionalKey]:
        """Return all Regions' keys of a family, by Region."""
        found = (self.find(region, family.key_id) for region in sorted(self._regions))
        return [key for key in found if key is not None]

    def resolve(self, region: str, sent: str, *, aliases: bool) -> RegionalKey:
        """Return the key that a request names: by id, ARN, and where allowed alias or alias ARN.

        Raises:
            KmsServiceError: NotFoundException, InvalidArnException.
        """
        name = local_name(sent, region, self.account_id) if sent.startswith("arn:") else sent
        if name.startswith("alias/"):
            if not aliases:
                raise not_found(f"Invalid keyId '{sent}'")
            alias = self.aliases(region).get(name)
            if alias is None:
                raise not_found(f"Alias {self.arn(region, name)} is not found.")
            name = alias.key_id
        elif not _KEY_ID.fullmatch(name):
            raise not_found(f"Invalid keyId '{sent}'")
        key = self.find(region, name)
        if key is None:
            raise not_found(f"Key '{self.arn(region, f'key/{name}')}' does not exist")
        return key

    def _region(self, name: str) -> _Region:
        return self._regions.setdefault(name, _Region())
