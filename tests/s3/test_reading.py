"""Reads that behave as those of a plain client on an object with the same plaintext."""

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from botocore.exceptions import ClientError
from mypy_boto3_s3 import S3Client

from s3envelope.errors import ConfigurationError, NotEncryptedError, UnsupportedOperationError
from tests.support.endpoints import Endpoint
from tests.support.enveloped import KIB, SEGMENT_SIZE, ClientFactory, NewBucket, plaintext_of

SIZE = 2 * SEGMENT_SIZE + 1000
FIELDS = ("ContentLength", "ContentRange", "AcceptRanges", "ContentType", "Metadata", "ContentEncoding")


@dataclass(frozen=True, slots=True)
class Twins:
    """A sealed object under "sealed" and the same plaintext under "plain", on one server."""

    client: S3Client
    plain: S3Client
    bucket: str
    server: str

    def put(self, size: int, **arguments: Any) -> None:
        """Store both."""
        body = plaintext_of(size)
        self.client.put_object(Bucket=self.bucket, Key="sealed", Body=body, **arguments)
        self.plain.put_object(Bucket=self.bucket, Key="plain", Body=body, **arguments)

    def both(self, operation: str, **arguments: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return what both clients get, in comparable terms."""
        ours = _outcome(self.client, operation, Bucket=self.bucket, Key="sealed", **arguments)
        theirs = _outcome(self.plain, operation, Bucket=self.bucket, Key="plain", **arguments)
        return ours, theirs


def _outcome(client: S3Client, operation: str, **arguments: Any) -> dict[str, Any]:
    try:
        answer = getattr(client, operation)(**arguments)
    except ClientError as error:
        response: dict[str, Any] = dict(error.response)
        details = response["Error"]
        return {
            "class": type(error).__name__,
            "status": response["ResponseMetadata"]["HTTPStatusCode"],
            "error": {name: details.get(name) for name in ("Code", "ActualObjectSize", "RangeRequested")},
        }
    found = {name: answer[name] for name in FIELDS if name in answer}
    headers = answer["ResponseMetadata"]["HTTPHeaders"]
    found["status"] = answer["ResponseMetadata"]["HTTPStatusCode"]
    found["headers"] = {name: headers.get(name) for name in ("content-length", "content-range")}
    if "Body" in answer:
        found["body"] = answer["Body"].read()
    return found


@pytest.fixture
def twins(any_s3: Endpoint, new_bucket: NewBucket, sealed: ClientFactory) -> Twins:
    return Twins(sealed(any_s3), any_s3.client(), new_bucket(any_s3), any_s3.name)


def _ranges(size: int) -> list[str]:
    edges = sorted({0, 1, SEGMENT_SIZE - 1, SEGMENT_SIZE, SEGMENT_SIZE + 1, 2 * SEGMENT_SIZE, size - 1, size, size + 1})
    offsets = [edge for edge in edges if edge >= 0]
    closed = [f"bytes={first}-{last}" for first in offsets for last in offsets[::3] if first <= last]
    opened = [f"bytes={first}-" for first in offsets]
    suffixes = [f"bytes=-{length}" for length in (1, 1000, SEGMENT_SIZE, size, size + 1)]
    return [*closed, *opened, *suffixes]


@pytest.mark.parametrize("size", [0, 1, SEGMENT_SIZE - 1, SEGMENT_SIZE, SEGMENT_SIZE + 1, 2 * SEGMENT_SIZE, SIZE])
def test_range_when_in_any_form_then_answer_is_that_of_the_plaintext(twins: Twins, size: int) -> None:
    twins.put(size, ContentType="text/x-test", Metadata={"a": "b"})
    headers = _ranges(size)
    if size == 0 and twins.server != "seaweedfs":
        # S3 answers 416; these two take a suffix of nothing for something.
        headers = [header for header in headers if not header.startswith("bytes=-")]

    for header in headers:
        ours, theirs = twins.both("get_object", Range=header)
        _drop_unknown(ours, theirs)
        assert ours == theirs, header


def _drop_unknown(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    """Compare what both servers' errors tell: some do not name the size of the object, ours always does."""
    if "error" in theirs:
        for name, value in list(theirs["error"].items()):
            if value is None:
                ours["error"].pop(name, None)
                del theirs["error"][name]


# Not on SeaweedFS and JuiceFS: each has a way of its own with these.
@pytest.mark.parametrize(
    "header",
    ["bytes=5-2", "bytes=0-1,5-6", "bytes=", "bytes=-", "lines=0-5", "junk", "bytes=a-b", "bytes=-0", "bytes=0 - 5"],
)
@pytest.mark.parametrize("size", [0, SIZE])
def test_range_when_s3_ignores_it_then_whole_object_and_bytes_0_then_416(
    moto_s3: Endpoint, new_bucket: NewBucket, sealed: ClientFactory, header: str, size: int
) -> None:
    client, bucket = sealed(moto_s3), new_bucket(moto_s3)
    client.put_object(Bucket=bucket, Key="k", Body=plaintext_of(size))

    answer = _outcome(client, "get_object", Bucket=bucket, Key="k", Range=header)

    if header == "bytes=-0":
        assert (answer["status"], answer["error"]["Code"]) == (416, "InvalidRange")
        assert answer["error"]["ActualObjectSize"] == str(size)
    else:
        assert (answer["status"], answer["body"]) == (200, plaintext_of(size))
        assert "ContentRange" not in answer


def test_whole_read_and_head_when_compared_then_those_of_the_plaintext(twins: Twins) -> None:
    twins.put(SIZE, ContentType="text/x-test", ContentEncoding="gzip", Metadata={"a": "b", "C": "d"})

    for operation in ("get_object", "head_object"):
        ours, theirs = twins.both(operation)
        assert ours == theirs, operation


@pytest.mark.parametrize("header", ["bytes=0-9", "bytes=70000-", "bytes=-5", f"bytes={SIZE}-"])
def test_head_when_ranged_then_that_of_the_plaintext(
    seaweedfs: Endpoint, new_bucket: NewBucket, sealed: ClientFactory, header: str
) -> None:
    client, bucket = sealed(seaweedfs), new_bucket(seaweedfs)
    client.put_object(Bucket=bucket, Key="k", Body=plaintext_of(SIZE))

    ours = _outcome(client, "head_object", Bucket=bucket, Key="k", Range=header)

    if header == f"bytes={SIZE}-":
        assert (ours["status"], ours["error"]["Code"]) == (416, "416")
    else:
        got = _outcome(client, "get_object", Bucket=bucket, Key="k", Range=header)
        got.pop("body")
        assert ours == got


def _conditions(etag: str) -> list[dict[str, Any]]:
    now = datetime.now(timezone.utc)
    past, future = now - timedelta(days=1), now + timedelta(days=1)
    return [
        {"IfMatch": etag},
        {"IfMatch": '"0123"'},
        {"IfNoneMatch": etag},
        {"IfNoneMatch": '"0123"'},
        {"IfModifiedSince": past},
        {"IfModifiedSince": future},
        {"IfUnmodifiedSince": past},
        {"IfUnmodifiedSince": future},
    ]


@pytest.mark.parametrize("index", range(8))
@pytest.mark.parametrize("header", [None, "bytes=5-70000"])
def test_read_when_conditional_then_outcome_is_the_server_s(twins: Twins, index: int, header: str | None) -> None:
    twins.put(SIZE)
    asked = {} if header is None else {"Range": header}

    for operation in ("get_object", "head_object") if header is None else ("get_object",):
        outcomes = []
        for client, key in ((twins.client, "sealed"), (twins.plain, "plain")):
            etag = client.head_object(Bucket=twins.bucket, Key=key)["ETag"]
            condition = _conditions(etag)[index]
            outcomes.append(_outcome(client, operation, Bucket=twins.bucket, Key=key, **asked, **condition))
        assert outcomes[0] == outcomes[1]


@pytest.mark.parametrize("operation", ["get_object", "head_object"])
def test_read_when_object_or_bucket_is_missing_then_botocore_s_own_error(twins: Twins, operation: str) -> None:
    ours, theirs = twins.both(operation)

    assert ours == theirs
    assert ours["status"] == 404
    with pytest.raises(ClientError, match=r"NoSuchBucket|404"):
        getattr(twins.client, operation)(Bucket="never-made-bucket", Key="k")


def test_missing_object_when_got_then_no_such_key_is_the_client_s_exception(twins: Twins) -> None:
    with pytest.raises(twins.client.exceptions.NoSuchKey):
        twins.client.get_object(Bucket=twins.bucket, Key="missing", Range="bytes=0-5")


@pytest.mark.parametrize("server", ["moto_s3", "seaweedfs"])
def test_version_when_asked_for_then_that_one_is_read(
    request: pytest.FixtureRequest, new_bucket: NewBucket, sealed: ClientFactory, server: str
) -> None:
    endpoint: Endpoint = request.getfixturevalue(server)
    client, bucket = sealed(endpoint), new_bucket(endpoint)
    client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    bodies = [b"first", plaintext_of(SIZE), b""]

    versions = [client.put_object(Bucket=bucket, Key="k", Body=body)["VersionId"] for body in bodies]

    for version, body in zip(versions, bodies, strict=True):
        answer = client.get_object(Bucket=bucket, Key="k", VersionId=version)
        head = client.head_object(Bucket=bucket, Key="k", VersionId=version)
        assert (answer["Body"].read(), answer["VersionId"], head["ContentLength"]) == (body, version, len(body))
    part = client.get_object(Bucket=bucket, Key="k", VersionId=versions[0], Range="bytes=1-2")
    assert part["Body"].read() == b"ir"
    listed = client.list_object_versions(Bucket=bucket)["Versions"]
    assert sorted(version.get("Size", -1) for version in listed) == sorted(map(len, bodies))


@pytest.mark.parametrize("header", [None, "bytes=0-9", "bytes=5000-", "bytes=-0"])
@pytest.mark.parametrize("operation", ["get_object", "head_object"])
def test_plain_object_when_read_then_refused_unless_allowed(
    any_s3: Endpoint, new_bucket: NewBucket, sealed: ClientFactory, header: str | None, operation: str
) -> None:
    bucket, plain = new_bucket(any_s3), any_s3.client()
    plain.put_object(Bucket=bucket, Key="k", Body=b"0123456789", Metadata={"se": "mine"})
    asked: dict[str, Any] = {"Bucket": bucket, "Key": "k", **({} if header is None else {"Range": header})}

    with pytest.raises(NotEncryptedError):
        getattr(sealed(any_s3), operation)(**asked)

    allowing = sealed(any_s3, envelope={"unencrypted": "allow"})
    assert _outcome(allowing, operation, **asked) == _outcome(plain, operation, **asked)


@pytest.mark.parametrize("header", [None, "bytes=0-0", "bytes=0-"])
def test_empty_plain_object_when_read_then_refused_unless_allowed(
    any_s3: Endpoint, new_bucket: NewBucket, sealed: ClientFactory, header: str | None
) -> None:
    bucket, plain = new_bucket(any_s3), any_s3.client()
    plain.put_object(Bucket=bucket, Key="k", Body=b"")
    asked: dict[str, Any] = {"Bucket": bucket, "Key": "k", **({} if header is None else {"Range": header})}

    with pytest.raises(NotEncryptedError):
        sealed(any_s3).get_object(**asked)

    allowing = sealed(any_s3, envelope={"unencrypted": "allow"})
    assert _outcome(allowing, "get_object", **asked) == _outcome(plain, "get_object", **asked)


def test_answer_when_opened_then_has_no_checksum_and_no_metadata_of_ours(
    seaweedfs: Endpoint, new_bucket: NewBucket, sealed: ClientFactory
) -> None:
    client, bucket = sealed(seaweedfs), new_bucket(seaweedfs)
    client.put_object(Bucket=bucket, Key="k", Body=b"body", Metadata={"mine": "1"}, ChecksumAlgorithm="SHA256")

    for answer in (
        client.get_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED"),
        client.head_object(Bucket=bucket, Key="k", ChecksumMode="ENABLED"),
    ):
        headers = answer["ResponseMetadata"]["HTTPHeaders"]
        names = [*answer, *headers, *answer["Metadata"]]
        assert not [name for name in names if "checksum" in name.lower() or "se1-" in name]
        assert answer["Metadata"] == {"mine": "1"}


def test_part_number_when_asked_for_then_refused(
    moto_s3: Endpoint, new_bucket: NewBucket, sealed: ClientFactory
) -> None:
    client, bucket = sealed(moto_s3), new_bucket(moto_s3)
    client.put_object(Bucket=bucket, Key="k", Body=b"body")

    with pytest.raises(UnsupportedOperationError):
        client.get_object(Bucket=bucket, Key="k", PartNumber=1)


def test_context_when_illegal_then_refused(moto_s3: Endpoint, new_bucket: NewBucket, sealed: ClientFactory) -> None:
    client, bucket = sealed(moto_s3), new_bucket(moto_s3)
    context: dict[str, Any] = {"EncryptionContext": {"s3envelope-x": "y"}}

    with pytest.raises(ConfigurationError):
        client.get_object(Bucket=bucket, Key="k", **context)


def test_list_sizes_when_configured_as_stored_then_those_of_the_server(
    moto_s3: Endpoint, new_bucket: NewBucket, sealed: ClientFactory
) -> None:
    bucket = new_bucket(moto_s3)
    client = sealed(moto_s3, envelope={"list_sizes": "stored"})
    client.put_object(Bucket=bucket, Key="k", Body=bytes(KIB))

    assert client.list_objects_v2(Bucket=bucket)["Contents"][0].get("Size") == KIB + 28
    assert sealed(moto_s3).list_objects(Bucket=bucket)["Contents"][0].get("Size") == KIB
