"""What has to be done with one object, decided from its metadata alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from s3envelope.formats.s3ec.metadata import is_s3ec_metadata


class Action(Enum):
    """What is to be done with an object; the value is the word in reports."""

    KEEP = "keep"
    REWRAP = "rewrap"
    REENCRYPT = "re-encrypt"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be done with an object, and why."""

    action: Action
    reason: str


@dataclass(frozen=True, slots=True)
class Goal:
    """How objects are to be in the end.

    Args:
        to_hints: Of the keys that are to open them, 8 hexadecimal digits each.
        from_hints: Only objects that one of these keys opens are changed; `None`: all.
        context: Entries that their encryption context must have.
        bind: Whether objects that are not bound to their key are bound.
        reencrypt: Whether objects of the Amazon S3 Encryption Clients are written anew.
    """

    to_hints: frozenset[str]
    from_hints: frozenset[str] | None = None
    context: Mapping[str, str] = field(default_factory=dict)
    bind: bool = False
    reencrypt: bool = False

    def plan(self, key_hints: frozenset[str], context: Mapping[str, str], *, bound: bool) -> Plan:
        """Return what to do with an object of these hints, context and binding."""
        if self.from_hints is not None and not key_hints & self.from_hints and key_hints != self.to_hints:
            return Plan(Action.KEEP, "none of the keys to replace opens it")
        missing = []
        if key_hints != self.to_hints:
            missing.append("key")
        if any(context.get(name) != value for name, value in self.context.items()):
            missing.append("context")
        if self.bind and not bound:
            missing.append("binding")
        if missing:
            return Plan(Action.REWRAP, "other " + " and ".join(missing))
        return Plan(Action.KEEP, "as it should be")

    def plan_foreign(self, metadata: Mapping[str, str]) -> Plan | None:
        """Return what to do with an object that has no envelope of this library; `None` if it has none at all."""
        if not is_s3ec_metadata(metadata):
            return None
        if self.reencrypt:
            return Plan(Action.REENCRYPT, "an object of an Amazon S3 Encryption Client")
        return Plan(
            Action.REFUSE, "an object of an Amazon S3 Encryption Client; it is written anew only with --reencrypt"
        )

    def plan_old_version(self, key_hints: frozenset[str]) -> Plan:
        """Return what to do with a version that is not the current one: nothing, but it may need an old key."""
        if self.from_hints is None:
            if key_hints == self.to_hints:
                return Plan(Action.KEEP, "an old version that is as it should be")
            return Plan(Action.REFUSE, "an old version under another key; " + _OLD_VERSION)
        if not key_hints & self.from_hints:
            return Plan(Action.KEEP, "an old version that needs none of the keys to replace")
        if key_hints <= self.from_hints:
            return Plan(Action.REFUSE, "an old version that is lost with the keys to replace; " + _OLD_VERSION)
        return Plan(
            Action.REFUSE,
            "an old version that needs a key to replace, unless another key that it names opens it; " + _OLD_VERSION,
        )


_OLD_VERSION = "it keeps its keys until it is deleted, or copied to be the current one"
