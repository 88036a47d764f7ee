"""Key policies: stored as given; explicit denials are enforced.

Everything that no statement denies is allowed, as if the caller's own IAM policy allowed it. A denial that this module
could not decide (another condition operator, NotPrincipal) is refused when the policy is set, never ignored.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from s3envelope.testing.local_kms.errors import KmsServiceError

_CONTEXT_KEY = "kms:EncryptionContext:"
_PLAIN_KEYS = frozenset({"kms:CallerAccount", "aws:PrincipalArn", "aws:RequestedRegion"})


def _matches(pattern: str, value: str) -> bool:
    """Compare with IAM's wildcards, which are * and ? only."""
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, value, re.DOTALL) is not None


def _equals(pattern: str, value: str) -> bool:
    return pattern == value


# Operator -> (how one value is compared, whether the result is negated).
_OPERATORS: Mapping[str, tuple[Callable[[str, str], bool], bool]] = {
    "StringEquals": (_equals, False),
    "StringNotEquals": (_equals, True),
    "StringLike": (_matches, False),
    "StringNotLike": (_matches, True),
}


@dataclass(frozen=True, slots=True)
class PolicyRequest:
    """What a policy is asked about."""

    action: str
    principal_arn: str
    access_key_id: str
    account_id: str
    region: str
    context: Mapping[str, str]

    def value_of(self, condition_key: str) -> str | None:
        """Return the value of a condition key, or None where the request has none."""
        if condition_key.startswith(_CONTEXT_KEY):
            return self.context.get(condition_key[len(_CONTEXT_KEY) :])
        return {
            "kms:CallerAccount": self.account_id,
            "aws:PrincipalArn": self.principal_arn,
            "aws:RequestedRegion": self.region,
        }[condition_key]


@dataclass(frozen=True, slots=True)
class _Condition:
    operator: str
    key: str
    values: tuple[str, ...]

    def holds(self, request: PolicyRequest) -> bool:
        compare, negated = _OPERATORS[self.operator]
        value = request.value_of(self.key)
        if value is None:
            return negated
        return any(compare(wanted, value) for wanted in self.values) is not negated


@dataclass(frozen=True, slots=True)
class _Denial:
    principals: tuple[str, ...]
    actions: tuple[str, ...]
    actions_are_exceptions: bool
    conditions: tuple[_Condition, ...]

    def applies(self, request: PolicyRequest) -> bool:
        return (
            self._names_principal(request)
            and self._names_action(request.action)
            and all(condition.holds(request) for condition in self.conditions)
        )

    def _names_principal(self, request: PolicyRequest) -> bool:
        account = request.account_id
        names = {"*", request.principal_arn, request.access_key_id, account, f"arn:aws:iam::{account}:root"}
        return any(principal in names for principal in self.principals)

    def _names_action(self, action: str) -> bool:
        named = any(_matches(pattern.lower(), action.lower()) for pattern in self.actions)
        return named is not self.actions_are_exceptions


@dataclass(frozen=True, slots=True)
class KeyPolicy:
    """A policy document and what it denies."""

    text: str
    denials: tuple[_Denial, ...] = ()

    def denies(self, request: PolicyRequest) -> bool:
        """Tell whether any statement denies the request."""
        return any(denial.applies(request) for denial in self.denials)


def default_policy(account_id: str) -> KeyPolicy:
    """Return the policy that AWS gives to a key made through the API."""
    statement = {
        "Sid": "Enable IAM User Permissions",
        "Effect": "Allow",
        "Principal": {"AWS": f"arn:aws:iam::{account_id}:root"},
        "Action": "kms:*",
        "Resource": "*",
    }
    return KeyPolicy(json.dumps({"Version": "2012-10-17", "Id": "key-default-1", "Statement": [statement]}))


def parse_policy(text: str) -> KeyPolicy:
    """Read a policy document.

    Raises:
        KmsServiceError: MalformedPolicyDocumentException.
    """
    try:
        document = json.loads(text)
    except (ValueError, RecursionError):
        raise _malformed("the policy is not JSON") from None
    statements = document.get("Statement") if isinstance(document, dict) else None
    if isinstance(statements, dict):
        statements = [statements]
    if not isinstance(statements, list) or not statements:
        raise _malformed("the policy has no Statement")
    parsed = [_parse_statement(statement) for statement in statements]
    return KeyPolicy(text, tuple(denial for denial in parsed if denial is not None))


def _malformed(reason: str) -> KmsServiceError:
    return KmsServiceError("MalformedPolicyDocumentException", f"LocalKms refuses this policy: {reason}")


def _strings(value: object, what: str) -> tuple[str, ...]:
    """Read a string or a list of strings, as IAM allows everywhere."""
    values = value if isinstance(value, list) else [value]
    strings = tuple(item for item in values if isinstance(item, str))
    if not strings or len(strings) != len(values):
        raise _malformed(f"{what} is not a string or a list of strings")
    return strings


def _parse_statement(statement: object) -> _Denial | None:
    """Read one statement; a statement that allows is checked for its shape only."""
    if not isinstance(statement, dict) or statement.get("Effect") not in ("Allow", "Deny"):
        raise _malformed('a statement has no Effect of "Allow" or "Deny"')
    if ("Action" in statement) is ("NotAction" in statement):
        raise _malformed("a statement needs one of Action and NotAction")
    if "Principal" not in statement and "NotPrincipal" not in statement:
        raise _malformed("a statement has no Principal")
    if statement["Effect"] == "Allow":
        return None
    if "Principal" not in statement:
        raise _malformed("NotPrincipal in a denial is not implemented")
    exceptions = "NotAction" in statement
    return _Denial(
        principals=_parse_principals(statement["Principal"]),
        actions=_strings(statement["NotAction" if exceptions else "Action"], "Action"),
        actions_are_exceptions=exceptions,
        conditions=_parse_conditions(statement.get("Condition", {})),
    )


def _parse_principals(principal: object) -> tuple[str, ...]:
    if principal == "*":
        return ("*",)
    if not isinstance(principal, dict) or not principal:
        raise _malformed('Principal is neither "*" nor an object')
    # Services and federated identities never call this server: their statements match nobody.
    return _strings(principal["AWS"], "Principal") if "AWS" in principal else ()


def _parse_conditions(conditions: object) -> tuple[_Condition, ...]:
    if not isinstance(conditions, dict):
        raise _malformed("Condition is not an object")
    parsed = []
    for operator, entries in conditions.items():
        if operator not in _OPERATORS or not isinstance(entries, dict):
            raise _malformed(f"the condition operator {operator} in a denial is not implemented")
        for key, values in entries.items():
            if key not in _PLAIN_KEYS and not key.startswith(_CONTEXT_KEY):
                raise _malformed(f"the condition key {key} in a denial is not implemented")
            parsed.append(_Condition(operator, key, _strings(values, "a condition")))
    return tuple(parsed)
