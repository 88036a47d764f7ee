"""What CloudTrail keeps of the use of the key."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

from botocore.exceptions import BotoCoreError, ClientError

from s3envelope.compliance.failures import told
from s3envelope.compliance.model import NotAssessedError, Verdict
from s3envelope.compliance.selectors import logs_kms
from s3envelope.compliance.subject import Subject, Trail


@dataclass(frozen=True, slots=True)
class _Seen:
    """A trail, and whether it logs the management events of KMS; `None` if that cannot be read."""

    trail: Trail
    logs_kms: bool | None
    reason: str = ""


def _look(subject: Subject, trail: Trail) -> _Seen:
    try:
        answer: dict[str, Any] = dict(subject.clients.trails(trail.home).get_event_selectors(TrailName=trail.arn))
    except (ClientError, BotoCoreError) as error:
        return _Seen(trail, None, f"{trail.arn}: {told(error)}")
    return _Seen(trail, logs_kms(answer))


def _seen(subject: Subject) -> list[_Seen]:
    return [_look(subject, trail) for trail in subject.trails()]


def _is_multi_region(subject: Subject, trail: Trail) -> bool:
    return trail.found.get("IsMultiRegionTrail") is True


def _is_validated(subject: Subject, trail: Trail) -> bool:
    return trail.found.get("LogFileValidationEnabled") is True


def _is_logging(subject: Subject, trail: Trail) -> bool:
    return subject.clients.trails(trail.home).get_trail_status(Name=trail.arn).get("IsLogging") is True


_PROPERTIES: tuple[Callable[[Subject, Trail], bool], ...] = (_is_multi_region, _is_validated, _is_logging)


def _best(subject: Subject) -> Trail:
    """Return the one trail that the three checks below judge: they must hold for the same trail.

    Raises:
        NotAssessedError: There is none that logs KMS.
    """
    found = [seen.trail for seen in _seen(subject) if seen.logs_kms]
    if not found:
        raise NotAssessedError("no trail is known to log the management events of KMS")

    def rank(trail: Trail) -> tuple[int, str]:
        return sum(has(subject, trail) for has in _PROPERTIES), trail.arn

    return max(found, key=rank)


class TrailLogsKms:
    """A trail logs every management event of KMS."""

    id = "trail-kms-events"
    title = "A CloudTrail trail logs KMS management events"
    proves = "Each use and each change of the key is written down by AWS, reads and writes both."
    remedy = "Make a trail with management events for reads and writes, and do not exclude kms.amazonaws.com."
    needs: tuple[str, ...] = ()

    def assess(self, subject: Subject) -> Verdict:
        """Read the event selectors of all trails."""
        seen = _seen(subject)
        logging = [one.trail.arn for one in seen if one.logs_kms]
        blind = [one.reason for one in seen if one.logs_kms is None]
        if not logging and blind:
            raise NotAssessedError("; ".join(blind))
        line = f"{len(seen)} trails reach the Region of the key; {len(logging)} log the management events of KMS"
        return Verdict(bool(logging), (line, *logging))


class _TrailProperty:
    """A property of the trail that logs KMS; of several trails, of the one with most of the properties."""

    id: ClassVar[str]
    word: ClassVar[str]
    needs: tuple[str, ...] = ("trail-kms-events",)

    @staticmethod
    def has(subject: Subject, trail: Trail) -> bool:
        """Tell whether a trail has it."""
        raise NotImplementedError

    def assess(self, subject: Subject) -> Verdict:
        """Look at that trail."""
        trail = _best(subject)
        is_good = self.has(subject, trail)
        return Verdict(is_good, (f"{trail.arn} {self.word}: {'yes' if is_good else 'NO'}",))


class TrailIsMultiRegion(_TrailProperty):
    """That trail covers all Regions."""

    id = "trail-multi-region"
    title = "The trail covers all Regions"
    proves = "A use of a replica of the key, or of a copy of its data keys, in another Region is logged too."
    remedy = "Set IsMultiRegionTrail of the trail."
    word = "covers all Regions"
    has = staticmethod(_is_multi_region)


class TrailIsValidated(_TrailProperty):
    """That trail signs digests of its files."""

    id = "trail-validation"
    title = "Log file validation is on"
    proves = "A log file of CloudTrail that was changed or deleted is found."
    remedy = "Set EnableLogFileValidation of the trail."
    word = "validates its log files"
    has = staticmethod(_is_validated)


class TrailIsLogging(_TrailProperty):
    """That trail is logging now."""

    id = "trail-logging"
    title = "The trail is logging now"
    proves = "The trail was not stopped."
    remedy = "Call cloudtrail:StartLogging, and look for who stopped it."
    word = "is logging now"
    has = staticmethod(_is_logging)
