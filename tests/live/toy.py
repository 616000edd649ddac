"""A family of the embedded classes at toy width with random weights, saved like the real one: loads in no time."""

from __future__ import annotations

import json
from pathlib import Path

TOML = """
id = "toy"
title = "Random weights at toy width"
version = "1"
reference = "exact"
[defaults]
steps = 8
guidance = 2.0
width = 32
height = 32
[limits]
steps = [1, 400]
guidance = [0.0, 12.0]
sizes = [[32, 32]]
prompt_chars = 200
[models.large]
pipeline = "embedded-unet"
path = "{root}/large"
[models.small]
pipeline = "embedded-unet"
path = "{root}/small"
[levels.exact]
strategy = "exact"
model = "large"
[levels.fs-4]
strategy = "fs"
model = "large"
steps = 4
[levels.sm-small]
strategy = "sm"
model = "small"
[scorer]
kind = "embedded-clip"
path = "families/embedded/weights/scorer"
"""


def make_family(root: Path) -> Path:
    """Write weights and `toy.toml` under `root`; returns the path of the family file."""
    import torch
    from diffusers import FlowMatchEulerDiscreteScheduler

    from families.embedded import checksums
    from families.embedded.codec import ConvCodec

    torch.manual_seed(0)
    usual = ((0.0,) * 12, (1.0,) * 12)  # mean and deviation of latents
    ConvCodec(32, 12, (8, 8, 8), (8, 8, 8, 8), (1, 1, 1, 1), *usual).save_pretrained(root / "codec")
    for name, width in (("large", 16), ("small", 8)):
        _unet(width).save_pretrained(root / name)
        FlowMatchEulerDiscreteScheduler().save_pretrained(root / name / "scheduler")
        (root / name / "member.json").write_text(json.dumps({"guided": True}))
    checksums.write(root)
    path = root / "toy.toml"
    path.write_text(TOML.format(root=root))
    return path


def _unet(width: int) -> object:
    from diffusers import UNet2DConditionModel

    return UNet2DConditionModel(
        sample_size=2,
        in_channels=12,
        out_channels=12,
        block_out_channels=(width, width),
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        cross_attention_dim=384,
        attention_head_dim=4,
        norm_num_groups=4,
    )


def make_profile(home: Path) -> None:
    """A profile of the toy family in `home`/profiles: made-up figures, quick levels dearer in quality."""
    levels = [
        _level("exact", "exact", "large", 8, 300.0, 1.0),
        _level("fs-4", "fs", "large", 4, 600.0, 0.9),
        _level("sm-small", "sm", "small", 8, 900.0, 0.8),
    ]
    path = home / "profiles" / "toy" / "cpu.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"family": "toy", "device": "cpu", "model": "toy", "levels": levels}))


def _level(level: str, strategy: str, model: str, steps: int, per_minute: float, quality: float) -> dict[str, object]:
    return {
        "id": level,
        "strategy": strategy,
        "model": model,
        "steps": steps,
        "requests_per_minute": per_minute,
        "latency_s": 60 / per_minute,
        "quality": quality,
    }
