"""When an image that nobody asked to be drawn so is drawn by several workers: each constraint, on a small table."""

from __future__ import annotations

import pytest

from core.parallel_profiles import ModeProfile
from scheduler.planning.gangs import LEAST, MOST_BUSY, MOST_WAIT, Load, erlang_c, gang_that_pays

IDLE, MANY = Load(0.0, 8), 10_000


def mode(name: str = "distrifusion", ranks: int = 2, step_s: float = 0.06, **more: float) -> ModeProfile:
    times = {"serial_s": 0.1, "meet_s": 0.05, **more}
    return ModeProfile(model="large", mode=name, ranks=ranks, step_s=step_s, **times)


def test_on_an_idle_system_the_lossless_mode_that_saves_most_is_taken():
    table = [mode(), mode("ulysses", 4, 0.03), mode("ulysses", 2, 0.055)]
    found = gang_that_pays(table, "large", 20, IDLE, idle=3)
    assert found is not None
    assert (found.mode, found.ranks) == ("ulysses", 4)
    found = gang_that_pays(table, "large", 20, IDLE, idle=1)
    assert found is not None
    assert (found.mode, found.ranks) == ("ulysses", 2)


@pytest.mark.parametrize(("name", "ranks"), [("asyncdiff", 2), ("pipefusion", 2), ("distrifusion", 4)])
def test_a_mode_that_changes_the_image_is_never_taken_unasked(name: str, ranks: int):
    assert gang_that_pays([mode(name, ranks, 0.01)], "large", 20, IDLE, idle=7) is None


def test_another_model_and_too_few_idle_workers_are_left_alone():
    assert gang_that_pays([mode()], "medium", 20, IDLE, idle=3) is None
    assert gang_that_pays([mode()], "large", 20, IDLE, idle=0) is None


def test_what_meeting_takes_has_to_be_earned_by_the_steps():
    saves = mode(step_s=0.06, meet_s=0.5)  # 0.04 s a step
    assert gang_that_pays([saves], "large", 12, IDLE, idle=1) is None
    least = 0.5 / (0.04 - LEAST * 0.1)
    assert gang_that_pays([saves], "large", int(least) - 1, IDLE, idle=1) is None
    assert gang_that_pays([saves], "large", int(least) + 1, IDLE, idle=1) == saves


def test_no_gang_where_drawing_all_so_would_fill_the_workers():
    most = MOST_BUSY / (2 * 0.06 / 0.1)  # of the load, served serially
    assert gang_that_pays([mode()], "large", 20, Load(most - 0.01, MANY), idle=1) is not None
    assert gang_that_pays([mode()], "large", 20, Load(most + 0.01, MANY), idle=1) is None


def test_no_gang_where_whoever_comes_meanwhile_would_often_find_none_free():
    groups = 8 // 2
    offered = next(a / 1000 for a in range(4000) if erlang_c(groups, (a + 1) / 1000) > MOST_WAIT)
    busy = offered / 8 / (0.06 / 0.1)
    assert busy * 2 * 0.06 / 0.1 < MOST_BUSY  # by C4 alone it would pay
    quick = mode(meet_s=0.0)
    assert gang_that_pays([quick], "large", 20, Load(busy, 8), idle=7) == quick
    assert gang_that_pays([quick], "large", 20, Load(busy + 0.002, 8), idle=7) is None
    assert gang_that_pays([mode(meet_s=0.1)], "large", 20, Load(busy, 8), idle=7) is None  # meeting counts, too
    four = mode("ulysses", 4, 0.03, meet_s=0.0)  # saves more, but of two gangs both are busy more often
    assert gang_that_pays([quick, four], "large", 20, Load(0.0, 8), idle=7) == four
    assert gang_that_pays([quick, four], "large", 20, Load(busy, 8), idle=7) == quick


def test_a_load_that_does_not_know_of_a_worker_yet_does_not_count_it_out():
    assert gang_that_pays([mode()], "large", 20, Load(0.0, 1), idle=1) == mode()


def test_erlang_s_formula_says_how_often_all_servers_are_busy():
    assert erlang_c(1, 0.3) == pytest.approx(0.3)
    assert erlang_c(2, 1.0) == pytest.approx(1 / 3)  # ½ / (1 − ½) over 1 + 1 + that
    assert erlang_c(3, 0.0) == 0.0
    assert erlang_c(2, 2.0) == erlang_c(0, 0.1) == 1.0
