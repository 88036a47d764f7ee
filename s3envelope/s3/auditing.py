"""What a client tells its audit sink of objects: before anything is sent or released, and how it ended."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from s3envelope._version import __version__
from s3envelope.audit.policies import PolicedSink
from s3envelope.audit.trail import AuditTrail
from s3envelope.core.context import EncryptionContext
from s3envelope.core.measures import Meter, MeteredSink
from s3envelope.core.occurrences import Occurrence, Operation, Outcome
from s3envelope.core.ports import AuditSink, SystemPorts
from s3envelope.errors import (
    AuditError,
    ContextMismatchError,
    DecryptionError,
    EnvelopeError,
    KeyAccessError,
    KeyringError,
    MalformedEnvelopeError,
    NoMatchingKeyError,
    S3EnvelopeError,
    UnsupportedOperationError,
    add_lost_record,
)
from s3envelope.formats import names
from s3envelope.s3.calls import Call, Read
from s3envelope.s3.config import EnvelopeConfig

if TYPE_CHECKING:
    from s3envelope.s3.seam import Seam

_REFUSALS = (UnsupportedOperationError, ContextMismatchError, EnvelopeError, KeyAccessError, NoMatchingKeyError)
_READING = frozenset({"GetObject", "HeadObject", "GetObjectAttributes", "CopyObject", "UploadPartCopy"})
_SHOWN_SETTINGS = (
    "bind_key_name",
    "unencrypted",
    "write_format",
    "list_sizes",
    "allow_presigned_ciphertext",
    "unsafe_unverified_ranges",
    "instruction_file",
)


def sink_of(config: EnvelopeConfig, ports: SystemPorts) -> AuditSink | None:
    """Return what is told of every use of a key: the audit sink of a client, under its policy, and its metrics.

    Raises:
        ConfigurationError: The sink cannot keep the policy.
    """
    sink = _policed(config, ports)
    return sink if config.metrics is None else MeteredSink(Meter(config.metrics), sink)


def _policed(config: EnvelopeConfig, ports: SystemPorts) -> AuditSink | None:
    audit, policy = config.audit, config.audit_policy
    if isinstance(audit, AuditTrail):
        return audit if policy is None else audit.under(policy)
    return None if audit is None else PolicedSink(audit, policy or "required", ports)


def tell_configuration(seam: Seam) -> None:
    """Tell how a client is configured: names and switches.

    Raises:
        AuditError: It was not written down.
    """
    if seam.audit is None:
        return
    config = seam.config
    details = {name: str(getattr(config, name)) for name in _SHOWN_SETTINGS}
    details["read_formats"] = ",".join(config.read_formats)
    details["cache"] = "none" if config.cache is None or config.cache_limits is None else type(config.cache).__name__
    details["endpoint"] = seam.endpoint_url
    details["version"] = __version__
    # The keyring of a client that only knows the Amazon formats may have no such names.
    key_ids = sorted(getattr(seam.keyring, "key_ids", ()))
    seam.audit.record(
        Occurrence(operation="configure", key_arns=tuple(key_ids), details=tuple(sorted(details.items())))
    )


class Undertaking:
    """Something that is told before it is sent, and told again when it is over.

    Raises:
        AuditError: It was not written down; nothing may be sent.
    """

    def __init__(self, sink: AuditSink | None, told: Occurrence, clock: Callable[[], float]) -> None:
        self._sink = sink
        self._told = told
        self._clock = clock
        self._began_at = clock()
        self._is_over = False
        self._request_ids: tuple[str, ...] = ()
        self._tell("begun")

    def saw(self, request_ids: Iterable[str]) -> None:
        """Take note of further requests that S3 answered for it."""
        self._request_ids += tuple(request_ids)

    def succeeded(self, answer: Mapping[str, Any]) -> None:
        """Tell that S3 did it.

        Raises:
            AuditError: It was not written down; but it was done.
        """
        self._end("success", s3_request_ids=request_ids(answer), version_id=_text(answer, "VersionId"))

    def failed(self, error: BaseException) -> None:
        """Tell that it failed; `error` is going to be raised."""
        if isinstance(error, S3EnvelopeError):
            error._is_told = True
        ids = request_ids(error.response) if isinstance(error, ClientError) else ()
        try:
            self._end("failed", s3_request_ids=ids, error=error)
        except AuditError as lost:
            add_lost_record(error, lost)

    def refused(self, code: str, answer: Mapping[str, Any]) -> None:
        """Tell that S3 refused it with this code, as one of several.

        Raises:
            AuditError: It was not written down.
        """
        self._end("failed", s3_request_ids=request_ids(answer), details=(*self._told.details, ("code", code)))

    def _end(self, outcome: Outcome, **fields: Any) -> None:
        if not self._is_over:
            self._is_over = True
            ids = (*self._request_ids, *fields.pop("s3_request_ids"))
            self._tell(outcome, duration_seconds=self._clock() - self._began_at, s3_request_ids=ids, **fields)

    def _tell(self, outcome: Outcome, **fields: Any) -> None:
        if self._sink is not None:
            known = {name: value for name, value in fields.items() if value is not None}
            self._sink.record(replace(self._told, outcome=outcome, **known))


@contextmanager
def undertaken(seam: Seam, told: Occurrence) -> Iterator[Undertaking]:
    """Tell of something before this block, and if it fails; the block says that it succeeded.

    Raises:
        AuditError: It was not written down; nothing was sent.
    """
    undertaking = Undertaking(seam.audit, told, seam.ports.clock)
    try:
        yield undertaking
    except BaseException as error:
        undertaking.failed(error)
        raise


def begin_sealing(
    seam: Seam,
    call: Call,
    parameters: Mapping[str, Any],
    commitment: bytes | None,
    context: EncryptionContext | None = None,
) -> None:
    """Tell that something sealed is about to be sent; how the call ends is told by itself.

    Raises:
        AuditError: It was not written down; nothing may be sent.
    """
    if seam.audit is None:
        return
    details = [("call", call.operation)]
    if "PartNumber" in parameters:
        details.append(("part", str(parameters["PartNumber"])))
    told = replace(about(parameters, "seal"), format=seam.config.write_format, commitment=commitment, context=context)
    call.undertaking = Undertaking(seam.audit, replace(told, details=tuple(details)), seam.ports.clock)


def about_copy(parameters: Mapping[str, Any], commitment: bytes, operation: Operation = "rewrap") -> Occurrence:
    """Return what to tell of an object that gets another envelope for the same body."""
    return replace(about(parameters, operation), version_id=None, format=names.SE1, commitment=commitment)


def tell_open(
    sink: AuditSink | None,
    read: Read,
    answer: Mapping[str, Any],
    told: Occurrence,
    close: Callable[[], None],
) -> None:
    """Tell that an object opened, before anything of it is released.

    Args:
        answer: Of S3 to the first request.
        told: Format, commitment and context of the object.
        close: Wipes what was opened, if it must not be released.

    Raises:
        AuditError: It was not written down.
    """
    if sink is None:
        return
    parameters = read.parameters
    version = _text(answer, "VersionId") or _text(parameters, "VersionId")
    told = replace(told, bucket=_text(parameters, "Bucket"), key=_text(parameters, "Key"), version_id=version)
    try:
        sink.record(replace(told, s3_request_ids=(*request_ids(answer), *read.request_ids)))
    except BaseException:
        close()
        raise


def tell_failure(
    sink: AuditSink | None,
    operation: str,
    parameters: Mapping[str, Any],
    error: BaseException,
    answer: Mapping[str, Any] | None = None,
) -> None:
    """Tell of an error that is going to be raised, once, if it is a refusal or a failed authentication.

    Metrics count every other one as well.
    """
    if sink is None or not isinstance(error, S3EnvelopeError) or error._is_told:
        return
    kind = _kind_of(operation, error)
    if kind is None:
        if isinstance(sink, MeteredSink):
            error._is_told = True
            sink.meter.failed(error)
        return
    error._is_told = True
    told = replace(
        about(parameters, kind[0]),
        outcome=kind[1],
        error=error,
        kms_request_ids=error.request_ids if isinstance(error, KeyringError) else (),
        s3_request_ids=request_ids(answer or {}),
        details=(("call", operation),),
    )
    try:
        sink.record(told)
    except AuditError as lost:
        add_lost_record(error, lost)


def failure_teller(
    sink: AuditSink | None, parameters: Mapping[str, Any], answer: Mapping[str, Any]
) -> Callable[[BaseException], None] | None:
    """Return what tells of a failure while the body of a GET is read; it holds no client."""
    if sink is None:
        return None
    place = {name: parameters[name] for name in ("Bucket", "Key", "VersionId") if name in parameters}
    kept = {"ResponseMetadata": {"RequestId": "".join(request_ids(answer))}, "VersionId": answer.get("VersionId")}
    if kept["VersionId"]:
        place["VersionId"] = kept["VersionId"]
    return lambda error: tell_failure(sink, "GetObject", place, error, kept)


@contextmanager
def refusals(seam: Seam, operation: str, parameters: Mapping[str, Any]) -> Iterator[None]:
    """Tell of refusals and failed authentications that leave this block."""
    try:
        yield
    except BaseException as error:
        tell_failure(seam.audit, operation, parameters, error)
        raise


def delete(
    seam: Seam, operation: str, parameters: Mapping[str, Any], send: Callable[[], dict[str, Any]]
) -> dict[str, Any]:
    """Send a DeleteObject or DeleteObjects, and tell of each object before and after.

    Raises:
        AuditError: Before: it was not written down, and nothing was sent.
    """
    if seam.audit is None:
        return send()
    undertakings = {
        (item.get("Key"), item.get("VersionId")): Undertaking(
            seam.audit, about({**item, "Bucket": parameters.get("Bucket")}, "delete"), seam.ports.clock
        )
        for item in _deleted(operation, parameters)
    }
    try:
        answer = send()
    except BaseException as error:
        for undertaking in undertakings.values():
            undertaking.failed(error)
        raise
    refused = {(item.get("Key"), item.get("VersionId")): item for item in answer.get("Errors", [])}
    for name, undertaking in undertakings.items():
        if name in refused:
            undertaking.refused(str(refused[name].get("Code", "")), answer)
        else:
            undertaking.succeeded(answer)
    return answer


def _deleted(operation: str, parameters: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    # What is not well-formed is refused by botocore, before anything is sent.
    if operation == "DeleteObject":
        return [parameters]
    wanted = parameters.get("Delete")
    listed = wanted.get("Objects") if isinstance(wanted, Mapping) else None
    return [item for item in listed if isinstance(item, Mapping)] if isinstance(listed, list | tuple) else []


def about(parameters: Mapping[str, Any], operation: Operation) -> Occurrence:
    """Return what to tell of the object of a call."""
    return Occurrence(
        operation=operation,
        bucket=_text(parameters, "Bucket"),
        key=_text(parameters, "Key"),
        version_id=_text(parameters, "VersionId"),
    )


def request_ids(answer: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the request id of an answer of S3, if it has one."""
    request_id = answer.get("ResponseMetadata", {}).get("RequestId")
    return (request_id,) if isinstance(request_id, str) and request_id else ()


def _kind_of(operation: str, error: S3EnvelopeError) -> tuple[Operation, Outcome] | None:
    if isinstance(error, DecryptionError | MalformedEnvelopeError) and not isinstance(error, ContextMismatchError):
        return "authenticate", "failed"
    if isinstance(error, _REFUSALS):
        return "refuse", "refused"
    if isinstance(error, KeyringError):
        return "decrypt" if operation in _READING else "generate", "failed"
    return None


def _text(values: Mapping[str, Any], name: str) -> str | None:
    value = values.get(name)
    return value if isinstance(value, str) else None
