"""Settings, errors and family files: bad input is named."""

import pytest

from core import errors
from core.errors import ArgusError, BadFamily, BadSettings, UnknownFamily, UnknownLevel
from core.families import FAMILIES, load_family
from core.levels import Level
from core.settings import Settings, load_settings

FAMILY = """
id = "toy"
title = "Toy"
version = "1"
reference = "exact"
[defaults]
steps = 20
guidance = 2.0
width = 64
height = 64
[limits]
steps = [1, 60]
guidance = [0.0, 12.0]
sizes = [[64, 64]]
[models.large]
pipeline = "embedded-unet"
path = "nowhere"
[levels.exact]
strategy = "exact"
model = "large"
[levels.ac-10]
strategy = "ac"
model = "large"
skip = 10
[scorer]
kind = "embedded-clip"
path = "nowhere"
"""


def test_an_unknown_setting_stops_start_up_with_its_name():
    with pytest.raises(BadSettings, match="ARGUS_TICKS is no setting"):
        load_settings({"ARGUS_TICKS": "3"})


def test_a_malformed_setting_stops_start_up_with_name_and_value():
    with pytest.raises(BadSettings, match="ARGUS_TICK_S='soon'"):
        load_settings({"ARGUS_TICK_S": "soon"})


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_default_is_a_value_that_the_setting_takes_from_the_environment(name):
    default = Settings.model_fields[name].default
    assert getattr(load_settings({f"ARGUS_{name.upper()}": str(default)}), name) == default


def test_every_error_has_a_code_of_its_own_and_stands_in_the_tree():
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, ArgusError)]
    named = [kind for kind in kinds if kind is not ArgusError]
    assert len({kind.code for kind in named}) == len(named)
    assert all(kind.__name__ in (errors.__doc__ or "") for kind in kinds)


def test_levels_scale_with_the_steps_a_request_asks_for():
    assert Level(id="ac-10", strategy="ac", model="m", skip=10).schedule(40, 20) == (40, 20)
    assert Level(id="fs-8", strategy="fs", model="m", steps=8).schedule(10, 20) == (4, 0)
    assert Level(id="fs-4", strategy="fs", model="m", steps=4, fixed_steps=True).schedule(50, 20) == (4, 0)


def test_a_family_file_names_queues_and_refuses_unknown_levels(tmp_path):
    path = tmp_path / "toy.toml"
    path.write_text(FAMILY)
    family = load_family(str(path))
    assert family.queue("ac-10") == "t2i.toy.ac-10"
    assert family.queues_of(["large"]) == ["t2i.toy.exact", "t2i.toy.ac-10"]
    with pytest.raises(UnknownLevel, match="exact, ac-10"):
        family.level("ac-11")


@pytest.mark.parametrize(
    ("change", "place"),
    [
        (("steps = 20", "steps = 0"), "defaults.steps"),
        (('model = "large"\nskip', 'model = "huge"\nskip'), "huge"),
        (('strategy = "ac"', 'strategy = "luck"'), "levels.ac-10.strategy"),
    ],
)
def test_a_bad_family_file_says_where(tmp_path, change, place):
    path = tmp_path / "toy.toml"
    path.write_text(FAMILY.replace(*change))
    with pytest.raises(BadFamily, match=place):
        load_family(str(path))


def test_a_family_that_is_not_there_lists_those_that_are():
    with pytest.raises(UnknownFamily, match="Known"):
        load_family("no-such-family")


@pytest.mark.parametrize("path", sorted(FAMILIES.glob("*.toml")), ids=lambda path: path.stem)
def test_every_family_file_loads(path):
    assert load_family(path.stem).id == path.stem


def test_a_request_is_as_long_as_its_steps_and_pixels_say_where_they_count():
    family = load_family("embedded")
    levels = ("exact", "ac-3", "fs-turbo-1")
    assert family.lengths(levels, 12, 256, 256) == ()
    assert family.lengths(levels, 60, 256, 256) == pytest.approx((5.0, 5.0, 1.0))
    assert family.lengths(levels, 12, 128, 128) == pytest.approx((0.25, 0.25, 0.25))
    assert family.lengths(levels, 1, 256, 256) == pytest.approx((1 / 12, 1 / 9, 1.0))
