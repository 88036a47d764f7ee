"""Amazon's client for Python and ours against one server: each reads what the other wrote, and refuses the same.

It needs the extra [interop] in an environment of its own, see README.md in this folder: the official client asks for
an older version of cryptography than the one that everything else is tested with.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import pytest

import s3envelope
from s3envelope import KmsKeyring
from s3envelope.errors import ContextMismatchError, S3EnvelopeError
from s3envelope.formats.names import S3EC_V2, S3EC_V3
from s3envelope.testing import LocalKms
from tests.support.endpoints import Endpoint
from tests.support.enveloped import KIB, MIB, plaintext_of

pytest.importorskip(
    "s3_encryption", reason="the official client is in the extra [interop], see tests/interop/README.md"
)

from s3_encryption.exceptions import S3EncryptionClientError, S3EncryptionClientSecurityError

from tests.interop.amazon_python import PART_SIZE, WAYS, AmazonClient

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

VERSIONS = (S3EC_V2, S3EC_V3)
SIZES = (0, 1, 15, 16, 17, MIB, 20 * MIB)
CONTEXT = {"tenant": "acme", "purpose": "interop"}
CONTEXTS = (None, CONTEXT)
KEY = "folder/object"
OFFICIAL_REFUSALS = (S3EncryptionClientError, S3EncryptionClientSecurityError)
OurClient = Callable[..., "S3Client"]
TheirClient = Callable[..., AmazonClient]


@pytest.fixture
def ours(server: Endpoint, kms: LocalKms, key_arn: str) -> Iterator[OurClient]:
    """Yield a maker of our clients: the format that they write and read, their context, other fields."""
    made: list[S3Client] = []

    def make(version: str, context: Mapping[str, str] | None = None, **fields: Any) -> S3Client:
        own = {"keyring": KmsKeyring(key_arn, kms.client()), "read_formats": (version,), "write_format": version}
        own.update(encryption_context=context, cache=None)
        made.append(s3envelope.client("s3", **{**own, **fields}, **server.client_arguments()))
        return made[-1]

    yield make
    for client in made:
        client.close()


@pytest.fixture
def theirs(server: Endpoint, kms: LocalKms, key_arn: str, bucket: str) -> Iterator[TheirClient]:
    """Yield a maker of Amazon's clients of a format."""
    made: list[AmazonClient] = []

    def make(version: str) -> AmazonClient:
        made.append(AmazonClient.of(server, kms, key_arn, bucket, version))
        return made[-1]

    yield make
    for client in made:
        client.close()


def write(client: S3Client, bucket: str, content: bytes, way: str) -> None:
    """Write an object with our client."""
    where: Any = {"Bucket": bucket, "Key": KEY}
    if way == "put_object":
        client.put_object(**where, Body=content)
        return
    where["UploadId"] = client.create_multipart_upload(**where)["UploadId"]
    pieces = [content[at : at + PART_SIZE] for at in range(0, len(content), PART_SIZE)] or [b""]
    parts: Any = [
        {"PartNumber": number, "ETag": client.upload_part(**where, PartNumber=number, Body=piece)["ETag"]}
        for number, piece in enumerate(pieces, 1)
    ]
    client.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("context", CONTEXTS, ids=["bare", "context"])
@pytest.mark.parametrize("version", VERSIONS)
def test_object_when_the_official_client_wrote_it_is_read_by_ours(
    ours: OurClient,
    theirs: TheirClient,
    bucket: str,
    *,
    version: str,
    context: dict[str, str] | None,
    way: str,
    size: int,
) -> None:
    content = plaintext_of(size)
    theirs(version).write(KEY, content, context, way)
    client = ours(version, context)

    answer = client.get_object(Bucket=bucket, Key=KEY)

    assert answer["Body"].read() == content
    assert answer["ContentLength"] == size
    assert answer["Metadata"] == {}
    assert client.head_object(Bucket=bucket, Key=KEY)["ContentLength"] == size


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("context", CONTEXTS, ids=["bare", "context"])
@pytest.mark.parametrize("version", VERSIONS)
def test_object_when_ours_wrote_it_is_read_by_the_official_client(
    ours: OurClient,
    theirs: TheirClient,
    bucket: str,
    *,
    version: str,
    context: dict[str, str] | None,
    way: str,
    size: int,
) -> None:
    content = plaintext_of(size)
    write(ours(version, context), bucket, content, way)

    assert theirs(version).read(KEY, context) == content


@pytest.mark.parametrize("version", VERSIONS)
def test_transfer_when_made_by_either_client_is_read_by_the_other(
    ours: OurClient, theirs: TheirClient, bucket: str, version: str
) -> None:
    content, client, official = plaintext_of(17 * MIB + 5), ours(version), theirs(version)

    official.official.upload_fileobj(io.BytesIO(content), bucket, "theirs", PART_SIZE)
    client.upload_fileobj(io.BytesIO(content), bucket, "ours")

    received = io.BytesIO()
    client.download_fileobj(bucket, "theirs", received)
    assert received.getvalue() == content
    assert official.read("ours") == content


@pytest.mark.parametrize("version", VERSIONS)
def test_instruction_file_when_ours_wrote_it_is_read_by_the_official_client(
    ours: OurClient, theirs: TheirClient, bucket: str, version: str
) -> None:
    content = plaintext_of(70 * KIB)
    write(ours(version, CONTEXT, instruction_file=True), bucket, content, "put_object")

    assert theirs(version).read(KEY, CONTEXT) == content


def refuses_both(ours: S3Client, theirs: AmazonClient, context: Mapping[str, str] | None = None) -> type[Exception]:
    """See that both clients refuse the object and give no byte of it; return the class of our refusal."""
    released: list[bytes] = []
    with pytest.raises(OFFICIAL_REFUSALS):
        released.append(theirs.read(KEY, context))
    with pytest.raises(S3EnvelopeError) as refusal:
        released.append(ours.get_object(Bucket=theirs.bucket, Key=KEY)["Body"].read())
    assert not released
    return refusal.type


def stored(server: Endpoint, bucket: str) -> tuple[bytes, dict[str, str]]:
    """Return what the server holds."""
    client = server.client()
    answer = client.get_object(Bucket=bucket, Key=KEY)
    body = answer["Body"].read()
    client.close()
    return body, answer["Metadata"]


def store(server: Endpoint, bucket: str, body: bytes, metadata: dict[str, str]) -> None:
    """Put other bytes there, past both clients."""
    client = server.client()
    client.put_object(Bucket=bucket, Key=KEY, Body=body, Metadata=metadata)
    client.close()


@pytest.mark.parametrize("offset", [0, 40_000, -17, -16, -1])
@pytest.mark.parametrize("version", VERSIONS)
def test_body_when_a_byte_is_changed_is_refused_by_both(
    server: Endpoint, ours: OurClient, theirs: TheirClient, bucket: str, *, version: str, offset: int
) -> None:
    official = theirs(version)
    official.write(KEY, plaintext_of(70 * KIB), CONTEXT)
    body, metadata = stored(server, bucket)
    changed = bytearray(body)
    changed[offset] ^= 1

    store(server, bucket, bytes(changed), metadata)

    refuses_both(ours(version, CONTEXT), official, CONTEXT)


@pytest.mark.parametrize("cut", [1, 16, 17, 70 * KIB, 70 * KIB + 16])
@pytest.mark.parametrize("version", VERSIONS)
def test_body_when_it_is_cut_is_refused_by_both(
    server: Endpoint, ours: OurClient, theirs: TheirClient, bucket: str, *, version: str, cut: int
) -> None:
    official = theirs(version)
    official.write(KEY, plaintext_of(70 * KIB), CONTEXT)
    body, metadata = stored(server, bucket)

    store(server, bucket, body[:-cut], metadata)

    refuses_both(ours(version, CONTEXT), official, CONTEXT)


@pytest.mark.parametrize("name", ["x-amz-3", "x-amz-d", "x-amz-i", "x-amz-t"])
def test_committed_metadata_when_it_is_of_another_object_is_refused_by_both(
    server: Endpoint, ours: OurClient, theirs: TheirClient, bucket: str, name: str
) -> None:
    official = theirs(S3EC_V3)
    official.write(KEY, b"the other one", {"tenant": "other"})
    _, others = stored(server, bucket)
    official.write(KEY, b"content", CONTEXT)
    body, metadata = stored(server, bucket)

    store(server, bucket, body, {**metadata, name: others[name]})

    refuses_both(ours(S3EC_V3, CONTEXT), official, CONTEXT)


@pytest.mark.parametrize(
    "asked", [None, {"tenant": "acme"}, {**CONTEXT, "more": "x"}, {"tenant": "other", "purpose": "interop"}]
)
@pytest.mark.parametrize("version", VERSIONS)
def test_context_when_it_is_another_is_refused_by_both_whoever_wrote(
    ours: OurClient, theirs: TheirClient, bucket: str, *, version: str, asked: dict[str, str] | None
) -> None:
    official = theirs(version)
    official.write(KEY, b"content", CONTEXT)
    assert refuses_both(ours(version, asked), official, asked) is ContextMismatchError

    write(ours(version, CONTEXT), bucket, b"content", "put_object")
    assert refuses_both(ours(version, asked), official, asked) is ContextMismatchError


@pytest.mark.parametrize("version", VERSIONS)
def test_key_when_kms_refuses_it_is_refused_by_both(
    ours: OurClient, theirs: TheirClient, kms: LocalKms, key_arn: str, *, version: str
) -> None:
    official = theirs(version)
    official.write(KEY, b"content", CONTEXT)
    kms.client().disable_key(KeyId=key_arn)

    refuses_both(ours(version, CONTEXT), official, CONTEXT)


def test_older_object_when_only_the_newest_format_is_read_is_refused_by_both(
    ours: OurClient, theirs: TheirClient, kms: LocalKms
) -> None:
    theirs(S3EC_V2).write(KEY, b"content", CONTEXT)
    kms.clear_calls()

    refuses_both(ours(S3EC_V3, CONTEXT), theirs(S3EC_V3), CONTEXT)

    # The official client asks the KMS before it looks at its policy; ours does not.
    assert kms.count("Decrypt") == 1
