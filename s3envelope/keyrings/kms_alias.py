"""What a configured name of a KMS key stands for: itself, or the key that an alias names."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable
from typing import TypeVar

from s3envelope.core.ports import ProcessId
from s3envelope.errors import KeyAccessError, KeyringError
from s3envelope.keyrings.kms_errors import is_not_found

_Result = TypeVar("_Result")
_LOGGER = logging.getLogger("s3envelope.keyrings")


class KmsKeyName:
    """The key behind a configured name. An alias names one key at a time: the one that was found last.

    It is resolved when it is needed first, and again only when KMS does not know the key any more. An alias that is
    pointed elsewhere while its key exists keeps its meaning here: what a process seals with must not change because
    somebody may call UpdateAlias. The earlier key is not named again, for it does not exist.

    Args:
        name: Well-formed; an alias, or what is named as it is.
        describe: Returns the key ARN of an alias, from KMS.
        process_id: So that a forked child does not wait for a lock that a thread of its parent held.
    """

    def __init__(self, name: str, describe: Callable[[str], str], *, process_id: ProcessId = os.getpid) -> None:
        self._name = name
        self._describe = describe
        self._process_id = process_id
        self._is_alias = "alias/" in name
        self._known: str | None = None if self._is_alias else name
        # How often the alias was resolved again: tells whether another thread did it since a key was looked up.
        self._renewal_count = 0
        self._lock, self._owner = threading.Lock(), process_id()

    @property
    def known(self) -> str | None:
        """The key, if it is known without asking."""
        return self._known

    def current(self) -> tuple[str, int]:
        """Return (the key, what `renewed` is to be given if KMS does not know it).

        Raises:
            KeyAccessError, KeyServiceUnavailableError: An alias could not be resolved.
        """
        with self._guard():
            if self._known is None:
                self._known = self._describe(self._name)
            return self._known, self._renewal_count

    def adopt(self, key_arn: str) -> None:
        """Take the key of the alias from an earlier answer, unless it is known already."""
        with self._guard():
            if self._known is None:
                self._known = key_arn

    def renewed(self, key_id: str, seen: int) -> str | None:
        """Return another key than one that KMS does not know; `None` if there is no other.

        Threads that find the same key gone ask once: the first one does, the others take what it found.
        """
        if not self._is_alias:
            return None
        with self._guard():
            if self._renewal_count == seen:
                self._renewal_count += 1
                try:
                    self._known = self._describe(self._name)
                except KeyringError as error:
                    # INVARIANT: that KMS does not know the key stays the answer. An outage in its place would let a
                    # cache serve what it kept of the key.
                    _LOGGER.info("%s; it is not known what %s names now", error, self._name)
            found = self._known
            if found == key_id:
                return None
        _LOGGER.warning("AWS KMS does not know %s any more; %s names %s now", key_id, self._name, found)
        return found

    def using(self, call: Callable[[str], _Result]) -> tuple[str, _Result]:
        """Return (the key that a call was made with, its result); it is made again if the key is gone and renewed.

        Raises:
            KeyAccessError, KeyServiceUnavailableError: The alias could not be resolved, or what the call raises.
        """
        key_id, seen = self.current()
        try:
            return key_id, call(key_id)
        except KeyAccessError as error:
            moved = self.renewed(key_id, seen) if is_not_found(error) else None
            if moved is None:
                raise
        return moved, call(moved)

    def _guard(self) -> threading.Lock:
        if self._process_id() != self._owner:
            self._lock, self._owner = threading.Lock(), self._process_id()
        return self._lock
