"""What an image takes while the machine's other core draws as well, against alone, without anything of Argus between.

Cores share memory and cache, and two of a virtual machine may be two threads of one: what that takes from a request,
no scheduler gives back, and it is the least that work beside it costs.

    python -m bench.neighbour [--images 12]
"""

from __future__ import annotations

import multiprocessing
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing.synchronize import Event

import click
import torch

from bench.live.machine import hardware
from core.families import Family, load_family
from workers.engine.request import GenerationRequest
from workers.parallel.mode import Serial
from workers.parallel.mode import draw as run
from workers.pipelines import load_adapter
from workers.pipelines.rows import Batch, Start

BEGIN_S = 300.0  # in which the other process is to have loaded the model and drawn


@dataclass(frozen=True)
class Neighbour:
    """Medians, in seconds: of an image at the reference level on one core, alone and beside another."""

    alone_s: float
    beside_s: float

    @property
    def ratio(self) -> float:
        """How many times as long it takes beside another."""
        return self.beside_s / self.alone_s


def measure(family: Family, images: int = 12) -> Neighbour:
    """Draw so many images alone, and as many while another process draws."""
    draw, context = drawer(family), multiprocessing.get_context("spawn")
    draw()
    alone = statistics.median(draw() for _ in range(images))
    at_work, over = context.Event(), context.Event()
    other = context.Process(target=draw_on, args=(family, at_work, over), daemon=True)
    other.start()
    try:
        if not at_work.wait(BEGIN_S):
            raise click.ClickException("The other process draws nothing; what it says stands above.")
        beside = statistics.median(draw() for _ in range(images))
    finally:
        over.set()
        other.join()
    return Neighbour(alone, beside)


def draw_on(family: Family, at_work: Event, over: Event) -> None:
    """The other process: draws until it is over."""
    draw = drawer(family)
    while not over.is_set():
        draw()
        at_work.set()


def drawer(family: Family) -> Callable[[], float]:
    """Draws an image on one core; returns the seconds it took."""
    torch.set_num_threads(1)
    level, d = family.level(family.reference), family.defaults
    adapter = load_adapter(family.models[level.model], "cpu", torch.float32)
    request = GenerationRequest("0", "a red fox in the snow", 0, level, d.steps, d.guidance, d.width, d.height)

    @torch.inference_mode()
    def draw() -> float:
        begun = time.monotonic()
        batch = Batch.of([adapter.prepare(request, Start(d.steps), d.guidance)])
        latents = run(Serial(adapter), batch)
        adapter.decode(latents[0], (d.width, d.height))
        return time.monotonic() - begun

    return draw


@click.command()
@click.option("--images", default=12, show_default=True, help="Images of each measurement.")
def main(images: int) -> None:
    """Say how many times as long an image takes while the other core draws."""
    found, machine = measure(load_family("embedded"), images), hardware()
    click.echo(
        f"{machine['name']}, {machine['cores']} cores: {found.alone_s:.3f} s alone, {found.beside_s:.3f} s while the "
        f"other core draws ({found.ratio:.2f})"
    )


if __name__ == "__main__":
    main()
