"""What the stages of one run share: plan, device, data, the networks made so far, and the time that is left."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from families.embedded.clip_scorer import ClipScorer
from families.embedded.codec import ConvCodec
from families.embedded.model import EMPTY_PROMPT
from families.embedded.recipe import data, nets, scenes
from families.embedded.recipe.data import Latents, Pool
from families.embedded.recipe.names import catalogue, look_alikes
from families.embedded.recipe.painter import Painter
from families.embedded.recipe.plan import SHARES, Plan
from families.embedded.recipe.stage import say
from families.embedded.recipe.text import Encoder
from families.embedded.sample import Text

MEMBERS = ("large", "turbo", "medium", "small", "dit")


@dataclass
class Run:
    """One run of the recipe. `members` are moving averages in the device's half precision, ready to draw."""

    plan: Plan
    device: str
    folder: Path
    deadline: float  # on the monotonic clock
    pool: Pool
    judged: Pool | None
    painter: Painter
    encoder: Encoder
    held_out: list[scenes.Scene]
    fresh: list[str]
    stages: tuple[str, ...]
    resume: Path | None = None  # weights of an earlier run, to go on from
    codec: ConvCodec | None = None
    scorer: ClipScorer | None = None
    latents: dict[int, Latents] = field(default_factory=dict)  # by the side of the picture
    members: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.empty: Text = self.encoder.tokens([EMPTY_PROMPT])
        self.rng = torch.Generator(self.device).manual_seed(11)

    @property
    def kind(self) -> torch.dtype:
        """What networks compute in on this device."""
        return torch.bfloat16 if self.device == "cuda" else torch.float32

    @property
    def weights(self) -> Path:
        return self.folder / "weights"

    @property
    def sides(self) -> tuple[int, int]:
        """Both native sides in pixels, the larger first."""
        return self.plan.pixels, self.plan.pixels // 2

    def seconds(self, stage: str) -> float:
        """This stage's part of the time that is left."""
        later = self.stages[self.stages.index(stage) :]
        left = self.deadline - time.monotonic()
        return max(0.5, left * SHARES[stage] / sum(SHARES[name] for name in later))

    def some(self, count: int, most: int) -> Tensor:
        """`count` row numbers below `most`, on the device."""
        return torch.randint(most, (count,), generator=self.rng, device=self.device)

    def uniform(self, *shape: int) -> Tensor:
        return torch.rand(shape, generator=self.rng, device=self.device)

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.rng, device=self.device)

    def on_device(self, network: Any) -> Any:
        return network.to(self.device, memory_format=torch.channels_last)

    def settle(self, network: Any) -> Any:
        """A trained network in the device's half precision, ready to be used."""
        place: Any = {"device": self.device, "dtype": self.kind, "memory_format": torch.channels_last}
        moved = nn.Module.to(network, **place)  # diffusers' own `to` warns
        return moved.eval().requires_grad_(False)

    def publish(self, name: str, average: Any, guided: bool) -> None:
        """Write a member, and keep it to draw with."""
        nets.save_denoiser(average, self.weights / name, guided)
        self.members[name] = self.settle(average)

    def published(self, name: str) -> Any:
        """A member of the run that this one goes on from, in float32; None where there is none."""
        folder = self.resume / name if self.resume else None
        return nets.load(folder) if folder and folder.exists() else None

    def take_over(self) -> None:
        """What this run does not train comes from the earlier one."""
        if self.resume is None:
            return
        for name in ("codec", "scorer", *MEMBERS):
            if name not in self.stages and (self.resume / name).exists():
                shutil.copytree(self.resume / name, self.weights / name, dirs_exist_ok=True)
        if "codec" not in self.stages:
            self.codec = self.settle(ConvCodec.from_pretrained(self.resume / "codec", torch_dtype=torch.float32))
        if "scorer" not in self.stages:
            self.scorer = self._scorer(self.resume / "scorer")
        for name in MEMBERS:
            if name not in self.stages and (network := self.published(name)):
                self.members[name] = self.settle(network)

    def _scorer(self, folder: Path) -> ClipScorer:
        scorer: ClipScorer = ClipScorer.from_pretrained(folder, torch_dtype=torch.float32)
        scorer.eval().requires_grad_(False).to(self.device)
        return scorer


def prepare(
    plan: Plan, device: str, folder: Path, deadline: float, stages: tuple[str, ...], resume: Path | None, seed: int
) -> Run:
    """Everything that no network trained here is needed for. Composing forks: call it before CUDA is in use."""
    prompts, layout = data.compose(plan.pool, 1000 * seed + 1)
    others = None
    if "scorer" in stages:
        others = data.compose(plan.judged, 1000 * seed + 2, plan.siblings, look_alikes())
    fresh = list(dict.fromkeys(data.compose(2 * plan.fresh, 3)[0]))[: plan.fresh]
    held_out = scenes.held_out_scenes(plan.held_out)
    say(f"composed {len(prompts)} scenes of {len(catalogue())} names, e.g. {prompts[:3]}")
    painter, encoder = Painter(device), Encoder(device)
    say("sprites and text encoder are on the device")
    pool = data.pool_of(prompts, layout, encoder, device)
    judged = data.pool_of(*others, encoder, device) if others else None
    say("prompts are encoded")
    run = Run(plan, device, folder, deadline, pool, judged, painter, encoder, held_out, fresh, stages, resume)
    run.take_over()
    return run
