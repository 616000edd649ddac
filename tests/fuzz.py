"""How many examples a test of many takes: few in the suite, thousands with `pytest --hypothesis-profile=fuzz`."""

from __future__ import annotations

from hypothesis import HealthCheck, settings

NAME = "fuzz"


def register() -> None:
    """Before the command line's profile is asked for."""
    settings.register_profile(NAME, settings.default, max_examples=2000)


def fuzzing() -> bool:
    """Whether there is time for thousands."""
    return bool(settings.get_current_profile_name() == NAME)


def examples(few: int, many: int, **more: object) -> settings:
    """So many; the few are the same each time, so that the suite fails for what was changed and nothing else."""
    slow = [HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large]
    return settings(
        max_examples=many if fuzzing() else few,
        derandomize=not fuzzing(),
        deadline=None,
        suppress_health_check=slow,
        **more,
    )
