"""The hint of an encrypted data key: which configured key to try. Nothing else is concluded from it.

Source: FORMAT.md, section "Encrypted data keys".
"""

from __future__ import annotations

import hashlib

HINT_SIZE = 4
RAW_PREFIX = "raw:"


def key_hint(name: str) -> bytes:
    """Return the hint of a key.

    Args:
        name: As `Keyring.key_ids` has it: "raw:" and the id of a raw key, or the id or ARN of a KMS key, whose hint is
            the same in every region for the replicas of a multi-Region key. An alias has none.
    """
    named = name if name.startswith(RAW_PREFIX) else name.rpartition("key/")[2]
    return hashlib.sha256(named.encode("ascii")).digest()[:HINT_SIZE]
