"""The bench of kinds: every way is measured on every scene, and the page says what is reached and what is not."""

import json
import random
import re

import pytest
import torch
from click.testing import CliRunner
from PIL import Image

from bench.kinds import __main__ as command
from bench.kinds import fusion, restoration, translation
from bench.kinds.page import page
from bench.kinds.setup import SIDE, Bench
from core.fidelity import luminance
from families.embedded.recipe import names, scenes
from tests.families.conftest import toy_names  # noqa: F401

WAYS = ["degraded", "autoencoder alone", "latent DPS", "latent DPS, then nearest", "P2L without tuning", "P2L"]
TRANSLATED = [
    "sketch",
    "image-to-image, strength 1",
    "DDBM, 122 denoisings",
    "DBIM, 12 denoisings",
    "DBIM, 3 denoisings",
]


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


def test_the_bridge_is_measured_by_both_samplers_and_its_first_scenes_are_shown(bench, monkeypatch, tmp_path):
    monkeypatch.setattr(translation, "SLOW", 2)
    monkeypatch.setattr(translation, "FAST", (3,))
    monkeypatch.setattr(translation, "SHOWN", ("source", "DBIM, 3 denoisings", "truth", "image-to-image, strength 1"))
    found = translation.translation(bench, 2, tmp_path)
    for kind, ways in found.items():
        assert [name.split(",")[0] for name in ways] == ["source", *["image-to-image"] * 3, "DDBM", "DDBM", "DBIM"]
        assert {len(way[figure]) for way in ways.values() for figure in ("psnr", "ssim", "clip")} == {2}
        assert Image.open(tmp_path / f"translation-{kind}.jpg").size == (8 * SIDE, SIDE)
    psnr = {name: sum(figures["psnr"]) for name, figures in found["sketch"].items()}
    assert psnr["DBIM, 3 denoisings"] > psnr["source"]


def test_a_part_measured_alone_leaves_what_was_kept_of_the_others(bench, monkeypatch, tmp_path):
    before = json.loads(command.KEPT.read_text())
    monkeypatch.setattr(command, "KEPT", tmp_path / "kinds.json")
    monkeypatch.setattr(command, "PAGE", tmp_path / "kinds.md")
    command.KEPT.write_text(json.dumps(before))
    asked = CliRunner().invoke(command.main, ["--scenes", "1", "--part", "fusion", "--write"])
    assert asked.exit_code == 0, asked.output
    after = json.loads(command.KEPT.read_text())
    assert after["restoration"] == before["restoration"]
    assert after["translation"] == before["translation"]
    assert len(after["fusion"]["ways"]["DDFM"]["scd"]) == after["fusion"]["run"]["scenes"] == 1
    assert "1 synthetic pairs" in command.PAGE.read_text()


def test_in_a_pair_things_are_bright_in_the_infrared_and_faint_at_night(bench):
    some = [scenes.compose(random.Random(1), scenes.Plan("single", (3,), 2, 0, "normal", 0, True))]
    infrared, visible, night = fusion.pair_of(bench, some, seed=1)
    assert torch.equal(visible, luminance(night))
    middle, corner = infrared[..., 64, 64].item(), infrared[..., 2, 2].item()
    assert middle > 0 > corner
    assert night.max() < 2 * fusion.NIGHT - 1 + 1e-6


def test_without_the_pictures_of_things_the_bench_says_how_to_get_them(tmp_path, monkeypatch):
    monkeypatch.setattr(names, "DATA", tmp_path)
    asked = CliRunner().invoke(command.main, ["--scenes", "1"])
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
    run = {"command": "c", "measured": "today", "commit": "abc", "load_before": 0.1, "scenes": 20}
    run |= {"side": 128, "noise": 0.01, "threads": 1}
    machine = {"name": "a machine", "cores": 2, "versions": {"torch": "2"}}
    drawn = {name: {k: [n + 1.0 for n in range(4)] for k in ("psnr", "ssim", "clip")} for name in TRANSLATED}
    for values in drawn.values():
        values["seconds"] = 0.1
    drawn["DBIM, 12 denoisings"]["clip"] = [0.9 * (n + 1.0) for n in range(4)]
    found = {"restoration": {"blur": ways}, "fusion": fused, "translation": {"sketch": drawn}}
    text = page({part: {"run": run, "hardware": machine, "ways": ways} for part, ways in found.items()})
    for said in (
        r"at least 2 dB over degraded: 2\.50 \(.*\) dB, reached\.",
        r"PSNR over latent DPS: 1\.50 \(.*\) dB, reached;",
        r"Distance less than of latent DPS: -1\.5000 \(.*\), \*\*not reached\*\*;",
        r"SCD over the best of the others \(\*a\*\): -6\.500 \(.*\), \*\*not reached\*\*\.",
        r"PSNR, dB, \*DBIM, 12 denoisings\* keeps of \*DDBM, 122 denoisings\* \(goal: 99 %\): 100\.0 .*, reached\.",
        r"PSNR, dB, \*DBIM, 3 denoisings\* keeps of \*DDBM, 122 denoisings\* \(no goal: 99 %\): 100\.0 .*, reached\.",
        r"CLIPScore, \*DBIM, 12 denoisings\* keeps .*: 90\.0 .*, \*\*not reached\*\*\.",
        r"\| P2L \| 28\.50 \(28\.4\d to 28\.5\d\) \|",
    ):
        assert re.search(said, text), said
