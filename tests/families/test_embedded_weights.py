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
from families.embedded.model import WEIGHTS, load_member, velocity
from families.embedded.pixels import ground_is, things_in
from families.embedded.sample import pictures

MEMBERS = sorted(folder.parent.name for folder in WEIGHTS.glob("*/member.json"))
COLOURS = ["blue", "green", "purple", "red", "teal", "brown"]


def test_weights_stay_under_120_megabytes_and_no_file_has_50() -> None:
    sizes = [path.stat().st_size for path in WEIGHTS.rglob("*") if path.is_file()]
    assert sum(sizes) < 120e6
    assert max(sizes) < 50e6


def test_every_file_is_listed_with_its_checksum() -> None:
    listed = json.loads((WEIGHTS / checksums.LIST).read_text())
    there = {path.relative_to(WEIGHTS).as_posix() for path in WEIGHTS.rglob("*") if path.is_file()}
    assert set(listed) == there - {checksums.LIST}


@pytest.mark.parametrize("name", MEMBERS)
def test_every_member_loads_and_predicts_in_float64(name: str) -> None:
    member = load_member(WEIGHTS / name).to(dtype=torch.float64)
    noise = torch.randn(2, *member.codec.latent_shape_of(128), dtype=torch.float64)
    states, mask = member.text.tokens(["a fox", "two pizzas"])
    with torch.no_grad():
        moved = member.velocity(noise, torch.tensor([1.0, 0.4]), states, mask)
    assert moved.dtype == torch.float64
    assert torch.isfinite(moved).all()


def copied(folder: Path, *names: str) -> Path:
    """Some members and the list of checksums, to be spoiled."""
    for name in names:
        shutil.copytree(WEIGHTS / name, folder / name)
    shutil.copy(WEIGHTS / checksums.LIST, folder)
    return folder / names[0]


def test_a_damaged_file_is_named_with_the_checksum_expected_and_found(tmp_path: Path) -> None:
    member = copied(tmp_path, "medium", "codec")
    victim = member / "diffusion_pytorch_model.safetensors"
    spoiled = bytearray(victim.read_bytes())
    spoiled[-1] ^= 1
    victim.write_bytes(bytes(spoiled))
    expected = json.loads((WEIGHTS / checksums.LIST).read_text())["medium/diffusion_pytorch_model.safetensors"]
    with pytest.raises(WeightsDamaged, match=expected) as raised:
        load_member(member)
    assert str(victim) in raised.value.message
    assert checksums.digest(victim) in raised.value.message


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    member = copied(tmp_path, "medium")
    (member / "config.json").unlink()
    with pytest.raises(WeightsDamaged, match=r"config\.json is missing"):
        load_member(member)


def test_weights_of_an_older_version_are_told_from_damaged_ones(tmp_path: Path) -> None:
    """The second version's codec folded patches; its folder, with checksums of its own, passes them."""
    member = copied(tmp_path, "medium")
    (tmp_path / "codec").mkdir()
    (tmp_path / "codec" / "config.json").write_text(json.dumps({"_class_name": "PatchCodec", "pixels": 32}))
    checksums.write(tmp_path)
    with pytest.raises(WeightsDamaged, match="PatchCodec, expected ConvCodec") as raised:
        load_member(member)
    assert str(tmp_path / "codec" / "config.json") in raised.value.message


def test_a_member_of_an_unknown_class_is_named(tmp_path: Path) -> None:
    member = copied(tmp_path, "medium", "codec")
    (member / "config.json").write_text(json.dumps({"_class_name": "Flux"}))
    checksums.write(tmp_path)
    with pytest.raises(WeightsDamaged, match="Flux, expected UNet2DConditionModel"):
        load_member(member)


def test_the_same_seed_gives_the_same_picture_whatever_stands_beside_it() -> None:
    member = load_member(WEIGHTS / "medium")
    alone = pictures(member, ["a fox"], [7], 2, 1.0, size=128)[0].astype(int)
    beside = pictures(member, ["two pizzas", "a fox"], [3, 7], 2, 1.0, size=128)[1].astype(int)
    assert np.abs(alone - beside).max() <= 2


@pytest.mark.parametrize(("name", "steps"), [("large", 4), ("turbo", 1), ("medium", 1), ("dit", 4)])
@pytest.mark.parametrize("size", [256, 128])
def test_every_member_draws_the_ground_that_was_asked_for_at_both_sizes(name: str, steps: int, size: int) -> None:
    member = load_member(WEIGHTS / name)
    drawn = pictures(member, [f"a fox on a {colour} background" for colour in COLOURS], range(6), steps, 2.0, size)
    assert drawn.shape == (6, size, size, 3)
    assert sum(ground_is(picture, colour) for picture, colour in zip(drawn, COLOURS, strict=True)) >= 5


def test_turbo_draws_as_many_as_were_asked_for_in_one_step() -> None:
    prompts = [f"{word} red apples on a blue background" for word in ("two", "three", "four")]
    drawn = pictures(load_member(WEIGHTS / "turbo"), prompts, range(3), 1, 1.0)
    assert [things_in(picture) for picture in drawn] == [2, 3, 4]


def test_words_never_seen_still_give_a_picture() -> None:
    drawn = pictures(load_member(WEIGHTS / "medium"), ["Quantenchromodynamik ☃ 量子"], [1], 1, 1.0)
    assert drawn.shape == (1, 256, 256, 3)


def test_decoding_can_average_down() -> None:
    codec = load_member(WEIGHTS / "medium").codec
    latents = torch.zeros(1, *codec.latent_shape)
    assert codec.decode(latents).shape == (1, 256, 256, 3)
    assert codec.decode(latents, 64).shape == (1, 64, 64, 3)


def test_the_codec_gives_a_drawn_picture_back() -> None:
    member = load_member(WEIGHTS / "turbo")
    drawn = pictures(member, ["a fox on a blue background"], [1], 1, 1.0, size=128)
    picture = torch.from_numpy(drawn).permute(0, 3, 1, 2).float() / 127.5 - 1
    again = member.codec.decode(member.codec.encode(picture)).float()
    assert float((again - torch.from_numpy(drawn).float()).abs().mean()) < 6


def test_velocity_leads_from_noise_to_the_clean_latent() -> None:
    clean, noise = torch.randn(2, 3, 4, 4), torch.randn(2, 3, 4, 4)
    sigma = torch.tensor([0.3, 0.9])
    level = sigma.view(-1, 1, 1, 1)
    assert torch.allclose(velocity((1 - level) * clean + level * noise, clean, sigma), noise - clean, atol=1e-5)
