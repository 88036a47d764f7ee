"""Data keys from AWS KMS."""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from s3envelope.core.context import EncryptionContext
from s3envelope.core.ports import DataKey, EncryptedDataKey
from s3envelope.core.secret import SecretBytes
from s3envelope.errors import ConfigurationError, KeyAccessError, KeyringError, NoMatchingKeyError
from s3envelope.keyrings.kms_errors import NO_ANSWER, NOT_THIS_ENTRY, as_keyring_error, error_code
from s3envelope.keyrings.kms_redaction import PlaintextGuard

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

_DATA_KEY_SIZE = 32
_WRAPPED_SIZE = 184
_KEY_ID = r"(?:mrk-[0-9a-f]{32}|[0-9A-Za-z-]{1,64})"
_ALIAS = r"alias/[0-9A-Za-z/_-]{1,250}"
_NAME = re.compile(rf"{_KEY_ID}|{_ALIAS}", re.ASCII)
_ARN = re.compile(rf"arn:aws[a-z-]*:kms:([a-z0-9-]+):[0-9]{{12}}:(?:key/{_KEY_ID}|{_ALIAS})", re.ASCII)


def check_key_id(key_id: object) -> str:
    """Return a well-formed KMS key id, key ARN, alias or alias ARN.

    Raises:
        ConfigurationError: It is none of these.
    """
    if isinstance(key_id, str) and (_ARN.fullmatch(key_id) or _NAME.fullmatch(key_id)):
        return key_id
    found = repr(key_id) if isinstance(key_id, str) else f"a {type(key_id).__name__}"
    raise ConfigurationError(
        f"kms_key_id is {found}; use a KMS key id, a key ARN, 'alias/name' or an alias ARN of a symmetric key"
    )


def region_of(key_id: str) -> str | None:
    """Return the region that an ARN names; `None` for a bare id or alias."""
    match = _ARN.fullmatch(key_id)
    return match.group(1) if match else None


class KmsKeyring:
    """Makes and recovers data keys with one symmetric KMS key.

    The key is named by configuration only: every request names it, and an answer by another key is refused. An alias
    is resolved once.

    Args:
        key_id: A key id, key ARN, alias or alias ARN.
        client: A boto3 KMS client for the region of the key.

    Raises:
        ConfigurationError: `key_id` is not well-formed.
    """

    def __init__(self, key_id: str, client: KMSClient) -> None:
        self._configured = check_key_id(key_id)
        self._client = client
        self._guard = PlaintextGuard.of(client)
        self._lock = threading.Lock()
        self._resolved: str | None = None if "alias/" in key_id else key_id

    @property
    def key_ids(self) -> frozenset[str]:
        """The key id as configured."""
        return frozenset({self._configured})

    @property
    def encrypted_data_key_sizes(self) -> tuple[int, ...]:
        """One key of 184 bytes, as KMS makes them today."""
        return (_WRAPPED_SIZE,)

    def generate_data_key(self, context: EncryptionContext) -> DataKey:
        """Return a data key from `GenerateDataKey`.

        Raises:
            KeyAccessError, KeyServiceUnavailableError: KMS refuses, cannot be reached, or answers for another key.
        """
        answer = self._call(
            "GenerateDataKey", KeyId=self._key_id(), KeySpec="AES_256", EncryptionContext=context.for_key_service()
        )
        arn = self._check_key(answer["KeyId"])
        plaintext = self._take_plaintext(answer)
        if len(plaintext) != _DATA_KEY_SIZE:
            plaintext.wipe()
            raise KeyAccessError(f"AWS KMS made a data key that has not {_DATA_KEY_SIZE} bytes")
        return DataKey(plaintext, (EncryptedDataKey(_hint(arn), answer["CiphertextBlob"]),))

    def encrypt_data_key(self, plaintext: SecretBytes, context: EncryptionContext) -> EncryptedDataKey:
        """Wrap a data key with `Encrypt`."""
        answer = self._call(
            "Encrypt",
            KeyId=self._key_id(),
            # botocore encodes bytes only; this copy is out of our hands.
            Plaintext=bytes(plaintext.view()),
            EncryptionContext=context.for_key_service(),
        )
        return EncryptedDataKey(_hint(self._check_key(answer["KeyId"])), answer["CiphertextBlob"])

    def decrypt_data_keys(
        self, keys: Sequence[EncryptedDataKey], context: EncryptionContext
    ) -> Iterator[tuple[EncryptedDataKey, SecretBytes]]:
        """See `Keyring`."""
        key_id = self._key_id()
        hint = _hint(key_id)
        candidates = [key for key in keys if key.hint == hint]
        if not candidates:
            raise NoMatchingKeyError(
                f"none of the object's {len(keys)} encrypted data keys belongs to the KMS key {self._configured}"
            )
        trouble: KeyringError | None = None
        for key in candidates:
            try:
                plaintext = self._decrypt(key, key_id, context)
            except KeyringError as error:
                trouble = error
                continue
            if plaintext is not None:
                yield key, plaintext
        if trouble is not None:
            raise trouble

    def reencrypt_data_key(
        self, key: EncryptedDataKey, context: EncryptionContext, *, source_key_arn: str
    ) -> EncryptedDataKey:
        """Wrap a data key under this key with `ReEncrypt`; it does not leave KMS.

        Raises:
            ConfigurationError: `source_key_arn` is no key ARN.
            KeyringError: KMS refuses, or used other keys than the two that were named.
        """
        if region_of(source_key_arn) is None or ":key/" not in source_key_arn:
            raise ConfigurationError(f"source_key_arn is {source_key_arn!r}; use the ARN of a KMS key")
        # INVARIANT: SourceKeyId is mandatory. Without it a stranger's data key would come back under our key.
        answer = self._call(
            "ReEncrypt",
            CiphertextBlob=key.ciphertext,
            SourceKeyId=source_key_arn,
            DestinationKeyId=self._key_id(),
            SourceEncryptionContext=context.for_key_service(),
            DestinationEncryptionContext=context.for_key_service(),
        )
        if answer.get("SourceKeyId") != source_key_arn:
            raise KeyAccessError("AWS KMS re-encrypted from another key than the one that was named")
        return EncryptedDataKey(_hint(self._check_key(answer["KeyId"])), answer["CiphertextBlob"])

    def _decrypt(self, key: EncryptedDataKey, key_id: str, context: EncryptionContext) -> SecretBytes | None:
        """Return the plaintext; `None` if KMS says that this entry is not of this key and context."""
        try:
            answer = self._call(
                "Decrypt", KeyId=key_id, CiphertextBlob=key.ciphertext, EncryptionContext=context.for_key_service()
            )
        except KeyringError as error:
            if isinstance(error.__cause__, ClientError) and error_code(error.__cause__) in NOT_THIS_ENTRY:
                return None
            raise
        self._check_key(answer["KeyId"])
        return self._take_plaintext(answer)

    def _call(self, operation: str, **parameters: Any) -> Mapping[str, Any]:
        method: Callable[..., Mapping[str, Any]] = getattr(self._client, _METHODS[operation])
        try:
            with self._guard.active():
                return method(**parameters)
        except (ClientError, *NO_ANSWER) as error:
            raise as_keyring_error(error, f"kms:{operation}", self._configured) from error

    def _key_id(self) -> str:
        """Return the configured key id; the ARN behind it where it is an alias."""
        with self._lock:
            if self._resolved is None:
                answer = self._call("DescribeKey", KeyId=self._configured)
                self._resolved = str(answer["KeyMetadata"]["Arn"])
            return self._resolved

    def _check_key(self, answered_arn: str) -> str:
        expected = self._key_id()
        if answered_arn != expected and (expected.startswith("arn:") or _bare_id(answered_arn) != expected):
            raise KeyAccessError(f"AWS KMS answered with {answered_arn}, but {expected} was asked")
        return answered_arn

    @staticmethod
    def _take_plaintext(answer: Mapping[str, Any]) -> SecretBytes:
        plaintext = answer["Plaintext"]
        return SecretBytes.take(plaintext) if isinstance(plaintext, bytearray) else SecretBytes(plaintext)

    def __repr__(self) -> str:
        return f"<KmsKeyring {self._configured}>"


_METHODS = {
    "GenerateDataKey": "generate_data_key",
    "Encrypt": "encrypt",
    "Decrypt": "decrypt",
    "ReEncrypt": "re_encrypt",
    "DescribeKey": "describe_key",
}


def _bare_id(arn: str) -> str:
    return arn.rpartition("key/")[2]


def _hint(key_id: str) -> bytes:
    """Return the hint of a key: the same in every region for the replicas of a multi-Region key."""
    return hashlib.sha256(_bare_id(key_id).encode("ascii")).digest()[:4]
