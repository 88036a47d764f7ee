"""What an object keeps when it gets a new envelope, and what happens when somebody overwrites it meanwhile."""

from __future__ import annotations

import datetime
import threading
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest

from s3envelope import MultiKeyring, errors
from s3envelope.s3 import copy_over as rewriting
from s3envelope.testing.s3_proxy import Forwarded, RecordedRequest, matching, set_header
from tests.support.rewrapping import SMALL, Scene
from tests.support.uploading import read

ROUNDS = 100


def test_properties_when_the_object_has_them_are_kept(moto_scene: Scene) -> None:
    names = {"Bucket": moto_scene.bucket, "Key": "k"}
    moto_scene.put(
        StorageClass="STANDARD_IA",
        ServerSideEncryption="aws:kms",
        SSEKMSKeyId="alias/storage",
        WebsiteRedirectLocation="/elsewhere",
        Tagging="a=b&c=d",
        ChecksumAlgorithm="SHA256",
    )
    moto_scene.plain.put_object_acl(**names, ACL="public-read")
    before = moto_scene.plain.head_object(**names, ChecksumMode="ENABLED")
    acl = moto_scene.plain.get_object_acl(**names)["Grants"]

    moto_scene.rewrap(to=moto_scene.second, copy_acl=True)

    after = moto_scene.plain.head_object(**names, ChecksumMode="ENABLED")
    for name in ("StorageClass", "ServerSideEncryption", "SSEKMSKeyId", "WebsiteRedirectLocation", "ChecksumSHA256"):
        assert after.get(name) == before.get(name) != None  # noqa: E711  # they must have been there
    assert moto_scene.plain.get_object_tagging(**names)["TagSet"] == [
        {"Key": "a", "Value": "b"},
        {"Key": "c", "Value": "d"},
    ]
    assert moto_scene.plain.get_object_acl(**names)["Grants"] == acl


@pytest.mark.parametrize("in_parts", [False, True])
def test_tags_when_the_object_has_them_are_kept(
    seaweedfs_scene: Scene, monkeypatch: pytest.MonkeyPatch, in_parts: bool
) -> None:
    if in_parts:
        monkeypatch.setattr(rewriting, "MAX_PUT_SIZE", 1)
    names = {"Bucket": seaweedfs_scene.bucket, "Key": "k"}
    seaweedfs_scene.put(Tagging="a=b%20c")

    seaweedfs_scene.rewrap(to=seaweedfs_scene.second)

    assert seaweedfs_scene.plain.get_object_tagging(**names)["TagSet"] == [{"Key": "a", "Value": "b c"}]


def test_object_lock_when_asked_for_goes_with_the_new_envelope(seaweedfs_scene: Scene) -> None:
    scene = seaweedfs_scene
    bucket = f"{scene.bucket}-lock"
    scene.plain.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
    until = datetime.datetime(2099, 1, 1, tzinfo=datetime.timezone.utc)
    locked: Any = {"ObjectLockMode": "GOVERNANCE", "ObjectLockRetainUntilDate": until}
    scene.client.put_object(Bucket=bucket, Key="k", Body=SMALL, ObjectLockLegalHoldStatus="ON", **locked)
    sent = []
    for kept in (True, False):
        scene.forget()
        scene.client.rewrap_object(Bucket=bucket, Key="k", copy_object_lock=kept)
        (copied,) = [request for request in scene.proxy.requests if request.method == "PUT"]
        sent.append({name for name, _ in copied.headers if name.startswith("x-amz-object-lock")})

    assert scene.plain.head_object(Bucket=bucket, Key="k")["ObjectLockRetainUntilDate"] == until
    lock = {"mode", "retain-until-date", "legal-hold"}
    # SeaweedFS copies a lock anyway; S3 only if it is told to.
    assert sent == [{f"x-amz-object-lock-{name}" for name in lock}, set()]


def test_versions_when_an_old_one_is_named_are_refused_and_stay_as_they_are(moto_scene: Scene) -> None:
    moto_scene.plain.put_bucket_versioning(Bucket=moto_scene.bucket, VersioningConfiguration={"Status": "Enabled"})
    moto_scene.put(body=b"old")
    old = moto_scene.plain.head_object(Bucket=moto_scene.bucket, Key="k")["VersionId"]
    moto_scene.put(body=b"current")
    current = moto_scene.plain.head_object(Bucket=moto_scene.bucket, Key="k")["VersionId"]

    with pytest.raises(errors.UnsupportedOperationError, match="not the current one"):
        moto_scene.rewrap(VersionId=old)
    described = moto_scene.rewrap(VersionId=current, to=moto_scene.second)

    assert described.version_id not in (old, current)
    reader = moto_scene.with_keyring(moto_scene.second)
    assert read(reader, moto_scene.bucket) == b"current"
    assert read(moto_scene.client, moto_scene.bucket, VersionId=current) == b"current"
    assert read(moto_scene.client, moto_scene.bucket, VersionId=old) == b"old"


@pytest.mark.parametrize("in_parts", [False, True])
def test_object_when_it_is_overwritten_meanwhile_stays_the_newer_one(
    seaweedfs_scene: Scene,
    monkeypatch: pytest.MonkeyPatch,
    in_parts: bool,
) -> None:
    if in_parts:
        monkeypatch.setattr(rewriting, "MAX_PUT_SIZE", 1)
    scene = seaweedfs_scene
    scene.put()
    other = scene.with_keyring(scene.client._s3envelope.keyring)
    operation = "CreateMultipartUpload" if in_parts else "CopyObject"

    def overwrite(**_: object) -> None:
        other.put_object(Bucket=scene.bucket, Key="k", Body=b"newer")

    scene.client.meta.events.register(f"before-call.s3.{operation}", overwrite)

    with pytest.raises(errors.ObjectChangedError, match="the newer object stays"):
        scene.rewrap(to=scene.second)

    assert read(other, scene.bucket) == b"newer"
    assert "Uploads" not in scene.plain.list_multipart_uploads(Bucket=scene.bucket)


@pytest.mark.parametrize("body", [b"", b"x", SMALL])
@pytest.mark.parametrize("edk_only", [False, True])
def test_body_when_the_storage_lets_another_writer_in_is_found_out(
    moto_scene: Scene, body: bytes, edk_only: bool
) -> None:
    scene = moto_scene
    scene.put(body=SMALL)
    other = scene.with_keyring(scene.client._s3envelope.keyring)
    other.put_object(Bucket=scene.bucket, Key="other", Body=body)
    newer = scene.stored("other")[0]

    def overwrite(**_: object) -> None:
        # As where the copy is made of what is there in the end, whatever its conditions were checked against.
        scene.plain.put_object(Bucket=scene.bucket, Key="k", Body=newer)

    scene.client.meta.events.register("before-call.s3.CopyObject", overwrite)

    with pytest.raises(errors.RotationError, match="another writer replaced the body"):
        scene.rewrap(to=scene.second, edk_only=edk_only)


@pytest.mark.parametrize("body", [b"", b"x", SMALL])
def test_body_when_only_its_etag_is_another_is_read_and_found_the_same(moto_scene: Scene, body: bytes) -> None:
    moto_scene.put(body=body)

    def has_been_copied(request: RecordedRequest) -> bool:
        copied = any(one.header("x-amz-copy-source") for one in moto_scene.proxy.requests)
        return request.method in ("HEAD", "GET") and copied

    moto_scene.proxy.on_request(matching(method="GET"), _without_condition)
    moto_scene.proxy.on_response(has_been_copied, set_header("ETag", f'"{"0a" * 16}"'))

    moto_scene.rewrap(to=moto_scene.second)

    assert [request.method for request in moto_scene.proxy.requests][:4] == ["HEAD", "PUT", "HEAD", "GET"]


def _without_condition(sent: Forwarded) -> Forwarded:
    return replace(sent, headers=tuple((name, value) for name, value in sent.headers if name.lower() != "if-match"))


def test_object_when_rewrapped_and_overwritten_at_once_is_always_one_of_what_was_written(
    seaweedfs_scene: Scene,
) -> None:
    seaweedfs_scene.proxy.let_writes_take_turns()
    both = _reader_of_both(seaweedfs_scene)

    for number in range(ROUNDS):
        _overwrite_while_rewrapping(seaweedfs_scene, both, number)


def test_object_when_the_storage_checks_conditions_too_early_is_one_of_what_was_written_or_it_is_told(
    seaweedfs_scene: Scene,
) -> None:
    told, both = 0, _reader_of_both(seaweedfs_scene)
    for number in range(ROUNDS // 4):
        # SeaweedFS checks conditions and writes in two steps: now and then the two writers meet in between.
        try:
            _overwrite_while_rewrapping(seaweedfs_scene, both, number)
        except errors.RotationError:
            told += 1
    assert told < ROUNDS // 4


def _reader_of_both(scene: Scene) -> Any:
    return scene.with_keyring(MultiKeyring(scene.client._s3envelope.keyring, scene.second))


def _overwrite_while_rewrapping(scene: Scene, both: Any, number: int) -> None:
    """Do both at once, and see that one of the two contents is there in the end."""
    scene.put(body=b"old %d" % number)
    start = threading.Barrier(2)

    def overwrite() -> None:
        start.wait()
        both.put_object(Bucket=scene.bucket, Key="k", Body=b"new %d" % number)

    thread = threading.Thread(target=overwrite)
    thread.start()
    start.wait()
    try:
        with suppress(errors.ObjectChangedError):
            scene.rewrap(to=scene.second)
    finally:
        thread.join()

    assert read(both, scene.bucket) in (b"old %d" % number, b"new %d" % number)
