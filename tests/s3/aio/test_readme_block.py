"""The asynchronous code block of the README is executed. The command is in `tests/s3/aio/__init__.py`."""

from __future__ import annotations

import pytest

pytest.importorskip("aiobotocore", reason="the extra [async] is not installed")

from s3envelope.testing import LocalKms
from tests.test_readme import blocks, cloud

__all__ = ["cloud"]


def test_asynchronous_block_when_run_prints_what_it_stored(cloud: LocalKms, capsys: pytest.CaptureFixture[str]) -> None:
    (code,) = blocks("python async")

    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})  # noqa: S102  # the README is ours

    assert capsys.readouterr().out == "b'{\"total\": 12}'\n"
    assert cloud.count("GenerateDataKey") == 1
