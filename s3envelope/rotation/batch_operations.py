"""A Lambda handler for S3 Batch Operations: an engine that exists, for billions of objects.

The function's environment says what is done: `S3ENVELOPE_ROTATE_TO` and `S3ENVELOPE_ROTATE_FROM` (KMS key ids, with
commas between them), `S3ENVELOPE_ROTATE_EDK_ONLY`, `S3ENVELOPE_ROTATE_DRY_RUN`. Invocation schemas 1.0 and 2.0 are
understood. A task that names an old version only says whether that still needs a key to replace, and then fails.

Source: https://docs.aws.amazon.com/AmazonS3/latest/userguide/batch-ops-invoke-lambda.html
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any
from urllib.parse import unquote_plus

from s3envelope.errors import ConfigurationError, KeyServiceUnavailableError, ObjectChangedError
from s3envelope.rotation.run import Location, Outcome
from s3envelope.rotation.spec import RotationSpec, rotate_one

SUCCEEDED, TEMPORARY, PERMANENT = "Succeeded", "TemporaryFailure", "PermanentFailure"
_SCHEMAS = ("1.0", "2.0")
_LONGEST = 1024
# What passes by itself: errors of this library, of botocore when no answer came, and of S3.
_PASSING = frozenset(
    {
        KeyServiceUnavailableError.__name__,
        ObjectChangedError.__name__,
        "EndpointConnectionError",
        "ConnectionClosedError",
        "ConnectTimeoutError",
        "ReadTimeoutError",
        "HTTPClientError",
        "SlowDown",
        "ServiceUnavailable",
        "InternalError",
        "RequestTimeout",
        "Throttling",
        "500",
        "503",
    }
)


def handler(event: Mapping[str, Any], context: object) -> dict[str, Any]:  # Lambda passes two
    """Rotate the objects of one invocation; each gets a result of its own.

    Args:
        event: Of S3 Batch Operations.
        context: Of Lambda; not used.

    Raises:
        ConfigurationError: The environment names no key, or the invocation has another schema.
    """
    schema = event.get("invocationSchemaVersion")
    if schema not in _SCHEMAS:
        raise ConfigurationError(f"the invocation has the schema {schema!r}; {' and '.join(_SCHEMAS)} are understood")
    spec = RotationSpec.from_environment(os.environ)
    return {
        "invocationSchemaVersion": schema,
        "treatMissingKeysAs": PERMANENT,
        "invocationId": event["invocationId"],
        "results": [_result(task, rotate_one(spec, _location(task))) for task in event["tasks"]],
    }


def _location(task: Mapping[str, Any]) -> Location:
    bucket = task.get("s3Bucket") or str(task["s3BucketArn"]).rpartition(":::")[2]
    return Location(bucket, unquote_plus(task["s3Key"]), task.get("s3VersionId") or None)


def _result(task: Mapping[str, Any], outcome: Outcome) -> dict[str, str]:
    if not outcome.is_left or outcome.result == "planned":
        code = SUCCEEDED
    else:
        code = TEMPORARY if outcome.error in _PASSING else PERMANENT
    text = f"{outcome.result}: {outcome.reason}"
    return {"taskId": task["taskId"], "resultCode": code, "resultString": text[:_LONGEST]}
