"""Objects written anew in the place of what was there: compared first, conditional, nothing lost, nothing left."""

from __future__ import annotations

import _thread
import io
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from botocore.exceptions import ClientError

from s3envelope import KmsKeyring, errors
from s3envelope.core.hints import key_hint
from s3envelope.rotation import reencrypt, run
from s3envelope.rotation.plan import Goal
from s3envelope.rotation.reencrypt import is_temporary, reencrypt_object, replace_object
from s3envelope.rotation.run import Job, Location, rotate_object
from s3envelope.s3 import copy_over
from s3envelope.s3.replacing import stored_head
from s3envelope.testing.s3_proxy import ErrorAnswer, ResetResponse, flip_byte, matching, set_header
from tests.support.enveloped import MIB, plaintext_of
from tests.support.rewrapping import Scene
from tests.support.uploading import read

SIZES = [0, 1, 65_535, 65_536, 65_537]
PLAIN = plaintext_of(70_000)


@dataclass(frozen=True, slots=True)
class Replacing:
    """A scene with a client that reads what is not encrypted."""

    scene: Scene
    client: Any

    @property
    def names(self) -> dict[str, str]:
        return {"Bucket": self.scene.bucket, "Key": "k"}

    def put_plain(self, body: bytes = PLAIN, **arguments: Any) -> None:
        self.scene.plain.put_object(**self.names, Body=body, **arguments)
        self.scene.forget()

    def replace(self) -> None:
        reencrypt_object(self.client, self.client, self.scene.bucket, "k")

    def keys(self) -> list[str]:
        """Return the keys of all versions in the bucket, temporary ones too."""
        found = self.scene.plain.list_object_versions(Bucket=self.scene.bucket)
        return [entry["Key"] for kind in ("Versions", "DeleteMarkers") for entry in found.get(kind, [])]

    def uploads(self) -> list[Any]:
        return list(self.scene.plain.list_multipart_uploads(Bucket=self.scene.bucket).get("Uploads", []))


def _replacing(scene: Scene) -> Iterator[Replacing]:
    # The caller's plaintext goes to the server in these tests, put there by the plain client, not through the proxy.
    keyring = KmsKeyring(scene.second_arn, scene.kms.client())
    client = scene.with_keyring(keyring, unencrypted="allow")
    yield Replacing(scene, client)
    client.close()


@pytest.fixture
def replacing(seaweedfs_scene: Scene) -> Iterator[Replacing]:
    """Yield a place on a server that obeys the conditions of copies."""
    yield from _replacing(seaweedfs_scene)


@pytest.fixture
def moto_replacing(moto_scene: Scene) -> Iterator[Replacing]:
    """Yield a place on a server that knows classes of storage."""
    yield from _replacing(moto_scene)


@pytest.mark.parametrize("size", SIZES)
def test_object_when_replaced_is_sealed_bound_and_says_the_same(replacing: Replacing, size: int) -> None:
    replacing.put_plain(plaintext_of(size))

    replacing.replace()

    strict = replacing.scene.with_keyring(replacing.scene.second)
    assert read(strict, replacing.scene.bucket) == plaintext_of(size)
    assert strict.describe_envelope(**replacing.names).bound
    assert replacing.keys() == ["k"]


@pytest.mark.parametrize("server", ["replacing", "moto_replacing"])
def test_object_when_replaced_keeps_what_it_had(server: str, request: pytest.FixtureRequest) -> None:
    place: Replacing = request.getfixturevalue(server)
    metadata = {"mine": "kept", "x-amz-other": "mine too"}
    headers: dict[str, Any] = {"ContentType": "text/x", "CacheControl": "no-store", "ContentEncoding": "gzip"}
    place.put_plain(Metadata=metadata, Tagging="a=b&c=d%20e", **headers)

    place.replace()

    head = place.client.head_object(**place.names)
    assert head["Metadata"] == metadata
    assert {name: head[name] for name in headers} == headers
    tags = place.scene.plain.get_object_tagging(**place.names)["TagSet"]
    assert sorted((tag["Key"], tag["Value"]) for tag in tags) == [("a", "b"), ("c", "d e")]


def test_object_when_replaced_keeps_class_redirect_and_encryption_at_rest(moto_replacing: Replacing) -> None:
    place = moto_replacing
    kept: dict[str, Any] = {
        "StorageClass": "STANDARD_IA",
        "WebsiteRedirectLocation": "/elsewhere",
        "ServerSideEncryption": "aws:kms",
        "SSEKMSKeyId": "alias/storage",
    }
    place.put_plain(**kept)

    place.replace()

    head = place.scene.plain.head_object(**place.names)
    assert {name: head.get(name) for name in kept} == kept
    # What is written beside it is read at once, which some classes of storage do not allow.
    written = [request for request in place.scene.proxy.requests if is_temporary(request.path)]
    assert not any(request.header("x-amz-storage-class") for request in written if request.method == "PUT")


def test_object_when_it_is_of_an_amazon_client_loses_the_names_of_its_envelope_only(replacing: Replacing) -> None:
    replacing.put_plain(Metadata={"x-amz-key-v2": "x", "x-amz-iv": "x", "x-amz-tag-len": "128", "mine": "kept"})
    head = stored_head(replacing.client, **replacing.names)

    replace_object(replacing.client, replacing.scene.bucket, "k", head, lambda: io.BytesIO(PLAIN))

    assert replacing.client.head_object(**replacing.names)["Metadata"] == {"mine": "kept"}
    assert read(replacing.client, replacing.scene.bucket) == PLAIN


def test_object_when_replaced_in_a_bucket_with_versions_leaves_the_old_one_and_no_trace_beside_it(
    moto_replacing: Replacing,
) -> None:
    place = moto_replacing
    place.scene.plain.put_bucket_versioning(Bucket=place.scene.bucket, VersioningConfiguration={"Status": "Enabled"})
    place.put_plain()

    place.replace()

    assert place.keys() == ["k", "k"]
    assert read(place.client, place.scene.bucket) == PLAIN


@pytest.mark.parametrize("in_parts", [False, True])
def test_large_object_when_replaced_goes_in_parts_and_in_bounded_memory(
    replacing: Replacing, monkeypatch: pytest.MonkeyPatch, in_parts: bool
) -> None:
    if in_parts:
        monkeypatch.setattr(copy_over, "MAX_PUT_SIZE", 1)
        monkeypatch.setattr(copy_over, "_LEAST_PART", 5 * MIB)
    size = 8 * MIB * 2 + 1
    replacing.put_plain(plaintext_of(size), Tagging="a=b")
    asked: list[int] = []

    class Source(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            asked.append(-1 if size is None else size)
            return super().read(size)

    head = stored_head(replacing.client, **replacing.names)
    replace_object(replacing.client, replacing.scene.bucket, "k", head, lambda: Source(plaintext_of(size)))

    assert read(replacing.client, replacing.scene.bucket) == plaintext_of(size)
    assert max(asked) <= 8 * MIB
    assert min(asked) >= 0
    assert replacing.scene.plain.get_object_tagging(**replacing.names)["TagSet"] == [{"Key": "a", "Value": "b"}]
    assert (replacing.keys(), replacing.uploads()) == (["k"], [])


@pytest.mark.parametrize(
    ("at", "in_parts"), [("HEAD", False), ("GET", False), ("PUT", False), ("COPY", False), ("COPY", True)]
)
def test_object_when_overwritten_at_any_moment_stays_the_newer_one(
    replacing: Replacing, monkeypatch: pytest.MonkeyPatch, at: str, in_parts: bool
) -> None:
    if in_parts:
        monkeypatch.setattr(copy_over, "MAX_PUT_SIZE", 1)
    replacing.put_plain()
    operations = {"HEAD": "GetObjectTagging", "GET": "GetObject", "PUT": "PutObject"}
    operation = operations.get(at, "CreateMultipartUpload" if in_parts else "CopyObject")

    def overwrite(**_: object) -> None:
        replacing.scene.plain.put_object(**replacing.names, Body=b"newer")

    replacing.client.meta.events.register(f"before-call.s3.{operation}", overwrite)

    with pytest.raises(errors.ObjectChangedError):
        replacing.replace()

    assert replacing.scene.stored() == (b"newer", {})
    assert (replacing.keys(), replacing.uploads()) == (["k"], [])


FAILURES = [
    ("upload", "PUT", ""),
    ("head of what was written", "HEAD", "s3envelope-"),
    ("reading back", "GET", "s3envelope-"),
    ("tags", "GET", "tagging"),
]


@pytest.mark.parametrize(("method", "contains"), [case[1:] for case in FAILURES], ids=[case[0] for case in FAILURES])
@pytest.mark.parametrize("fault", [ErrorAnswer(500, "InternalError"), ResetResponse()], ids=["refused", "reset"])
def test_object_when_a_step_fails_stays_as_it_was_and_nothing_is_left_beside_it(
    replacing: Replacing, method: str, contains: str, fault: Any
) -> None:
    replacing.put_plain()
    rule = replacing.scene.proxy.inject(fault, matching(method=method, contains=contains))

    with pytest.raises(Exception, match=r"."):
        replacing.replace()

    assert rule.hit_count == 1
    assert replacing.scene.stored() == (PLAIN, {})
    assert (replacing.keys(), replacing.uploads()) == (["k"], [])
    replacing.replace()
    assert read(replacing.client, replacing.scene.bucket) == PLAIN


def test_object_when_the_answer_to_the_copy_is_lost_is_the_new_one_and_nothing_is_left(replacing: Replacing) -> None:
    replacing.put_plain()
    replacing.scene.proxy.inject(ResetResponse(), lambda request: bool(request.header("x-amz-copy-source")))

    with pytest.raises(Exception, match=r"[Cc]onnection"):
        replacing.replace()

    assert read(replacing.client, replacing.scene.bucket) == PLAIN
    assert replacing.keys() == ["k"]


def test_object_when_what_was_written_reads_otherwise_is_not_replaced(
    replacing: Replacing, monkeypatch: pytest.MonkeyPatch
) -> None:
    replacing.put_plain()
    replacing.scene.proxy.on_response(matching(method="GET", contains="s3envelope-"), flip_byte(1000))

    with pytest.raises(errors.SegmentAuthenticationError):
        replacing.replace()
    replacing.scene.proxy.clear_rules()
    # A library that wrote something else would be noticed as well.
    monkeypatch.setattr(reencrypt, "_read_back", lambda *_: None)
    with pytest.raises(errors.RotationError, match="is not what was read; nothing was replaced"):
        replacing.replace()

    assert replacing.scene.stored() == (PLAIN, {})
    assert replacing.keys() == ["k"]


def test_object_when_the_copy_lost_its_envelope_is_reported(replacing: Replacing) -> None:
    replacing.put_plain()
    path = f"/{replacing.scene.bucket}/k"

    def is_last_look(request: Any) -> bool:
        copied = any(one.header("x-amz-copy-source") for one in replacing.scene.proxy.requests)
        return request.method == "HEAD" and request.path == path and copied

    replacing.scene.proxy.on_response(is_last_look, set_header("x-amz-meta-se1-h", "A" * 124))

    with pytest.raises(errors.ObjectChangedError, match="has not the envelope that was sent"):
        replacing.replace()

    assert replacing.keys() == ["k"]


def test_object_when_the_source_does_not_open_stays_and_nothing_is_left(replacing: Replacing) -> None:
    replacing.put_plain()

    class Failing(io.RawIOBase):
        def read(self, size: int | None = -1, /) -> bytes:
            raise errors.S3ecDecryptionError("it does not open")

    head = stored_head(replacing.client, **replacing.names)
    with pytest.raises(errors.S3ecDecryptionError):
        replace_object(replacing.client, replacing.scene.bucket, "k", head, Failing)

    assert replacing.scene.stored() == (PLAIN, {})
    assert replacing.keys() == ["k"]


@pytest.mark.parametrize("operation", ["PutObject", "GetObject", "CopyObject"])
def test_object_when_the_user_interrupts_stays_and_nothing_is_left(replacing: Replacing, operation: str) -> None:
    replacing.put_plain()
    head = stored_head(replacing.client, **replacing.names)

    def interrupt(**_: object) -> None:
        # Ctrl-C comes to the main thread, wherever the others are.
        if threading.current_thread() is threading.main_thread():
            raise KeyboardInterrupt
        _thread.interrupt_main()

    replacing.client.meta.events.register(f"before-call.s3.{operation}", interrupt)

    with pytest.raises(KeyboardInterrupt):
        replace_object(replacing.client, replacing.scene.bucket, "k", head, lambda: io.BytesIO(PLAIN))

    assert replacing.scene.stored() == (PLAIN, {})
    assert replacing.keys() == ["k"]


def test_temporary_object_when_it_cannot_be_removed_is_named(replacing: Replacing) -> None:
    replacing.put_plain()
    replacing.scene.proxy.inject(ErrorAnswer(403, "AccessDenied"), matching(method="DELETE"), times=None)

    with pytest.raises(errors.RotationError, match=r"k\.s3envelope-[0-9a-f]{32}' could not be removed; delete that"):
        replacing.replace()

    assert read(replacing.client, replacing.scene.bucket) == PLAIN


@pytest.mark.parametrize("key", ["k" * 1024, "é" * 512, "k" * 980, "k" * 981])
def test_name_of_the_temporary_object_when_the_key_is_long_fits(moto_replacing: Replacing, key: str) -> None:
    bucket = moto_replacing.scene.bucket
    moto_replacing.scene.plain.put_object(Bucket=bucket, Key=key, Body=b"x")

    reencrypt_object(moto_replacing.client, moto_replacing.client, bucket, key)

    assert read(moto_replacing.client, bucket, key) == b"x"
    assert moto_replacing.keys() == [key]


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("k.s3envelope-" + "0a" * 16, True),
        ("k.s3envelope-" + "0a" * 15, False),
        ("k.s3envelope-" + "0a" * 16 + "\n", False),
        ("k.s3envelope-" + "0a" * 16 + "b", False),
        ("s3envelope", False),
    ],
)
def test_key_when_it_is_no_temporary_one_is_not_taken_for_one(key: str, expected: bool) -> None:
    assert is_temporary(key) is expected


def test_object_when_it_is_gone_is_reported_as_such(replacing: Replacing) -> None:
    with pytest.raises(ClientError, match="404"):
        replacing.replace()


def test_rotation_when_told_to_writes_objects_of_amazon_clients_anew(
    replacing: Replacing, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, where = replacing, Location(replacing.scene.bucket, "k")
    hint = key_hint(place.scene.second_arn).hex()
    goal = Goal(to_hints=frozenset({hint}), reencrypt=True)
    place.put_plain(Metadata={"x-amz-key-v2": "x", "mine": "kept"})

    def written(reader: Any, writer: Any, bucket: str, key: str) -> None:
        replace_object(writer, bucket, key, stored_head(reader, Bucket=bucket, Key=key), lambda: io.BytesIO(PLAIN))

    monkeypatch.setattr(run, "reencrypt_object", written)

    outcomes = [
        rotate_object(place.client, Job(goal, place.scene.second, dry_run=is_dry, writer=place.client), where)
        for is_dry in (True, False, False)
    ]

    assert [(outcome.result, outcome.plan) for outcome in outcomes] == [
        ("planned", "re-encrypt"),
        ("done", "re-encrypt"),
        ("kept", "keep"),
    ]
    assert outcomes[1].key_hints == (hint,)
    assert read(place.client, place.scene.bucket) == PLAIN


def test_rotation_when_it_meets_a_temporary_object_leaves_it_to_its_run(replacing: Replacing) -> None:
    name = "k.s3envelope-" + "0a" * 16
    replacing.scene.plain.put_object(Bucket=replacing.scene.bucket, Key=name, Body=b"x")
    job = Job(Goal(to_hints=frozenset({"00000000"})), replacing.scene.second)

    outcome = rotate_object(replacing.client, job, Location(replacing.scene.bucket, name))

    assert (outcome.result, outcome.reason.split(";")[0]) == ("kept", "a temporary object of a replacement")
    assert replacing.scene.proxy.requests == []
