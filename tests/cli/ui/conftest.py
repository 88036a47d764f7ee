"""A server of pages over a bucket."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import boto3
import pytest

from s3envelope.cli.audit_files import AnchorChoice
from s3envelope.cli.dependencies import named_keys
from s3envelope.cli.locations import S3Location
from s3envelope.cli.options import Connection
from s3envelope.cli.ui import server
from tests.cli.commands import ALIAS, Place
from tests.cli.ui.visiting import Visitor

Serve = Callable[..., Visitor]


@pytest.fixture
def serve(place: Place) -> Iterator[Serve]:
    """Yield what starts a server, and returns a visitor that has entered."""
    with ExitStack() as stack:

        def start(*, url: str | None = None, logs: tuple[Path, ...] = (), prefix: str = "") -> Visitor:
            connection = Connection(endpoint_url=url or place.endpoint.url, kms_endpoint_url=place.kms.endpoint_url)
            client = connection.s3(boto3.Session())
            reader = place.sealing_client()
            stack.callback(client.close)
            stack.callback(reader.close)
            names = named_keys(connection, [ALIAS])
            pages = server.Place(
                client,
                reader,
                connection,
                S3Location(place.bucket, prefix),
                names,
                logs,
                AnchorChoice((), None, None, None, None),
            )
            visitor = Visitor(stack.enter_context(server.serving(pages, 0)))
            visitor.enter()
            return visitor

        yield start
