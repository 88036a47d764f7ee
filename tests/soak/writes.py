"""The writing operations of a soak."""

from __future__ import annotations

import io
import random
import tempfile
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from botocore.exceptions import ClientError

from s3envelope.testing.streams import NonSeekableSource, ShortReadSource
from tests.soak.contents import Content, joined
from tests.soak.findings import Skip, code_of, is_clean, is_missing, was_retried
from tests.soak.model import KeyModel
from tests.soak.reads import TRANSFER
from tests.soak.scene import Operations

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_PART = 5 << 20
_SIZES = [0, 1, 1000, 65_535, 65_536, 65_537, 131_072, 200_000, 300_000]
_LARGE_SHARE = 0.05
# Of the low-level uploads, those that both clients go on with.
_SHARED_SHARE = 0.1
_PRECONDITION = ("PreconditionFailed", "412")


def _precondition_held(error: Exception) -> bool:
    """Tell whether a conditional write was refused at its first attempt: nothing was written."""
    return code_of(error) in _PRECONDITION and not was_retried(error)


class Writes(Operations):
    """Writes of random keys."""

    @property
    def operations(self) -> dict[Callable[[random.Random], None], int]:
        """Return the operations with their weights."""
        return {
            self.put_object: 16,
            self.put_object_if_absent: 4,
            self.put_object_if_unchanged: 4,
            self.upload_file: 6,
            self.upload_fileobj: 6,
            self.multipart_upload: 5,
            self.upload_part_copy: 3,
            self.copy_object: 6,
            self.copy: 4,
            self.delete_object: 5,
            self.delete_objects: 2,
        }

    def put_object(self, rng: random.Random) -> None:
        with self._model.written(rng) as (key,):
            content = self._contents.new(rng.choice(_SIZES))
            with key.becoming(content):
                self._client(rng).put_object(Bucket=self._bucket, Key=key.name, Body=self._body(rng, content))

    def put_object_if_absent(self, rng: random.Random) -> None:
        with self._model.written(rng) as (key,):
            content, was_there = self._contents.new(rng.choice(_SIZES)), None not in key.possible
            try:
                with key.becoming(content, refused=_precondition_held):
                    self._client(rng).put_object(
                        Bucket=self._bucket, Key=key.name, Body=self._contents.read(content), IfNoneMatch="*"
                    )
            except ClientError as error:
                if _precondition_held(error) and key.possible != {None}:
                    return
                raise
            if was_there:
                raise AssertionError(f"IfNoneMatch='*' replaced {key.name}")

    def put_object_if_unchanged(self, rng: random.Random) -> None:
        with self._model.written(rng) as (key,):
            client, content = self._client(rng), self._contents.new(rng.choice(_SIZES))
            if key.certain() is None:
                raise Skip("there is nothing, or nobody knows")
            etag = client.head_object(Bucket=self._bucket, Key=key.name)["ETag"]
            with key.becoming(content, refused=_precondition_held):
                client.put_object(Bucket=self._bucket, Key=key.name, Body=self._contents.read(content), IfMatch=etag)

    def upload_file(self, rng: random.Random) -> None:
        with self._model.written(rng) as (key,), tempfile.TemporaryDirectory(dir=self._folder) as folder:
            content, path = self._content(rng), Path(folder) / "file"
            path.write_bytes(self._contents.read(content))
            with key.becoming(content):
                self._client(rng).upload_file(str(path), self._bucket, key.name, Config=TRANSFER)

    def upload_fileobj(self, rng: random.Random) -> None:
        with self._model.written(rng) as (key,):
            content = self._content(rng)
            body: Any = self._body(rng, content, only_streams=True)
            with key.becoming(content):
                self._client(rng).upload_fileobj(body, self._bucket, key.name, Config=TRANSFER)

    def multipart_upload(self, rng: random.Random) -> None:
        """Upload parts of odd sizes and numbers in any order, some twice, and not always to the end."""
        with self._model.written(rng) as (key,):
            sizes = [_PART + rng.choice([0, 1, 65_536]) for _ in range(rng.choice([0, 0, 0, 1, 2]))]
            parts = [self._contents.new(size) for size in (*sizes, rng.choice(_SIZES))]
            self._multipart(rng, key, parts, self._send)

    def upload_part_copy(self, rng: random.Random) -> None:
        """Make an object of a range of another one, behind a part of its own or alone."""
        with self._model.written(rng, 2) as (key, source):
            whole = source.certain()
            if whole is None or whole.size == 0:
                raise Skip("there is nothing to copy")
            start = rng.randrange(whole.size)
            copied = whole.cut(start, rng.randint(start + 1, whole.size))
            last = start + copied.size - 1
            first = [self._contents.new(_PART)] if rng.random() < 0.2 else []

            def send(client: S3Client, names: Any, number: int, content: Content) -> str:
                if content is not copied:
                    return self._send(client, names, number, content)
                answer = client.upload_part_copy(
                    **names,
                    PartNumber=number,
                    CopySource={"Bucket": self._bucket, "Key": source.name},
                    CopySourceRange=f"bytes={start}-{last}",
                )
                return answer["CopyPartResult"]["ETag"]

            self._multipart(rng, key, [*first, copied], send)

    def copy_object(self, rng: random.Random) -> None:
        with self._model.written(rng, 2) as (key, source):
            self._copy(
                key,
                source,
                lambda where: self._client(rng).copy_object(Bucket=self._bucket, Key=key.name, CopySource=where),
            )

    def copy(self, rng: random.Random) -> None:
        with self._model.written(rng, 2) as (key, source):
            self._copy(
                key, source, lambda where: self._client(rng).copy(where, self._bucket, key.name, Config=TRANSFER)
            )

    def delete_object(self, rng: random.Random) -> None:
        with self._model.written(rng) as (key,), key.becoming(None):
            self._client(rng).delete_object(Bucket=self._bucket, Key=key.name)

    def delete_objects(self, rng: random.Random) -> None:
        with self._model.written(rng, 3) as keys, ExitStack() as stack:
            for key in keys:
                stack.enter_context(key.becoming(None))
            answer = self._client(rng).delete_objects(
                Bucket=self._bucket, Delete={"Objects": [{"Key": key.name} for key in keys]}
            )
            if answer.get("Errors"):
                raise AssertionError(f"a batch was deleted in part: {answer['Errors']}")

    # ---- what they share ----

    def _client(self, rng: random.Random) -> S3Client:
        return rng.choice(self._clients)

    def _content(self, rng: random.Random) -> Content:
        is_large = rng.random() < 2 * _LARGE_SHARE
        return self._contents.new(_PART + rng.randrange(6 << 20) if is_large else rng.choice(_SIZES))

    def _body(self, rng: random.Random, content: Content, *, only_streams: bool = False) -> Any:
        plaintext = self._contents.read(content)
        makers: list[Callable[[bytes], Any]] = [io.BytesIO, NonSeekableSource]
        if not only_streams:
            # upload_fileobj closes what it was given, and takes a short part for the last one.
            makers.append(lambda whole: ShortReadSource(whole, longest=50_000, seed=rng.randrange(1000)))
            makers += [bytes, bytearray, memoryview]
        return rng.choice(makers)(plaintext)

    def _copy(self, key: KeyModel, source: KeyModel, copy: Callable[[Any], object]) -> None:
        before, possible = key.possible, [state for state in source.possible if state is not None]
        if not possible:
            raise Skip("there is nothing to copy")
        try:
            with key.becoming(*possible, refused=is_missing):
                copy({"Bucket": self._bucket, "Key": source.name})
        except ClientError as error:
            if is_missing(error) and None in source.possible:
                assert key.possible == before
                return
            raise

    def _send(self, client: S3Client, names: Any, number: int, content: Content) -> str:
        return client.upload_part(**names, PartNumber=number, Body=self._contents.read(content))["ETag"]

    def _multipart(
        self,
        rng: random.Random,
        key: KeyModel,
        parts: list[Content],
        send: Callable[[S3Client, Any, int, Content], str],
    ) -> None:
        numbers = sorted(rng.sample(range(1, 30), len(parts)))
        order = list(zip(numbers, parts, strict=True))
        rng.shuffle(order)
        begun = self._client(rng)
        clients = self._clients if rng.random() < _SHARED_SHARE else [begun]
        names: Any = {"Bucket": self._bucket, "Key": key.name}
        names["UploadId"] = begun.create_multipart_upload(**names)["UploadId"]
        is_over = False
        try:
            if rng.random() < 0.2:
                self._send(begun, names, order[0][0], self._contents.new(1000))
            etags = {number: send(rng.choice(clients), names, number, content) for number, content in order}
            if rng.random() < 0.85:
                completed: Any = [{"PartNumber": number, "ETag": etags[number]} for number in numbers]
                with key.becoming(joined(parts)):
                    rng.choice(clients).complete_multipart_upload(**names, MultipartUpload={"Parts": completed})
                is_over = True
        finally:
            if not is_over:
                self._abort(rng.choice(clients), names)

    def _abort(self, client: S3Client, names: Any) -> None:
        """Abort an upload as well as that can be done; one that fails is seen on its way."""
        for _ in range(2):
            try:
                client.abort_multipart_upload(**names)
            except Exception as error:
                if code_of(error) == "NoSuchUpload":
                    return
                if not is_clean(error):
                    raise
                continue
            return
