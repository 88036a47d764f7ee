"""A proxy between an S3 client and a storage, for tests: it records, searches for secrets, edits and breaks.

with S3Proxy(storage_url) as proxy:
    proxy.forbid(b"a secret of the plaintext")
    client = boto3.client("s3", endpoint_url=proxy.url)
    ...
    assert proxy.leaks == []
"""

from s3envelope.testing.s3_proxy.edits import (
    Answer,
    AnswerEditor,
    EditRule,
    Forwarded,
    RequestEditor,
    StoredAnswers,
    drop_header,
    flip_byte,
    redirect_path,
    replace_body,
    replace_status,
    replay,
    set_header,
    swap_answers,
    truncate_body,
)
from s3envelope.testing.s3_proxy.faults import (
    ErrorAnswer,
    Fault,
    Latency,
    ResetRequest,
    ResetResponse,
    TruncatedResponse,
)
from s3envelope.testing.s3_proxy.proxy import S3Proxy
from s3envelope.testing.s3_proxy.records import Leak, Matcher, RecordedRequest, matching

__all__ = [
    "Answer",
    "AnswerEditor",
    "EditRule",
    "ErrorAnswer",
    "Fault",
    "Forwarded",
    "Latency",
    "Leak",
    "Matcher",
    "RecordedRequest",
    "RequestEditor",
    "ResetRequest",
    "ResetResponse",
    "S3Proxy",
    "StoredAnswers",
    "TruncatedResponse",
    "drop_header",
    "flip_byte",
    "matching",
    "redirect_path",
    "replace_body",
    "replace_status",
    "replay",
    "set_header",
    "swap_answers",
    "truncate_body",
]
