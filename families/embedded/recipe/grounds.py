"""Places to put things in, drawn with soft gradients: a few fixed variants of each, made once at 256×256."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from families.embedded.recipe import words

SIDE = 256
VARIANTS = 6  # of each place; a plain colour has one
Colour = tuple[int, int, int]


def backdrops() -> tuple[Tensor, Tensor]:
    """All grounds as (M, 3, 256, 256) in 0…1, and for each of `words.GROUNDS` the (first, count) of its variants."""
    pictures: list[Tensor] = []
    spans = []
    for number, ground in enumerate(words.GROUNDS):
        draw = _PLACES.get(ground.name)
        variants = [_flat(words.COLOURS[ground.name])] if draw is None else [
            draw(torch.Generator().manual_seed(1000 * number + seed)) for seed in range(VARIANTS)
        ]  # fmt: skip
        spans.append((len(pictures), len(variants)))
        pictures += variants
    return torch.stack(pictures).clamp(0, 1), torch.tensor(spans)


# --- brushes ---------------------------------------------------------------------------------------------------------

Y, X = torch.meshgrid(*(((torch.arange(SIDE) + 0.5) / SIDE,) * 2), indexing="ij")


def _tint(colour: Colour) -> Tensor:
    return torch.tensor(colour, dtype=torch.float32).view(3, 1, 1) / 255


def _flat(colour: Colour) -> Tensor:
    return _tint(colour).expand(3, SIDE, SIDE).clone()


def _fade(above: Colour, below: Colour, start: float = 0.0, end: float = 1.0) -> Tensor:
    """A vertical gradient between two heights."""
    share = ((Y - start) / (end - start)).clamp(0, 1)
    return _tint(above) * (1 - share) + _tint(below) * share


def _over(picture: Tensor, colour: Colour | Tensor, alpha: Tensor) -> Tensor:
    paint = colour if isinstance(colour, Tensor) else _tint(colour)
    return picture * (1 - alpha) + paint * alpha


def _below(height: Tensor | float, soft: float = 0.006) -> Tensor:
    """1 below a horizon, 0 above."""
    return torch.sigmoid((Y - height) / soft)


def _noise(rng: torch.Generator, rows: int, columns: int) -> Tensor:
    """Smooth noise, about −1…1, over a grid of so many knots."""
    knots = torch.rand(1, 1, rows, columns, generator=rng) * 2 - 1
    return F.interpolate(knots, (SIDE, SIDE), mode="bicubic", align_corners=True)[0, 0]


def _between(rng: torch.Generator, low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand((), generator=rng))


def _blob(x: float, y: float, wide: float, high: float) -> Tensor:
    return torch.exp(-(((X - x) / wide) ** 2) - ((Y - y) / high) ** 2)


def _dot(
    rng: torch.Generator,
    picture: Tensor,
    colour: Colour,
    height: tuple[float, float],
    size: tuple[float, float],
    sharp: float,
    alpha: float,
) -> Tensor:
    """The picture with a soft dot somewhere between these heights, of a size between these."""
    x, y, wide = _between(rng, 0, 1), _between(rng, *height), _between(rng, *size)
    return _over(picture, colour, (_blob(x, y, wide, wide) * sharp).clamp(0, 1) * alpha)


def _waves(rng: torch.Generator, base: float, height: float, count: int = 5) -> Tensor:
    """A wavy horizon as heights over x."""
    return base + height * _noise(rng, 2, count)[:1].expand(SIDE, SIDE)


def _stars(rng: torch.Generator, picture: Tensor, count: int, lowest: float = 1.0) -> Tensor:
    for _ in range(count):
        x, y = _between(rng, 0, 1), _between(rng, 0, lowest)
        size = _between(rng, 0.004, 0.008)
        picture = _over(picture, (255, 250, 230), _blob(x, y, size, size) * _between(rng, 0.5, 1.0))
    return picture


# --- places ----------------------------------------------------------------------------------------------------------


def _night(rng: torch.Generator) -> Tensor:
    return _stars(rng, _fade((16, 20, 56), (58, 66, 122)), 40)


def _sky(rng: torch.Generator) -> Tensor:
    picture = _fade((84, 158, 232), (190, 222, 248))
    for _ in range(4):
        x, y, size = _between(rng, 0, 1), _between(rng, 0.1, 0.95), _between(rng, 0.08, 0.13)
        puffs = ((-1, 0), (0, 0.4), (0.2, 0), (1.1, 0))
        cloud = torch.stack([_blob(x + dx * size, y - dy * size, size * 0.75, size * 0.5) for dx, dy in puffs]).sum(0)
        picture = _over(picture, (255, 255, 255), (cloud * 1.3).clamp(0, 1) * 0.92)
    return picture


def _space(rng: torch.Generator) -> Tensor:
    picture = _flat((14, 10, 30))
    for colour in ((92, 40, 128), (30, 62, 130), (128, 44, 96)):
        cloud = ((_noise(rng, 5, 5) + 0.1).clamp(0, 1)) ** 1.5
        picture = _over(picture, colour, cloud * 0.75)
    return _stars(rng, picture, 55)


def _underwater(rng: torch.Generator) -> Tensor:
    picture = _fade((86, 196, 214), (10, 62, 110))
    rays = (torch.sin((X + 0.35 * Y) * 22 + _between(rng, 0, 6)) * 0.5 + 0.5) * (1 - Y) ** 1.5
    picture = _over(picture, (220, 255, 250), rays * 0.22)
    for _ in range(9):
        picture = _dot(rng, picture, (225, 250, 255), (0.1, 1), (0.008, 0.02), 1.2, 0.6)
    return picture


def _beach(rng: torch.Generator) -> Tensor:
    picture = _fade((120, 190, 240), (206, 232, 248), 0, 0.42)
    picture = _over(picture, _fade((38, 136, 186), (92, 196, 208), 0.42, 0.62), _below(0.42))
    shore = _waves(rng, 0.62, 0.025)
    picture = _over(picture, (240, 250, 250), _below(shore - 0.018, 0.004))
    return _over(
        picture, _fade((236, 210, 158), (222, 188, 132), 0.6, 1.0) + 0.012 * _noise(rng, 24, 24), _below(shore, 0.004)
    )


def _grass(rng: torch.Generator) -> Tensor:
    picture = _fade((132, 196, 244), (214, 236, 250), 0, 0.55)
    picture = _over(picture, (132, 184, 112), _below(_waves(rng, 0.5, 0.06), 0.008))
    ground = _fade((126, 192, 84), (78, 150, 58), 0.56, 1.0) + 0.018 * _noise(rng, 40, 60)
    return _over(picture, ground, _below(_waves(rng, 0.58, 0.025), 0.006))


def _snow(rng: torch.Generator) -> Tensor:
    picture = _fade((150, 178, 210), (222, 232, 244), 0, 0.6)
    picture = _over(picture, (206, 220, 236), _below(_waves(rng, 0.46, 0.09), 0.008))
    picture = _over(picture, _fade((248, 251, 255), (222, 232, 246), 0.55, 1.0), _below(_waves(rng, 0.58, 0.03), 0.008))
    for _ in range(26):
        picture = _dot(rng, picture, (255, 255, 255), (0, 0.9), (0.006, 0.011), 1.3, 0.9)
    return picture


def _desert(rng: torch.Generator) -> Tensor:
    picture = _fade((126, 184, 232), (246, 226, 190), 0, 0.55)
    picture = _over(picture, (222, 170, 108), _below(_waves(rng, 0.5, 0.08, 4), 0.006))
    dune = _fade((236, 192, 124), (206, 150, 86), 0.55, 1.0) + 0.02 * torch.sin((Y + 0.05 * _noise(rng, 3, 5)) * 120)
    return _over(picture, dune, _below(_waves(rng, 0.6, 0.05, 4), 0.006))


def _sea(rng: torch.Generator) -> Tensor:
    picture = _fade((120, 186, 238), (220, 236, 248), 0, 0.5)
    water = _fade((52, 132, 190), (18, 76, 140), 0.5, 1.0)
    ripples = torch.sin((Y * Y * 70) + 1.6 * _noise(rng, 10, 6)) * (Y - 0.4).clamp(0, 1)
    return _over(picture, water + 0.07 * ripples, _below(0.5, 0.004))


def _sunset(rng: torch.Generator) -> Tensor:
    picture = _fade((84, 58, 128), (248, 142, 84), 0, 0.4)
    picture = _over(picture, _fade((248, 142, 84), (255, 206, 120), 0.4, 0.66), _below(0.4, 0.01))
    x = _between(rng, 0.25, 0.75)
    picture = _over(picture, (255, 236, 170), (_blob(x, 0.62, 0.11, 0.11) * 1.6).clamp(0, 1))
    ground = _fade((112, 62, 88), (58, 34, 62), 0.68, 1.0)
    return _over(picture, ground, _below(_waves(rng, 0.68, 0.03), 0.005))


def _table(rng: torch.Generator) -> Tensor:
    wall = _fade((216, 206, 190), (196, 184, 168), 0, 0.6)
    plank = (Y - 0.6) * 5 + 0.12 * _noise(rng, 3, 4)
    grain = 0.03 * torch.sin(plank * 26 + 2.5 * _noise(rng, 30, 4)) + 0.035 * _noise(rng, 50, 4)
    seam = torch.exp(-(((plank % 1) - 0.5).abs() - 0.5).abs() * 60) * 0.22
    wood = _fade((176, 118, 70), (140, 88, 50), 0.6, 1.0) + grain - seam
    picture = _over(wall, wood, _below(0.6, 0.003))
    return picture - 0.16 * torch.exp(-(((Y - 0.6) / 0.012) ** 2))


def _forest(rng: torch.Generator) -> Tensor:
    picture = _fade((150, 196, 150), (196, 220, 160), 0, 0.6)
    for depth, colour in enumerate(((112, 150, 108), (82, 116, 80), (74, 72, 52))):
        for _ in range(5):
            x, width = _between(rng, 0, 1), 0.012 + 0.011 * depth
            trunk = torch.sigmoid((width - (X - x).abs()) / 0.004)
            picture = _over(picture, colour, trunk * (1 - _below(0.64 + 0.03 * depth)))
    leaves = ((_noise(rng, 14, 14) * 0.25 + 0.22 - Y) * 8).clamp(0, 1)
    picture = _over(picture, (58, 112, 58), leaves)
    ground = _fade((104, 126, 66), (62, 84, 44), 0.62, 1.0) + 0.03 * _noise(rng, 30, 40)
    return _over(picture, ground, _below(_waves(rng, 0.64, 0.02), 0.006))


def _road(rng: torch.Generator) -> Tensor:
    picture = _fade((146, 190, 230), (222, 232, 240), 0, 0.55)
    for _ in range(9):
        x, width, top = _between(rng, 0, 1), _between(rng, 0.05, 0.1), _between(rng, 0.14, 0.42)
        house = torch.sigmoid((width - (X - x).abs()) / 0.004) * _below(top, 0.004)
        shade = int(_between(rng, 120, 180))
        picture = _over(picture, (shade, shade, shade + 14), house)
    picture = _over(picture, (170, 168, 162), _below(0.58, 0.004))
    picture = _over(picture, _fade((96, 98, 104), (74, 76, 82), 0.64, 1.0), _below(0.64, 0.004))
    dash = torch.sigmoid((0.012 - (Y - 0.955).abs()) / 0.003) * torch.sigmoid(
        ((X * 4 + _between(rng, 0, 1)) % 1 - 0.5) / 0.02
    )
    return _over(picture, (236, 226, 180), dash)


def _room(rng: torch.Generator) -> Tensor:
    wall = ((226, 214, 198), (204, 216, 222), (214, 222, 204), (232, 208, 204))[
        int(torch.randint(4, (), generator=rng))
    ]
    picture = _flat(wall) + 0.05 * (_blob(_between(rng, 0.2, 0.8), 0.2, 0.5, 0.4) - 0.4)
    floor = _fade((190, 150, 112), (164, 124, 88), 0.66, 1.0)
    slope = (X - 0.5) / (Y - 0.3).clamp(min=0.1)
    floor = floor - 0.1 * torch.exp(-((slope * 4) % 1 - 0.5).abs() * 40)
    picture = _over(picture, floor, _below(0.66, 0.003))
    return _over(picture, (244, 240, 234), torch.sigmoid((0.014 - (Y - 0.65).abs()) / 0.002))


_PLACES = {
    "night sky": _night, "sky": _sky, "space": _space, "underwater": _underwater, "beach": _beach, "grass": _grass,
    "snow": _snow, "desert": _desert, "sea": _sea, "sunset": _sunset, "table": _table, "forest": _forest, "road": _road,
    "room": _room,
}  # fmt: skip
