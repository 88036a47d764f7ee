"""awswrangler with our session. It needs the extra [ecosystem]: see README.md in this folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

import s3envelope
from s3envelope.errors import UnsupportedOperationError
from tests.support.endpoints import Endpoint

wrangler = pytest.importorskip("awswrangler", reason="awswrangler is in the extra [ecosystem]")
pandas = pytest.importorskip("pandas", reason="pandas is in the extra [ecosystem]")

ROWS = 400_000


@pytest.fixture
def session(server: Endpoint) -> s3envelope.Session:
    return s3envelope.Session(kms_key_id="alias/orders")


def test_block_when_run_does_what_it_says(run_block: Any, stored: Callable[[], dict[str, bytes]]) -> None:
    run_block("awswrangler")

    assert b"PAR1" not in stored()["wrangled.parquet"]


def test_dataset_when_written_then_is_read_and_described(session: s3envelope.Session) -> None:
    frame = pandas.DataFrame({"year": [2025, 2026] * (ROWS // 2), "order": range(ROWS)})
    known: dict[str, Any] = {"boto3_session": session}

    wrangler.s3.to_parquet(frame, "s3://orders/data/", dataset=True, partition_cols=["year"], **known)

    objects = wrangler.s3.list_objects("s3://orders/data/", **known)
    assert len(objects) == 2
    again = wrangler.s3.read_parquet("s3://orders/data/", dataset=True, columns=["order"], **known)
    assert sorted(again["order"]) == list(range(ROWS))
    wrangler.s3.delete_objects("s3://orders/data/", **known)
    assert wrangler.s3.list_objects("s3://orders/", **known) == []


def test_csv_json_and_files_when_written_then_are_the_same(session: s3envelope.Session, tmp_path: Any) -> None:
    frame = pandas.DataFrame({"order": [1, 2], "name": ["a", "b"]})
    known: dict[str, Any] = {"boto3_session": session}

    wrangler.s3.to_csv(frame, "s3://orders/k.csv", index=False, **known)
    wrangler.s3.to_json(frame, "s3://orders/k.json", **known)
    (tmp_path / "up").write_bytes(b"content")
    wrangler.s3.upload(str(tmp_path / "up"), "s3://orders/file", **known)
    wrangler.s3.download("s3://orders/file", str(tmp_path / "down"), **known)

    assert wrangler.s3.read_csv("s3://orders/k.csv", **known).equals(frame)
    assert len(wrangler.s3.read_json("s3://orders/k.json", **known)) == 2
    assert (tmp_path / "down").read_bytes() == b"content"
    assert wrangler.s3.size_objects("s3://orders/file", **known) == {"s3://orders/file": 7}


def test_query_when_asked_for_then_refused(session: s3envelope.Session) -> None:
    with pytest.raises(UnsupportedOperationError, match="cannot query ciphertext"):
        session.client("s3").select_object_content(
            Bucket="orders",
            Key="k",
            Expression="SELECT * FROM s3object",
            ExpressionType="SQL",
            InputSerialization={"CSV": {}},
            OutputSerialization={"CSV": {}},
        )
