"""The networks, built from a budget: denoisers out of diffusers' own classes, and attention that trains fast on a CPU."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from diffusers import FlowMatchEulerDiscreteScheduler, PixArtTransformer2DModel, UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor

from core.text import WIDTH
from families.embedded.budget import Budget, Denoiser

HEAD = 32  # channels of an attention head


def build_denoiser(plan: Denoiser, budget: Budget) -> Any:
    """A fresh UNet (convolutions alone at the finest resolution, attention below) or a PixArt transformer."""
    side, channels = budget.pixels // budget.patch, 3 * budget.patch**2
    if plan.kind == "dit":
        return PixArtTransformer2DModel(
            num_attention_heads=plan.width // HEAD,
            attention_head_dim=HEAD,
            in_channels=channels,
            out_channels=channels,
            num_layers=plan.layers,
            cross_attention_dim=plan.width,
            sample_size=side,
            patch_size=2,
            caption_channels=WIDTH,
            use_additional_conditions=False,
        )
    deeper = len(plan.channels) - 1
    return UNet2DConditionModel(
        sample_size=side,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=plan.channels,
        down_block_types=("DownBlock2D",) + ("CrossAttnDownBlock2D",) * deeper,
        up_block_types=("CrossAttnUpBlock2D",) * deeper + ("UpBlock2D",),
        layers_per_block=1,
        cross_attention_dim=WIDTH,
        attention_head_dim=_head(plan.channels),
        norm_num_groups=16,
    )


def _head(channels: tuple[int, ...]) -> Any:
    """Heads a resolution: diffusers' UNet calls the number of heads `attention_head_dim`."""
    return tuple(max(1, count // HEAD) for count in channels)


def quick_attention(denoiser: Any) -> None:
    """Plain matrix products: on a CPU the fused kernel's backward pass takes half the time of a training step."""
    for module in denoiser.modules():
        if hasattr(module, "set_processor"):
            module.set_processor(AttnProcessor())


def save_denoiser(denoiser: Any, folder: Path, shift: float, guided: bool) -> None:
    """Write what `load_member` reads: config and safetensors in half precision, the sampler's settings, `member.json`."""
    half = type(denoiser).from_config(denoiser.config)
    half.load_state_dict(denoiser.state_dict())
    half.half().save_pretrained(folder)
    scheduler: Any = FlowMatchEulerDiscreteScheduler(shift=shift)
    scheduler.save_pretrained(folder / "scheduler")
    (folder / "member.json").write_text(json.dumps({"guided": guided}) + "\n")
