"""The bench of kinds: every way is measured on every scene, and the page says what is reached and what is not."""

import random
import re

import pytest
import torch
from click.testing import CliRunner

from bench.kinds import fusion, restoration, translation
from bench.kinds.__main__ import main
from bench.kinds.page import page
from bench.kinds.setup import Bench
from core.fidelity import luminance
from families.embedded.recipe import names, scenes
from tests.families.conftest import toy_names  # noqa: F401

WAYS = ["degraded", "autoencoder alone", "latent DPS", "latent DPS, then nearest", "P2L without tuning", "P2L"]
TRANSLATED = ["sketch", "image-to-image, strength 1", "DDBM, 122 denoisings", "DBIM, 12 denoisings"]


@pytest.fixture(scope="module")
def bench(request):
    request.getfixturevalue("toy_names")
    return Bench.load()


def test_every_way_has_its_figures_of_every_scene(bench, monkeypatch):
    monkeypatch.setattr(restoration, "STEPS", 2)
    monkeypatch.setattr(restoration, "RIVAL_STEPS", 2)
    found = restoration.restoration(bench, 1)
    assert list(found) == list(restoration.operators())
    for ways in found.values():
        assert list(ways) == WAYS
        assert {len(ways[way][figure]) for way in WAYS for figure in ("psnr", "ssim", "distance", "misfit")} == {1}
        assert ways["P2L"]["gradients"] == 2 * 3
        assert ways["P2L"]["misfit"][0] < 2 * restoration.NOISE < ways["latent DPS"]["misfit"][0]
    fused = fusion.fusion(bench, 1)
    assert {len(fused[way][figure]) for way in fused for figure in ("entropy", "ssim", "scd", "vif")} == {1}


def test_a_bridge_that_learned_for_a_second_is_nearer_to_the_scene_than_its_sketch(bench, monkeypatch):
    monkeypatch.setattr(translation, "SLOW", 5)
    monkeypatch.setattr(translation, "PAIRS", 48)
    found = translation.translation(bench, 2.0, 2)
    assert [name.split(",")[0] for name in found] == ["sketch", *["image-to-image"] * 3, "DDBM", "DDBM", "DBIM"]
    psnr = {name: sum(figures["psnr"]) for name, figures in found.items()}
    assert psnr["DBIM, 12 denoisings"] > psnr["sketch"]


def test_in_a_pair_things_are_bright_in_the_infrared_and_faint_at_night(bench):
    some = [scenes.compose(random.Random(1), scenes.Plan("single", (3,), 2, 0, "normal", 0, True))]
    infrared, visible, night = fusion.pair_of(bench, some, seed=1)
    assert torch.equal(visible, luminance(night))
    middle, corner = infrared[..., 64, 64].item(), infrared[..., 2, 2].item()
    assert middle > 0 > corner
    assert night.max() < 2 * fusion.NIGHT - 1 + 1e-6


def test_a_sketch_has_lines_where_luminance_changes():
    picture = torch.full((1, 3, 8, 8), -0.5)
    picture[..., 4:] = 0.5
    drawn = translation.sketch(picture)
    assert (drawn[..., 3:5] < 0).all()
    assert (drawn[..., :3] == 1).all()


def test_without_the_pictures_of_things_the_bench_says_how_to_get_them(tmp_path, monkeypatch):
    monkeypatch.setattr(names, "DATA", tmp_path)
    asked = CliRunner().invoke(main, ["--scenes", "1"])
    assert asked.exit_code == 1
    assert "families.embedded.recipe.fetch" in asked.output


def test_the_page_says_which_goals_are_reached_and_which_are_not():
    def figures(psnr, spread=0.1):
        values = [psnr + spread * (-1) ** n for n in range(20)]
        return {"psnr": values, "ssim": values, "distance": values, "misfit": values, "gradients": 3, "seconds": 0.5}

    ways = {name: figures(27.0) for name in WAYS} | {"degraded": figures(26.0), "P2L": figures(28.5, 0.2)}
    fused = {
        name: {k: [1.0 + n for n in range(4)] for k in ("entropy", "ssim", "scd", "vif")} for name in ("a", "DDFM")
    }
    for values in fused.values():
        values["seconds"] = 0.1
    fused["a"]["scd"] = [9.0] * 4
    run = {"command": "c", "measured": "today", "commit": "abc", "load_before": 0.1, "scenes": 20, "pairs": 4}
    run |= {"side": 128, "noise": 0.01, "threads": 1}
    machine = {"name": "a machine", "cores": 2, "versions": {"torch": "2"}}
    run |= {"train_s": 10.0, "parameters": 1000, "trained_pairs": 50}
    drawn = {name: {k: [n + 1.0 for n in range(4)] for k in ("psnr", "ssim", "clip")} for name in TRANSLATED}
    for values in drawn.values():
        values["seconds"] = 0.1
    drawn["DBIM, 12 denoisings"]["clip"] = [0.9 * (n + 1.0) for n in range(4)]
    found = {"restoration": {"blur": ways}, "fusion": fused, "translation": drawn}
    text = page({"run": run, "hardware": machine, **found})
    for said in (
        r"at least 2 dB over degraded: 2\.50 \(.*\) dB, reached\.",
        r"PSNR over latent DPS: 1\.50 \(.*\) dB, reached;",
        r"Distance less than of latent DPS: -1\.5000 \(.*\), \*\*not reached\*\*;",
        r"SCD over the best of the others \(\*a\*\): -6\.500 \(.*\), \*\*not reached\*\*\.",
        r"PSNR, dB, \*DBIM, 12 denoisings\* keeps of \*DDBM, 122 denoisings\* \(goal: 99 %\): 100\.0 .*, reached\.",
        r"CLIPScore, \*DBIM, 12 denoisings\* keeps .*: 90\.0 .*, \*\*not reached\*\*\.",
        r"\| P2L \| 28\.50 \(28\.4\d to 28\.5\d\) \|",
    ):
        assert re.search(said, text), said
