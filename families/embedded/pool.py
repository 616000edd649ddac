"""Training data: a pool of prompts with their frozen token states, rendered afresh whenever they are drawn."""

from __future__ import annotations

import pickle
import random
import zlib
from concurrent.futures import Executor, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from core.text import TOKENS, WIDTH, shared_encoder
from families.embedded.budget import Budget
from families.embedded.scenes import KINDS, Scene, compose, render

CHUNK = 256
HELD_OUT = 10  # every tenth composition (by its hash) is never trained on


@dataclass
class Batch:
    """Pictures (B, 3, side, side) in −1…1; states (B, 24, 384); mask (B, 24); the scenes they show."""

    pictures: Tensor
    states: Tensor
    mask: Tensor
    scenes: list[Scene]

    def __len__(self) -> int:
        return len(self.scenes)


@dataclass
class Pool:
    """Scenes and their token states: (N, 24, 384) float16 and masks (N, 24), memory-mapped."""

    scenes: list[Scene]
    states: np.ndarray
    masks: np.ndarray
    side: int
    painters: Executor | None = None  # processes that render, where one core would not keep up

    def draw(self, count: int, rng: random.Random, jitter: float = 0.015, side: int | None = None) -> Batch:
        """A batch of `count` scenes, rendered with jitter at the training size or at `side`."""
        rows = rng.choices(range(len(self.scenes)), k=count)
        scenes = [self.scenes[row] for row in rows]
        return Batch(
            pictures=pictures_of(scenes, side or self.side, rng, jitter, self.painters),
            states=torch.from_numpy(self.states[rows].astype(np.float32)),
            mask=torch.from_numpy(self.masks[rows].astype(np.float32)),
            scenes=scenes,
        )


def pictures_of(
    scenes: list[Scene], side: int, rng: random.Random, jitter: float = 0.015, painters: Executor | None = None
) -> Tensor:
    """Scenes as (B, 3, side, side) in −1…1, drawn at twice the size and averaged down; the same with or without `painters`."""
    orders = [(scene, rng.getrandbits(32), jitter, 2 * side) for scene in scenes]
    drawn = list(painters.map(_paint, orders, chunksize=8)) if painters else [_paint(order) for order in orders]
    pixels = torch.from_numpy(np.stack(drawn)).permute(0, 3, 1, 2).float()
    return torch.nn.functional.avg_pool2d(pixels, 2) / 127.5 - 1


def _paint(order: tuple[Scene, int, float, int]) -> np.ndarray:
    scene, seed, jitter, side = order
    return render(scene, random.Random(seed), jitter, side)


def is_held_out(scene: Scene) -> bool:
    """Whether this composition belongs to evaluation. Single things are few: for them only the wording is new."""
    return scene.kind != "single" and _stable_hash(scene.key) % HELD_OUT == 0


def held_out(budget: Budget, count: int, seed: int = 77) -> list[Scene]:
    """Prompts for evaluation, kinds in the training's proportions: unseen compositions, and single things; none twice."""
    rng, chosen = random.Random(seed), dict[str, Scene]()
    while len(chosen) < count:
        kind = rng.choices(range(len(KINDS)), budget.kinds)[0]
        only = [float(index == kind) for index in range(len(KINDS))]
        scene = compose(rng, budget.names, only)
        while not (scene.kind == "single" or is_held_out(scene)):
            scene = compose(rng, budget.names, only)
        chosen.setdefault(scene.prompt, scene)
    return list(chosen.values())


def load_pool(budget: Budget, folder: Path, seed: int = 0) -> Pool:
    """The pool kept in `folder`, made first if it is not there (about 200 prompts a second on one core)."""
    folder.mkdir(parents=True, exist_ok=True)
    if not (folder / "scenes.pickle").exists():
        _make_pool(budget, folder, seed)
    scenes = pickle.loads((folder / "scenes.pickle").read_bytes())
    states, masks = (np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("states", "masks"))
    painters = ProcessPoolExecutor(budget.painters) if budget.painters else None
    return Pool(scenes, states, masks, budget.pixels, painters)


def _make_pool(budget: Budget, folder: Path, seed: int) -> None:
    rng = random.Random(seed)
    scenes: list[Scene] = []
    while len(scenes) < budget.pool:
        if not is_held_out(scene := compose(rng, budget.names, budget.kinds)):
            scenes.append(scene)
    states = np.lib.format.open_memmap(folder / "states.npy", "w+", np.float16, (len(scenes), TOKENS, WIDTH))
    masks = np.zeros((len(scenes), TOKENS), np.uint8)
    for start in range(0, len(scenes), CHUNK):
        block = slice(start, start + CHUNK)
        hidden, mask = shared_encoder(budget.device).tokens([scene.prompt for scene in scenes[block]])
        states[block], masks[block] = hidden.cpu().numpy(), mask.cpu().numpy()
    states.flush()
    np.save(folder / "masks.npy", masks)
    (folder / "scenes.pickle").write_bytes(pickle.dumps(scenes))


def _stable_hash(value: object) -> int:
    return zlib.crc32(repr(value).encode())
