"""What is where, and how large: listings, copies, deletions, buckets."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from s3envelope.errors import UnsupportedOperationError
from tests.conftest import ProxyFactory
from tests.fs.conftest import MakeFileSystem
from tests.support.endpoints import Endpoint
from tests.support.enveloped import MIB, SEGMENT_SIZE, NewBucket, plaintext_of

pytest.importorskip("fsspec", reason="fsspec is in the extra [fsspec]")

SIZES = {"a": 0, "d/b": 1, "d/e/c": SEGMENT_SIZE + 1, "d/e/parts": 11 * MIB}


@pytest.fixture
def tree(fs: Any, bucket: str) -> str:
    """Return a bucket with objects of known sizes; one of them is of the indexed layout, whose listed size is not."""
    for name, size in SIZES.items():
        if name != "d/e/parts":
            fs.pipe_file(f"{bucket}/{name}", plaintext_of(size))
    named = {"Bucket": bucket, "Key": "d/e/parts"}
    upload = {**named, "UploadId": fs.client.create_multipart_upload(**named)["UploadId"]}
    parts = []
    for number, size in enumerate((6 * MIB, 5 * MIB), start=1):
        answer = fs.client.upload_part(**upload, PartNumber=number, Body=plaintext_of(size))
        parts.append({"PartNumber": number, "ETag": answer["ETag"]})
    fs.client.complete_multipart_upload(**upload, MultipartUpload={"Parts": parts})
    return bucket


def test_sizes_when_asked_for_in_any_way_then_are_exact(fs: Any, tree: str) -> None:
    expected = {f"{tree}/{name}": size for name, size in SIZES.items()}

    assert {name: entry["size"] for name, entry in fs.find(tree, detail=True).items()} == expected
    assert fs.du(tree, total=False) == expected
    assert fs.du(tree) == sum(SIZES.values())
    assert {name: fs.info(name, refresh=True)["size"] for name in expected} == expected
    assert {entry["name"]: entry["size"] for entry in fs.ls(f"{tree}/d/e")} == {
        name: size for name, size in expected.items() if "/d/e/" in name
    }
    assert fs.sizes([f"{tree}/d/b", f"{tree}/d/e/parts"]) == [1, 11 * MIB]


def test_listings_when_compared_then_agree_about_what_is_there(fs: Any, tree: str) -> None:
    assert fs.ls(tree, detail=False) == [f"{tree}/a", f"{tree}/d"]
    assert fs.ls(f"s3e://{tree}/d/", detail=False) == [f"{tree}/d/b", f"{tree}/d/e"]
    assert fs.ls(f"{tree}/a", detail=False) == [f"{tree}/a"]
    assert fs.find(f"{tree}/d") == [f"{tree}/d/b", f"{tree}/d/e/c", f"{tree}/d/e/parts"]
    assert fs.find(tree, withdirs=True)[:3] == [tree, f"{tree}/a", f"{tree}/d"]
    assert fs.find(tree, maxdepth=1) == [f"{tree}/a"]
    assert fs.find(f"{tree}/a") == [f"{tree}/a"]
    assert fs.glob(f"{tree}/d/*") == [f"{tree}/d/b", f"{tree}/d/e"]
    assert fs.glob(f"{tree}/**/c") == [f"{tree}/d/e/c"]
    assert [(top, dirs, files) for top, dirs, files in fs.walk(f"{tree}/d")] == [
        (f"{tree}/d", ["e"], ["b"]),
        (f"{tree}/d/e", [], ["c", "parts"]),
    ]
    assert tree in fs.ls("", detail=False)


def test_what_is_not_there_when_looked_for_then_is_not_found(fs: Any, tree: str) -> None:
    for path in (f"{tree}/x", f"{tree}/d/x", "no-such-bucket-of-anybody", "no-such-bucket-of-anybody/x"):
        assert (fs.exists(path), fs.isfile(path), fs.isdir(path)) == (False, False, False)
        with pytest.raises(FileNotFoundError):
            fs.ls(path)
        with pytest.raises(FileNotFoundError):
            fs.info(path)
        with pytest.raises(FileNotFoundError):
            fs.rm(path)
    assert fs.find(f"{tree}/x") == []
    assert fs.isdir(f"{tree}/d")
    assert fs.isfile(f"{tree}/d/b")


def test_names_when_alone_are_asked_for_then_cost_one_request(
    make_fs: MakeFileSystem, moto_s3: Endpoint, new_bucket: NewBucket, http_proxy: ProxyFactory
) -> None:
    bucket = new_bucket(moto_s3)
    make_fs(moto_s3).pipe({f"{bucket}/{number}": b"x" for number in range(5)})
    proxy, endpoint = http_proxy(moto_s3)
    fs, counts = make_fs(endpoint), []

    for look in (fs.find, lambda top: fs.ls(top, detail=False), lambda top: fs.glob(f"{top}/*"), fs.ls, fs.ls):
        proxy.clear()
        look(bucket)
        counts.append([request.method for request in proxy.take_requests()])

    # glob looks at the directory itself too; ls has sizes by a HEAD for each, and is remembered.
    assert counts == [["GET"], ["GET"], ["HEAD", "HEAD", "GET"], ["GET", *["HEAD"] * 5], []]


@pytest.mark.parametrize(
    ("options", "asked"),
    [({}, 3), ({"use_listings_cache": False}, 4), ({"max_paths": 1}, 4), ({"listings_expiry_time": 1e-9}, 4)],
    ids=lambda value: next(iter(value), "default") if isinstance(value, dict) else str(value),
)
def test_listings_cache_when_limited_then_s3_is_asked_again(
    make_fs: MakeFileSystem,
    moto_s3: Endpoint,
    new_bucket: NewBucket,
    http_proxy: ProxyFactory,
    options: dict[str, Any],
    asked: int,
) -> None:
    bucket = new_bucket(moto_s3)
    make_fs(moto_s3).pipe({f"{bucket}/{name}/k": b"x" for name in ("a", "b", "c")})
    proxy, endpoint = http_proxy(moto_s3)
    fs = make_fs(endpoint, **options)

    found = [fs.ls(f"{bucket}/{name}")[0]["size"] for name in ("a", "b", "c", "a")]

    assert found == [1, 1, 1, 1]
    assert [request.method for request in proxy.requests].count("GET") == asked


def test_sizes_when_computed_then_take_no_request_for_each(
    make_fs: MakeFileSystem, moto_s3: Endpoint, new_bucket: NewBucket, http_proxy: ProxyFactory
) -> None:
    bucket = new_bucket(moto_s3)
    proxy, endpoint = http_proxy(moto_s3)
    fs = make_fs(endpoint, list_sizes="plaintext")
    with fs.open(f"{bucket}/k", "wb", block_size=5 * MIB) as file:
        file.write(plaintext_of(6 * MIB))
    proxy.clear()

    sizes = [entry["size"] for entry in fs.ls(bucket)]

    assert sizes == [6 * MIB]
    assert len(proxy.requests) == 1


def test_directory_marker_when_listed_then_is_a_directory_and_goes_with_it(fs: Any, bucket: str) -> None:
    fs.client.put_object(Bucket=bucket, Key="marked/", Body=b"")
    fs.pipe_file(f"{bucket}/marked/k", b"x")

    assert fs.ls(bucket, detail=False) == [f"{bucket}/marked"]
    assert fs.ls(f"{bucket}/marked", detail=False) == [f"{bucket}/marked/k"]
    assert fs.find(bucket) == [f"{bucket}/marked/k"]
    with pytest.raises(OSError, match="not empty"):
        fs.rmdir(f"{bucket}/marked")
    fs.rm(f"{bucket}/marked", recursive=True)
    assert not fs.client.list_objects_v2(Bucket=bucket).get("Contents")


def test_copy_when_made_then_nothing_is_downloaded_and_it_opens_under_its_name(
    make_fs: MakeFileSystem, storage: Endpoint, bucket: str, http_proxy: ProxyFactory
) -> None:
    proxy, endpoint = http_proxy(storage)
    fs, content = make_fs(endpoint), plaintext_of(MIB)
    fs.pipe_file(f"{bucket}/a", content)
    proxy.clear()

    fs.cp_file(f"{bucket}/a", f"{bucket}/b")

    requests = proxy.take_requests()
    assert not [request for request in requests if request.method == "GET"]
    assert sum(request.body_size for request in requests) < 10_000
    fs.mv(f"{bucket}/b", f"{bucket}/d/c")
    assert fs.find(bucket) == [f"{bucket}/a", f"{bucket}/d/c"]
    assert fs.cat_file(f"{bucket}/d/c") == content
    with pytest.raises(FileNotFoundError):
        fs.cp_file(f"{bucket}/missing", f"{bucket}/x")


def test_rm_when_recursive_then_deletes_all_below_and_nothing_beside(fs: Any, bucket: str) -> None:
    fs.pipe({f"{bucket}/{name}": b"" for name in ("d", "d/a", "d/b/c", "d2", "d.txt")})
    with pytest.raises(IsADirectoryError):
        fs.rm(f"{bucket}/d/b")

    fs.rm(f"{bucket}/d", recursive=True)

    assert fs.find(bucket) == [f"{bucket}/d.txt", f"{bucket}/d2"]
    fs.rm([f"{bucket}/d.txt", f"{bucket}/d2"])
    assert fs.find(bucket) == []


def test_rm_when_there_are_many_then_a_thousand_go_with_one_request(
    make_fs: MakeFileSystem, moto_s3: Endpoint, new_bucket: NewBucket, http_proxy: ProxyFactory
) -> None:
    bucket, plain = new_bucket(moto_s3), moto_s3.client()
    for number in range(12):
        plain.put_object(Bucket=bucket, Key=f"d/{number}")
    plain.close()
    proxy, endpoint = http_proxy(moto_s3)

    make_fs(endpoint).rm(f"{bucket}/d", recursive=True)

    assert [request.method for request in proxy.requests].count("POST") == 1
    assert not [request for request in proxy.requests if request.method == "DELETE"]


def test_bucket_when_made_and_removed_then_is_there_and_not(fs: Any, bucket: str) -> None:
    name = f"{bucket}-2"

    fs.mkdir(name)
    fs.makedirs(f"{name}/below", exist_ok=True)
    assert fs.ls(name) == []
    with pytest.raises(FileExistsError):
        fs.makedirs(name)
    fs.makedirs(name, exist_ok=True)
    fs.pipe_file(f"{name}/k", b"x")
    with pytest.raises(OSError, match="not empty"):
        fs.rmdir(name)
    fs.rm(name, recursive=True)

    assert not fs.exists(name, refresh=True)


def test_touch_modified_and_ukey_when_an_object_is_overwritten_then_tell(fs: Any, bucket: str) -> None:
    path = f"{bucket}/k"
    fs.touch(path, truncate=False)
    before, number = fs.ukey(path), fs.checksum(path)

    assert fs.cat_file(path) == b""
    with pytest.raises(NotImplementedError):
        fs.touch(path, truncate=False)
    assert isinstance(fs.modified(path), datetime.datetime)
    assert fs.created(path) == fs.modified(path)
    assert fs.ukey(path) == before
    fs.touch(path)
    assert fs.ukey(path) != before
    assert fs.checksum(path) != number


def test_listing_when_something_is_written_through_the_filesystem_then_is_seen(fs: Any, bucket: str) -> None:
    fs.pipe_file(f"{bucket}/d/a", b"1")
    fs.ls(bucket), fs.ls(f"{bucket}/d")

    fs.pipe_file(f"{bucket}/d/b", b"2")
    fs.pipe_file(f"{bucket}/e/c", b"3")

    assert len(fs.ls(f"{bucket}/d")) == len(fs.ls(bucket)) == 2
    fs.client.put_object(Bucket=bucket, Key="d/elsewhere", Body=b"")
    assert len(fs.ls(f"{bucket}/d")) == 2
    assert len(fs.ls(f"{bucket}/d", refresh=True)) == 3


def test_files_when_put_and_got_then_are_the_same(fs: Any, bucket: str, tmp_path: Any) -> None:
    (tmp_path / "up" / "sub").mkdir(parents=True)
    (tmp_path / "up" / "a").write_bytes(plaintext_of(9 * MIB))
    (tmp_path / "up" / "sub" / "b").write_bytes(b"b")

    fs.put(f"{tmp_path}/up/", f"{bucket}/up/", recursive=True)
    fs.get(f"{bucket}/up/", f"{tmp_path}/down/", recursive=True)

    assert fs.du(bucket, total=False) == {f"{bucket}/up/a": 9 * MIB, f"{bucket}/up/sub/b": 1}
    assert (tmp_path / "down" / "a").read_bytes() == plaintext_of(9 * MIB)
    assert (tmp_path / "down" / "sub" / "b").read_bytes() == b"b"
    with pytest.raises(FileExistsError):
        fs.put_file(str(tmp_path / "up" / "sub" / "b"), f"{bucket}/up/a", mode="create")
    with pytest.raises(FileNotFoundError):
        fs.put_file(str(tmp_path / "up" / "sub" / "b"), "no-such-bucket-of-anybody/k")


def test_url_when_signed_then_refused(fs: Any, bucket: str) -> None:
    with pytest.raises(UnsupportedOperationError, match="presigned"):
        fs.sign(f"{bucket}/k")


def test_wrong_credentials_when_used_then_permission_error(
    make_fs: MakeFileSystem, seaweedfs: Endpoint, new_bucket: NewBucket
) -> None:
    bucket = new_bucket(seaweedfs)
    fs = make_fs(seaweedfs, aws_access_key_id="test", aws_secret_access_key="wrong")

    for look in (fs.exists, fs.isfile, fs.ls, fs.find, fs.cat_file):
        with pytest.raises((PermissionError, ClientError)) as raised:
            look(f"{bucket}/k")
        assert isinstance(raised.value, PermissionError)
