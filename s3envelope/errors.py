"""Every exception that this library raises of its own, sorted by who is at fault.

None of them derives from a class that botocore, s3transfer or their users retry or swallow (`BotoCoreError`,
`ClientError`, `OSError`, urllib3's errors): an integrity failure that is retried until it goes away is not one.
Errors of S3 itself (`NoSuchKey`, `PreconditionFailed`, `InvalidRange`, ...) stay botocore's.
"""

from __future__ import annotations


class S3EnvelopeError(Exception):
    """Base of all errors of this library; never raised itself."""

    # Whether the audit sink was told of it; it may pass through several calls.
    _is_told = False


# ---- the caller ----


class ConfigurationError(S3EnvelopeError, ValueError):
    """An argument, a setting or a file of the configuration is wrong. Raised before any request."""


class MetadataTooLargeError(ConfigurationError):
    """The user metadata and the envelope together do not fit into an object's metadata."""


class UnsupportedOperationError(S3EnvelopeError):
    """The call would break the promise of this library; the message names the safe alternative."""


class SourceChangedError(S3EnvelopeError):
    """The plaintext source gave other bytes, or fewer, when it was read again."""


class InstructionFileError(S3EnvelopeError):
    """An object was stored, but not the instruction file beside it, without which it cannot be read.

    Nothing is lost if the content is put again, or `content` under `key` with a plain client.

    Args:
        bucket, key: Where the instruction file belongs.
        content: What belongs there; no secret.
    """

    def __init__(self, bucket: str, key: str, content: bytes) -> None:
        super().__init__(
            f"the object was stored, but its instruction file {key!r} was not, so it cannot be read. Put the object "
            "again; or store the error's `content` under that key with a plain client"
        )
        self.bucket, self.key, self.content = bucket, key, content

    def __reduce__(self) -> tuple[type[InstructionFileError], tuple[str, str, bytes]]:
        return type(self), (self.bucket, self.key, self.content)


# ---- the storage: metadata that cannot be understood ----


class EnvelopeError(S3EnvelopeError):
    """The object's metadata is not an envelope that this configuration reads."""


class NotEncryptedError(EnvelopeError):
    """The object has no envelope: it was not written by this library."""


class UnsupportedFormatError(EnvelopeError):
    """The object's metadata names a format that this version, or this configuration, does not read."""


class MalformedEnvelopeError(EnvelopeError):
    """The object's metadata breaks the rules of its own format."""


# ---- the storage, or an attacker: authentication failed ----


class DecryptionError(S3EnvelopeError):
    """The object is not what its writer wrote. No unverified byte has been released."""


class ContextMismatchError(DecryptionError):
    """The stored encryption context is not the expected one."""


class KeyCommitmentError(DecryptionError):
    """The header opened, but to a key that the header does not commit to."""


class HeaderAuthenticationError(DecryptionError):
    """No data key at hand opens the header."""


class NameBindingError(HeaderAuthenticationError):
    """A header that is bound to an object key did not open, or an unbound one was found where bound is required."""


class IndexAuthenticationError(DecryptionError):
    """The index of parts does not authenticate, or contradicts the object's length."""


class SegmentAuthenticationError(DecryptionError):
    """A segment does not authenticate at its address."""


class TruncatedObjectError(DecryptionError):
    """The length of the object, or the end of an answer, is not one that its writer produced."""


class S3ecDecryptionError(DecryptionError):
    """An object of an Amazon S3 Encryption Client does not open: wrong key, changed, cut or badly padded.

    Which of these it is, is not told: it would help whoever changed it.
    """


class ObjectChangedError(DecryptionError):
    """Two answers of one reading session belong to different uploads, or an answer to another request."""


# ---- the key service ----


class KeyringError(S3EnvelopeError):
    """A keyring could not make or recover a data key.

    `request_ids` are those of the answers of the key service that made it fail.
    """

    request_ids: tuple[str, ...] = ()


class NoMatchingKeyError(KeyringError):
    """None of the object's encrypted data keys belongs to a configured key."""


class KeyAccessError(KeyringError):
    """The key service refuses this key: denied, disabled, pending deletion, not found."""


class KeyServiceUnavailableError(KeyringError):
    """The key service cannot be reached, or is throttling."""


# ---- the rest ----


class CacheError(S3EnvelopeError):
    """The cache is configured wrongly. At run time a failing cache is a miss and a log line, never an error."""


class AuditError(S3EnvelopeError):
    """The audit sink failed and the policy says that it must not."""


class RotationError(S3EnvelopeError):
    """A rotation could not be planned or finished."""


def add_lost_record(error: BaseException, lost: AuditError) -> None:
    """Let an error that could not be written down carry the reason; it stays the error that is raised."""
    if error is not lost:
        lost.__context__, error.__context__ = error.__context__, lost
