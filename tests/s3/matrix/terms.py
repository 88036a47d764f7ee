"""What a program gets from a client, in terms in which two clients can be compared.

This is the one place where something that a caller could see is left out of the comparison, each with its reason.
"""

from __future__ import annotations

import datetime
import hashlib
import re
from collections.abc import Callable, Mapping
from typing import Any

from botocore.exceptions import ClientError, FlexibleChecksumError
from botocore.response import StreamingBody

from s3envelope.errors import S3EnvelopeError

ABSENT = "<absent>"
_LONGEST_BYTES = 40
# Arguments that the library has beside those of boto3, where boto3 lists what it takes.
_ADDED = re.compile(", EncryptionContext(, PartSize, S3EnvelopePlaintextSize)?$")
_STEP = re.compile(r"\[([0-9]+)\]|([^.\[\]]+)")

# The ETag is the MD5 of what is stored: ciphertext there, plaintext here. That there is one is compared.
_ETAGS = frozenset({"ETag", "CopySourceIfMatch"})
# Chosen by the server, by chance. Compared is which of them are the same: the first one seen is 1, and so on.
_LABELLED = {
    "VersionId": "version",
    "VersionIdMarker": "version",
    "NextVersionIdMarker": "version",
    "CopySourceVersionId": "version",
    "DeleteMarkerVersionId": "version",
    "x-amz-version-id": "version",
    "UploadId": "upload",
    "UploadIdMarker": "upload",
    "NextUploadIdMarker": "upload",
    "NextContinuationToken": "token",
    "ContinuationToken": "token",
    "NextMarker": "marker",
}
# Values that name things by themselves, and are the same for everybody.
_UNLABELLED = frozenset({"null", ""})
# The clock of the server.
_TIMES = frozenset({"LastModified", "Initiated", "CreationDate"})
# Different in every answer: they name the request, not what it asked for.
_REQUEST_NAMES = frozenset({"RequestId", "HostId", "HostID", "HTTPHeaders"})
# Headers of an answer with an object that a program may read. The others are of the connection, or have an ETag or a
# date; and answers without an object have the headers of their XML.
_HEADERS = frozenset(
    {
        "accept-ranges",
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-language",
        "content-length",
        "content-range",
        "content-type",
        "x-amz-delete-marker",
        "x-amz-mp-parts-count",
        "x-amz-tagging-count",
        "x-amz-website-redirect-location",
    }
)
_META_PREFIX = "x-amz-meta-"
# SeaweedFS stores this coding although it described a request over https only; opened objects are rid of it.
_CODINGS = frozenset({"ContentEncoding", "content-encoding"})
_WIRE_CODING = "aws-chunked"
# SeaweedFS guesses a type from the stored bytes where none was given, and random bytes look like anything now and then.
_TYPES = frozenset({"ContentType", "content-type"})
_GUESSES = frozenset(
    {
        "application/octet-stream",
        "image/bmp",
        "text/plain; charset=utf-16be",
        "text/plain; charset=utf-16le",
        "text/plain; charset=utf-8",
    }
)
# What S3 tells of a range behind the end. Some servers do not; the library always does.
_TOLD_ALWAYS = ("error.ActualObjectSize", "error.RangeRequested")


class Terms:
    """Puts results and errors of one client into comparable terms.

    Args:
        names: Texts that differ between the two clients, such as the bucket, and what to put in their place.
    """

    def __init__(self, names: Mapping[str, str]) -> None:
        self._names = names
        self._labels: dict[str, dict[str, int]] = {}

    def of(self, act: Callable[[], Any]) -> Any:
        """Do what a program does; return what comes of it, be it an error."""
        try:
            return self.value(act())
        except Exception as error:  # noqa: BLE001  # the error is the result: both clients must raise the same
            return self.error(error)

    def value(self, value: Any, name: str = "") -> Any:
        """Return a result; the body of an answer is read."""
        if isinstance(value, dict):
            return self._mapping(value)
        if isinstance(value, list | tuple):
            found = [self.value(item, name) for item in value]
            # JuiceFS has no order of tags.
            return sorted(found, key=str) if name == "TagSet" else found
        if isinstance(value, StreamingBody):
            return self.of(value.read)
        return self._leaf(value, name)

    def _leaf(self, value: Any, name: str) -> Any:
        if name in _ETAGS and isinstance(value, str):
            return "<etag>"
        if name in _LABELLED and isinstance(value, str) and value not in _UNLABELLED:
            # What was labelled before stays as it is.
            return value if value.startswith("<") else self._label(_LABELLED[name], value)
        if name in _CODINGS and isinstance(value, str):
            return ",".join(coding for coding in value.split(",") if coding != _WIRE_CODING) or ABSENT
        if name in _TYPES and value in _GUESSES:
            return "<guessed>"
        if name in _TIMES and value is not None:
            return "<time>"
        if isinstance(value, bytes | bytearray | memoryview):
            return _bytes(bytes(value))
        if isinstance(value, datetime.datetime):
            return value.isoformat()
        if isinstance(value, str):
            return self._text(value)
        if value is None or isinstance(value, bool | int | float):
            return value
        return f"<{type(value).__name__}>"

    def _mapping(self, answer: Mapping[str, Any]) -> dict[str, Any]:
        found = {
            self._text(str(name)): self.value(value, name)
            for name, value in answer.items()
            if name not in _REQUEST_NAMES and not _is_checksum(name)
        }
        headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders") if "ContentLength" in answer else None
        if headers is not None:
            found["headers"] = self._headers(headers)
        return {name: value for name, value in found.items() if value != ABSENT}

    def _headers(self, headers: Mapping[str, str]) -> dict[str, Any]:
        kept = [name for name in headers if name in _HEADERS or name.startswith(_META_PREFIX)]
        found = {name: self.value(headers[name], name) for name in kept}
        return {name: value for name, value in found.items() if value != ABSENT}

    def error(self, error: Exception) -> Any:
        """Return an error: its class, its text and, if it is one of S3, what S3 said."""
        if isinstance(error, S3EnvelopeError):
            # The part before the colon says what was refused; the rest is advice.
            return f"{type(error).__name__}: {self._text(str(error)).replace(';', ':').partition(':')[0]}"
        found: dict[str, Any] = {"raised": [base.__name__ for base in type(error).__mro__[:-3]]}
        if isinstance(error, ClientError):
            answer: Mapping[str, Any] = error.response
            # The text of an error is the server's own; where the library finds it before the server, it is that of S3.
            # The rest names the request, or repeats the text.
            details = answer.get("Error", {})
            found["error"] = {
                name: self._text(str(details[name]))
                for name in ("Code", "ActualObjectSize", "RangeRequested", "Condition")
                if name in details
            }
            found["operation"] = error.operation_name
            found["status"] = answer.get("ResponseMetadata", {}).get("HTTPStatusCode")
        elif not isinstance(error, FlexibleChecksumError):
            # The text of that one is two checksums of what is stored.
            found["text"] = self._text(str(error))
        return found

    def _text(self, text: str) -> str:
        text = _ADDED.sub("", text)
        for name, replacement in self._names.items():
            text = text.replace(name, replacement)
        return text

    def _label(self, kind: str, value: str) -> str:
        labels = self._labels.setdefault(kind, {})
        return f"<{kind} {labels.setdefault(value, len(labels) + 1)}>"


def client_error(code: str, status: int, operation: str, *, raised: str = "", **details: str) -> dict[str, Any]:
    """Return the comparable terms of an error of S3.

    Args:
        raised: The class, if it is one of the client's own.
        details: What else the error tells.
    """
    classes = [raised, "ClientError"] if raised else ["ClientError"]
    return {"raised": classes, "error": {"Code": code, **details}, "operation": operation, "status": status}


def _is_checksum(name: object) -> bool:
    # Checksums in answers are of what is stored, as ETags are; an opened object has none, so they are not even counted.
    return isinstance(name, str) and name.startswith("Checksum") and name != "ChecksumMode"


def _bytes(content: bytes) -> str:
    if len(content) <= _LONGEST_BYTES:
        return repr(content)
    return f"<{len(content)} bytes, SHA-256 {hashlib.sha256(content).hexdigest()[:16]}>"


def differences(ours: Any, theirs: Any, path: str = "") -> dict[str, tuple[Any, Any]]:
    """Return where two outcomes differ: the path, and what is there on both sides."""
    if isinstance(ours, dict) and isinstance(theirs, dict) and ("raised" in ours) == ("raised" in theirs):
        found: dict[str, tuple[Any, Any]] = {}
        for name in sorted({*ours, *theirs}):
            below = f"{path}.{name}" if path else name
            found.update(differences(ours.get(name, ABSENT), theirs.get(name, ABSENT), below))
        return found
    if isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        found = {}
        for index, (our_item, their_item) in enumerate(zip(ours, theirs, strict=True)):
            found.update(differences(our_item, their_item, f"{path}[{index}]"))
        return found
    if theirs == ABSENT and path.endswith(_TOLD_ALWAYS):
        return {}
    # True is not 1 here.
    return {} if (type(ours), ours) == (type(theirs), theirs) else {path: (ours, theirs)}


def _steps(path: str) -> list[str | int]:
    return [int(index) if index else name for index, name in _STEP.findall(path)]


def at(outcome: Any, path: str) -> Any:
    """Return what is at a path of an outcome."""
    for step in _steps(path):
        try:
            outcome = outcome[step]
        except (KeyError, IndexError, TypeError):
            return ABSENT
    return outcome


def replaced(outcome: Any, path: str, value: Any) -> Any:
    """Put a value at a path of an outcome, or take away what is there; change the outcome and return it."""
    steps = _steps(path)
    if not steps:
        return value
    place = at(outcome, path[: path.rindex(str(steps[-1]))].rstrip(".["))
    if value == ABSENT:
        place.pop(steps[-1], None)
    else:
        place[steps[-1]] = value
    return outcome
