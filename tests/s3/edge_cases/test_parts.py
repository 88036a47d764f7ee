"""Multipart uploads at their edges: parts sent twice, other processes, aborts, checksums in the list of parts."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import zlib
from pathlib import Path

import pytest
from boto3.s3.transfer import TransferConfig

from s3envelope.errors import ConfigurationError
from s3envelope.testing.streams import NonSeekableSource
from tests.s3.edge_cases.conftest import ClientWith, Watched
from tests.support.endpoints import Endpoint
from tests.support.enveloped import CANARY, MIB, ClientFactory, plaintext_of
from tests.support.objects import SEALED
from tests.support.uploading import PART, Uploading, pieces, read

NONCE_SIZE = 12

ELSEWHERE = """
import json, sys
import s3envelope
from botocore.exceptions import ClientError
job = json.loads(sys.argv[1])
client = s3envelope.client("s3", keyring=s3envelope.RawAesKeyring(bytes(range(32)), "edge-cases"),
                           state_dir=job["state_dir"], endpoint_url=job["url"], aws_access_key_id="test",
                           aws_secret_access_key="test", region_name="us-east-1")
names = job["names"]
outcome = "done"
try:
    if "abort" in job["what"]:
        client.abort_multipart_upload(**names)
    if "part" in job["what"]:
        etag = client.upload_part(**names, PartNumber=2, Body=b"tail")["ETag"]
        job["parts"].append({"PartNumber": 2, "ETag": etag})
    if "complete" in job["what"]:
        client.complete_multipart_upload(**names, MultipartUpload={"Parts": job["parts"]})
except (ClientError, s3envelope.errors.S3EnvelopeError) as error:
    outcome = type(error).__name__
print(outcome)
"""


def _nonces(sealed_part: bytes) -> list[bytes]:
    return [sealed_part[start : start + NONCE_SIZE] for start in range(0, len(sealed_part), SEALED)]


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(a ^ b for a, b in zip(one, other, strict=False))


def test_part_number_uploaded_twice_with_other_data_uses_no_nonce_twice_and_the_last_one_wins(
    watched: Watched, sealed: ClientFactory
) -> None:
    endpoint, proxy, bucket = watched
    first, tail, _, second = pieces(PART, 70_000, 1, PART)
    upload = Uploading(sealed(endpoint), bucket)
    proxy.clear()

    for number, body in ((1, first), (1, second), (2, tail), (2, tail), (1, first), (1, second)):
        upload.part(number, body)
    upload.complete()

    sent = [request.body or b"" for request in proxy.requests if "partNumber=" in request.query]
    # The last of them is made by `complete`: the same ciphertext of the tail, and the index behind it.
    nonces = [nonce for body in sent[:6] for nonce in _nonces(body)]
    assert len(nonces) == len(set(nonces)) > 4 * PART // SEALED
    assert len(sent) == 7
    assert sent[6].startswith(sent[3])
    assert sent[6][len(sent[3]) :][:NONCE_SIZE] not in nonces
    # With one key and one nonce, ciphertexts would differ as plaintexts do.
    assert _xor(sent[0][NONCE_SIZE:1000], sent[1][NONCE_SIZE:1000]) != _xor(first, second)[: 1000 - NONCE_SIZE]
    assert sent[2] != sent[3]
    assert read(upload.client, bucket) == second + tail
    assert proxy.leaks == []


def _elsewhere(endpoint: Endpoint, upload: Uploading, state_dir: Path | None, *what: str) -> str:
    """Do something with the upload in a process that knows its id only; return "done" or the class of the error."""
    parts = [{"PartNumber": number, "ETag": part["ETag"]} for number, part in upload.parts.items()]
    job = {"what": what, "names": upload.names, "parts": parts, "url": endpoint.url}
    job["state_dir"] = None if state_dir is None else str(state_dir)
    done = subprocess.run(
        [sys.executable, "-c", ELSEWHERE, json.dumps(job)], capture_output=True, text=True, check=True, timeout=60
    )
    return done.stdout.strip()


@pytest.mark.parametrize("what", [("part",), ("complete",), ("part", "complete")], ids="+".join)
@pytest.mark.parametrize("has_state", [True, False])
def test_part_and_complete_in_another_process_are_right_with_the_state_and_fail_closed_without(
    watched: Watched,
    client_with: ClientWith,
    tmp_path: Path,
    what: tuple[str, ...],
    has_state: bool,
) -> None:
    endpoint, proxy, bucket = watched
    state_dir = tmp_path if has_state else None
    upload = Uploading(client_with(state_dir), bucket)
    upload.part(1, plaintext_of(PART))
    proxy.clear()

    outcome = _elsewhere(endpoint, upload, state_dir, *what)

    if not has_state:
        assert outcome == "UnsupportedOperationError"
        # S3 is asked whether it knows the upload, and sent nothing.
        assert {request.method for request in proxy.requests} == {"GET"}
        upload.complete()
        assert read(upload.client, bucket) == plaintext_of(PART)
        return
    assert outcome == "done"
    if "complete" in what:
        assert read(upload.client, bucket) == plaintext_of(PART) + (b"tail" if "part" in what else b"")
    assert proxy.leaks == []


def test_abort_after_a_restart_removes_the_state_and_the_upload_is_gone_for_everybody(
    watched: Watched,
    client_with: ClientWith,
    moto_s3: Endpoint,
    tmp_path: Path,
) -> None:
    endpoint, proxy, bucket = watched
    upload = Uploading(client_with(tmp_path), bucket)
    upload.part(1, b"secret tail")
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()]

    outcome = _elsewhere(endpoint, upload, tmp_path, "abort")

    assert outcome == "done"
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]
    assert "Uploads" not in moto_s3.client().list_multipart_uploads(Bucket=bucket)
    proxy.clear()
    client = client_with(tmp_path)
    with pytest.raises(client.exceptions.NoSuchUpload):
        client.upload_part(**upload.names, PartNumber=2, Body=CANARY)
    assert [request.method for request in proxy.requests] == ["GET"]


def test_complete_in_a_restarted_process_removes_the_state(
    watched: Watched, client_with: ClientWith, tmp_path: Path
) -> None:
    endpoint, proxy, bucket = watched
    upload = Uploading(client_with(tmp_path), bucket)
    upload.part(1, plaintext_of(PART))

    outcome = _elsewhere(endpoint, upload, tmp_path, "part", "complete")

    assert outcome == "done"
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]
    assert read(client_with(None), bucket) == plaintext_of(PART) + b"tail"
    assert proxy.leaks == []


def test_upload_file_with_a_full_object_checksum_lists_checksums_of_the_ciphertext_of_its_parts(
    watched: Watched, sealed: ClientFactory, tmp_path: Path
) -> None:
    endpoint, proxy, bucket = watched
    plaintext, path = plaintext_of(2 * PART + 17), tmp_path / "file"
    path.write_bytes(plaintext)
    given = base64.b64encode(zlib.crc32(plaintext).to_bytes(4, "big")).decode()

    sealed(endpoint).upload_file(
        str(path),
        bucket,
        "k",
        ExtraArgs={"ChecksumCRC32": given, "ChecksumType": "FULL_OBJECT"},
        Config=TransferConfig(multipart_chunksize=PART, multipart_threshold=PART),
    )

    sent = {
        int(re.findall(r"partNumber=(\d+)", request.query)[0]): request.body or b""
        for request in proxy.requests
        if "partNumber=" in request.query
    }
    (completed,) = [body.decode() for request in proxy.requests if b"<Part>" in (body := request.body or b"")]
    listed = re.findall(r"<ChecksumCRC32>([^<]+)</ChecksumCRC32>", completed)
    assert listed == [base64.b64encode(zlib.crc32(sent[number]).to_bytes(4, "big")).decode() for number in sorted(sent)]
    assert len(listed) == 3
    assert given not in repr([(request.headers, request.target) for request in proxy.requests]) + completed
    assert read(sealed(endpoint), bucket) == plaintext


@pytest.mark.parametrize("declared", [0, 69_999, 70_001])
@pytest.mark.parametrize("seekable", [True, False])
def test_content_length_of_a_part_when_wrong_is_refused_without_a_request(
    watched: Watched, sealed: ClientFactory, declared: int, seekable: bool
) -> None:
    endpoint, proxy, bucket = watched
    upload = Uploading(sealed(endpoint), bucket)
    plaintext = plaintext_of(70_000)
    proxy.clear()

    with pytest.raises(ConfigurationError, match="ContentLength"):
        upload.part(1, plaintext if seekable else NonSeekableSource(plaintext), ContentLength=declared)

    assert proxy.requests == []
    upload.part(1, plaintext, ContentLength=70_000)
    upload.complete()
    assert read(upload.client, bucket) == plaintext


def test_part_whose_stream_fails_is_not_stored_and_can_be_sent_again(watched: Watched, sealed: ClientFactory) -> None:
    class Failing(NonSeekableSource):
        def read(self, size: int | None = -1) -> bytes:
            if not (piece := super().read(size)):
                raise OSError("the stream ended early")
            return piece

    endpoint, _, bucket = watched
    upload = Uploading(sealed(endpoint), bucket)

    with pytest.raises(OSError, match="ended early"):
        upload.part(1, Failing(plaintext_of(MIB)))

    assert "Parts" not in upload.client.list_parts(**upload.names)
    upload.part(1, NonSeekableSource(plaintext_of(MIB)))
    upload.complete()
    assert read(upload.client, bucket) == plaintext_of(MIB)
