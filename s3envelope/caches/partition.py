"""The part of a disk cache that belongs to one keyring."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from s3envelope.caches.disk import DiskCache
from s3envelope.caches.limits import CacheLimits
from s3envelope.caches.sealed import CachedSecret, Moment, digest_of
from s3envelope.core.context import EncryptionContext
from s3envelope.core.ports import EncryptedDataKey, Keyring, RemoteKeyring
from s3envelope.core.secret import SecretBytes
from s3envelope.errors import KeyAccessError, KeyringError, KeyServiceUnavailableError

_LOGGER = logging.getLogger("s3envelope.cache")
_MOST_REMEMBERED = 16


@dataclass(frozen=True, slots=True)
class CacheScope:
    """What the entries of one client are for; those of another scope are never found.

    Args:
        format: Of the objects.
        commitment: How a key must be committed to by what it opens.
        partition: Instead of the principal, where the user has given a name to those who may share entries.
    """

    format: str = "SE1"
    commitment: str = "required"
    partition: str | None = None


class Partition:
    """Finds, keeps and drops the opened data keys of one keyring on disk, and the keys behind its aliases.

    INVARIANT: format, commitment, service, key ARNs, principal, encrypted data key and context all go into the name of
    an entry, so that an entry that was made under other ones does not exist here.

    Args:
        keyring: Its keys are kept only if it is a `RemoteKeyring`, or consists of such.
        now: Reads the clocks.
        disk: `None` to keep nothing.
    """

    def __init__(
        self,
        keyring: Keyring,
        limits: CacheLimits,
        now: Callable[[], Moment],
        disk: DiskCache | None,
        scope: CacheScope,
    ) -> None:
        self._keyrings = _remote(keyring)
        self._limits = limits
        self._now = now
        self._keep_seconds = max(limits.fresh_for_seconds, limits.offline_for_seconds)
        self._disk = disk if self._keyrings and self._keep_seconds > 0 else None
        self._scope = scope
        # By the keys behind the keyrings: those of an alias can change once, and again.
        self._partitions: dict[tuple[tuple[str, ...], ...], bytes] = {}
        # The keys of each keyring when one of its aliases was put on disk here, or taken from there.
        self._seen_arns: dict[tuple[int, str], tuple[str, ...]] = {}

    def read(self, key: EncryptedDataKey, context: EncryptionContext) -> CachedSecret | None:
        """Return what is kept of a data key, of any age; the aliases must have been resolved."""
        digest = self._digest(key, context)
        return None if self._disk is None or digest is None else self._disk.read(digest, self._now())

    def write(self, key: EncryptedDataKey, context: EncryptionContext, plaintext: SecretBytes) -> None:
        """Keep a data key that the key service has just given out and that has opened a header."""
        digest = self._digest(key, context)
        if self._disk is not None and digest is not None:
            self._disk.write(digest, plaintext, self._now(), self._keep_seconds)

    def remove(self, key: EncryptedDataKey, context: EncryptionContext) -> None:
        """Drop what is kept of a data key."""
        if self._disk is not None and self._partition() is not None:
            # Also what was kept before an alias changed its key: a refusal counts for that as well.
            for partition in list(self._partitions.values()):
                self._disk.remove(_entry_digest(partition, key, context))

    def resolve_aliases(self) -> bool:
        """Find the keys behind the keyrings' aliases, under the rules that hold for data keys.

        Returns:
            False if the key service could not be reached, and what it said before counts.

        Raises:
            KeyAccessError: The only key service does not know an alias, or does not tell.
            KeyServiceUnavailableError: It cannot be reached, and what is kept is too old.
        """
        was_reached = True
        if self._disk is not None:
            for place, keyring in enumerate(self._keyrings):
                for alias in keyring.unresolved_aliases():
                    try:
                        was_reached &= self._resolve(place, self._disk, alias)
                    except (KeyAccessError, KeyServiceUnavailableError):
                        # Another keyring may open the object all the same.
                        if len(self._keyrings) == 1:
                            raise
        return was_reached

    def follow_aliases(self) -> None:
        """Keep what aliases name now, where a keyring has found that the key of one is gone."""
        if self._disk is None:
            return
        for (place, alias), seen in list(self._seen_arns.items()):
            keyring = self._keyrings[place]
            if keyring.key_arns == seen:
                continue
            digest = self._alias_digest(keyring, alias)
            try:
                found = keyring.resolve_alias(alias)
            except KeyringError:
                # INVARIANT: a key that is known to be gone is not what another process should find here.
                if digest is not None:
                    self._disk.remove(digest)
                continue
            if digest is not None:
                self._keep_alias(digest, self._disk, found)
            self._seen_arns[place, alias] = keyring.key_arns

    def _resolve(self, place: int, disk: DiskCache, alias: str) -> bool:
        keyring = self._keyrings[place]
        digest = self._alias_digest(keyring, alias)
        if digest is None:
            return True
        kept = disk.read(digest, self._now())
        age = None if kept is None else kept.verified.age(self._now())
        known = None if kept is None or age is None else bytes(kept.secret.view()).decode("ascii")
        if age is not None and known is not None and age < self._limits.fresh_for_seconds:
            keyring.adopt_alias(alias, known)
            self._seen_arns[place, alias] = keyring.key_arns
            return True
        try:
            arn = keyring.resolve_alias(alias)
        except KeyAccessError:
            disk.remove(digest)
            raise
        except KeyServiceUnavailableError:
            if age is None or known is None or age >= self._limits.offline_for_seconds:
                raise
            _LOGGER.warning("the key service cannot be reached; the alias %s is taken for what it was before", alias)
            keyring.adopt_alias(alias, known)
            self._seen_arns[place, alias] = keyring.key_arns
            return False
        self._keep_alias(digest, disk, arn)
        self._seen_arns[place, alias] = keyring.key_arns
        return True

    def _keep_alias(self, digest: bytes, disk: DiskCache, key_arn: str) -> None:
        with SecretBytes(key_arn.encode("ascii")) as text:
            disk.write(digest, text, self._now(), self._keep_seconds)

    def _alias_digest(self, keyring: RemoteKeyring, alias: str) -> bytes | None:
        who = self._identity(keyring)
        return None if who is None else digest_of((b"alias", who, alias.encode()))

    def _identity(self, keyring: RemoteKeyring) -> bytes | None:
        """Return a digest of who asks which service, and for what; `None` if that cannot be told now."""
        partition = self._scope.partition
        principal = keyring.principal() if partition is None else partition
        if principal is None:
            return None
        kind = "principal" if partition is None else "partition"
        parts = (self._scope.format, self._scope.commitment, *keyring.service, kind, principal)
        return digest_of(part.encode() for part in parts)

    def _digest(self, key: EncryptedDataKey, context: EncryptionContext) -> bytes | None:
        partition = self._partition()
        return None if partition is None else _entry_digest(partition, key, context)

    def _partition(self) -> bytes | None:
        """Return the digest of who asks whom for which keys; `None` while that cannot be told."""
        # In this order: what the keyrings tell of their keys is complete once no alias is unresolved.
        if self._disk is None or any(keyring.unresolved_aliases() for keyring in self._keyrings):
            return None
        arns = tuple(tuple(sorted(keyring.key_arns)) for keyring in self._keyrings)
        known = self._partitions.get(arns)
        if known is not None:
            return known
        parts = [b"keys"]
        for keyring, keys in zip(self._keyrings, arns, strict=True):
            who = self._identity(keyring)
            if who is None:
                return None
            parts += [who, *(arn.encode() for arn in keys)]
        if len(self._partitions) >= _MOST_REMEMBERED:
            self._partitions.clear()
        return self._partitions.setdefault(arns, digest_of(parts))


def _entry_digest(partition: bytes, key: EncryptedDataKey, context: EncryptionContext) -> bytes:
    return digest_of((b"data key", partition, key.hint, key.ciphertext, context.canonical))


def _remote(keyring: Keyring) -> tuple[RemoteKeyring, ...]:
    """Return the keyring, or those that it consists of; nothing if one of them asks no service."""
    inner = getattr(keyring, "keyrings", None)
    if inner is None:
        return (keyring,) if isinstance(keyring, RemoteKeyring) else ()
    found = [_remote(one) for one in inner]
    return tuple(single for one in found for single in one) if all(found) else ()
