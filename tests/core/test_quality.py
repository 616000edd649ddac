"""The one definition of quality lost."""

import pytest

from core.quality import quality_lost


def test_an_image_above_the_reference_makes_up_for_none_below_it():
    assert quality_lost([1.2, 0.8]) == pytest.approx(0.1)
    assert quality_lost([]) is None
