"""A drop-in replacement for the boto3 S3 client that encrypts on the client.

s3 = s3envelope.client("s3", kms_key_id="alias/orders")    # was: boto3.client("s3")
"""

from s3envelope import errors
from s3envelope._version import __version__
from s3envelope.caches.limits import CacheLimits
from s3envelope.core.context import EncryptionContext
from s3envelope.core.layout import plaintext_size
from s3envelope.core.ports import DataKey, EncryptedDataKey, Keyring
from s3envelope.core.secret import SecretBytes
from s3envelope.keyrings.kms import KmsKeyring
from s3envelope.keyrings.raw_aes import RawAesKeyring
from s3envelope.s3.config import EnvelopeConfig
from s3envelope.s3.install import EnvelopeDescription, Session, client, install, resource

__all__ = [
    "CacheLimits",
    "DataKey",
    "EncryptedDataKey",
    "EncryptionContext",
    "EnvelopeConfig",
    "EnvelopeDescription",
    "Keyring",
    "KmsKeyring",
    "RawAesKeyring",
    "SecretBytes",
    "Session",
    "__version__",
    "client",
    "errors",
    "install",
    "plaintext_size",
    "resource",
]
