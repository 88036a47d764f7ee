"""What the KMS key is, who may use it, and how it is rotated."""

from __future__ import annotations

import json
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from s3envelope.compliance.failures import told
from s3envelope.compliance.iam import MalformedPolicyError, canonical, openings, statements
from s3envelope.compliance.model import NotAssessedError, Verdict
from s3envelope.compliance.subject import Subject

_ACCOUNT_FIELD = 4
# How often KMS rotated before the period could be chosen; servers of that time do not tell it.
_FIXED_PERIOD_DAYS = 365


class RestrictsKeyPolicy:
    """The key policy and the grants let no stranger make or open data keys."""

    id = "key-policy"
    title = "The key policy restricts GenerateDataKey and Decrypt"
    proves = (
        "No statement lets everyone use the key without a condition that names callers, none lets another account do "
        "everything, and accounts that are not trusted, and their grants, get at no data key."
    )
    remedy = (
        "Name principals of your own account, or a condition on kms:CallerAccount or aws:PrincipalOrgID; give other "
        "accounts kms:Decrypt and kms:GenerateDataKey alone, and list them in trusted_accounts of the policy file."
    )
    needs: tuple[str, ...] = ()

    def assess(self, subject: Subject) -> Verdict:
        """Read the policy and the grants."""
        arn = subject.key_arn()
        account = arn.split(":")[_ACCOUNT_FIELD]
        text = subject.clients.kms.get_key_policy(KeyId=arn, PolicyName="default")["Policy"]
        trusted = subject.policy.trusted_accounts
        try:
            problems = openings(text, account=account, trusted=trusted)
            count, one_form = len(list(statements(text))), canonical(text)
        except MalformedPolicyError as error:
            raise NotAssessedError(f"the key policy is not understood: {error}") from error
        try:
            strangers, grants = _grants(subject, arn, {account, *trusted})
        except (ClientError, BotoCoreError) as error:
            if not problems:
                # Half of what a pass would prove was not seen.
                raise NotAssessedError(f"the key policy is good, but grants cannot be read: {told(error)}") from error
            strangers, grants = [], []
        evidence = [*problems, *strangers]
        evidence.append(f"The key policy of {arn} has {count} statements; denials in it were not weighed")
        evidence.append("What IAM policies of the account itself allow was not looked at")
        settings = {"key policy": one_form, "key grants": json.dumps(grants)}
        return Verdict(not problems and not strangers, tuple(evidence), settings)


def _grants(subject: Subject, arn: str, friends: set[str]) -> tuple[list[str], list[str]]:
    """Return what is wrong with grants to strangers, and all grants but those of AWS services."""
    strangers, kept = [], []
    for page in subject.clients.kms.get_paginator("list_grants").paginate(KeyId=arn):
        for grant in page["Grants"]:
            grantee, operations = str(grant.get("GranteePrincipal")), ", ".join(sorted(grant["Operations"]))
            # AWS services make and retire grants of their own all the time.
            if _is_service(grantee):
                continue
            kept.append(f"{grantee}: {operations}")
            owner = grantee.split(":")[_ACCOUNT_FIELD] if grantee.startswith("arn:") else grantee
            if owner not in friends:
                strangers.append(f"The grant {grant.get('GrantId')} lets {grantee} do {operations}")
    return strangers, sorted(kept)


def _is_service(principal: str) -> bool:
    return principal.endswith((".amazonaws.com", ".amazonaws.com.cn"))


class RotatesKey:
    """KMS rotates the key by itself, often enough."""

    id = "key-rotation"
    title = "Automatic rotation of the KMS key is on"
    proves = "KMS replaces the material of the key by itself within the period of the policy."
    remedy = "Call kms:EnableKeyRotation with RotationPeriodInDays no longer than rotation_period_days of the policy."
    needs: tuple[str, ...] = ()

    def assess(self, subject: Subject) -> Verdict:
        """Read the rotation status."""
        arn = subject.key_arn()
        answer: dict[str, Any] = dict(subject.clients.kms.get_key_rotation_status(KeyId=arn))
        is_on, period = bool(answer.get("KeyRotationEnabled")), answer.get("RotationPeriodInDays")
        setting = {"key rotation": json.dumps({"enabled": is_on, "period_days": period})}
        if not is_on:
            return Verdict(False, ("Automatic rotation is off",), setting)
        days, most = int(period or _FIXED_PERIOD_DAYS), subject.policy.rotation_period_days
        how = f"every {days} days" if period else f"with no period told, which is {_FIXED_PERIOD_DAYS} days"
        return Verdict(days <= most, (f"Automatic rotation is on, {how}; the policy asks for {most} days",), setting)


class HasUsableState:
    """The key is a symmetric encryption key of the customer, and enabled."""

    id = "key-state"
    title = "The KMS key is enabled and of the right kind"
    proves = "The key is enabled, is not about to be deleted, and is a symmetric encryption key of the customer's own."
    remedy = "Enable the key, or cancel its deletion; use a key of type SYMMETRIC_DEFAULT that you manage yourself."
    needs: tuple[str, ...] = ()

    def assess(self, subject: Subject) -> Verdict:
        """Read the description of the key."""
        key = subject.key()
        expected = {
            "KeyState": "Enabled",
            "KeyManager": "CUSTOMER",
            "KeyUsage": "ENCRYPT_DECRYPT",
            "KeySpec": "SYMMETRIC_DEFAULT",
        }
        wrong = [name for name, value in expected.items() if key.get(name) != value]
        until = f"; it will be deleted at {key['DeletionDate']}" if key.get("DeletionDate") else ""
        state = ", ".join(f"{name} {key.get(name)}" for name in expected)
        return Verdict(not wrong, (f"{key['Arn']}: {state}{until}",), {"key state": str(key.get("KeyState"))})


class HasKnownOrigin:
    """The material of the key comes from where the policy says."""

    id = "key-origin"
    title = "The material of the KMS key has an allowed origin"
    proves = "The material of the key was made in a place that the policy allows."
    remedy = "Make a key whose material AWS KMS generates, or name the other origin in key_origins of the policy file."
    needs: tuple[str, ...] = ()

    def assess(self, subject: Subject) -> Verdict:
        """Read the description of the key."""
        origin = str(subject.key().get("Origin"))
        allowed = subject.policy.key_origins
        line = f"The origin is {origin}; the policy allows {', '.join(allowed)}"
        return Verdict(origin in allowed, (line,), {"key origin": origin})


class HasKnownRegions:
    """The key is, or is not, a multi-Region key, as the policy says."""

    id = "key-regions"
    title = "The Regions of the KMS key are those that the policy allows"
    proves = "The material of the key leaves its Region only if the policy wants that."
    remedy = "Use a key of the kind that multi_region of the policy file asks for; a key cannot change its kind."
    needs: tuple[str, ...] = ()

    def assess(self, subject: Subject) -> Verdict:
        """Read the description of the key."""
        key = subject.key()
        is_multi, wanted = bool(key.get("MultiRegion")), subject.policy.multi_region
        layout = key.get("MultiRegionConfiguration") or {}
        keys = [layout.get("PrimaryKey") or {}, *(layout.get("ReplicaKeys") or [])]
        regions = sorted(str(one["Region"]) for one in keys if one.get("Region"))
        line = f"It is a multi-Region key in {', '.join(regions)}" if is_multi else "It is a key of a single Region"
        is_good = wanted == "either" or is_multi is (wanted == "required")
        return Verdict(is_good, (f"{line}; the policy says: {wanted}",), {"key regions": json.dumps(regions)})
