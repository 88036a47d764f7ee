"""The profiles of the property tests: the default repeats itself in every run."""

import os

from hypothesis import HealthCheck, settings

# The same examples in every run, and no clock; `HYPOTHESIS_PROFILE=search` looks for new ones.
settings.register_profile(
    "ci",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=60,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile("search", deadline=None, max_examples=2000, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
