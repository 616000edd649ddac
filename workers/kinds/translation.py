"""Requests that translate a picture, a sketch or a grey one, along the family's bridge: DBIM (`ddbm.py`) in the turns
of the engine, one denoising each.

The bridge has weights of its own, which are loaded with the first such request of a process. Its rows see a second
latent, so that they share forwards with nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from core.kinds import TRANSLATION
from workers.kinds.own import Hook, OwnKind
from workers.parallel.way import Way

if TYPE_CHECKING:
    from torch import Tensor

    from workers.pipelines.rows import Batch


@dataclass(frozen=True)
class Translation(OwnKind):
    """A picture to begin with (RGB, as large as the request), and the folder of the bridge's weights."""

    source: Image.Image
    bridge: str

    @property
    def way(self) -> Way:
        return Way(TRANSLATION, lambda adapter, batch: Translating(adapter, batch, self), required=True)

    def hook(self, adapter: Any, size: tuple[int, int]) -> Hook | None:
        """None; the weights are loaded here, by the thread that encodes prompts, not by the engine's loop."""
        _member(self.bridge, str(adapter.device))
        return None


class Translating:
    """DBIM on a row, for one run of it. The row's sampler counts the denoisings; the times between are the bridge's."""

    def __init__(self, adapter: Any, batch: Batch, asked: Translation) -> None:
        from families.embedded.bridge import denoiser
        from workers.kinds.bridges import VariancePreserving
        from workers.kinds.ddbm import dbim_times
        from workers.pipelines.source import pixels_of

        (row,) = batch.rows
        member, self.bridge = _member(asked.bridge, str(adapter.device)), VariancePreserving()
        text = (batch.conditioning["states"].clone(), batch.conditioning["mask"].clone())
        self.adapter, self.row = adapter, row
        self.source: Tensor = adapter.latent_of(pixels_of(asked.source, row.size))[None].float()
        self.predict = denoiser(member, self.bridge, text, row.guidance)
        self.times = dbim_times(self.bridge, max(1, len(row.sampler) - 1))

    def turn(self, batch: Batch) -> None:
        """One denoising, in place: of one step the clean latent itself."""
        import torch

        from workers.kinds.ddbm import booted, dbim_step

        sampler, noise = self.row.sampler, self.row.sampler.generator
        at, given = sampler.index, (self.predict, self.bridge, self.source)
        self.adapter.forwards += 1
        with torch.inference_mode():
            if len(sampler) == 1:
                latents = self.predict(self.source, self.bridge.end, self.source)
            elif at == 0:
                latents = booted(*given, self.times[0], noise)
            else:
                latents = dbim_step(*given, batch.latents.float(), (self.times[at - 1], self.times[at]), 0.0, noise)
            batch.latents.copy_(latents)
        sampler.index += 1


@lru_cache(maxsize=2)
def _member(folder: str, device: str) -> Any:
    """The bridge's network, once a process; raises `WeightsDamaged`."""
    from families.embedded.bridge import load_bridge

    return load_bridge(Path(folder), device)
