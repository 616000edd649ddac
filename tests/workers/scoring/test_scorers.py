"""Scorers rank the true prompt above a wrong one, on images they did not learn from."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from core.families import load_family
from families.embedded.recipe import names, scenes
from workers.scoring import load_scorer
from workers.scoring.base import clip_score
from workers.scoring.hub_clip import HubClip


@pytest.mark.skipif(not (names.DATA / "sprites.zip").exists(), reason="training pictures are not here")
def test_the_scorer_ranks_the_true_prompt_above_a_wrong_one_on_real_held_out_scenes() -> None:
    import torch

    from families.embedded.recipe.painter import Layout, Painter

    held_out = scenes.held_out_scenes(60, seed=12)
    layout = Layout.of(scenes.layout(held_out), "cpu")
    painted = Painter("cpu").paint(layout, 256, torch.Generator().manual_seed(1))
    pixels = ((painted + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    scorer = load_scorer(load_family("embedded"))
    images, prompts = [Image.fromarray(picture) for picture in pixels], [scene.prompt for scene in held_out]
    true, wrong = scorer.score(images, prompts), scorer.score(images, prompts[1:] + prompts[:1])
    assert sum(here > there for here, there in zip(true, wrong, strict=True)) >= 58


def test_the_scorer_prefers_the_prompt_that_a_picture_was_drawn_from() -> None:
    from families.embedded.model import WEIGHTS, load_member
    from families.embedded.sample import pictures

    scorer = load_scorer(load_family("embedded"))
    prompts = [f"a red apple on a {colour} background" for colour in ("blue", "green", "purple", "grey")]
    drawn = pictures(load_member(WEIGHTS / "turbo"), prompts, range(4), 1, 1.0)
    images = [Image.fromarray(picture) for picture in drawn]
    assert sum(scorer.score(images, prompts)) > sum(scorer.score(images, prompts[1:] + prompts[:1]))


def test_a_score_does_not_depend_on_its_neighbours() -> None:
    scorer = load_scorer(load_family("embedded"))
    images = [Image.new("RGB", (128, 128), colour) for colour in ("red", "blue")]
    together = scorer.score(images, ["a fox", "a long prompt about two foxes above a pizza"])
    assert together[0] == pytest.approx(scorer.score(images[:1], ["a fox"])[0], abs=1e-5)


def test_scores_are_two_and_a_half_cosines_and_never_negative() -> None:
    import torch

    images = torch.tensor([[1.0, 0.0], [1.0, 0.0]])
    texts = torch.tensor([[0.6, 0.8], [-1.0, 0.0]])
    assert clip_score(images, texts) == pytest.approx([1.5, 0.0])


def test_a_clip_from_a_folder_scores_images_of_hub_families(tmp_path: Path) -> None:
    folder = _random_clip(tmp_path / "clip")
    scorer = HubClip(str(folder))
    images = [Image.new("RGB", (64, 48), colour) for colour in ("red", "blue")]
    scores = scorer.score(images, ["a", "b " * 100])
    assert scorer.name == "hf-clip:clip"
    assert all(0 <= score <= 2.5 for score in scores)


def _random_clip(folder: Path) -> Path:
    """Real classes at toy width, random weights."""
    import json

    import torch
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor, CLIPTokenizer

    torch.manual_seed(0)
    folder.mkdir()
    letters = [chr(code) for code in range(97, 123)]
    vocabulary = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: index for index, word in enumerate(vocabulary)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=16)
    pictures = CLIPImageProcessor(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    CLIPProcessor(image_processor=pictures, tokenizer=tokenizer).save_pretrained(folder)
    narrow = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = CLIPConfig(
        text_config={**narrow, "vocab_size": len(vocabulary), "max_position_embeddings": 16, "eos_token_id": 53},
        vision_config={**narrow, "image_size": 32, "patch_size": 16},
        projection_dim=8,
    )
    CLIPModel(config).save_pretrained(folder)
    return folder
