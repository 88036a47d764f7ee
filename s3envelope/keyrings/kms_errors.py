"""What the errors of AWS KMS mean for a keyring."""

from __future__ import annotations

from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as NotConnectedError

from s3envelope.errors import KeyAccessError, KeyringError, KeyServiceUnavailableError

# The two bases of what botocore raises when no answer came: neither derives from the other.
NO_ANSWER = (HTTPClientError, NotConnectedError)

# The encrypted data key does not belong to this key, this context or this protocol: try the next one.
NOT_THIS_ENTRY = frozenset({"InvalidCiphertextException", "IncorrectKeyException"})

_REMEDIES = {
    "AccessDeniedException": "allow this identity {action} on the key, in its policy and in the key policy",
    "DisabledException": "the key is disabled: enable it, or read with another key",
    "KMSInvalidStateException": "the key is pending deletion or otherwise not usable: cancel the deletion",
    "NotFoundException": "there is no such key in this region and account: check the key id and the region",
    "InvalidKeyUsageException": "the key is not a symmetric encryption key: use one of type SYMMETRIC_DEFAULT",
    "InvalidArnException": "the ARN is not one of a KMS key: check the key id",
    "InvalidGrantTokenException": "a grant token is not valid",
    "DryRunOperationException": "the request was a dry run",
}
_UNAVAILABLE = frozenset(
    {
        "ThrottlingException",
        "Throttling",
        "TooManyRequestsException",
        "RequestLimitExceeded",
        "LimitExceededException",
        "KMSInternalException",
        "InternalFailure",
        "InternalError",
        "DependencyTimeoutException",
        "KeyUnavailableException",
        "ServiceUnavailable",
        "ServiceUnavailableException",
        "RequestTimeout",
        "CloudHsmClusterNotActiveException",
        "XksProxyUriUnreachableException",
    }
)
_FIRST_SERVER_ERROR = 500


def error_code(error: ClientError) -> str:
    """Return the code of an error answer; "" if it has none."""
    return str(error.response.get("Error", {}).get("Code", ""))


def as_keyring_error(
    error: ClientError | HTTPClientError | NotConnectedError, action: str, key_id: str
) -> KeyringError:
    """Return the error of this library for an error of KMS.

    Args:
        error: An error answer, or a failure of the transport.
        action: The KMS action, `kms:Decrypt` for example.
        key_id: As configured.
    """
    if not isinstance(error, ClientError):
        return KeyServiceUnavailableError(
            f"AWS KMS cannot be reached for {action} with {key_id} ({type(error).__name__}); nothing was changed"
        )
    code = error_code(error)
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code in _UNAVAILABLE or status >= _FIRST_SERVER_ERROR:
        return KeyServiceUnavailableError(f"AWS KMS answers {action} with {key_id}: {code}; try again later")
    remedy = _REMEDIES.get(code, "see the cause").format(action=action)
    return KeyAccessError(f"AWS KMS answers {action} with {key_id}: {code}; {remedy}")
