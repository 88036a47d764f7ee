"""Doubles for the tests of those who use this library."""

from s3envelope.testing.local_kms import LocalKms
from s3envelope.testing.s3_proxy import S3Proxy

__all__ = ["LocalKms", "S3Proxy"]
