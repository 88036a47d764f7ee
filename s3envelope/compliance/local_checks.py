"""What this library is configured to do, and what it wrote down."""

from __future__ import annotations

from s3envelope.compliance.model import NotAssessedError, Verdict
from s3envelope.compliance.subject import Subject
from s3envelope.errors import AuditError

_MOST_NAMED = 10


class LimitsCache:
    """Data keys are kept no longer, and for no more objects, than the policy allows."""

    id = "cache-limits"
    title = "Cache limits are within the policy"
    proves = "A client as it is configured here uses a data key no longer and no more often than the policy allows."
    remedy = "Pass CacheLimits with smaller values as cache_limits, or cache_limits=None."
    needs: tuple[str, ...] = ()

    def assess(self, subject: Subject) -> Verdict:
        """Compare the limits."""
        limits, policy = subject.scope.cache_limits, subject.policy
        note = "Limits that other programs pass in their own code were not seen"
        if limits is None:
            return Verdict(True, ("No data key is kept", note))
        rows = (
            ("max_age_seconds", limits.max_age_seconds, policy.cache_max_age_seconds),
            ("max_objects", limits.max_objects, policy.cache_max_objects),
            ("fresh_for_seconds", limits.fresh_for_seconds, policy.cache_fresh_seconds),
            ("offline_for_seconds", limits.offline_for_seconds, policy.cache_offline_seconds),
        )
        lines = [
            f"{name} is {found:,}; the policy allows {most:,}{'' if found <= most else ': TOO MUCH'}"
            for name, found, most in rows
        ]
        return Verdict(all(found <= most for _, found, most in rows), (*lines, note))


class AuditChainHolds:
    """The chain of the audit log is whole."""

    id = "audit-chain"
    title = "The audit log verifies"
    proves = "No record of the audit log was changed, removed, inserted or moved."
    remedy = "Run `s3envelope audit verify` on the log, keep a copy of it, and find out who could write to it."
    needs: tuple[str, ...] = ()

    def assess(self, subject: Subject) -> Verdict:
        """Verify the log from its beginning."""
        audit = subject.scope.audit
        if audit is None:
            raise NotAssessedError("no audit log was named")
        try:
            state = audit.verify()
        except (AuditError, OSError) as error:
            raise NotAssessedError(f"the audit log cannot be read: {error}") from error
        if state.record_count == 0 and not state.problems:
            raise NotAssessedError("the audit log has no records")
        line = f"{state.record_count} records were verified; {len(state.problems)} problems were found"
        return Verdict(not state.problems, (line, *state.problems[:_MOST_NAMED], *state.notes))
