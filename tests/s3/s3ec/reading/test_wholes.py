"""Ranges of one object share one verified whole: requests, calls of the key service, threads, changes, lifetimes."""

import gc
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from botocore.exceptions import ClientError

from s3envelope.errors import S3ecDecryptionError
from tests.support.enveloped import plaintext_of
from tests.support.s3ec_objects import v3_object
from tests.support.s3ec_reading import BOTH, IN_A_FILE, KEY, WITH_SE1, S3ecScene, watched_files

SIZE = 300_000


@pytest.mark.parametrize("formats", [BOTH, WITH_SE1], ids=["alone", "with-se1"])
def test_ranges_when_read_one_after_another_then_the_object_is_fetched_and_opened_once(
    s3ec: S3ecScene, formats: tuple[str, ...]
) -> None:
    s3ec.put(v3_object(plaintext_of(SIZE), s3ec.wrap))
    client = s3ec.client(*formats)
    s3ec.forget()

    pieces = [s3ec.get(client, f"{start}-{start + 9}") for start in (0, 70_000, 5, SIZE - 10)]

    assert pieces == [plaintext_of(SIZE)[start : start + 10] for start in (0, 70_000, 5, SIZE - 10)]
    assert s3ec.kms_calls() == ["Decrypt"]
    requests = s3ec.requests()
    assert requests.count("GET") == 1
    assert requests[-3:] == ["GET bytes=0-0"] * 3
    assert len(requests) == 5


def test_ranges_when_read_by_many_threads_then_one_of_them_fetches(s3ec: S3ecScene) -> None:
    s3ec.put(v3_object(plaintext_of(SIZE), s3ec.wrap))
    client = s3ec.client(*WITH_SE1, **IN_A_FILE)
    s3ec.forget()

    with ThreadPoolExecutor(8) as pool:
        pieces = list(pool.map(lambda start: s3ec.get(client, f"{start}-{start + 99}"), range(0, SIZE - 100, 10_000)))

    assert pieces == [plaintext_of(SIZE)[start : start + 100] for start in range(0, SIZE - 100, 10_000)]
    assert s3ec.kms_calls() == ["Decrypt"]
    assert s3ec.requests().count("GET") == 1


def test_ranges_when_the_object_does_not_open_then_every_thread_gets_the_error(s3ec: S3ecScene) -> None:
    s3ec.put(v3_object(plaintext_of(SIZE), s3ec.wrap).flipped(7))
    client = s3ec.client()

    def outcome(start: int) -> type[BaseException]:
        with pytest.raises(S3ecDecryptionError) as error:
            s3ec.get(client, f"{start}-{start + 99}")
        return type(error.value)

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(outcome, range(16))) == {S3ecDecryptionError}


def test_ranges_when_the_object_is_replaced_then_the_new_one_is_read_and_an_open_answer_stays(s3ec: S3ecScene) -> None:
    s3ec.put(v3_object(plaintext_of(SIZE), s3ec.wrap))
    client = s3ec.client()
    old = client.get_object(Bucket=s3ec.bucket, Key=KEY, Range="bytes=0-99999")

    s3ec.put(v3_object(b"y" * SIZE, s3ec.wrap))

    assert s3ec.get(client, "5-9") == b"yyyyy"
    assert old["Body"].read() == plaintext_of(100_000)
    with pytest.raises(ClientError, match="PreconditionFailed"):
        client.get_object(Bucket=s3ec.bucket, Key=KEY, Range="bytes=0-9", IfMatch=old["ETag"])


def test_ranges_when_the_object_is_deleted_or_forbidden_then_s3_says_so(s3ec: S3ecScene) -> None:
    s3ec.put(v3_object(plaintext_of(SIZE), s3ec.wrap))
    client = s3ec.client()
    s3ec.get(client, "5-9")

    s3ec.plain.delete_object(Bucket=s3ec.bucket, Key=KEY)

    with pytest.raises(client.exceptions.NoSuchKey):
        s3ec.get(client, "5-9")


@pytest.mark.parametrize("scene_name", ["s3ec", "s3ec_on_disk"])
def test_versions_when_read_by_their_ids_then_each_is_itself(request: pytest.FixtureRequest, scene_name: str) -> None:
    scene: S3ecScene = request.getfixturevalue(scene_name)
    scene.plain.put_bucket_versioning(Bucket=scene.bucket, VersioningConfiguration={"Status": "Enabled"})
    versions = []
    for content in (b"a" * SIZE, b"b" * SIZE):
        scene.put(v3_object(content, scene.wrap))
        versions.append(scene.plain.head_object(Bucket=scene.bucket, Key=KEY)["VersionId"])
    client = scene.client(*WITH_SE1)

    for version, letter in zip(versions * 2, b"abab", strict=True):
        asked: Any = {"Bucket": scene.bucket, "Key": KEY, "VersionId": version}
        assert client.get_object(**asked, Range="bytes=7-9")["Body"].read() == bytes([letter]) * 3
        assert client.get_object(**asked)["Body"].read() == bytes([letter]) * SIZE


def test_whole_when_all_of_it_was_handed_out_then_its_file_is_closed(
    s3ec: S3ecScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = watched_files(monkeypatch)
    s3ec.put(v3_object(plaintext_of(SIZE), s3ec.wrap))
    client = s3ec.client(**IN_A_FILE)

    assert s3ec.get(client, "0-99999") == plaintext_of(100_000)
    assert [file.closed for file in files] == [False]
    assert s3ec.get(client, "100000-") == plaintext_of(SIZE)[100_000:]

    assert [file.closed for file in files] == [True]


def test_whole_when_its_object_is_read_without_a_range_then_its_file_is_closed_at_the_end(
    s3ec: S3ecScene, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = watched_files(monkeypatch)
    s3ec.put(v3_object(plaintext_of(SIZE), s3ec.wrap))
    client = s3ec.client(**IN_A_FILE)

    body = client.get_object(Bucket=s3ec.bucket, Key=KEY)["Body"]
    body.read(SIZE)
    unread = client.get_object(Bucket=s3ec.bucket, Key=KEY)["Body"]
    unread.close()
    client.get_object(Bucket=s3ec.bucket, Key=KEY)
    gc.collect()

    assert [file.closed for file in files] == [True] * 3


def test_client_when_freed_then_nothing_of_its_wholes_is_left(s3ec: S3ecScene, monkeypatch: pytest.MonkeyPatch) -> None:
    files = watched_files(monkeypatch)
    s3ec.put(v3_object(plaintext_of(SIZE), s3ec.wrap))
    client = s3ec.client(**IN_A_FILE)
    s3ec.get(client, "0-9")
    alive = weakref.ref(client)

    s3ec.clients.remove(client)
    client.close()
    del client

    assert alive() is None
    assert [file.closed for file in files] == [True]
