"""When an image that nobody asked to be drawn so is drawn by several workers: each constraint, on a small table."""

from __future__ import annotations

import pytest

from core.parallel_profiles import ModeProfile
from scheduler.planning.gangs import LEAST, MOST_BUSY, gang_that_pays


def mode(name: str = "distrifusion", ranks: int = 2, step_s: float = 0.06, **more: float) -> ModeProfile:
    times = {"serial_s": 0.1, "meet_s": 0.05, **more}
    return ModeProfile(model="large", mode=name, ranks=ranks, step_s=step_s, **times)


def test_on_an_idle_system_the_lossless_mode_that_saves_most_is_taken():
    table = [mode(), mode("ulysses", 4, 0.03), mode("ulysses", 2, 0.055)]
    found = gang_that_pays(table, "large", 20, busy=0.0, idle=3)
    assert found is not None
    assert (found.mode, found.ranks) == ("ulysses", 4)
    found = gang_that_pays(table, "large", 20, busy=0.0, idle=1)
    assert found is not None
    assert (found.mode, found.ranks) == ("ulysses", 2)


@pytest.mark.parametrize(("name", "ranks"), [("asyncdiff", 2), ("pipefusion", 2), ("distrifusion", 4)])
def test_a_mode_that_changes_the_image_is_never_taken_unasked(name: str, ranks: int):
    assert gang_that_pays([mode(name, ranks, 0.01)], "large", 20, busy=0.0, idle=7) is None


def test_another_model_and_too_few_idle_workers_are_left_alone():
    assert gang_that_pays([mode()], "medium", 20, busy=0.0, idle=3) is None
    assert gang_that_pays([mode()], "large", 20, busy=0.0, idle=0) is None


def test_what_meeting_takes_has_to_be_earned_by_the_steps():
    saves = mode(step_s=0.06, meet_s=0.5)  # 0.04 s a step
    assert gang_that_pays([saves], "large", 12, busy=0.0, idle=1) is None
    least = 0.5 / (0.04 - LEAST * 0.1)
    assert gang_that_pays([saves], "large", int(least) - 1, busy=0.0, idle=1) is None
    assert gang_that_pays([saves], "large", int(least) + 1, busy=0.0, idle=1) == saves


def test_no_gang_where_drawing_all_so_would_fill_the_workers():
    most = MOST_BUSY / (2 * 0.06 / 0.1)  # of the load, served serially
    assert gang_that_pays([mode()], "large", 20, busy=most - 0.01, idle=1) is not None
    assert gang_that_pays([mode()], "large", 20, busy=most + 0.01, idle=1) is None
