"""The work that every subject is given: calls, sizes, threads."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
RANGE_SIZE = 64 * KIB
# What is larger is not left in the memory of the sink when a subject is through with it.
KEPT_SIZE = 128 * MIB
REALISTIC_KMS_SECONDS = 0.01
_CALLS = {
    "put": "put_object",
    "get": "get_object",
    "upload": "upload_file",
    "download": "download_file",
    "range": "64 KiB range",
    "rewrap": "rewrap",
}


@dataclass(frozen=True, slots=True)
class Case:
    """One kind of call, made `count` times per measurement.

    Args:
        call: A method of `Subject`.
        size: Plaintext bytes of each object.
        objects: How many different objects the calls go to, one after the other.
        threads: How many calls are under way at once.
        kms_seconds: Added to every answer of KMS.
        weighed: Whether peak memory and the requests of a new process are measured as well.
        prepares: Whether it only makes what the next cases need: once, and without being shown.
    """

    call: str
    size: int
    count: int = 1
    objects: int = 1
    threads: int = 1
    kms_seconds: float = 0.0
    weighed: bool = True
    prepares: bool = False

    @property
    def name(self) -> str:
        """What the tables call it; no two cases of a plan that are shown have the same name."""
        if self.call == "range":
            return f"64 KiB ranges of {size_label(self.size)}"
        name = f"{_CALLS[self.call]} {size_label(self.size)}"
        if self.objects > 1:
            name += f", {self.objects:,} objects by {self.threads} thread{'s' * (self.threads > 1)}"
        if self.kms_seconds:
            name += f", KMS {self.kms_seconds * 1000:.0f} ms away"
        return name

    @property
    def moved_size(self) -> int:
        """Plaintext bytes that one measurement moves."""
        return self.count * (RANGE_SIZE if self.call == "range" else self.size)

    @property
    def shows_rate(self) -> bool:
        """Whether its figure is MB/s; else it is milliseconds per call."""
        return self.size >= MIB and self.call in ("put", "get", "upload", "download")


@dataclass(frozen=True, slots=True)
class Group:
    """Cases over the same objects: those that write come first."""

    cases: tuple[Case, ...]


@dataclass(frozen=True, slots=True)
class Plan:
    """What one run does.

    Args:
        name: Figures are compared with those of a plan of the same name only.
        rounds: Measurements that count.
    """

    name: str
    rounds: int
    groups: tuple[Group, ...]


def size_label(size: int) -> str:
    """Return a size in the largest binary unit that gives a whole number."""
    for unit, name in ((GIB, "GiB"), (MIB, "MiB"), (KIB, "KiB")):
        if size >= unit and not size % unit:
            return f"{size // unit} {name}"
    return f"{size} B"


def _pair(size: int, count: int = 1, *, calls: tuple[str, str] = ("put", "get"), weighed: bool = True) -> Group:
    return Group(tuple(Case(call, size, count, weighed=weighed) for call in calls))


def _file(size: int, range_count: int = 0) -> Group:
    cases = [Case("upload", size), Case("download", size)]
    if range_count:
        cases.append(Case("range", size, range_count))
    return Group(tuple(cases))


def _many(size: int, object_count: int, threads: int, *, weighed: bool = True) -> Group:
    calls = ("put", "get")
    return Group(tuple(Case(call, size, object_count, object_count, threads, weighed=weighed) for call in calls))


def _rewrap(size: int, object_count: int, threads: int) -> Group:
    made = Case("put", size, object_count, object_count, threads, weighed=False, prepares=True)
    return Group((made, Case("rewrap", size, object_count, object_count, threads)))


def _distant_kms(count: int) -> Group:
    return Group(
        tuple(Case(call, KIB, count, kms_seconds=REALISTIC_KMS_SECONDS, weighed=False) for call in ("put", "get"))
    )


def tiny_plan() -> Plan:
    """Return a plan whose figures mean nothing: to see that everything runs."""
    many = _many(KIB, 4, 2, weighed=False)
    return Plan("tiny", 2, (_pair(KIB, 2), _pair(64 * KIB, 2, weighed=False), many, _rewrap(KIB, 2, 2)))


def quick_plan(rounds: int | None = None) -> Plan:
    """Return the plan of less than three minutes."""
    groups = (
        _pair(KIB, 40, weighed=False),
        _distant_kms(10),
        _pair(64 * KIB, 20, weighed=False),
        _pair(MIB, 8, weighed=False),
        _pair(64 * MIB, weighed=False),
        _file(64 * MIB, range_count=30),
        _many(KIB, 100, 16),
        _rewrap(KIB, 50, 16),
    )
    return Plan("quick", rounds or 3, groups)


def full_plan(rounds: int | None = None, *, large: bool = False) -> Plan:
    """Return the plan whose figures are published; `large` adds files of 5 GiB."""
    groups = [
        _pair(KIB, 100),
        _distant_kms(20),
        _pair(64 * KIB, 50),
        _pair(MIB, 20),
        _pair(8 * MIB, 4),
        _pair(64 * MIB),
        _file(64 * MIB),
        _file(GIB, range_count=100),
        _many(KIB, 1000, 16),
        _rewrap(KIB, 1000, 16),
    ]
    if large:
        groups.append(_file(5 * GIB))
    return Plan("large" if large else "full", rounds or 7, tuple(groups))


def scaling_plan(rounds: int | None = None, *, quick: bool = False, large: bool = False) -> Plan:
    """Return files of growing size, and small objects by a growing number of threads."""
    largest = 64 * MIB if quick else 5 * GIB if large else GIB
    sizes = [KIB << step for step in range(0, 23, 4 if quick else 2) if KIB << step <= largest]
    if large:
        sizes.append(5 * GIB)
    # Many calls where one is short, so that what is measured is longer than what disturbs it.
    groups = [_pair(size, max(1, min(30, 4 * MIB // size)), calls=("upload", "download")) for size in sizes]
    object_count = 100 if quick else 500
    groups += [
        _many(KIB, object_count, threads, weighed=False) for threads in ((1, 4, 16) if quick else (1, 2, 4, 8, 16))
    ]
    return Plan("scaling-quick" if quick else "scaling", rounds or (3 if quick else 5), tuple(groups))


def unweighed(plan: Plan) -> Plan:
    """Return the plan without what needs new processes, which are slow to start."""
    groups = (Group(tuple(replace(case, weighed=False) for case in group.cases)) for group in plan.groups)
    return replace(plan, groups=tuple(groups))


def cases_of(plan: Plan) -> Iterator[Case]:
    """Yield every case of a plan."""
    for group in plan.groups:
        yield from group.cases
