"""An upload that one client begins and another one ends: what the first one keeps of it."""

from __future__ import annotations

from typing import Any

from tests.support.enveloped import ClientFactory
from tests.support.transferring import Transferring
from tests.support.uploading import PART, Uploading


def _remembered(client: Any) -> int:
    return len(client._s3envelope.uploads._known)


def test_client_when_it_ends_an_upload_itself_then_forgets_it(at: Transferring) -> None:
    upload = Uploading(at.client, at.bucket)
    upload.part(1, b"x")
    upload.complete()

    assert _remembered(at.client) == 0


def test_client_when_another_one_has_ended_its_upload_then_forgets_it(at: Transferring, sealed: ClientFactory) -> None:
    other = sealed(at.endpoint, envelope={"state_dir": at.states})
    upload = Uploading(at.client, at.bucket)
    upload.part(1, bytes(PART))
    upload.part(2, b"small", client=other)
    upload.complete(client=other)

    # Whatever the first client does next is an occasion to look.
    later = Uploading(at.client, at.bucket, "later")
    later.part(1, b"x")
    later.complete()

    at.assert_nothing_is_left("k", "later")
    assert _remembered(at.client) == 0
