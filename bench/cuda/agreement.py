"""The same seed, the same picture: on the GPU as on the CPU, in every dtype, alone as among others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from bench.cuda.boxed import Findings
from bench.cuda.setup import Setup, psnr, requests_of, stacked
from core.families import Family, load_family
from workers.engine.engine import Engine

LEAST_DB = 45.0
BOUNDS = {torch.float64: 1e-9, torch.float32: 5e-2, torch.bfloat16: 0.5}  # of latents, fused against alone


def dtypes(found: Findings, setup: Setup) -> None:
    """The embedded family's pictures against those of the CPU in float32."""
    family = load_family("embedded")
    torch.set_num_threads(8 if setup.on_cuda else 1)
    steps = 2 if setup.toy else family.defaults.steps
    reference = _draw(family, "cpu", torch.float32, steps)
    for dtype in (torch.float32, torch.bfloat16, torch.float16) if setup.on_cuda else (torch.float32,):
        pictures = _draw(family, setup.device, dtype, steps)
        value = psnr(pictures, reference)
        found.figure(dtype=str(dtype), psnr_db=value)
        if dtype != torch.float16:
            found.expect(value >= LEAST_DB, f"{dtype} draws the CPU's float32 picture: {value:.1f} dB", psnr_db=value)


def _draw(family: Family, device: str, dtype: torch.dtype, steps: int) -> np.ndarray:
    engine = Engine(family, device, dtype, 8, threaded=False)
    futures = [engine.submit(request) for request in requests_of(family, 4, steps=steps)]
    while engine.step():
        pass
    return stacked([future.result(0).image for future in futures])


def fused(found: Findings, setup: Setup) -> None:
    """A row's latent alone and among rows that join and leave, in three precisions."""
    family = load_family("embedded")
    for dtype, bound in BOUNDS.items() if setup.on_cuda else [(torch.float64, BOUNDS[torch.float64])]:
        engine = Engine(family, setup.device, dtype, 8, threaded=False)
        model = family.level(family.reference).model
        engine.load(model)
        alone, together = _latents(engine, family, True), _latents(engine, family, False)
        most = max(float((a - b).abs().max()) for a, b in zip(alone, together, strict=True))
        found.figure(dtype=str(dtype), largest_difference=most, bound=bound)
        found.expect(most <= bound, f"{dtype}: fused rows are those alone, to {most:.1e} (bound {bound:g})")


def _latents(engine: Engine, family: Family, alone: bool) -> list[torch.Tensor]:
    """Final latents of four requests of unequal steps and guidance; together they join one after the other."""
    plans = [(12, 1.0), (8, 2.0), (10, 4.0), (6, 2.0)]
    running = []
    for number, (steps, guidance) in enumerate(plans):
        (request,) = requests_of(family, 1, f"{'alone' if alone else 'fused'}-{number}")
        engine.submit(replace(request, seed=number, steps=steps, guidance=guidance))
        running.append(engine.find(request.request_id))
        engine.step()
        while alone and engine.step():
            pass
    while engine.step():
        pass
    return [one.row.latent.double().cpu() for one in running if one is not None]
