"""A family that costs nothing to run: real engine, real sampler, a denoiser of one line."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from diffusers import EulerDiscreteScheduler
from torch import Tensor

from core.families import Defaults, Family, Limits, Model, Scorer
from core.levels import Level
from workers.engine.engine import Engine
from workers.engine.request import GenerationRequest, GenerationResult
from workers.pipelines.base import Adapter
from workers.pipelines.rows import Batch, Tensors

torch.set_num_threads(1)
SIDE = 4
MODEL_MB = 16 * 17 * 8 / 1e6  # of a Pencil in float64


class Pencil(Adapter):
    """Latents are its pixels; the prompt's length is its conditioning. It fails where a test tells it to."""

    most_rows = 1000  # what its memory carries in one forward
    most_advanced = 1000  # and in one sampler step
    poison: str | None = None  # prompts of which the forward answers NaN
    broken: str | None = None  # prompts at which the forward raises `error`
    error: Exception = RuntimeError("kernel failed")
    undecodable: Tensor | None = None

    def load(self) -> Any:
        self.failures: dict[str, list[Exception]] = {"encode": [], "decode": []}  # raised one after the other
        self.tiled = False
        self.encoded: list[str] = []
        self.decoded: list[Tensor] = []
        self.weights = torch.nn.Linear(16, 16, dtype=self.dtype)
        return EulerDiscreteScheduler()

    def modules(self) -> list[torch.nn.Module]:
        return [self.weights]

    def noise_shape(self, request: GenerationRequest) -> tuple[int, ...]:
        return (3, request.height, request.width)

    def encode_prompt(self, prompt: str) -> Tensors:
        self.encoded.append(prompt)
        self._fail("encode")
        if prompt == "unreadable":
            raise ValueError("no such letters")
        return {"words": torch.tensor([float(len(prompt)), float(prompt == self.poison)], dtype=self.dtype)}

    def encode_negative(self, prompt: str) -> Tensors:
        return {"words": torch.zeros(2, dtype=self.dtype)}

    def forward(self, latents: Tensor, times: Tensor, conditioning: Tensors) -> Tensor:
        if len(latents) > self.most_rows:
            raise torch.OutOfMemoryError(f"{len(latents)} rows")
        words = conditioning["words"]
        if self.broken is not None and (words[:, 0] == len(self.broken)).any():
            raise self.error
        out = torch.sin(latents + words[:, 0].view(-1, 1, 1, 1)) + (times / 1000).view(-1, 1, 1, 1)
        return torch.where(words[:, 1].view(-1, 1, 1, 1) > 0, torch.nan, out)

    def advance(self, batch: Batch, predictions: Tensor) -> None:
        if len(batch.rows) > self.most_advanced:
            raise torch.OutOfMemoryError(f"{len(batch.rows)} rows")
        super().advance(batch, predictions)

    @contextmanager
    def tiling(self, wanted: bool) -> Iterator[None]:
        self.tiled = wanted
        yield

    def image_of(self, latent: Tensor, size: tuple[int, int]) -> Tensor:
        self._fail("decode")
        self.decoded.append(latent[0].clone())
        if self.undecodable is not None and torch.allclose(latent[0], self.undecodable):
            raise RuntimeError("bad picture")
        return latent.tanh()

    def _fail(self, what: str) -> None:
        if self.failures[what]:
            raise self.failures[what].pop(0)


def pencil_family(models: int = 1, scheduler: str | None = None) -> Family:
    names = ["large", "small", "tiny"][:models]
    levels = [Level(id="exact" if name == "large" else f"sm-{name}", strategy="exact", model=name) for name in names]
    if models > 1:
        levels.append(Level(id="ac-small", strategy="ac", model="small", skip=8, options={"source": "image"}))
    levels += [
        Level(id="fs-4", strategy="fs", model="large", steps=4),
        Level(id="fs-10", strategy="fs", model="large", steps=10),
        Level(id="ac-4", strategy="ac", model="large", skip=4),
        Level(id="ac-8", strategy="ac", model="large", skip=8),
        Level(id="ac-image", strategy="ac", model="large", skip=8, options={"source": "image"}),
    ]
    return Family(
        id="pencil",
        title="Pencil",
        version="1",
        reference="exact",
        defaults=Defaults(steps=20, guidance=2.0, width=SIDE, height=SIDE),
        limits=Limits(steps=(1, 60), guidance=(0, 12), sizes=((SIDE, SIDE),)),
        models={name: Model(id=name, pipeline="pencil", path=name, scheduler=scheduler) for name in names},
        levels={level.id: level for level in levels},
        scorer=Scorer(kind="hf-clip", path=""),
    )


class Bench:
    """An engine without threads, its adapters at hand, and requests made in one line."""

    def __init__(self, family: Family, **options: Any) -> None:
        self.family = family
        self.adapters: dict[str, Pencil] = {}
        given = {"threaded": False, "expected_mb": lambda model: MODEL_MB, **options}
        self.engine = Engine(family, dtype=torch.float64, load=self._load, **given)
        self._ids = itertools.count()

    def _load(self, model: Model) -> Pencil:
        self.adapters[model.id] = Pencil(model, "cpu", torch.float64)
        return self.adapters[model.id]

    def request(self, prompt: str = "fox", level: str = "exact", steps: int = 20, **changes: Any) -> GenerationRequest:
        number = next(self._ids)
        given = {
            "seed": number,
            "guidance": 2.0,
            "width": SIDE,
            "height": SIDE,
            "request_id": f"r{number}",
            **changes,
        }
        return GenerationRequest(prompt=prompt, level=self.family.level(level), steps=steps, **given)

    def submit(self, *args: Any, **changes: Any) -> Any:
        return self.engine.submit(self.request(*args, **changes))

    def final_latent(self, request: GenerationRequest) -> tuple[Tensor, GenerationResult]:
        """Run a request to its end: the latent that was decoded, and the result."""
        future = self.engine.submit(request)
        running = self.engine.find(request.request_id)
        self.run()
        return running.row.latent, future.result(0)

    def run(self, most: int = 10_000) -> int:
        """Step until nothing is left; answers how many turns."""
        return next(turn for turn in range(most) if not self.engine.step())
