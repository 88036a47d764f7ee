"""`tests/s3/test_retries.py` with asynchronous clients; the command is in `tests/s3/aio/__init__.py`.

A source is read once here, and what was sealed of it is kept for all attempts: it is never compared with itself.
"""

from typing import Any

import pytest

pytest.importorskip("aiobotocore", reason="the extra [async] is not installed")

from aiohttp import ClientPayloadError
from botocore.exceptions import BotoCoreError

from s3envelope.testing.s3_proxy import TruncatedResponse
from s3envelope.testing.streams import ChangingSource, FailingSource
from tests.s3 import test_retries as synchronous
from tests.s3.test_retries import *  # noqa: F403
from tests.s3.test_retries import FAULTS, GET, PUT, SIZE, Proxied
from tests.support.endpoints import Endpoint
from tests.support.enveloped import SEGMENT_SIZE, ClientFactory, NewBucket, keeping_nothing, plaintext_of

# Of sources that are read again. The tests below are in their place.
del test_source_when_changed_between_passes_then_refused_and_its_first_byte_never_sent  # noqa: F821
del test_source_when_changed_between_signing_and_sending_then_refused_once_and_nothing_stored  # noqa: F821
del test_source_when_changed_before_a_retry_then_refused_and_nothing_stored  # noqa: F821
del test_source_when_changed_after_it_was_kept_and_sent_then_the_retry_is_refused_and_nothing_stored  # noqa: F821
del test_source_when_it_shrinks_then_refused_and_nothing_stored  # noqa: F821
del test_file_when_changed_during_a_multipart_upload_then_refused_and_no_upload_is_left  # noqa: F821
# aiohttp forgets what it has received when an answer breaks off, so how much can still be read is not certain.
del test_read_when_answer_breaks_off_then_botocore_s_error_after_verified_bytes_only  # noqa: F821


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_source_when_changed_after_one_pass_then_what_was_sealed_is_sent_again_and_stored(
    proxied: Proxied, new_bucket: NewBucket, moto_s3: Endpoint, sealed: ClientFactory, scheme: str
) -> None:
    proxy, endpoint = proxied(scheme)
    client = keeping_nothing(sealed(endpoint, retries={"mode": "standard", "total_max_attempts": 3}))
    bucket = new_bucket(moto_s3)
    body: Any = ChangingSource(plaintext_of(SIZE), offset=SEGMENT_SIZE + 5)
    proxy.inject(FAULTS["503"], PUT, times=2)

    client.put_object(Bucket=bucket, Key="k", Body=body)

    assert len(proxy.requests) == 3
    assert len(synchronous._digests(proxy.requests)) == 1
    assert client.get_object(Bucket=bucket, Key="k")["Body"].read() == plaintext_of(SIZE)


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_source_when_it_fails_then_its_error_and_nothing_sent(
    proxied: Proxied, new_bucket: NewBucket, moto_s3: Endpoint, sealed: ClientFactory, scheme: str
) -> None:
    proxy, endpoint = proxied(scheme)
    client, bucket = sealed(endpoint), new_bucket(moto_s3)
    body: Any = FailingSource(plaintext_of(SIZE), offset=SIZE - 1, make_error=lambda: OSError("gone"))

    with pytest.raises(OSError, match="gone"):
        client.put_object(Bucket=bucket, Key="k", Body=body)

    assert proxy.requests == []


def test_read_when_answer_breaks_off_then_error_of_botocore_and_aiohttp_and_verified_bytes_only(
    proxied: Proxied, new_bucket: NewBucket, moto_s3: Endpoint, sealed: ClientFactory
) -> None:
    proxy, endpoint = proxied("http")
    client, bucket = sealed(endpoint), new_bucket(moto_s3)
    client.put_object(Bucket=bucket, Key="k", Body=plaintext_of(SIZE))
    proxy.inject(TruncatedResponse(100_000), GET)
    body = client.get_object(Bucket=bucket, Key="k")["Body"]
    pieces: list[bytes] = []

    with pytest.raises(BotoCoreError) as raised:
        pieces.extend(iter(lambda: body.read(1000), b""))
    with pytest.raises(BotoCoreError):
        body.read(1)

    assert isinstance(raised.value, ClientPayloadError)
    assert len(b"".join(pieces)) <= SEGMENT_SIZE
    assert plaintext_of(SIZE).startswith(b"".join(pieces))
