"""Files that are read: ranges, one version, few requests, one call of KMS."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

from s3envelope.errors import NotEncryptedError, ObjectChangedError, SegmentAuthenticationError
from s3envelope.testing import LocalKms
from tests.conftest import ProxyFactory
from tests.fs.conftest import MakeFileSystem
from tests.support.endpoints import Endpoint
from tests.support.enveloped import KIB, MIB, SEGMENT_SIZE, plaintext_of

pytest.importorskip("fsspec", reason="fsspec is in the extra [fsspec]")

SIZES = (0, 1, SEGMENT_SIZE - 1, SEGMENT_SIZE, SEGMENT_SIZE + 1, 2 * SEGMENT_SIZE)
RANGES = ((None, None), (0, 5), (3, None), (-4, None), (2, -1), (-4, -1), (7, 7), (5, 3), (0, 10**9), (10**9, None))


def test_cat_file_when_given_any_offsets_then_equals_a_slice(fs: Any, bucket: str) -> None:
    for size in SIZES:
        content = plaintext_of(size)
        fs.pipe_file(f"{bucket}/{size}", content)

        for start, end in RANGES:
            assert fs.cat_file(f"{bucket}/{size}", start, end) == content[start:end]
        assert fs.info(f"{bucket}/{size}")["size"] == size


def test_cat_file_when_nothing_is_there_then_file_not_found(fs: Any, bucket: str) -> None:
    for start, end in RANGES:
        with pytest.raises(FileNotFoundError):
            fs.cat_file(f"{bucket}/missing", start, end)
    with pytest.raises(FileNotFoundError):
        fs.open(f"{bucket}/missing", "rb")
    with pytest.raises(FileNotFoundError):
        fs.cat_file("no-such-bucket-of-anybody/key")


def test_read_when_cached_in_each_way_then_gives_the_same_bytes(fs: Any, bucket: str) -> None:
    content = plaintext_of(300 * KIB)
    fs.pipe_file(f"{bucket}/k", content)

    for cache_type in ("none", "readahead", "bytes", "blockcache", "all", "first", "background"):
        with fs.open(f"{bucket}/k", "rb", cache_type=cache_type, block_size=70_000) as file:
            file.seek(100_000)
            middle = file.read(80_000)
            file.seek(-10, 2)
            end = file.read()
            file.seek(0)
            everything = file.read()

        assert (middle, end, everything) == (content[100_000:180_000], content[-10:], content), cache_type


# fsspec leaves the file of its map to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_read_when_cached_in_a_file_then_gives_the_same_bytes_and_they_lie_there(
    fs: Any, bucket: str, tmp_path: Path
) -> None:
    content = plaintext_of(300 * KIB)
    fs.pipe_file(f"{bucket}/k", content)
    options = {"location": str(tmp_path / "map")}

    with fs.open(f"{bucket}/k", "rb", cache_type="mmap", block_size=70_000, cache_options=options) as file:
        file.seek(100_000)
        middle = file.read(80_000)
        file.seek(0)
        everything = file.read()

    assert (middle, everything) == (content[100_000:180_000], content)
    assert (tmp_path / "map").read_bytes() == content


@pytest.mark.parametrize(
    ("options", "fetched"),
    [
        ({"cache_type": "none"}, 5),
        ({"cache_type": "blockcache"}, 2),
        ({"cache_type": "blockcache", "cache_options": {"maxblocks": 1}}, 3),
        ({"cache_type": "bytes"}, 3),
        ({"cache_type": "readahead"}, 3),
        ({"cache_type": "first"}, 3),
        ({"cache_type": "all"}, 1),
    ],
    ids=lambda value: "-".join(map(str, value.values())) if isinstance(value, dict) else str(value),
)
def test_caching_when_chosen_then_decides_how_often_s3_is_asked(
    make_fs: MakeFileSystem,
    moto_s3: Endpoint,
    http_proxy: ProxyFactory,
    new_bucket: Any,
    options: dict[str, Any],
    fetched: int,
) -> None:
    bucket, content = new_bucket(moto_s3), plaintext_of(3 * MIB)
    make_fs(moto_s3).pipe_file(f"{bucket}/k", content)
    proxy, endpoint = http_proxy(moto_s3)

    with make_fs(endpoint).open(f"{bucket}/k", "rb", block_size=MIB, **options) as file:
        found = []
        for start in (0, 1000, 2 * MIB, 2 * MIB + 1000, 2000):
            file.seek(start)
            found.append(file.read(1000) == content[start : start + 1000])

    assert found == [True] * 5
    assert [request.method for request in proxy.requests] == ["HEAD", *["GET"] * fetched]


def test_footer_when_read_of_a_large_file_then_a_head_and_one_segment_are_fetched(
    make_fs: MakeFileSystem, moto_s3: Endpoint, http_proxy: ProxyFactory, new_bucket: Any, kms: LocalKms
) -> None:
    bucket = new_bucket(moto_s3)
    content = plaintext_of(20 * MIB)
    make_fs(moto_s3).pipe_file(f"{bucket}/k", content)
    proxy, endpoint = http_proxy(moto_s3)
    kms.clear_calls()

    with make_fs(endpoint).open(f"{bucket}/k", "rb") as file:
        file.seek(-8, 2)
        footer = file.read(8)
        file.seek(5 * MIB)
        middle = file.read(10)

    assert (footer, middle) == (content[-8:], content[5 * MIB : 5 * MIB + 10])
    assert [request.method for request in proxy.requests] == ["HEAD", "GET", "GET"]
    asked = [request.header("range").removeprefix("bytes=").split("-") for request in proxy.requests[1:]]
    # The end of the object is asked for without an end, which proves that it is the end.
    assert asked[0][1] == ""
    assert 20 * MIB - int(asked[0][0]) < 2 * SEGMENT_SIZE
    # What is read ahead, in whole segments.
    assert int(asked[1][1]) - int(asked[1][0]) < 5 * MIB + 3 * SEGMENT_SIZE
    assert kms.count() == kms.count("Decrypt") == 1


@pytest.mark.parametrize(("cache", "calls"), [("memory", 1), ("disk", 1), ("off", 3)])
def test_ranges_when_read_of_one_file_then_take_one_call_of_kms_unless_the_cache_is_off(
    make_fs: MakeFileSystem, moto_s3: Endpoint, new_bucket: Any, kms: LocalKms, cache: str, calls: int
) -> None:
    bucket, content = new_bucket(moto_s3), plaintext_of(3 * MIB)
    make_fs(moto_s3).pipe_file(f"{bucket}/k", content)
    kms.clear_calls()

    with make_fs(moto_s3, cache=cache).open(f"{bucket}/k", "rb", cache_type="none") as file:
        found = file.read(10), file.read(20)
        file.seek(-30, 2)
        end = file.read()

    assert (*found, end) == (content[:10], content[10:30], content[-30:])
    assert kms.count() == kms.count("Decrypt") == calls


def test_file_when_its_object_is_overwritten_between_ranges_then_object_changed(fs: Any, bucket: str) -> None:
    fs.pipe_file(f"{bucket}/k", plaintext_of(MIB))
    with fs.open(f"{bucket}/k", "rb", cache_type="none") as file:
        file.read(10)
        fs.pipe_file(f"{bucket}/k", b"x" * MIB)

        with pytest.raises(ObjectChangedError, match="open it again"):
            file.read(10)


def test_pickled_file_when_loaded_then_stays_at_its_place_and_version(fs: Any, bucket: str) -> None:
    fs.pipe_file(f"{bucket}/k", b"0123456789")
    with fs.open(f"{bucket}/k", "rb") as file:
        file.seek(4)
        pickled = pickle.dumps(file)

    with pickle.loads(pickled) as again:
        assert again.read() == b"456789"
        again.fs.client.close()

    fs.pipe_file(f"{bucket}/k", b"9876543210")
    with pytest.raises(ObjectChangedError):
        pickle.loads(pickled)


def test_cat_ranges_when_read_at_once_then_are_of_one_version(fs: Any, bucket: str) -> None:
    first, second = plaintext_of(MIB), b"second" * 1000
    fs.pipe({f"{bucket}/a": first, f"{bucket}/b": second})
    paths = [f"{bucket}/a", f"{bucket}/b", f"{bucket}/a", f"{bucket}/c"]

    found = fs.cat_ranges(paths, [0, 5, -9, 0], [7, 9, None, 1])

    assert found[:3] == [first[:7], second[5:9], first[-9:]]
    assert isinstance(found[3], FileNotFoundError)
    with pytest.raises(FileNotFoundError):
        fs.cat_ranges(paths, 0, 1, on_error="raise")


def test_cat_ranges_when_the_object_is_overwritten_meanwhile_then_object_changed(
    make_fs: MakeFileSystem, moto_s3: Endpoint, new_bucket: Any
) -> None:
    fs, bucket = make_fs(moto_s3), new_bucket(moto_s3)
    fs.pipe_file(f"{bucket}/k", b"a" * 100)
    writer = make_fs(moto_s3)
    overwritten: list[int] = []

    def overwrite(**_: object) -> None:
        if not overwritten:
            overwritten.append(1)
            writer.pipe_file(f"{bucket}/k", b"b" * 100)

    fs.client.meta.events.register("after-call.s3.GetObject", overwrite)

    first, second = fs.cat_ranges([f"{bucket}/k"] * 2, [0, 50], [10, 60])

    assert first == b"a" * 10
    assert isinstance(second, ObjectChangedError)


def test_object_without_envelope_when_read_then_refused_and_listed_with_its_size(
    fs: Any, bucket: str, storage: Endpoint
) -> None:
    plain = storage.client()
    plain.put_object(Bucket=bucket, Key="plain", Body=b"plaintext")
    plain.close()

    with pytest.raises(NotEncryptedError):
        fs.cat_file(f"{bucket}/plain")
    with pytest.raises(NotEncryptedError):
        fs.open(f"{bucket}/plain", "rb")
    assert [entry["size"] for entry in fs.ls(bucket)] == [9]


def test_stored_bytes_when_changed_then_no_byte_comes_out(fs: Any, bucket: str, storage: Endpoint) -> None:
    fs.pipe_file(f"{bucket}/k", plaintext_of(3 * SEGMENT_SIZE))
    plain = storage.client()
    stored = plain.get_object(Bucket=bucket, Key="k")
    body = bytearray(stored["Body"].read())
    body[SEGMENT_SIZE + 100] ^= 1
    plain.put_object(Bucket=bucket, Key="k", Body=bytes(body), Metadata=stored["Metadata"])
    plain.close()

    with fs.open(f"{bucket}/k", "rb", cache_type="none") as file:
        assert file.read(SEGMENT_SIZE) == plaintext_of(SEGMENT_SIZE)
        with pytest.raises(SegmentAuthenticationError):
            file.read(SEGMENT_SIZE)
        assert file.tell() == SEGMENT_SIZE


def test_version_when_named_then_is_read_and_an_open_file_stays_with_its_own(
    make_fs: MakeFileSystem, moto_s3: Endpoint, new_bucket: Any
) -> None:
    bucket = new_bucket(moto_s3)
    fs = make_fs(moto_s3, version_aware=True)
    fs.client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    fs.pipe_file(f"{bucket}/k", b"old")
    fs.pipe_file(f"{bucket}/k", b"newer")

    newest, oldest = fs.object_version_info(f"{bucket}/k")

    assert [(entry["size"], entry["IsLatest"]) for entry in (newest, oldest)] == [(5, True), (3, False)]
    assert fs.cat_file(f"{bucket}/k?versionId={oldest['VersionId']}") == b"old"
    with fs.open(f"{bucket}/k", "rb", cache_type="none") as file:
        fs.pipe_file(f"{bucket}/k", b"newest of all")
        assert file.read() == b"newer"
    fs.rm_file(f"{bucket}/k?versionId={oldest['VersionId']}")
    assert len(fs.object_version_info(f"{bucket}/k")) == 2
