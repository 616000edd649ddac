"""What the modelled speed-up rests on: what is counted came to real ranks, too, and the page says what it is."""

from __future__ import annotations

import pytest
import torch

from bench.parallel_speed import attention_sizes, batch_of, distrifusion_traffic, figures, ulysses_traffic
from bench.parallel_speed_page import page
from core.families import Family
from workers.measure.speed_up import NVLINK, RankedMode, Traffic
from workers.parallel.distrifusion import DistriFusion
from workers.parallel.ranks import Rank, together
from workers.pipelines import load_adapter
from workers.pipelines.base import Adapter
from workers.pipelines.random_weights import random_family


def toy(architecture: str, folder, guidance: float) -> tuple[Family, Adapter]:
    family = random_family(architecture, folder, toy=True)
    usual = family.defaults.model_copy(update={"guidance": guidance})
    return family.model_copy(update={"defaults": usual}), load_adapter(family.models["random"], "cpu", torch.float32)


@pytest.mark.parametrize(("ranks", "guidance"), [(2, 1.0), (2, 5.0), (4, 5.0)])
def test_what_is_counted_is_what_comes_to_a_rank(tmp_path, ranks: int, guidance: float):
    family, adapter = toy("sd15", tmp_path, guidance)
    batches = [batch_of(adapter, family) for _ in range(ranks)]
    awaited, hidden = distrifusion_traffic(adapter, batch_of(adapter, family), ranks)

    def work(rank: Rank) -> int:
        mode, batch = DistriFusion(adapter, rank, 1, split_guidance=guidance > 1), batches[rank.rank]
        company = {rank, mode.company}
        mode.turn(batch)
        before = sum(one.received for one in company)
        mode.turn(batch)
        return sum(one.received for one in company) - before

    assert together(ranks, work) == [awaited.bytes + hidden.bytes] * ranks
    assert (hidden.messages > 0) == (ranks > 2 or guidance == 1.0)  # two halves of guidance say nothing between


def test_ulysses_gives_every_rank_its_heads_of_all_tokens():
    assert ulysses_traffic([1200, 1200], 2) == Traffic(8, 2400)  # half of what it has, and it has half, four times
    assert ulysses_traffic([1600], 4) == Traffic(4, 1200)


def test_attention_of_flux_is_given_the_tokens_of_image_and_text(tmp_path):
    family, adapter = toy("flux", tmp_path, 3.5)
    net, batch = adapter.denoiser_net, batch_of(adapter, family)
    sizes = attention_sizes(adapter, batch)
    assert len(sizes) == len(net.transformer_blocks) + len(net.single_transformer_blocks)
    width = net.config.num_attention_heads * net.config.attention_head_dim
    tokens = batch.latents.shape[1] + batch.conditioning["states"].shape[1]
    assert set(sizes) == {4 * tokens * width}


def test_the_page_calls_what_is_modelled_modelled():
    ways = [RankedMode("random", "ulysses", 1), RankedMode("random", "ulysses", 2, Traffic(228, 1.6e9))]
    curve = figures("random-flux", ways, NVLINK)
    assert curve["modelled"] is True
    assert curve["speed_up"][1] == 1.0
    run = {"command": "python -m bench.parallel_speed", "measured": "now", "torch": "2", "steps": 20, "meet_s": 0.5}
    line = {"fixed_s": 0.006, "row_s": 0.17}
    links = [{"latency_s": 2e-5}]
    text = page({"run": run, "curves": [curve], "compute": {"random-flux": line}, "links": links})
    assert "**Modelled, not measured.**" in text
    assert "| flux, ulysses | NVLink 4 (450 GB/s a direction) | 2 | 1600.0 | 228 + 0 |" in text
