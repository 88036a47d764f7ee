"""One call of one operation, as the operations see it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from s3envelope.testing.local_kms.errors import KmsServiceError
from s3envelope.testing.local_kms.keys import RegionalKey
from s3envelope.testing.local_kms.policy import PolicyRequest
from s3envelope.testing.local_kms.schema import Value
from s3envelope.testing.local_kms.store import KeyStore

Answer = dict[str, object]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and in which Region; `is_owner` callers are above all key policies."""

    access_key_id: str
    region: str
    account_id: str
    is_owner: bool = False

    @property
    def arn(self) -> str:
        return f"arn:aws:iam::{self.account_id}:user/{self.access_key_id}"


@dataclass(frozen=True, slots=True)
class Request:
    """A validated request. Its getters return the zero value of their type for what was not sent."""

    operation: str
    values: Mapping[str, Value]
    caller: Caller
    store: KeyStore

    def text(self, name: str) -> str:
        """Return a string."""
        value = self.values.get(name, "")
        assert isinstance(value, str)
        return value

    def blob(self, name: str) -> bytes:
        """Return decoded bytes."""
        value = self.values.get(name, b"")
        assert isinstance(value, bytes)
        return value

    def integer(self, name: str) -> int:
        """Return an integer."""
        value = self.values.get(name, 0)
        assert isinstance(value, int)
        return value

    def flag(self, name: str) -> bool:
        """Return a boolean."""
        return self.values.get(name, False) is True

    def mapping(self, name: str) -> dict[str, str]:
        """Return an encryption context, or tags."""
        value = self.values.get(name, {})
        assert isinstance(value, dict)
        return value

    def strings(self, name: str) -> list[str]:
        """Return a list of strings."""
        value = self.values.get(name, [])
        assert isinstance(value, list)
        return value

    def key(self, name: str = "KeyId", *, aliases: bool = False) -> RegionalKey:
        """Return the key that a parameter names, authorized for this operation.

        Args:
            aliases: Whether the operation accepts an alias here.
        """
        key = self.store.resolve(self.caller.region, self.text(name), aliases=aliases)
        self.authorize(key)
        return key

    def policy_request(self, action: str, context: Mapping[str, str] | None = None) -> PolicyRequest:
        """Return what a key policy is asked about for this caller."""
        caller = self.caller
        return PolicyRequest(
            action=f"kms:{action}",
            principal_arn=caller.arn,
            access_key_id=caller.access_key_id,
            account_id=caller.account_id,
            region=caller.region,
            context=context or {},
        )

    def authorize(self, key: RegionalKey, action: str | None = None, context: Mapping[str, str] | None = None) -> None:
        """Raise AccessDeniedException if the key's policy denies an action, by default this operation."""
        if self.caller.is_owner or not key.policy.denials:
            return
        asked = self.policy_request(action or self.operation, context)
        if key.policy.denies(asked):
            raise KmsServiceError(
                "AccessDeniedException",
                f"User: {self.caller.arn} is not authorized to perform: {asked.action} on resource: {key.arn} "
                "with an explicit deny in a resource-based policy",
            )

    def stop_if_dry_run(self) -> None:
        """End a dry run; to be called when nothing can fail any more and nothing has been changed."""
        if self.flag("DryRun"):
            raise KmsServiceError(
                "DryRunOperationException",
                "The request would have succeeded, but the DryRun option is set.",
            )
