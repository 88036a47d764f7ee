"""What a resource policy lets whom do. Pure: it reads JSON and asks nobody.

Denials are not weighed against what is allowed: whatever an Allow statement opens is taken to be open.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# Whoever may do one of these gets at data keys: directly, or by giving the right to himself.
DATA_KEY_ACTIONS = ("kms:Decrypt", "kms:GenerateDataKey", "kms:ReEncryptFrom", "kms:CreateGrant", "kms:PutKeyPolicy")
_EVERYTHING = "kms:PutKeyPolicy"
_EVERYONE = "*"
_ACCOUNT = re.compile(r"arn:aws[a-z-]*:(?:iam|sts)::([0-9]{12}|\*):.*|([0-9]{12})", re.ASCII | re.DOTALL)
_POSITIVE = re.compile(r"(?:foranyvalue:)?(?:string|arn)(?:equals|like)(?:ignorecase)?", re.ASCII)
_ACCOUNT_KEYS = frozenset({"kms:calleraccount", "aws:principalaccount", "aws:sourceaccount"})
_ARN_KEYS = frozenset({"aws:principalarn"})
# Conditions that single out callers, though not by their account.
_OTHER_KEYS = frozenset({"aws:principalorgid", "aws:sourcevpc", "aws:sourcevpce", "aws:principalorgpaths"})


class MalformedPolicyError(ValueError):
    """The document is not a policy."""


@dataclass(frozen=True, slots=True)
class Statement:
    """One statement of a policy, with lists where a policy may have single strings."""

    name: str
    is_allow: bool
    principals: tuple[tuple[str, str], ...]
    excepts_principals: bool
    actions: tuple[str, ...]
    excepts_actions: bool
    resources: tuple[str, ...]
    conditions: tuple[tuple[str, str, tuple[str, ...]], ...]

    def matched(self, actions: Collection[str]) -> tuple[str, ...]:
        """Return those of some actions that the statement is about."""
        return tuple(
            action
            for action in actions
            if any(matches(own, action) for own in self.actions) is not self.excepts_actions
        )


def matches(pattern: str, text: str) -> bool:
    """Tell whether a pattern with `*` and `?` fits a whole text, in any case.

    It takes time in proportion to both lengths: whoever wrote the policy cannot make this program hang.
    """
    pattern, text = pattern.lower(), text.lower()
    at, position, star, resume = 0, 0, -1, 0
    while position < len(text):
        if at < len(pattern) and pattern[at] == "*":
            star, resume = at, position
            at += 1
        elif at < len(pattern) and pattern[at] in ("?", text[position]):
            at, position = at + 1, position + 1
        elif star >= 0:
            # Only the last star need be tried again: an earlier one could do no better.
            resume += 1
            at, position = star + 1, resume
        else:
            return False
    return not pattern[at:].strip("*")


def canonical(text: str) -> str:
    """Return a policy in one form: sorted names, no spaces.

    Raises:
        MalformedPolicyError: It is not a JSON object.
    """
    return json.dumps(_document(text), sort_keys=True, separators=(",", ":"))


def statements(text: str) -> Iterator[Statement]:
    """Yield the statements of a policy.

    Raises:
        MalformedPolicyError: It is not a policy.
    """
    found = _document(text).get("Statement")
    for number, raw in enumerate(found if isinstance(found, list) else [found], 1):
        if not isinstance(raw, dict) or raw.get("Effect") not in ("Allow", "Deny"):
            raise MalformedPolicyError(f"statement {number} is none")
        yield _statement(raw, number)


def _document(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise MalformedPolicyError("it is not a JSON object")
    return found


def _statement(raw: Mapping[str, Any], number: int) -> Statement:
    excepts_principals, excepts_actions = "NotPrincipal" in raw, "NotAction" in raw
    return Statement(
        name=str(raw.get("Sid") or f"statement {number}"),
        is_allow=raw["Effect"] == "Allow",
        principals=tuple(_principals(raw.get("NotPrincipal" if excepts_principals else "Principal"))),
        excepts_principals=excepts_principals,
        actions=_strings(raw.get("NotAction" if excepts_actions else "Action")),
        excepts_actions=excepts_actions,
        resources=_strings(raw.get("Resource", [])),
        conditions=tuple(_conditions(raw.get("Condition", {}))),
    )


def _principals(raw: object) -> Iterator[tuple[str, str]]:
    if isinstance(raw, str):
        yield "AWS", raw
        return
    if not isinstance(raw, dict):
        raise MalformedPolicyError("a statement has no principal")
    for kind, names in raw.items():
        for name in _strings(names):
            yield kind, name


def _conditions(raw: object) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    if not isinstance(raw, dict) or not all(isinstance(entries, dict) for entries in raw.values()):
        raise MalformedPolicyError("a condition is not an object")
    for operator, entries in raw.items():
        for key, values in entries.items():
            yield operator.lower(), key.lower(), _strings(values)


def _strings(raw: object) -> tuple[str, ...]:
    values = raw if isinstance(raw, list) else [raw]
    if not all(isinstance(value, str | bool | int) for value in values):
        raise MalformedPolicyError("a statement has something else where strings are due")
    return tuple(str(value).lower() if isinstance(value, bool) else str(value) for value in values)


def openings(text: str, *, account: str, trusted: Collection[str]) -> list[str]:
    """Return in which ways a key policy lets strangers get at data keys; none if it does not.

    Args:
        account: Of the key.
        trusted: Other accounts that may make and open data keys, but not everything.

    Raises:
        MalformedPolicyError: It is not a policy.
    """
    problems: list[str] = []
    friends = {account, *trusted}
    for statement in statements(text):
        actions = statement.matched(DATA_KEY_ACTIONS)
        if not statement.is_allow or not actions:
            continue
        allowed = "everything" if _EVERYTHING in actions else ", ".join(actions)
        if statement.excepts_principals:
            problems.append(f"{statement.name} allows {allowed} to all but a few (NotPrincipal)")
            continue
        for kind, name in statement.principals:
            owner = _account_of(name)
            if name == _EVERYONE or owner == _EVERYONE:
                if not _restricts(statement, friends):
                    problems.append(f"{statement.name} allows {allowed} to everyone, and no condition names callers")
            elif kind == "AWS" and owner is not None and owner != account:
                if owner not in friends:
                    problems.append(f"{statement.name} allows {allowed} to the account {owner}, which is not trusted")
                elif _EVERYTHING in actions:
                    problems.append(f"{statement.name} allows everything to another account, {owner}")
    return problems


def _account_of(principal: str) -> str | None:
    match = _ACCOUNT.fullmatch(principal)
    return None if match is None else match.group(1) or match.group(2)


def _restricts(statement: Statement, friends: Collection[str]) -> bool:
    """Tell whether one of the conditions, all of which must hold, lets only callers through that are known."""
    for operator, key, values in statement.conditions:
        # INVARIANT: operators that hold when the key is missing, and negated ones, restrict nobody.
        if _POSITIVE.fullmatch(operator) is None or not values:
            continue
        if key in _ACCOUNT_KEYS and all(value in friends for value in values):
            return True
        if key in _ARN_KEYS and all(_account_of(value) in friends for value in values):
            return True
        if key in _OTHER_KEYS and not any("*" in value or "?" in value for value in values):
            return True
    return False


def denies_plain_http(text: str, bucket_arn: str) -> bool:
    """Tell whether a bucket policy denies everybody everything that does not come over TLS.

    Raises:
        MalformedPolicyError: It is not a policy.
    """
    # The second object stands for all others: a pattern that fits one key by chance does not fit both.
    wanted = {bucket_arn, f"{bucket_arn}/*", f"{bucket_arn}/s3envelope/any key at all"}
    for statement in statements(text):
        if statement.is_allow or statement.excepts_principals or statement.excepts_actions:
            continue
        # INVARIANT: a second condition would narrow the denial.
        is_about_tls = statement.conditions == (("bool", "aws:securetransport", ("false",)),)
        is_for_all = ("AWS", _EVERYONE) in statement.principals
        if is_about_tls and is_for_all and {"s3:*", "*"} & {action.lower() for action in statement.actions}:
            wanted -= {one for one in wanted if any(matches(resource, one) for resource in statement.resources)}
    return not wanted
