"""The contract between the engine and a family of pipelines: prepare, denoise, advance, decode.

An adapter knows one pipeline class: how to encode a prompt, how to call the denoiser, how to turn a latent into an
image. What all adapters share is here: guidance inside one forward, a sampler for each row, seeded noise.
"""

from __future__ import annotations

from typing import Any

import torch
from PIL import Image
from torch import Tensor

from core.errors import CacheEntryDamaged, DecodeFailed
from core.families import Level, Model
from workers.engine.request import GenerationRequest
from workers.pipelines.feature_cache import FeatureCache
from workers.pipelines.rows import Batch, Row, Start, Tensors, column, denoise_with_feature_cache
from workers.pipelines.samplers import SamplerState, safe_scheduler

HALF = (torch.float16, torch.bfloat16)


class Adapter:
    """Base of all adapters. Subclasses give `load`, `encode`, `forward`, `image_of` and the shapes.

    On the CPU a half-precision `dtype` is that of matrix products and convolutions alone (autocast): weights, latents
    and sampler stay float32.
    """

    net: Any = None  # the denoiser, of those that come as a diffusers pipeline

    def __init__(self, model: Model, device: str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        self.model = model
        self.device = torch.device(device)
        self.autocast_dtype = dtype if self.device.type == "cpu" and dtype in HALF else None
        self.dtype = torch.float32 if self.autocast_dtype else dtype
        self.forwards = 0
        self.feature_caches: dict[str, FeatureCache] = {}  # by `fc` level
        self.scheduler = safe_scheduler(self.load(), model.scheduler)

    # what a pipeline class must say for itself

    def load(self) -> Any:
        """Load weights to the device and answer the checkpoint's scheduler."""
        raise NotImplementedError

    def encode(self, request: GenerationRequest, guidance: float) -> tuple[Tensors, Tensors | None]:
        """Conditioning and, where this guidance needs one, the unconditional half; no batch axis."""
        raise NotImplementedError

    def noise_shape(self, request: GenerationRequest) -> tuple[int, ...]:
        """Shape of the noise drawn for a request, without batch axis."""
        raise NotImplementedError

    def forward(self, latents: Tensor, times: Tensor, conditioning: Tensors) -> Tensor:
        """One pass of the denoiser: latents [m, …], times [m] → predictions [m, …]."""
        raise NotImplementedError

    def image_of(self, latent: Tensor, size: tuple[int, int]) -> Tensor:
        """Latent [1, …] → image [1, 3, height, width] in [-1, 1]."""
        raise NotImplementedError

    def modules(self) -> list[torch.nn.Module]:
        """All that holds weights."""
        raise NotImplementedError

    def pack(self, noise: Tensor) -> Tensor:
        """From noise as drawn to the layout of a row's latent."""
        return noise

    def timing(self, steps: int, latent: Tensor) -> dict[str, Any]:
        """What the pipeline class passes to `set_timesteps` besides the number of steps."""
        return {}

    def guides(self, guidance: float) -> bool:
        """Whether this guidance needs an unconditional half."""
        return guidance > 1.0

    def add_feature_cache(self, level: Level) -> None:
        """Make ready for an `fc` level; raises `BadFamily` where diffusers has no cache for this denoiser."""
        self.feature_caches[level.id] = FeatureCache(self, level)

    # the four methods

    @torch.inference_mode()
    def prepare(self, request: GenerationRequest, start: Start, guidance: float) -> Row:
        """Encode the prompt and draw the noise: a row ready to join a batch."""
        conditioning, negative = self.encode(request, guidance)
        latent, sampler = self.place(request, start)
        return Row(latent, conditioning, negative, guidance, sampler, (request.width, request.height))

    @torch.inference_mode()
    def place(self, request: GenerationRequest, start: Start) -> tuple[Tensor, SamplerState]:
        """The first latent of a request and its sampler. The seed alone decides the noise, on every device.

        Raises:
            CacheEntryDamaged: the latent to continue from has another shape.
        """
        generator = torch.Generator("cpu").manual_seed(request.seed)
        drawn = torch.randn((1, *self.noise_shape(request)), generator=generator, dtype=self.dtype)
        noise = self.pack(drawn.to(self.device))[0]
        sampler = SamplerState(self.scheduler, start.steps, start.skip, generator, **self.timing(start.steps, noise))
        if start.latent is None:
            return noise * sampler.noise_scale, sampler
        if start.latent.shape != noise.shape:
            raise CacheEntryDamaged(f"A cached latent has shape {tuple(start.latent.shape)}, not {tuple(noise.shape)}.")
        cached = start.latent.to(self.device, self.dtype)
        return (sampler.add_noise(cached, noise) if start.clean else cached), sampler

    @torch.inference_mode()
    def denoise(self, batch: Batch) -> Tensor:
        """Guided predictions [n, …] in one forward: n conditional halves and one more for each guided row."""
        self.forwards += 1
        if batch.rows[0].cache_context is not None:
            return denoise_with_feature_cache(batch)
        inputs, times, guided = batch.inputs(), batch.times(), batch.guided
        if not guided:
            return self.predict(inputs, times, batch.conditioning)
        both = {name: torch.cat([value, batch.negative[name][guided]]) for name, value in batch.conditioning.items()}
        out = self.predict(torch.cat([inputs, inputs[guided]]), torch.cat([times, times[guided]]), both)
        predictions, unconditional = out[: len(batch.rows)].clone(), out[len(batch.rows) :]
        weight = column([batch.rows[i].guidance for i in guided], out)
        predictions[guided] = unconditional + weight * (predictions[guided] - unconditional)
        return predictions

    def predict(self, latents: Tensor, times: Tensor, conditioning: Tensors) -> Tensor:
        """`forward`, its products in half precision where that was asked for on a CPU."""
        if self.autocast_dtype is None:
            return self.forward(latents, times, conditioning)
        with torch.autocast(self.device.type, self.autocast_dtype):
            return self.forward(latents, times, conditioning).to(latents.dtype)

    @torch.inference_mode()
    def advance(self, batch: Batch, predictions: Tensor) -> None:
        """One sampler step of every row, in place."""
        rows, latents = batch.rows, batch.latents
        if all(row.sampler.linear for row in rows):
            exact = torch.float64 if latents.dtype == torch.float64 else torch.float32
            a = column([row.sampler.coefficient("latent_weight") for row in rows], latents, exact)
            b = column([row.sampler.coefficient("prediction_weight") for row in rows], latents, exact)
            latents.copy_(a * latents.to(exact) + b * predictions.to(exact))
        else:
            for i, row in enumerate(rows):
                before = latents[i : i + 1].clone()  # samplers remember it; this memory is another's soon
                latents[i] = row.sampler.step(predictions[i : i + 1], before)[0]
        for row in rows:
            row.sampler.index += 1

    @torch.inference_mode()
    def decode(self, latent: Tensor, size: tuple[int, int]) -> Image.Image:
        """The image of a finished latent (no batch axis).

        Raises:
            DecodeFailed: the decoder answered NaN or infinity.
        """
        pixels = self.image_of(latent[None], size)[0].float()
        if not torch.isfinite(pixels).all():
            raise DecodeFailed("The decoder answered values that are not numbers; use another data type or level.")
        array = ((pixels.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        return Image.fromarray(array.permute(1, 2, 0).cpu().numpy())

    # memory and speed

    @property
    def memory_mb(self) -> float:
        """Bytes of weights and buffers, in MB."""
        parts = [t for module in self.modules() for t in (*module.parameters(), *module.buffers())]
        return sum(t.numel() * t.element_size() for t in parts) / 1e6

    def compile(self) -> None:
        """Compile the denoiser, where the pipeline class can; called once, before the first request."""
