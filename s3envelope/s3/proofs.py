"""Whether a stored body is the one that an envelope was made for."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from s3envelope.core.context import EncryptionContext
from s3envelope.core.envelope import Envelope
from s3envelope.core.ranges import ByteRange
from s3envelope.engine.opening import Answer, Condition, ObjectOpener, ReadingSessions, ReadPolicy
from s3envelope.errors import DecryptionError
from s3envelope.s3.calls import Read
from s3envelope.s3.reads import close_fetched, fetcher

if TYPE_CHECKING:
    from s3envelope.s3.seam import Seam

_FIRST_BYTE = ByteRange(0, 0)


def begins_as(seam: Seam, read: Read, envelope: Envelope, name: str) -> bool:
    """Tell whether the first segment of a stored body opens with an envelope that need not be the stored one.

    Args:
        read: Of the object.
        name: The key that the envelope is bound to.

    Raises:
        KeyringError: The envelope's data key is not to be had.
    """
    fetch = fetcher(seam, read)

    def with_envelope(wanted: ByteRange | None, condition: Condition) -> Answer | None:
        answer = fetch(wanted, condition)
        return None if answer is None else dataclasses.replace(answer, metadata=envelope.to_metadata())

    policy = ReadPolicy(EncryptionContext(), require_bound=False)
    scope = (seam.endpoint_url, read.parameters["Bucket"], read.parameters["Key"])
    opener = ObjectOpener(seam.materials, ReadingSessions(), policy, scope=scope, name=name, fetch=with_envelope)
    try:
        opened = opener.open(with_envelope(_FIRST_BYTE.to_ciphertext(), Condition()), _FIRST_BYTE)
        if opened.stream is not None:
            opened.stream.read()
    except DecryptionError:
        return False
    finally:
        close_fetched(read)
    return True
