"""Data keys of the Amazon formats from AWS KMS."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from s3envelope.core.secret import SecretBytes
from s3envelope.errors import KeyringError, NoMatchingKeyError
from s3envelope.formats.s3ec.failure import does_not_open
from s3envelope.formats.s3ec.model import (
    CEK_ALGORITHM_ENTRY,
    DATA_KEY_SIZE,
    ContentAlgorithm,
    S3ecEnvelope,
    WrapAlgorithm,
)
from s3envelope.formats.s3ec.policy import check_caller_context
from s3envelope.formats.s3ec.ports import OpenedDataKey, S3ecDataKey
from s3envelope.keyrings.kms_calls import KmsCalls
from s3envelope.keyrings.kms_errors import is_not_this_entry

WRAPS = frozenset({WrapAlgorithm.KMS_CONTEXT, WrapAlgorithm.KMS})


def make_data_key(
    calls: KmsCalls,
    key_id: str,
    check_key: Callable[[str], str],
    content: ContentAlgorithm,
    context: Mapping[str, str],
) -> S3ecDataKey:
    """Return a data key from `GenerateDataKey`, bound to the content algorithm by its context.

    Args:
        key_id: What KMS is asked for.
        check_key: Refuses the ARN of another key than that.
        context: The caller's.

    Raises:
        ConfigurationError: The context has a reserved entry.
        KeyAccessError, KeyServiceUnavailableError: KMS refuses, cannot be reached, or answers for another key.
    """
    check_caller_context(context)
    stored = {**context, CEK_ALGORITHM_ENTRY: content.value}
    call, plaintext, encrypted = calls.generate(key_id, stored)
    try:
        check_key(call.key_arn)
    except BaseException:
        plaintext.wipe()
        raise
    return S3ecDataKey(plaintext, encrypted, WrapAlgorithm.KMS_CONTEXT, stored, call)


def open_data_key(calls: KmsCalls, key_id: str, check_key: Callable[[str], str], envelope: S3ecEnvelope) -> SecretBytes:
    """Return the data key of an object from `Decrypt`, under the whole context as it is stored.

    Args:
        key_id: What KMS is asked for; what an object says of its key chooses nothing.
        check_key: Refuses the ARN of another key than that.

    Raises:
        NoMatchingKeyError: The data key is not wrapped by KMS.
        S3ecDecryptionError: It is of another key or context, or has not 32 bytes.
        KeyAccessError, KeyServiceUnavailableError: KMS refuses, cannot be reached, or answers for another key.
    """
    if envelope.wrap not in WRAPS:
        raise NoMatchingKeyError(f"a KMS key does not unwrap data keys of {envelope.wrap.value}")
    try:
        call, plaintext = calls.decrypt(key_id, envelope.encrypted_data_key, envelope.description)
    except KeyringError as error:
        if is_not_this_entry(error):
            raise does_not_open() from None
        raise
    try:
        check_key(call.key_arn)
        if len(plaintext) != DATA_KEY_SIZE:
            raise does_not_open()
    except BaseException:
        plaintext.wipe()
        raise
    with plaintext:
        return OpenedDataKey(plaintext.view(), call)
