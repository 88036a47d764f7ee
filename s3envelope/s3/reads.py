"""get_object and head_object: answers in ciphertext terms become answers in plaintext terms."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from s3envelope.core.envelope import Envelope
from s3envelope.core.ranges import LAST_SEGMENT, AnswerHead, ByteRange
from s3envelope.engine.opening import Answer, Condition, Fetch, ObjectOpener, ReadPolicy
from s3envelope.errors import NotEncryptedError, UnsupportedOperationError
from s3envelope.s3.bodies import no_body
from s3envelope.s3.calls import Call, Read
from s3envelope.s3.responses import invalid_range, present_get, present_head, tell_size_in_error
from s3envelope.s3.writes import ENTRIES_PARAMETER, validate

if TYPE_CHECKING:
    from botocore.model import OperationModel

    from s3envelope.s3.seam import Seam

_NOT_SATISFIABLE = 416
_FIRST_ERROR = 300
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
    validate(parameters, model)
    if "PartNumber" in parameters:
        raise UnsupportedOperationError(
            "PartNumber is refused: the parts of the stored object are not parts of its plaintext. "
            "Instead, read a Range"
        )
    seam.config.context_for(parameters["Bucket"], parameters["Key"], entries)
    requested = ByteRange.parse(parameters.get("Range"))
    call.read = Read(dict(parameters), requested, entries)
    parameters.pop("Range", None)
    if call.operation == "HeadObject" or requested is None:
        return
    wanted = LAST_SEGMENT if call.read.asks_nothing else requested.to_ciphertext()
    parameters["Range"] = wanted.header()


def finish_get(seam: Seam, call: Call, http_response: Any, parsed: dict[str, Any]) -> None:
    """Open the answer to a GET; rewrite `parsed` in place."""
    read, status = call.read, int(http_response.status_code)
    if read is None or (status >= _FIRST_ERROR and status != _NOT_SATISFIABLE):
        return
    first = None if status == _NOT_SATISFIABLE else _answer(parsed, status)
    try:
        _open(seam, read, first, parsed)
    except NotEncryptedError:
        if seam.config.unencrypted == "refuse":
            _close(first)
            raise
        _pass_unencrypted(seam, read, first, http_response, parsed)
    except BaseException:
        _close(first)
        raise


def _open(seam: Seam, read: Read, first: Answer | None, parsed: dict[str, Any]) -> None:
    fetch, condition = _fetcher(seam, read), _condition(read.parameters)
    opener = _opener(seam, read, fetch)
    answer = first
    if read.asks_nothing and first is not None:
        opener, answer = _opener(seam, read, _Once(first, fetch)), None
    opened = opener.open(answer, read.requested, condition)
    if opened.stream is None:
        if first is not None:
            _close(first)
            raise invalid_range(seam, read.parameters.get("Range"), opened.total, parsed)
        tell_size_in_error(parsed, read.parameters.get("Range"), opened.total)
        return
    present_get(parsed, opened, read.requested)


def finish_head(seam: Seam, call: Call, http_response: Any, parsed: dict[str, Any]) -> None:
    """Put the answer to a HEAD into plaintext terms; rewrite `parsed` in place."""
    read, status = call.read, int(http_response.status_code)
    if read is None or status >= _FIRST_ERROR:
        return
    answer = _answer(parsed, status)
    opener = _opener(seam, read, _fetcher(seam, read))
    try:
        _, total = opener.size(answer, _condition(read.parameters))
    except NotEncryptedError:
        if seam.config.unencrypted == "refuse":
            raise
        if read.requested is not None:
            parsed.clear()
            parsed.update(seam.inner("HeadObject", read.parameters))
        return
    if read.requested is not None and read.requested.resolve(total)[0] >= total:
        # The size is the server's claim: the end of the object must agree before it is used to say "nothing there".
        proved = opener.open(None, read.requested, _condition(read.parameters))
        raise invalid_range(
            seam, read.parameters.get("Range"), proved.total, parsed, code="416", operation="HeadObject"
        )
    present_head(parsed, total, read.requested)


def describe(seam: Seam, parameters: dict[str, Any]) -> tuple[Envelope, dict[str, Any]]:
    """Return the envelope of an object, unverified, and the raw answer to HEAD."""
    parsed = seam.inner("HeadObject", parameters)
    return Envelope.parse(parsed.get("Metadata", {})), parsed


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
    policy = ReadPolicy(seam.config.context_for(bucket, key, read.entries), seam.config.bind_key_name)
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
    close = getattr(answer.body, "close", None) if answer is not None else None
    if callable(close):
        close()


def _fetcher(seam: Seam, read: Read) -> Fetch:
    carried = {name: read.parameters[name] for name in _CARRIED if name in read.parameters}

    def fetch(wanted: ByteRange | None, condition: Condition) -> Answer | None:
        parameters = dict(carried)
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
        return _answer(parsed, parsed["ResponseMetadata"]["HTTPStatusCode"])

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
    parsed.clear()
    parsed.update(answer)
    # botocore decides by this number, after this, whether to raise.
    http_response.status_code = answer["ResponseMetadata"]["HTTPStatusCode"]
