"""Sizes that other APIs ask for: which of the family's to draw, so that the picture can be made what was asked.

A family draws a few sizes well and no others. What a client asks for is drawn at the nearest of them, then resized to
cover what was asked and cut to it around the centre (`app/rendering.py`); ARGUS_COMPAT_SIZES=refuse refuses instead.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import log

from app.rendering import MOST_PIXELS, SIDES
from core.errors import OutOfRange
from core.families import Family, Size
from core.settings import settings

CUT_WEIGHT = 4  # half a picture cut away weighs as much as one enlarged four times in each direction


@dataclass(frozen=True)
class Sizes:
    """What was asked for, and what is drawn for it: (width, height) in pixels."""

    asked: Size
    native: Size

    @property
    def resized(self) -> bool:
        """Whether the picture has to be made what was asked."""
        return self.asked != self.native


def sizes_for(family: Family, width: int | None, height: int | None, field: str = "size") -> Sizes:
    """The sizes of a picture of so many pixels; a side that is left out is the family's default.

    Raises:
        OutOfRange: no picture of this size is made, or, with ARGUS_COMPAT_SIZES=refuse, not by this family.
    """
    asked = (family.defaults.width if width is None else width, family.defaults.height if height is None else height)
    if asked in family.limits.sizes:
        return Sizes(asked, asked)
    known = ", ".join(f"{w}x{h}" for w, h in family.limits.sizes)
    if settings().compat_sizes == "refuse":
        raise OutOfRange(
            f"{asked[0]}x{asked[1]} is no size of family {family.id}. It makes: {known}. With "
            "ARGUS_COMPAT_SIZES=resize, pictures are made the size that is asked for.",
            field=field,
        )
    if not all(SIDES[0] <= side <= SIDES[1] for side in asked) or asked[0] * asked[1] > MOST_PIXELS:
        raise OutOfRange(
            f"{asked[0]}x{asked[1]} pixels cannot be made: each side has {SIDES[0]} to {SIDES[1]}, both together at "
            f"most {MOST_PIXELS:,}. Family {family.id} draws {known}.",
            field=field,
        )
    return Sizes(asked, nearest(asked, family.limits.sizes))


def nearest(asked: Size, sizes: tuple[Size, ...]) -> Size:
    """The size that loses least on its way to what was asked: by what is cut away of it, and by how much the rest is
    enlarged or reduced. Of two that lose the same the larger one."""
    return min(sizes, key=lambda size: (_loss(asked, size), -size[0] * size[1]))


def _loss(asked: Size, size: Size) -> float:
    """Logarithms of the share that is cut away, and of the pixels that each of the rest becomes."""
    across, down = asked[0] / size[0], asked[1] / size[1]
    return CUT_WEIGHT * abs(log(across / down)) + abs(2 * log(max(across, down)))
