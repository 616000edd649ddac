"""Calibration finds the subspace that small latents were made from, and the command writes it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from core.errors import OutOfRange
from core.families import load_family
from core.subspaces import FoundFor, read_subspace
from workers.measure.cachequant import Subject
from workers.measure.subspace import calibrate, found, pairs
from workers.pipelines.half_size import Subspace

OF = FoundFor(family="f", family_version="1", autoencoder=None, width=64, height=64)


def test_of_cells_made_from_a_subspace_it_finds_that_its_scale_and_both_means():
    draws = np.random.default_rng(3)
    basis, _ = np.linalg.qr(draws.normal(size=(12, 3)))
    whole = draws.normal(size=(20_000, 12)) + 2.0
    small = 0.7 * whole @ basis + 1.0
    made = found(whole, small, OF, "now")
    assert np.abs(np.array(made.basis) - basis).max() < 0.02
    assert made.scale == pytest.approx(0.7, abs=0.01)
    assert np.array(made.mean) == pytest.approx(whole.mean(0), abs=1e-4)
    assert np.array(made.small_mean) == pytest.approx(small.mean(0), abs=1e-4)


@pytest.mark.parametrize("architecture", ["unet", "sd15", "flux"])
def test_a_picture_has_a_pair_for_each_cell_of_its_small_latent_in_the_order_of_rows(toys: Any, architecture: str):
    adapter = toys.adapter(architecture)
    family = toys.member("unet") if architecture == "unet" else toys.family(architecture)
    (model,) = family.models.values()
    usual = family.defaults.model_copy(update={"width": 64, "height": 64})
    subject = Subject(family.model_copy(update={"defaults": usual}), model, ["a red fox"])
    row = subject.row(adapter, 0)
    picture = adapter.decode(row.latent, row.size)
    whole, small = pairs(adapter, picture)
    channels = small.shape[1]
    assert whole.shape == (len(small), 4 * channels)
    made = Subspace.of(found(np.repeat(whole, 40, 0), np.repeat(small, 40, 0), OF, "now"))
    latent = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] / 127.5 - 1
    with torch.inference_mode():
        inside = made.inside(adapter.latent_of(latent).double())
    expected = torch.from_numpy(whole) @ made.kernel.double().flatten(1).T
    assert (inside.flatten(1).T - expected).abs().max() < 1e-5


def test_too_few_prompts_are_refused_with_the_field(toys: Any):
    family = toys.member("unet")
    (model,) = family.models.values()
    usual = family.defaults.model_copy(update={"width": 64, "height": 64, "steps": 1})
    with pytest.raises(OutOfRange, match="1 prompts have 4 cells") as refused:
        calibrate(Subject(family.model_copy(update={"defaults": usual}), model, ["a fox"]), lambda *_: None)
    assert refused.value.field == "count"


def test_the_command_refuses_what_it_does_not_know_and_names_the_field(tmp_path: Any):
    from cli.calibrate import calibrate as command

    refused = CliRunner().invoke(command, ["subspace", "--family", "embedded", "--model", "huge"])
    assert refused.exit_code == 2
    assert "has no model 'huge'" in refused.output
    assert CliRunner().invoke(command, ["subspace", "--family", "embedded", "--count", "0"]).exit_code == 2


def test_the_file_that_ships_says_what_it_is_of():
    family = load_family("embedded")
    shipped = read_subspace(family.level("sub-5").calibration_location)
    assert shipped.of.autoencoder == family.models["large"].autoencoder_sha256
