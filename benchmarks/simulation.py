"""Uploads of up to 10,000 parts by the engine alone: no network, and no plaintext is sealed.

What is left is bookkeeping: what is known of every part, the index that ends the object, and the state that another
process would go on with. It must grow as the number of parts does, not faster.
"""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.figures import fit_power
from benchmarks.work import MIB
from s3envelope.core.context import EncryptionContext
from s3envelope.core.envelope import Envelope, seal_header
from s3envelope.core.index import IndexRow
from s3envelope.core.kdf import BodyKey
from s3envelope.core.ports import EncryptedDataKey
from s3envelope.core.secret import SecretBytes
from s3envelope.core.segments import TAG_SIZE
from s3envelope.core.upload_state import UploadState
from s3envelope.engine.indexed_uploads import IndexedUpload
from s3envelope.engine.sealing import SealedRun
from s3envelope.engine.uploads import PlainUpload
from s3envelope.stores.system import system_ports

PART_COUNTS = (1_250, 2_500, 5_000, 10_000)
_PART_SIZE = 8 * MIB
_KEY_SIZE = 32


@dataclass(frozen=True, slots=True)
class Simulated:
    """One upload.

    Args:
        cpu_seconds: For all parts and the end.
        peak_size: Bytes allocated at most.
        end_size: Bytes of the index or of the end segment.
        state_size: Bytes of the state that can be exported; 0 for a plain upload, which has none.
    """

    layout: str
    part_count: int
    cpu_seconds: float
    peak_size: int
    end_size: int
    state_size: int


class _NoSource:
    """A part of which only the size is asked."""

    size = _PART_SIZE

    def read_at(self, offset: int, size: int) -> bytes:
        raise AssertionError("nothing is sealed here")

    def rewind(self, offset: int) -> None:
        """Do nothing."""


def simulate(part_count: int) -> list[Simulated]:
    """Return what an upload of so many parts costs in both layouts."""
    return [_measured("plain", part_count, _plain), _measured("indexed", part_count, _indexed)]


def _measured(layout: str, part_count: int, upload: Callable[[int], tuple[int, int]]) -> Simulated:
    # Twice: what counts memory makes everything slower.
    started = time.process_time()
    upload(part_count)
    spent = time.process_time() - started
    tracemalloc.start()
    end_size, state_size = upload(part_count)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return Simulated(layout, part_count, spent, peak, end_size, state_size)


def _body_key(*, indexed: bool) -> tuple[Envelope, BodyKey]:
    keys = SecretBytes(bytes(_KEY_SIZE)), SecretBytes(bytes(_KEY_SIZE))
    context = EncryptionContext()
    header, body_key = seal_header(*keys, context=context, bound_name=None, indexed=indexed, nonce=bytes(12))
    return Envelope(header, (EncryptedDataKey(bytes(4), bytes(_KEY_SIZE)),), context), body_key


def _take_tags(run: SealedRun) -> None:
    """Keep what is kept of a part that was sealed: the last tag makes room for all of them."""
    run.attempt.confirm(run.attempt.segment_count - 1, bytes(TAG_SIZE))


def _plain(part_count: int) -> tuple[int, int]:
    upload = PlainUpload(_body_key(indexed=False)[1], _PART_SIZE, system_ports())
    for number in range(1, part_count + 1):
        run = upload.begin_part(number, _NoSource())
        _take_tags(run)
        upload.part_succeeded(number, f'"{number}"')
    end = upload.freeze([(number, f'"{number}"') for number in range(1, part_count + 1)])
    size = 0 if end is None else end[1].size
    upload.finish()
    return size, 0


def _indexed(part_count: int) -> tuple[int, int]:
    envelope, body_key = _body_key(indexed=True)
    state = UploadState("bucket", "key", "upload", envelope.to_metadata(), (), None)
    upload = IndexedUpload(state, body_key, system_ports())
    # The last one is the index.
    numbers = range(1, part_count)
    for number in numbers:
        run = upload.begin_part(number, _NoSource())
        _take_tags(run)
        upload.part_succeeded(IndexRow(number, run.attempt.nonce_start, _PART_SIZE), f'"{number}"', None)
    completion = upload.freeze([(number, f'"{number}"') for number in numbers])
    text, _ = upload.sealed_state()
    upload.finish()
    return len(completion.body), len(text)


def table(found: list[Simulated]) -> str:
    """Return the figures as a Markdown table, with the exponent of the growth of CPU time."""
    lines = [
        "| layout | parts | CPU ms | µs per part | peak MiB | end, bytes | state, bytes | CPU grows as parts to the |",
        "|---|" + "---:|" * 7,
    ]
    for one in found:
        points = [(each.part_count, each.cpu_seconds) for each in found if each.layout == one.layout]
        exponent = f"{fit_power(points):.2f}" if len(points) > 1 else ""
        lines.append(
            f"| {one.layout} | {one.part_count:,} | {one.cpu_seconds * 1e3:.0f} | "
            f"{one.cpu_seconds / one.part_count * 1e6:.0f} | {one.peak_size / MIB:.1f} | {one.end_size:,} | "
            f"{one.state_size:,} | {exponent} |"
        )
    return "\n".join(lines)
