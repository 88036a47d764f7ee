"""Steps about honest storage: what goes up, what the server holds, what comes back."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from boto3.s3.transfer import TransferConfig

from s3envelope.cli.demonstration.sample import MIB, contains, entropy, read_at, sha256_of
from s3envelope.cli.demonstration.scene import Scene, check, describe_calls
from s3envelope.cli.output import Advance, progress, size
from s3envelope.core.envelope import is_envelope_name
from s3envelope.core.layout import run_size

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_SHOWN_SIZE = 32
_MOST_SAMPLED = 4 * MIB
_HIGH_ENTROPY, _LOW_ENTROPY = 7.99, 6.5
_RANGE_SIZE = 1000
_MOST_OVERHEAD = 2 * 65_564
_ROUND_COUNT = 2


@dataclass(slots=True)
class _Total:
    """Adds up what a Callback is told, and passes it on."""

    advance: Advance
    told: list[int] = field(default_factory=list)

    def __call__(self, count: int) -> None:
        self.told.append(count)
        self.advance(count)


def upload(scene: Scene) -> str:
    """Upload the file and compare what the progress callback counted."""
    with progress(scene.console, "  upload_file", scene.sample.size) as advance:
        total = _Total(advance)
        started = time.monotonic()
        scene.writer.upload_file(str(scene.sample.path), scene.bucket, scene.key, Callback=total)
    seconds = time.monotonic() - started
    counted = sum(total.told)
    check(counted == scene.sample.size, f"the callback counted {counted} bytes of {scene.sample.size}")
    return f"uploaded {size(scene.sample.size)} in {seconds:.1f} s; the Callback counted plaintext bytes"


def inspect_stored(scene: Scene) -> str:
    """Look at the stored object with a client that cannot decrypt it."""
    stored = scene.folder / "stored"
    scene.plain.download_file(scene.bucket, scene.key, str(stored))
    head = scene.plain.head_object(Bucket=scene.bucket, Key=scene.key)
    metadata = sorted(head["Metadata"].items())
    scene.show(
        *(
            (name, value if len(value) <= 60 else f"{value[:56]}... ({len(value)} characters)")
            for name, value in metadata
        ),
        title="metadata",
    )
    sample = scene.sample
    scene.show(
        ("first bytes of the file", read_at(sample.path, 0, _SHOWN_SIZE).hex(" ")),
        ("first bytes in S3", read_at(stored, 0, _SHOWN_SIZE).hex(" ")),
        ("size of the file", size(sample.size)),
        ("size in S3", f"{size(stored.stat().st_size)}, {100 * (stored.stat().st_size / sample.size - 1):+.3f} %"),
    )
    check(any(is_envelope_name(name) for name, _ in metadata), "the object has no envelope in its metadata")
    check(stored.stat().st_size == run_size(sample.size), "the stored object has another size than the format says")
    check(not contains(stored, sample.line), "a line of the file stands in the stored object")
    sampled = min(_MOST_SAMPLED, sample.size // 2)
    before, after = (entropy(read_at(path, 0, sampled)) for path in (sample.path, stored))
    scene.tell(f"entropy of the first {size(sampled)}: {before:.3f} bits/byte in the file, {after:.3f} in S3")
    check(before < _LOW_ENTROPY and after > _HIGH_ENTROPY, "what is stored does not look random")
    return "the server holds ciphertext only: no line of the file is in it, and its bytes look random"


def download(scene: Scene) -> str:
    """Download with another client and compare the hashes."""
    target = scene.folder / "downloaded"
    with progress(scene.console, "  download_file", scene.sample.size) as advance:
        started = time.monotonic()
        scene.reader.download_file(scene.bucket, scene.key, str(target), Callback=advance)
    seconds = time.monotonic() - started
    digest = sha256_of(target)
    scene.show(("SHA-256 of the file", scene.sample.sha256), ("SHA-256 downloaded", digest))
    target.unlink()
    check(digest == scene.sample.sha256, "what came back is not the file")
    length = scene.reader.head_object(Bucket=scene.bucket, Key=scene.key)["ContentLength"]
    check(length == scene.sample.size, f"head_object says {length} bytes")
    return f"another client got the same bytes back in {seconds:.1f} s, and head_object tells the plaintext size"


def read_range(scene: Scene) -> str:
    """Read a few bytes in the middle and measure what that costs."""
    start = scene.sample.size // 2 - _RANGE_SIZE // 3
    end = start + _RANGE_SIZE
    requests, fetched = scene.meter.request_count, scene.meter.fetched_size
    answer = scene.reader.get_object(Bucket=scene.bucket, Key=scene.key, Range=f"bytes={start}-{end - 1}")
    content = answer["Body"].read()
    requests, fetched = scene.meter.request_count - requests, scene.meter.fetched_size - fetched
    scene.show(
        ("asked", f"bytes {start}-{end - 1}: {size(_RANGE_SIZE)}, across the border of two segments"),
        ("fetched from S3", f"{size(fetched)} in {requests} request(s)"),
        ("answered", f"{size(len(content))}, ContentRange {answer['ContentRange']}"),
    )
    check(content == read_at(scene.sample.path, start, _RANGE_SIZE), "the range is not the slice of the file")
    check(0 < fetched <= _RANGE_SIZE + _MOST_OVERHEAD, f"{fetched} bytes were fetched for {_RANGE_SIZE}")
    return "the range is the slice of the file; only the segments around it were fetched, and each was verified"


def count_key_calls(scene: Scene) -> str:
    """Compare the calls of the key service with what was done so far."""
    calls = scene.key_service.count_calls()
    scene.tell(f"KMS calls so far: {describe_calls(calls)}")
    check(calls["GenerateDataKey"] == 1, f"{calls['GenerateDataKey']} GenerateDataKey for one upload")
    check(calls["Decrypt"] == 1, f"{calls['Decrypt']} Decrypt for one object and one reader")
    return "1 GenerateDataKey for the writer and 1 Decrypt for the reader, however many parts, ranges and reads"


def compare_speed(scene: Scene) -> str:
    """Transfer the file with and without encryption."""
    config = TransferConfig()
    clients = {"plain boto3": (scene.plain, f"{scene.prefix}plain.bin"), "s3envelope": (scene.writer, scene.key)}
    rounds = [
        {name: _time_transfers(scene, client, key, config) for name, (client, key) in clients.items()}
        for _ in range(_ROUND_COUNT)
    ]
    times = {
        name: (min(times[name][0] for times in rounds), min(times[name][1] for times in rounds)) for name in clients
    }
    amount = scene.sample.size / MIB
    scene.show(
        *(
            (name, f"upload_file {amount / up:6.1f} MiB/s, download_file {amount / down:6.1f} MiB/s")
            for name, (up, down) in times.items()
        ),
        title=f"the best of {_ROUND_COUNT} turns each, same server, same TransferConfig",
    )
    (plain_up, plain_down), (sealed_up, sealed_down) = times.values()
    return (
        f"s3envelope runs at {plain_up / sealed_up:.0%} (up) and {plain_down / sealed_down:.0%} (down) of plain boto3"
    )


def _time_transfers(scene: Scene, client: S3Client, key: str, config: TransferConfig) -> tuple[float, float]:
    """Return the seconds of an upload and of a download."""
    target = scene.folder / "transferred"
    started = time.monotonic()
    client.upload_file(str(scene.sample.path), scene.bucket, key, Config=config)
    uploaded = time.monotonic()
    client.download_file(scene.bucket, key, str(target), Config=config)
    done = time.monotonic()
    check(sha256_of(target) == scene.sample.sha256, "what came back is not the file")
    target.unlink()
    return uploaded - started, done - uploaded
