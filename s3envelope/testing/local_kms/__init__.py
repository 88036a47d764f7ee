"""A strict KMS on a loopback port, for tests."""

from s3envelope.testing.local_kms.calls import KmsCall
from s3envelope.testing.local_kms.errors import KmsServiceError
from s3envelope.testing.local_kms.faults import KmsFaults
from s3envelope.testing.local_kms.local_kms import LocalKms

__all__ = ["KmsCall", "KmsFaults", "KmsServiceError", "LocalKms"]
