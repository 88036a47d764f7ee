"""The two clients that are compared. They differ in one thing only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import boto3
from boto3.s3.transfer import TransferConfig
from botocore.config import Config

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

BUCKET = "benchmark"
MIB = 1 << 20
PLAIN, OURS = KINDS = ("boto3", "s3envelope")
CREDENTIALS: dict[str, Any] = {
    "aws_access_key_id": "benchmark",
    "aws_secret_access_key": "benchmark",
    "region_name": "us-east-1",
}


@dataclass(frozen=True, slots=True)
class Place:
    """What a client needs to know.

    Args:
        s3_url, kms_url: Endpoints on loopback.
        kms_key_id: For s3envelope.
        ca_file: To verify an https endpoint with; empty for http.
    """

    s3_url: str
    kms_url: str
    kms_key_id: str
    ca_file: str = ""


def make_client(kind: str, place: Place, **fields: Any) -> S3Client:
    """Return a client of one kind; all kinds have the same configuration, boto3's own but for retries.

    Args:
        fields: Of `EnvelopeConfig`; by default nothing is kept in the folders of the user.
    """
    config = Config(
        s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, max_pool_connections=16, proxies={}
    )
    verify = place.ca_file or None
    if kind == PLAIN:
        return boto3.client("s3", endpoint_url=place.s3_url, verify=verify, config=config, **CREDENTIALS)
    # Here and not above, so that a process of plain boto3 does not pay for the import.
    import s3envelope

    kms = boto3.client("kms", endpoint_url=place.kms_url, config=Config(proxies={}), **CREDENTIALS)
    return s3envelope.client(
        "s3",
        kms_key_id=place.kms_key_id,
        kms_client=kms,
        endpoint_url=place.s3_url,
        verify=verify,
        config=config,
        **{"cache": s3envelope.MemoryCache(), **fields},
        **CREDENTIALS,
    )


def transfer_config() -> TransferConfig:
    """Return boto3's defaults, without the transfer client that only some machines have."""
    return TransferConfig(preferred_transfer_client="classic")
