"""Opens data keys of any KMS key of given accounts and regions, for readers that do not know the key."""

from __future__ import annotations

import dataclasses
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NoReturn

from s3envelope.core.context import EncryptionContext
from s3envelope.core.hints import key_hint
from s3envelope.core.measures import Meter
from s3envelope.core.ports import Clock, DataKey, EncryptedDataKey
from s3envelope.core.secret import SecretBytes
from s3envelope.errors import (
    ConfigurationError,
    KeyAccessError,
    KeyringError,
    KeyServiceUnavailableError,
    NoMatchingKeyError,
)
from s3envelope.keyrings.kms_calls import KmsCalls
from s3envelope.keyrings.kms_errors import is_not_this_entry, joined_request_ids
from s3envelope.keyrings.kms_names import parse_arn
from s3envelope.keyrings.outages import Outages

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

_ACCOUNT = re.compile(r"[0-9]{12}", re.ASCII)
_REGION = re.compile(r"[a-z]{2}(?:-[a-z]+){1,3}-[0-9]{1,2}", re.ASCII)
_PARTITION = re.compile(r"aws(?:-[a-z]+)*", re.ASCII)
_MOST_ACCOUNTS, _MOST_REGIONS = 64, 8
# INVARIANT: one object causes at most as many requests as it may have entries, times the regions.
_MOST_ENTRIES = 4
# What KMS takes as a ciphertext; it would refuse a longer one.
_MOST_CIPHERTEXT_BYTES = 6144


class KmsDiscoveryKeyring:
    """Opens data keys of any KMS key of given accounts and regions. It makes none.

    An object does not say which KMS key wrapped its data key, so each entry is sent to KMS in each region until one
    opens, without naming a key: KMS finds it. What it answers counts only if the key is of a given account, of the
    region that was asked, and the one that the entry's hint is of.

    **The risk.** With `KmsKeyring` an object was written by somebody who may use that one key. Here it may have been
    written by anybody who may use any key of these accounts that this identity may decrypt with. Accounts of others
    must not be among them; and the identity should be allowed `kms:Decrypt` on keys of these accounts only, for a
    request is decided by KMS before the answer is refused: a stranger whose key lets everybody decrypt sees in his own
    CloudTrail who read the object, and its encryption context. For audits, migrations and recovery rather than for
    services that know their keys.

    Nothing that it opens is kept on disk: the keys that stand behind it are not known beforehand. The answers of
    regions are weighed as those of a `MultiKeyring`: a refusal counts more than an outage.

    Args:
        clients: KMS clients by region, or a function that makes the one of a region; it is called once for each.
        accounts: Twelve digits each; 1 to 64.
        regions: In the order in which they are asked, the nearest first; 1 to 8.
        partition: Of all these.
        clock: Monotonic. A region that cannot be reached is asked last for the next 30 seconds.

    Raises:
        ConfigurationError: Something is not well-formed, or there is no client for a region.
    """

    def __init__(
        self,
        clients: Mapping[str, KMSClient] | Callable[[str], KMSClient],
        *,
        accounts: Sequence[str],
        regions: Sequence[str],
        partition: str = "aws",
        clock: Clock = time.monotonic,
    ) -> None:
        self._accounts = frozenset(_checked("accounts", accounts, _ACCOUNT, _MOST_ACCOUNTS))
        self._regions = _checked("regions", regions, _REGION, _MOST_REGIONS)
        (self._partition,) = _checked("partition", [partition], _PARTITION, 1)
        if isinstance(clients, Mapping):
            missing = [region for region in self._regions if region not in clients]
            if missing:
                raise ConfigurationError(f"there is no KMS client for {', '.join(missing)}; give one for each region")
            self._make: Callable[[str], KMSClient] = clients.__getitem__
        else:
            self._make = clients
        self._calls: dict[str, KmsCalls] = {}
        self._meters: list[Meter] = []
        self._lock = threading.Lock()
        self._outages = Outages(len(self._regions), clock)

    def measure(self, meter: Meter) -> None:
        """See `Measurable`."""
        with self._lock:
            if meter not in self._meters:
                self._meters.append(meter)
            for calls in self._calls.values():
                calls.measure(meter)

    @property
    def key_ids(self) -> frozenset[str]:
        """None: it wraps with no key."""
        return frozenset()

    @property
    def encrypted_data_key_sizes(self) -> tuple[int, ...]:
        """None: it makes no data keys."""
        return ()

    def generate_data_key(self, context: EncryptionContext) -> DataKey:
        """Refuse.

        Raises:
            ConfigurationError: Always.
        """
        self._refuse()

    def encrypt_data_key(self, plaintext: SecretBytes, context: EncryptionContext) -> EncryptedDataKey:
        """Refuse.

        Raises:
            ConfigurationError: Always.
        """
        self._refuse()

    def reencrypt_data_key(
        self, key: EncryptedDataKey, context: EncryptionContext, *, source_key_arn: str
    ) -> EncryptedDataKey:
        """Refuse.

        Raises:
            ConfigurationError: Always.
        """
        self._refuse()

    def decrypt_data_keys(
        self, keys: Sequence[EncryptedDataKey], context: EncryptionContext
    ) -> Iterator[tuple[EncryptedDataKey, SecretBytes]]:
        """See `Keyring`. Every entry is a candidate in every region, up to the first four entries."""
        entries = [key for key in keys if len(key.ciphertext) <= _MOST_CIPHERTEXT_BYTES][:_MOST_ENTRIES]
        if not entries:
            raise NoMatchingKeyError(f"none of the object's {len(keys)} encrypted data keys can be one of AWS KMS")
        troubles: list[KeyringError] = []
        for place in self._outages.order():
            for key in entries:
                try:
                    opened = self._decrypt(place, key, context)
                except KeyServiceUnavailableError as error:
                    troubles.append(error)
                    # The region would let every other entry wait as long.
                    break
                except KeyAccessError as error:
                    troubles.append(error)
                    continue
                if opened is not None:
                    yield opened
        if troubles:
            raise _joined(troubles)

    def _decrypt(
        self, place: int, key: EncryptedDataKey, context: EncryptionContext
    ) -> tuple[EncryptedDataKey, SecretBytes] | None:
        """Ask one region about one entry; return `None` if the entry is not of a key there, or of this protocol."""
        region = self._regions[place]
        try:
            call, plaintext = self._calls_in(region).decrypt_unnamed(key.ciphertext, context.for_key_service())
        except KeyServiceUnavailableError:
            self._outages.failed(place)
            raise
        except KeyAccessError as error:
            self._outages.answered(place)
            if is_not_this_entry(error):
                return None
            raise
        self._outages.answered(place)
        # INVARIANT: what a key opened that is not one of ours is wiped here and seen by nobody.
        if not self._is_ours(call.key_arn, region, key.hint):
            plaintext.wipe()
            raise KeyAccessError(
                f"AWS KMS in {region} opened an encrypted data key with {call.key_arn}, which is not of the accounts "
                f"{', '.join(sorted(self._accounts))} there, or not the key that the entry says; it was refused"
            )
        return dataclasses.replace(key, call=call), plaintext

    def _is_ours(self, answered_arn: str, region: str, hint: bytes) -> bool:
        arn = parse_arn(answered_arn)
        return (
            arn is not None
            and arn.key_id != ""
            and (arn.partition, arn.region) == (self._partition, region)
            and arn.account_id in self._accounts
            and key_hint(answered_arn) == hint
        )

    def _calls_in(self, region: str) -> KmsCalls:
        with self._lock:
            known = self._calls.get(region)
            if known is None:
                client = self._make(region)
                if client.meta.region_name != region:
                    raise ConfigurationError(f"the KMS client for {region} is for {client.meta.region_name}")
                known = self._calls[region] = KmsCalls(client, f"any key of {region}")
                for meter in self._meters:
                    known.measure(meter)
            return known

    def _refuse(self) -> NoReturn:
        raise ConfigurationError(
            f"{self!r} only opens data keys; to write or rewrap, configure the key: kms_key_id=..., KmsKeyring, or a "
            "MultiKeyring of both"
        )

    def __repr__(self) -> str:
        return f"<KmsDiscoveryKeyring of {', '.join(sorted(self._accounts))} in {', '.join(self._regions)}>"


def _joined(troubles: Sequence[KeyringError]) -> KeyringError:
    """Return one error for all."""
    # INVARIANT: a refusal is not hidden by an outage elsewhere, else a cache would serve what was refused.
    decisive = next((error for error in troubles if isinstance(error, KeyAccessError)), troubles[-1])
    told = list(dict.fromkeys(map(str, troubles)))
    if len(told) == 1:
        return decisive
    joined = type(decisive)(f"no region opens the object: {'; '.join(told)}")
    joined.__cause__ = decisive
    joined.request_ids = joined_request_ids(troubles)
    return joined


def _checked(name: str, given: object, pattern: re.Pattern[str], most: int) -> tuple[str, ...]:
    """Return a sequence of distinct well-formed texts."""
    texts = given if isinstance(given, list | tuple) else ()
    found = tuple(text for text in texts if isinstance(text, str) and pattern.fullmatch(text))
    if not 1 <= len(found) <= most or len(found) != len(texts) or len(set(found)) != len(found):
        raise ConfigurationError(f"{name} is {given!r}; use a list or tuple of 1 to {most}, each well-formed and once")
    return found
