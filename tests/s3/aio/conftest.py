"""Fixtures: asynchronous clients, and the same ones driven from synchronous tests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest

from s3envelope import KmsKeyring
from tests.support.endpoints import Endpoint
from tests.support.enveloped import ClientFactory, NewBucket


@pytest.fixture
def sealed(keyring: KmsKeyring) -> Iterator[ClientFactory]:
    """Yield a maker of asynchronous clients that are driven: tests of the synchronous client take them."""
    from tests.s3.aio.driven import DrivenClient, driven_client

    with ExitStack() as stack:

        def make(endpoint: Endpoint, *, envelope: dict[str, Any] | None = None, **config: Any) -> Any:
            fields = {"keyring": keyring, **(envelope or {})}
            client: DrivenClient = driven_client(fields, endpoint.client_arguments(**config))
            stack.callback(client.close)
            return client

        yield make


@pytest.fixture
def bucket(moto_s3: Endpoint, new_bucket: NewBucket) -> str:
    """Return a bucket of moto."""
    return new_bucket(moto_s3)
