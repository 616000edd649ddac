"""P2L and latent DPS with the member `large` from an empty prompt, beside what needs no diffusion."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import click
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bench.kinds.setup import SIDE, STEPS, TOGETHER, Bench, add
from core.fidelity import psnr, ssim
from core.operators import Blur, Down, Mask, Operator
from families.embedded.recipe import scenes
from families.embedded.recipe.data import parts
from families.embedded.sample import noise_of, shifted_sigmas
from workers.kinds.diffusion import flow_levels
from workers.kinds.p2l import SHORT, TRUST, Way, published, restore

NOISE = 0.01  # of every measurement, in −1…1
HOLE = slice(40, 88)  # of the sides: a seventh of the picture
RIVAL_STEPS = 36  # of latent DPS: as many gradients as P2L takes
STRENGTHS = {"super-resolution ×4": 8.0, "Gaussian blur": 2.0, "box inpainting": 3.0}  # of latent DPS
Restoration = Callable[[Operator, Tensor, Tensor], Tensor]  # (operator, measured, noise of the latents)


def operators() -> dict[str, Operator]:
    known = np.ones((SIDE, SIDE), bool)
    known[HOLE, HOLE] = False
    return {
        "super-resolution ×4": Down(factor=4, noise=NOISE),
        "Gaussian blur": Blur(sigma=1.5, size=13, noise=NOISE),
        "box inpainting": Mask(known=known, noise=NOISE),
    }


def enlarged(measured: Tensor) -> Tensor:
    """What one sees without restoring: as measured, a small picture by bicubic interpolation."""
    if measured.shape[-1] == SIDE:
        return measured
    return functional.interpolate(measured, (SIDE, SIDE), mode="bicubic")


def restorations(bench: Bench, strength: float) -> dict[str, tuple[Restoration, int]]:
    """Every way, and the gradients that it takes a picture; `strength` is that of latent DPS."""
    prior = bench.prior()

    def by(way: Way, steps: int) -> tuple[Restoration, int]:
        levels = flow_levels(shifted_sigmas(steps))

        def restored(operator: Operator, measured: Tensor, noise: Tensor) -> Tensor:
            text, generator = bench.text(len(noise)), torch.Generator().manual_seed(1)
            return restore(prior, operator, measured, text, levels, noise, way, generator)

        return restored, way.gradients(steps)

    def through_codec(operator: Operator, measured: Tensor, noise: Tensor) -> Tensor:
        with torch.no_grad():
            return operator.nearest(measured, prior.decode(prior.encode(enlarged(measured))), TRUST)

    return {
        "degraded": (lambda operator, measured, noise: enlarged(measured), 0),
        "autoencoder alone": (through_codec, 0),
        "latent DPS": by(Way(tuning=0, pull=published(strength), every=0, eta=1.0), RIVAL_STEPS),
        "P2L without tuning": by(replace(SHORT, tuning=0), STEPS),
        "P2L": by(SHORT, STEPS),
    }


def restoration(bench: Bench, count: int) -> dict[str, dict[str, Any]]:
    """Task → way → figures of each scene; latent DPS also with P2L's last step."""
    some = scenes.held_out_scenes(count)
    found = dict[str, dict[str, Any]]()
    for task, operator in operators().items():
        found[task], ways = {}, restorations(bench, STRENGTHS[task])
        for part in parts(count, TOGETHER):
            truth = bench.paint(some[part], part.start)
            measured = operator.measure(truth, torch.Generator().manual_seed(part.start))
            noise = noise_of(range(part.start, part.stop), bench.member.codec.latent_shape_of(SIDE))
            for name, (way, gradients) in ways.items():
                start = time.perf_counter()
                drawn = way(operator, measured, noise)
                spent = {"gradients": gradients, "seconds": (time.perf_counter() - start) / len(truth)}
                add(found[task], name, spent, restored(bench, operator, drawn, measured, truth))
                if name == "latent DPS":
                    last = operator.nearest(measured, drawn, TRUST)
                    figures = restored(bench, operator, last, measured, truth)
                    add(found[task], "latent DPS, then nearest", spent, figures)
            click.echo(f"{task}: {part.stop} of {count} scenes", err=True)
    return found


def restored(bench: Bench, operator: Operator, drawn: Tensor, measured: Tensor, truth: Tensor) -> dict[str, Tensor]:
    """Figures of each picture."""
    return {
        "psnr": psnr(drawn, truth),
        "ssim": ssim(drawn, truth),
        "distance": 1 - (bench.seen(drawn) * bench.seen(truth)).sum(1),
        "misfit": operator.misfit(drawn.clamp(-1, 1), measured),
    }
