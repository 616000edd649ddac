"""What quality a level keeps: the same prompts and seeds drawn at every level, scored by the family's scorer.

Relative quality of a prompt at a level is its mean score there over its mean score at the reference level, over the
same seeds. Where the reference itself scores under `FLOOR` (it could not draw the prompt) the floor divides instead, so
that noise is not amplified, and values above `CEILING` are cut.

Levels of approximate caching draw from a cache that was filled beforehand with other prompts and takes nothing in while
they are scored, as a new prompt would find it.
"""

from __future__ import annotations

import csv
import hashlib
import json
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw

from core.errors import BadProfile
from core.families import Family
from core.levels import Level
from core.profiles import read_quality
from core.text import shared_encoder
from workers.engine.engine import Engine
from workers.engine.loading import configured_dtype
from workers.engine.request import GenerationRequest, GenerationResult
from workers.latent_cache.cache import LatentCache
from workers.latent_cache.exact_index import ExactIndex
from workers.latent_cache.store import FolderStore
from workers.measure.hardware import hardware
from workers.scoring.base import Scorer

FLOOR, CEILING = 0.5, 1.5
FIRST_SEED = 1000
TOGETHER = 48  # requests submitted at once
PARTS = ("scores", "pictures", "skipped")  # of what is kept of a few requests
ALONE = 24  # prompts drawn one by one for the seconds an image takes


@dataclass(frozen=True)
class Drawn:
    """What one level drew of P prompts and S seeds: scores (P, S), the first seed's pictures (P, H, W, 3) in uint8.

    `seconds` is the mean from prompt to picture of one request alone; `skipped` the mean share of steps not run.
    """

    scores: np.ndarray
    pictures: np.ndarray
    skipped: float
    seconds: float = 0.0


@dataclass
class Evaluation:
    """Every level on the same prompts and seeds."""

    family: Family
    prompts: Sequence[str]
    levels: dict[str, Drawn] = field(default_factory=dict)

    @property
    def by_cost(self) -> list[str]:
        """Level ids, dearest first."""
        return sorted(self.levels, key=lambda name: -self.levels[name].seconds)

    def relative(self, level_id: str) -> np.ndarray:
        """Relative quality by prompt (P,)."""
        reference = self.levels[self.family.reference].scores
        return relative_quality(self.levels[level_id].scores, reference)


def relative_quality(scores: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """Relative quality (P,) from scores (P, S) at a level and at the reference."""
    if scores is reference:
        return np.ones(len(scores))
    relative: np.ndarray = np.minimum(scores.mean(1) / np.maximum(reference.mean(1), FLOOR), CEILING)
    return relative


class ReadOnlyCache(LatentCache):
    """A cache that is read and not written."""

    def depths(self, *_: object) -> frozenset[int]:
        return frozenset()


class Evaluator:
    """Draws and scores level after level; what was drawn before from the same weights is read from `kept`.

    Args:
        family: whose levels are scored.
        scorer: scores the images.
        device: torch device.
        seeds: how many a prompt.
        kept: folder of earlier scores, so that an interrupted evaluation continues.
        others: prompts that fill the cache of approximate caching.
    """

    def __init__(
        self, family: Family, scorer: Scorer, device: str, seeds: int, kept: Path, others: Sequence[str] = ()
    ) -> None:
        self.family, self.scorer, self.device, self.seeds, self.kept = family, scorer, device, seeds, kept
        self.others = others
        self.engine = Engine(family, device, configured_dtype(device), threaded=False)
        self._cached: Engine | None = None
        self._latents = tempfile.TemporaryDirectory(prefix="argus-evaluate-")

    def run(
        self,
        prompts: Sequence[str],
        tell: Callable[[str, Drawn], None],
        timed: bool = True,
        levels: Sequence[Level] = (),
    ) -> Evaluation:
        """These levels, else all of the family, `tell` after each; seconds only where `timed`."""
        answer, levels = Evaluation(self.family, prompts), levels or list(self.family.levels.values())
        for level in levels:
            answer.levels[level.id] = self.level(level, prompts)
            tell(level.id, answer.levels[level.id])
        for level in levels if timed else ():  # together, at the end: under the same load, never read from `kept`
            answer.levels[level.id] = replace(answer.levels[level.id], seconds=self._alone(level, prompts))
        return answer

    def level(self, level: Level, prompts: Sequence[str]) -> Drawn:
        """One level, drawn or read from `kept`."""
        parts = [self._part(path, level, requests) for path, requests in self._parts(level, prompts)]
        scores, pictures, skipped = (np.concatenate([part[name] for part in parts]) for name in PARTS)
        return Drawn(scores.reshape(self.seeds, len(prompts)).T, pictures[: len(prompts)], float(np.mean(skipped)))

    def draw(self, level: Level, prompts: Sequence[str], until: float) -> bool:
        """Draw what is missing of a level while the monotonic clock is before `until`; whether all is there."""
        for path, requests in self._parts(level, prompts):
            if not path.exists():
                if time.monotonic() > until:
                    return False
                self._part(path, level, requests)
        return True

    def _parts(self, level: Level, prompts: Sequence[str]) -> Iterator[tuple[Path, list[GenerationRequest]]]:
        """The requests of a level, `TOGETHER` at a time, and where what they gave is kept."""
        requests = [self._request(level, prompt, FIRST_SEED * (seed + 1) + row) for seed in range(self.seeds)
                    for row, prompt in enumerate(prompts)]  # fmt: skip
        for start in range(0, len(requests), TOGETHER):
            part = requests[start : start + TOGETHER]
            yield self.kept / f"{self._signature(level, part)}.npz", part

    def _part(self, path: Path, level: Level, requests: Sequence[GenerationRequest]) -> dict[str, np.ndarray]:
        """Scores, pictures and shares of steps skipped of a few requests, drawn or read from a file."""
        if not path.exists():
            done = together(self._engine(level), requests)
            path.parent.mkdir(parents=True, exist_ok=True)
            scores = self.scorer.score([one.image for one in done], [request.prompt for request in requests])
            partial = path.with_suffix(".partial.npz")
            np.savez_compressed(
                partial,
                scores=np.array(scores, np.float32),
                pictures=np.stack([np.asarray(one.image) for one in done]),
                skipped=np.array([one.steps_skipped / (one.steps_run + one.steps_skipped) for one in done]),
            )
            partial.replace(path)  # whole or not at all: a run may be stopped at any time
        with np.load(path) as found:
            return {name: found[name] for name in PARTS}

    def _alone(self, level: Level, prompts: Sequence[str]) -> float:
        """Mean seconds of one request at a time; on a CPU of one thread's time, whoever else uses the machine."""
        engine, threads, times = self._engine(level), torch.get_num_threads(), []
        clock = time.process_time if self.device.startswith("cpu") else time.perf_counter
        together(engine, [self._request(level, prompts[0], 0)])  # loads the model
        torch.set_num_threads(1)
        shared_encoder(self.device).forget()  # each prompt costs what a new one costs
        for row, prompt in enumerate(prompts[:: max(1, len(prompts) // ALONE)]):
            began = clock()
            together(engine, [self._request(level, prompt, row)])
            times.append(clock() - began)
        torch.set_num_threads(threads)
        return float(np.mean(times))

    def _engine(self, level: Level) -> Engine:
        """The engine without a cache; for `ac` levels one whose cache holds `others`, drawn at the reference level."""
        if not level.looks_up:
            return self.engine
        if self._cached is None:
            folder = FolderStore(Path(self._latents.name))
            index, reference = ExactIndex(), self.family.level(self.family.reference)
            filling = self._engine_with(LatentCache(index, folder, 4096))
            for start in range(0, len(self.others), TOGETHER):
                part = self.others[start : start + TOGETHER]
                together(filling, [self._request(reference, prompt, start + n) for n, prompt in enumerate(part)])
            self._cached = self._engine_with(ReadOnlyCache(index, folder, 4096))
        return self._cached

    def _engine_with(self, cache: LatentCache) -> Engine:
        return Engine(self.family, self.device, self.engine.dtype, cache=cache, threaded=False)

    def _request(self, level: Level, prompt: str, seed: int) -> GenerationRequest:
        d = self.family.defaults
        return GenerationRequest(f"{level.id}-{seed}", prompt, seed, level, d.steps, d.guidance, d.width, d.height)

    def _signature(self, level: Level, requests: Sequence[GenerationRequest]) -> str:
        """Changes with anything that changes the pictures or their scores."""
        parts: list[Any] = [level.model_dump(exclude={"id"}, exclude_defaults=True), self.family.defaults.model_dump()]
        parts += [self.scorer.name, str(self.engine.dtype), weights_of(self.family.models[level.model].location)]
        parts += [[(request.prompt, request.seed) for request in requests]]
        parts += list(self.others) if level.looks_up else []
        parts += [level.calibration_location.read_text()] if level.calibration else []
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]


def together(engine: Engine, requests: Sequence[GenerationRequest]) -> list[GenerationResult]:
    """Results of requests submitted to an unthreaded engine at once; raises what the first failed one raised."""
    futures = [engine.submit(request) for request in requests]
    while not all(future.done() for future in futures):
        engine.step()
    return [future.result() for future in futures]


def weights_of(location: str) -> list[tuple[str, int, int]]:
    """Names, sizes and times of a local model's files; nothing for a hub name."""
    files = sorted(Path(location).rglob("*.safetensors")) if Path(location).is_dir() else []
    return [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files]


# --- what is written -------------------------------------------------------------------------------------------------


def write_table(answer: Evaluation, path: Path) -> None:
    """`prompt,<level>,<level>…`, relative quality a cell; beside it `<name>-seeds.npz` with every score."""
    columns = {name: answer.relative(name) for name in answer.levels}
    _write(path, answer.prompts, columns, {name: drawn.scores for name, drawn in answer.levels.items()})


def add_to_table(answer: Evaluation, path: Path) -> None:
    """Put an evaluation's levels into a table of the same prompts and seeds, beside what is there.

    Raises:
        BadProfile: there is no such table, or it is of other prompts or of more or fewer seeds.
    """
    table, seeds = read_quality(path), _seeds(path)
    if table.prompts != tuple(answer.prompts):
        raise BadProfile(f"{path} is of other prompts than these: evaluate all levels", field="prompts")
    with np.load(seeds) as found:
        scores = {name: found[name].astype(np.float32) for name in table.levels}
    reference = scores[answer.family.reference]
    new = {name: drawn.scores for name, drawn in answer.levels.items()}
    if any(drawn.shape != reference.shape for drawn in new.values()):
        raise BadProfile(f"{path} is of {reference.shape[1]} seeds a prompt: evaluate as many", field="seeds")
    columns = {name: table.column(name) for name in table.levels}
    columns |= {name: relative_quality(drawn, reference) for name, drawn in new.items()}
    _write(path, answer.prompts, columns, scores | new)


def _write(path: Path, prompts: Sequence[str], columns: dict[str, np.ndarray], scores: dict[str, np.ndarray]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["prompt", *columns])
        for row, prompt in enumerate(prompts):
            writer.writerow([prompt, *(f"{values[row]:.4f}" for values in columns.values())])
    small: dict[str, Any] = {name: values.astype(np.float16) for name, values in scores.items()}
    np.savez_compressed(_seeds(path), **small)


def _seeds(path: Path) -> Path:
    """Where every score of a table's prompts and seeds is."""
    return path.with_name(f"{path.stem}-seeds.npz")


def figures(answer: Evaluation) -> str:
    """The levels in Markdown, dearest first."""
    lines = [
        "| level | seconds an image | mean CLIPScore | mean relative quality | prompts within 2 % of the reference |",
        "| --- | --- | --- | --- | --- |",
    ]
    for name in answer.by_cost:
        drawn, relative = answer.levels[name], answer.relative(name)
        lines.append(
            f"| `{name}` | {drawn.seconds:.3f} | {drawn.scores.mean():.3f} | {relative.mean():.3f} "
            f"| {(relative >= 0.98).mean():.0%} |"
        )
    return "\n".join(lines)


def summary(answer: Evaluation) -> dict[str, Any]:
    """The same for programs, by level."""
    found = {}
    for name in answer.by_cost:
        drawn, relative = answer.levels[name], answer.relative(name)
        means = {"score": float(drawn.scores.mean()), "quality": float(relative.mean())}
        found[name] = {"seconds": drawn.seconds, **means, "within_2_percent": float((relative >= 0.98).mean())}
    return {"levels": found}


def made_on(device: str, dtype: torch.dtype) -> str:
    """On what, with what and when seconds and pictures were made."""
    used, clock = hardware(device, dtype), "processor time" if device.startswith("cpu") else "wall clock"
    return (
        f"{used['name']}, seconds of one thread's {clock}, {used['dtype']}, torch {used['torch']}, "
        f"diffusers {used['diffusers']}, {datetime.now(UTC):%Y-%m-%d %H:%M} UTC."
    )


def side_by_side(answer: Evaluation, rows: Sequence[int]) -> Image.Image:
    """Prompts down, levels across, dearest first: the same seed in each row."""
    height, width = answer.levels[answer.by_cost[0]].pictures.shape[1:3]
    page = Image.new("RGB", (320 + width * len(answer.levels), 24 + height * len(rows)), "white")
    pen = ImageDraw.Draw(page)
    for column, name in enumerate(answer.by_cost):
        left = 320 + column * width
        pen.text((left + 4, 6), name, fill="black")
        for line, row in enumerate(rows):
            page.paste(Image.fromarray(answer.levels[name].pictures[row]), (left, 24 + line * height))
    for line, row in enumerate(rows):
        pen.multiline_text((6, 24 + line * height + height // 3), _wrapped(answer.prompts[row]), fill="black")
    return page


def _wrapped(text: str, width: int = 48) -> str:
    lines = [""]
    for word in text.split():
        lines = [*lines[:-1], f"{lines[-1]} {word}".strip()] if len(lines[-1]) + len(word) < width else [*lines, word]
    return "\n".join(lines)
