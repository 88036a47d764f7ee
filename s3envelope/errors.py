"""Every exception that this library raises of its own, sorted by who is at fault.

None of them derives from a class that botocore, s3transfer or their users retry or swallow (`BotoCoreError`,
`ClientError`, `OSError`, urllib3's errors): an integrity failure that is retried until it goes away is not one.
Errors of S3 itself (`NoSuchKey`, `PreconditionFailed`, `InvalidRange`, ...) stay botocore's.
"""


class S3EnvelopeError(Exception):
    """Base of all errors of this library; never raised itself."""


# ---- the caller ----


class ConfigurationError(S3EnvelopeError, ValueError):
    """An argument, a setting or a file of the configuration is wrong. Raised before any request."""


class MetadataTooLargeError(ConfigurationError):
    """The user metadata and the envelope together do not fit into an object's metadata."""


class UnsupportedOperationError(S3EnvelopeError):
    """The call would break the promise of this library; the message names the safe alternative."""


class SourceChangedError(S3EnvelopeError):
    """The plaintext source gave other bytes, or fewer, when it was read again."""


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


class ObjectChangedError(DecryptionError):
    """Two answers of one reading session belong to different uploads, or an answer to another request."""


# ---- the key service ----


class KeyringError(S3EnvelopeError):
    """A keyring could not make or recover a data key."""


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
