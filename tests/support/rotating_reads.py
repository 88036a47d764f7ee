"""A scene for tests of rotate_on_read."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any

from s3envelope.core.envelope import Envelope
from s3envelope.core.hints import key_hint
from tests.support.enveloped import enveloped_client
from tests.support.rewrapping import Scene

HOUR = datetime.timedelta(hours=1)


class Clock:
    """A clock that a test turns."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True, slots=True)
class Reading:
    """A scene whose first key is retired, and its readers."""

    scene: Scene
    make: Callable[..., Any]
    retired: str

    def key_ids(self, key: str = "k") -> set[bytes]:
        return {entry.hint for entry in Envelope.parse(self.scene.stored(key)[1]).encrypted_data_keys}

    def is_current(self, key: str = "k") -> bool:
        return self.key_ids(key) == {key_hint(self.scene.second_arn)}

    def copies(self) -> int:
        return sum(bool(request.header("x-amz-copy-source")) for request in self.scene.proxy.requests)


def readings(scene: Scene) -> Iterator[Reading]:
    """Yield a scene whose first key is retired."""
    retired: str = scene.client._s3envelope.config.kms_key_id
    with ExitStack() as stack:

        def make(**fields: Any) -> Any:
            given = {
                "kms_key_id": scene.second_arn,
                "kms_client": scene.kms.client(),
                "retired_kms_key_ids": [retired],
                "rotate_on_read": HOUR,
                **fields,
            }
            nothing: Any = None
            client = enveloped_client(scene.endpoint, nothing, envelope=given)
            stack.callback(client.close)
            return client

        yield Reading(scene, make, retired)


def finish(client: Any) -> None:
    """Let the running rewraps come to their end, and close a client."""
    wait(client)
    client.close()


def wait(client: Any) -> None:
    """Let the running rewraps come to their end."""
    rotation = client._s3envelope.read_rotation
    thread = None if rotation is None else rotation._state.thread
    if thread is not None:
        thread.join(30)
        assert not thread.is_alive()


def with_clock(client: Any, clock: Clock) -> Any:
    """Return the ports of a client with another clock."""
    return replace(client._s3envelope.ports, clock=clock)


def with_process(client: Any, process: int) -> Any:
    """Return the ports of a client as in another process."""
    return replace(client._s3envelope.ports, process_id=lambda: process)
