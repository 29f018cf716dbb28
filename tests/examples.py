"""How many examples Hypothesis tries.

By default a few, always the same ones, so that the suite is quick and does not fail by chance. For a search, say
python -m pytest tests/sim --hypothesis-profile=long
"""

from __future__ import annotations

from hypothesis import HealthCheck, settings

settings.register_profile("long", deadline=None, max_examples=3_000, stateful_step_count=80, print_blob=True)


def examples(number: int, steps: int = 50) -> settings:
    """So many, or as many as the profile says. steps: of a state machine, at most."""
    few = settings(max_examples=number, stateful_step_count=steps, derandomize=True, database=None, deadline=None)
    chosen = settings() if settings.get_current_profile_name() == "long" else few
    return settings(chosen, suppress_health_check=list(HealthCheck))
