"""What the PNG of an image says about it, as the tools that people have read it."""

from __future__ import annotations

import io
import uuid
from dataclasses import replace

import pytest
from PIL import Image as Pillow
from sd_parsers import ParserManager

from core.families import load_family
from core.images import encode_png
from core.infotext import read_infotext
from core.tables import Request
from tests.workers.pencil import SIDE, Bench, pencil_family
from workers.recording import png_text, quality_columns

HARD = (
    "a red apple",
    'comma, colon: "quotes" and \\ backslash',
    "ein Äpfel, 一个红苹果 👩🏽‍🚀",
    "Steps: 99, Sampler: DDIM, CFG scale: 1, Seed: 5, Size: 1x1",
    "x Negative prompt: a trick, Steps: 3",
    '{"a": 1}',
    "<lora:thing:1> (weight:1.2) [alt|er]",
    "line\nbreak",
)


def drawn(prompt: str, negative: str, level: str, scheduler: str | None = None) -> bytes:
    """The PNG of a request that the real engine ran, with the text a worker gives it."""
    bench = Bench(pencil_family(scheduler=scheduler))
    asked = bench.request(prompt, level, steps=10, seed=2**62 + 1, negative_prompt=negative)
    _, result = bench.final_latent(asked)
    request = Request(id=uuid.uuid4(), prompt=prompt, negative_prompt=negative, seed=asked.seed, steps=10, guidance=2.0)
    return encode_png(result.image, png_text(bench.family, request, result))


def test_loras_are_in_the_text_as_tags_that_draw_the_same_again() -> None:
    bench = Bench(pencil_family())
    _, result = bench.final_latent(bench.request("a fox", "exact", steps=4))
    row = Request(id=uuid.uuid4(), prompt="a fox", negative_prompt="", loras="ink:0.8,oil:-1", seed=1, guidance=2.0)
    text = png_text(bench.family, row, result)
    assert text["loras"] == "ink:0.8,oil:-1"
    assert read_infotext(text["parameters"])["Prompt"] == "a fox <lora:ink:0.8> <lora:oil:-1>"


def test_weights_are_in_the_text_as_the_web_ui_writes_them() -> None:
    bench = Bench(pencil_family())
    _, result = bench.final_latent(bench.request("a fox", "exact", steps=4))
    words = {"prompt": "a red (tame) fox", "negative_prompt": "blur", "emphasis": "2-5:1.2/0-4:0.5"}
    text = png_text(bench.family, Request(id=uuid.uuid4(), **words, seed=1, guidance=2.0), result)
    assert (text["prompt"], text["emphasis"]) == (words["prompt"], words["emphasis"])
    told = read_infotext(text["parameters"])
    assert (told["Prompt"], told["Negative prompt"]) == (r"a (red:1.2) \(tame\) fox", "(blur:0.5)")


def test_an_image_that_missed_the_cache_is_expected_to_be_as_good_as_the_reference() -> None:
    bench = Bench(pencil_family())
    row = Request(id=uuid.uuid4(), prompt="a fox", qualities={"ac-4": 0.0, "fs-4": 0.9})
    _, missed = bench.final_latent(bench.request("a fox", "ac-4", steps=10))
    known = {"predicted_quality": 1.0, "qualities": {"ac-4": 1.0, "fs-4": 0.9}}
    means = {"ac-4": 0.97, "fs-4": 0.8}
    assert quality_columns(bench.family, row, missed, means) == known
    found = quality_columns(bench.family, row, replace(missed, steps_skipped=5), means)
    assert found == {"predicted_quality": 0.97, "qualities": {"ac-4": 0.97, "fs-4": 0.9}}, "cached since it was routed"
    _, fewer = bench.final_latent(bench.request("a fox", "fs-4", steps=10))
    drawn = quality_columns(bench.family, row, fewer, means)
    assert drawn == {"predicted_quality": 0.9, "qualities": row.qualities}, "whatever it was routed to"
    assert quality_columns(bench.family, Request(id=uuid.uuid4(), prompt="a fox"), fewer, means) == {}


@pytest.mark.parametrize("negative", ["", *HARD])
@pytest.mark.parametrize("prompt", HARD)
def test_sd_parsers_reads_prompts_sampler_and_model_whatever_the_prompts_hold(prompt: str, negative: str) -> None:
    found = ParserManager().parse(io.BytesIO(drawn(prompt, negative, "exact")))
    assert found is not None
    (sampler,) = found.samplers
    told = [" ".join(text.splitlines()).replace("Negative prompt:", "Negative prompt :") for text in (prompt, negative)]
    assert [one.value for one in sampler.prompts] == [told[0]]
    assert [one.value for one in sampler.negative_prompts] == ([told[1]] if negative else [])
    assert (sampler.name, sampler.model.name) == ("Euler", "large")
    assert sampler.parameters == {"cfg_scale": "2", "seed": str(2**62 + 1), "steps": "10"}
    assert found.metadata["Size"] == f"{SIDE}x{SIDE}"


def test_steps_are_those_that_ran() -> None:
    text = Pillow.open(io.BytesIO(drawn("a fox", "", "fs-4"))).text
    assert read_infotext(text["parameters"])["Steps"] == text["steps"] == "2"


@pytest.mark.parametrize(
    ("scheduler", "name"),
    [
        ("DDIMScheduler", "DDIM"),
        ("EulerAncestralDiscreteScheduler", "Euler a"),
        ("DPMSolverMultistepScheduler", "DPM++ 2M"),
        ("HeunDiscreteScheduler", "Heun"),
        ("UniPCMultistepScheduler", "UniPC"),
        ("TCDScheduler", "TCD"),
    ],
)
def test_samplers_have_the_names_that_people_know(scheduler: str, name: str) -> None:
    text = Pillow.open(io.BytesIO(drawn("a fox", "", "exact", scheduler))).text
    assert read_infotext(text["parameters"])["Sampler"] == name


def test_the_prompt_stands_unchanged_beside_it() -> None:
    text = Pillow.open(io.BytesIO(drawn(HARD[4], HARD[1], "exact"))).text
    assert (text["prompt"], text["negative_prompt"], text["level"]) == (HARD[4], HARD[1], "exact")


def test_models_with_a_list_of_checksums_have_the_hash_that_the_web_ui_would_show() -> None:
    family = load_family("embedded")
    assert family.models["large"].short_hash == (family.models["large"].sha256 or "")[:10]
    assert len(family.models["large"].short_hash or "") == 10
    assert load_family("sdxl").models["sdxl"].sha256 is None
