"""Calibration of a `cq` level (CacheQuant, arXiv:2503.01323): prompts are drawn in full, their deep features recorded.

Of the features, moments are enough (`workers/strategies/cachequant/correction.py`): they are summed up prompt by prompt
and kept, so that an interrupted calibration continues. Where the model's weights are quantised, the same prompts are
then drawn by the plan, and each output is compared with that of the float weights for the same input.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor

from core.errors import BadCalibration, OutOfRange
from core.families import Family, Model
from core.levels import Level
from core.reuse_plans import QUANTIZATION, Bits, Correction, PlannedFor, ReusePlan
from workers.engine.loading import configured_dtype
from workers.engine.request import GenerationRequest
from workers.measure.evaluate import weights_of
from workers.measure.model_cost import median_seconds
from workers.pipelines import load_adapter
from workers.pipelines.base import Adapter
from workers.pipelines.phases import SplitDenoiser
from workers.pipelines.reuse import Planned, Reuse
from workers.pipelines.rows import Batch, Row, Start
from workers.pipelines.samplers import times_left
from workers.strategies.cachequant.correction import FeatureMoments, OutputMoments
from workers.strategies.cachequant.schedule import schedule

FIRST_SEED = 77_000
TOGETHER = 8  # shallow forwards at once
Progress = Callable[[int, int, str], None]


@dataclass(frozen=True)
class Subject:
    """What is calibrated: a family's model at its usual steps and size, on some prompts of a seed each."""

    family: Family
    model: Model
    prompts: Sequence[str]
    device: str = "cpu"

    def __post_init__(self) -> None:
        if not self.prompts:
            raise OutOfRange("Calibration needs at least one prompt.", field="prompts")

    @property
    def level(self) -> Level:
        return Level(id="exact", strategy="exact", model=self.model.id)

    @property
    def signature(self) -> str:
        """Changes with anything that changes the features."""
        of_model, defaults = self.model.model_dump(exclude={"quantization"}), self.family.defaults.model_dump()
        parts = [of_model, defaults, list(self.prompts), weights_of(self.model.location)]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]

    def adapter(self, quantized: bool = False) -> Adapter:
        """The model on its device, of float weights unless the quantised ones are asked for."""
        model = self.model if quantized else self.model.model_copy(update={"quantization": None})
        adapter = load_adapter(model, self.device, configured_dtype(self.device))
        adapter.split = SplitDenoiser(adapter, self.level)
        return adapter

    def row(self, adapter: Adapter, number: int) -> Row:
        """The row of the n-th prompt at its first step."""
        d, seed = self.family.defaults, FIRST_SEED + number
        request = GenerationRequest(
            f"calibrate-{number}", self.prompts[number], seed, self.level, d.steps, d.guidance, d.width, d.height
        )
        return adapter.prepare(request, Start(request.steps), request.guidance)


def calibrate(subject: Subject, interval: int, bits: Bits, kept: Path, progress: Progress) -> ReusePlan:
    """The plan of a level of this interval; what was recorded stays in `kept`.

    Raises:
        OutOfRange: no such interval; the model's weights do not have these bits.
        BadCalibration: quantised steps are not faster on this device.
    """
    steps, model = subject.family.defaults.steps, subject.model
    if not 1 <= interval <= steps:
        raise OutOfRange(f"An interval of {interval} is not within 1 to {steps} steps.", field="interval")
    if QUANTIZATION[bits] != model.quantization:
        wanted = f'"{QUANTIZATION[bits]}"' if QUANTIZATION[bits] else "none"
        raise OutOfRange(
            f"Model {model.id!r} has quantization {model.quantization or 'none'}, which is not {bits}: name one with "
            f"quantization {wanted}.",
            field="bits",
        )
    adapter = subject.adapter()
    moments = record(subject, adapter, kept / f"{subject.signature}.npz", progress)
    plan = plan_of(subject, adapter, moments, interval, bits)
    return plan if bits == "none" else with_outputs_corrected(subject, plan, adapter, progress)


def record(subject: Subject, adapter: Adapter, path: Path, progress: Progress) -> FeatureMoments:
    """Moments over all prompts, from where an earlier call stopped."""
    total, moments = len(subject.prompts), read_moments(path)
    for number in range(moments.runs if moments else 0, total):
        progress(number, total, "recording deep features")
        features, effect = recorded(adapter, subject.row(adapter, number))
        moments = moments or FeatureMoments.zero(*features.shape[:2])
        moments.add(features, effect)
        write_moments(path, moments)
    progress(total, total, "recording deep features")
    assert moments is not None
    return moments


def plan_of(subject: Subject, adapter: Adapter, moments: FeatureMoments, interval: int, bits: Bits) -> ReusePlan:
    """The schedule of this interval and its corrections."""
    starts, d, family = schedule(moments.effect, interval), subject.family.defaults, subject.family
    return ReusePlan(
        of=PlannedFor(
            family=family.id,
            family_version=family.version,
            model=subject.model.id,
            weights=subject.model.sha256,
            scheduler=type(adapter.scheduler).__name__,
            steps=d.steps,
            width=d.width,
            height=d.height,
        ),
        interval=interval,
        bits=bits,
        made=f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC, {moments.runs} prompts",
        starts=starts,
        times=tuple(times_left(subject.row(adapter, 0).sampler)),
        feature=correction_of(*moments.correction(starts)),
    )


def correction_of(scale: np.ndarray, shift: np.ndarray) -> Correction:
    """Tables of six digits."""
    scales, shifts = (tuple(tuple(float(f"{x:.6g}") for x in row) for row in table) for table in (scale, shift))
    return Correction(scale=scales, shift=shifts)


# --- deep features ---------------------------------------------------------------------------------------------------


@torch.inference_mode()
def recorded(adapter: Adapter, row: Row) -> tuple[np.ndarray, np.ndarray]:
    """The deep features of one whole run, [T, C, n]: n values a channel, of both halves; and effects [T, T]."""
    assert adapter.split is not None
    row.reuse, batch, seen = Reuse(), Batch.of([row]), list[Tensor]()
    effect = np.zeros((row.sampler.remaining, row.sampler.remaining))
    while not row.sampler.done:
        step, prediction = len(seen), batch.combined(adapter.split.compute(batch))
        effect[:step, step] = effects(adapter.split, batch, prediction, seen)
        assert row.reuse.deep is not None
        seen.append(row.reuse.deep)
        adapter.advance(batch, prediction)
    return np.stack([by_channel(deep) for deep in seen]), effect


def effects(split: SplitDenoiser, batch: Batch, prediction: Tensor, earlier: Sequence[Tensor]) -> list[float]:
    """How far one row's step would end from where it does over each of these features: ‖x' − x‖₁.

    A sampler without a table has no factor by which its step takes in the prediction; there all steps count alike.
    """
    sampler, found = batch.rows[0].sampler, list[float]()
    factor = abs(sampler.coefficient("prediction_weight")) if sampler.linear else 1.0
    for start in range(0, len(earlier), TOGETHER):
        some = earlier[start : start + TOGETHER]
        copies = batch.select([0] * len(some))
        deep = [features[half] for half in range(len(some[0])) for features in some]
        apart = (copies.combined(split.over(copies, deep)) - prediction).abs().flatten(1).sum(1)
        found += (factor * apart).tolist()
    return found


def by_channel(values: Tensor) -> np.ndarray:
    """[m, C, h, w] as [C, n]."""
    found: np.ndarray = values.transpose(0, 1).flatten(1).float().cpu().numpy()
    return found


def read_moments(path: Path) -> FeatureMoments | None:
    """What an interrupted calibration had summed up; None where there is nothing that can be read."""
    try:
        with np.load(path) as found:
            mean, product, distance, effect = (found[name] for name in ("mean", "product", "distance", "effect"))
            return FeatureMoments(mean, product, distance, effect, int(found["count"]), int(found["runs"]))
    except (OSError, ValueError, KeyError, EOFError, BadZipFile):
        return None


def write_moments(path: Path, moments: FeatureMoments) -> None:
    """Write them whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"partial-{path.name}")
    np.savez(partial, **vars(moments))
    partial.replace(path)


# --- quantised outputs -----------------------------------------------------------------------------------------------


def with_outputs_corrected(subject: Subject, plan: ReusePlan, exact: Adapter, progress: Progress) -> ReusePlan:
    """The plan with a correction of what the quantised weights answer; `BadCalibration` where they are no faster."""
    quantised = subject.adapter(quantized=True)
    must_be_faster(subject, quantised, exact)
    planned, moments = Planned.of(plan, quantised.device, quantised.dtype), None
    for number in range(len(subject.prompts)):
        progress(number, len(subject.prompts), "comparing quantised outputs")
        moments = compared(quantised, exact, subject.row(quantised, number), planned, moments)
    assert moments is not None
    return plan.model_copy(update={"output": correction_of(*moments.correction())})


@torch.inference_mode()
def compared(
    quantised: Adapter, exact: Adapter, row: Row, planned: Planned, moments: OutputMoments | None
) -> OutputMoments:
    """The moments with one run by the plan added: at each step the outputs of both, over the same features."""
    assert quantised.split is not None
    assert exact.split is not None
    row.reuse, batch = Reuse(planned), Batch.of([row])
    while not row.sampler.done:
        twin = Reuse(planned)
        twin.deep = row.reuse.deep
        same = replace(batch, rows=[replace(row, reuse=twin)])
        ways = (quantised.split, batch), (exact.split, same)
        computes = row.computes
        ours, theirs = (split.compute(rows) if computes else split.reuse(rows) for split, rows in ways)
        moments = moments or OutputMoments.zero(row.sampler.remaining, ours.shape[1])
        moments.add(row.sampler.index, by_channel(ours), by_channel(theirs))
        quantised.advance(batch, batch.combined(ours))
    assert moments is not None
    return moments


@torch.inference_mode()
def must_be_faster(subject: Subject, quantised: Adapter, exact: Adapter) -> None:
    """Quantised weights that gain no time are of no use to a level: refused, with both times."""
    seconds = []
    for adapter in (quantised, exact):
        batch = Batch.of([subject.row(adapter, 0)])
        adapter.denoise(batch)
        seconds.append(median_seconds(lambda a=adapter, b=batch: a.denoise(b), 3, adapter))  # type: ignore[misc]
    if seconds[0] >= seconds[1]:
        raise BadCalibration(
            f"A step of {subject.model.id!r} takes {1000 * seconds[0]:.1f} ms in {subject.model.quantization}, "
            f"{1000 * seconds[1]:.1f} ms without, on {subject.device}: calibrate the model without quantization there.",
            field="bits",
        )
