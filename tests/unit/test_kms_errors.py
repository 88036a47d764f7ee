"""Every error of AWS KMS has a class and says what to do."""

from __future__ import annotations

import pytest

from s3envelope import KmsKeyring
from s3envelope.core.context import EncryptionContext
from s3envelope.errors import ConfigurationError, KeyAccessError, KeyringError, KeyServiceUnavailableError
from s3envelope.testing.local_kms import LocalKms

CONTEXT = EncryptionContext({"tenant": "acme"})
DENIALS = {
    "AccessDeniedException": "allow this identity kms:GenerateDataKey",
    "DisabledException": "enable it",
    "KMSInvalidStateException": "pending deletion or import, or its custom key store is disconnected",
    "NotFoundException": "no such key in this region and account",
    "InvalidKeyUsageException": "SYMMETRIC_DEFAULT",
    "UnsupportedOperationException": "use a symmetric encryption key",
    "InvalidArnException": "check the key id",
    "ValidationException": "check the key id",
    "InvalidGrantTokenException": "grant token",
    "DryRunOperationException": "would have succeeded",
    "UnrecognizedClientException": "credentials are not known",
    "ExpiredTokenException": "renew them",
    "InvalidSignatureException": "secret key",
    "SomethingNewException": "see the cause",
}
OUTAGES = {
    "ThrottlingException": "throttled",
    "LimitExceededException": "quota",
    "KMSInternalException": "try again later",
    "DependencyTimeoutException": "try again later",
    "KeyUnavailableException": "for the moment",
    "CloudHsmClusterNotActiveException": "activate it",
    "XksProxyUriUnreachableException": "external key store",
    "XksProxyInvalidResponseException": "external key store",
    "ServiceUnavailable": "try again later",
}


def _error(kms: LocalKms, code: str, status: int) -> tuple[KeyringError, str]:
    kms.faults.clear()
    arn = kms.create_key()
    kms.faults.fail("GenerateDataKey", code, None, status=status)
    with pytest.raises(KeyringError) as caught:
        KmsKeyring(arn, kms.client()).generate_data_key(CONTEXT)
    return caught.value, arn


@pytest.mark.parametrize("code", DENIALS)
def test_denial_when_kms_answers_it_says_what_to_do(running_kms: LocalKms, code: str) -> None:
    error, arn = _error(running_kms, code, 400)

    assert type(error) is KeyAccessError
    assert all(part in str(error) for part in (code, arn, "kms:GenerateDataKey", DENIALS[code]))


@pytest.mark.parametrize("code", OUTAGES)
def test_outage_when_kms_answers_it_says_what_to_do(running_kms: LocalKms, code: str) -> None:
    error, arn = _error(running_kms, code, 400)

    assert type(error) is KeyServiceUnavailableError
    assert all(part in str(error) for part in (code, arn, "kms:GenerateDataKey", OUTAGES[code]))


def test_unknown_error_of_the_server_is_an_outage(running_kms: LocalKms) -> None:
    error, _ = _error(running_kms, "SomethingNewException", 500)

    assert type(error) is KeyServiceUnavailableError


@pytest.mark.parametrize("key_id", ["alias/aws/s3", "arn:aws:kms:us-east-1:111122223333:alias/aws/s3"])
def test_key_that_aws_manages_is_refused_before_any_call(running_kms: LocalKms, key_id: str) -> None:
    running_kms.clear_calls()

    with pytest.raises(ConfigurationError, match="only AWS services can use it"):
        KmsKeyring(key_id, running_kms.client())

    assert not running_kms.calls
