"""Dask reads and writes `s3e://` in partitions and processes. It needs the extra [ecosystem]: see README.md."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from typing import Any

import pytest

from tests.ecosystem.watching import Watch
from tests.support.endpoints import Endpoint

dataframe = pytest.importorskip("dask.dataframe", reason="dask is in the extra [ecosystem]")
pandas = pytest.importorskip("pandas", reason="pandas is in the extra [ecosystem]")
cloudpickle = pytest.importorskip("cloudpickle", reason="dask is in the extra [ecosystem]")
pytest.importorskip("fsspec", reason="fsspec is in the extra [fsspec]")

OPTIONS = {"kms_key_id": "alias/orders"}


def test_block_when_run_does_what_it_says(run_block: Any, stored: Callable[[], dict[str, bytes]]) -> None:
    run_block("Dask")

    names = stored()
    assert len([name for name in names if name.endswith(".parquet")]) == 4
    assert len([name for name in names if name.endswith(".csv")]) == 4
    assert not [name for name, body in names.items() if b"PAR1" in body or b"order" in body]


def test_partitions_when_written_by_processes_then_are_whole(server: Endpoint) -> None:
    frame = pandas.DataFrame({"order": range(5000), "name": [f"name {number}" for number in range(5000)]})

    table = dataframe.from_pandas(frame, npartitions=3)
    table.to_parquet("s3e://orders/p", storage_options=OPTIONS, compute_kwargs={"scheduler": "processes"})
    table.to_csv(
        "s3e://orders/c/*.csv", index=False, storage_options=OPTIONS, compute_kwargs={"scheduler": "processes"}
    )

    for again in (
        dataframe.read_parquet("s3e://orders/p", storage_options=OPTIONS),
        dataframe.read_csv("s3e://orders/c/*.csv", storage_options=OPTIONS, blocksize=20_000),
    ):
        found = again.compute(scheduler="processes").sort_values("order").reset_index(drop=True)
        assert found["order"].tolist() == frame["order"].tolist()
        assert found["name"].tolist() == frame["name"].tolist()


def test_graph_when_pickled_then_carries_no_credentials(server: Endpoint, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = "canary-of-a-secret-access-key"
    pandas.DataFrame({"a": [1]}).to_csv("s3e://orders/k.csv", index=False, storage_options=OPTIONS)
    table = dataframe.read_csv("s3e://orders/k.csv", storage_options=OPTIONS)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)

    graph = cloudpickle.dumps(table)

    assert secret.encode() not in graph
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    assert pickle.loads(graph)["a"].sum().compute(scheduler="sync") == 1  # noqa: S301  # made above


def test_files_when_read_in_blocks_by_threads_then_take_one_call_of_kms_each(watch: Watch) -> None:
    frame = pandas.DataFrame({"order": range(30_000), "name": [f"name {number}" for number in range(30_000)]})
    table = dataframe.from_pandas(frame, npartitions=3)
    table.to_csv("s3e://orders/c/*.csv", index=False, storage_options=watch.options)
    table.to_parquet("s3e://orders/p", storage_options=watch.options)
    assert watch.key_calls() == {"GenerateDataKey": watch.written_count()}
    assert watch.written_count() >= 6
    watch.forget()

    lines = dataframe.read_csv("s3e://orders/c/*.csv", storage_options=watch.options, blocksize=20_000)
    rows = dataframe.read_parquet("s3e://orders/p", storage_options=watch.options)

    assert lines.npartitions > 20
    assert lines["order"].sum().compute(scheduler="threads") == sum(range(30_000))
    assert rows["order"].sum().compute(scheduler="threads") == sum(range(30_000))
    assert watch.key_calls() == {"Decrypt": len(watch.fetched())} == {"Decrypt": 6}
