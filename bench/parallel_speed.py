"""Several GPUs for one image: how fast, **modelled** from steps measured on one GPU and bytes that are counted.

    python -m bench.parallel_speed [--write]

Steps of SDXL and Flux at 1024 pixels were measured on one H200 (profiles/random-sdxl, random-flux). What comes to a
rank is counted on tensors without contents (PyTorch's `meta` device) of the full-width models: for DistriFusion by
running the mode itself, for Ulysses by its paper's formula from the tensors that Flux's attention layers are given.
What that makes of a step over NVLink and PCIe says `workers.measure.speed_up`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import click
import torch
from torch import Tensor, nn

from bench.own import keep, run_of
from bench.parallel_speed_page import page
from core.parallel import MODES
from core.profiles import LevelProfile, read_profile
from core.settings import ROOT
from workers.engine.request import GenerationRequest
from workers.measure.speed_up import NVLINK, PCIE, Compute, Link, RankedMode, Traffic, modelled, speed_up
from workers.parallel.distrifusion import DistriFusion
from workers.parallel.ranks import Pending, Rank
from workers.pipelines import load_adapter
from workers.pipelines.base import Adapter
from workers.pipelines.random_weights import random_family
from workers.pipelines.rows import Batch, Start

KEPT, PAGE = ROOT / "docs/results/parallel-speed.json", ROOT / "docs/results/parallel-speed.md"
DEVICE, STEPS, RANKS, LINKS = "nvidia-h200", 20, (1, 2, 4, 8), (NVLINK, PCIE)
MODE_OF = {"random-sdxl": "distrifusion", "random-flux": "ulysses"}
MEET_S = 0.5  # assumed: no two GPUs have met here
T = TypeVar("T")
ALL_TO_ALLS = 4  # of queries, keys, values, and of what attention answers


class Counting(Rank):
    """A rank whose others answer what it says itself: what comes is noted, in bytes a message, and nothing is sent."""

    def __init__(self, rank: int, world: int, noted: list[int] | None = None) -> None:
        super().__init__(rank, world)
        self.noted: list[int] = [] if noted is None else noted

    def part(self, size: int) -> Rank:
        return Counting(self.rank % size, size, self.noted)

    def _gather(self, tensor: Tensor) -> Pending[list[Tensor]]:
        if self.world > 1:
            self.noted.append((self.world - 1) * tensor.nbytes)
        return _Here([tensor] * self.world)

    def _send(self, tensor: Tensor, to: int) -> None:
        return

    def _receive(self, like: Tensor, source: int) -> Pending[Tensor]:
        self.noted.append(like.nbytes)
        return _Here(like)


class _Here(Generic[T]):
    """What is there already."""

    def __init__(self, answer: T) -> None:
        self._answer = answer

    def wait(self) -> T:
        return self._answer


def batch_of(adapter: Adapter, family: Any) -> Batch:
    """One image of the family's usual size."""
    usual, level = family.defaults, family.level(family.reference)
    asked = GenerationRequest("counted", "a red fox", 1, level, STEPS, usual.guidance, usual.width, usual.height)
    return Batch.of([adapter.prepare(asked, Start(STEPS), usual.guidance)])


def distrifusion_traffic(adapter: Adapter, batch: Batch, ranks: int) -> tuple[Traffic, Traffic]:
    """What comes to a rank in a step after the warm-up, awaited and hidden: the gathered prediction is awaited, what
    layers say to each other is not."""
    rank = Counting(0, ranks)
    mode = DistriFusion(adapter, rank, warm_up=1, split_guidance=bool(batch.guided))
    mode.turn(batch)
    rank.noted.clear()
    mode.turn(batch)
    *layers, prediction = rank.noted
    return Traffic(1, prediction), Traffic(len(layers), sum(layers))


def ulysses_traffic(sizes: Sequence[int], ranks: int) -> Traffic:
    """What comes to a rank in a step, all of it awaited: of each tensor, bytes in all, a rank has an N-th and is given
    (N − 1)/N of that by the others (Jacobs et al. 2023, §3.2)."""
    share = (ranks - 1) / ranks**2
    return Traffic(ALL_TO_ALLS * len(sizes), ALL_TO_ALLS * share * sum(sizes))


def attention_sizes(adapter: Adapter, batch: Batch) -> list[int]:
    """Bytes of what each attention layer is given: the tokens of image and text."""
    sizes: list[int] = []

    def note(_: nn.Module, given: tuple[Any, ...], named: dict[str, Any]) -> None:
        both = [*given, *named.values()]
        sizes.append(sum(one.nbytes for one in both if isinstance(one, Tensor) and one.dim() == 3))

    layers = [module for name, module in adapter.denoiser_net.named_modules() if name.endswith(".attn")]
    hooks = [layer.register_forward_pre_hook(note, with_kwargs=True) for layer in layers]
    adapter.denoise(batch)
    for hook in hooks:
        hook.remove()
    return sizes


def ways_of(family_id: str) -> list[RankedMode]:
    """The mode of a family with 1, 2, 4 and 8 ranks, counted."""
    family, name = random_family(family_id.removeprefix("random-")), MODE_OF[family_id]
    (model,) = family.models
    adapter = load_adapter(family.models[model], "meta", torch.bfloat16)
    sizes = attention_sizes(adapter, batch_of(adapter, family)) if name == "ulysses" else []
    ways = [RankedMode(model, name, 1)]
    for ranks in RANKS[1:]:
        if name == "ulysses":
            ways.append(RankedMode(model, name, ranks, ulysses_traffic(sizes, ranks)))
            continue
        awaited, hidden = distrifusion_traffic(adapter, batch_of(adapter, family), ranks)
        ways.append(RankedMode(model, name, ranks, awaited, hidden, MODES[name].warm_up if hidden.messages else 0))
    return ways


def measured(family_id: str) -> LevelProfile:
    """The level as it was measured on one GPU."""
    return read_profile(ROOT / f"profiles/{family_id}/{DEVICE}.json").level("exact")


def figures(family_id: str, ways: Sequence[RankedMode], link: Link) -> dict[str, Any]:
    """A family over a link: its modes, as `argus simulate --modes` reads them, and how much sooner images end."""
    modes = [modelled(way, Compute.of(measured(family_id)), link, MEET_S) for way in ways]
    return {
        "modelled": True,
        "family": family_id,
        "device": DEVICE,
        "link": link.name,
        "modes": [mode.model_dump() for mode in modes],
        "speed_up": {mode.ranks: speed_up(mode, STEPS) for mode in modes},
        "speed_up_of_a_step": {mode.ranks: mode.serial_s / mode.step_s for mode in modes},
        "messages": {way.ranks: [way.awaited.messages, way.hidden.messages] for way in ways},
    }


def modes_file(family_id: str, link: Link) -> Path:
    """Where the modelled profile of modes is kept; not where workers look for measured ones."""
    return KEPT.parent / "modelled-modes" / f"{family_id}-{link.name.split()[0].lower()}.json"


@click.command()
@click.option("--write", is_flag=True, help="Write docs/results/parallel-speed.json and .md, and modelled-modes/.")
def main(write: bool) -> None:
    """Say how fast images would be drawn by several GPUs."""
    torch.set_num_threads(1)
    run = run_of("bench.parallel_speed", torch=torch.__version__, meet_s=MEET_S, steps=STEPS)
    curves = [figures(family, ways, link) for family in MODE_OF for ways in [ways_of(family)] for link in LINKS]
    compute = {family: vars(Compute.of(measured(family))) for family in MODE_OF}
    found = {"run": run, "compute": compute, "links": [vars(link) for link in LINKS], "curves": curves}
    if write:
        keep(found, KEPT, PAGE, page(found))
        for curve in curves:
            link = next(link for link in LINKS if link.name == curve["link"])
            path = modes_file(curve["family"], link)
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps({"run": run, **curve}, indent=1) + "\n", encoding="utf-8")
    click.echo(page(found))


if __name__ == "__main__":
    main()
