"""The codec's stage: reconstruction, with noise on the latents so that the decoder forgives a denoiser's errors."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from core.fidelity import psnr
from families.embedded.codec import ConvCodec
from families.embedded.recipe import data, nets, scenes
from families.embedded.recipe.painter import Layout
from families.embedded.recipe.run import Run
from families.embedded.recipe.stage import Stage, say

LATENT_NOISE = 0.25  # most noise on latents while the codec learns
STATISTICS = 2048  # scenes over which the latents' mean and deviation are taken
WINDOW = 8  # of structural similarity, in pixels


def train(run: Run) -> None:
    """Make, write and keep the codec."""
    plan = run.plan
    torch.manual_seed(1)
    network, bank = run.on_device(ConvCodec(**plan.codec)), paint_bank(run)

    def loss(codec: Any) -> Tensor:
        pictures = bank[run.some(plan.codec_batch, len(bank))].float() / 127.5 - 1
        raw = codec.encoder(pictures.to(run.kind, memory_format=torch.channels_last))
        codes = normalised(raw)
        codes = codes + LATENT_NOISE * run.uniform(len(codes), 1, 1, 1) * run.normal(*codes.shape)
        drift = raw.float().pow(2).mean((0, 2, 3)).clamp(min=1).log().mean()  # keeps the raw answers small
        drifted: Tensor = picture_loss(codec.draw(codes.to(run.kind)), pictures) + 0.001 * drift
        return drifted

    average = Stage("codec", network, loss, run.seconds("codec"), plan.codec_rate, plan.codec_batch).train()
    _publish(run, average)


def _publish(run: Run, average: Any) -> None:
    """With the statistics of its raw answers in its configuration."""
    layout = run.pool.layout[run.some(min(STATISTICS, len(run.pool)), len(run.pool))]
    mean, deviation = statistics(run, average, layout)
    finished = ConvCodec(**run.plan.codec, mean=mean, deviation=deviation)
    finished.load_state_dict(average.state_dict())
    nets.save_half(finished, run.weights / "codec")
    run.codec = run.settle(finished)
    say(f"codec: PSNR {fidelity(run):.2f} dB")


@torch.no_grad()
def fidelity(run: Run, count: int = 64) -> float:
    """Mean peak signal-to-noise ratio of decoded held-out scenes, in dB."""
    assert run.codec is not None
    layout = Layout.of(scenes.layout(run.held_out[:count]), run.device)
    real = run.painter.paint(layout, run.plan.pixels, run.rng)
    drawn = run.codec.draw(run.codec.encode(real.to(run.kind))).float().clamp(-1, 1)
    return float(psnr(drawn, real).mean())


@torch.no_grad()
def paint_bank(run: Run) -> Tensor:
    """Pictures to compress (M, 3, H, W) in uint8; one of four is a mosaic of half-sized scenes, for small things."""
    bank, side = [], run.plan.pixels
    for part in data.parts(run.plan.bank, data.PAINTED):
        rows = run.some(part.stop - part.start, len(run.pool))
        mosaics = len(rows) // 4
        whole = run.painter.paint(run.pool.layout[rows[mosaics:]], side, run.rng)
        quarters = run.painter.paint(run.pool.layout[run.some(4 * mosaics, len(run.pool))], side // 2, run.rng)
        bank.append(((torch.cat([whole, mosaic(quarters)]) + 1) * 127.5).round().byte())
    return torch.cat(bank)


def mosaic(quarters: Tensor) -> Tensor:
    """Four pictures (4B, 3, s, s) in one (B, 3, 2s, 2s)."""
    a, b, c, d = quarters.chunk(4)
    return torch.cat([torch.cat([a, b], 3), torch.cat([c, d], 3)], 2)


@torch.no_grad()
def statistics(run: Run, codec: Any, layout: Layout) -> tuple[list[float], list[float]]:
    """Mean and deviation of the encoder's raw answers, one number a channel each."""
    slices = data.parts(len(layout), data.PAINTED)
    found = [codec.encoder(run.painter.paint(layout[part], run.plan.pixels, run.rng)).float().cpu() for part in slices]
    raw = torch.cat(found)
    return raw.mean((0, 2, 3)).tolist(), raw.std((0, 2, 3)).clamp(min=1e-3).tolist()


def normalised(raw: Tensor) -> Tensor:
    """Zero mean and unit variance a channel, over the batch: what training sees in place of the final statistics."""
    raw = raw.float()
    mean, variance = raw.mean((0, 2, 3), keepdim=True), raw.var((0, 2, 3), keepdim=True)
    return (raw - mean) * torch.rsqrt(variance + 1e-5)


def picture_loss(drawn: Tensor, real: Tensor) -> Tensor:
    """L1 at two scales, L1 of gradients at three (sharp edges), structural dissimilarity (Wang et al. 2004) at two."""
    drawn = drawn.float()
    loss = (drawn - real).abs().mean()
    for scale in range(3):
        loss = loss + 0.5 * _edges(drawn, real)
        if scale < 2:
            loss = loss + 0.1 * _dissimilarity(drawn, real)
            drawn, real = F.avg_pool2d(drawn, 2), F.avg_pool2d(real, 2)
    return loss + (drawn - real).abs().mean()  # colours, at a quarter of the size


def _edges(drawn: Tensor, real: Tensor) -> Tensor:
    difference = drawn - real
    across = (difference[..., 1:] - difference[..., :-1]).abs().mean()
    down = (difference[..., 1:, :] - difference[..., :-1, :]).abs().mean()
    return across + down


def _dissimilarity(a: Tensor, b: Tensor) -> Tensor:
    """1 − SSIM, for pictures in −1…1."""
    windows = torch.stack([a, b, a * a, b * b, a * b]).flatten(0, 1)
    mean = F.avg_pool2d(windows, WINDOW, stride=WINDOW // 2).unflatten(0, (5, -1))
    mean_a, mean_b, aa, bb, ab = mean.unbind()
    var_a, var_b, both = aa - mean_a**2, bb - mean_b**2, ab - mean_a * mean_b
    light, contrast = (2 * 0.01) ** 2, (2 * 0.03) ** 2
    similar: Tensor = (2 * mean_a * mean_b + light) * (2 * both + contrast)
    similar = similar / ((mean_a**2 + mean_b**2 + light) * (var_a.clamp(min=0) + var_b.clamp(min=0) + contrast))
    return 1 - similar.mean()
