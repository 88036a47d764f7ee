"""What a check is, and what comes of one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from s3envelope.compliance.subject import Subject


class Status(str, Enum):
    """What came of a check; "not assessed" is never counted as passed."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_ASSESSED = "not assessed"


class NotAssessedError(Exception):
    """The check cannot be made; the text says why. It does not leave `run_checks`."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a check found.

    Args:
        is_good: Whether everything is as it must be.
        evidence: What was looked at and what was found, in sentences. Never key material, never plaintext.
        settings: Names and canonical values of settings whose change is a drift even while the check passes.
    """

    is_good: bool
    evidence: tuple[str, ...]
    settings: Mapping[str, str] = field(default_factory=dict)


class Check(Protocol):
    """One thing that is proved.

    An implementation says in `proves` what a pass means, in `remedy` what to do about a failure, and in `needs` which
    checks must have passed for it to mean anything.
    """

    @property
    def id(self) -> str: ...

    @property
    def title(self) -> str: ...

    @property
    def proves(self) -> str: ...

    @property
    def remedy(self) -> str: ...

    @property
    def needs(self) -> tuple[str, ...]: ...

    def assess(self, subject: Subject) -> Verdict:
        """Look, and judge.

        Must raise `NotAssessedError` if it cannot be told. Errors of boto and of this library may pass: those that
        say that nothing could be seen become "not assessed", the others a failure.
        """
        ...


@dataclass(frozen=True, slots=True)
class Result:
    """What came of one check.

    Args:
        evidence: Of a check that was not assessed: the reason.
        remedy: Empty if it passed.
        is_skipped: Whether it was left out on purpose.
    """

    id: str
    title: str
    proves: str
    status: Status
    evidence: tuple[str, ...]
    remedy: str = ""
    settings: Mapping[str, str] = field(default_factory=dict)
    is_skipped: bool = False
