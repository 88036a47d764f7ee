"""Objects that every reader must refuse, one failure each."""

from __future__ import annotations

from collections.abc import Mapping

from tests.vectors.bad_headers import context_vectors, header_vectors, place_vectors
from tests.vectors.bad_indexed_bodies import indexed_vectors
from tests.vectors.bad_keys import commitment_vectors, key_vectors
from tests.vectors.bad_metadata import entry_vectors, name_vectors, spelling_vectors
from tests.vectors.bad_plain_bodies import plain_vectors
from tests.vectors.edits import NegativeVector
from tests.vectors.positive import Built

__all__ = ["NegativeVector", "negative_vectors"]


def negative_vectors(built: Mapping[str, Built]) -> list[NegativeVector]:
    """Return all negative vectors, in the order in which a reader meets the defects."""
    return [
        *name_vectors(built),
        *spelling_vectors(built),
        *entry_vectors(built),
        *context_vectors(built),
        *header_vectors(built),
        *place_vectors(built),
        *key_vectors(built),
        *commitment_vectors(built),
        *plain_vectors(built),
        *indexed_vectors(built),
    ]
