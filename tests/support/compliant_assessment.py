"""Assessments without servers, to be written down."""

from __future__ import annotations

import dataclasses

from s3envelope.compliance.assessment import Assessment
from s3envelope.compliance.catalogue import CHECKS
from s3envelope.compliance.controls import read_controls
from s3envelope.compliance.model import Result, Status
from s3envelope.compliance.policy import CompliancePolicy

HOSTILE = "<img src=x onerror=alert(1)>|[x](javascript:alert(1))\n# head \u202eesrever `code` <!-- "
KEY = "arn:aws:kms:eu-west-1:123456789012:key/1234abcd-12ab-34cd-56ef-1234567890ab"


def assessment(**statuses: Status) -> Assessment:
    """Return an assessment in which everything passed, but for the checks that are named (with _ for -)."""
    results = []
    for check in CHECKS:
        status = statuses.get(check.id.replace("-", "_"), Status.PASSED)
        remedy = "" if status is Status.PASSED else check.remedy
        results.append(Result(check.id, check.title, check.proves, status, ("It was looked at",), remedy))
    return Assessment(
        id="8b1d4b0e-3c52-4f3e-9c39-0a4dbf7b6c11",
        started="2027-01-15T12:00:00+00:00",
        ended="2027-01-15T12:00:09+00:00",
        version="1.2.3",
        assessor="arn:aws:sts::123456789012:assumed-role/auditor/anna",
        bucket="orders",
        key=KEY,
        policy=CompliancePolicy().as_dict(),
        results=tuple(results),
        controls=read_controls(),
    )


def hostile_assessment() -> Assessment:
    """Return an assessment of a bucket whose objects have names that mean something to browsers."""
    made = assessment(bucket_objects=Status.FAILED)
    changed = [
        dataclasses.replace(one, evidence=(f"Without an envelope: {HOSTILE}",)) if one.id == "bucket-objects" else one
        for one in made.results
    ]
    return dataclasses.replace(made, bucket=HOSTILE, assessor=HOSTILE, results=tuple(changed))
