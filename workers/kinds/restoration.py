"""Requests that restore a picture: P2L (`p2l.py`) in the turns of the engine, one step of it each.

The row is one by itself, because every step takes gradients through denoiser and decoder. Its sampler says only at
which noise levels the steps are; the step between two is P2L's own. It works with every model whose sampler is linear,
at the settings of the embedded family.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image

from core.errors import BadInput
from core.kinds import RESTORATION
from core.operators import Operator
from workers.kinds.own import OwnKind
from workers.parallel.way import Way

if TYPE_CHECKING:
    from torch import Tensor

    from workers.pipelines.rows import Batch

TEXT = "states"  # the part of the conditioning that is tuned: what attention reads


@dataclass(frozen=True)
class Restoration(OwnKind):
    """A picture as it was measured (RGB), and what it went through."""

    operator: Operator
    measured: Image.Image

    @property
    def way(self) -> Way:
        return Way(RESTORATION, lambda adapter, batch: Restoring(adapter, batch, self), required=True)

    def finish(self, drawn: Image.Image) -> Image.Image:
        """The picture nearest to what was drawn that fits the measurement."""
        from workers.kinds.p2l import TRUST
        from workers.pipelines.source import image_from, pixels_of

        drawn_pixels, measured = (pixels_of(picture, picture.size) for picture in (drawn, self.measured))
        return image_from(self.operator.nearest(measured, drawn_pixels, TRUST))


class Restoring:
    """P2L on a row, for one run of it: the tuned text goes from turn to turn."""

    def __init__(self, adapter: Any, batch: Batch, asked: Restoration) -> None:
        from workers.pipelines.source import pixels_of

        (row,) = batch.rows
        if not row.sampler.linear:
            raise BadInput(
                "A restoration takes a linear sampler (DDIM, Euler, flow matching): give the model one in the family "
                "file, or leave `kind` out.",
                field="kind",
            )
        self.adapter, self.asked, self.row = adapter, asked, row
        sent = pixels_of(asked.measured, asked.measured.size).to(adapter.device, adapter.state_dtype)
        self.measured = asked.operator.known_of(sent)
        self.text: Tensor | None = None

    def turn(self, batch: Batch) -> None:
        """One step of P2L, in place."""
        import torch

        from workers.kinds.p2l import SHORT, pulled, tuned
        from workers.pipelines.samplers import place_of

        sampler = self.row.sampler
        where = (sampler.steps_done + 1, place_of(sampler), place_of(sampler, 1))
        with torch.inference_mode(False), torch.enable_grad():  # the loop's own tensors know no gradients
            fixed = {name: value.clone() for name, value in batch.conditioning.items()}
            prior, latents = self._prior(fixed), batch.latents.clone()
            text = fixed[TEXT] if self.text is None else self.text
            operator, measured = self.asked.operator, self.measured
            self.text = tuned(prior, operator, measured, text, latents, where[1], SHORT)
            latents = pulled(prior, operator, measured, self.text, latents, where, SHORT, sampler.generator)
        with torch.inference_mode():
            batch.latents.copy_(latents)
        sampler.index += 1

    def _prior(self, fixed: dict[str, Tensor]) -> Any:
        """The adapter's model at the row's next step, as P2L takes it; what is not tuned of the conditioning stays."""
        import torch

        from workers.kinds.p2l import Prior

        adapter, size, sampler = self.adapter, self.row.size, self.row.sampler
        weights = sampler.clean_weights()
        assert weights is not None, "linear samplers take whole steps"
        of_latent, of_prediction = weights
        scale, times = sampler.coefficient("input_scale"), sampler.time[None].to(adapter.device)

        def clean(latents: Tensor, _: float, text: Tensor) -> Tensor:
            adapter.forwards += 1
            prediction = adapter.forward(latents * scale, times, {**fixed, TEXT: text}).to(adapter.state_dtype)
            weighted: Tensor = of_latent * latents + of_prediction * prediction
            return weighted

        def encode(pictures: Tensor) -> Tensor:
            with torch.inference_mode():
                packed = adapter.pack(adapter.latent_of(pictures)[None])
            latents: Tensor = packed.clone().to(adapter.state_dtype)
            return latents

        return Prior(clean, encode, lambda latents: adapter.image_of(latents, size).to(adapter.state_dtype))
