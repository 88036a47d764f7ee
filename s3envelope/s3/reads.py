"""get_object and head_object: answers in ciphertext terms become answers in plaintext terms."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from s3envelope.core.envelope import Envelope, is_envelope_name
from s3envelope.core.occurrences import Occurrence
from s3envelope.core.ranges import LAST_SEGMENT, AnswerHead, ByteRange
from s3envelope.engine.opening import Answer, Condition, Fetch, ObjectOpener, OpenedObject, ReadPolicy, same_version
from s3envelope.engine.sources import close_body
from s3envelope.errors import NotEncryptedError, ObjectChangedError, UnsupportedOperationError
from s3envelope.formats import names
from s3envelope.formats.s3ec.metadata import is_reserved_name
from s3envelope.formats.s3ec.model import S3ecEnvelope
from s3envelope.s3 import s3ec_reads
from s3envelope.s3.auditing import failure_teller, request_ids, tell_open
from s3envelope.s3.bodies import no_body
from s3envelope.s3.calls import Call, Read
from s3envelope.s3.responses import invalid_range, present_get, present_head, tell_size_in_error
from s3envelope.s3.writes import ENTRIES_PARAMETER, validate

if TYPE_CHECKING:
    from botocore.model import OperationModel

    from s3envelope.s3.seam import Seam

_OK = 200
_NOT_SATISFIABLE = 416
_FIRST_ERROR = 300
# What a range is translated with; the last one may be left out.
_USED = (("Bucket", None), ("Key", None), ("Range", ""))
# What further requests about the same object repeat.
_CARRIED = (
    "Bucket",
    "Key",
    "VersionId",
    "SSECustomerAlgorithm",
    "SSECustomerKey",
    "SSECustomerKeyMD5",
    "RequestPayer",
    "ExpectedBucketOwner",
)


def prepare_read(seam: Seam, call: Call, parameters: dict[str, Any], model: OperationModel) -> None:
    """Translate the range of a GET or HEAD; rewrite `parameters` in place."""
    entries = parameters.pop(ENTRIES_PARAMETER, None)
    # Nothing is done before botocore itself validates a request: here only what is used must be of its type.
    if not all(isinstance(parameters.get(name, default), str) for name, default in _USED):
        validate(parameters, model)
    if "PartNumber" in parameters:
        raise UnsupportedOperationError(
            "PartNumber is refused: the parts of the stored object are not parts of its plaintext. "
            "Instead, read a Range"
        )
    expected = seam.config.context_for(parameters["Bucket"], parameters["Key"], entries)
    requested = ByteRange.parse(parameters.get("Range"))
    call.read = Read(dict(parameters), requested, expected)
    parameters.pop("Range", None)
    if call.operation == "HeadObject" or requested is None:
        return
    call.read.sent = s3ec_reads.range_to_ask(seam, call.read)
    if call.read.sent is not None:
        parameters["Range"] = call.read.sent.header()


def finish_get(seam: Seam, call: Call, http_response: Any, parsed: dict[str, Any]) -> None:
    """Open the answer to a GET; rewrite `parsed` in place."""
    read, status = call.read, int(http_response.status_code)
    if read is None or (status >= _FIRST_ERROR and status != _NOT_SATISFIABLE):
        return
    first = None if status == _NOT_SATISFIABLE else _answer(parsed, status)
    try:
        _open(seam, read, first, parsed)
    except NotEncryptedError:
        close_fetched(read)
        if seam.config.unencrypted == "refuse" or (first is not None and s3ec_reads.is_marked(first.metadata)):
            _close(first)
            raise
        _pass_unencrypted(seam, read, first, http_response, parsed)
    except BaseException:
        close_fetched(read)
        _close(first)
        raise


def _open(seam: Seam, read: Read, first: Answer | None, parsed: dict[str, Any]) -> None:
    fetch, condition = fetcher(seam, read), _condition(read.parameters)
    if not seam.config.reads_s3ec:
        if first is not None:
            s3ec_reads.check_format(seam.config, first.metadata)
        _open_se1(seam, read, first, fetch, parsed, is_refused=first is None)
        return
    seen = s3ec_reads.Seen(first, read.sent, is_first=True) if first is not None else None
    if seen is None:
        # A 416 does not say what object it is.
        tail = fetch(LAST_SEGMENT, condition)
        if tail is None:
            _open_se1(seam, read, None, fetch, parsed, is_refused=True)
            return
        seen = s3ec_reads.Seen(tail, LAST_SEGMENT, is_first=False)
    s3ec_reads.check_format(seam.config, seen.answer.metadata)
    if s3ec_reads.may_be_s3ec(seen.answer.metadata):
        s3ec_reads.open_get(seam, read, seen, fetch, parsed)
        return
    seam.wholes.expect_other(read.parameters["Bucket"], read.parameters["Key"])
    if not seen.is_first:
        fetch = _Once(seen.answer, fetch)
    elif read.sent != read.se1_range:
        # It was taken for another format; what is read now is tied to the answer that showed what it is.
        _close(first)
        first = fetch(read.se1_range, same_version(seen.answer.head))
    _open_se1(seam, read, first, fetch, parsed, is_refused=not seen.is_first)


def _open_se1(
    seam: Seam, read: Read, first: Answer | None, fetch: Fetch, parsed: dict[str, Any], *, is_refused: bool
) -> None:
    condition = _condition(read.parameters)
    opener = _opener(seam, read, fetch)
    answer = first
    if read.asks_nothing and first is not None:
        opener, answer = _opener(seam, read, _Once(first, fetch)), None
    opened = opener.open(answer, read.requested, condition)
    _tell_open(seam, read, parsed, opened.envelope, opened)
    if opened.stream is None:
        _close(opened.answer)
        if not is_refused:
            raise invalid_range(seam, read.parameters.get("Range"), opened.total, parsed)
        tell_size_in_error(parsed, read.parameters.get("Range"), opened.total)
        return
    present_get(
        parsed,
        opened,
        read.requested,
        on_end=_at_end(seam, read, opened),
        on_failure=failure_teller(seam.audit, read.parameters, parsed),
    )


def _tell_open(
    seam: Seam, read: Read, parsed: dict[str, Any], envelope: Envelope, opened: OpenedObject | None = None
) -> None:
    if seam.audit is None:
        return
    # INVARIANT: it is written down before anything is released; if it cannot be, the stream forgets its key.
    told = Occurrence(
        operation="open", format=names.SE1, commitment=envelope.header.commitment, context=envelope.context
    )
    tell_open(seam.audit, read, parsed, told, close=functools.partial(_forget, opened))


def _forget(opened: OpenedObject | None) -> None:
    if opened is not None:
        _close(opened.answer)
        if opened.stream is not None:
            opened.stream.close()


def _at_end(seam: Seam, read: Read, opened: OpenedObject) -> Callable[[int], None] | None:
    """Return what is to be called when the body of an answer was read."""
    rotate = _rotation_after(seam, read, opened.envelope)
    count = None if seam.metering is None else seam.metering.counting(opened.stream, names.SE1)
    if rotate is None:
        return count

    def end(released_size: int) -> None:
        if count is not None:
            count(released_size)
        rotate()

    return end


def _rotation_after(seam: Seam, read: Read, envelope: Envelope) -> Callable[[], None] | None:
    """Return what gives an object the current key."""
    rotation = seam.read_rotation
    candidate = None if rotation is None else rotation.candidate(read.parameters, envelope)
    if rotation is None or candidate is None:
        return None
    if read.requested is not None:
        # Perhaps one of many: a new ETag in the midst of a download would end that.
        rotation.notice(candidate)
        return None
    return functools.partial(rotation.offer, candidate)


def finish_head(seam: Seam, call: Call, http_response: Any, parsed: dict[str, Any]) -> None:
    """Put the answer to a HEAD into plaintext terms; rewrite `parsed` in place."""
    read, status = call.read, int(http_response.status_code)
    if read is None or status >= _FIRST_ERROR:
        return
    try:
        _size(seam, read, _answer(parsed, status), parsed)
    finally:
        close_fetched(read)


def _size(seam: Seam, read: Read, answer: Answer, parsed: dict[str, Any]) -> None:
    fetch = fetcher(seam, read)
    s3ec_reads.check_format(seam.config, answer.metadata)
    is_s3ec = seam.config.reads_s3ec and s3ec_reads.may_be_s3ec(answer.metadata)
    opener = _opener(seam, read, fetch)
    try:
        if is_s3ec:
            total = s3ec_reads.head_size(seam, read, answer, fetch)
        else:
            envelope, total = opener.size(answer, _condition(read.parameters))
            if envelope.header.indexed:
                _tell_open(seam, read, parsed, envelope)
    except NotEncryptedError:
        if seam.config.unencrypted == "refuse" or s3ec_reads.is_marked(answer.metadata):
            raise
        if read.requested is not None:
            parsed.clear()
            parsed.update(seam.inner("HeadObject", read.parameters))
        return
    if read.requested is not None and read.requested.resolve(total)[0] >= total:
        # The size is the server's claim: the end of the object must agree before it is used to say "nothing there".
        if is_s3ec:
            total = s3ec_reads.proved_size(seam, read, answer, fetch)
        else:
            opened = opener.open(None, read.requested, _condition(read.parameters))
            total = opened.total
            _tell_open(seam, read, parsed, opened.envelope, opened)
        header = read.parameters.get("Range")
        raise invalid_range(seam, header, total, parsed, code="416", operation="HeadObject")
    present_head(parsed, total, read.requested, is_ours=is_reserved_name if is_s3ec else is_envelope_name)


def describe(seam: Seam, parameters: dict[str, Any]) -> tuple[Envelope | S3ecEnvelope, dict[str, Any]]:
    """Return the envelope of an object, unverified, and the raw answer to HEAD."""
    parsed = seam.inner("HeadObject", parameters)
    metadata = parsed.get("Metadata") or {}
    if s3ec_reads.may_be_s3ec(metadata) and (seam.config.reads_s3ec or s3ec_reads.is_marked(metadata)):
        return s3ec_reads.describe(seam, parameters, _answer(parsed, _OK)), parsed
    return Envelope.parse(metadata), parsed


def object_attributes(seam: Seam, parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of an object; its size in plaintext, and no checksums and parts, which are not its own."""
    answer = seam.inner("GetObjectAttributes", parameters)
    answer.pop("Checksum", None)
    answer.pop("ObjectParts", None)
    if "ObjectSize" in answer:
        head = {name: parameters[name] for name in _CARRIED if name in parameters}
        if answer.get("VersionId"):
            head["VersionId"] = answer["VersionId"]
        answer["ObjectSize"] = seam.client().head_object(**head)["ContentLength"]
    return answer


def _opener(seam: Seam, read: Read, fetch: Fetch) -> ObjectOpener:
    bucket, key = read.parameters["Bucket"], read.parameters["Key"]
    policy = ReadPolicy(read.expected, seam.config.bind_key_name)
    return ObjectOpener(
        seam.materials, seam.sessions, policy, scope=(seam.endpoint_url, bucket, key), name=key, fetch=fetch
    )


def _condition(parameters: dict[str, Any]) -> Condition:
    return Condition(etag=parameters.get("IfMatch"), version_id=parameters.get("VersionId"))


def _answer(parsed: dict[str, Any], status: int) -> Answer:
    length = parsed.get("ContentLength")
    head = AnswerHead(
        status=status,
        etag=parsed.get("ETag"),
        version_id=parsed.get("VersionId"),
        content_length=length if isinstance(length, int) else None,
        content_range=parsed.get("ContentRange"),
        metadata_is_missing=bool(parsed.get("MissingMeta")),
    )
    return Answer(head, parsed.get("Metadata") or {}, parsed.get("Body") or no_body())


def _close(answer: Answer | None) -> None:
    if answer is not None:
        close_body(answer.body)


def close_fetched(read: Read) -> None:
    """Give back the connections of all further answers about an object."""
    for answer in read.fetched:
        _close(answer)


def fetcher(seam: Seam, read: Read) -> Fetch:
    """Return what sends further requests about the object of a GET or HEAD."""

    def fetch(wanted: ByteRange | None, condition: Condition) -> Answer | None:
        parameters = {name: read.parameters[name] for name in _CARRIED if name in read.parameters}
        if wanted is not None:
            parameters["Range"] = wanted.header()
        if condition.version_id is not None:
            parameters["VersionId"] = condition.version_id
        if condition.etag is not None:
            parameters["IfMatch"] = condition.etag
        try:
            parsed = seam.inner("GetObject", parameters)
        except ClientError as error:
            if error.response.get("ResponseMetadata", {}).get("HTTPStatusCode") == _NOT_SATISFIABLE:
                return None
            raise
        read.request_ids += request_ids(parsed)
        answer = _answer(parsed, parsed["ResponseMetadata"]["HTTPStatusCode"])
        read.fetched.append(answer)
        return answer

    return fetch


class _Once:
    """A fetch whose first answer is at hand already."""

    def __init__(self, first: Answer, fetch: Fetch) -> None:
        self._first: Answer | None = first
        self._fetch = fetch

    def __call__(self, wanted: ByteRange | None, condition: Condition, /) -> Answer | None:
        answer, self._first = self._first, None
        return answer or self._fetch(wanted, condition)


def _pass_unencrypted(seam: Seam, read: Read, first: Answer | None, http_response: Any, parsed: dict[str, Any]) -> None:
    """Return an object without envelope as S3 has it; asked for again, if the request was not the caller's own."""
    if read.requested is None and first is not None:
        return
    _close(first)
    answer = seam.inner("GetObject", read.parameters)
    if s3ec_reads.is_marked(answer.get("Metadata") or {}) or not s3ec_reads.may_be_s3ec(answer.get("Metadata") or {}):
        answer["Body"].close()
        raise ObjectChangedError("the object got an envelope while it was read; read again")
    parsed.clear()
    parsed.update(answer)
    # botocore decides by this number, after this, whether to raise.
    http_response.status_code = answer["ResponseMetadata"]["HTTPStatusCode"]
