"""Reading objects to their last byte, to see that each is what its writer wrote; nothing is written anywhere."""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from s3envelope.errors import (
    ContextMismatchError,
    DecryptionError,
    KeyringError,
    MalformedEnvelopeError,
    NameBindingError,
    NotEncryptedError,
    ObjectChangedError,
    S3EnvelopeError,
)
from s3envelope.rotation.run import Location

# In this order: an error has the result of the first class that it is of. Errors that no class names are "failed".
_BY_CLASS: tuple[tuple[type[S3EnvelopeError], str], ...] = (
    (NotEncryptedError, "plain"),
    (NameBindingError, "wrong_name"),
    (ContextMismatchError, "wrong_context"),
    (ObjectChangedError, "changed"),
    (DecryptionError, "tampered"),
    (MalformedEnvelopeError, "tampered"),
    (KeyringError, "key_unavailable"),
)
RESULTS = (
    "ok",
    "plain",
    "tampered",
    "wrong_name",
    "wrong_context",
    "changed",
    "key_unavailable",
    "failed",
    "deleted",
)
_GOOD = frozenset({"ok", "deleted"})
_GONE = frozenset({"404", "NoSuchKey", "NoSuchVersion"})
_PIECE_SIZE = 1 << 20
_TRIES = 3


@dataclass(frozen=True, slots=True)
class Verified:
    """What reading an object showed.

    Args:
        result: "ok"; "plain": no envelope; "tampered": it is not what was written; "wrong_name": it does not open under
            its name; "wrong_context": its context is not the one demanded; "changed": it was overwritten again
            and again meanwhile; "key_unavailable"; "failed": it could not be read, or is of a format that is not;
            "deleted": it went away after it was listed.
        bytes: Of plaintext that were verified.
        error: The class of the error, or the code of S3's; or "".
    """

    bucket: str
    key: str
    version_id: str | None
    result: str
    bytes: int = 0
    error: str = ""
    reason: str = ""

    @property
    def is_good(self) -> bool:
        """Whether nothing is wrong."""
        return self.result in _GOOD

    def as_dict(self) -> dict[str, Any]:
        """Return the fields for JSON."""
        return dataclasses.asdict(self)


class StoppedError(Exception):
    """Whoever wanted an object verified does not want it any more."""


def verify_object(client: Any, where: Location, *, is_stopped: Callable[[], bool] = lambda: False) -> Verified:
    """Read an object to its end and throw its bytes away; one that is overwritten meanwhile is read again.

    Args:
        client: An enveloped client.
        is_stopped: Asked after every mebibyte.

    Raises:
        StoppedError: `is_stopped` said so.
    """
    count = 0

    def found(result: str, error: str = "", reason: object = "") -> Verified:
        return Verified(where.bucket, where.key, where.version_id, result, count, error, str(reason))

    version = {} if where.version_id is None else {"VersionId": where.version_id}
    for _ in range(_TRIES):
        count = 0
        try:
            with closing(client.get_object(Bucket=where.bucket, Key=where.key, **version)["Body"]) as body:
                for piece in body.iter_chunks(_PIECE_SIZE):
                    if is_stopped():
                        raise StoppedError
                    count += len(piece)
            return found("ok")
        except ObjectChangedError as error:
            failure = error
        except S3EnvelopeError as error:
            result = next((name for kind, name in _BY_CLASS if isinstance(error, kind)), "failed")
            return found(result, type(error).__name__, error)
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", "")) or type(error).__name__
            return found("deleted" if code in _GONE else "failed", code, error)
        except (BotoCoreError, OSError) as error:
            return found("failed", type(error).__name__, error)
    return found("changed", type(failure).__name__, failure)


def sampled(locations: Iterable[Location], count: int, choose: random.Random) -> list[Location]:
    """Return so many of the locations, each with the same chance; in the order in which they came.

    Args:
        choose: `random.SystemRandom()`, so that nobody can tell which objects are not looked at.
    """
    kept: list[tuple[int, Location]] = []
    for index, where in enumerate(locations):
        if len(kept) < count:
            kept.append((index, where))
            continue
        place = choose.randrange(index + 1)
        if place < count:
            kept[place] = (index, where)
    return [where for _, where in sorted(kept, key=lambda one: one[0])]
