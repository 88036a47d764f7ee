"""Whether a log is whole: its chain, and the anchors that were signed for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from s3envelope.audit.anchors import Anchor, AnchorVerifier, anchor_lines, open_anchor
from s3envelope.audit.chain import Entry, Finding, Head, LogSource, examine
from s3envelope.errors import AuditError

BAD_ANCHOR, CUT, REWRITTEN = "bad anchor", "cut", "rewritten"


@dataclass(slots=True)
class Verification:
    """What was found so far.

    Args:
        first, last: The oldest record, and the one with the highest number.
        anchored: The newest record that an anchor confirms.
        anchors: Confirmed ones.
    """

    records: int = 0
    anchors: int = 0
    first: Head | None = None
    last: Head | None = None
    anchored: Head | None = None
    pending: dict[tuple[str, int], list[Anchor]] = field(default_factory=dict)


def read_anchors(sources: Iterable[tuple[str, LogSource]], verifier: AnchorVerifier) -> Iterator[Anchor | Finding]:
    """Yield the anchors of files, verified, and a finding for each that is not genuine."""
    for file, source in sources:
        for number, line in enumerate(anchor_lines(source), 1):
            try:
                yield open_anchor(line, verifier)
            except AuditError as error:
                yield Finding(BAD_ANCHOR, file, number, None, f"anchor {number} of the file: {error}")


def verify(
    sources: Iterable[tuple[str, LogSource]],
    anchors: Iterable[Anchor] = (),
    *,
    partial: bool = False,
    into: Verification | None = None,
) -> Iterator[Entry | Finding]:
    """Yield every record of a log and everything that is wrong with it, in the order of the files.

    Memory grows with the number of anchors, and not with that of records.

    Args:
        sources: Names and contents of the files of one log, oldest first.
        anchors: Of this log, verified.
        partial: Whether the log may begin in the middle of a chain; older anchors are then passed over.
        into: Is told what was found.
    """
    found = Verification() if into is None else into
    for anchor in anchors:
        found.pending.setdefault((anchor.head.chain, anchor.head.sequence), []).append(anchor)
    for item in examine(sources, partial=partial):
        if isinstance(item, Finding):
            yield item
            continue
        found.records += 1
        if found.first is None:
            found.first = item.head
        if found.last is None or item.head.sequence >= found.last.sequence:
            found.last = item.head
        if found.pending:
            yield from _compare(found, item)
        yield item
    yield from _unmet(found, partial)


def _compare(found: Verification, entry: Entry) -> Iterator[Finding]:
    head = entry.head
    for anchor in found.pending.pop((head.chain, head.sequence), ()):
        if anchor.head != head:
            message = f"record {head.sequence} is not the one that was anchored at {anchor.time}"
            yield Finding(REWRITTEN, entry.file, entry.line_number, head.sequence, message)
            continue
        found.anchors += 1
        if found.anchored is None or found.anchored.sequence < head.sequence:
            found.anchored = head


def _unmet(found: Verification, partial: bool) -> Iterator[Finding]:
    """Yield what anchors say of records that were not there."""
    first = None if found.first is None else found.first.sequence
    for chain, sequence in sorted(found.pending):
        if partial and first is not None and sequence < first:
            continue
        anchor = found.pending[chain, sequence][0]
        is_end = found.last is None or sequence > found.last.sequence
        kind = CUT if is_end and (found.last is None or chain == found.last.chain) else REWRITTEN
        message = f"record {sequence} of chain {chain} was anchored at {anchor.time}, and is not there"
        yield Finding(kind, "", 0, sequence, message)
