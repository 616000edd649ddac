"""`argus calibrate cachequant`: what a level needs to reuse deep features, found on a few prompts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from cli.calibrate import calibrate as command
from cli.main import argus
from core.errors import BadCalibration, OutOfRange
from core.reuse_plans import read_plan
from workers.measure.cachequant import (
    Subject,
    calibrate,
    compared,
    correction_of,
    must_be_faster,
    read_moments,
    record,
)
from workers.pipelines.base import Adapter
from workers.pipelines.reuse import Planned
from workers.pipelines.rows import Batch

STEPS = 6


@pytest.fixture(scope="module")
def subject(toys: Any) -> Subject:
    family = toys.family("sd15", "euler")
    family = family.model_copy(update={"defaults": family.defaults.model_copy(update={"steps": STEPS})})
    return Subject(family, family.models["random"], ["a red fox", "two owls", "a boat"])


def rounded(adapter: Adapter, bits: int = 4) -> Adapter:
    """The weights of a denoiser rounded to so many bits a channel, as quantised ones are."""
    with torch.no_grad():
        for weight in adapter.denoiser_net.parameters():
            if weight.dim() > 1:
                most = weight.flatten(1).abs().amax(1).clamp(min=1e-9) / (2 ** (bits - 1) - 1)
                step = most.view(-1, *[1] * (weight.dim() - 1))
                weight.copy_((weight / step).round() * step)
    return adapter


def test_an_interrupted_calibration_continues_and_ends_as_one_without_interruption(subject: Subject, tmp_path: Path):
    adapter, told = subject.adapter(), list[int]()
    whole = record(subject, adapter, tmp_path / "whole.npz", lambda *_: None)

    def interrupt(done: int, *_: Any) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        record(subject, adapter, tmp_path / "part.npz", interrupt)
    assert read_moments(tmp_path / "part.npz").runs == 2
    continued = record(subject, adapter, tmp_path / "part.npz", lambda done, *_: told.append(done))
    assert told == [2, 3]
    assert all(np.allclose(a, b) for a, b in zip(vars(whole).values(), vars(continued).values(), strict=True))


def test_the_effect_of_a_feature_is_none_at_its_own_step_and_distances_are_of_later_ones(
    subject: Subject, tmp_path: Path
):
    moments = record(subject, subject.adapter(), tmp_path / "m.npz", lambda *_: None)
    later = np.triu(np.ones((STEPS, STEPS), bool), 1)
    assert (moments.effect[later] > 0).all()
    assert (moments.effect[~later] == 0).all()
    assert np.allclose(moments.distance, moments.distance.T)


def test_a_plan_says_what_it_is_of(subject: Subject, tmp_path: Path):
    plan = calibrate(subject, 3, "none", tmp_path, lambda *_: None)
    assert (plan.of.family, plan.of.model, plan.of.scheduler) == ("random-sd15", "random", "EulerDiscreteScheduler")
    assert (plan.of.steps, plan.of.width, plan.of.height, len(plan.starts)) == (STEPS, 64, 64, 2)
    assert len(plan.feature.scale[0]) == 8
    assert plan.output is None


def test_a_damaged_recording_is_made_anew(subject: Subject, tmp_path: Path):
    (tmp_path / "m.npz").write_bytes(b"PK\x03\x04 not one")
    assert record(subject, subject.adapter(), tmp_path / "m.npz", lambda *_: None).runs == 3


@pytest.mark.parametrize(
    ("interval", "bits", "field"), [(0, "none", "interval"), (7, "none", "interval"), (2, "w8a8", "bits")]
)
def test_what_cannot_be_calibrated_is_refused_with_its_field(
    subject: Subject, tmp_path: Path, interval: int, bits: Any, field: str
):
    with pytest.raises(OutOfRange) as refused:
        calibrate(subject, interval, bits, tmp_path, lambda *_: None)
    assert refused.value.field == field


def test_no_prompts_are_refused(subject: Subject):
    with pytest.raises(OutOfRange, match="at least one prompt"):
        replace(subject, prompts=[])


@torch.inference_mode()
def test_correction_brings_quantised_outputs_of_prompts_not_seen_nearer_to_the_float_ones(
    subject: Subject, tmp_path: Path
):
    exact, quantised = subject.adapter(), rounded(subject.adapter())
    plan = calibrate(subject, 3, "none", tmp_path, lambda *_: None)
    planned = Planned.of(plan, torch.device("cpu"), torch.float32)
    moments = None
    for number in range(len(subject.prompts)):
        moments = compared(quantised, exact, subject.row(quantised, number), planned, moments)
    corrected = Planned.of(
        plan.model_copy(update={"output": correction_of(*moments.correction())}), torch.device("cpu"), torch.float32
    )
    unseen, scale, shift = replace(subject, prompts=["a lighthouse at night"]), *corrected.output
    held_out = compared(quantised, exact, unseen.row(quantised, 0), planned, None)
    n, a, b = held_out.count[0], scale[..., 0, 0].double().numpy(), shift[..., 0, 0].double().numpy()
    before = held_out.xx - 2 * held_out.xy
    after = a * a * held_out.xx + n * b * b + 2 * a * b * held_out.x - 2 * a * held_out.xy - 2 * b * held_out.y
    assert after.sum() < before.sum()


@torch.inference_mode()
def test_outputs_of_a_level_with_their_correction_are_corrected_where_it_draws(subject: Subject, tmp_path: Path):
    from workers.pipelines.reuse import Reuse

    adapter = subject.adapter()
    plan = calibrate(subject, 3, "none", tmp_path, lambda *_: None)
    twice = correction_of(np.full((STEPS, 4), 2.0), np.zeros((STEPS, 4)))
    answers = []
    for found in (plan, plan.model_copy(update={"output": twice})):
        row = subject.row(adapter, 0)
        row.reuse = Reuse(Planned.of(found, adapter.device, adapter.dtype))
        answers.append(adapter.denoise(Batch.of([row])))
    assert torch.allclose(answers[1], 2 * answers[0], atol=1e-5)


def test_quantised_weights_that_are_no_faster_are_refused_with_both_times(subject: Subject):
    exact, slow = subject.adapter(), subject.adapter()
    forward = slow.forward
    slow.forward = lambda *given: sum(forward(*given) for _ in range(20))
    with pytest.raises(BadCalibration, match="ms without, on cpu"):
        must_be_faster(subject, slow, exact)


def run(*arguments: str) -> Any:
    return CliRunner().invoke(command, ["cachequant", "--family", "embedded", *arguments])


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--count", "0"), "--count"),
        (("--interval", "0"), "--interval"),
        (("--bits", "w3a3"), "--bits"),
        (("--bits", "w4a8"), "bits"),
        (("--model", "huge"), "model"),
    ],
)
def test_the_command_refuses_wrong_use_by_its_field(arguments: tuple[str, ...], says: str):
    done = run(*arguments)
    assert done.exit_code == 2
    assert says in done.output


def test_the_command_refuses_a_file_without_prompts_and_an_interval_longer_than_the_run(tmp_path: Path):
    (tmp_path / "none.txt").write_text("\n \n")
    for arguments, field in (
        (("--prompts", str(tmp_path / "none.txt")), "prompts"),
        (("--interval", "13"), "interval"),
    ):
        done = CliRunner().invoke(argus, ["calibrate", "cachequant", "--family", "embedded", *arguments])
        assert done.exit_code == 2, done.output
        (said,) = [line for line in done.output.splitlines() if line.startswith("error [out_of_range]")]
        assert field in said


def test_the_command_writes_a_plan_that_can_be_read(tmp_path: Path, toys: Any, monkeypatch: pytest.MonkeyPatch):
    family = toys.family("sd15", "euler")
    small = family.model_copy(update={"defaults": family.defaults.model_copy(update={"steps": STEPS})})
    monkeypatch.setattr("core.families.load_family", lambda name: small)
    (tmp_path / "prompts.txt").write_text("a red fox\n")
    arguments = ("--prompts", str(tmp_path / "prompts.txt"), "--interval", "2", "--out", str(tmp_path / "plan.json"))
    done = run(*arguments, "--json", str(tmp_path / "found.json"))
    assert done.exit_code == 0, done.output
    assert "3 of 6 steps" in done.output
    assert len(read_plan(tmp_path / "plan.json").starts) == 3
