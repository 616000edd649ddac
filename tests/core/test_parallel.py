"""Which modes a request may name: what is refused before anybody draws."""

from __future__ import annotations

from typing import get_args

import pytest

from core.families import load_family
from core.levels import Level
from core.parallel import AUTO, MODES, Parallel, refusal

FAMILY = load_family("embedded")


def test_what_requests_may_say_is_a_mode_or_that_they_want_none():
    assert get_args(Parallel) == ("auto", "off", *MODES)
    assert [refusal(name, FAMILY, AUTO, None) for name in ("auto", "off")] == [None, None]


def test_a_model_is_refused_modes_that_cut_another_architecture_by_names_of_those_that_do():
    refused = "pipefusion cannot run model 'large' (embedded-unet). Use auto, off or one of: "
    assert refusal("pipefusion", FAMILY, AUTO, None) == refused + "distrifusion, asyncdiff, parataa."
    by_dit = FAMILY.model_copy(update={"levels": {"exact": Level(id="exact", strategy="exact", model="dit")}})
    assert refusal("pipefusion", by_dit, AUTO, None) is None
    assert "distrifusion cannot run model 'dit'" in str(refusal("distrifusion", by_dit, "exact", None))


@pytest.mark.parametrize("level", ["cq-3", "sub-5"])
def test_levels_that_do_not_compute_every_step_in_full_are_refused_by_name(level: str):
    assert f"which level {level!r} does not" in str(refusal("parataa", FAMILY, level, None))
    assert refusal("parataa", FAMILY, "fs-turbo-4", None) is None


def test_loras_are_refused_where_copies_of_the_model_run():
    assert "leave out `loras`" in str(refusal("asyncdiff", FAMILY, AUTO, "ink:0.8"))
    assert refusal("parataa", FAMILY, AUTO, "ink:0.8") is None
