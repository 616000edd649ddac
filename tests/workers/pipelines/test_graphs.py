"""Recorded forwards: padded to the next size, equal to the plain one, and only where they are faster.

Nothing here needs CUDA: the recorder is one that runs the work again, as a graph would, on the tensors it was given.
"""

from __future__ import annotations

import pytest
import torch

from tests.workers.toys import make_request
from workers.pipelines import load_adapter
from workers.pipelines.graphs import GraphedForward
from workers.pipelines.rows import Batch, Start


class Replayed:
    """Answers one tensor, whose content every replay writes anew, as CUDA graphs do."""

    def __init__(self):
        self.replays = 0

    def record(self, work):
        output = work().clone()

        def replay():
            self.replays += 1
            return output.copy_(work())

        return replay

    def wait(self):
        pass


def double(latents, times, conditioning):
    return 2 * latents + times.view(-1, 1) + conditioning["words"]


def inputs(rows, width=3, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.randn(rows, width, generator=generator),
        torch.arange(rows, dtype=torch.float32),
        {"words": torch.randn(rows, width, generator=generator)},
    )


@pytest.fixture
def graphed():
    made = GraphedForward(double, Replayed(), mode="on", seconds=lambda work: work() is None or 1.0)
    for rows in (2, 4):
        assert made.record(*inputs(rows, seed=9))
    return made


@pytest.mark.parametrize("rows", [1, 2, 3, 4])
def test_a_batch_is_padded_to_the_next_recorded_size_and_gets_its_own_answers(graphed, rows):
    before = graphed.recorder.replays
    given = inputs(rows, seed=rows)
    assert torch.equal(graphed(*given), double(*given))
    assert graphed.recorder.replays == before + 1


@pytest.mark.parametrize("given", [inputs(5), inputs(2, width=7)])
def test_sizes_and_shapes_that_were_not_recorded_run_as_they_are(graphed, given):
    before = graphed.recorder.replays
    assert torch.equal(graphed(*given), double(*given))
    assert graphed.recorder.replays == before


def test_an_answer_is_not_overwritten_by_the_next_replay(graphed):
    first, second = inputs(2, seed=1), inputs(2, seed=2)
    answer = graphed(*first)
    graphed(*second)
    assert torch.equal(answer, double(*first))


@pytest.mark.parametrize(
    ("seconds", "kept"),
    [
        ({1: (8.0, 2.0), 2: (8.0, 2.1), 4: (8.4, 3.0)}, [1, 2, 4]),
        ({1: (8.0, 7.9), 2: (8.0, 7.9), 4: (8.0, 7.9)}, []),
        ({1: (8.0, 4.0), 2: (12.0, 8.0), 4: (24.0, 1.0)}, [1, 2]),
    ],
    ids=["bound by launches", "nothing gained", "large sizes keep the device busy"],
)
def test_auto_records_what_is_bound_by_launches_and_keeps_what_is_faster(seconds, kept):
    recorder = Replayed()

    def measured(work):
        before = recorder.replays
        rows = len(work())
        return seconds[rows][recorder.replays > before]

    graphed = GraphedForward(double, recorder, mode="auto", seconds=measured)
    for rows in (1, 2, 4):
        graphed.record(*inputs(rows))
    assert graphed.sizes() == kept


@pytest.mark.parametrize("architecture", ["sd15", "sdxl", "sd3", "flux"])
def test_every_denoiser_answers_the_same_by_a_recorded_forward(toys, architecture):
    adapter = load_adapter(toys.family(architecture).models["random"], "cpu", torch.float64)
    rows = [adapter.prepare(make_request(seed=n), Start(4), 3.0) for n in range(3)]
    plain = adapter.denoise(Batch.of(rows))
    adapter.graphs = GraphedForward(adapter.forward, Replayed(), mode="on")
    with torch.inference_mode():
        adapter.graphs.record(*Batch.of(rows[:1] * 4).halves())
    assert (adapter.denoise(Batch.of(rows)) - plain).abs().max() < 1e-9
    assert adapter.graphs.recorder.replays > 0
