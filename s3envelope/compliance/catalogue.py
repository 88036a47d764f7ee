"""All checks in order, and running them."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from botocore.exceptions import BotoCoreError, ClientError

from s3envelope.compliance import bucket_checks, data_key_checks, key_checks, local_checks, object_checks, trail_checks
from s3envelope.compliance.failures import is_blind, told
from s3envelope.compliance.model import Check, NotAssessedError, Result, Status
from s3envelope.compliance.subject import Subject
from s3envelope.errors import ConfigurationError, S3EnvelopeError

# A check comes after those that it needs.
CHECKS: tuple[Check, ...] = (
    key_checks.HasUsableState(),
    key_checks.HasKnownOrigin(),
    key_checks.HasKnownRegions(),
    key_checks.RestrictsKeyPolicy(),
    key_checks.RotatesKey(),
    data_key_checks.GeneratesDataKeys(),
    data_key_checks.DecryptsDataKeys(),
    data_key_checks.RefusesWrongContexts(),
    data_key_checks.ReencryptsDataKeys(),
    object_checks.RoundTrips(),
    data_key_checks.WipesPlaintextKeys(),
    bucket_checks.RequiresTls(),
    bucket_checks.BlocksPublicAccess(),
    bucket_checks.KeepsVersions(),
    bucket_checks.EncryptsByDefault(),
    object_checks.HasNoPlaintext(),
    object_checks.HasYoungDataKeys(),
    trail_checks.TrailLogsKms(),
    trail_checks.TrailIsMultiRegion(),
    trail_checks.TrailIsValidated(),
    trail_checks.TrailIsLogging(),
    local_checks.LimitsCache(),
    local_checks.AuditChainHolds(),
)
CHECK_IDS = tuple(check.id for check in CHECKS)


def check_ids(ids: Collection[str]) -> frozenset[str]:
    """Return some ids of checks.

    Raises:
        ConfigurationError: There is no such check.
    """
    unknown = sorted(set(ids) - set(CHECK_IDS))
    if unknown:
        raise ConfigurationError(f"there is no check {unknown[0]!r}; there are {', '.join(CHECK_IDS)}")
    return frozenset(ids)


def run_checks(
    subject: Subject, *, skipped: Collection[str] = (), checks: Sequence[Check] = CHECKS
) -> Iterator[Result]:
    """Yield the result of every check, in order. A check that breaks does not end the others.

    Args:
        skipped: Ids of checks that are left out; their results say so.
    """
    passed: set[str] = set()
    for check in checks:
        result = _run(check, subject, passed, is_skipped=check.id in skipped)
        if result.status is Status.PASSED:
            passed.add(check.id)
        yield result


def _run(check: Check, subject: Subject, passed: Collection[str], *, is_skipped: bool) -> Result:
    missing = [need for need in check.needs if need not in passed]
    try:
        if is_skipped:
            raise NotAssessedError("it was left out on purpose")
        if missing:
            raise NotAssessedError(f"it needs {', '.join(missing)} to have passed")
        verdict = check.assess(subject)
    except NotAssessedError as error:
        return _result(check, Status.NOT_ASSESSED, (str(error),), is_skipped=is_skipped)
    except (ClientError, BotoCoreError, S3EnvelopeError) as error:
        status = Status.NOT_ASSESSED if is_blind(error) else Status.FAILED
        return _result(check, status, (told(error),))
    status = Status.PASSED if verdict.is_good else Status.FAILED
    found = _result(check, status, verdict.evidence)
    return Result(found.id, found.title, found.proves, status, found.evidence, found.remedy, verdict.settings)


def _result(check: Check, status: Status, evidence: tuple[str, ...], *, is_skipped: bool = False) -> Result:
    remedy = "" if status is Status.PASSED else check.remedy
    return Result(check.id, check.title, check.proves, status, evidence, remedy, is_skipped=is_skipped)
