"""Weighted words are read as compel reads them, by the real encoders at toy width; the rest of the pipeline as ever."""

from __future__ import annotations

import pytest
import torch

from core.emphasis import Emphasis, Span
from tests.workers.pipelines.test_agrees_with_diffusers import run
from tests.workers.toys import make_request

PROMPT, SPANS = "a red fox in snow", (Span(2, 5, 1.4), Span(13, 17, 0.6))
COMPEL = "a (red)1.4 fox in (snow)0.6"
ARCHITECTURES = ("sd15", "sdxl")


def weighted(**changes):
    return make_request(PROMPT, guidance=4.5, steps=3, emphasis=Emphasis(SPANS), **changes)


def by_compel(pipe, prompt: str):
    """States by the library's own call, which reads its own syntax."""
    import compel

    if hasattr(pipe, "text_encoder_2"):
        kind = compel.ReturnedEmbeddingsType.PENULTIMATE_HIDDEN_STATES_NON_NORMALIZED
        both = ([pipe.tokenizer, pipe.tokenizer_2], [pipe.text_encoder, pipe.text_encoder_2])
        return compel.Compel(*both, returned_embeddings_type=kind)(prompt)[0]
    return compel.Compel(pipe.tokenizer, pipe.text_encoder)(prompt)[0]


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_words_are_weighted_as_compel_weighs_them(toys, architecture):
    adapter = toys.adapter(architecture)
    mine, _ = adapter.encode(weighted(), 4.5)
    plain, _ = adapter.encode(make_request(PROMPT), 4.5)
    expected = by_compel(adapter.pipe, COMPEL)
    assert (mine["states"] - expected).abs().max() < 1e-6
    assert (mine["states"] - plain["states"]).abs().max() > 1e-2
    assert all(torch.equal(mine[name], plain[name]) for name in plain if name != "states")


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_they_draw_what_diffusers_draws_of_those_states(toys, architecture):
    adapter, request = toys.adapter(architecture), weighted()
    mine, row = run(adapter, request)
    pipe, negative = adapter.pipe, row.negative
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = type(adapter.scheduler).from_config(adapter.scheduler.config)
    names = {"states": "prompt_embeds", "pooled": "pooled_prompt_embeds"}
    given = {name: row.conditioning[key][None] for key, name in names.items() if key in row.conditioning}
    given |= {f"negative_{name}": negative[key][None] for key, name in names.items() if key in negative}
    expected = pipe(
        **given,
        num_inference_steps=request.steps,
        guidance_scale=request.guidance,
        width=request.width,
        height=request.height,
        generator=torch.Generator().manual_seed(request.seed),
        output_type="latent",
    ).images[0]
    assert (mine[-1] - expected).abs().max() < 2e-5 * expected.abs().max()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_words_that_weigh_one_are_read_as_ever(toys, architecture):
    adapter = toys.adapter(architecture)
    plain = adapter.encode_prompt(PROMPT)["states"]
    same = adapter.encode_weighted(PROMPT, (Span(2, 5, 1.0),))["states"]
    assert (same - plain).abs().max() < 1e-9


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_a_negative_prompt_has_weights_of_its_own_and_is_not_taken_for_the_plain_one(toys, architecture):
    adapter = toys.adapter(architecture)
    _, plain = adapter.encode(make_request(PROMPT), 4.5)
    _, other = adapter.encode(make_request(PROMPT, emphasis=Emphasis((), (Span(0, 4, 2.0),))), 4.5)
    _, again = adapter.encode(make_request(PROMPT), 4.5)
    assert (plain["states"] - other["states"]).abs().max() > 1e-2
    assert torch.equal(plain["states"], again["states"])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("weight", [0.0, 0.3, 5.0])
def test_weights_of_words_that_are_not_read_any_more_change_nothing(toys, architecture, weight):
    adapter, long = toys.adapter(architecture), "very " * 400 + "red"
    plain = adapter.encode_prompt(long)["states"]
    same = adapter.encode_weighted(long, (Span(2000, 2003, weight),))["states"]
    assert (same - plain).abs().max() < 1e-9
    cut = adapter.encode_weighted(long, (Span(5, 2003, weight),))["states"]  # from within the window to behind it
    assert torch.isfinite(cut).all()
