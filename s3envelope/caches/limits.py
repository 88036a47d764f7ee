"""How long, and for how much, a data key may be used again."""

from __future__ import annotations

from dataclasses import dataclass

from s3envelope.errors import ConfigurationError

_MOST_OBJECTS = 2**20


@dataclass(frozen=True, slots=True)
class CacheLimits:
    """Limits of the data-key cache.

    Args:
        max_age_seconds: How long a data key seals new objects.
        max_objects: How many objects a data key seals, at most 1048576.
        fresh_for_seconds: How long an opened data key opens further objects without asking the key service.
        offline_for_seconds: How long it opens them, counted from when the key service last gave it out, while the key
            service cannot be reached or throttles. 0 forbids it.

    Raises:
        ConfigurationError: A limit is negative or no number, or `max_objects` is not 1 to 1048576.
    """

    max_age_seconds: float = 600
    max_objects: int = _MOST_OBJECTS
    fresh_for_seconds: float = 300
    offline_for_seconds: float = 86_400

    def __post_init__(self) -> None:
        count: object = self.max_objects
        if not isinstance(count, int) or not 1 <= count <= _MOST_OBJECTS:
            raise ConfigurationError(f"max_objects is {count!r}; use 1 to {_MOST_OBJECTS}")
        for name in ("max_age_seconds", "fresh_for_seconds", "offline_for_seconds"):
            seconds = getattr(self, name)
            if not isinstance(seconds, int | float) or not seconds >= 0:
                raise ConfigurationError(f"{name} is {seconds!r}; use a number of seconds, 0 or more")
