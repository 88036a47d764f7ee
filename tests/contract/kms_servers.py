"""The KMS servers of the contract tests, and how moto's differs from AWS."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import boto3
from botocore.config import Config
from moto.server import ThreadedMotoServer

from s3envelope.testing import LocalKms

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient

LOCAL_KMS, MOTO = "local-kms", "moto"

# Test -> what moto does instead. A test listed here must fail with moto: when moto is mended, its line goes.
MOTO_DEVIATIONS: Mapping[str, str] = {
    "test_decrypt_names_the_algorithm": "the answer has no EncryptionAlgorithm",
    "test_encrypted_data_key_of_32_bytes_is_as_long_as_on_aws": "ciphertexts have 96 bytes",
    "test_decrypt_under_a_context_of_equal_concatenation_is_refused": "the context is joined without separators",
    "test_decrypt_with_any_changed_byte_is_refused": "a flipped byte of the key id is AccessDeniedException",
    "test_decrypt_under_another_key_is_refused": "the error is AccessDeniedException",
    "test_re_encrypt_from_another_source_key_is_refused": "SourceKeyId is ignored",
    "test_dry_run_that_would_succeed_says_so": "DryRun is ignored: the operation is carried out",
    "test_key_of_another_usage_is_refused": "an HMAC key wraps data keys",
    "test_new_key_is_for_encryption": "KeyUsage is missing unless it was given",
    "test_disable_key_accepts_a_key_arn": "DisableKey fails with status 500",
    "test_disabled_key_does_not_make_data_keys": "the state of a key is not looked at",
    "test_disabled_key_does_not_decrypt": "the state of a key is not looked at",
    "test_key_pending_deletion_does_not_decrypt": "the state of a key is not looked at",
    "test_multi_region_key_has_an_id_of_its_own_kind": "mrk- is followed by a UUID with hyphens",
    "test_multi_region_key_decrypts_what_it_encrypted": "ciphertexts keep only 36 of the 40 characters of the id",
    "test_replica_opens_what_its_primary_sealed_and_the_reverse": "multi-Region ciphertexts never decrypt",
    "test_replication_leaves_the_primary_the_primary": "primary and replica share one mutable configuration",
    "test_updated_primary_region_swaps_the_roles": "UpdatePrimaryRegion is not implemented",
    "test_rotation_status_shows_the_period": "the answer has no RotationPeriodInDays",
    "test_new_data_keys_when_the_key_was_rotated_are_under_new_material": "answers have no KeyMaterialId",
    "test_key_policy_that_denies_decrypt_is_enforced": "key policies are not consulted for Decrypt",
}


@dataclass(frozen=True, slots=True)
class KmsServer:
    """A KMS that contract tests talk to."""

    name: str
    url: str

    def client(self, region_name: str = "us-east-1") -> KMSClient:
        """Return a plain boto3 client, one per server and Region."""
        return _client(self.url, region_name)


@functools.cache
def _client(url: str, region_name: str) -> KMSClient:
    config = Config(retries={"mode": "standard", "total_max_attempts": 1}, proxies={})
    return boto3.client(
        "kms",
        endpoint_url=url,
        region_name=region_name,
        aws_access_key_id="contract",
        aws_secret_access_key="contract",
        config=config,
    )


@contextmanager
def local_kms() -> Iterator[KmsServer]:
    """Run a LocalKms."""
    with LocalKms() as kms:
        yield KmsServer(LOCAL_KMS, kms.endpoint_url)


@contextmanager
def moto() -> Iterator[KmsServer]:
    """Run moto's KMS as it is."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    try:
        host, port = server.get_host_and_port()
        yield KmsServer(MOTO, f"http://{host}:{port}")
    finally:
        server.stop()
