"""The web UI's text about an image, written and read."""

from __future__ import annotations

import pytest

from core.infotext import infotext, read_infotext

PARAMETERS = {"Steps": 20, "Sampler": "Euler", "CFG scale": "7", "Seed": 7, "Size": "512x256", "Model hash": None}


def test_it_has_the_lines_of_the_web_ui() -> None:
    lines = infotext("a fox", "a worm", PARAMETERS).splitlines()
    assert lines == [
        "a fox",
        "Negative prompt: a worm",
        "Steps: 20, Sampler: Euler, CFG scale: 7, Seed: 7, Size: 512x256",
    ]
    assert infotext("a fox", "", PARAMETERS).splitlines() == [lines[0], lines[2]]


@pytest.mark.parametrize("value", ['a, "b": c', "C:\\models\\x", "plain"])
def test_what_is_written_is_read_back(value: str) -> None:
    found = read_infotext(infotext("a fox", "", {**PARAMETERS, "Model": value}))
    assert found["Model"] == value
    assert (found["Prompt"], found["Negative prompt"], found["Size-1"], found["Size-2"]) == ("a fox", "", "512", "256")


def test_a_text_that_is_no_such_one_has_no_parts() -> None:
    assert read_infotext("a letter to a friend") == {}
    assert read_infotext("") == {}
