"""Pipelines of the real classes at toy width, saved to a folder and loaded from it, in float64."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import diffusers
import torch

from core.families import Family, Model, load_family
from core.levels import Level
from workers.engine.request import GenerationRequest
from workers.pipelines import load_adapter
from workers.pipelines.base import Adapter
from workers.pipelines.random_weights import BETAS, random_family

torch.set_num_threads(1)

CHANNELS = 12  # of a toy member's latent

SCHEDULERS = {
    "ddim": lambda: diffusers.DDIMScheduler(clip_sample=False, set_alpha_to_one=False, steps_offset=1, **BETAS),
    "euler": lambda: diffusers.EulerDiscreteScheduler(steps_offset=1, timestep_spacing="leading", **BETAS),
    "euler-karras": lambda: diffusers.EulerDiscreteScheduler(use_karras_sigmas=True, **BETAS),
    "euler-a": lambda: diffusers.EulerAncestralDiscreteScheduler(**BETAS),
    "ddpm": lambda: diffusers.DDPMScheduler(clip_sample=False, **BETAS),
    "lcm": lambda: diffusers.LCMScheduler(**BETAS),
    "tcd": lambda: diffusers.TCDScheduler(**BETAS),
    "heun": lambda: diffusers.HeunDiscreteScheduler(**BETAS),
    "kdpm2": lambda: diffusers.KDPM2DiscreteScheduler(**BETAS),
    "dpm++": lambda: diffusers.DPMSolverMultistepScheduler(**BETAS),
    "unipc": lambda: diffusers.UniPCMultistepScheduler(**BETAS),
    "deis": lambda: diffusers.DEISMultistepScheduler(**BETAS),
}


class Toys:
    """Adapters by architecture and scheduler, each built once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.adapter = lru_cache(maxsize=None)(self._adapter)

    def family(self, architecture: str, scheduler: str | None = None) -> Family:
        folder = self.folder / f"{architecture}-{scheduler}"
        return random_family(architecture, folder, toy=True, scheduler=SCHEDULERS[scheduler]() if scheduler else None)

    def member(self, kind: str, guided: bool = True) -> Family:
        """The embedded family with one member of toy width, saved as the recipe saves it."""
        from families.embedded.checksums import write
        from families.embedded.codec import ConvCodec
        from families.embedded.recipe.nets import save_denoiser, unet

        root = self.folder / f"embedded-{kind}-{guided}"
        denoiser = unet((32, 32), CHANNELS, pixels=64) if kind == "unet" else _transformer()
        with torch.no_grad():
            for weight in denoiser.parameters():
                weight.normal_(std=0.1)
        save_denoiser(denoiser, root / "toy", guided)
        ConvCodec(
            64, CHANNELS, (8, 8, 8), (8, 8, 8, 8), (1, 1, 1, 1), (0.0,) * CHANNELS, (1.0,) * CHANNELS
        ).save_pretrained(root / "codec")
        write(root)
        family = load_family("embedded")
        model = Model(id="large", pipeline=f"embedded-{kind}", path=str(root / "toy"))
        levels = {level.id: level for level in family.levels_of("large") if not level.by_name}
        return family.model_copy(update={"models": {"large": model}, "levels": levels})

    def _adapter(self, architecture: str, scheduler: str | None = None) -> Adapter:
        if architecture in ("unet", "dit"):
            return load_adapter(self.member(architecture).models["large"], "cpu", torch.float64)
        return load_adapter(self.family(architecture, scheduler).models["random"], "cpu", torch.float64)


def _transformer() -> Any:
    """A PixArt transformer over 2×2 patches, which a member may be as well."""
    return diffusers.PixArtTransformer2DModel(
        num_attention_heads=2,
        attention_head_dim=32,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        num_layers=1,
        cross_attention_dim=64,
        sample_size=4,
        patch_size=2,
        caption_channels=384,
        use_additional_conditions=False,
    )


def with_reuse(family: Family, folder: Path, interval: int = 3, steps: int = 7) -> Family:
    """The family at so many steps of 64×64, with a level `cq` of its model, calibrated on one prompt."""
    from core.checked_files import write_checked
    from workers.measure.cachequant import Subject, calibrate

    (model,), defaults = family.models.values(), family.defaults
    small = defaults.model_copy(update={"steps": steps, "width": 64, "height": 64})
    family = family.model_copy(update={"defaults": small})
    plan = calibrate(Subject(family, model, ["a red fox"]), interval, "none", folder, lambda *_: None)
    write_checked(folder / "plan.json", plan)
    level = Level(id="cq", strategy="cq", model=model.id, calibration=str(folder / "plan.json"))
    return family.model_copy(update={"levels": {**family.levels, "cq": level}})


def make_request(prompt: str = "a red fox", **changes: Any) -> GenerationRequest:
    level = Level(id="exact", strategy="exact", model="random")
    given = {
        "request_id": prompt,
        "seed": 7,
        "steps": 4,
        "guidance": 3.5,
        "width": 64,
        "height": 64,
        "negative_prompt": "blur",
    }
    return GenerationRequest(**{"prompt": prompt, "level": level, **given, **changes})


def with_subspace(family: Family, half_steps: int = 3, steps: int = 7) -> Family:
    """The family at so many steps of 64×64, with a level `sub` that takes the first at 32×32."""
    (model,), defaults = family.models.values(), family.defaults
    usual = defaults.model_copy(update={"steps": steps, "width": 64, "height": 64})
    limits = family.limits.model_copy(update={"sizes": ((64, 64), (32, 32))})
    level = Level(id="sub", strategy="sub", model=model.id, half_steps=half_steps)
    levels = {**family.levels, "sub": level}
    return family.model_copy(update={"defaults": usual, "limits": limits, "levels": levels})
