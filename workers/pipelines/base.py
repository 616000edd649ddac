"""The contract between the engine and a family of pipelines: prepare, denoise, advance, decode.

An adapter knows one pipeline class: how to encode a prompt, how to call the denoiser, how to turn a latent into an
image. What all adapters share is here: guidance inside one forward, a sampler for each row, seeded noise.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from PIL import Image
from torch import Tensor

from core.emphasis import Spans
from core.errors import DecodeFailed
from core.families import Model
from core.levels import Level
from core.reuse_plans import ReusePlan
from workers.engine.request import GenerationRequest
from workers.pipelines.architecture import Architecture
from workers.pipelines.feature_cache import FeatureCache
from workers.pipelines.growing import Placed, place, row_of
from workers.pipelines.phases import SplitDenoiser, denoise_by_phase
from workers.pipelines.reuse import Planned
from workers.pipelines.rows import Batch, Row, Start, Tensors, column, denoise_with_feature_cache
from workers.pipelines.samplers import safe_scheduler
from workers.pipelines.source import image_from
from workers.pipelines.weights import HALF

NEGATIVES = 32  # negative prompts kept encoded


class Adapter(Architecture):
    """Base of all adapters: what an `Architecture` says, for rows of many requests.

    Weights and activations have `dtype`. Noise, latents, guidance and sampler have `state_dtype`, float32 at least:
    noise drawn or noise levels rounded in half precision would make another picture of the same seed.

    Args:
        autocast: a half-precision `dtype` is that of matrix products and convolutions alone, weights stay float32.
        None:
            on the CPU, where half-precision weights gain nothing.
    """

    def __init__(
        self,
        model: Model,
        device: str = "cpu",
        dtype: torch.dtype = torch.float32,
        autocast: bool | None = None,
    ) -> None:
        self.model = model
        self.device = torch.device(device)
        autocast = self.device.type == "cpu" if autocast is None else autocast
        self.autocast_dtype = dtype if autocast and dtype in HALF else None
        self.dtype = torch.float32 if self.autocast_dtype else dtype
        self.state_dtype = torch.promote_types(self.dtype, torch.float32)
        self.forwards = self.shallow_forwards = 0
        self.rows_that_fit: int | None = None  # of one forward, where warming up found fewer than were wanted
        self.feature_caches: dict[str, FeatureCache] = {}  # by `fc` level
        self.reuse_plans: dict[str, Planned] = {}  # by `cq` level
        self.split: SplitDenoiser | None = None
        self._negatives: OrderedDict[tuple[str, Spans], Tensors] = OrderedDict()
        self.scheduler = safe_scheduler(self.load(), model.sampler, **(model.recipe.config if model.recipe else {}))

    def add_feature_cache(self, level: Level) -> None:
        """Make ready for an `fc` level; raises `BadFamily` where diffusers has no cache for this denoiser."""
        self.feature_caches[level.id] = FeatureCache(self, level, self.compiles)

    def add_reuse(self, level: Level, plan: ReusePlan) -> None:
        """Make ready for a `cq` level; raises `BadFamily` where the denoiser has no deep part to be reused."""
        self.split = self.split or SplitDenoiser(self, level)
        self.reuse_plans[level.id] = Planned.of(plan, self.device, self.dtype)

    # the four methods

    def prepare(self, request: GenerationRequest, start: Start, guidance: float) -> Row:
        """Encode the prompt and draw the noise: a row ready to join a batch."""
        conditioning, negative = self.encode(request, guidance)
        return row_of(self, request, (conditioning, negative), guidance, self.place(request, start))

    @torch.inference_mode()
    def encode(self, request: GenerationRequest, guidance: float) -> tuple[Tensors, Tensors | None]:
        """Conditioning and, where this guidance needs one, the unconditional half; no batch axis."""
        if self.strengths is not None:
            self.strengths.in_encoders()
        same = self.inputs_of(request, guidance)
        spans, of_negative = request.emphasis
        read = self.encode_weighted(request.prompt, spans) if spans else self.encode_prompt(request.prompt)
        conditioning = {**read, **same}
        negative = {**self._negative(request.negative_prompt, of_negative), **same} if self.guides(guidance) else None
        return conditioning, negative

    @torch.inference_mode()
    def place(self, request: GenerationRequest, start: Start) -> Placed:
        """Where a request begins. The seed alone decides the noise, whatever device and dtype.

        Raises:
            CacheEntryDamaged: the latent to continue from has another shape.
        """
        return place(self, request, start)

    @torch.inference_mode()
    def denoise(self, batch: Batch) -> Tensor:
        """Guided predictions [n, …] in one forward: n conditional halves and one more for each guided row.

        Rows of `cq` levels that reuse their deep features at this step share a second one, a shallow one.
        """
        if any(row.reuse is not None for row in batch.rows):
            return denoise_by_phase(self, batch)
        self.forwards += 1
        if batch.rows[0].cache_context is not None:
            return denoise_with_feature_cache(batch)
        return batch.combined(self.predict(*batch.halves()))

    def predict(self, latents: Tensor, times: Tensor, conditioning: Tensors) -> Tensor:
        """`forward`, the fastest way that was measured; in autocast where that was asked for."""
        if self.strengths is not None:
            self.strengths.in_denoiser()
        if self.autocast_dtype is not None:
            with torch.autocast(self.device.type, self.autocast_dtype):
                return self.forward(latents, times, conditioning).to(self.state_dtype)
        run = self.fastest or self.attended
        return run(latents, times, conditioning).to(self.state_dtype)

    @torch.inference_mode()
    def advance(self, batch: Batch, predictions: Tensor) -> None:
        """One sampler step of every row, in place.

        Rows whose sampler has moved on have their new latent, also when this raises.
        """
        rows, latents = batch.rows, batch.latents
        if all(row.sampler.linear for row in rows):
            a = column([row.sampler.coefficient("latent_weight") for row in rows], latents)
            b = column([row.sampler.coefficient("prediction_weight") for row in rows], latents)
            latents.copy_(a * latents + b * predictions)
            for row in rows:
                row.sampler.index += 1
        else:
            for i, row in enumerate(rows):
                before = latents[i : i + 1].clone()  # samplers keep it; this memory is another's soon
                latents[i] = row.sampler.step(predictions[i : i + 1], before)[0]
                row.sampler.index += 1
        for i, row in enumerate(rows):
            if row.kept is not None:
                latents[i] = row.kept.onto(latents[i], row.sampler)

    @torch.inference_mode()
    def decode(self, latent: Tensor, size: tuple[int, int], tiled: bool = False) -> Image.Image:
        """The image of a finished latent (no batch axis); `tiled` takes less memory, where the decoder can.

        Raises:
            DecodeFailed: the decoder answered NaN or infinity.
        """
        with self.tiling(tiled):
            pixels = self.image_of(latent[None], size)[0].float()
        if not torch.isfinite(pixels).all():
            raise DecodeFailed("The decoder answered values that are not numbers; use another data type or level.")
        return image_from(pixels[None])

    # memory and speed

    def _negative(self, prompt: str, spans: Spans) -> Tensors:
        """Nearly every request has the same negative prompt: encoded once."""
        key = (prompt, spans)
        if key not in self._negatives:
            read = self.encode_weighted(prompt, spans) if spans else self.encode_negative(prompt)
            self._negatives[key] = read
        self._negatives.move_to_end(key)
        while len(self._negatives) > NEGATIVES:
            self._negatives.popitem(last=False)
        return self._negatives[key]
