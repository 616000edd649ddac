"""What a running request is heading for: shown to who asks, the same alone and fused, at no cost where nobody asks."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from core.errors import EngineError
from workers.pipelines.samplers import SamplerState

SAMPLERS = ["EulerDiscreteScheduler", "HeunDiscreteScheduler", "DPMSolverMultistepScheduler"]
THIRDS = (1 / 3, 2 / 3)


class Seen(dict):
    """Keeps what a hook is shown: clean latents by step."""

    def __call__(self, step, clean):
        self[step] = clean.clone()


def previewed(bench, *args, **changes):
    """A request with previews at each third, and what they were."""
    shown = {}
    keep = lambda index, image: shown.update({index: image})  # noqa: E731
    return bench.request(*args, previews=THIRDS, on_preview=keep, **changes), shown


@pytest.mark.parametrize("scheduler", SAMPLERS)
def test_the_clean_latents_of_a_request_are_the_same_alone_and_among_others(bench, scheduler):
    b = bench(scheduler=scheduler)
    alone, fused = Seen(), Seen()
    request = b.request("moth", seed=3, steps=12, on_x0=alone)
    b.final_latent(request)
    assert list(alone) == list(range(1, 13))
    b.submit("owl", steps=9)
    b.engine.step()
    b.engine.submit(dataclasses.replace(request, request_id="again", on_x0=fused))
    b.engine.step()
    b.submit("a longer prompt", steps=30, guidance=1.0)
    b.run()
    assert max((fused[step] - alone[step]).abs().max() for step in alone) <= 1e-9
    assert (alone[1] - alone[12]).abs().max() > 0.1


def test_the_clean_latent_of_the_last_step_is_the_one_that_is_decoded(bench):
    b, seen = bench(), Seen()
    latent, _ = b.final_latent(b.request("moth", steps=12, on_x0=seen))
    assert (seen[12] - latent).abs().max() < 1e-6


def test_where_nobody_asks_no_clean_latent_is_computed(bench, monkeypatch):
    asked = []
    monkeypatch.setattr(SamplerState, "clean_weights", lambda sampler: asked.append(sampler))
    b = bench()
    b.submit("owl", steps=9)
    b.submit("moth", steps=9, previews=THIRDS)  # nobody to show them to
    b.run()
    assert not asked


def test_a_hook_that_answers_another_clean_latent_leads_there(bench):
    b = bench()
    wanted = torch.full((3, 4, 4), 0.25, dtype=torch.float64)
    other = b.request("owl", seed=8, steps=12)
    alone, _ = b.final_latent(other)
    beside = b.engine.submit(dataclasses.replace(other, request_id="beside"))
    row = b.engine.find("beside")
    latent, _ = b.final_latent(b.request("moth", steps=12, on_x0=lambda step, clean: wanted))
    assert (latent - wanted).abs().max() < 1e-6
    assert beside.done()
    assert (row.row.latent - alone).abs().max() <= 1e-9


def test_a_hook_that_fails_fails_its_own_request_alone(bench):
    b = bench()

    def broken(step, clean):
        raise ValueError("no such latent")

    failing, other = b.submit("moth", steps=12, on_x0=broken), b.submit("owl", steps=12)
    b.run()
    with pytest.raises(EngineError, match="no such latent"):
        failing.result(0)
    assert other.result(0).steps_run == 12


@pytest.mark.parametrize("scheduler", SAMPLERS)
def test_previews_are_the_same_alone_and_among_others(bench, scheduler):
    b = bench(scheduler=scheduler)
    decoded = b.adapters["large"].decoded
    request, shown = previewed(b, "moth", seed=3, steps=12)
    b.final_latent(request)
    alone = list(decoded)
    assert len(alone) == 3
    assert sorted(shown) == [0, 1]
    b.submit("owl", steps=30)
    b.engine.step()
    decoded.clear()
    b.engine.submit(dataclasses.replace(request, request_id="again"))
    b.engine.step()
    b.submit("a longer prompt", steps=30, guidance=1.0)
    b.run()
    for ours, theirs in zip(alone, decoded, strict=False):
        assert (ours - theirs).abs().max() <= 1e-9
    assert (alone[0] - alone[1]).abs().max() > 0.01


def test_previews_come_after_a_third_and_two_thirds_of_the_steps(bench):
    b = bench()
    request, shown = previewed(b, steps=12)
    b.engine.submit(request)
    counts = []
    for _ in range(12):
        b.engine.step()
        counts.append(len(shown))
    assert counts == [0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 2]


def test_a_request_of_one_step_has_no_preview_its_image_comes_at_once(bench):
    b = bench()
    request, shown = previewed(b, steps=1)
    b.final_latent(request)
    assert not shown


def test_a_preempted_request_is_not_shown_again_what_lies_behind(bench):
    b = bench()
    request, shown = previewed(b, steps=12)
    b.engine.submit(request)
    for _ in range(9):
        b.engine.step()
    assert sorted(shown) == [0, 1]
    b.engine.preempt(request.request_id)
    b.engine.step()
    later = {}
    again = dataclasses.replace(request, attempt=2, on_preview=lambda index, image: later.update({index: image}))
    _, result = b.final_latent(again)
    assert (result.steps_run, later) == (3, {})


def test_a_preview_that_fails_leaves_the_image(bench):
    b = bench()
    request, shown = previewed(b, steps=12)
    b.adapters["large"].failures["decode"] = [RuntimeError("bad picture")]
    _, result = b.final_latent(request)
    assert sorted(shown) == [1]
    assert result.reason is None


def test_previews_of_a_running_engine_come_before_its_image(bench):
    b = bench(threaded=True)
    request, shown = previewed(b, steps=30)
    b.engine.start()
    try:
        b.engine.submit(request).result(60)
    finally:
        b.engine.stop()
    assert sorted(shown) == [0, 1]
