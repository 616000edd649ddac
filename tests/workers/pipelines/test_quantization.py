"""Weights of eight bits: smaller by what was foretold, nearly the picture of the full ones, refused by name."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from core.errors import BadFamily
from core.families import Model
from tests.workers.toys import make_request
from workers.engine.engine import Engine
from workers.pipelines import expected_mb, load_adapter
from workers.pipelines.random_weights import random_family


@pytest.fixture(scope="module")
def families(tmp_path_factory):
    folder = tmp_path_factory.mktemp("quantized")
    return {name: random_family(name, folder / name, toy=True) for name in ("sdxl", "flux")}


def quantized(family, quantization):
    (model,) = family.models.values()
    changed = model.model_copy(update={"quantization": quantization})
    return family.model_copy(update={"models": {model.id: changed}})


def picture(family):
    engine = Engine(family, dtype=torch.float32, threaded=False)
    future = engine.submit(make_request(steps=6))
    while engine.step():
        pass
    return np.asarray(future.result(0).image).astype(float)


@pytest.mark.parametrize("quantization", ["int8", "w8a8"])
@pytest.mark.parametrize("architecture", ["sdxl", "flux"])
def test_a_quantised_model_draws_nearly_the_same_picture(families, architecture, quantization):
    pytest.importorskip("torchao")
    family = families[architecture]
    full, small = picture(family), picture(quantized(family, quantization))
    error = ((full - small) ** 2).mean()
    assert 0 < error < 255**2 / 10**3  # 30 dB


@pytest.mark.parametrize("architecture", ["sdxl", "flux"])
def test_it_takes_less_memory_and_says_so_before_it_is_loaded(families, architecture):
    pytest.importorskip("torchao")
    full = families[architecture].models["random"]
    small = quantized(families[architecture], "int8").models["random"]
    taken = load_adapter(small, "cpu", torch.bfloat16, autocast=False).memory_mb
    assert expected_mb(small, torch.bfloat16) == pytest.approx(taken, rel=0.05)
    assert expected_mb(small, torch.bfloat16) < expected_mb(full, torch.bfloat16)


def test_random_weights_of_full_width_are_counted_alike():
    full = Model(id="m", pipeline="flux", path="random:flux")
    small = full.model_copy(update={"quantization": "int8"})
    assert 0.6 < expected_mb(small, torch.bfloat16) / expected_mb(full, torch.bfloat16) < 0.9


def test_float8_is_refused_on_a_device_that_has_none(families):
    with pytest.raises(BadFamily, match="use int8 or w8a8"):
        load_adapter(quantized(families["flux"], "fp8").models["random"], "cpu", torch.bfloat16, autocast=False)


def test_without_torchao_the_message_says_what_to_install(families, monkeypatch):
    monkeypatch.setitem(sys.modules, "torchao.quantization", None)
    with pytest.raises(BadFamily, match=r"argus\[quantized\]"):
        load_adapter(quantized(families["flux"], "int8").models["random"], "cpu", torch.float32)
