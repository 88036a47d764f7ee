"""The names by which a configuration allows a format, or a weak algorithm inside one."""

from __future__ import annotations

from typing import Final

SE1: Final = "se1"
S3EC_V3: Final = "s3ec-v3"
S3EC_V2: Final = "s3ec-v2"
# Not authenticated, or open to known attacks: each is read only where it is named.
S3EC_V1: Final = "s3ec-v1"
S3EC_KMS: Final = "s3ec-kms"
S3EC_CBC: Final = "s3ec-cbc"
S3EC_AES_WRAP: Final = "s3ec-aes-wrap"
S3EC_AES_ECB: Final = "s3ec-aes-ecb"
S3EC_RSA_PKCS1: Final = "s3ec-rsa-pkcs1"
S3EC_RSA_OAEP_SHA256: Final = "s3ec-rsa-oaep-sha256"

LEGACY_FORMATS = (
    S3EC_V1,
    S3EC_KMS,
    S3EC_CBC,
    S3EC_AES_WRAP,
    S3EC_AES_ECB,
    S3EC_RSA_PKCS1,
    S3EC_RSA_OAEP_SHA256,
)
READ_FORMATS = (SE1, S3EC_V3, S3EC_V2, *LEGACY_FORMATS)
WRITE_FORMATS = (SE1, S3EC_V3, S3EC_V2)
