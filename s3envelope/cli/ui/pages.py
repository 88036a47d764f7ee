"""What the pages show: read from S3, from the keyring's names and from the audit log when a page is asked for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

from flask import abort

from s3envelope.audit.chain import Entry, Finding
from s3envelope.audit.verify import Verification
from s3envelope.audit.verify import verify as verify_log
from s3envelope.cli.audit_files import AnchorChoice, opened
from s3envelope.cli.dependencies import KeyNames, SeenObject, hint_of, look_at, resolved, seen_objects
from s3envelope.cli.failures import explain
from s3envelope.cli.locations import S3Location
from s3envelope.cli.options import Connection
from s3envelope.cli.ui.jobs import Jobs
from s3envelope.cli.ui.key_picture import Dependencies, key_label, picture
from s3envelope.core.envelope import without_envelope
from s3envelope.core.layout import plaintext_size
from s3envelope.errors import S3EnvelopeError, TruncatedObjectError
from s3envelope.rotation.run import Location

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_PAGE_SIZE, _WORKERS, _MOST_FINDINGS = 100, 8, 100


@dataclass(frozen=True, slots=True)
class Place:
    """What is shown.

    Args:
        client: A plain S3 client.
        reader: An enveloped one, where a key was named: it knows the size of objects in indexed layout.
        start: Where the pages begin; `None`: with the list of buckets.
        names: The names of keys by their hints.
        logs: Files of one audit log.
        anchors: Of that log.
    """

    client: S3Client
    reader: S3Client | None
    connection: Connection
    start: S3Location | None
    names: KeyNames
    logs: Sequence[Path]
    anchors: AnchorChoice


@dataclass(frozen=True, slots=True)
class _Row:
    """An object in a list."""

    key: str
    name: str
    size: int | None
    kind: str
    badge: str
    keys: str
    modified: Any


@dataclass(slots=True)
class _Chain:
    """What was found of the audit log so far."""

    found: Verification = field(default_factory=Verification)
    findings: list[Finding] = field(default_factory=list)
    finding_count: int = 0


class Pages:
    """The content of every page."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._scans: Jobs[Dependencies] = Jobs(Dependencies, _told)
        self._chains: Jobs[_Chain] = Jobs(_Chain, _told)

    @property
    def first(self) -> str:
        """The address of the page to begin with."""
        start = self._place.start
        return "/" if start is None else "/objects?" + urlencode({"bucket": start.bucket, "prefix": start.key})

    @property
    def has_audit(self) -> bool:
        """Whether there is an audit log to show."""
        return bool(self._place.logs)

    def close(self) -> None:
        """Stop what goes on in threads."""
        self._scans.close()
        self._chains.close()

    def buckets(self) -> dict[str, Any]:
        """Return the list of buckets."""
        return {"buckets": self._place.client.list_buckets().get("Buckets", [])}

    def objects(self, arguments: Mapping[str, str]) -> dict[str, Any]:
        """Return one page of a bucket: folders, and objects with what their metadata says."""
        bucket, prefix = _given(arguments, "bucket"), arguments.get("prefix", "")
        more = {"ContinuationToken": arguments["after"]} if arguments.get("after") else {}
        answer = self._place.client.list_objects_v2(
            Bucket=bucket,
            Prefix=prefix,
            Delimiter="/",
            MaxKeys=_PAGE_SIZE,
            **more,  # type: ignore[arg-type]
        )
        keys = [entry["Key"] for entry in answer.get("Contents", [])]
        with ThreadPoolExecutor(_WORKERS) as executor:
            seen = executor.map(lambda key: look_at(self._place.client, Location(bucket, key)), keys)
            rows = [self._row(one, prefix) for one in seen if one is not None]
        return {
            "bucket": bucket,
            "prefix": prefix,
            "parents": _parents(prefix),
            "folders": [entry["Prefix"] for entry in answer.get("CommonPrefixes", [])],
            "rows": rows,
            "after": answer.get("NextContinuationToken"),
        }

    def one_object(self, arguments: Mapping[str, str]) -> dict[str, Any]:
        """Return what the metadata of one object says."""
        bucket, key = _given(arguments, "bucket"), _given(arguments, "key")
        seen = look_at(self._place.client, Location(bucket, key, arguments.get("version") or None))
        if seen is None:
            abort(404, f"there is no object {key} in {bucket}")
        envelope, answer = seen.envelope, seen.answer
        return {
            "bucket": bucket,
            "key": key,
            "parents": _parents(key),
            "prefix": key[: key.rfind("/") + 1],
            "row": self._row(seen, key),
            "answer": answer,
            "envelope": envelope,
            "keys": [
                {"label": key_label(one.hint.hex(), self._place.names), "size": len(one.ciphertext)}
                for one in (() if envelope is None else envelope.encrypted_data_keys)
            ],
            "metadata": without_envelope(answer["Metadata"]),
        }

    def keys(self, arguments: Mapping[str, str]) -> dict[str, Any]:
        """Return which keys hold which objects under a prefix, and how far a rotation is."""
        bucket, prefix, target = (
            _given(arguments, "bucket"),
            arguments.get("prefix", ""),
            arguments.get("to", "").strip(),
        )

        def scan(state: Dependencies) -> None:
            found = seen_objects(self._place.client, S3Location(bucket, prefix), _WORKERS, versions=False)
            state.add_all(found, prefix, lambda: self._scans.is_closed)

        job = self._scans.get((bucket, prefix), scan, again="again" in arguments)
        is_running, found = job.is_running, job.state.snapshot()
        rotated = found.progress(hint_of(resolved(self._place.connection, target)[0])) if target else None
        return {
            "bucket": bucket,
            "prefix": prefix,
            "parents": _parents(prefix),
            "is_running": is_running,
            "error": job.error,
            "found": found,
            "picture": picture(found, self._place.names),
            "rows": [
                {"label": key_label(hint, self._place.names), "objects": count, "only": found.only[hint]}
                for hint, count in found.keys.most_common()
            ],
            "to": target,
            "rotated": rotated,
        }

    def audit(self, arguments: Mapping[str, str]) -> dict[str, Any]:
        """Return whether the audit log is whole."""
        if not self.has_audit:
            abort(404, "there is no audit log; name it with --audit-log")
        job = self._chains.get("log", self._verify, again="again" in arguments)
        return {
            "logs": self._place.logs,
            "is_running": job.is_running,
            "error": job.error,
            "found": job.state.found,
            "findings": list(job.state.findings),
            "finding_count": job.state.finding_count,
            "has_anchors": bool(self._place.anchors.places),
        }

    def _verify(self, state: _Chain) -> None:
        anchors, bad = self._place.anchors.collect(self._place.connection)
        for finding in bad:
            _note(state, finding)
        with opened(self._place.logs) as sources:
            for item in verify_log(sources, anchors, into=state.found):
                if self._chains.is_closed:
                    return
                if not isinstance(item, Entry):
                    _note(state, item)

    def _row(self, seen: SeenObject, prefix: str) -> _Row:
        key = seen.location.key
        return _Row(
            key=key,
            name=key[prefix.rfind("/") + 1 :],
            size=self._size(seen),
            kind=_kind(seen),
            badge="" if seen.envelope is not None else "plain" if seen.is_understood else "unknown",
            keys=", ".join(key_label(hint, self._place.names) for hint in seen.hints),
            modified=seen.answer["LastModified"],
        )

    def _size(self, seen: SeenObject) -> int | None:
        """Return the size of the plaintext; `None` where only a key could tell, or nothing can."""
        stored = int(seen.answer["ContentLength"])
        if seen.envelope is None:
            return stored if seen.is_understood else None
        if not seen.envelope.header.indexed:
            try:
                return plaintext_size(stored)
            except TruncatedObjectError:
                return None
        if self._place.reader is None:
            return None
        where = seen.location
        version = {} if where.version_id is None else {"VersionId": where.version_id}
        try:
            answer = self._place.reader.head_object(Bucket=where.bucket, Key=where.key, **version)  # type: ignore[arg-type]
        except S3EnvelopeError:
            # Not with this key: the list says so by leaving the size out.
            return None
        return answer["ContentLength"]


def _note(state: _Chain, finding: Finding) -> None:
    state.finding_count += 1
    if len(state.findings) < _MOST_FINDINGS:
        state.findings.append(finding)


def _told(error: Exception) -> str:
    return explain(error).line


def _kind(seen: SeenObject) -> str:
    if seen.envelope is not None:
        return "SE1, indexed" if seen.envelope.header.indexed else "SE1"
    return "not encrypted" if seen.is_understood else "not understood"


def _given(arguments: Mapping[str, str], name: str) -> str:
    value = arguments.get(name, "")
    if not value:
        abort(400, f"the address lacks {name}")
    return value


def _parents(key: str) -> list[tuple[str, str]]:
    """Return name and prefix of every folder above."""
    names = key.split("/")[:-1]
    return [(name, "/".join(names[: depth + 1]) + "/") for depth, name in enumerate(names)]
