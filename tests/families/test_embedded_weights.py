"""The committed weights: whole, loadable, and drawing what they should."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from core.errors import WeightsDamaged
from families.embedded import checksums
from families.embedded.model import EMPTY_PROMPT, WEIGHTS, load_member, velocity
from families.embedded.pixels import ground_is
from families.embedded.sample import noise_of, pictures, sample

MEMBERS = sorted(folder.parent.name for folder in WEIGHTS.glob("*/member.json"))


def test_weights_stay_under_forty_megabytes() -> None:
    assert sum(path.stat().st_size for path in WEIGHTS.rglob("*") if path.is_file()) < 40e6


def test_every_file_is_listed_with_its_checksum() -> None:
    listed = json.loads((WEIGHTS / checksums.LIST).read_text())
    there = {path.relative_to(WEIGHTS).as_posix() for path in WEIGHTS.rglob("*") if path.is_file()}
    assert set(listed) == there - {checksums.LIST}


@pytest.mark.parametrize("name", MEMBERS)
def test_every_member_loads_and_predicts_in_float64(name: str) -> None:
    member = load_member(WEIGHTS / name).to(dtype=torch.float64)
    noise = torch.randn(2, *member.codec.latent_shape, dtype=torch.float64)
    states, mask = member.text.tokens(["a fox", "two pizzas"])
    with torch.no_grad():
        moved = member.velocity(noise, torch.tensor([1.0, 0.4]), states, mask)
    assert moved.dtype == torch.float64
    assert torch.isfinite(moved).all()


def test_a_damaged_file_is_named_with_the_checksum_expected(tmp_path: Path) -> None:
    for folder in ("tiny", "codec"):
        shutil.copytree(WEIGHTS / folder, tmp_path / folder)
    shutil.copy(WEIGHTS / checksums.LIST, tmp_path)
    victim = tmp_path / "tiny" / "diffusion_pytorch_model.safetensors"
    spoiled = bytearray(victim.read_bytes())
    spoiled[-1] ^= 1
    victim.write_bytes(bytes(spoiled))
    expected = json.loads((WEIGHTS / checksums.LIST).read_text())["tiny/diffusion_pytorch_model.safetensors"]
    with pytest.raises(WeightsDamaged, match=expected) as raised:
        load_member(tmp_path / "tiny")
    assert str(victim) in raised.value.message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    shutil.copytree(WEIGHTS / "tiny", tmp_path / "tiny")
    shutil.copy(WEIGHTS / checksums.LIST, tmp_path)
    (tmp_path / "tiny" / "config.json").unlink()
    with pytest.raises(WeightsDamaged, match=r"config\.json is missing"):
        load_member(tmp_path / "tiny")


def test_the_same_seed_gives_the_same_picture_whatever_stands_beside_it() -> None:
    member = load_member(WEIGHTS / "tiny")
    alone = pictures(member, ["a fox"], [7], 4, 2.0)[0].astype(int)
    beside = pictures(member, ["two pizzas", "a fox"], [3, 7], 4, 2.0)[1].astype(int)
    assert np.abs(alone - beside).max() <= 2


def test_large_draws_the_ground_that_was_asked_for() -> None:
    member = load_member(WEIGHTS / "large")
    colours = ["blue", "green", "purple", "red", "teal", "brown"]
    drawn = pictures(member, [f"a fox on a {colour} background" for colour in colours], range(6), 8, 2.0)
    assert sum(ground_is(picture, colour) for picture, colour in zip(drawn, colours, strict=True)) >= 5


def test_words_never_seen_still_give_a_picture() -> None:
    drawn = pictures(load_member(WEIGHTS / "tiny"), ["Quantenchromodynamik ☃ 量子"], [1], 4, 2.0)
    assert drawn.shape == (1, 128, 128, 3)


def test_decoding_gives_both_sizes() -> None:
    codec = load_member(WEIGHTS / "tiny").codec
    latents = torch.zeros(1, *codec.latent_shape)
    assert codec.decode(latents).shape == (1, 128, 128, 3)
    assert codec.decode(latents, 64).shape == (1, 64, 64, 3)


def test_folding_into_patches_loses_nothing() -> None:
    codec = load_member(WEIGHTS / "tiny").codec
    picture = torch.rand(1, 3, codec.pixels, codec.pixels) * 2 - 1
    assert torch.equal(torch.nn.functional.pixel_shuffle(codec.encode(picture), codec.patch), picture)


def test_velocity_leads_from_noise_to_the_clean_latent() -> None:
    clean, noise = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    sigma = torch.tensor([0.3, 0.9])
    level = sigma.view(-1, 1, 1, 1)
    assert torch.allclose(velocity((1 - level) * clean + level * noise, clean, sigma), noise - clean, atol=1e-5)


def test_small_draws_at_two_native_sizes() -> None:
    """What subspace diffusion needs of one member: its early steps may run at half the side (Jing et al. 2022)."""
    member = load_member(WEIGHTS / "small")
    colours = ["blue", "green", "purple", "red", "teal", "brown"]
    text = member.text.tokens([f"a fox on a {colour} background" for colour in colours])
    channels, side, _ = member.codec.latent_shape
    for half in (side, side // 2):
        noise = noise_of(range(6), (channels, half, half))
        shift = member.scheduler_config["shift"]
        latents = sample(member.denoiser, noise, text, member.text.tokens([EMPTY_PROMPT]), 6, shift, 2.0)
        drawn = torch.nn.functional.pixel_shuffle(latents, member.codec.patch).clamp(-1, 1)
        pictures = ((drawn + 1) * 127.5).byte().permute(0, 2, 3, 1).numpy()
        assert sum(ground_is(picture, colour) for picture, colour in zip(pictures, colours, strict=True)) >= 5
