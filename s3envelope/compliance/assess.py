"""Making an assessment."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Sequence

from botocore.exceptions import BotoCoreError, ClientError

from s3envelope._version import __version__
from s3envelope.compliance.assessment import Assessment, utc
from s3envelope.compliance.catalogue import run_checks
from s3envelope.compliance.controls import Control
from s3envelope.compliance.subject import Subject

_UUID_SIZE = 16


def assess(
    subject: Subject, controls: Sequence[Control], *, assessor: str | None, skipped: Collection[str] = ()
) -> Assessment:
    """Run all checks.

    Args:
        assessor: ARN of the identity whose credentials the clients have, if it is known.
        skipped: Ids of checks that are left out.
    """
    started = utc(subject.wall_clock())
    results = tuple(run_checks(subject, skipped=skipped))
    return Assessment(
        id=str(uuid.UUID(bytes=subject.random(_UUID_SIZE), version=4)),
        started=started,
        ended=utc(subject.wall_clock()),
        version=__version__,
        assessor=assessor,
        bucket=subject.scope.bucket,
        key=_key_name(subject),
        policy=subject.policy.as_dict(),
        results=results,
        controls=tuple(controls),
    )


def _key_name(subject: Subject) -> str:
    try:
        return subject.key_arn()
    except (ClientError, BotoCoreError):
        # The results say why it cannot be described.
        return subject.scope.key_id
