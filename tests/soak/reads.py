"""The reading operations of a soak: each shows one of the contents that its key may have held, complete and exact."""

from __future__ import annotations

import io
import random
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from boto3.s3.transfer import TransferConfig
from botocore.exceptions import ClientError

from s3envelope.errors import S3EnvelopeError
from tests.soak.contents import Content
from tests.soak.findings import LostObjectError, Skip, WrongReadError, code_of, is_missing, tells_of_a_change
from tests.soak.model import KeyModel, Watch, group_of
from tests.soak.scene import Operations

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

TRANSFER = TransferConfig(
    multipart_threshold=5 << 20, multipart_chunksize=5 << 20, max_concurrency=3, num_download_attempts=3
)


class OnlyWrite:
    """A sink that cannot seek."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []

    def write(self, piece: bytes) -> int:
        self._pieces.append(bytes(piece))
        return len(piece)

    @property
    def content(self) -> bytes:
        return b"".join(self._pieces)


class Reads(Operations):
    """Reads of random keys."""

    @property
    def operations(self) -> dict[Callable[[random.Random], None], int]:
        """Return the operations with their weights."""
        return {
            self.get_object: 14,
            self.get_object_range: 14,
            self.head_object: 8,
            self.download_file: 6,
            self.download_fileobj: 6,
            self.list_objects: 4,
        }

    def get_object(self, rng: random.Random) -> None:
        with self._reading(rng) as (key, client, watch):
            with_pieces = rng.random() < 0.5
            body = client.get_object(Bucket=self._bucket, Key=key.name)["Body"]
            found = b"".join(body.iter_chunks(100_000)) if with_pieces else body.read()
            self.expect(watch, key, found)

    def get_object_range(self, rng: random.Random) -> None:
        with self._reading(rng) as (key, client, watch):
            size = max((content.size for content in watch.contents), default=10)
            start = rng.randrange(size + 2)
            end = min(start + rng.choice([1, 1000, 65536, 300_000]), start + size)
            cuts: dict[str, Callable[[Content], Content]] = {
                f"bytes={start}-{end}": lambda content: content.cut(start, end + 1),
                f"bytes={start}-": lambda content: content.cut(start, content.size),
                f"bytes=-{end + 1}": lambda content: content.cut(max(content.size - end - 1, 0), content.size),
            }
            header, cut = rng.choice(list(cuts.items()))
            try:
                found = client.get_object(Bucket=self._bucket, Key=key.name, Range=header)["Body"].read()
            except ClientError as error:
                # The number is all there is if the answer was cut off.
                if code_of(error) in ("InvalidRange", "416") and any(
                    not cut(content).size for content in watch.contents
                ):
                    return
                raise
            self.expect(watch, key, found, cut)

    def head_object(self, rng: random.Random) -> None:
        with self._reading(rng) as (key, client, watch):
            size = client.head_object(Bucket=self._bucket, Key=key.name)["ContentLength"]
            if size not in {content.size for content in watch.contents}:
                raise WrongReadError(f"{key.name} shows {size} bytes, not those of {watch.contents}")

    def download_file(self, rng: random.Random) -> None:
        with self._reading(rng) as (key, client, watch), tempfile.TemporaryDirectory(dir=self._folder) as folder:
            path = Path(folder) / "file"
            try:
                client.download_file(self._bucket, key.name, str(path), Config=TRANSFER)
            except Exception:
                if list(Path(folder).iterdir()):
                    raise WrongReadError(f"a failed download of {key.name} left a file") from None
                raise
            self.expect(watch, key, path.read_bytes())

    def download_fileobj(self, rng: random.Random) -> None:
        with self._reading(rng) as (key, client, watch):
            can_seek = rng.random() < 0.5
            sink: Any = io.BytesIO() if can_seek else OnlyWrite()
            client.download_fileobj(self._bucket, key.name, sink, Config=TRANSFER)
            self.expect(watch, key, sink.getvalue() if can_seek else sink.content)

    def list_objects(self, rng: random.Random) -> None:
        group, client = rng.choice(self._model.groups), rng.choice(self._clients)
        with ExitStack() as stack:
            watches = {
                key.name: stack.enter_context(key.watched()) for key in self._model.keys if group_of(key) == group
            }
            pages = client.get_paginator("list_objects_v2").paginate(
                Bucket=self._bucket, Prefix=group, PaginationConfig={"PageSize": 10}
            )
            sizes = {entry["Key"]: entry["Size"] for page in pages for entry in page.get("Contents", [])}
        for name, watch in watches.items():
            if name not in sizes:
                if not watch.may_be_missing:
                    raise LostObjectError(f"{name} is not listed")
            elif not any(
                content.size <= sizes[name] <= content.size + content.slack_size for content in watch.contents
            ):
                raise WrongReadError(f"{name} is listed with {sizes[name]} bytes, not those of {watch.contents}")

    def expect(
        self, watch: Watch, key: KeyModel, found: bytes, cut: Callable[[Content], Content] = lambda content: content
    ) -> None:
        """Raise `WrongReadError` unless what was found is, cut, one of the contents."""
        if not any(self._contents.read(cut(content)) == found for content in watch.contents):
            raise WrongReadError(f"{key.name} holds {len(found)} bytes that are none of {watch.contents}")

    def read_once_more(self, key: KeyModel) -> None:
        """Read one key, when nobody writes any more."""
        with self._watching(key) as watch:
            self.expect(watch, key, self._clients[0].get_object(Bucket=self._bucket, Key=key.name)["Body"].read())

    @contextmanager
    def _reading(self, rng: random.Random) -> Iterator[tuple[KeyModel, S3Client, Watch]]:
        key, client = rng.choice(self._model.keys), rng.choice(self._clients)
        with self._watching(key) as watch:
            yield key, client, watch

    @contextmanager
    def _watching(self, key: KeyModel) -> Iterator[Watch]:
        """Watch a key, and judge what is raised while it is read."""
        with key.watched() as watch:
            try:
                yield watch
            except Exception as error:
                if tells_of_a_change(error) and len(watch.states) > 1:
                    raise Skip("the object changed while it was read") from error
                if isinstance(error, S3EnvelopeError):
                    raise WrongReadError(f"{key.name}: {type(error).__name__}: {error}") from error
                if is_missing(error) and watch.may_be_missing:
                    return
                if is_missing(error):
                    raise LostObjectError(f"{key.name} is missing") from error
                raise
