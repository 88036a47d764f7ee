"""The numbers of a soak, and whether they are good."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.soak.findings import Findings
from tests.soak.measure import Footprint, RememberedUploads, rise

if TYPE_CHECKING:
    from tests.soak.soak import Plan

# Pools keep their connections: their number may still grow after the warm-up, but not beyond the size of the pools.
MOST_NEW_DESCRIPTORS = 40
MOST_NEW_DESCRIPTORS_WHEN_CLOSED = 2
# At quiet moments: what is held, and what fragments of freed memory lie between.
MOST_NEW_MIB = 24.0
# Under load: 16 threads that happen to meet many large objects at once take this much more.
MOST_RISE_MIB = 96.0
_SHORTEST_FOR_MEMORY_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Report:
    """What a soak found.

    Args:
        footprints: By the moment, in order.
        rss_samples: After the warm-up, in MiB.
        orphans: Multipart uploads that nobody aborted although that was possible.
        accounted_orphans: Those whose abort failed, or whose id never reached the client.
        unaborted_count: Uploads whose abort failed, or whose id never reached the client.
        remembered: Uploads in the memory of the clients at the end.
        left_states: Folders of unfinished uploads that were not removed: of some of those.
    """

    plan: Plan
    findings: Findings
    faults: Mapping[str, int]
    request_count: int
    footprints: Mapping[str, Footprint]
    rss_samples: list[float]
    orphans: list[str]
    accounted_orphans: list[str]
    unaborted_count: int
    left_states: int
    remembered: RememberedUploads

    @property
    def failures(self) -> list[str]:
        """Return what is not as it must be."""
        return list(self._failures())

    def _failures(self) -> Iterator[str]:
        yield from (f"{count} {kind}" for kind, count in self.findings.bad.items())
        if self.orphans:
            yield f"{len(self.orphans)} multipart uploads are left for no reason"
        if self.left_states > self.unaborted_count:
            yield f"{self.left_states} upload states are left"
        before, _, warm, end, closed = self.footprints.values()
        if end.descriptor_count > warm.descriptor_count + MOST_NEW_DESCRIPTORS:
            yield f"descriptors grew from {warm.descriptor_count} to {end.descriptor_count}"
        if closed.descriptor_count > before.descriptor_count + MOST_NEW_DESCRIPTORS_WHEN_CLOSED:
            yield f"{closed.descriptor_count - before.descriptor_count} descriptors are left"
        if closed.thread_count > before.thread_count:
            yield f"{closed.thread_count - before.thread_count} threads are left"
        if self.plan.seconds < _SHORTEST_FOR_MEMORY_SECONDS:
            return
        # A client that another one ends an upload for is not told: it keeps what it has of it.
        if (grown := end.rss_mib - warm.rss_mib - self.remembered.small_parts_mib) > MOST_NEW_MIB:
            yield f"memory that is held grew by {grown:.1f} MiB after the warm-up"
        if self.rss_rise > MOST_RISE_MIB:
            yield f"memory under load rose by {self.rss_rise} MiB after the warm-up"

    @property
    def rss_rise(self) -> float:
        """Return how much memory the last third took beyond the first, in MiB."""
        return rise(self.rss_samples)

    def as_json(self) -> dict[str, Any]:
        """Return everything, for a file."""
        return {
            "plan": dataclasses.asdict(self.plan),
            "operations": dict(sorted(self.findings.operations.items())),
            "skipped": dict(sorted(self.findings.skipped.items())),
            "errors": dict(self.findings.errors.most_common()),
            "requests": self.request_count,
            "faults": dict(self.faults),
            "wrong_reads": self.findings.bad["wrong reads"],
            "lost_objects": self.findings.bad["lost objects"],
            "unexpected_errors": self.findings.bad["unexpected errors"],
            "orphaned_uploads": len(self.orphans),
            "orphaned_uploads_accounted_for": len(self.accounted_orphans),
            "upload_states_left": self.left_states,
            "remembered_uploads": self.remembered.count,
            "remembered_small_parts_mib": self.remembered.small_parts_mib,
            "footprints": {moment: dataclasses.asdict(found) for moment, found in self.footprints.items()},
            "rss_rise_mib": self.rss_rise,
            "details": self.findings.details,
            "failures": self.failures,
        }

    def as_table(self) -> str:
        """Return everything, for people."""
        found = self.as_json()
        lines: list[str] = []
        for title in ("operations", "skipped", "faults", "errors"):
            counts: dict[str, int] = found[title]
            lines += [f"{title}: {sum(counts.values())}", *(f"  {count:8}  {name}" for name, count in counts.items())]
        lines += [f"{'':24}{'RSS MiB':>10}{'descriptors':>14}{'threads':>10}"]
        for moment, at in self.footprints.items():
            lines += [f"  {moment:22}{at.rss_mib:10}{at.descriptor_count:14}{at.thread_count:10}"]
        for name in (
            "requests",
            "rss_rise_mib",
            "wrong_reads",
            "lost_objects",
            "unexpected_errors",
            "orphaned_uploads",
            "orphaned_uploads_accounted_for",
            "upload_states_left",
            "remembered_uploads",
            "remembered_small_parts_mib",
        ):
            lines += [f"{name.replace('_', ' '):32}{found[name]:>10}"]
        lines += [*self.findings.details, *(f"FAILED: {failure}" for failure in self.failures)]
        return "\n".join(lines)
