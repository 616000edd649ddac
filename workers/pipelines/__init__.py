"""Adapters by name: what a family file's `pipeline` may say. One module a pipeline class, loaded when first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from core.errors import BadFamily
from core.families import Model

if TYPE_CHECKING:
    import torch

    from workers.pipelines.base import Adapter

ADAPTERS = {
    "embedded-unet": "workers.pipelines.embedded:Embedded",
    "embedded-dit": "workers.pipelines.embedded:Embedded",
    "embedded-half": "workers.pipelines.embedded:HalfSize",
    "stable-diffusion": "workers.pipelines.stable_diffusion:StableDiffusion",
    "stable-diffusion-xl": "workers.pipelines.stable_diffusion_xl:StableDiffusionXL",
    "stable-diffusion-3": "workers.pipelines.stable_diffusion_3:StableDiffusion3",
    "pixart-alpha": "workers.pipelines.pixart:PixArtAlpha",
    "pixart-sigma": "workers.pipelines.pixart:PixArtSigma",
    "flux": "workers.pipelines.flux:Flux",
}


def adapter_class(pipeline: str) -> type[Adapter]:
    """The adapter class of that name; raises `BadFamily` naming those there are."""
    if pipeline not in ADAPTERS:
        raise BadFamily(f"There is no pipeline {pipeline!r}. Known: {', '.join(ADAPTERS)}.", field="pipeline")
    module, name = ADAPTERS[pipeline].split(":")
    adapter: type[Adapter] = getattr(import_module(module), name)
    return adapter


def load_adapter(model: Model, device: str, dtype: torch.dtype, autocast: bool | None = None) -> Adapter:
    """Load a family's model, weights and all; seconds to minutes. `autocast` as in `Adapter`."""
    return adapter_class(model.pipeline)(model, device, dtype, autocast)


def expected_mb(model: Model, dtype: torch.dtype) -> float:
    """What the weights of a family's model will take, before they are loaded."""
    return adapter_class(model.pipeline).expected_mb(model, dtype)
