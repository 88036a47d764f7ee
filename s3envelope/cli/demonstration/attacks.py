"""Steps about hostile storage: what a reader refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from s3envelope.cli.demonstration.sample import MIB
from s3envelope.cli.demonstration.scene import CONTEXT, Scene, check, make_config
from s3envelope.cli.output import size
from s3envelope.core.segments import SEALED_SEGMENT_SIZE, SEGMENT_SIZE
from s3envelope.errors import ContextMismatchError, S3EnvelopeError, SegmentAuthenticationError, TruncatedObjectError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_FLIPPED_AT = 100
_PIECE_SIZE = 256 * 1024


def refuse_tampered(scene: Scene) -> str:
    """Flip one stored bit; no byte of the segment that it is in may come out."""
    segment = scene.sample.size // SEGMENT_SIZE // 2
    offset = segment * SEALED_SEGMENT_SIZE + _FLIPPED_AT

    def flip(path: Path) -> None:
        with path.open("r+b") as file:
            file.seek(offset)
            (byte,) = file.read(1)
            file.seek(offset)
            file.write(bytes([byte ^ 1]))

    with _edited(scene, flip):
        error, released = _read_all(scene, scene.reader)
        leftovers = _download_leaves(scene)
    scene.show(
        ("edited", f"one bit of stored byte {offset:,}, in segment {segment:,}; same metadata"),
        ("get_object", f"{type(error).__name__} after {size(released)}, each of a verified segment"),
        ("download_file", "a file is left" if leftovers else "no file is left"),
    )
    check(isinstance(error, SegmentAuthenticationError), f"the edit was answered with {_name(error)}")
    check(released <= segment * SEGMENT_SIZE, f"{released - segment * SEGMENT_SIZE} unverified bytes came out")
    check(not leftovers, f"download_file left {', '.join(leftovers)}")
    return "the edited object is refused, and no unverified byte was released"


def refuse_truncated(scene: Scene) -> str:
    """Cut the object where every remaining segment is still authentic."""
    kept = max(scene.sample.size // SEGMENT_SIZE // 2, 1) * SEALED_SEGMENT_SIZE

    def cut(path: Path) -> None:
        with path.open("r+b") as file:
            file.truncate(kept)

    with _edited(scene, cut):
        error, released = _read_all(scene, scene.reader)
        leftovers = _download_leaves(scene)
    scene.show(
        ("edited", f"cut to {size(kept)}, between two segments; same metadata"),
        ("get_object", f"{type(error).__name__} after {size(released)}"),
        ("download_file", "a file is left" if leftovers else "no file is left"),
    )
    check(isinstance(error, TruncatedObjectError), f"the cut was answered with {_name(error)}")
    check(not leftovers, f"download_file left {', '.join(leftovers)}")
    return "the truncated object is refused: a clean end is never made up"


def refuse_wrong_context(scene: Scene) -> str:
    """Read with a configuration that expects another encryption context."""
    other = {**CONTEXT, "tenant": "globex"}
    trouble, read_size = _read_all(scene, scene.reader)
    check(trouble is None and read_size == scene.sample.size, f"with the right context: {_name(trouble)}")
    client = scene.storage.make_enveloped(make_config(scene.key_service, other))
    before = scene.key_service.count_calls()
    error, released = _read_all(scene, client)
    asked = scene.key_service.count_calls() - before
    scene.show(
        ("written with", _in_words(CONTEXT)),
        ("expected by the reader", _in_words(other)),
        ("get_object with the right context", size(read_size)),
        ("get_object with the wrong one", f"{type(error).__name__} after {size(released)}"),
    )
    check(isinstance(error, ContextMismatchError), f"the other context was answered with {_name(error)}")
    check(released == 0, f"{released} bytes came out")
    check(asked["Decrypt"] == 0, "KMS was asked to decrypt nevertheless")
    return "the object of another tenant is refused, before KMS is asked for its key"


def _read_all(scene: Scene, client: S3Client) -> tuple[S3EnvelopeError | None, int]:
    """Read the object to its end or to an error; return the error and how many bytes came out before it."""
    released = 0
    with scene.sample.path.open("rb") as original:
        try:
            body = client.get_object(Bucket=scene.bucket, Key=scene.key)["Body"]
            for piece in body.iter_chunks(_PIECE_SIZE):
                check(piece == original.read(len(piece)), "bytes came out that are not those of the file")
                released += len(piece)
        except S3EnvelopeError as error:
            return error, released
    return None, released


def _download_leaves(scene: Scene) -> list[str]:
    """Download the object; return the names of the files that a failure has left behind."""
    folder = scene.folder / "refused"
    folder.mkdir(exist_ok=True)
    with suppress(S3EnvelopeError):
        scene.reader.download_file(scene.bucket, scene.key, str(folder / "orders.bin"))
    leftovers = sorted(path.name for path in folder.iterdir())
    for path in folder.iterdir():
        path.unlink()
    return leftovers


@contextmanager
def _edited(scene: Scene, edit: Callable[[Path], None]) -> Iterator[None]:
    """Let an attacker change the stored bytes during the block; afterwards the object is as it was."""
    original, changed = scene.folder / "stored", scene.folder / "changed"
    metadata = scene.plain.head_object(Bucket=scene.bucket, Key=scene.key)["Metadata"]
    with original.open("rb") as source, changed.open("wb") as target:
        while piece := source.read(MIB):
            target.write(piece)
    edit(changed)
    try:
        _put_plain(scene, changed, metadata)
        yield
    finally:
        _put_plain(scene, original, metadata)
        changed.unlink()


def _put_plain(scene: Scene, path: Path, metadata: dict[str, str]) -> None:
    with path.open("rb") as file:
        scene.plain.put_object(Bucket=scene.bucket, Key=scene.key, Body=file, Metadata=metadata)


def _name(error: Exception | None) -> str:
    return "no error at all" if error is None else type(error).__name__


def _in_words(context: dict[str, str]) -> str:
    return ", ".join(f"{name}={value}" for name, value in context.items())
