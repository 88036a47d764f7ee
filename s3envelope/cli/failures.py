"""What an error means for whoever typed the command: one line and an exit code."""

from __future__ import annotations

from dataclasses import dataclass

from boto3.exceptions import Boto3Error, S3UploadFailedError
from botocore.exceptions import BotoCoreError, ClientError, NoCredentialsError, PartialCredentialsError, ProfileNotFound

from s3envelope.errors import ConfigurationError, S3EnvelopeError

FAILED, WRONG_USAGE, INTERRUPTED = 1, 2, 130

_ANSWERS = {
    "404": "the bucket or the object does not exist",
    "NoSuchKey": "the object does not exist",
    "NoSuchBucket": "the bucket does not exist",
    "NoSuchVersion": "the object has no such version",
    "403": "access is denied; check the credentials and what they may do with the bucket",
    "AccessDenied": "access is denied; check what the credentials may do with the bucket",
    "InvalidAccessKeyId": "the server does not know the access key; check the credentials",
    "SignatureDoesNotMatch": "the server refuses the signature; check the secret key and the region",
}
_SAYS_NOTHING = ("no message", "Access Denied", "Access Denied.")


@dataclass(frozen=True, slots=True)
class Failure:
    """How a command failed."""

    line: str
    exit_code: int = FAILED


def explain(error: BaseException) -> Failure:
    """Return what to tell about an error."""
    if isinstance(error, ConfigurationError):
        return Failure(str(error), WRONG_USAGE)
    if isinstance(error, S3EnvelopeError):
        return Failure(f"{error} ({type(error).__name__})")
    if isinstance(error, S3UploadFailedError) and isinstance(error.__context__, ClientError):
        return explain(error.__context__)
    if isinstance(error, ClientError):
        return Failure(_of_answer(error))
    if isinstance(error, (NoCredentialsError, PartialCredentialsError)):
        return Failure("there are no complete AWS credentials; configure them, or name a profile with --profile")
    if isinstance(error, ProfileNotFound):
        return Failure(str(error), WRONG_USAGE)
    if isinstance(error, (BotoCoreError, Boto3Error)):
        return Failure(str(error))
    if isinstance(error, OSError):
        return Failure(": ".join(str(part) for part in (error.filename, error.strerror or error) if part is not None))
    return Failure(f"unexpected {type(error).__name__}: {error}; --debug before the command's name shows where")


def _of_answer(error: ClientError) -> str:
    answer = error.response.get("Error", {})
    code = str(answer.get("Code", "unknown"))
    message = str(answer.get("Message") or "no message")
    meaning = _ANSWERS.get(code, message)
    if code == "AccessDenied" and message not in _SAYS_NOTHING:
        # Which action, on what, by which policy.
        meaning = f"{meaning}: {message}"
    return f"{meaning} ({error.operation_name}: {code})"
