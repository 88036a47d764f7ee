"""Whether the event selectors of a CloudTrail trail let the management events of KMS through. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_KMS = "kms.amazonaws.com"
_READ, _WRITE = "read", "write"
# KMS logs Decrypt and GenerateDataKey as reads, DisableKey and PutKeyPolicy as writes: both kinds are needed.
_BOTH = frozenset({_READ, _WRITE})
_KINDS = {"All": _BOTH, "ReadOnly": frozenset({_READ}), "WriteOnly": frozenset({_WRITE})}


def logs_kms(answer: Mapping[str, Any]) -> bool:
    """Tell whether an answer to GetEventSelectors logs all management events of KMS."""
    kinds: set[str] = set()
    for selector in answer.get("EventSelectors") or ():
        kinds |= _of_basic(selector)
    for selector in answer.get("AdvancedEventSelectors") or ():
        kinds |= _of_advanced(selector.get("FieldSelectors") or ())
    return kinds >= _BOTH


def _of_basic(selector: Mapping[str, Any]) -> frozenset[str]:
    excluded = selector.get("ExcludeManagementEventSources") or ()
    if not selector.get("IncludeManagementEvents", True) or _KMS in excluded:
        return frozenset()
    return _KINDS.get(str(selector.get("ReadWriteType", "All")), frozenset())


def _of_advanced(fields: Sequence[Mapping[str, Any]]) -> frozenset[str]:
    is_management, kinds = False, _BOTH
    for field in fields:
        name, conditions = field.get("Field"), {key: value for key, value in field.items() if key != "Field" and value}
        if name == "eventCategory":
            is_management = conditions == {"Equals": ["Management"]}
        elif name == "readOnly" and conditions in ({"Equals": ["true"]}, {"Equals": ["false"]}):
            kinds &= {_READ if conditions["Equals"] == ["true"] else _WRITE}
        elif name == "eventSource" and _lets_kms_through(conditions):
            continue
        else:
            # Whatever else it asks for, some events of KMS may not have.
            return frozenset()
    return kinds if is_management else frozenset()


def _lets_kms_through(conditions: Mapping[str, Any]) -> bool:
    if set(conditions) == {"NotEquals"}:
        return _KMS not in conditions["NotEquals"]
    return set(conditions) == {"Equals"} and _KMS in conditions["Equals"]
