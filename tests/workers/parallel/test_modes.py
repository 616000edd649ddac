"""What holds of every mode that draws an image's steps with several ranks: float64, toy width, the real classes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from core.errors import OutOfRange
from tests.workers.parallel.companies import batch_of, by_processes, draw_runs, drawn
from tests.workers.toys import make_request
from workers.parallel.asyncdiff import AsyncDiff, blocks_of
from workers.parallel.distrifusion import DistriFusion
from workers.parallel.mode import Mode, Serial, draw
from workers.parallel.pipefusion import PipeFusion
from workers.parallel.ranks import Alone, Rank, together
from workers.pipelines.base import Adapter
from workers.pipelines.rows import Batch, Start

STEPS = 6
Kind = Callable[..., Mode]
DRAWN_BY = {
    DistriFusion: ("sd15", "sdxl", "unet"),
    AsyncDiff: ("sd15", "sdxl", "unet", "pixart-alpha", "sd3", "flux"),
    PipeFusion: ("pixart-alpha", "dit"),
}
EACH = [(mode, architecture) for mode, architectures in DRAWN_BY.items() for architecture in architectures]
SHARED = [one for one in EACH if one[1] != "dit"]  # whose toy has one block


def warmed(kind: Any, warm_up: int, **options: Any) -> Callable[[Adapter, Rank], Mode]:
    return lambda adapter, rank: kind(adapter, rank, warm_up, **options)


@pytest.mark.parametrize(("kind", "architecture"), EACH)
def test_one_rank_draws_what_serial_steps_draw_bit_for_bit(toy, kind: Any, architecture: str):
    adapter = toy(architecture)
    serial = draw(Serial(adapter), batch_of(adapter))
    assert torch.equal(draw(kind(adapter, Alone(), 2), batch_of(adapter)), serial)


@pytest.mark.parametrize(("kind", "architecture"), SHARED)
def test_warm_up_in_all_steps_is_the_serial_result_and_less_of_it_is_not(toy, kind: Any, architecture: str):
    adapter = toy(architecture)
    serial = draw(Serial(adapter), batch_of(adapter))
    assert (drawn(adapter, 2, warmed(kind, STEPS))[0] - serial).abs().max() <= 1e-9
    stale = drawn(adapter, 2, warmed(kind, 1))[0]
    assert (stale - serial).abs().max() > 1e-6
    assert torch.isfinite(stale).all()


@pytest.mark.parametrize(
    ("kind", "architecture"), [(DistriFusion, "sd15"), (AsyncDiff, "sd15"), (PipeFusion, "pixart-alpha")]
)
def test_the_error_falls_as_the_warm_up_grows(toy, kind: Any, architecture: str):
    adapter, errors = toy(architecture), []
    for warm_up in range(1, STEPS + 1):
        apart = [
            drawn(adapter, 2, warmed(kind, warm_up), prompt=prompt)[0]
            - draw(Serial(adapter), batch_of(adapter, prompt=prompt))
            for prompt in ("a red fox", "two owls at night", "x")
        ]
        errors.append(float(torch.stack(apart).pow(2).mean()))
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-18 < errors[-2]


@pytest.mark.parametrize("world", [2, 4])
def test_processes_draw_what_virtual_ranks_draw_bit_for_bit(toy, world: int, tmp_path: Path):
    unet, transformer = toy("sd15"), toy("pixart-alpha")
    runs: list[tuple[Adapter, Any, dict[str, Any]]] = [
        (unet, DistriFusion, {"warm_up": 2}),
        (unet, DistriFusion, {"warm_up": 2, "split_guidance": True}),
        (unet, AsyncDiff, {"warm_up": 2}),
        (unet, AsyncDiff, {"warm_up": 2, "stride": 2}),
        (transformer, PipeFusion, {"warm_up": 2}),
    ]
    named = [(adapter.model, kind, options) for adapter, kind, options in runs]
    first = by_processes(world, partial(draw_runs, named), tmp_path)[0]
    for (adapter, kind, options), by_process in zip(runs, first, strict=True):
        assert torch.equal(drawn(adapter, world, partial(kind, **options))[0], by_process), kind


@pytest.mark.parametrize("lost_at", [1, 3, 8, 13, 19])
def test_pipefusion_without_its_member_is_back_at_a_step_that_all_patches_have_had(toy, lost_at: int):
    adapter = toy("pixart-alpha")
    whole = {0: batch_of(adapter).latents}

    class Remembering(PipeFusion):
        """The latents of every step that all patches have had."""

        def _step(self, *given: Any) -> None:
            super()._step(*given)
            latents, step = self._whole or (torch.empty(0), 0)
            whole[step] = latents.clone()

    def run(kind: type[PipeFusion], wrapped: Callable[[Rank], Rank]) -> Batch:
        batches = [batch_of(adapter) for _ in range(2)]
        with suppress(ZeroDivisionError):
            together(2, lambda rank: draw(kind(adapter, wrapped(rank), 2), batches[rank.rank]))
        return batches[0]

    run(Remembering, lambda rank: rank)
    assert sorted(whole) == list(range(STEPS + 1))
    left = run(PipeFusion, lambda rank: Stopping(rank, lost_at) if rank.rank else rank)
    assert left.rows[0].sampler.index < STEPS
    assert torch.equal(left.latents, whole[left.rows[0].sampler.index])


class Stopping(Rank):
    """A rank that fails at the message of this number."""

    def __init__(self, rank: Rank, number: int) -> None:
        super().__init__(rank.rank, rank.world)
        self._rank, self._left = rank, number

    def part(self, size: int) -> Rank:
        return self._rank.part(size)

    def _count(self) -> None:
        self._left -= 1
        if self._left <= 0:
            raise ZeroDivisionError

    def _gather(self, tensor: torch.Tensor) -> Any:
        self._count()
        return self._rank._gather(tensor)

    def _send(self, tensor: torch.Tensor, to: int) -> None:
        self._count()
        self._rank._send(tensor, to)

    def _receive(self, like: torch.Tensor, source: int) -> Any:
        self._count()
        return self._rank._receive(like, source)


def test_every_rank_of_distrifusion_and_asyncdiff_has_the_image(toy):
    adapter = toy("sd15")
    for make in (warmed(DistriFusion, 1), warmed(AsyncDiff, 1), warmed(AsyncDiff, 1, stride=2)):
        one, *others = drawn(adapter, 4, make)
        assert max(float((one - other).abs().max()) for other in others) <= 1e-9


def test_guidance_is_split_between_two_ranks_without_any_error(toy):
    adapter = toy("sdxl")
    serial = draw(Serial(adapter), batch_of(adapter))
    split = drawn(adapter, 2, warmed(DistriFusion, 1, split_guidance=True))[0]
    assert (split - serial).abs().max() <= 1e-9
    with pytest.raises(OutOfRange, match="no guidance to split"):
        drawn(adapter, 2, warmed(DistriFusion, 1, split_guidance=True), guidance=1.0)


def test_several_rows_at_one_step_are_drawn_together_as_alone(toy):
    adapter = toy("sd15")
    requests = [make_request(steps=4, seed=seed) for seed in (1, 2)]
    batches = [Batch.of([adapter.prepare(one, Start(4), 3.5) for one in requests]) for _ in range(2)]
    both = together(2, lambda rank: draw(DistriFusion(adapter, rank, 1), batches[rank.rank]))[0]
    alone = drawn(adapter, 2, warmed(DistriFusion, 1), steps=4, seed=2)[0]
    assert (both[1:] - alone).abs().max() <= 1e-9


def test_blocks_are_found_by_index_in_every_denoiser(toy):
    assert [len(blocks_of(toy(one).denoiser_net)) for one in ("sd15", "sd3", "flux", "pixart-alpha")] == [5, 4, 4, 4]


def test_what_cannot_be_cut_is_refused_with_the_reason(toy):
    unet, transformer = toy("sd15"), toy("pixart-alpha")
    with pytest.raises(OutOfRange, match="8 rows cannot be cut into 3 patches"):
        drawn(unet, 3, warmed(DistriFusion, 1))
    with pytest.raises(OutOfRange, match="UNets"):
        DistriFusion(transformer, Alone())
    with pytest.raises(OutOfRange, match="transformers"):
        PipeFusion(unet, Alone())
    with pytest.raises(OutOfRange, match=r"5 blocks cannot be cut at \[9\] into 2 components"):
        drawn(unet, 2, warmed(AsyncDiff, 1, cuts=[9]))
    with pytest.raises(OutOfRange, match="warm_up is 0, allowed: at least 1"):
        AsyncDiff(unet, Alone(), warm_up=0)
