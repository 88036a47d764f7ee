"""A drop-in replacement for the boto3 S3 client that encrypts on the client.

s3 = s3envelope.client("s3", kms_key_id="alias/orders")    # was: boto3.client("s3")
"""

import logging

from s3envelope import errors
from s3envelope._version import __version__
from s3envelope.audit.event import AuditEvent
from s3envelope.audit.json_lines import JsonLinesAuditSink
from s3envelope.audit.sinks import LoggingAuditSink
from s3envelope.audit.trail import AuditTrail
from s3envelope.caches.disk import CacheStats, DiskCache
from s3envelope.caches.key_sources import (
    CacheKeyFile,
    CacheKeyInKeyring,
    CacheKeyPassphrase,
    CacheKeySource,
    CacheKeyVariable,
)
from s3envelope.caches.limits import CacheLimits
from s3envelope.caches.memory import MemoryCache
from s3envelope.core.context import EncryptionContext
from s3envelope.core.layout import plaintext_size
from s3envelope.core.measures import Instrument, Metrics
from s3envelope.core.occurrences import Occurrence
from s3envelope.core.ports import (
    AuditSink,
    DataKey,
    DataKeyStatus,
    EncryptedDataKey,
    Keyring,
    RemoteKeyring,
)
from s3envelope.core.secret import SecretBytes
from s3envelope.formats.s3ec.ports import S3ecKeyring
from s3envelope.keyrings.kms import KmsKeyring
from s3envelope.keyrings.kms_discovery import KmsDiscoveryKeyring
from s3envelope.keyrings.multi import MultiKeyring
from s3envelope.keyrings.raw_aes import RawAesKeyring
from s3envelope.keyrings.raw_rsa import RawRsaKeyring
from s3envelope.keyrings.s3ec_aes import S3ecAesKeyring
from s3envelope.keyrings.s3ec_materials import S3ecMaterials
from s3envelope.keyrings.succession import SuccessionKeyring
from s3envelope.s3.config import EnvelopeConfig
from s3envelope.s3.install import Session, client, install, resource
from s3envelope.s3.interfaces import EnvelopeClient
from s3envelope.s3.mixin import EnvelopeDescription
from s3envelope.telemetry.otel import OpenTelemetryMetrics

__all__ = [
    "AuditEvent",
    "AuditSink",
    "AuditTrail",
    "CacheKeyFile",
    "CacheKeyInKeyring",
    "CacheKeyPassphrase",
    "CacheKeySource",
    "CacheKeyVariable",
    "CacheLimits",
    "CacheStats",
    "DataKey",
    "DataKeyStatus",
    "DiskCache",
    "EncryptedDataKey",
    "EncryptionContext",
    "EnvelopeClient",
    "EnvelopeConfig",
    "EnvelopeDescription",
    "Instrument",
    "JsonLinesAuditSink",
    "Keyring",
    "KmsDiscoveryKeyring",
    "KmsKeyring",
    "LoggingAuditSink",
    "MemoryCache",
    "Metrics",
    "MultiKeyring",
    "Occurrence",
    "OpenTelemetryMetrics",
    "RawAesKeyring",
    "RawRsaKeyring",
    "RemoteKeyring",
    "S3ecAesKeyring",
    "S3ecKeyring",
    "S3ecMaterials",
    "SecretBytes",
    "Session",
    "SuccessionKeyring",
    "__version__",
    "client",
    "errors",
    "install",
    "plaintext_size",
    "resource",
]

# Who uses the library decides what becomes of its log.
logging.getLogger(__name__).addHandler(logging.NullHandler())
