"""The types of clients and resources, for type checkers, and the keywords that make them.

With boto3-stubs (`mypy_boto3_s3`) an enveloped client is typed as a boto3 one with what s3envelope adds. Without, what
boto3 has is not checked, and what s3envelope adds is.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypedDict

from s3envelope.caches.disk import DiskCache
from s3envelope.caches.limits import CacheLimits
from s3envelope.caches.memory import MemoryCache
from s3envelope.core.measures import Metrics
from s3envelope.core.ports import AuditSink, Keyring
from s3envelope.formats.s3ec.ports import S3ecKeyring
from s3envelope.s3.config import ContextSource, EnvelopeConfig
from s3envelope.s3.mixin import EnvelopeMixin

if TYPE_CHECKING:
    from mypy_boto3_kms import KMSClient
    from mypy_boto3_s3 import S3Client, S3ServiceResource
    from mypy_boto3_s3.service_resource import S3ResourceMeta
    from mypy_boto3_s3.type_defs import (
        CopyObjectOutputTypeDef,
        CopyObjectRequestTypeDef,
        CreateMultipartUploadOutputTypeDef,
        CreateMultipartUploadRequestTypeDef,
        GetObjectOutputTypeDef,
        GetObjectRequestTypeDef,
        HeadObjectOutputTypeDef,
        HeadObjectRequestTypeDef,
        PutObjectOutputTypeDef,
        PutObjectRequestTypeDef,
    )
    from typing_extensions import Unpack


class EnvelopeFields(TypedDict, total=False):
    """The keywords that `EnvelopeConfig` takes; see there."""

    keyring: Keyring | None
    kms_key_id: str | Sequence[str] | None
    kms_client: KMSClient | None
    retired_kms_key_ids: Sequence[str]
    rotate_on_read: datetime.timedelta | None
    encryption_context: ContextSource | None
    bind_key_name: bool
    unencrypted: Literal["refuse", "allow"]
    cache: DiskCache | MemoryCache | None
    cache_limits: CacheLimits | None
    cache_partition: str | None
    audit: AuditSink | None
    audit_policy: Literal["required", "best-effort"] | None
    metrics: Metrics | None
    part_size: int | None
    list_sizes: Literal["plaintext", "exact", "stored"]
    allow_presigned_ciphertext: bool
    metadata_limit: int
    unseekable_limit: int
    state_dir: str | os.PathLike[str] | None
    read_formats: Sequence[str]
    write_format: Literal["se1", "s3ec-v3", "s3ec-v2"]
    s3ec_keyring: S3ecKeyring | None
    verify_in_memory: int
    unsafe_unverified_ranges: bool
    instruction_file: bool
    instruction_suffix: str
    delete_instruction_files: bool
    hide_instruction_files: bool


class EnvelopeArguments(EnvelopeFields, total=False):
    """The keywords of `client`, `resource` and `Session` beside boto3's."""

    envelope: EnvelopeConfig


if TYPE_CHECKING:
    # Each derives from one class of the stubs alone: without them it is no TypedDict then, and any argument passes.

    class PutObjectRequest(PutObjectRequestTypeDef, total=False):
        EncryptionContext: Mapping[str, str]

    class GetObjectRequest(GetObjectRequestTypeDef, total=False):
        EncryptionContext: Mapping[str, str]

    class HeadObjectRequest(HeadObjectRequestTypeDef, total=False):
        EncryptionContext: Mapping[str, str]

    class CopyObjectRequest(CopyObjectRequestTypeDef, total=False):
        EncryptionContext: Mapping[str, str]
        ShareKey: bool

    class CreateMultipartUploadRequest(CreateMultipartUploadRequestTypeDef, total=False):
        EncryptionContext: Mapping[str, str]
        PartSize: int

    class EnvelopeClient(EnvelopeMixin, S3Client):
        """What `s3envelope.client("s3", ...)` returns."""

        def put_object(self, **kwargs: Unpack[PutObjectRequest]) -> PutObjectOutputTypeDef: ...

        def get_object(self, **kwargs: Unpack[GetObjectRequest]) -> GetObjectOutputTypeDef: ...

        def head_object(self, **kwargs: Unpack[HeadObjectRequest]) -> HeadObjectOutputTypeDef: ...

        def copy_object(self, **kwargs: Unpack[CopyObjectRequest]) -> CopyObjectOutputTypeDef: ...

        def create_multipart_upload(
            self, **kwargs: Unpack[CreateMultipartUploadRequest]
        ) -> CreateMultipartUploadOutputTypeDef: ...

    class EnvelopeResourceMeta(S3ResourceMeta):
        client: EnvelopeClient

    class EnvelopeResource(S3ServiceResource):
        """What `s3envelope.resource("s3", ...)` returns."""

        meta: EnvelopeResourceMeta

else:
    # The classes of clients are made by botocore; this is the base of all that are enveloped, also for `isinstance`.
    EnvelopeClient = EnvelopeMixin
