"""What is there before the blocks of a page are run, and what its commands must have printed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import s3envelope
from tests.support.documents import BUCKET


def _nothing() -> None:
    """Prepare nothing."""


def _object_of_an_amazon_client() -> None:
    client = s3envelope.client("s3", kms_key_id="alias/orders", write_format="s3ec-v3", read_formats=("s3ec-v3",))
    client.put_object(Bucket=BUCKET, Key="amazon/1", Body=b"of an Amazon client")
    client.close()


@dataclass(frozen=True, slots=True)
class Scene:
    """The surroundings of a page.

    Args:
        prepare: Makes what the page speaks of as being there.
        printed: Texts that its shell blocks print.
    """

    prepare: Callable[[], None] = _nothing
    printed: tuple[str, ...] = ()


SCENES = {
    "MIGRATION.md": Scene(_object_of_an_amazon_client, ("s3ec-v3; would be sealed as SE1", "2 done, 1 kept", "1 done")),
    "QUICKSTART.md": Scene(printed=("round trip", "an object of 100,000 bytes was written, read and", "SE1")),
    "RUNBOOK.md": Scene(printed=("3 done", "hint ")),
}
