"""Several devices for one image: what each mode keeps of the serial image, and what its ranks have to send.

    python -m bench.parallel [--prompts 24] [--seconds 150] [--write]

Held-out prompts are drawn by the embedded `large` and `dit` in serial steps and in every mode, from the same noise, the
ranks as threads of this process (staleness depends on steps, not on time, so that processes and GPUs draw the same).
Each mode says its CLIPScore relative to serial, with a 95 % interval, and the PSNR between the two images. Bytes are
counted as they arrive at a rank, in a step after the warm-up, and stand beside the paper's formula. What was drawn is
kept: runs of `--seconds` each continue until all prompts are done.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import numpy as np
import torch
from torch import Tensor

from bench.own import keep, run_of
from bench.parallel_page import page, plot
from core.families import load_family
from core.settings import ROOT, settings
from families.embedded import card
from workers.engine.request import GenerationRequest
from workers.measure.hardware import hardware
from workers.parallel.asyncdiff import AsyncDiff
from workers.parallel.distrifusion import DistriFusion
from workers.parallel.mode import Mode, Serial, draw
from workers.parallel.parataa import ParaTAA
from workers.parallel.patches import attentions
from workers.parallel.pipefusion import PipeFusion
from workers.parallel.ranks import Rank, together
from workers.pipelines import load_adapter
from workers.pipelines.base import Adapter
from workers.pipelines.rows import Batch, Start
from workers.scoring import load_scorer

KEPT, PAGE = ROOT / "docs/results/parallel.json", ROOT / "docs/results/parallel.md"
PLOT = ROOT / "docs/results/img/parallel.png"
TOGETHER = 4  # prompts drawn at once, where a mode takes several rows
CURVE_OF = 1  # prompts of the curve over the warm-up
FIRST_SEED = 91_000
Make = Callable[[Adapter, Rank], Mode]


@dataclass(frozen=True)
class Way:
    """One way to draw: `serial` is the name of what it is compared with."""

    name: str
    model: str
    ranks: int
    warm_up: int
    make: Make
    serial: str
    steps: int = 12
    rows: int = TOGETHER


def ways() -> list[Way]:
    """Serial, then the modes."""

    def serial(adapter: Adapter, rank: Rank) -> Mode:
        return Serial(adapter)

    def way(kind: Any, model: str, ranks: int, warm_up: int, more: str = "", **options: Any) -> Way:
        name = f"{kind.__name__.lower()}, {ranks} ranks{more}"
        return Way(name, model, ranks, warm_up, warmed(kind, warm_up, **options), f"serial {model}")

    return [
        Way("serial large", "large", 1, 12, serial, "serial large"),
        way(DistriFusion, "large", 2, 4),
        way(DistriFusion, "large", 4, 4),
        way(DistriFusion, "large", 4, 1, more=", warm-up 1"),
        way(AsyncDiff, "large", 2, 3, more=", n = 2"),
        way(AsyncDiff, "large", 4, 3, more=", n = 4"),
        way(AsyncDiff, "large", 3, 3, more=", n = 2, stride 2", stride=2),
        way(AsyncDiff, "large", 5, 3, more=", n = 4, stride 2", stride=2),
        Way("serial dit", "dit", 1, 12, serial, "serial dit"),
        way(PipeFusion, "dit", 2, 1),
        way(PipeFusion, "dit", 4, 1),
        Way("serial large, 24 steps", "large", 1, 24, serial, "serial large, 24 steps", 24, 1),
        Way("parataa, tolerance 0.05", "large", 1, 0, solved(0.05), "serial large, 24 steps", 24, 1),
    ]


def solved(tolerance: float) -> Make:
    return lambda adapter, rank: ParaTAA(adapter, rank, tolerance=tolerance)


def warmed(kind: Any, warm_up: int, **options: Any) -> Make:
    return lambda adapter, rank: kind(adapter, rank, warm_up, **options)


class Studio:
    """The models, the prompts that are judged, and what is kept of them."""

    def __init__(self, prompts: int, kept: Path) -> None:
        self.family, self.prompts = load_family("embedded"), card.prompts(prompts, 0)
        self.kept = kept / f"{self.family.version}.npz"
        self._adapters: dict[str, Adapter] = {}
        self.scorer = load_scorer(self.family)

    def adapter(self, model: str) -> Adapter:
        if model not in self._adapters:
            self._adapters[model] = load_adapter(self.family.models[model], "cpu", torch.float32)
        return self._adapters[model]

    def batch(self, model: str, steps: int, numbers: Sequence[int]) -> Batch:
        d, level, adapter = self.family.defaults, self.family.level("exact"), self.adapter(model)
        asked = [
            GenerationRequest(str(n), self.prompts[n], FIRST_SEED + n, level, steps, d.guidance, d.width, d.height)
            for n in numbers
        ]
        return Batch.of([adapter.prepare(one, Start(steps), d.guidance) for one in asked])

    def drawn(self, way: Way, numbers: Sequence[int]) -> tuple[Tensor, list[int]]:
        """Latents [n, …] as the first rank has them, and for each turn the bytes that came to it."""
        adapter, batches = (
            self.adapter(way.model),
            [self.batch(way.model, way.steps, numbers) for _ in range(way.ranks)],
        )

        def work(rank: Rank) -> tuple[Tensor, list[int]]:
            mode, batch, came = way.make(adapter, rank), batches[rank.rank], [0]
            while not batch.rows[0].sampler.done:
                mode.turn(batch)
                came.append(rank.received)
            return batch.latents, np.diff(came).tolist()

        answers = together(way.ranks, work)
        return answers[0][0], answers[min(1, way.ranks - 1)][1]

    def judged(self, way: Way, latents: Tensor, numbers: Sequence[int]) -> tuple[list[float], np.ndarray]:
        """CLIPScores and pixels [n, H, W, 3]."""
        d = self.family.defaults
        images = [self.adapter(way.model).decode(latent, (d.width, d.height)) for latent in latents]
        scores: list[float] = self.scorer.score(images, [self.prompts[n] for n in numbers])
        return scores, np.stack([np.asarray(image) for image in images])


def draw_all(studio: Studio, until: float) -> dict[str, np.ndarray]:
    """What is still missing, as long as there is time: by way its scores, PSNRs and turns [P, 3]; serial images too."""
    found = dict(np.load(studio.kept)) if studio.kept.exists() else {}
    studio.kept.parent.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(studio.prompts), TOGETHER):
        numbers = range(start, min(start + TOGETHER, len(studio.prompts)))
        for way in ways():
            if len(found.get(way.name, ())) > start:
                continue
            if time.monotonic() > until:
                return found
            rows, pixels = [], []
            for first in range(0, len(numbers), way.rows):
                some = numbers[first : first + way.rows]
                latents, came = studio.drawn(way, some)
                scores, images = studio.judged(way, latents, some)
                pixels.append(images)
                of_serial = found[f"{way.serial} pixels"][some] if way.name != way.serial else images
                rows += [[score, psnr(a, b), len(came)] for score, a, b in zip(scores, images, of_serial, strict=True)]
            if way.name == way.serial:
                found[f"{way.name} pixels"] = np.concatenate([*before(found, f"{way.name} pixels"), *pixels])
            found[way.name] = np.concatenate([*before(found, way.name), np.array(rows)])
            np.savez(studio.kept, **found)
    return found


def before(found: dict[str, np.ndarray], name: str) -> list[np.ndarray]:
    return [found[name]] if name in found else []


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """Peak signal-to-noise ratio of two images in uint8, dB; 99 where they are equal."""
    apart = float(((one.astype(float) - other) ** 2).mean())
    return 99.0 if apart == 0 else 10 * np.log10(255**2 / apart)


def curves(studio: Studio) -> dict[str, dict[int, float]]:
    """By mode and warm-up the root mean square of its latents' distance from serial ones, against their size."""
    numbers, found = range(min(CURVE_OF, len(studio.prompts))), dict[str, dict[int, float]]()
    for kind, model, ranks in ((DistriFusion, "large", 4), (AsyncDiff, "large", 4), (PipeFusion, "dit", 4)):
        full = draw(Serial(studio.adapter(model)), studio.batch(model, 12, numbers))
        curve = found[f"{kind.__name__}, {ranks} ranks"] = dict[int, float]()
        for warm_up in (1, 4, 8):
            way = Way("", model, ranks, warm_up, warmed(kind, warm_up), "")
            latents = studio.drawn(way, numbers)[0]
            curve[warm_up] = float((latents - full).pow(2).mean().sqrt() / full.pow(2).mean().sqrt())
    return found


def bytes_counted(studio: Studio) -> list[dict[str, Any]]:
    """For each way of several ranks the bytes that come to its second rank in a step after the warm-up, one image."""
    found = []
    for way in ways():
        if way.ranks > 1:
            came = studio.drawn(way, [0])[1][way.warm_up + 2 : way.steps - 1]
            found.append({"way": way.name, "counted": float(np.mean(came)), "formula": formula(studio, way)})
    return found


def formula(studio: Studio, way: Way) -> float | None:
    """What the papers reckon with (PipeFusion, table 1): of L layers, keys and values of all others' tokens for
    DistriFusion, 2·(N − 1)/N·Σ p·h; one layer's hidden states for PipeFusion, p·h. Float32, both halves of guidance."""
    tokens, net = list[int](), studio.adapter(way.model).denoiser_net
    hooks = [
        one.register_forward_pre_hook(lambda _, a: tokens.append(a[0].numel())) for one in attentions(net, "attn1")
    ]
    studio.adapter(way.model).denoise(studio.batch(way.model, 12, [0]))
    for hook in hooks:
        hook.remove()
    if way.name.startswith("distrifusion"):
        return 4 * 2 * (way.ranks - 1) / way.ranks * sum(tokens)
    return 4.0 * tokens[0] if way.name.startswith("pipefusion") else None


def figures(way: Way, rows: np.ndarray, serial: np.ndarray) -> dict[str, Any]:
    """One way in numbers; `rows` and those of its serial way are scores, PSNRs and turns by prompt [P, 3]."""
    mean, lost = serial[:, 0].mean(), serial[:, 0] - rows[:, 0]
    return {
        "way": way.name,
        "prompts": len(rows),
        "model": way.model,
        "ranks": way.ranks,
        "steps": way.steps,
        "warm_up": way.warm_up,
        "turns": float(rows[:, 2].mean()),
        "clip": float(rows[:, 0].mean() / mean),
        "clip_interval": float(1.96 * lost.std(ddof=1) / len(lost) ** 0.5 / mean),
        "psnr": float(np.median(rows[:, 1])),
        "psnr_least": float(rows[:, 1].min()),
    }


@click.command()
@click.option("--prompts", default=24, type=click.IntRange(2), show_default=True, help="Held-out prompts.")
@click.option("--seconds", default=150.0, show_default=True, help="Of drawing; call again to continue.")
@click.option("--write", is_flag=True, help="Write docs/results/parallel.json and .md, of what is drawn.")
def main(prompts: int, seconds: float, write: bool) -> None:
    """Say what every mode keeps and sends."""
    until = time.monotonic() + seconds
    torch.set_num_threads(1)
    studio = Studio(prompts, settings().home / "bench-parallel")
    run = run_of("bench.parallel", family=studio.family.id, family_version=studio.family.version)
    drawn = draw_all(studio, until)
    done = min(len(drawn.get(way.name, ())) for way in ways())
    click.echo(f"{done} of {prompts} prompts", err=True)
    if done < 2:
        return
    numbers = [figures(way, drawn[way.name], drawn[way.serial][: len(drawn[way.name])]) for way in ways()]
    found: dict[str, Any] = {"run": run, "hardware": hardware("cpu", torch.float32), "ways": numbers}
    if write:
        found |= {"curves": curves(studio), "bytes": bytes_counted(studio)}
        plot(found["curves"], PLOT)
        keep(found, KEPT, PAGE, page(found))
    click.echo(page(found) if write else json.dumps(numbers, indent=1))


if __name__ == "__main__":
    main()
