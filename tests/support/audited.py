"""A client whose log the audit tests read between its calls."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from s3envelope import AuditTrail, JsonLinesAuditSink, KmsKeyring
from s3envelope.testing import LocalKms
from s3envelope.testing.s3_proxy import Answer, S3Proxy, matching
from tests.support.auditing import entries_of
from tests.support.endpoints import Endpoint
from tests.support.enveloped import enveloped_client

CONTEXT_VALUE = "context-value-canary"
Record = Mapping[str, Any]


class Audited:
    """What audited clients of one bucket have: a log, a KMS, and a proxy that notes the request ids of S3."""

    def __init__(self, folder: Path, endpoint: Endpoint, proxy: S3Proxy, bucket: str, kms: LocalKms) -> None:
        self.path, self.folder, self.bucket, self.kms = folder / "log" / "audit.jsonl", folder, bucket, kms
        self.endpoint, self.proxy = endpoint, proxy
        self.key_arn = kms.create_key()
        self.answered: list[str] = []
        self._seen_count = 0
        proxy.on_response(matching(), self._note)
        self.sink = JsonLinesAuditSink(self.path, fsync="never")

    def _note(self, answer: Answer) -> Answer:
        self.answered.append(answer.header("x-amz-request-id") or answer.header("x-amzn-requestid"))
        return answer

    def client(self, **fields: Any) -> Any:
        """Return a client that asks for a data key for each object."""
        usual = {
            "audit": AuditTrail(self.sink),
            "audit_policy": "required",
            "cache": None,
            "encryption_context": {"purpose": CONTEXT_VALUE},
        }
        keyring = fields.pop("keyring", None) or KmsKeyring(self.key_arn, self.kms.client())
        return enveloped_client(self.endpoint, keyring, envelope={**usual, **fields})

    def new(self) -> list[Record]:
        """Return the records since the last look, of a log that must be whole."""
        records: list[Record] = [entry.content for entry in entries_of(self.path)]
        found, self._seen_count = records[self._seen_count :], len(records)
        return found

    def new_names(self) -> list[tuple[str, str]]:
        """Return what the new records are about, and how it ended."""
        return [(str(record["operation"]), str(record["outcome"])) for record in self.new()]
