"""What an error during a check means: that something is wrong, or that it could not be looked at."""

from __future__ import annotations

from botocore.exceptions import BotoCoreError, ClientError, FlexibleChecksumError

from s3envelope.errors import KeyServiceUnavailableError, S3EnvelopeError

_FIRST_SERVER_ERROR = 500
# The one who looks is not allowed to, not known, or too early; or the server does not know what it is asked.
_BLIND = frozenset(
    {
        *("AccessDenied", "AccessDeniedException", "AllAccessDisabled", "UnauthorizedOperation", "Forbidden", "403"),
        *("InvalidAccessKeyId", "InvalidClientTokenId", "UnrecognizedClientException", "SignatureDoesNotMatch"),
        *("ExpiredToken", "ExpiredTokenException", "InvalidToken", "MissingAuthenticationTokenException"),
        *("IncompleteSignature", "InvalidSignatureException", "AuthFailure", "OptInRequired"),
        *("Throttling", "ThrottlingException", "RequestLimitExceeded", "SlowDown", "LimitExceededException"),
        *("NotImplemented", "501", "UnknownOperationException", "UnknownOperation", "InvalidAction", "405"),
        *("MethodNotAllowed", "RequestTimeout", "KMSInternalException", "DependencyTimeoutException"),
    }
)


def is_blind(error: Exception) -> bool:
    """Tell whether an error says that nothing could be seen, rather than what was seen."""
    if isinstance(error, ClientError):
        status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
        return code_of(error) in _BLIND or status >= _FIRST_SERVER_ERROR
    if isinstance(error, KeyServiceUnavailableError):
        return True
    if isinstance(error, S3EnvelopeError):
        return isinstance(error.__cause__, Exception) and is_blind(error.__cause__)
    # A checksum that is wrong is an answer: the bytes are not those that were stored.
    return isinstance(error, BotoCoreError) and not isinstance(error, FlexibleChecksumError)


def code_of(error: ClientError) -> str:
    """Return the code of an error answer; "" if it has none."""
    return str(error.response.get("Error", {}).get("Code", ""))


def told(error: Exception) -> str:
    """Return an error in one line."""
    if isinstance(error, ClientError):
        message = str(error.response.get("Error", {}).get("Message") or "no message")
        line = f"{error.operation_name} was answered with {code_of(error)}: {message}"
    else:
        line = f"{error} ({type(error).__name__})"
    return " ".join(line.split())
