"""Write or check the project's own vectors: `python -m tests.vectors.generate [--check]`.

Deterministic: all randomness is SHAKE-128 of labels. Every positive vector is opened, and every negative one refused,
by a decoder that shares no code with the writer, before anything is written.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.vectors.negative import NegativeVector, negative_vectors
from tests.vectors.opening import Reader, RefusedError, Stored, open_header, read
from tests.vectors.positive import Built, build_all, describe, intervals

_FOLDER = Path(__file__).parent


def reader_of(built: Built) -> Reader:
    """Return a reader that has every key of the vector configured."""
    key_ids = list(dict.fromkeys(key.key_id for key in built.keys))
    return Reader(key_ids, {key.blob: key.opens_to for key in built.keys})


def verify_positive(built: Built) -> None:
    """Open an object with the independent decoder, whole and by ranges."""
    stored = Stored(built.case.key, built.metadata, built.body)
    reader = reader_of(built)
    if open_header(stored, reader) != (built.header.flags, built.body_key):
        raise AssertionError(f"{built.case.name}: another key")
    if read(stored, reader) != built.plaintext:
        raise AssertionError(f"{built.case.name}: another plaintext")
    if not built.index and len(built.body) < 1 << 20:
        for start, end in intervals(len(built.plaintext)):
            if read(stored, reader, (start, end)) != built.plaintext[start:end]:
                raise AssertionError(f"{built.case.name}: another range {start}-{end}")


def verify_negative(vector: NegativeVector, built: Built) -> None:
    """Refuse an edited object with the independent decoder, for the expected reason."""
    stored, reader, interval = vector.apply(built, reader_of(built))
    try:
        read(stored, reader, interval)
    except RefusedError as error:
        found = error.error, error.stage, error.released
        wanted = vector.error, vector.stage, vector.released
        if found != wanted:
            raise AssertionError(f"{vector.name}: found {found}, expected {wanted}") from None
    else:
        raise AssertionError(f"{vector.name}: accepted")


def produce() -> dict[str, str]:
    """Return the text of every vector file by its name, verified."""
    built = build_all()
    for one in built.values():
        verify_positive(one)
    negatives = negative_vectors(built)
    if len({vector.name for vector in negatives}) != len(negatives):
        raise AssertionError("two negative vectors have one name")
    for vector in negatives:
        verify_negative(vector, built[vector.base])
    return {
        "se1_positive.json": _text({"format": "SE1", "vectors": [describe(one) for one in built.values()]}),
        "se1_negative.json": _text({"format": "SE1", "vectors": [vector.describe() for vector in negatives]}),
    }


def _text(document: Mapping[str, object]) -> str:
    return json.dumps(document, indent=1) + "\n"


def main() -> int:
    """Write the vector files, or tell whether they are what would be written."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; fail if a file differs")
    arguments = parser.parse_args()
    status = 0
    for name, text in produce().items():
        path = _FOLDER / name
        if not arguments.check:
            path.write_text(text, encoding="ascii", newline="\n")
        elif not path.exists() or path.read_bytes() != text.encode("ascii"):
            print(f"{name} is not what the generator writes", file=sys.stderr)
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
