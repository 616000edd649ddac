"""From sketches and from grey pictures to scenes by the family's bridge, sampled slowly and fast.

Image-to-image with `large` is the rival, at its best strength, at as many steps as DBIM has denoisings, which with
guidance are twice as many rows.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.kinds.setup import SIDE, STEPS, TOGETHER, Bench, add
from core.fidelity import psnr, ssim
from families.embedded.bridge import SOURCES, denoiser, load_bridge
from families.embedded.model import EMPTY_PROMPT, EmbeddedMember
from families.embedded.recipe import scenes
from families.embedded.recipe.data import parts
from families.embedded.recipe.pages import write_page
from families.embedded.sample import Text, noise_of, sample, shifted_sigmas
from workers.kinds.bridges import VariancePreserving
from workers.kinds.ddbm import dbim, dbim_times, ddbm, ddbm_times
from workers.scoring.base import clip_score

SLOW = 41  # steps of DDBM: 122 denoisings, of which DBIM takes a tenth
FAST = (STEPS, 6, 3)  # denoisings of DBIM
GUIDANCE = 2.0  # of image-to-image
OWN_GUIDANCE = 2.0  # of the bridge
STRENGTHS = (0.6, 0.8, 1.0)
SHOWN = ("source", f"DBIM, {STEPS} denoisings", "truth", "image-to-image, strength 1")
BRIDGE = VariancePreserving()
Translation = Callable[[Tensor, Text, Tensor], Tensor]  # (latents of sources, prompts, noise) → latents


def translations(bench: Bench, member: EmbeddedMember) -> dict[str, Translation]:
    """Every way to make latents of pictures from those of their sources."""

    def by(sampler: Callable[..., Tensor], times: list[float]) -> Translation:
        def translated(source: Tensor, text: Text, noise: Tensor) -> Tensor:
            rng = torch.Generator().manual_seed(3)
            return sampler(denoiser(member, BRIDGE, text, OWN_GUIDANCE), BRIDGE, source, times, generator=rng)

        return translated

    def image_to_image(strength: float) -> Translation:
        sigmas = shifted_sigmas(round(STEPS / strength))[-STEPS - 1 :]

        def drawn(source: Tensor, text: Text, noise: Tensor) -> Tensor:
            begun = (1 - sigmas[0]) * source + sigmas[0] * noise
            empty = bench.member.text.tokens([EMPTY_PROMPT])
            return sample(bench.member.denoiser, begun, sigmas, text, empty, GUIDANCE)

        return drawn

    ways: dict[str, Translation] = {"source": lambda source, text, noise: source}
    ways |= {f"image-to-image, strength {strength:g}": image_to_image(strength) for strength in STRENGTHS}
    return ways | {
        f"DDBM, {3 * SLOW - 1} denoisings": by(ddbm, ddbm_times(BRIDGE, SLOW)),
        f"DDBM, {STEPS - 1} denoisings": by(ddbm, ddbm_times(BRIDGE, STEPS // 3)),
        **{f"DBIM, {count} denoisings": by(dbim, dbim_times(BRIDGE, count - 1)) for count in FAST},
    }


@torch.no_grad()
def translation(bench: Bench, count: int, sheets: Path | None = None) -> dict[str, dict[str, Any]]:
    """Kind of source → way → figures of held-out scenes; the first of them go on a sheet a kind, if wanted."""
    ways, some, codec = translations(bench, load_bridge()), scenes.held_out_scenes(count), bench.member.codec
    found: dict[str, dict[str, Any]] = {kind: {} for kind in SOURCES}
    for part in parts(count, TOGETHER):
        truth, text = bench.paint(some[part], part.start), bench.member.text.tokens([s.prompt for s in some[part]])
        noise = noise_of(range(part.start, part.stop), codec.latent_shape_of(SIDE))
        wanted = bench.scorer.texts(*text)
        for kind, source_of in SOURCES.items():
            seen = {"truth": truth}
            for name, way in ways.items():
                start = time.perf_counter()
                seen[name] = drawn = codec.draw(way(codec.encode(source_of(truth)), text, noise)).clamp(-1, 1)
                spent = {"seconds": (time.perf_counter() - start) / len(truth)}
                score = torch.tensor(clip_score(bench.seen(drawn), wanted))
                figures = {"psnr": psnr(drawn, truth), "ssim": ssim(drawn, truth), "clip": score}
                add(found[kind], name, spent, figures)
            if sheets and part.start == 0:
                shown = torch.stack([seen[name] for name in SHOWN], 1).flatten(0, 1)
                write_page(shown, sheets / f"translation-{kind}.jpg", 2 * len(SHOWN))
    return found
