"""Data keys from AWS KMS."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from botocore.exceptions import BotoCoreError

from s3envelope.core.context import EncryptionContext
from s3envelope.core.hints import key_hint
from s3envelope.core.measures import Meter
from s3envelope.core.ports import DataKey, EncryptedDataKey
from s3envelope.core.secret import SecretBytes
from s3envelope.errors import ConfigurationError, KeyAccessError, KeyringError, NoMatchingKeyError
from s3envelope.formats.s3ec.model import ContentAlgorithm, S3ecEnvelope, WrapAlgorithm
from s3envelope.formats.s3ec.ports import S3ecDataKey
from s3envelope.keyrings import kms_s3ec
from s3envelope.keyrings.kms_alias import KmsKeyName
from s3envelope.keyrings.kms_calls import KmsCalls, check_grant_tokens
from s3envelope.keyrings.kms_errors import is_not_found, is_not_this_entry
from s3envelope.keyrings.kms_names import check_key_id, name_for_client, parse_arn, region_of, region_of_client

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

__all__ = ["KmsKeyring", "check_key_id", "region_of"]

_WRAPPED_SIZE = 184
_Opened = tuple[EncryptedDataKey, SecretBytes]


class KmsKeyring:
    """Makes and recovers data keys with one symmetric KMS key.

    The key is named by configuration only: every request names it, and an answer by another key is refused.

    A multi-Region key (`mrk-...`) is used in the region of the client: its ARN may be that of the primary or of any
    replica, and what was sealed in one region opens in every other. Any other ARN must be of the client's region.

    An alias is resolved by `DescribeKey` when it is needed first, and keeps that key, also if it is pointed elsewhere.
    Only when KMS answers `NotFoundException`, because the key was deleted, it is resolved again, once, and the call is
    made with the new key. From then on objects under the old key, which nobody can open any more, belong to no
    configured key.

    Args:
        key_id: A key id, key ARN, alias or alias ARN.
        client: A boto3 KMS client for the region of the key, or of a replica.
        grant_tokens: Of grants that are too young to be known everywhere; they go with every request, at most 10.

    Raises:
        ConfigurationError: `key_id` or the grant tokens are not well-formed, or the key is in another region.
    """

    def __init__(self, key_id: str, client: KMSClient, *, grant_tokens: Sequence[str] = ()) -> None:
        self._configured = check_key_id(key_id)
        self._client = client
        # A grant names the principal whom it allows something; its token makes it known sooner, and to nobody else.
        # So tokens need not go into what tells two keyrings apart.
        self._calls = KmsCalls(client, self._configured, grant_tokens=check_grant_tokens(grant_tokens))
        self._name = KmsKeyName(name_for_client(key_id, client), self._describe)

    def measure(self, meter: Meter) -> None:
        """See `Measurable`."""
        self._calls.measure(meter)

    @property
    def key_ids(self) -> frozenset[str]:
        """The key id as configured."""
        return frozenset({self._configured})

    @property
    def encrypted_data_key_sizes(self) -> tuple[int, ...]:
        """One key of 184 bytes, as KMS makes them today."""
        return (_WRAPPED_SIZE,)

    @property
    def service(self) -> tuple[str, ...]:
        """AWS KMS, the endpoint of the client, and its region: an endpoint of one's own may serve several."""
        return "kms", str(self._client.meta.endpoint_url), self.region

    @property
    def key_arns(self) -> tuple[str, ...]:
        """The key that requests name; of an alias, once it has been resolved, the ARN behind it."""
        known = self._name.known
        return () if known is None else (known,)

    @property
    def region(self) -> str:
        """The region of the client; "" if it does not tell one."""
        return region_of_client(self._client)

    def principal(self) -> str | None:
        """Return the access key id of the client's credentials; `None` if there are none to be had."""
        credentials = cast(Any, self._client)._request_signer._credentials
        try:
            return None if credentials is None else str(credentials.get_frozen_credentials().access_key)
        except BotoCoreError:
            return None

    def unresolved_aliases(self) -> tuple[str, ...]:
        """Return the alias, until its key is known."""
        return (self._configured,) if self._name.known is None else ()

    def resolve_alias(self, alias: str) -> str:
        """Return the ARN of the key from `DescribeKey`; `alias` is the configured one."""
        return self._name.current()[0]

    def adopt_alias(self, alias: str, key_arn: str) -> None:
        """Take the key of the alias from an earlier answer, unless it is known already."""
        self._name.adopt(self._checked_target(key_arn))

    def generate_data_key(self, context: EncryptionContext) -> DataKey:
        """Return a data key from `GenerateDataKey`.

        Raises:
            KeyAccessError, KeyServiceUnavailableError: KMS refuses, cannot be reached, or answers for another key.
        """
        asked, (call, plaintext, encrypted) = self._name.using(
            lambda key_id: self._calls.generate(key_id, context.for_key_service())
        )
        try:
            hint = key_hint(_check_key(call.key_arn, asked))
        except BaseException:
            plaintext.wipe()
            raise
        return DataKey(plaintext, (EncryptedDataKey(hint, encrypted, call),))

    def encrypt_data_key(self, plaintext: SecretBytes, context: EncryptionContext) -> EncryptedDataKey:
        """Wrap a data key with `Encrypt`.

        Raises:
            KeyAccessError, KeyServiceUnavailableError: See `generate_data_key`.
        """
        asked, (call, encrypted) = self._name.using(
            lambda key_id: self._calls.encrypt(key_id, plaintext, context.for_key_service())
        )
        return EncryptedDataKey(key_hint(_check_key(call.key_arn, asked)), encrypted, call)

    def decrypt_data_keys(
        self, keys: Sequence[EncryptedDataKey], context: EncryptionContext
    ) -> Iterator[tuple[EncryptedDataKey, SecretBytes]]:
        """See `Keyring`."""
        key_id, seen = self._name.current()
        candidates = _of_key(keys, key_id)
        if not candidates:
            raise NoMatchingKeyError(
                f"none of the object's {len(keys)} encrypted data keys belongs to the KMS key {self._configured}"
            )
        trouble = yield from self._opened(candidates, key_id, context)
        if trouble is not None and is_not_found(trouble):
            moved = self._name.renewed(key_id, seen)
            others = [] if moved is None else _of_key(keys, moved)
            if moved is not None and others:
                trouble = yield from self._opened(others, moved, context)
        if trouble is not None:
            raise trouble

    def reencrypt_data_key(
        self, key: EncryptedDataKey, context: EncryptionContext, *, source_key_arn: str
    ) -> EncryptedDataKey:
        """Wrap a data key under this key with `ReEncrypt`; it does not leave KMS.

        Args:
            key: Wrapped by the source key.
            context: Of both.
            source_key_arn: In the region of the client, or of a multi-Region key that has a replica there.

        Raises:
            ConfigurationError: `source_key_arn` is no key ARN, or is in another region.
            KeyringError: KMS refuses, or used other keys than the two that were named.
        """
        source = parse_arn(source_key_arn)
        if source is None or not source.key_id:
            raise ConfigurationError(f"source_key_arn is {source_key_arn!r}; use the ARN of a KMS key")
        named = name_for_client(source_key_arn, self._client)
        asked, (call, encrypted) = self._name.using(
            lambda key_id: self._calls.reencrypt(named, key_id, key.ciphertext, context.for_key_service())
        )
        return EncryptedDataKey(key_hint(_check_key(call.key_arn, asked)), encrypted, call)

    def _opened(
        self, candidates: Sequence[EncryptedDataKey], key_id: str, context: EncryptionContext
    ) -> Generator[_Opened, None, KeyringError | None]:
        """Yield what opens; return the last failure that says nothing about an entry."""
        trouble: KeyringError | None = None
        for key in candidates:
            try:
                opened = self._decrypt(key, key_id, context)
            except KeyringError as error:
                trouble = error
                continue
            if opened is not None:
                yield opened
        return trouble

    @property
    def s3ec_wraps(self) -> frozenset[WrapAlgorithm]:
        """KMS with a context, and the older way of using it."""
        return kms_s3ec.WRAPS

    def make_s3ec_data_key(self, content: ContentAlgorithm, context: Mapping[str, str]) -> S3ecDataKey:
        """See `S3ecKeyring`."""
        return self._name.using(
            lambda key_id: kms_s3ec.make_data_key(
                self._calls, key_id, partial(_check_key, asked=key_id), content, context
            )
        )[1]

    def open_s3ec_data_key(self, envelope: S3ecEnvelope) -> SecretBytes:
        """See `S3ecKeyring`."""
        return self._name.using(
            lambda key_id: kms_s3ec.open_data_key(self._calls, key_id, partial(_check_key, asked=key_id), envelope)
        )[1]

    def _decrypt(self, key: EncryptedDataKey, key_id: str, context: EncryptionContext) -> _Opened | None:
        """Return what KMS opened; `None` if KMS says that this entry is not of this key and context."""
        try:
            call, plaintext = self._calls.decrypt(key_id, key.ciphertext, context.for_key_service())
        except KeyringError as error:
            if is_not_this_entry(error):
                return None
            raise
        try:
            _check_key(call.key_arn, key_id)
        except BaseException:
            plaintext.wipe()
            raise
        return replace(key, call=call), plaintext

    def _describe(self, alias: str) -> str:
        return self._checked_target(self._calls.arn_of(alias))

    def _checked_target(self, key_arn: str) -> str:
        """Return the ARN of the key of an alias, which is always in the region and account of its alias."""
        found, alias = parse_arn(key_arn), parse_arn(self._configured)
        is_elsewhere = found is not None and (
            found.region != (self.region or found.region)
            or (alias is not None and alias.account_id != found.account_id)
        )
        if found is None or not found.key_id or is_elsewhere:
            raise KeyAccessError(f"{self._configured} is said to name {key_arn!r}, which is no key beside it")
        return key_arn

    def __repr__(self) -> str:
        return f"<KmsKeyring {self._configured}>"


def _of_key(keys: Sequence[EncryptedDataKey], key_id: str) -> list[EncryptedDataKey]:
    hint = key_hint(key_id)
    return [key for key in keys if key.hint == hint]


def _check_key(answered_arn: str, asked: str) -> str:
    """Return the ARN of the key that answered, which must be the one that was asked."""
    # INVARIANT: a data key of another key is never used: what it seals, or opens, would be another's.
    if answered_arn != asked and (asked.startswith("arn:") or answered_arn.rpartition("key/")[2] != asked):
        raise KeyAccessError(f"AWS KMS answered with {answered_arn}, but {asked} was asked")
    return answered_arn
