"""The image store and the latent cache's full, read-only, slow and away; weights truncated."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from random import Random

from bench.chaos.fault import Body, Fault, Hit, fault
from bench.chaos.faults.processes import NAMES, send
from bench.chaos.site import Site
from bench.chaos.volume import Volume

IMAGES, LATENTS, WEIGHTS = "image store", "latent cache", "weights"
Way = Callable[[Volume], AbstractContextManager[bool]]


def images(way: Way) -> Body:
    def body(site: Site, rng: Random) -> Iterator[Hit]:
        with way(site.images) as met:
            yield Hit(IMAGES, met)

    return body


def latents(way: Way) -> Body:
    def body(site: Site, rng: Random) -> Iterator[Hit]:
        with way(site.latents) as met:
            yield Hit(LATENTS, met)

    return body


def needs_mount(site: Site) -> str | None:
    return None if site.images.mounted and site.latents.mounted else "no file system can be mounted here"


def weights_truncated(site: Site, rng: Random) -> Iterator[Hit]:
    """Half of a file is gone when a worker is started with it; the whole file is put back."""
    path = rng.choice(sorted(site.weights.rglob("*.safetensors")))
    whole = path.read_bytes()
    with path.open("r+b") as file:
        file.truncate(len(whole) // 2)
    try:
        name = rng.choice(NAMES[:2])
        yield Hit(f"{path.relative_to(site.weights)}, {name} killed", send(site.pids()[name], signal.SIGKILL))
    finally:
        path.write_bytes(whole)


FAULTS: list[Fault] = [
    fault("store full", IMAGES, images(Volume.full), (2.0, 8.0), 3.0, needs_mount),
    fault("store read-only", IMAGES, images(Volume.read_only), (2.0, 8.0), 3.0, needs_mount),
    fault("store slow", IMAGES, images(Volume.slow), (3.0, 8.0), 2.0, needs_mount),
    fault("store away", IMAGES, images(Volume.away), (2.0, 8.0), 3.0),
    fault("cache away", LATENTS, latents(Volume.away), (2.0, 8.0), 2.0),
    fault("cache slow", LATENTS, latents(Volume.slow), (3.0, 8.0), 2.0, needs_mount),
    fault("weights truncated", WEIGHTS, weights_truncated, (4.0, 12.0), 0.5),
]
