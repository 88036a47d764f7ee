"""The five calls of AWS KMS that keyrings make, with their errors and their answers checked."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from s3envelope.core.measures import Meter
from s3envelope.core.occurrences import KeyServiceCall
from s3envelope.core.secret import SecretBytes
from s3envelope.errors import ConfigurationError, KeyAccessError
from s3envelope.keyrings.kms_errors import NO_ANSWER, as_keyring_error, error_type
from s3envelope.keyrings.kms_redaction import HiddenBuffer, PlaintextGuard

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

_LOGGER = logging.getLogger("s3envelope.kms")
DATA_KEY_SIZE = 32
_METHODS = {
    "GenerateDataKey": "generate_data_key",
    "Encrypt": "encrypt",
    "Decrypt": "decrypt",
    "ReEncrypt": "re_encrypt",
    "DescribeKey": "describe_key",
}
_MOST_GRANT_TOKENS = 10
_MOST_GRANT_TOKEN_CHARACTERS = 8192


def check_grant_tokens(tokens: object) -> tuple[str, ...]:
    """Return grant tokens within the bounds of KMS: at most 10, of 1 to 8192 characters.

    Raises:
        ConfigurationError: They are not.
    """
    if isinstance(tokens, list | tuple) and len(tokens) <= _MOST_GRANT_TOKENS:
        checked = tuple(token for token in tokens if isinstance(token, str))
        if len(checked) == len(tokens) and all(1 <= len(token) <= _MOST_GRANT_TOKEN_CHARACTERS for token in checked):
            return checked
    raise ConfigurationError(
        f"grant_tokens is not well-formed; use a list or tuple of at most {_MOST_GRANT_TOKENS} texts of 1 to "
        f"{_MOST_GRANT_TOKEN_CHARACTERS} characters, as CreateGrant returns them"
    )


class KmsCalls:
    """Calls KMS for a keyring. Contexts are what KMS is to see, whole; no key is logged by botocore on the way.

    Args:
        client: A boto3 KMS client.
        configured: The key as it was configured, for messages.
        grant_tokens: Go with every call; within the bounds of `check_grant_tokens`.
    """

    def __init__(self, client: KMSClient, configured: str, *, grant_tokens: Sequence[str] = ()) -> None:
        self.client = client
        self._configured = configured
        self._common: dict[str, Any] = {"GrantTokens": list(grant_tokens)} if grant_tokens else {}
        self._guard = PlaintextGuard.of(client)
        self._meters: tuple[Meter, ...] = ()

    def measure(self, meter: Meter) -> None:
        """See `Measurable`."""
        if meter not in self._meters:
            self._meters = (*self._meters, meter)

    def generate(self, key_id: str, context: Mapping[str, str]) -> tuple[KeyServiceCall, SecretBytes, bytes]:
        """Return (the call, with the key that answered, data key of 32 bytes, its encrypted form).

        Raises:
            KeyAccessError, KeyServiceUnavailableError: KMS refuses, cannot be reached, or makes another key.
        """
        call, answer = self._call("GenerateDataKey", KeyId=key_id, KeySpec="AES_256", EncryptionContext=dict(context))
        plaintext: SecretBytes = answer["Plaintext"]
        if len(plaintext) != DATA_KEY_SIZE:
            plaintext.wipe()
            raise KeyAccessError(f"AWS KMS made a data key that has not {DATA_KEY_SIZE} bytes")
        return call, plaintext, bytes(answer["CiphertextBlob"])

    def encrypt(self, key_id: str, plaintext: SecretBytes, context: Mapping[str, str]) -> tuple[KeyServiceCall, bytes]:
        """Return (the call, with the key that answered, encrypted form of a data key)."""
        # botocore encodes no other kind of buffer; what it makes of it is out of our hands.
        copied = HiddenBuffer(plaintext.view())
        try:
            call, answer = self._call("Encrypt", KeyId=key_id, Plaintext=copied, EncryptionContext=dict(context))
        finally:
            copied[:] = bytes(len(copied))
        return call, bytes(answer["CiphertextBlob"])

    def decrypt(self, key_id: str, encrypted: bytes, context: Mapping[str, str]) -> tuple[KeyServiceCall, SecretBytes]:
        """Return (the call, with the key that answered, data key)."""
        call, answer = self._call("Decrypt", KeyId=key_id, CiphertextBlob=encrypted, EncryptionContext=dict(context))
        return call, answer["Plaintext"]

    def decrypt_unnamed(self, encrypted: bytes, context: Mapping[str, str]) -> tuple[KeyServiceCall, SecretBytes]:
        """Return (the call, with the key that KMS chose, data key).

        Whoever calls it decides whether that key may be used.
        """
        call, answer = self._call("Decrypt", CiphertextBlob=encrypted, EncryptionContext=dict(context))
        return call, answer["Plaintext"]

    def reencrypt(
        self, source_key_arn: str, key_id: str, encrypted: bytes, context: Mapping[str, str]
    ) -> tuple[KeyServiceCall, bytes]:
        """Return (the call, with the key that answered, encrypted form under it); the data key does not leave KMS.

        Raises:
            KeyAccessError: KMS used another source key than the one that was named.
        """
        # INVARIANT: SourceKeyId is mandatory. Without it a stranger's data key would come back under our key.
        call, answer = self._call(
            "ReEncrypt",
            CiphertextBlob=encrypted,
            SourceKeyId=source_key_arn,
            DestinationKeyId=key_id,
            SourceEncryptionContext=dict(context),
            DestinationEncryptionContext=dict(context),
        )
        if answer.get("SourceKeyId") != source_key_arn:
            raise KeyAccessError("AWS KMS re-encrypted from another key than the one that was named")
        return call, bytes(answer["CiphertextBlob"])

    def arn_of(self, key_id: str) -> str:
        """Return the ARN of a key, from `DescribeKey`."""
        return str(self._call("DescribeKey", KeyId=key_id)[1]["KeyMetadata"]["Arn"])

    def _call(self, operation: str, **parameters: Any) -> tuple[KeyServiceCall, Mapping[str, Any]]:
        method: Callable[..., dict[str, Any]] = getattr(self.client, _METHODS[operation])
        began_at = time.monotonic()
        try:
            with self._guard.active():
                answer = _with_secret(method(**parameters, **self._common))
        except (ClientError, *NO_ANSWER) as error:
            response = error.response if isinstance(error, ClientError) else {}
            self._called(operation, time.monotonic() - began_at, response, error_type(error))
            raise as_keyring_error(error, f"kms:{operation}", self._configured) from error
        seconds = time.monotonic() - began_at
        self._called(operation, seconds, answer, None)
        request_id = str(answer.get("ResponseMetadata", {}).get("RequestId", ""))
        return KeyServiceCall(str(answer.get("KeyId", "")), request_id, seconds), answer

    def _called(self, operation: str, seconds: float, response: Mapping[str, Any], failure: str | None) -> None:
        _LOGGER.debug("%s with %s: %s, %.3f seconds", operation, self._configured, failure or "success", seconds)
        for meter in self._meters:
            retry_count = int(response.get("ResponseMetadata", {}).get("RetryAttempts", 0))
            meter.key_service_called(operation, seconds, retry_count=retry_count, error_type=failure)


def _with_secret(answer: dict[str, Any]) -> dict[str, Any]:
    """Return an answer whose plaintext does not print, also if the client's handlers were not asked."""
    plaintext = answer.get("Plaintext")
    if isinstance(plaintext, bytes | bytearray):
        answer["Plaintext"] = SecretBytes(plaintext)
    return answer
