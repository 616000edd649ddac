"""The denoisers, out of diffusers' own classes, and writing what the family's loader reads."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from diffusers import FlowMatchEulerDiscreteScheduler, PixArtTransformer2DModel, UNet2DConditionModel
from torch import nn

from core.text import WIDTH
from families.embedded.codec import FACTOR
from families.embedded.model import load_denoiser
from families.embedded.sample import SHIFT

GROUPS = 16  # of every group norm
HEAD = 32  # channels of an attention head
PATCH = 2  # latent cells a token, on each side


def unet(
    widths: tuple[int, int], channels: int, pixels: int, middle: bool = True, time_width: int | None = None
) -> Any:
    """Two resolutions: convolutions alone at the finer, attention at the coarser.

    Args:
        widths: channels at the finer and at the coarser resolution; multiples of 16.
        channels: of a latent.
        pixels: side of the largest picture.
        middle: with or without the middle block (BK-SDM-Small, Kim et al. 2023, §3.1, has none).
        time_width: of the embedding of the noise level; four times the finer width where it is None.
    """
    return UNet2DConditionModel(
        sample_size=pixels // FACTOR,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=widths,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        mid_block_type="UNetMidBlock2DCrossAttn" if middle else None,
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=WIDTH,
        attention_head_dim=tuple(heads(width) for width in widths),  # diffusers' name for the number of heads
        norm_num_groups=GROUPS,
        time_embedding_dim=time_width,
    )


def dit(width: int, blocks: int, channels: int, pixels: int) -> Any:
    """A PixArt transformer (Chen et al. 2023, §2.3) over patches of 2×2 latent cells; pictures of any size.

    Cross-attention and the last layer start at zero, as theirs do: a block begins as an unconditional one.

    Args:
        width: of a token; a multiple of 32.
        blocks: how many.
        channels: of a latent.
        pixels: side of the largest picture.
    """
    network: Any = PixArtTransformer2DModel(
        num_attention_heads=heads(width),
        attention_head_dim=width // heads(width),
        in_channels=channels,
        out_channels=channels,
        num_layers=blocks,
        cross_attention_dim=width,
        caption_channels=WIDTH,
        sample_size=pixels // FACTOR,
        patch_size=PATCH,
        use_additional_conditions=False,
    )
    for layer in (network.proj_out, *(block.attn2.to_out[0] for block in network.transformer_blocks)):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    return network


def heads(width: int) -> int:
    """Attention heads over so many channels."""
    return max(1, width // HEAD)


def load(folder: Path) -> Any:
    """A denoiser written by `save_denoiser`, in float32, to be trained."""
    return load_denoiser(folder).requires_grad_()


def save_half(network: Any, folder: Path) -> None:
    """Config and safetensors in half precision."""
    half = type(network).from_config(network.config)
    half.load_state_dict(network.state_dict())
    half.half().save_pretrained(folder)


def save_denoiser(denoiser: Any, folder: Path, guided: bool) -> None:
    """What the family's `load_member` reads: the network, the sampler's settings, `member.json`."""
    save_half(denoiser, folder)
    scheduler: Any = FlowMatchEulerDiscreteScheduler(shift=SHIFT)
    scheduler.save_pretrained(folder / "scheduler")
    (folder / "member.json").write_text(json.dumps({"guided": guided}) + "\n")
