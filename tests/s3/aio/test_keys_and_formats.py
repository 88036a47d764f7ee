"""Data keys, KMS clients and the Amazon formats with an asynchronous client.

The command is in `tests/s3/aio/__init__.py`.
"""

from __future__ import annotations

import asyncio
import io

import pytest

pytest.importorskip("aiobotocore", reason="the extra [async] is not installed")

import s3envelope.aio
from s3envelope import KmsKeyring, S3ecAesKeyring
from s3envelope.errors import UnsupportedOperationError
from s3envelope.testing import LocalKms
from tests.s3.aio.test_client import BODY, IN_PARTS, PART, read, run
from tests.support.endpoints import Endpoint
from tests.support.enveloped import plaintext_of


def test_data_key_when_many_tasks_need_it_is_asked_for_once(
    moto_s3: Endpoint, bucket: str, keyring: KmsKeyring, kms: LocalKms
) -> None:
    async def main() -> None:
        async with s3envelope.aio.client("s3", keyring=keyring, cache=None, **moto_s3.client_arguments()) as writer:
            await writer.put_object(Bucket=bucket, Key="k", Body=BODY)
        async with s3envelope.aio.client("s3", keyring=keyring, **moto_s3.client_arguments()) as s3:
            assert set(await asyncio.gather(*(read(s3, bucket) for _ in range(30)))) == {BODY}

    run(main())

    assert kms.count("Decrypt") == 1


def test_kms_client_when_none_is_given_has_the_credentials_of_the_asynchronous_client(
    monkeypatch: pytest.MonkeyPatch, moto_s3: Endpoint, bucket: str, kms: LocalKms, key_arn: str
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_KMS", kms.endpoint_url)
    arguments = {**moto_s3.client_arguments(), "aws_access_key_id": "AKIDOFTHECLIENT"}

    async def main() -> None:
        async with s3envelope.aio.client("s3", kms_key_id=key_arn, **arguments) as s3:
            await s3.put_object(Bucket=bucket, Key="k", Body=BODY)
            assert await read(s3, bucket) == BODY

    run(main())

    assert {call.access_key_id for call in kms.calls} == {"AKIDOFTHECLIENT"}


def test_blocking_view_when_used_on_the_loop_refuses_instead_of_hanging(
    moto_s3: Endpoint, bucket: str, keyring: KmsKeyring
) -> None:
    async def main() -> None:
        async with s3envelope.aio.client("s3", keyring=keyring, **moto_s3.client_arguments()) as s3:
            await s3.put_object(Bucket=bucket, Key="k", Body=BODY)
            answer = await s3.get_object(Bucket=bucket, Key="k")
            with pytest.raises(UnsupportedOperationError, match="event loop's own thread"):
                answer["Body"].raw_stream.read(1)

    run(main())


def test_object_of_an_amazon_format_when_written_is_read_back(moto_s3: Endpoint, bucket: str) -> None:
    keyring = S3ecAesKeyring(bytes(range(32)))
    formats = {"write_format": "s3ec-v3", "read_formats": ("s3ec-v3",)}
    content, told = plaintext_of(PART + 70_000), list[int]()

    async def main() -> None:
        arguments = moto_s3.client_arguments()
        async with s3envelope.aio.client("s3", s3ec_keyring=keyring, **formats, **arguments) as s3:
            await s3.put_object(Bucket=bucket, Key="k", Body=BODY)
            assert (await s3.describe_envelope(Bucket=bucket, Key="k")).format == "s3ec-v3"
            assert await read(s3, bucket) == BODY
            assert await read(s3, bucket, Range="bytes=5-70000") == BODY[5:70001]
            await s3.upload_fileobj(io.BytesIO(content), bucket, "k", Config=IN_PARTS, Callback=told.append)
            assert (await read(s3, bucket) == content, sum(told)) == (True, len(content))

    run(main())
