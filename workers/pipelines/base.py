"""The contract between the engine and a family of pipelines: prepare, denoise, advance, decode.

An adapter knows one pipeline class: how to encode a prompt, how to call the denoiser, how to turn a latent into an
image. What all of them share stands here: guidance inside one forward, samplers row by row, seeded noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from core.errors import CacheEntryDamaged, DecodeFailed
from core.families import Level, Model
from workers.engine.request import Order
from workers.pipelines.feature_cache import HALVES, Features, Keeper
from workers.pipelines.samplers import Walk, safe_scheduler

Tensors = dict[str, Tensor]
HALF = (torch.float16, torch.bfloat16)


@dataclass(frozen=True)
class Start:
    """Where a request begins: steps of its schedule, how many are skipped, and the latent to resume from.

    `latent` is x_K as another request left it: no noise is added again. With `clean` it is a finished latent, and
    is noised to level K first (MoDM's way).
    """

    steps: int
    skip: int = 0
    latent: Tensor | None = None
    clean: bool = False
    similarity: float | None = None
    note: str | None = None


@dataclass
class Row:
    """What one request brings into a batch; no tensor has a batch axis."""

    latent: Tensor
    conditioning: Tensors
    negative: Tensors | None  # the unconditional half; None where guidance needs none
    guidance: float
    walk: Walk
    size: tuple[int, int]  # width, height in pixels
    features: Features | None = None  # kept from step to step, at an `fc` level: such a row is denoised alone

    @property
    def shape(self) -> tuple[Any, ...]:
        """Rows of equal shape (and model) fit into one forward."""
        sizes = tuple((name, tuple(value.shape)) for name, value in sorted(self.conditioning.items()))
        return (tuple(self.latent.shape), sizes)


@dataclass(frozen=True)
class Batch:
    """n contiguous rows: latents [n, …], conditioning {name: [n, …]}, guidance [n] (None where none is guided)."""

    rows: Sequence[Row]
    latents: Tensor
    conditioning: Tensors
    negative: Tensors

    @property
    def guided(self) -> list[int]:
        """Indices of the rows that need an unconditional half."""
        return [i for i, row in enumerate(self.rows) if row.negative is not None]


class Adapter:
    """Base of all adapters. Subclasses give `load`, `encode`, `forward`, `image_of` and the shapes.

    On the CPU a half-precision `dtype` is that of matrix products and convolutions alone (autocast): weights, latents
    and sampler stay float32.
    """

    net: Any = None  # the denoiser, of those that come as a diffusers pipeline

    def __init__(self, model: Model, device: str = "cpu", dtype: torch.dtype = torch.float32) -> None:
        self.model = model
        self.device = torch.device(device)
        self.products = dtype if self.device.type == "cpu" and dtype in HALF else None
        self.dtype = torch.float32 if self.products else dtype
        self.forwards = 0
        self.keepers: dict[str, Keeper] = {}  # by `fc` level
        self.scheduler = safe_scheduler(self.load(), model.scheduler)

    # what a pipeline class must say for itself

    def load(self) -> Any:
        """Load weights to the device and answer the checkpoint's scheduler."""
        raise NotImplementedError

    def encode(self, order: Order, guidance: float) -> tuple[Tensors, Tensors | None]:
        """Conditioning and, where this guidance needs one, the unconditional half; no batch axis."""
        raise NotImplementedError

    def noise_shape(self, order: Order) -> tuple[int, ...]:
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

    def keep_features(self, level: Level) -> None:
        """Make ready for an `fc` level; raises `BadFamily` where diffusers has no cache for this denoiser."""
        self.keepers[level.id] = Keeper(self, level)

    # the four methods

    @torch.inference_mode()
    def prepare(self, order: Order, start: Start, guidance: float) -> Row:
        """Encode the prompt and draw the noise: a row ready to join a batch."""
        conditioning, negative = self.encode(order, guidance)
        latent, walk = self.place(order, start)
        return Row(latent, conditioning, negative, guidance, walk, (order.width, order.height))

    @torch.inference_mode()
    def place(self, order: Order, start: Start) -> tuple[Tensor, Walk]:
        """The first latent of a request and its walk; the seed alone decides the noise, on every device.

        Raises:
            CacheEntryDamaged: the latent to resume from has another shape.
        """
        generator = torch.Generator("cpu").manual_seed(order.seed)
        drawn = torch.randn((1, *self.noise_shape(order)), generator=generator, dtype=self.dtype)
        noise = self.pack(drawn.to(self.device))[0]
        walk = Walk(self.scheduler, start.steps, start.skip, generator, **self.timing(start.steps, noise))
        if start.latent is None:
            return noise * walk.noise, walk
        if start.latent.shape != noise.shape:
            raise CacheEntryDamaged(f"A cached latent has shape {tuple(start.latent.shape)}, not {tuple(noise.shape)}.")
        resumed = start.latent.to(self.device, self.dtype)
        return (walk.noised(resumed, noise) if start.clean else resumed), walk

    @torch.inference_mode()
    def denoise(self, batch: Batch) -> Tensor:
        """Guided predictions [n, …] in one forward: n conditional halves and one more for each guided row."""
        self.forwards += 1
        inputs, times = _inputs(batch), _times(batch).to(self.device)
        if batch.rows[0].features is not None:
            return _denoise_alone(batch, inputs, times)
        guided = batch.guided
        if not guided:
            return self.predict(inputs, times, batch.conditioning)
        both = {name: torch.cat([value, batch.negative[name][guided]]) for name, value in batch.conditioning.items()}
        out = self.predict(torch.cat([inputs, inputs[guided]]), torch.cat([times, times[guided]]), both)
        predictions, unconditional = out[: len(batch.rows)].clone(), out[len(batch.rows) :]
        weight = _column([batch.rows[i].guidance for i in guided], out)
        predictions[guided] = unconditional + weight * (predictions[guided] - unconditional)
        return predictions

    def predict(self, latents: Tensor, times: Tensor, conditioning: Tensors) -> Tensor:
        """`forward`, its products in half precision where that was asked for on a CPU."""
        if self.products is None:
            return self.forward(latents, times, conditioning)
        with torch.autocast(self.device.type, self.products):
            return self.forward(latents, times, conditioning).to(latents.dtype)

    @torch.inference_mode()
    def advance(self, batch: Batch, predictions: Tensor) -> None:
        """One sampler step of every row, in place; each row's walk moves on."""
        rows, latents = batch.rows, batch.latents
        if all(row.walk.affine for row in rows):
            exact = torch.float64 if latents.dtype == torch.float64 else torch.float32
            keep = _column([row.walk.now("keep") for row in rows], latents, exact)
            move = _column([row.walk.now("move") for row in rows], latents, exact)
            latents.copy_(keep * latents.to(exact) + move * predictions.to(exact))
        else:
            for i, row in enumerate(rows):
                before = latents[i : i + 1].clone()  # samplers remember it; this memory is another's soon
                latents[i] = row.walk.step(predictions[i : i + 1], before)[0]
        for row in rows:
            row.walk.index += 1

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

    # housekeeping

    @property
    def memory_mb(self) -> float:
        """Bytes of weights and buffers, in MB."""
        parts = [t for module in self.modules() for t in (*module.parameters(), *module.buffers())]
        return sum(t.numel() * t.element_size() for t in parts) / 1e6

    def compile(self) -> None:
        """Compile the denoiser, where the pipeline class can; called once, before the first request."""

    def warm_up(self, order: Order, rows: int) -> None:
        """One step of a full batch and one decode, so that the first request meets warm kernels."""
        row = self.prepare(order, Start(steps=2), order.guidance)
        batch = Batch(
            [row] * rows,
            torch.stack([row.latent] * rows),
            {name: torch.stack([value] * rows) for name, value in row.conditioning.items()},
            {name: torch.stack([value] * rows) for name, value in (row.negative or {}).items()},
        )
        self.denoise(batch)
        self.decode(row.latent, row.size)


def _denoise_alone(batch: Batch, inputs: Tensor, times: Tensor) -> Tensor:
    """The guided prediction [1, …] of a row that keeps features: each half in a forward and a context of its own."""
    (row,) = batch.rows
    assert row.features is not None
    conditional, unconditional = HALVES
    prediction = row.features.forward(conditional, inputs, times, batch.conditioning)
    if row.negative is None:
        return prediction
    without = row.features.forward(unconditional, inputs, times, batch.negative)
    return without + row.guidance * (prediction - without)


def _inputs(batch: Batch) -> Tensor:
    """The latents as the denoiser wants them: scaled by each row's sampler."""
    walks = [row.walk for row in batch.rows]
    if all(walk.affine for walk in walks):
        scale = [walk.now("scale") for walk in walks]
        return batch.latents if set(scale) == {1.0} else batch.latents * _column(scale, batch.latents)
    return torch.cat([walk.scale(batch.latents[i : i + 1]) for i, walk in enumerate(walks)])


def _times(batch: Batch) -> Tensor:
    return torch.stack([row.walk.time for row in batch.rows])


def _column(values: list[float], like: Tensor, dtype: torch.dtype | None = None) -> Tensor:
    """[n] numbers shaped to multiply an [n, …] tensor."""
    return torch.tensor(values, dtype=dtype or like.dtype, device=like.device).view(-1, *[1] * (like.dim() - 1))
