"""Samples of the objects in a bucket."""

from __future__ import annotations

import os
from collections import Counter
from typing import Any

import pytest

from s3envelope.compliance.model import Status
from s3envelope.compliance.sample import take_sample
from s3envelope.compliance.subject import TEST_PREFIX
from tests.support.compliant import SetUp


def put(good: SetUp, key: str, body: bytes = b"x", **metadata: str) -> None:
    """Store an object as it is."""
    good.s3.put_object(Bucket=good.bucket, Key=key, Body=body, Metadata=metadata)


def kinds(good: SetUp) -> dict[str, str]:
    """Return what every object of the bucket is taken for."""
    sample = take_sample(good.s3, good.bucket, None, os.urandom, without=TEST_PREFIX)
    return {seen.key: seen.kind for seen in sample.objects}


def test_sample_when_objects_are_of_all_kinds_tells_them_apart(good: SetUp) -> None:
    sealed = good.s3.get_object(Bucket=good.bucket, Key="first")
    body, metadata = sealed["Body"].read(), sealed["Metadata"]
    put(good, "plain")
    put(good, "empty", b"")
    put(good, "folder/", b"")
    put(good, "full/", b"x")
    put(good, "amazon", b"x" * 100, **{"x-amz-key-v2": "x"})
    put(good, "beside", b"x" * 100)
    put(good, "beside.instruction", b"{}", **{"x-amz-crypto-instr-file": ""})
    put(good, "unmarked", b"x" * 100)
    put(good, "unmarked.instruction", b"{}")
    put(good, "cut", body[:27], **metadata)
    put(good, "half", body, **{"se1-h": metadata["se1-h"]})
    put(good, "later", body, **{"se2-h": "x"})
    put(good, f"{TEST_PREFIX}left", b"x")

    assert kinds(good) == {
        "first": "enveloped",
        "second": "enveloped",
        "plain": "plain",
        "empty": "plain",
        "folder/": "empty",
        "full/": "plain",
        "amazon": "amazon",
        "beside": "amazon",
        "beside.instruction": "amazon",
        "unmarked": "plain",
        "unmarked.instruction": "plain",
        "cut": "broken",
        "half": "broken",
        "later": "broken",
    }


@pytest.mark.parametrize("size", [1, 2, 3])
def test_sample_when_it_is_smaller_than_the_bucket_has_that_many_objects_and_says_so(good: SetUp, size: int) -> None:
    put(good, "third")

    sample = take_sample(good.s3, good.bucket, size, os.urandom, without=TEST_PREFIX)

    assert len({seen.key for seen in sample.objects}) == size
    assert sample.listed_count == 3
    assert ("random sample" in sample.described()) is (size < 3)


def test_sample_when_taken_often_has_every_object_equally_often(good: SetUp) -> None:
    put(good, "third")
    # Every draw that there can be: whether the second object takes the place, and whether the third does.
    draws = iter([draw for first in range(2) for second in range(3) for draw in (first, second)])

    def drawn(size: int) -> bytes:
        return next(draws).to_bytes(size, "big")

    found = [take_sample(good.s3, good.bucket, 1, drawn, without=TEST_PREFIX).objects[0].key for _ in range(6)]

    assert Counter(found) == {"first": 2, "second": 2, "third": 2}


def test_check_when_an_object_cannot_be_looked_at_is_not_assessed(good: SetUp, monkeypatch: pytest.MonkeyPatch) -> None:
    original = good.s3.head_object

    def head_object(**arguments: Any) -> Any:
        return original(**{**arguments, "IfMatch": "another"} if arguments["Key"] == "first" else arguments)

    monkeypatch.setattr(good.s3, "head_object", head_object)

    found = good.assess()

    unseen = [one.id for one in found.results if one.status is Status.NOT_ASSESSED]
    assert unseen == ["bucket-objects", "data-key-age"]
    assert "1 objects cannot be read" in found.by_id["bucket-objects"].evidence[0]


def test_check_when_a_plain_object_is_seen_fails_though_another_cannot_be_looked_at(
    good: SetUp, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(good, "plain")
    original = good.s3.head_object

    def head_object(**arguments: Any) -> Any:
        return original(**{**arguments, "IfMatch": "another"} if arguments["Key"] == "first" else arguments)

    monkeypatch.setattr(good.s3, "head_object", head_object)

    found = good.assess()

    assert found.by_id["bucket-objects"].status is Status.FAILED
    assert any("'plain'" in line for line in found.by_id["bucket-objects"].evidence)


def test_check_when_the_bucket_is_empty_passes(good: SetUp) -> None:
    for key in ("first", "second"):
        good.s3.delete_object(Bucket=good.bucket, Key=key)

    found = good.assess()

    assert found.by_id["bucket-objects"].status is Status.PASSED
    assert "all of 0 objects" in found.by_id["bucket-objects"].evidence[0]
