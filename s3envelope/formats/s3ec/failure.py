"""The one error for everything that can be wrong with an object whose description is well-formed."""

from __future__ import annotations

from s3envelope.errors import S3ecDecryptionError


def does_not_open() -> S3ecDecryptionError:
    """Return the error of an object that does not open.

    INVARIANT: there is one text. A wrong key, a changed tag, a bad padding and a missing end look the same, for
    whoever can change objects and watch this error could otherwise decrypt with it.
    """
    return S3ecDecryptionError(
        "the object does not open with this key: it was written with another one, or was changed or cut since"
    )
