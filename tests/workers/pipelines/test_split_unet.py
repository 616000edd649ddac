"""A UNet in two parts answers what it answers whole, bit for bit."""

from __future__ import annotations

import copy

import pytest
import torch

from core.errors import BadFamily
from core.levels import Level
from tests.workers.pipelines.test_fused_equals_alone import Rider
from tests.workers.toys import make_request
from workers.engine.row_limit import RowLimit
from workers.engine.running_batch import RunningBatch
from workers.pipelines.phases import SplitDenoiser
from workers.pipelines.reuse import Reuse
from workers.pipelines.rows import Batch, Start

LEVEL = Level(id="exact", strategy="exact", model="random")
UNETS = ("sd15", "sdxl", "unet")


def rows_of(adapter, guidance: tuple[float, ...] = (5.0, 1.0)) -> Batch:
    requests = [make_request(prompt, seed=n) for n, prompt in enumerate(("a red fox", "two owls at night"))]
    return Batch.of([adapter.prepare(r, Start(4), g) for r, g in zip(requests, guidance, strict=False)])


@pytest.mark.parametrize("architecture", UNETS)
@torch.inference_mode()
def test_the_shallow_part_over_the_features_of_the_same_step_answers_bit_for_bit_what_the_whole_does(
    toys, architecture: str
):
    adapter = toys.adapter(architecture)
    split, batch = SplitDenoiser(adapter, LEVEL), rows_of(adapter, (5.0, 5.0))
    for row in batch.rows:
        row.reuse = Reuse()
    whole = split.compute(batch)
    deep = [row.reuse.deep[half] for half in (0, 1) for row in batch.rows]
    assert torch.equal(split.over(batch, deep), whole)
    assert torch.equal(adapter.predict(*batch.halves()), whole)
    assert not torch.equal(split.over(batch, [features + 1 for features in deep]), whole)


@torch.inference_mode()
def test_the_shallow_part_of_a_unet_whose_last_block_attends_is_exact_too(tmp_path):
    from workers.pipelines import load_adapter
    from workers.pipelines.random_weights import random_family

    blocks = {"up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D"), "layers_per_block": 2}
    family = random_family("sd15", tmp_path, toy=True, **blocks)
    adapter = load_adapter(family.models["random"], "cpu", torch.float64)
    split, batch = SplitDenoiser(adapter, LEVEL), rows_of(adapter, (1.0,))
    batch.rows[0].reuse = Reuse()
    whole = split.compute(batch)
    assert torch.equal(split.over(batch, list(batch.rows[0].reuse.deep)), whole)


@pytest.mark.parametrize("architecture", UNETS)
@torch.inference_mode()
def test_forwards_that_were_recorded_before_the_split_which_keep_no_features_are_not_taken(toys, architecture: str):
    def recorded(*_):
        raise AssertionError("replayed")

    adapter = copy.copy(toys.adapter(architecture))
    adapter.fastest = recorded
    split, batch = SplitDenoiser(adapter, LEVEL), rows_of(adapter, (1.0,))
    batch.rows[0].reuse = Reuse()
    whole = split.compute(batch)
    assert torch.equal(split.over(batch, list(batch.rows[0].reuse.deep)), whole)


@torch.inference_mode()
def test_each_row_keeps_the_features_of_its_own_halves(toys):
    adapter = toys.adapter("sd15")
    split, running = SplitDenoiser(adapter, LEVEL), RunningBatch(adapter, RowLimit(8))
    for name, row in enumerate(rows_of(adapter, (1.0,)).rows + rows_of(adapter, (5.0, 5.0)).rows):
        row.reuse = Reuse()
        running.join(Rider(row, name))
    batch = running.rows(0, 3)
    split.compute(batch)
    assert [len(row.reuse.deep) for row in batch.rows] == [1, 2, 2]
    for i, row in enumerate(batch.rows):
        alone = batch.select([i])
        kept = row.reuse.deep
        split.compute(alone)
        assert (row.reuse.deep - kept).abs().max() < 1e-9


@pytest.mark.parametrize("architecture", ["sd3", "flux", "dit"])
def test_a_denoiser_that_is_no_unet_is_refused_with_the_level(toys, architecture: str):
    with pytest.raises(BadFamily, match="is no UNet"):
        SplitDenoiser(toys.adapter(architecture), LEVEL)
