"""What the errors of AWS KMS mean for a keyring."""

from __future__ import annotations

from collections.abc import Iterable

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
    "KMSInvalidStateException": (
        "the key is pending deletion or import, or its custom key store is disconnected: cancel the deletion, import "
        "the key material, or connect the key store"
    ),
    "NotFoundException": "there is no such key in this region and account: check the key id and the region",
    "InvalidKeyUsageException": "the key is not a symmetric encryption key: use one of type SYMMETRIC_DEFAULT",
    "UnsupportedOperationException": "the key does not support it: use a symmetric encryption key",
    "InvalidArnException": "the ARN is not one of a KMS key: check the key id",
    "ValidationException": "the request is not valid: check the key id",
    "InvalidGrantTokenException": "a grant token is not valid: a new grant may take five minutes to be known",
    "DryRunOperationException": "the request was a dry run and would have succeeded",
    "UnrecognizedClientException": "the credentials are not known: check them, and the region",
    "InvalidClientTokenId": "the credentials are not known: check them, and the region",
    "InvalidSignatureException": "the signature is wrong: check the secret key, and the clock of this machine",
    "SignatureDoesNotMatch": "the signature is wrong: check the secret key, and the clock of this machine",
    "ExpiredTokenException": "the credentials have expired: renew them",
    "MissingAuthenticationTokenException": "there are no credentials in the request: configure them",
    "OptInRequired": "the account has not enabled this region",
}
_UNAVAILABLE = {
    "ThrottlingException": "it is throttled: ask for a higher quota, or let more objects share a data key",
    "Throttling": "it is throttled: ask for a higher quota, or let more objects share a data key",
    "TooManyRequestsException": "it is throttled: ask for a higher quota, or let more objects share a data key",
    "RequestLimitExceeded": "it is throttled: ask for a higher quota, or let more objects share a data key",
    "LimitExceededException": "a quota is used up: ask for a higher one",
    "KMSInternalException": "try again later",
    "InternalFailure": "try again later",
    "InternalError": "try again later",
    "DependencyTimeoutException": "try again later",
    "KeyUnavailableException": "the key cannot be used for the moment; try again later",
    "ServiceUnavailable": "try again later",
    "ServiceUnavailableException": "try again later",
    "RequestTimeout": "try again later",
    "CloudHsmClusterNotActiveException": "the CloudHSM cluster of the custom key store is not active: activate it",
}
_EXTERNAL_KEY_STORE = "XksProxy"
_EXTERNAL_REMEDY = "the proxy of the external key store does not answer as it must: check it and its network"
_LATER = "try again later"
_FIRST_SERVER_ERROR = 500


def error_code(error: ClientError) -> str:
    """Return the code of an error answer; "" if it has none."""
    return str(error.response.get("Error", {}).get("Code", ""))


def error_type(error: ClientError | HTTPClientError | NotConnectedError) -> str:
    """Return the code of an error answer, if it is one that is known here, else "_OTHER"; or the class of a failure.

    So there are not more of them than this library has names for, whatever a server answers.
    """
    if not isinstance(error, ClientError):
        return type(error).__name__
    code = error_code(error)
    return code if code in _REMEDIES or code in _UNAVAILABLE or code in NOT_THIS_ENTRY else "_OTHER"


def is_not_this_entry(error: KeyringError) -> bool:
    """Tell whether KMS said that an encrypted data key is not of this key, context or protocol."""
    return isinstance(error.__cause__, ClientError) and error_code(error.__cause__) in NOT_THIS_ENTRY


def is_not_found(error: KeyringError) -> bool:
    """Tell whether KMS said that it does not know the key."""
    return isinstance(error.__cause__, ClientError) and error_code(error.__cause__) == "NotFoundException"


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
    made = _of_answer(error, action, key_id)
    request_id = str(error.response.get("ResponseMetadata", {}).get("RequestId", ""))
    made.request_ids = (request_id,) if request_id else ()
    return made


def joined_request_ids(errors: Iterable[KeyringError]) -> tuple[str, ...]:
    """Return the request ids of several errors, each once."""
    return tuple(dict.fromkeys(request_id for error in errors for request_id in error.request_ids))


def _of_answer(error: ClientError, action: str, key_id: str) -> KeyringError:
    code = error_code(error)
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if code.startswith(_EXTERNAL_KEY_STORE):
        return KeyServiceUnavailableError(f"AWS KMS answers {action} with {key_id}: {code}; {_EXTERNAL_REMEDY}")
    if code in _UNAVAILABLE or status >= _FIRST_SERVER_ERROR:
        remedy = _UNAVAILABLE.get(code, _LATER)
        return KeyServiceUnavailableError(f"AWS KMS answers {action} with {key_id}: {code}; {remedy}")
    remedy = _REMEDIES.get(code, "see the cause").format(action=action)
    return KeyAccessError(f"AWS KMS answers {action} with {key_id}: {code}; {remedy}")
