"""The scenarios of the synchronous client give a program the same with an asynchronous one.

The command is in `tests/s3/aio/__init__.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack

import boto3
import pytest

pytest.importorskip("aiobotocore", reason="the extra [async] is not installed")

from s3envelope import KmsKeyring
from tests.s3.aio.driven import DrivenSession
from tests.s3.matrix.test_matrix import (
    Lane,
    desk,
    test_scenario_when_run_with_both_clients_gives_the_same_and_shows_no_plaintext,
)
from tests.support.certificates import TlsFiles
from tests.support.endpoints import Endpoint

__all__ = ["test_scenario_when_run_with_both_clients_gives_the_same_and_shows_no_plaintext"]


@pytest.fixture(scope="module")
def lane(request: pytest.FixtureRequest, keyring: KmsKeyring, tls: TlsFiles) -> Iterator[Lane]:
    """Yield a plain boto3 client, and an asynchronous one that is driven."""
    server, scheme = request.param
    endpoint: Endpoint = request.getfixturevalue({"moto": "moto_s3"}.get(server, server))
    with ExitStack() as stack:
        files = tls if scheme == "https" else None
        plain = desk(stack, "plain", boto3.session.Session(), endpoint, files)
        sealed = desk(stack, "sealed", DrivenSession(keyring=keyring), endpoint, files)
        yield Lane(server, scheme, plain, sealed)
