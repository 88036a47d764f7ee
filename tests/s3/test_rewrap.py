"""New envelopes for objects whose bodies stay: other keys, contexts and bindings, and everything else kept."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError

from s3envelope import KmsKeyring, MultiKeyring, RawAesKeyring, errors
from s3envelope.core.envelope import Envelope
from s3envelope.s3 import copy_over as rewriting
from tests.support.enveloped import plaintext_of
from tests.support.rewrapping import SMALL, Scene
from tests.support.uploading import PART, Uploading, read

ESCROW = RawAesKeyring(bytes(range(32)), "escrow")


def _headers(scene: Scene) -> dict[str, Any]:
    answer = scene.plain.head_object(Bucket=scene.bucket, Key="k")
    names = ("ContentType", "CacheControl", "ContentLanguage", "ContentEncoding", "ContentDisposition", "Expires")
    return {name: answer.get(name) for name in names}


def test_object_when_rewrapped_opens_with_the_new_key_only_and_its_body_stays(scene: Scene) -> None:
    before = scene.put(Metadata={"mine": "kept"}, ContentType="text/x", CacheControl="no-store", ContentLanguage="de")
    body = scene.stored()[0]
    headers = _headers(scene)
    scene.forget()

    described = scene.rewrap(to=scene.second)

    assert [request.method for request in scene.proxy.requests] == ["HEAD", "PUT", "HEAD"]
    assert scene.kms.count("Decrypt") <= 1
    after_body, after = scene.stored()
    assert after_body == body
    assert {name for name in after if after[name] != before[name]} == {"se1-h", "se1-k"}
    answer = scene.with_keyring(scene.second).get_object(Bucket=scene.bucket, Key="k")
    assert answer["Body"].read() == SMALL
    assert answer["Metadata"] == {"mine": "kept"}
    assert answer["ContentType"] == "text/x"
    assert _headers(scene) == headers
    assert described == scene.client.describe_envelope(Bucket=scene.bucket, Key="k")
    with pytest.raises(errors.NoMatchingKeyError):
        read(scene.client, scene.bucket)


def test_object_when_rewrapped_to_a_key_by_its_name_uses_the_kms_client_of_the_client(scene: Scene) -> None:
    scene.put()

    scene.rewrap(to=scene.second_arn)

    assert read(scene.with_keyring(scene.second), scene.bucket) == SMALL


def test_object_when_rewrapped_to_several_keys_opens_with_each(scene: Scene) -> None:
    scene.put()

    scene.rewrap(to=MultiKeyring(scene.second, ESCROW))

    assert read(scene.with_keyring(scene.second), scene.bucket) == SMALL
    assert read(scene.with_keyring(ESCROW), scene.bucket) == SMALL


def test_objects_when_rewrapped_share_their_data_keys(scene: Scene) -> None:
    for number in range(5):
        scene.put(str(number))
    scene.forget()

    for number in range(5):
        scene.rewrap(str(number), to=scene.second)

    assert (scene.kms.count("Decrypt"), scene.kms.count("GenerateDataKey")) == (1, 1)


@pytest.mark.parametrize("sizes", [(PART, PART), (PART, 9)])
def test_multipart_object_when_rewrapped_opens(scene: Scene, sizes: tuple[int, int]) -> None:
    upload = Uploading(scene.client, scene.bucket)
    for number, size in enumerate(sizes, 1):
        upload.part(number, bytes([number]) * size)
    upload.complete()

    scene.rewrap(to=scene.second)

    assert read(scene.with_keyring(scene.second), scene.bucket) == b"\1" * sizes[0] + b"\2" * sizes[1]


def test_object_when_too_large_for_one_request_is_rewrapped_in_parts(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rewriting, "MAX_PUT_SIZE", 1)
    monkeypatch.setattr(rewriting, "_LEAST_PART", PART)
    large = plaintext_of(2 * PART + 5)
    scene.put(body=large, Metadata={"mine": "kept"}, ContentType="text/x")

    scene.rewrap(to=scene.second)

    sent = [request.method for request in scene.proxy.requests]
    assert sent == ["HEAD", "GET", "POST", *["PUT"] * 3, "POST", "HEAD"]
    answer = scene.with_keyring(scene.second).get_object(Bucket=scene.bucket, Key="k")
    assert (answer["Body"].read(), answer["Metadata"], answer["ContentType"]) == (large, {"mine": "kept"}, "text/x")
    assert "Uploads" not in scene.plain.list_multipart_uploads(Bucket=scene.bucket)


def test_context_when_replaced_is_demanded_from_then_on(scene: Scene) -> None:
    scene.put(EncryptionContext={"tenant": "old"})

    described = scene.rewrap(encryption_context={"tenant": "new"})

    assert described.encryption_context == {"tenant": "new"}
    assert scene.client.get_object(Bucket=scene.bucket, Key="k", EncryptionContext={"tenant": "new"})["Body"].read()
    with pytest.raises(errors.ContextMismatchError):
        scene.client.get_object(Bucket=scene.bucket, Key="k", EncryptionContext={"tenant": "old"})


def test_unbound_object_when_rewrapped_is_bound_only_if_somebody_vouches_for_it(scene: Scene) -> None:
    unbinding = scene.with_keyring(KmsKeyring(scene.client._s3envelope.config.kms_key_id, scene.kms.client()))
    loose = scene.with_keyring(unbinding._s3envelope.keyring, bind_key_name=False)
    loose.put_object(Bucket=scene.bucket, Key="k", Body=SMALL)
    commitment = loose.describe_envelope(Bucket=scene.bucket, Key="k").commitment

    with pytest.raises(errors.NameBindingError):
        scene.rewrap()
    with pytest.raises(errors.KeyCommitmentError):
        scene.rewrap(commitment="00" * 32)
    assert not loose.rewrap_object(Bucket=scene.bucket, Key="k").bound
    with pytest.raises(errors.NameBindingError):
        read(scene.client, scene.bucket)

    assert scene.rewrap(commitment=commitment).bound
    assert read(scene.client, scene.bucket) == SMALL
    loose.put_object(Bucket=scene.bucket, Key="k", Body=SMALL)
    assert scene.rewrap(adopt=True).bound
    assert read(scene.client, scene.bucket) == SMALL


def test_object_when_a_plain_client_copied_it_is_bound_anew_by_its_first_name(scene: Scene) -> None:
    scene.put("first")
    scene.plain.copy_object(Bucket=scene.bucket, Key="k", CopySource={"Bucket": scene.bucket, "Key": "first"})

    with pytest.raises(errors.NameBindingError):
        scene.rewrap()
    with pytest.raises(errors.NameBindingError):
        scene.rewrap(bound_name="another")
    with pytest.raises(errors.UnsupportedOperationError, match="share_key=True"):
        scene.rewrap(bound_name="first", to=scene.second)
    scene.rewrap(bound_name="first")

    assert read(scene.client, scene.bucket) == SMALL
    scene.plain.copy_object(Bucket=scene.bucket, Key="k", CopySource={"Bucket": scene.bucket, "Key": "first"})
    scene.rewrap(bound_name="first", to=scene.second, share_key=True)
    assert read(scene.with_keyring(scene.second), scene.bucket) == SMALL


def test_data_keys_when_reencrypted_never_leave_the_key_service(scene: Scene) -> None:
    before = [scene.put(str(number)) for number in range(5)]
    scene.forget()

    for number in range(5):
        scene.rewrap(str(number), to=scene.second, edk_only=True)

    assert [call.operation for call in scene.kms.calls] == ["ReEncrypt"]
    reader = scene.with_keyring(scene.second)
    for number in range(5):
        assert scene.stored(str(number))[1]["se1-h"] == before[number]["se1-h"]
        assert read(reader, scene.bucket, str(number)) == SMALL


def test_data_key_of_a_stranger_when_reencrypting_is_not_made_ours(scene: Scene) -> None:
    strange = KmsKeyring(scene.kms.create_key(), scene.kms.client())
    scene.with_keyring(strange).put_object(Bucket=scene.bucket, Key="k", Body=SMALL)

    with pytest.raises(errors.ConfigurationError, match="none of the object's encrypted data keys"):
        scene.rewrap(to=scene.second, edk_only=True)
    # With the hint of our key in front of the stranger's data key, it is KMS that refuses.
    hint = Envelope.parse(scene.put("genuine")).encrypted_data_keys[0].hint
    body, metadata = scene.stored()
    envelope = Envelope.parse(metadata)
    keys = tuple(replace(key, hint=hint) for key in envelope.encrypted_data_keys)
    forged = replace(envelope, encrypted_data_keys=keys).to_metadata()["se1-k"]
    scene.plain.put_object(Bucket=scene.bucket, Key="k", Body=body, Metadata={**metadata, "se1-k": forged})
    with pytest.raises(errors.KeyAccessError):
        scene.rewrap(to=scene.second, edk_only=True)

    assert scene.stored()[1]["se1-k"] == forged


def test_data_keys_when_others_are_put_in_front_are_all_reencrypted_so_that_the_right_one_is_not_lost(
    scene: Scene,
) -> None:
    other = scene.with_keyring(KmsKeyring(scene.client._s3envelope.config.kms_key_id, scene.kms.client()))
    other.put_object(Bucket=scene.bucket, Key="other", Body=b"under another data key of the same KMS key")
    (foreign,) = Envelope.parse(scene.stored("other")[1]).encrypted_data_keys
    scene.put()
    body, metadata = scene.stored()
    envelope = Envelope.parse(metadata)
    junk = replace(foreign, ciphertext=bytes(184))
    planted = replace(envelope, encrypted_data_keys=(junk, foreign, *envelope.encrypted_data_keys))
    scene.plain.put_object(Bucket=scene.bucket, Key="k", Body=body, Metadata={**metadata, **planted.to_metadata()})

    scene.rewrap(to=scene.second, edk_only=True)

    assert read(scene.with_keyring(scene.second), scene.bucket) == SMALL


@pytest.mark.parametrize(
    "arguments",
    [
        {"edk_only": True, "encryption_context": {"a": "b"}},
        {"edk_only": True, "adopt": True},
        {"edk_only": True, "bound_name": "x"},
        {"Range": "bytes=0-1"},
    ],
    ids=str,
)
def test_request_when_it_contradicts_itself_is_refused_before_anything_is_sent(
    moto_scene: Scene, arguments: dict[str, Any]
) -> None:
    moto_scene.put()

    with pytest.raises(errors.ConfigurationError):
        moto_scene.rewrap(**arguments)

    assert moto_scene.proxy.requests == []


def test_object_when_it_is_missing_or_plain_is_told_apart(scene: Scene) -> None:
    scene.plain.put_object(Bucket=scene.bucket, Key="plain", Body=b"x")

    with pytest.raises(ClientError):
        scene.rewrap("none")
    with pytest.raises(errors.NotEncryptedError):
        scene.rewrap("plain")


@pytest.mark.parametrize("how", ["cannot make a key", "cannot open"])
def test_object_when_a_key_is_refused_keeps_its_envelope(scene: Scene, how: str) -> None:
    before = scene.put()
    # A client that has not seen the object's data key.
    client = scene.with_keyring(KmsKeyring(scene.client._s3envelope.config.kms_key_id, scene.kms.client()))
    operation = "GenerateDataKey" if how == "cannot make a key" else "Decrypt"
    scene.kms.faults.fail(operation, "AccessDeniedException", 1, status=400)

    with pytest.raises(errors.KeyAccessError):
        client.rewrap_object(Bucket=scene.bucket, Key="k", to=scene.second)

    assert scene.stored()[1] == before
    assert "PUT" not in [request.method for request in scene.proxy.requests]
