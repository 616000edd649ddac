"""From sketches to pictures: a bridge between latents that is trained here, for minutes, and then sampled.

The pairs are scenes and the edges of their luminance. The network sees x_t, the sketch's latent, the time and the mean
of the prompt's token states; its weights are not kept. Image-to-image with `large` is the rival, at its best strength.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import click
import torch
from torch import Tensor, nn
from torch.nn import functional

from bench.kinds.setup import SIDE, STEPS, TOGETHER, Bench, add
from core.fidelity import luminance, psnr, ssim
from core.text import WIDTH
from families.embedded.model import EMPTY_PROMPT
from families.embedded.recipe import scenes
from families.embedded.recipe.data import parts
from families.embedded.recipe.painter import Layout
from families.embedded.recipe.stage import Stage
from families.embedded.sample import Text, noise_of, sample, shifted_sigmas
from workers.kinds.bridges import Preconditioned, VariancePreserving
from workers.kinds.ddbm import dbim, dbim_times, ddbm, ddbm_times
from workers.scoring.base import clip_score

PAIRS, BATCH, RATE = 3000, 32, 2e-3
CHANNELS, BLOCKS, FREQUENCIES = 96, 4, 16
TIMES = [number / 64 for number in range(1, 64)]  # at which it learns
SLOW = 41  # steps of DDBM: 122 denoisings, of which DBIM takes a tenth
GUIDANCE = 2.0
STRENGTHS = (0.6, 0.8, 1.0)
BRIDGE = VariancePreserving()
Translation = Callable[[Tensor, Text, Tensor], Tensor]  # (latents of sketches, prompts, noise) → latents


class Network(nn.Module):
    """Residual blocks over the latent's grid, scaled and shifted by time and prompt."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.into = nn.Conv2d(2 * channels, CHANNELS, 3, padding=1)
        self.told = nn.Linear(2 * FREQUENCIES + WIDTH, CHANNELS)
        self.first = nn.ModuleList(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1) for _ in range(BLOCKS))
        self.second = nn.ModuleList(nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1) for _ in range(BLOCKS))
        self.scales = nn.ModuleList(nn.Linear(CHANNELS, 2 * CHANNELS) for _ in range(BLOCKS))
        self.out = nn.Conv2d(CHANNELS, channels, 3, padding=1)
        for last in (*self.second, self.out):
            nn.init.zeros_(last.weight)

    def forward(self, x: Tensor, times: Tensor, source: Tensor, prompt: Tensor) -> Tensor:
        """x and source (B, C, h, w), times (B,) in 0…1, prompts (B, 384)."""
        turns = times[:, None] * 2.0 ** torch.linspace(0, 8, FREQUENCIES) * math.pi
        told = functional.silu(self.told(torch.cat([turns.sin(), turns.cos(), prompt], 1)))
        hidden = self.into(torch.cat([x, source], 1))
        for first, second, scales in zip(self.first, self.second, self.scales, strict=True):
            scale, shift = scales(told)[..., None, None].chunk(2, 1)
            inner = functional.group_norm(hidden, 8) * (1 + scale) + shift
            hidden = hidden + second(functional.silu(first(functional.silu(inner))))
        answer: Tensor = self.out(functional.silu(hidden))
        return answer


@dataclass(frozen=True)
class Data:
    """Latents of sketches and pictures, (N, C, h, w), and prompts (N, 384)."""

    source: Tensor
    clean: Tensor
    prompt: Tensor

    def denoiser(self, network: Callable[[Tensor, float, Tensor], Tensor]) -> Preconditioned:
        """With the statistics of these pairs."""
        covariance = ((self.source - self.source.mean()) * (self.clean - self.clean.mean())).mean()
        return Preconditioned(
            network, BRIDGE, float(self.clean.std()), float(self.source.std()), covariance=float(covariance)
        )


def sketch(pictures: Tensor) -> Tensor:
    """Dark lines on white where luminance changes, (B, 3, H, W) in −1…1."""
    grey = functional.pad(luminance(pictures), (1, 1, 1, 1), mode="replicate")
    across = (grey[..., 1:-1, 2:] - grey[..., 1:-1, :-2]).square()
    down = (grey[..., 2:, 1:-1] - grey[..., :-2, 1:-1]).square()
    return (1 - 4 * (across + down).sqrt()).clamp(-1, 1).expand(-1, 3, -1, -1)


@torch.no_grad()
def pairs(bench: Bench, count: int, seed: int) -> Data:
    """Training scenes, none of them held out, encoded."""
    prompts, layout = scenes.training_scenes(count, seed)
    placed, rng, codec = Layout.of(layout, "cpu"), torch.Generator().manual_seed(seed), bench.member.codec
    encoded = []
    for part in parts(count, 64):
        pictures = bench.painter.paint(placed[part], SIDE, rng)
        encoded.append((codec.encode(sketch(pictures)), codec.encode(pictures)))
    source, clean = (torch.cat(latents) for latents in zip(*encoded, strict=True))
    return Data(source, clean, torch.cat([pooled(bench.member.text.tokens(prompts[p])) for p in parts(count, 256)]))


def pooled(text: Text) -> Tensor:
    """The mean of a prompt's token states (B, 384)."""
    states, mask = text
    return states.sum(1) / mask.sum(1, keepdim=True)  # states of padding are zero


def trained(data: Data, seconds: float) -> Network:
    """Learns to denoise the bridge at TIMES, every target scaled to unit variance."""
    torch.manual_seed(1)
    rng, denoiser = torch.Generator().manual_seed(2), data.denoiser(lambda x, time, source: x)
    weights = torch.tensor([BRIDGE.weights(time) for time in TIMES])
    scalings = torch.tensor([denoiser.scalings(time) for time in TIMES])

    def loss(network: nn.Module) -> Tensor:
        rows = torch.randint(len(data.clean), (BATCH,), generator=rng)
        at = torch.randint(len(TIMES), (BATCH,), generator=rng)
        (a, b, c), (skip, out, into) = (table[at].T[..., None, None, None] for table in (weights, scalings))
        clean, source = data.clean[rows], data.source[rows]
        x = a * source + b * clean + c * torch.randn(clean.shape, generator=rng)
        answer = network(into * x, torch.tensor(TIMES)[at], source, data.prompt[rows])
        mean: Tensor = (answer - (clean - skip * x) / out).square().mean()
        return mean

    network = Network(data.clean.shape[1])
    average: Any = Stage("bridge", network, loss, seconds, RATE, BATCH).train()
    learned: Network = average
    return learned


def translations(bench: Bench, data: Data, network: Network) -> dict[str, Translation]:
    """Every way to make latents of pictures from those of sketches."""

    def by(sampler: Callable[..., Tensor], times: list[float]) -> Translation:
        def translated(source: Tensor, text: Text, noise: Tensor) -> Tensor:
            prompt = pooled(text)
            denoiser = data.denoiser(lambda x, t, s: network(x, torch.full((len(x),), t), s, prompt))
            return sampler(denoiser, BRIDGE, source, times, generator=torch.Generator().manual_seed(3))

        return translated

    def image_to_image(strength: float) -> Translation:
        sigmas = shifted_sigmas(round(STEPS / strength))[-STEPS - 1 :]

        def drawn(source: Tensor, text: Text, noise: Tensor) -> Tensor:
            begun = (1 - sigmas[0]) * source + sigmas[0] * noise
            empty = bench.member.text.tokens([EMPTY_PROMPT])
            return sample(bench.member.denoiser, begun, sigmas, text, empty, GUIDANCE)

        return drawn

    ways: dict[str, Translation] = {"sketch": lambda source, text, noise: source}
    ways |= {f"image-to-image, strength {strength:g}": image_to_image(strength) for strength in STRENGTHS}
    return ways | {
        f"DDBM, {3 * SLOW - 1} denoisings": by(ddbm, ddbm_times(BRIDGE, SLOW)),
        f"DDBM, {STEPS - 1} denoisings": by(ddbm, ddbm_times(BRIDGE, STEPS // 3)),
        f"DBIM, {STEPS} denoisings": by(dbim, dbim_times(BRIDGE, STEPS - 1)),
    }


@torch.no_grad()
def translated(bench: Bench, ways: dict[str, Translation], count: int) -> dict[str, dict[str, Any]]:
    """Way → figures of held-out scenes."""
    some, found, codec = scenes.held_out_scenes(count), dict[str, dict[str, Any]](), bench.member.codec
    for part in parts(count, TOGETHER):
        truth, text = bench.paint(some[part], part.start), bench.member.text.tokens([s.prompt for s in some[part]])
        noise = noise_of(range(part.start, part.stop), codec.latent_shape_of(SIDE))
        source, wanted = codec.encode(sketch(truth)), bench.scorer.texts(*text)
        for name, way in ways.items():
            start = time.perf_counter()
            drawn = codec.draw(way(source, text, noise)).clamp(-1, 1)
            spent = {"seconds": (time.perf_counter() - start) / len(truth)}
            score = torch.tensor(clip_score(bench.seen(drawn), wanted))
            add(found, name, spent, {"psnr": psnr(drawn, truth), "ssim": ssim(drawn, truth), "clip": score})
    return found


def translation(bench: Bench, seconds: float, count: int) -> dict[str, dict[str, Any]]:
    """Train a bridge for so many seconds, then measure it."""
    data = pairs(bench, PAIRS, seed=9)
    click.echo(f"{len(data.clean)} pairs are encoded", err=True)
    return translated(bench, translations(bench, data, trained(data, seconds)), count)
