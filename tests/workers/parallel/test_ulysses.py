"""Ulysses divides tokens, and draws the serial image to rounding."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
import torch

from core.errors import OutOfRange
from tests.workers.parallel.companies import batch_of, by_processes, draw_runs
from workers.parallel.mode import Serial, draw
from workers.parallel.ranks import Alone, together
from workers.parallel.ulysses import Ulysses


def test_two_processes_draw_the_serial_image_of_flux_to_rounding(toy, tmp_path: Path):
    adapter = toy("flux")
    serial, alone = draw(Serial(adapter), batch_of(adapter)), draw(Ulysses(adapter, Alone()), batch_of(adapter))
    assert torch.equal(serial, alone)
    for (latents,) in by_processes(2, partial(draw_runs, [(adapter.model, Ulysses, {})]), tmp_path):
        assert (latents - serial).abs().max() <= 1e-9


def test_what_diffusers_has_no_plan_for_is_refused(toy):
    for architecture in ("sd15", "sd3", "pixart-alpha"):
        with pytest.raises(OutOfRange, match="context parallelism"):
            Ulysses(toy(architecture), Alone())
    with pytest.raises(OutOfRange, match="not in threads"):
        together(2, lambda rank: Ulysses(toy("flux"), rank))
