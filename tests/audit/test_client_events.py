"""What a client leaves in its log: which records, in which order, of which object, and with which requests."""

from __future__ import annotations

import base64
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from s3envelope import AuditTrail, KmsKeyring, MultiKeyring
from s3envelope.audit.names import NameHasher
from s3envelope.cli.app import run
from s3envelope.core.context import EncryptionContext
from s3envelope.core.envelope import Envelope
from s3envelope.errors import (
    SegmentAuthenticationError,
    UnsupportedOperationError,
)
from s3envelope.testing.s3_proxy import flip_byte, matching
from tests.support.audited import CONTEXT_VALUE, Audited
from tests.support.enveloped import CANARY, enveloped_client


def _data_keys(audited: Audited, client: Any) -> list[bytes]:
    head = client._s3envelope.inner("HeadObject", {"Bucket": audited.bucket, "Key": "k"})
    envelope = Envelope.parse(head["Metadata"])
    keyring = KmsKeyring(audited.key_arn, audited.kms.client())
    return [bytes(key.view()) for _, key in keyring.decrypt_data_keys(envelope.encrypted_data_keys, envelope.context)]


def test_calls_when_made_leave_exactly_these_records(audited: Audited) -> None:
    client, place = audited.client(), {"Bucket": audited.bucket, "Key": "k"}
    begin, configured = audited.new()
    assert (begin["operation"], configured["operation"]) == ("log-begin", "configure")
    assert configured["key_arns"] == [audited.key_arn]
    assert ["write_format", "se1"] in configured["details"]

    written = client.put_object(**place, Body=CANARY)
    made, begun, sealed = audited.new()
    secrets = [CANARY, CONTEXT_VALUE.encode(), *_data_keys(audited, client)]
    audited.kms.clear_calls()
    audited.answered.clear()
    assert client.get_object(**place)["Body"].read() == CANARY
    decrypted, opened = audited.new()
    with pytest.raises(UnsupportedOperationError):
        client.get_object_torrent(**place)
    (refused,) = audited.new()
    audited.proxy.on_response(matching(method="GET"), flip_byte(20), times=1)
    body = client.get_object(**place)["Body"]
    with pytest.raises(SegmentAuthenticationError):
        body.read()
    with pytest.raises(SegmentAuthenticationError):
        body.read()
    _, _, failed = audited.new()
    client.rewrap_object(**place)
    again, generated, rewrapping, rewrapped = audited.new()
    gone = client.delete_object(**place)
    deleting, deleted = audited.new()
    client.close()

    names = [(record["operation"], record["outcome"]) for record in (made, begun, sealed, decrypted, opened)]
    assert names == [
        ("generate", "success"),
        ("seal", "begun"),
        ("seal", "success"),
        ("decrypt", "success"),
        ("open", "success"),
    ]
    assert sealed["version_id"] == opened["version_id"] == failed["version_id"] == written["VersionId"]
    assert sealed["s3_request_ids"] == [written["ResponseMetadata"]["RequestId"]]
    assert begun["commitment"] == sealed["commitment"] == opened["commitment"] == rewrapped["commitment"]
    assert opened["format"] == sealed["format"] == "se1"
    assert (refused["operation"], refused["outcome"], refused["error"]) == (
        "refuse",
        "refused",
        "UnsupportedOperationError",
    )
    assert (failed["operation"], failed["outcome"], failed["error"]) == (
        "authenticate",
        "failed",
        "SegmentAuthenticationError",
    )
    assert [again["operation"], generated["operation"]] == ["decrypt", "generate"]
    assert [rewrapping["outcome"], rewrapped["outcome"]] == ["begun", "success"]
    assert [deleting["outcome"], deleted["outcome"], deleted["version_id"]] == ["begun", "success", gone["VersionId"]]
    assert deleted["s3_request_ids"] == [gone["ResponseMetadata"]["RequestId"]]
    every = [made, begun, sealed, decrypted, opened, refused, failed, again, generated, rewrapping, rewrapped, deleted]
    assert {(record["bucket"], record["key"]) for record in every} == {(audited.bucket, "k")}
    assert all(record["key_arns"] == [audited.key_arn] for record in (made, decrypted, again, generated))
    assert all("duration_us" in record for record in (made, sealed, decrypted, rewrapped, deleted))
    _check_secrets(audited.path.read_bytes(), secrets)


def _check_secrets(log: bytes, secrets: list[bytes]) -> None:
    for secret in secrets:
        for shown in (secret, secret.hex().encode(), base64.b64encode(secret).rstrip(b"=")):
            assert shown not in log


def _export(audited: Audited, request_ids: list[tuple[str, str]]) -> str:
    items = [
        {"eventSource": "kms.amazonaws.com", "eventName": call.operation, "requestID": call.request_id}
        for call in audited.kms.calls
    ]
    items += [
        {"eventSource": "s3.amazonaws.com", "eventName": name, "requestID": request_id}
        for name, request_id in request_ids
    ]
    path = audited.folder / "export.json"
    path.write_text(json.dumps({"Records": items}))
    return str(path)


def test_log_when_joined_with_cloudtrail_has_every_use_of_a_key_and_of_an_object(
    audited: Audited, capsys: pytest.CaptureFixture[str]
) -> None:
    client, bucket = audited.client(), audited.bucket
    client.put_object(Bucket=bucket, Key="k", Body=CANARY)
    names = {"Bucket": bucket, "Key": "large"}
    upload = client.create_multipart_upload(**names)["UploadId"]
    part = client.upload_part(**names, UploadId=upload, PartNumber=1, Body=bytes(5 << 20))
    listed = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    client.complete_multipart_upload(**names, UploadId=upload, MultipartUpload=listed)
    assert client.get_object(**names, Range="bytes=1-2")["Body"].read() == bytes(2)
    assert client.head_object(**names)["ContentLength"] == 5 << 20
    client.copy_object(**{**names, "Key": "copy"}, CopySource=names)
    client.copy(names, bucket, "managed copy")
    client.delete_objects(Bucket=bucket, Delete={"Objects": [{"Key": "k"}, {"Key": "large"}]})
    client.close()
    requests = list(zip(audited.proxy.take_requests(), audited.answered, strict=True))
    # A HEAD uses no key by itself.
    s3_ids = [("PutObject", request_id) for request, request_id in requests if request.method != "HEAD"]

    assert len(audited.kms.calls) >= 8
    assert run(["audit", "join", str(audited.path), "--cloudtrail", _export(audited, s3_ids), "--json"]) == 0
    joined = json.loads(capsys.readouterr().out)
    assert (joined["only_theirs"], joined["without_id"]) == ([], 0)
    assert joined["matched"] == len(s3_ids) + len(audited.kms.calls)
    wanted = ["audit", "report", str(audited.path), "--format", "json", "--operation", "seal", "--outcome", "success"]
    assert run([*wanted, "--object", f"s3://{bucket}/k"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (shown["object"], shown["s3_requests"]) == (f"s3://{bucket}/k", audited.answered[0])
    assert run(["audit", "report", str(audited.path), "--by", "operation", "--format", "json"]) == 0
    rows = {row["name"]: row for row in map(json.loads, capsys.readouterr().out.splitlines())}
    assert (rows["delete"]["begun"], rows["delete"]["success"]) == (2, 2)
    assert rows["seal"]["begun"] == rows["seal"]["success"] == 4


def test_upload_when_in_parts_is_one_commitment(audited: Audited) -> None:
    client, names = audited.client(), {"Bucket": audited.bucket, "Key": "large"}
    audited.new()
    for extra in ({}, {"PartSize": 5 << 20}):
        upload = client.create_multipart_upload(**names, **extra)["UploadId"]
        part = client.upload_part(**names, UploadId=upload, PartNumber=1, Body=b"x")
        listed = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
        done = client.complete_multipart_upload(**names, UploadId=upload, MultipartUpload=listed)

        records = audited.new()

        assert [record["operation"] for record in records] == ["generate", *["seal"] * 6]
        assert len({record["commitment"] for record in records[1:]}) == 1
        assert ["part", "1"] in records[3]["details"]
        assert records[-1]["version_id"] == done["VersionId"]
    client.close()


def test_data_key_when_wrapped_by_several_keys_is_a_record_for_each(audited: Audited) -> None:
    arns = [audited.key_arn, audited.kms.create_key()]
    keyring = MultiKeyring(*(KmsKeyring(arn, audited.kms.client()) for arn in arns))
    client: Any = enveloped_client(
        audited.endpoint, keyring, envelope={"audit": AuditTrail(audited.sink), "cache": None}
    )
    client.put_object(Bucket=audited.bucket, Key="k", Body=CANARY)
    client.close()

    made, wrapped = audited.new()[2:4]

    assert [(record["operation"], record["key_arns"]) for record in (made, wrapped)] == [
        ("generate", arns[:1]),
        ("wrap", arns[1:]),
    ]
    ids = [*made["kms_request_ids"], *wrapped["kms_request_ids"]]
    assert ids == [call.request_id for call in audited.kms.calls]


def test_envelope_when_replaced_inside_kms_is_told_with_the_requests(audited: Audited) -> None:
    client = audited.client()
    client.put_object(Bucket=audited.bucket, Key="k", Body=CANARY)
    audited.new()
    audited.kms.clear_calls()
    new = audited.kms.create_key()

    client.rewrap_object(Bucket=audited.bucket, Key="k", to=KmsKeyring(new, audited.kms.client()), edk_only=True)

    client.close()
    moved, begun, done = audited.new()
    (call,) = (call for call in audited.kms.calls if call.operation == "ReEncrypt")
    assert (moved["operation"], moved["key_arns"], moved["kms_request_ids"]) == (
        "reencrypt",
        [new],
        [call.request_id],
    )
    assert (begun["operation"], begun["outcome"], done["outcome"]) == ("rewrap", "begun", "success")
    hints = dict(done["details"])
    assert hints["old_key_hints"] != hints["new_key_hints"]


def test_call_when_s3_fails_it_is_told(audited: Audited) -> None:
    client = audited.client()
    audited.new()

    with pytest.raises(ClientError):
        client.put_object(Bucket="no-such-bucket-canary", Key="k", Body=b"x")
    with pytest.raises(ClientError):
        client.delete_object(Bucket="no-such-bucket-canary", Key="k")

    client.close()
    assert audited.new_names() == [
        ("generate", "success"),
        ("seal", "begun"),
        ("seal", "failed"),
        ("delete", "begun"),
        ("delete", "failed"),
    ]


def test_names_when_hidden_are_in_no_record(audited: Audited) -> None:
    hasher = NameHasher.from_file(audited.folder / "names.key")
    client = audited.client(audit=AuditTrail(audited.sink, redact_names=True, name_hasher=hasher))
    place = {"Bucket": audited.bucket, "Key": "invoice-canary"}
    client.put_object(**place, Body=CANARY)
    client.get_object(**place)["Body"].read()
    client.copy_object(Bucket=audited.bucket, Key="invoice-canary-2", CopySource=place)
    client.rewrap_object(**place)
    with pytest.raises(UnsupportedOperationError):
        client.get_object_torrent(**place)
    client.delete_objects(Bucket=audited.bucket, Delete={"Objects": [{"Key": place["Key"]}]})
    client.close()

    assert b"invoice" not in audited.path.read_bytes()
    hashed = {record.get("key_hash") for record in audited.new()[2:]}
    assert hashed == {hasher.hash(audited.bucket, key) for key in ("invoice-canary", "invoice-canary-2")}


def test_log_when_sixteen_threads_use_one_client_is_whole(audited: Audited) -> None:
    client, barrier = audited.client(), threading.Barrier(16)

    def use(number: int) -> None:
        barrier.wait()
        place = {"Bucket": audited.bucket, "Key": f"k-{number}"}
        for _ in range(2):
            client.put_object(**place, Body=CANARY)
            assert client.get_object(**place)["Body"].read() == CANARY

    with ThreadPoolExecutor(16) as executor:
        list(executor.map(use, range(16)))
    client.close()

    records = audited.new()[2:]
    assert len(records) == 16 * 2 * 5
    for number in range(16):
        mine = [record["operation"] for record in records if record["key"] == f"k-{number}"]
        assert mine == ["generate", "seal", "seal", "decrypt", "open"] * 2


def test_context_when_recorded_is_names_only_unless_its_values_are_allowed(audited: Audited) -> None:
    trail = AuditTrail(audited.sink, context_values=["purpose"])
    client = audited.client(audit=trail, encryption_context=EncryptionContext({"purpose": "p", "tenant": "t"}))
    client.put_object(Bucket=audited.bucket, Key="k", Body=b"x")
    client.close()

    for record in audited.new()[2:]:
        assert record["context_names"] == ["purpose", "tenant"]
        assert record["context_values"] == [["purpose", "p"]]
