"""Whether a target already is what its source is, in plaintext terms."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from s3envelope.cli.transferring.items import Item, have_one_size
from s3envelope.core.ports import ByteSource
from s3envelope.engine.sources import read_fully

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

How = Literal["time", "size", "content"]
_PIECE_SIZE = 1 << 20


def is_up_to_date(client: S3Client, source: Item, target: Item, how: How) -> bool:
    """Tell whether nothing needs to be transferred.

    Args:
        how: Sizes are always compared. "time": the target must not be older. "content": both must hold the same
            bytes; what is in S3 is read and verified, for nothing that is stored tells the plaintext.

    Raises:
        S3EnvelopeError, ClientError, BotoCoreError, OSError: A content cannot be read.
    """
    if not have_one_size(client, source, target):
        return False
    if how == "time":
        return source.seconds <= target.seconds
    return how == "size" or _hold_the_same(client, source, target)


def _hold_the_same(client: S3Client, one: Item, other: Item) -> bool:
    with _content(client, one) as first, _content(client, other) as second:
        while True:
            piece = read_fully(first, _PIECE_SIZE)
            if piece != read_fully(second, _PIECE_SIZE):
                return False
            if not piece:
                return True


@contextmanager
def _content(client: S3Client, item: Item) -> Iterator[ByteSource]:
    if isinstance(item.place, Path):
        with item.place.open("rb") as file:
            yield file
        return
    body: Any = client.get_object(Bucket=item.place.bucket, Key=item.place.key)["Body"]
    with closing(body):
        yield body
