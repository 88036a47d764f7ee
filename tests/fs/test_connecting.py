"""Storage options: what they may be, and what leaves the process."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
from pathlib import Path
from typing import Any

import pytest

import s3envelope
from s3envelope import DiskCache, EnvelopeConfig, RawAesKeyring
from s3envelope.errors import ConfigurationError
from s3envelope.testing import LocalKms
from tests.fs.conftest import MakeFileSystem
from tests.support.endpoints import Endpoint
from tests.support.enveloped import NewBucket

fsspec = pytest.importorskip("fsspec", reason="fsspec is in the extra [fsspec]")

SECRET = "wJalrXUtnFEMI-canary-K7MDENG"


def make_client() -> Any:
    """Return a client, as a program of its own would make it."""
    return s3envelope.client(
        "s3",
        kms_key_id=os.environ["TEST_KEY_ARN"],
        endpoint_url=os.environ["TEST_ENDPOINT_URL"],
        list_sizes="exact",
        cache=None,
    )


def _read(pickled: bytes, path: str, results: Any) -> None:
    results.put(pickle.loads(pickled).cat_file(path))


def test_protocol_when_asked_for_is_found_by_fsspec() -> None:
    from s3envelope.fs import S3EnvelopeFileSystem

    assert fsspec.get_filesystem_class("s3e") is S3EnvelopeFileSystem


def test_filesystem_when_pickled_then_another_process_connects_anew(
    make_fs: MakeFileSystem, moto_s3: Endpoint, new_bucket: NewBucket
) -> None:
    fs, bucket = make_fs(moto_s3), new_bucket(moto_s3)
    fs.pipe_file(f"{bucket}/k", b"content")
    context = multiprocessing.get_context("spawn")
    results = context.Queue()

    process = context.Process(target=_read, args=(pickle.dumps(fs), f"{bucket}/k", results))
    process.start()

    assert results.get(timeout=60) == b"content"
    process.join()
    again = pickle.loads(pickle.dumps(fs))
    assert again.client is not fs.client
    assert fsspec.AbstractFileSystem.from_json(fs.to_json()).cat_file(f"{bucket}/k") == b"content"
    again.client.close()


def test_filesystem_when_pickled_then_holds_no_secret(make_fs: MakeFileSystem, moto_s3: Endpoint) -> None:
    fs = make_fs(moto_s3)
    fs.client.list_buckets()
    signer: Any = fs.client

    pickled = pickle.dumps(fs)

    secret = signer._request_signer._credentials.secret_key
    assert json.loads(fs.to_json())["kms_key_id"] in pickled.decode("latin-1")
    # The secret of the tests is a word; nothing but the options is there at all.
    assert secret == "test"
    assert len(pickled) < 600


@pytest.mark.parametrize(
    "options",
    [
        {"aws_access_key_id": "AKID", "aws_secret_access_key": SECRET},
        {"aws_session_token": SECRET},
        {"cache": DiskCache()},
        {"keyring": RawAesKeyring(bytes(32), "tests"), "kms_key_id": None},
        {"envelope": EnvelopeConfig(keyring=RawAesKeyring(bytes(32), "tests")), "kms_key_id": None},
    ],
    ids=lambda options: next(iter(options)),
)
def test_filesystem_with_secrets_when_pickled_or_described_then_type_error_without_them(
    make_fs: MakeFileSystem, moto_s3: Endpoint, options: dict[str, Any]
) -> None:
    if "envelope" in options:
        options = {**options, "cache": "memory"}
    given = {name: value for name, value in {"kms_key_id": "alias/x", **options}.items() if value is not None}
    fs = fsspec.filesystem("s3e", skip_instance_cache=True, endpoint_url=moto_s3.url, region="us-east-1", **given)

    for leave in (pickle.dumps, lambda one: one.to_json(), lambda one: one.to_dict()):
        with pytest.raises(TypeError, match="not pickled") as raised:
            leave(fs)
        assert SECRET not in str(raised.value)
    assert SECRET not in repr(fs)


def test_client_when_made_by_a_function_then_is_made_in_each_process(
    make_fs: MakeFileSystem,
    moto_s3: Endpoint,
    new_bucket: NewBucket,
    key_arn: str,
    monkeypatch: pytest.MonkeyPatch,
    kms: LocalKms,
) -> None:
    monkeypatch.setenv("TEST_KEY_ARN", key_arn)
    monkeypatch.setenv("TEST_ENDPOINT_URL", moto_s3.url)
    bucket = new_bucket(moto_s3)
    fs = fsspec.filesystem("s3e", client=make_client, skip_instance_cache=True)
    fs.pipe_file(f"{bucket}/k", b"content")

    again = pickle.loads(pickle.dumps(fs))

    assert again.cat_file(f"{bucket}/k") == b"content"
    assert again.du(bucket) == 7
    assert kms.count("Decrypt") >= 1
    for each in (fs, again):
        each.client.close()


def test_client_when_it_is_a_plain_one_then_refused(moto_s3: Endpoint) -> None:
    plain = moto_s3.client()
    fs = fsspec.filesystem("s3e", client=plain, skip_instance_cache=True)

    with pytest.raises(ConfigurationError, match="stores plaintext"):
        fs.pipe_file("bucket/k", b"x")
    plain.close()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "there is no keyring"),
        ({"kms_key_id": "alias/x", "key": "AKID"}, "use aws_access_key_id"),
        ({"kms_key_id": "alias/x", "colour": "red"}, "'colour' is not known"),
        ({"kms_key_id": "alias/x", "region": "a", "region_name": "b"}, "both region and region_name"),
        ({"kms_key_id": "alias/x", "cache": "tape"}, "use disk, memory or off"),
        ({"kms_key_id": "alias/x", "list_sizes": "guessed"}, "list_sizes"),
        ({"client": make_client, "kms_key_id": "alias/x"}, "client and kms_key_id are given"),
        ({"kms_key_id": "alias/x", "default_block_size": 0}, "default_block_size"),
    ],
)
def test_options_when_wrong_then_said_before_any_request(options: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        fsspec.filesystem("s3e", skip_instance_cache=True, **options)


def test_profile_and_region_when_given_then_are_used(
    kms: LocalKms, key_arn: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moto_s3: Endpoint
) -> None:
    (tmp_path / "config").write_text("[profile other]\nregion = eu-west-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.delenv("AWS_DEFAULT_REGION")
    options = {"kms_key_id": key_arn, "endpoint_url": moto_s3.url, "skip_instance_cache": True}

    by_profile = fsspec.filesystem("s3e", profile="other", **options)
    by_region = fsspec.filesystem("s3e", region="eu-north-1", config_kwargs={"max_pool_connections": 3}, **options)

    assert by_profile.client.meta.region_name == "eu-west-1"
    assert by_region.client.meta.region_name == "eu-north-1"
    assert by_region.client.meta.config.max_pool_connections == 3
    for each in (by_profile, by_region):
        each.client.close()


# fsspec leaves the file of its block cache to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_caching_protocols_when_put_in_front_then_read_the_same_bytes(fs: Any, bucket: str, tmp_path: Path) -> None:
    fs.pipe_file(f"{bucket}/k", b"content" * 1000)

    for protocol in ("simplecache", "filecache", "blockcache"):
        folder = tmp_path / protocol
        cached = fsspec.filesystem(protocol, fs=fs, cache_storage=str(folder))
        for _ in range(2):
            with cached.open(f"{bucket}/k", "rb") as file:
                assert file.read() == b"content" * 1000
        # What the documents say of them: plaintext lies on the local disk.
        assert any(b"contentcontent" in path.read_bytes() for path in folder.iterdir())


def test_filecache_when_the_object_is_overwritten_then_notices(fs: Any, bucket: str, tmp_path: Path) -> None:
    cached = fsspec.filesystem("filecache", fs=fs, cache_storage=str(tmp_path), check_files=True)
    fs.pipe_file(f"{bucket}/k", b"old")
    assert cached.cat_file(f"{bucket}/k") == b"old"

    fs.pipe_file(f"{bucket}/k", b"new")

    assert cached.cat_file(f"{bucket}/k") == b"new"
