"""Compiled and recorded forwards: padded to the next size, equal to the plain one, and only where they are faster.

Nothing here needs CUDA: the recorder is one that runs the work again, as a graph would, on the tensors it was given.
"""

from __future__ import annotations

import pytest
import torch

from tests.workers.toys import make_request
from workers.pipelines import load_adapter
from workers.pipelines.compiling import repeated_blocks
from workers.pipelines.fastest_forward import FastestForward
from workers.pipelines.rows import Batch, Start


class Replayed:
    """Answers one tensor, whose content every replay writes anew, as CUDA graphs do."""

    def __init__(self, peak=0.0):
        self.replays, self.peak = 0, peak

    def record(self, work):
        output = work().clone()

        def replay():
            self.replays += 1
            return output.copy_(work())

        return replay

    def wait(self):
        pass

    def takes(self, work):
        return self.peak, 1000.0


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
    made = FastestForward(double, Replayed(), graphs="on", seconds=lambda work: work() is None or 1.0)
    for rows in (2, 4):
        assert made.measure(*inputs(rows, seed=9)) == "graph"
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


def measured(seconds, **options):
    """A forward whose plain, compiled and recorded versions take so many seconds by rows."""
    recorder = Replayed(options.pop("peak", 0.0))
    compiled_calls = []

    def compiled(*given):
        compiled_calls.append(given)
        return double(*given)

    def taken(work):
        replays, calls = recorder.replays, len(compiled_calls)
        rows = len(work())
        ways = {(False, False): 0, (False, True): 1, (True, False): 2, (True, True): 3}
        return seconds[rows][ways[recorder.replays > replays, len(compiled_calls) > calls]]

    fastest = FastestForward(double, recorder, compiled=compiled, seconds=taken, **options)
    for rows in seconds:
        fastest.measure(*inputs(rows))
    return fastest


@pytest.mark.parametrize(
    ("seconds", "kept"),
    [
        ({1: (8.0, 9.0, 2.0, 9.0), 2: (8.0, 9.0, 2.1, 9.0)}, {1: "graph", 2: "graph"}),
        ({1: (8.0, 7.9, 7.9, 7.9)}, {}),
        ({1: (8.0, 9.0, 4.0, 9.0), 4: (24.0, 25.0, 23.9, 25.0)}, {1: "graph"}),
        ({1: (8.0, 6.0, 5.0, 3.0), 4: (24.0, 18.0, 24.0, 18.0)}, {1: "compiled graph", 4: "compiled"}),
    ],
    ids=["bound by launches", "nothing gained", "large sizes keep the device busy", "compiled is faster"],
)
def test_auto_keeps_what_is_measured_faster_at_each_number_of_rows(seconds, kept):
    assert measured(seconds).kept() == kept


def test_what_is_switched_off_is_not_tried_and_what_is_on_is_kept_though_slower():
    slower = {2: (1.0, 2.0, 3.0, 4.0)}
    assert measured(slower, graphs="off", compiling="off").kept() == {}
    assert measured(slower, graphs="off", compiling="on").kept() == {2: "compiled"}
    assert measured(slower, graphs="on", compiling="off").kept() == {2: "graph"}


def test_a_graph_that_would_keep_much_of_the_free_memory_is_not_recorded_and_a_kept_one_is_counted():
    faster = {2: (8.0, 9.0, 2.0, 9.0)}
    assert measured(faster, peak=900.0).kept() == {}
    assert measured(faster, peak=200.0).memory_mb == 200 / 1e6
    assert measured(faster, peak=900.0, graphs="on").kept() == {2: "graph"}


def test_a_batch_between_two_sizes_runs_as_it_is_where_padding_costs_more_than_is_gained():
    compiled_rows = []

    def compiled(latents, times, conditioning):
        compiled_rows.append(len(latents))
        return double(latents, times, conditioning)

    def taken(work):
        before = len(compiled_rows)
        rows = len(work())
        return {2: (2.0, 1.5), 4: (4.0, 3.5)}[rows][len(compiled_rows) > before]

    fastest = FastestForward(double, Replayed(), graphs="off", compiled=compiled, seconds=taken)
    for rows in (2, 4):
        assert fastest.measure(*inputs(rows)) == "compiled"
    for rows, padded in ((1, [2]), (2, [2]), (3, []), (4, [4])):  # three rows: 3.0 s as they are, 3.5 s padded
        compiled_rows.clear()
        given = inputs(rows)
        assert torch.equal(fastest(*given), double(*given))
        assert compiled_rows == padded


def test_a_way_that_does_not_work_is_done_without():
    def broken(*_):
        raise RuntimeError("no compiler here")

    fastest = FastestForward(double, Replayed(), compiled=broken, graphs="off", seconds=lambda work: 1.0)
    assert fastest.measure(*inputs(2)) == "plain"


@pytest.mark.parametrize("architecture", ["sd15", "sdxl", "sd3", "flux", "pixart-alpha", "pixart-sigma"])
def test_every_denoiser_answers_the_same_by_a_recorded_forward(toys, architecture):
    adapter = load_adapter(toys.family(architecture).models["random"], "cpu", torch.float64)
    rows = [adapter.prepare(make_request(seed=n), Start(4), 3.0) for n in range(3)]
    plain = adapter.denoise(Batch.of(rows))
    adapter.fastest = FastestForward(adapter.attended, Replayed(), graphs="on")
    with torch.inference_mode():
        adapter.fastest.measure(*Batch.of(rows[:1] * 4).halves())
    assert (adapter.denoise(Batch.of(rows)) - plain).abs().max() < 1e-9
    assert adapter.fastest.recorder.replays > 0


@pytest.mark.parametrize(
    ("architecture", "blocks"), [("sd15", 4), ("sdxl", 4), ("sd3", 1), ("flux", 2), ("pixart-sigma", 1), ("dit", 1)]
)
def test_the_repeated_blocks_of_every_denoiser_are_compiled_in_a_copy_that_answers_the_same(
    toys, architecture, blocks, monkeypatch
):
    adapter = toys.adapter(architecture)
    compiled, compile_ = [], torch.nn.Module.compile
    monkeypatch.setattr(
        torch.nn.Module, "compile", lambda block, **o: compiled.append(block) or compile_(block, backend="eager", **o)
    )
    twin = adapter.compiled()
    assert len(compiled) == len(repeated_blocks(adapter.net)) == blocks
    batch = Batch.of([adapter.prepare(make_request(seed=n), Start(4), 3.0) for n in range(2)])
    assert (twin.denoise(batch) - adapter.denoise(batch)).abs().max() < 1e-9
    assert not any(block in set(adapter.net.modules()) for block in compiled)
    assert {id(weight) for weight in twin.net.parameters()} == {id(weight) for weight in adapter.net.parameters()}
