"""Scenes painted in batches on the GPU: sprites pasted by affine sampling over a ground, with contact shadows."""

from __future__ import annotations

import io
import zipfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from families.embedded.recipe import names, scenes
from families.embedded.recipe.grounds import backdrops

SPRITE = 256  # side of a sprite, in pixels
LEVELS = 4  # of the sprites' mip map: 256, 128, 64, 32
VISIBLE = 24  # of 255: alpha above this belongs to the thing
SHADOW = 0.42  # darkness of a contact shadow at its middle
JITTER = 0.012


@dataclass
class Layout:
    """`scenes.Layout` on a device."""

    names: Tensor
    boxes: Tensor
    ground: Tensor
    standing: Tensor

    @classmethod
    def of(cls, layout: scenes.Layout, device: str) -> Layout:
        arrays = (layout.names, layout.boxes, layout.ground, layout.standing)
        return cls(*(torch.from_numpy(array).to(device) for array in arrays))

    def __getitem__(self, rows: Tensor | slice) -> Layout:
        return Layout(self.names[rows], self.boxes[rows], self.ground[rows], self.standing[rows])

    def __len__(self) -> int:
        return len(self.names)


class Painter:
    """All sprites and grounds on one device."""

    def __init__(self, device: str) -> None:
        self.device = device
        sprites = _sprites()
        self.extents = _extents(sprites[:, 3]).to(device)  # (N, 4): middle x, y, width, height, as shares of the sprite
        self.sprites = [sprites.to(device)]
        for _ in range(LEVELS - 1):
            self.sprites.append(F.avg_pool2d(self.sprites[-1].float(), 2).round().byte())
        pictures, spans = backdrops()
        self.backdrops = {256: (pictures * 255).round().byte().to(device)}
        self.spans = spans.to(device)

    def paint(self, layout: Layout, side: int, rng: torch.Generator, jitter: float = JITTER) -> Tensor:
        """Pictures (B, 3, side, side) in −1…1, float32; places, sizes and variants of grounds vary with `rng`."""
        canvas = self._ground(layout.ground, side, rng)
        boxes = layout.boxes + (torch.rand(layout.boxes.shape, generator=rng, device=self.device) * 2 - 1) * jitter
        boxes = torch.cat([boxes[..., :2], layout.boxes[..., 2:] * (1 + boxes[..., 2:] - layout.boxes[..., 2:])], -1)
        extents = self.extents[layout.names.clamp(min=0)]
        longest = extents[..., 2:].amax(-1, keepdim=True)
        sizes = extents[..., 2:] / longest * boxes[..., 2:]  # (B, 4, 2): width and height on the canvas
        feet = boxes[..., 1]
        middle = torch.where(layout.standing[:, None], feet - sizes[..., 1] / 2, feet)
        canvas = self._shadows(canvas, layout, boxes[..., 0], feet, sizes)
        factors = longest[..., 0] / boxes[..., 2]  # sprite shares a canvas share
        for place in range(layout.names.shape[1]):
            centre = torch.stack([boxes[:, place, 0], middle[:, place]], -1)
            self._paste(canvas, layout.names[:, place], centre, factors[:, place], extents[:, place, :2])
        return canvas * 2 - 1

    def _ground(self, ground: Tensor, side: int, rng: torch.Generator) -> Tensor:
        if side not in self.backdrops:
            small = F.interpolate(self.backdrops[256].float(), (side, side), mode="area")
            self.backdrops[side] = small.round().byte()
        first, count = self.spans[ground].unbind(-1)
        variant = (torch.rand(len(ground), generator=rng, device=self.device) * count).long()
        return self.backdrops[side][first + torch.minimum(variant, count - 1)].float() / 255

    def _shadows(self, canvas: Tensor, layout: Layout, x: Tensor, feet: Tensor, sizes: Tensor) -> Tensor:
        """Soft dark ellipses under what stands."""
        rows = layout.standing.nonzero()[:, 0]
        if not len(rows):
            return canvas
        side = canvas.shape[-1]
        line = (torch.arange(side, device=self.device) + 0.5) / side
        present = (layout.names[rows] >= 0).float()
        across = torch.exp(-(((line - x[rows, :, None]) / (0.42 * sizes[rows, :, :1] + 1e-4)) ** 4))  # (b, 4, side)
        down = torch.exp(-(((line - feet[rows, :, None]) / (0.09 * sizes[rows, :, :1] + 0.008)) ** 2))
        dark = torch.einsum("bk,bky,bkx->byx", present, down, across).clamp(max=1) * SHADOW
        canvas[rows] *= 1 - dark[:, None]
        return canvas

    def _paste(self, canvas: Tensor, things: Tensor, centre: Tensor, factor: Tensor, middle: Tensor) -> None:
        """One thing into each picture, from the mip level nearest to its size."""
        side = canvas.shape[-1]
        line = (torch.arange(side, device=self.device) + 0.5) / side * 2 - 1
        level = torch.log2(factor * SPRITE / side).round().clamp(0, LEVELS - 1)
        for depth, sprites in enumerate(self.sprites):
            rows = ((things >= 0) & (level == depth)).nonzero()[:, 0]
            if not len(rows):
                continue
            k = factor[rows, None]
            shift = k * (1 - 2 * centre[rows]) + 2 * middle[rows] - 1
            x, y = k * line + shift[:, :1], k * line + shift[:, 1:]  # (n, side): where each column and row look
            grid = torch.stack([x[:, None].expand(-1, side, -1), y[:, :, None].expand(-1, -1, side)], -1)
            over = F.grid_sample(sprites[things[rows]].float() / 255, grid, mode="bilinear", align_corners=False)
            canvas[rows] = over[:, :3] + canvas[rows] * (1 - over[:, 3:])


def _sprites() -> Tensor:
    """Premultiplied RGBA (N, 4, 256, 256) in uint8."""

    def read(data: bytes) -> np.ndarray:
        picture = Image.open(io.BytesIO(data)).convert("RGBA").convert("RGBa")
        return np.asarray(picture.resize((SPRITE, SPRITE)) if picture.size != (SPRITE, SPRITE) else picture)

    with zipfile.ZipFile(names.DATA / "sprites.zip") as archive:
        files = [archive.read(name) for name in sorted(archive.namelist())]
    with ThreadPoolExecutor(8) as pool:
        return torch.from_numpy(np.stack(list(pool.map(read, files)))).permute(0, 3, 1, 2).contiguous()


def _extents(alpha: Tensor) -> Tensor:
    """Middle and size (N, 4) of what is visible, as shares of the side."""
    seen = alpha > VISIBLE
    found = []
    for axis in (1, 2):  # over rows: columns seen, and the other way round
        line = seen.any(axis)
        first = line.int().argmax(1)
        last = line.shape[1] - line.flip(1).int().argmax(1)
        found.append(((first + last) / 2 / SPRITE, (last - first) / SPRITE))
    (x, width), (y, height) = found
    return torch.stack([x, y, width, height], -1)
