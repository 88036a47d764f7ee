"""Our records beside those of CloudTrail: what one has and the other has not.

Both name requests of KMS and S3 by the id that the service gave them.
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, BinaryIO

from s3envelope.audit.report import texts
from s3envelope.errors import AuditError

_GZIP_START = b"\x1f\x8b"
_MOST_BYTES = 512 << 20
# Uses of keys and of objects, as far as an audit log has them; CloudTrail writes down much else.
_OPERATIONS: Mapping[str, frozenset[str]] = {
    "kms.amazonaws.com": frozenset({"GenerateDataKey", "Decrypt", "Encrypt", "ReEncrypt"}),
    "s3.amazonaws.com": frozenset(
        {
            "PutObject",
            "GetObject",
            "CopyObject",
            "DeleteObject",
            "CreateMultipartUpload",
            "UploadPart",
            "UploadPartCopy",
            "CompleteMultipartUpload",
        }
    ),
}


@dataclass(frozen=True, slots=True)
class CloudTrailEvent:
    """A record of CloudTrail about a request that this library may have made."""

    request_id: str
    time: str
    service: str
    operation: str
    actor: str
    key_arns: tuple[str, ...]


@dataclass(slots=True)
class Joined:
    """What two logs say of the same requests.

    Args:
        matched: Requests that both have.
        only_ours: Request ids that CloudTrail has not, with the time of our record. CloudTrail is late by minutes, and
            has requests to S3 only where data events are on.
        only_theirs: Requests that no record of ours has: somebody used the key without this library, or records of ours
            are missing.
        without_id: Records of ours with a use of the key service, but no request id.
    """

    matched: int = 0
    only_ours: dict[str, str] = field(default_factory=dict)
    only_theirs: list[CloudTrailEvent] = field(default_factory=list)
    without_id: int = 0


def join(records: Iterable[Mapping[str, Any]], events: Iterable[CloudTrailEvent]) -> Joined:
    """Match records and events by request id. Memory grows with the number of our request ids."""
    joined = Joined()
    ours: dict[str, str] = {}
    for record in records:
        found = texts(record, "kms_request_ids") + texts(record, "s3_request_ids")
        ours.update((request_id, str(record.get("time", ""))) for request_id in found)
        if record.get("source") == "key service" and not texts(record, "kms_request_ids"):
            joined.without_id += 1
    matched = set()
    for event in events:
        if event.request_id in ours:
            matched.add(event.request_id)
        else:
            joined.only_theirs.append(event)
    joined.matched = len(matched)
    joined.only_ours = {request_id: time for request_id, time in ours.items() if request_id not in matched}
    return joined


def read_events(name: str, stream: BinaryIO) -> Iterator[CloudTrailEvent]:
    """Yield the events of an exported file that concern keys and objects; each request once.

    Taken are log files as CloudTrail writes them (`Records`), compressed or not; answers of `lookup-events` (`Events`);
    and lines of JSON, an event each.

    Raises:
        AuditError: It is none of these, or holds more than 512 MiB.
    """
    seen = set()
    for item in _items(name, _content(name, stream)):
        event = _event(item)
        if event is not None and event.request_id not in seen:
            seen.add(event.request_id)
            yield event


def _content(name: str, stream: BinaryIO) -> bytes:
    content = stream.read(_MOST_BYTES + 1)
    try:
        if content.startswith(_GZIP_START):
            with gzip.open(io.BytesIO(content)) as unpacked:
                content = unpacked.read(_MOST_BYTES + 1)
    except (OSError, EOFError) as error:
        raise AuditError(f"{name} is not a gzip file: {error}") from None
    if len(content) > _MOST_BYTES:
        raise AuditError(f"{name} holds more than {_MOST_BYTES} bytes; export a shorter time")
    return content


def _items(name: str, content: bytes) -> Iterator[Any]:
    try:
        whole = json.loads(content)
    except (ValueError, RecursionError):
        whole = None
    if isinstance(whole, dict) and isinstance(whole.get("Records"), list):
        yield from whole["Records"]
    elif isinstance(whole, dict) and isinstance(whole.get("Events"), list):
        for item in whole["Events"]:
            yield _parsed(name, item.get("CloudTrailEvent", "null") if isinstance(item, dict) else "null")
    elif isinstance(whole, dict):
        yield whole
    else:
        for line in content.splitlines():
            if line.strip():
                yield _parsed(name, line)


def _parsed(name: str, text: Any) -> Any:
    try:
        return json.loads(text)
    except (ValueError, TypeError, RecursionError):
        raise AuditError(f"{name} is not an export of CloudTrail: neither its JSON nor lines of JSON") from None


def _event(item: Any) -> CloudTrailEvent | None:
    if not isinstance(item, dict):
        return None
    service, operation, request_id = (str(item.get(name, "")) for name in ("eventSource", "eventName", "requestID"))
    if operation not in _OPERATIONS.get(service, ()) or not request_id:
        return None
    identity = item.get("userIdentity")
    resources = item.get("resources")
    arns = [entry.get("ARN") for entry in resources if isinstance(entry, dict)] if isinstance(resources, list) else []
    return CloudTrailEvent(
        request_id=request_id,
        time=str(item.get("eventTime", "")),
        service=service,
        operation=operation,
        actor=str(identity.get("arn", "")) if isinstance(identity, dict) else "",
        key_arns=tuple(arn for arn in arns if isinstance(arn, str)),
    )
