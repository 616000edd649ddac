"""DDFM on synthetic pairs: a night in which things are hardly seen, and an infrared in which nothing else is."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor

from bench.kinds.setup import SIDE, STEPS, TOGETHER, Bench, add
from core.fidelity import entropy, luminance, scd, ssim, vif
from core.operators import Blur
from families.embedded.recipe import scenes
from families.embedded.recipe.data import parts
from families.embedded.sample import noise_of, shifted_sigmas
from workers.kinds.ddfm import Fusing, Pair
from workers.kinds.diffusion import flow_levels, sample

NIGHT = 0.3  # brightness of the visible
DIFFERENT = 12.0  # of 255: how far a pixel is from the ground to be of a thing


def pair_of(bench: Bench, some: list[scenes.Scene], seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """(infrared, visible, both (B, 1, SIDE, SIDE), and the night in colour) of scenes.

    The night is the scene at NIGHT of its brightness; in the infrared, things are warm and the ground is not.
    """
    scene, ground = bench.paint(some, seed), bench.paint(some, seed, things=False)
    warm = ((scene - ground).abs().amax(1, keepdim=True) > 2 * DIFFERENT / 255).float()
    night = NIGHT * (scene + 1) - 1
    infrared = Blur(sigma=0.8, size=5).apply(warm * (0.4 + 0.5 * luminance(scene)) - 0.7 * (1 - warm))
    return infrared, luminance(night), night


def fusion(bench: Bench, count: int) -> dict[str, dict[str, Any]]:
    """Way → figures of each pair: sums over both sources, but for entropy."""
    some, found = scenes.held_out_scenes(count), dict[str, dict[str, Any]]()
    prior, shape = bench.prior(), bench.member.codec.latent_shape_of(SIDE)
    levels = flow_levels(shifted_sigmas(STEPS))
    for part in parts(count, TOGETHER):
        infrared, visible, _ = pair_of(bench, some[part], part.start)
        fusing = Fusing(Pair(infrared, visible), prior.encode, prior.decode)
        noise = noise_of(range(part.start, part.stop), shape)
        start = time.perf_counter()
        sample(lambda z, sigma: prior.clean(z, sigma, bench.text(len(z))), levels, noise, fusing)
        seconds = (time.perf_counter() - start) / len(noise)
        assert fusing.picture is not None
        ways = {
            "infrared": infrared,
            "visible": visible,
            "average": (infrared + visible) / 2,
            "maximum": torch.maximum(infrared, visible),
            "DDFM": luminance(fusing.picture).clamp(-1, 1),
        }
        for name, fused in ways.items():
            spent = {"seconds": seconds if name == "DDFM" else 0.0}
            add(found, name, spent, fused_figures(fused, infrared, visible))
    return found


def fused_figures(fused: Tensor, infrared: Tensor, visible: Tensor) -> dict[str, Tensor]:
    return {
        "entropy": entropy(fused),
        "ssim": ssim(fused, infrared) + ssim(fused, visible),
        "scd": scd(fused, infrared, visible),
        "vif": vif(fused, infrared) + vif(fused, visible),
    }
