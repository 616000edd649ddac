"""A member of the embedded family, loaded: everything a pipeline adapter needs to turn prompts into pictures.

    member = load_member("families/embedded/weights/large")
    states, mask = member.text.tokens(["three foxes on a purple background"])
    latents = torch.randn(1, *member.codec.latent_shape)            # at sigma 1
    scheduler = member.new_scheduler(); scheduler.set_timesteps(24)
    for t in scheduler.timesteps:                                    # t = 1000·sigma
        latents = scheduler.step(member.velocity(latents, t / 1000, states, mask), t, latents).prev_sample
    pictures = member.codec.decode(latents)                          # (1, 256, 256, 3) uint8

Members are flow-matching models: x_σ = (1 − σ)·x₀ + σ·ε (Lipman et al. 2023; Esser et al. 2024, §2). The network's
output is the clean latent x₀ (as in Li & He 2025, "Back to Basics", §3), from which the velocity dx/dσ = ε − x₀ =
(x_σ − x₀)/σ follows. Velocity is what diffusers' `FlowMatchEulerDiscreteScheduler` integrates. Guidance may be
applied to either: they are affine in each other. A member that is not `guided` was distilled with guidance inside:
run it once a step and ignore the guidance scale.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from diffusers import FlowMatchEulerDiscreteScheduler as PlainScheduler
from diffusers import PixArtTransformer2DModel, UNet2DConditionModel
from torch import Tensor, nn

from core.errors import WeightsDamaged
from core.text import TextEncoder, shared_encoder
from families.embedded.checksums import verify
from families.embedded.codec import ConvCodec

WEIGHTS = Path(__file__).parent / "weights"
DENOISERS: dict[str, Any] = {
    "UNet2DConditionModel": UNet2DConditionModel,
    "PixArtTransformer2DModel": PixArtTransformer2DModel,
}
EMPTY_PROMPT = ""  # what the unconditional half of guidance sees


class FlowMatchEulerDiscreteScheduler(PlainScheduler):
    """diffusers' own, by its own name, at the noise levels its SD-3 and FLUX pipelines hand it: 1 … 1/steps before
    the shift.

    Left to itself it spends the last step at sigma 0.002, where nothing remains to be done: of four steps, one.
    """

    def set_timesteps(self, num_inference_steps: int | None = None, *arguments: Any, **options: Any) -> None:
        if num_inference_steps is not None and not any(options.get(name) for name in ("sigmas", "timesteps")):
            options["sigmas"] = [1 - step / num_inference_steps for step in range(num_inference_steps)]
        super().set_timesteps(num_inference_steps, *arguments, **options)  # type: ignore[misc]


@dataclass
class EmbeddedMember:
    """One denoiser with what it shares with the others: text encoder, codec, scheduler settings."""

    name: str
    denoiser: nn.Module
    codec: ConvCodec
    scheduler_config: dict[str, Any]
    guided: bool = True
    device: str = "cpu"
    _text: TextEncoder | None = field(default=None, repr=False)

    @property
    def text(self) -> TextEncoder:
        """The MiniLM encoder, shared within the process."""
        if self._text is None:
            self._text = shared_encoder(self.device)
        return self._text

    @property
    def dtype(self) -> torch.dtype:
        return next(self.denoiser.parameters()).dtype

    def new_scheduler(self) -> FlowMatchEulerDiscreteScheduler:
        """A fresh sampler (it counts its own steps: one a request)."""
        kind: Any = FlowMatchEulerDiscreteScheduler
        scheduler: FlowMatchEulerDiscreteScheduler = kind.from_config(self.scheduler_config)
        return scheduler

    def to(self, device: str | None = None, dtype: torch.dtype | None = None) -> EmbeddedMember:
        """Move denoiser and codec; the text encoder stays float32."""
        self.device = device or self.device
        parts: tuple[Any, ...] = (self.denoiser, self.codec)
        for module in parts:
            module.to(self.device)
            if dtype is not None:
                nn.Module.to(module, dtype)  # past diffusers' own `to`, which warns of modules these do not have
        return self

    def clean(self, latents: Tensor, sigma: Tensor | float, states: Tensor, mask: Tensor) -> Tensor:
        """The predicted clean latents x₀ (B, C, h, w). `sigma` in (0, 1], states (B, T, 384); mask (B, T)."""
        return predict_clean(self.denoiser, latents, sigma, states, mask)

    def velocity(self, latents: Tensor, sigma: Tensor | float, states: Tensor, mask: Tensor) -> Tensor:
        """The predicted velocity ε − x₀ (B, C, h, w), for `FlowMatchEulerDiscreteScheduler.step`."""
        return velocity(latents, self.clean(latents, sigma, states, mask), sigma)


def predict_clean(denoiser: nn.Module, latents: Tensor, sigma: Tensor | float, states: Tensor, mask: Tensor) -> Tensor:
    """Run either kind of denoiser in its own precision; the answer, like noise levels, is float32 at least.

    Shapes as in `EmbeddedMember.clean`.
    """
    kind = next(denoiser.parameters()).dtype
    arguments: dict[str, Any] = {
        "timestep": _rows(sigma, latents) * 1000,
        "encoder_hidden_states": states.to(kind),
        "encoder_attention_mask": mask.to(kind),
    }
    if isinstance(denoiser, PixArtTransformer2DModel):
        arguments["added_cond_kwargs"] = {"resolution": None, "aspect_ratio": None}
        return _wide(denoiser(latents.to(kind), **arguments).sample)
    return _wide(denoiser(latents.to(kind, memory_format=torch.channels_last), **arguments).sample)


def velocity(latents: Tensor, clean: Tensor, sigma: Tensor | float) -> Tensor:
    """(x_σ − x₀)/σ, row by row."""
    return (latents - clean) / _rows(sigma, latents).view(-1, 1, 1, 1)


def _rows(sigma: Tensor | float, latents: Tensor) -> Tensor:
    """`sigma` as a (B,) tensor of float32 at least, on the latents' device."""
    kind = torch.promote_types(latents.dtype, torch.float32)
    return torch.as_tensor(sigma, dtype=kind, device=latents.device).expand(latents.shape[0])


def _wide(values: Tensor) -> Tensor:
    """In float32, unless in float64 already."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def load_denoiser(folder: Path) -> nn.Module:
    """The denoiser in `folder`, of the class its config.json names, in float32 and eval mode."""
    denoiser: nn.Module = _load(folder, DENOISERS)
    return denoiser


def _load(folder: Path, classes: dict[str, Any]) -> Any:
    """A network of one of these classes, in float32 and eval mode; raises `WeightsDamaged` where it is of another."""
    kind = json.loads((folder / "config.json").read_text()).get("_class_name")
    if kind not in classes:
        known = " or ".join(classes)
        raise WeightsDamaged(
            f"{folder / 'config.json'}: the weights are of class {kind}, expected {known}: another version's files."
        )
    return classes[kind].from_pretrained(folder, torch_dtype=torch.float32).eval().requires_grad_(False)


def load_member(folder: str | Path, device: str = "cpu") -> EmbeddedMember:
    """Load a member and its codec (`../codec`), after checking both against `../checksums.json`.

    Raises `core.errors.WeightsDamaged` naming the file, and the checksum or class expected and found.
    """
    folder = Path(folder)
    verify(folder)
    verify(folder.parent / "codec")
    member = json.loads((folder / "member.json").read_text())
    return EmbeddedMember(
        name=folder.name,
        denoiser=load_denoiser(folder),
        codec=_load(folder.parent / "codec", {"ConvCodec": ConvCodec}),
        scheduler_config=dict(FlowMatchEulerDiscreteScheduler.load_config(folder / "scheduler")),
        guided=member["guided"],
    ).to(device)
