"""Which of a family's sizes is drawn for what a client asks for."""

from __future__ import annotations

import pytest

from app.sizes import nearest, sizes_for
from core.errors import OutOfRange
from core.families import Family, Size, load_family
from tests.app.conftest import configured

SDXL = load_family("sdxl").limits.sizes
EMBEDDED = load_family("embedded").limits.sizes
OPENAI: list[tuple[Size, Size]] = [  # what its clients send, and what SDXL draws for it
    ((256, 256), (1024, 1024)),
    ((512, 512), (1024, 1024)),
    ((768, 768), (1024, 1024)),
    ((1024, 1024), (1024, 1024)),
    ((1536, 1024), (1216, 832)),
    ((1024, 1536), (832, 1216)),
    ((1792, 1024), (1344, 768)),
    ((1024, 1792), (768, 1344)),
    ((1280, 720), (1344, 768)),
    ((512, 640), (896, 1152)),
]


@pytest.mark.parametrize(("asked", "drawn"), OPENAI)
def test_the_size_nearest_in_shape_and_area_is_drawn(asked: Size, drawn: Size) -> None:
    assert nearest(asked, SDXL) == drawn


def test_of_sizes_of_one_shape_the_one_nearest_in_area_is_drawn() -> None:
    assert nearest((1024, 1024), EMBEDDED) == (256, 256)
    assert nearest((150, 150), EMBEDDED) == (128, 128)


def test_a_slight_cut_is_less_than_a_great_enlargement_and_half_a_picture_is_more() -> None:
    assert nearest((256, 256), ((128, 128), (256, 248))) == (256, 248)
    assert nearest((64, 64), ((64, 128), (128, 128))) == (128, 128)


def test_of_two_sizes_that_lose_the_same_the_larger_is_drawn() -> None:
    assert nearest((256, 256), ((128, 128), (512, 512))) == (512, 512)


def test_a_size_of_the_family_is_not_resized_and_a_side_left_out_is_the_family_s(family: Family) -> None:
    assert not sizes_for(family, 128, 64).resized
    assert sizes_for(family, None, None).asked == (64, 64)
    told = sizes_for(family, 700, None)
    assert (told.asked, told.native, told.resized) == ((700, 64), (128, 64), True)


@pytest.mark.parametrize("asked", [(0, 64), (15, 64), (64, 4097), (99999, 99999), (4096, 4096), (-64, -64)])
def test_what_nobody_makes_is_refused_with_what_is_allowed(family: Family, asked: Size) -> None:
    with pytest.raises(OutOfRange, match="16 to 4096") as refused:
        sizes_for(family, *asked)
    assert refused.value.field == "size"
    assert "64x64, 128x64" in refused.value.message


def test_a_setting_refuses_what_the_family_does_not_draw(family: Family, family_file: object) -> None:
    with configured(ARGUS_COMPAT_SIZES="refuse", ARGUS_FAMILY=str(family_file)):
        assert sizes_for(family, 128, 64).native == (128, 64)
        with pytest.raises(OutOfRange, match="ARGUS_COMPAT_SIZES=resize"):
            sizes_for(family, 512, 512)
