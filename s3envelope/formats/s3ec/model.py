"""What an object of the Amazon S3 Encryption Clients is described by, after it was parsed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

# INVARIANT: this entry of a KMS context says what the key is for; it is written by this library, never by a caller.
CEK_ALGORITHM_ENTRY = "aws:x-amz-cek-alg"
# Written by the oldest clients: the KMS key that they used.
KMS_KEY_ENTRY = "kms_cmk_id"
TAG_SIZE = 16
DATA_KEY_SIZE = 32
# AES-GCM's own limit for one message, in bytes of plaintext.
MAX_PLAINTEXT_SIZE = (1 << 36) - 32


class ContentAlgorithm(Enum):
    """How the body is encrypted; the value is the name that a wrapped key is bound to."""

    CBC = "AES/CBC/PKCS5Padding"
    GCM = "AES/GCM/NoPadding"
    GCM_COMMITTED = "115"

    @property
    def is_authenticated(self) -> bool:
        """Whether a changed body is noticed."""
        return self is not ContentAlgorithm.CBC

    @property
    def suite(self) -> str:
        """The name of the algorithm suite in the specification of the Amazon clients."""
        return {
            ContentAlgorithm.CBC: "ALG_AES_256_CBC_IV16_NO_KDF",
            ContentAlgorithm.GCM: "ALG_AES_256_GCM_IV12_TAG16_NO_KDF",
            ContentAlgorithm.GCM_COMMITTED: "ALG_AES_256_GCM_HKDF_SHA512_COMMIT_KEY",
        }[self]


class WrapAlgorithm(Enum):
    """How the data key is wrapped; the value is what V1 and V2 write. V1 may write nothing for AES and RSA."""

    KMS_CONTEXT = "kms+context"
    AES_GCM = "AES/GCM"
    RSA_OAEP_SHA1 = "RSA-OAEP-SHA1"
    # The others are read only, and only where they are asked for by name.
    KMS = "kms"
    AES_WRAP = "AESWrap"
    AES_ECB = "AES"
    RSA_PKCS1 = "RSA"
    RSA_OAEP_SHA256 = "RSA/ECB/OAEPWithSHA-256AndMGF1Padding"


@dataclass(frozen=True, slots=True)
class S3ecEnvelope:
    """The description of one object, complete and consistent; nothing in it is authenticated yet.

    INVARIANT: the value that passed the policy is the value that is used to decrypt. Nothing is parsed twice.

    Args:
        version: 1, 2 or 3.
        wrap: How the data key is wrapped.
        encrypted_data_key: The one data key, as it is stored.
        iv: 12 bytes for GCM, 16 for CBC; of V3 the message id, 28 bytes.
        commitment: 28 bytes in V3, else `None`.
        description: The material description; with KMS the whole encryption context as it is stored.
        plaintext_size: What the object says of its own size; a claim, and often missing.
        has_instruction_file: Whether part of this came from an instruction file.
    """

    version: int
    content: ContentAlgorithm
    wrap: WrapAlgorithm
    encrypted_data_key: bytes
    iv: bytes
    commitment: bytes | None
    description: Mapping[str, str]
    plaintext_size: int | None = None
    has_instruction_file: bool = False
