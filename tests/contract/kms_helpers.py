"""Shorthands of the contract tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

OTHER_REGION = "us-west-2"


@contextmanager
def refused(*codes: str) -> Iterator[None]:
    """Expect one of these errors of the service."""
    with pytest.raises(ClientError) as caught:
        yield
    assert caught.value.response["Error"]["Code"] in codes


def new_key(kms: KMSClient, *, multi_region: bool = False) -> str:
    """Return the ARN of a new symmetric key."""
    return kms.create_key(MultiRegion=multi_region)["KeyMetadata"]["Arn"]


def new_alias_name() -> str:
    """Return a name that no other test uses."""
    return f"alias/contract-{os.urandom(8).hex()}"


def flip(blob: bytes, position: int) -> bytes:
    """Return a copy with one bit changed."""
    changed = bytearray(blob)
    changed[position] ^= 1
    return bytes(changed)


def key_id_of(arn: str) -> str:
    """Return the bare id of a key."""
    return arn.rpartition("/")[2]


def disable(kms: KMSClient, arn: str) -> None:
    """Disable a key."""
    kms.disable_key(KeyId=key_id_of(arn))


def schedule_deletion(kms: KMSClient, arn: str) -> None:
    """Schedule a key for deletion."""
    kms.schedule_key_deletion(KeyId=key_id_of(arn), PendingWindowInDays=7)


def replicate(kms: KMSClient, arn: str) -> str:
    """Replicate a key into the other Region and return the replica's ARN."""
    answer = kms.replicate_key(KeyId=key_id_of(arn), ReplicaRegion=OTHER_REGION)
    return answer["ReplicaKeyMetadata"]["Arn"]
