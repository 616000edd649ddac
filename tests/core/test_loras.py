"""LoRAs in the family file: what it may say, which levels draw with them, and that their latents are kept apart."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from core.cached_latents import kind_of
from core.errors import BadFamily, LoraDamaged, UnknownLora
from core.families import load_family
from core.loras import LoraUse, read_loras, tags, written_loras
from tests.core.test_settings_and_families import FAMILY

TWO_MODELS = FAMILY.replace('"embedded-unet"', '"stable-diffusion"').replace(
    "[levels.exact]",
    """
[models.small]
pipeline = "stable-diffusion"
path = "nowhere"
[models.tight]
pipeline = "stable-diffusion"
path = "nowhere"
quantization = "int8"
[levels.sm-small]
strategy = "sm"
model = "small"
[levels.fc-3]
strategy = "fc"
model = "large"
cache = "first-block"
[levels.exact]""",
)
LORAS = """
[loras.ink]
path = "ink.safetensors"
models = ["large"]
[loras."oil v1.2"]
path = "oil"
models = ["large", "small"]
weight = 0.7
words = ["oil painting"]
"""


@pytest.fixture
def family(tmp_path):
    def read(text=TWO_MODELS + LORAS):
        path = tmp_path / "toy.toml"
        path.write_text(text)
        return load_family(str(path))

    return read


def test_a_family_lists_its_loras_with_weight_and_words(family):
    found = family()
    assert list(found.loras) == ["ink", "oil v1.2"]
    assert found.lora("oil v1.2").weight == 0.7
    assert found.lora("ink").weight == 1.0
    with pytest.raises(UnknownLora, match=r"Known: ink, oil v1\.2"):
        found.lora("chalk")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('models = ["large"]', 'models = ["huge"]'), "huge"),
        (('models = ["large"]', "models = []"), "loras.ink.models"),
        (('models = ["large"]', 'models = ["large", "tight"]'), "quantised"),
        (('models = ["large"]', 'models = ["small"]'), "reference"),
        (('"ink.safetensors"', '"ink.ckpt"'), "pickle"),
        (("weight = 0.7", "weight = 70"), "loras.oil v1.2.weight"),
        (('words = ["oil painting"]', 'sha256 = "abc"'), "sha256"),
        (("[loras.ink]", '[loras."in:k"]'), "letters, digits"),
        (("[loras.ink]", "[loras.ink]\nstrength = 1"), "strength"),
    ],
)
def test_what_a_lora_cannot_be_is_said_with_its_place(family, change, said):
    with pytest.raises(BadFamily, match=said):
        family((TWO_MODELS + LORAS).replace(*change))


def test_a_pipeline_that_takes_no_loras_is_named(family):
    with pytest.raises(BadFamily, match="embedded-unet"):
        family(FAMILY + LORAS.replace(', "small"', ""))


def test_levels_draw_with_loras_that_are_all_for_their_model_and_cache_no_features(family):
    found = family()
    both, one = "ink:1,oil v1.2:0.7", "oil v1.2:0.7"
    assert [level for level in found.levels if found.draws(level, both)] == ["exact", "ac-10"]
    assert [level for level in found.levels if found.draws(level, one)] == ["sm-small", "exact", "ac-10"]
    assert all(found.draws(level, None) for level in found.levels)
    assert not any(found.draws(level, "chalk:1") for level in found.levels)


def test_a_set_is_written_by_name_and_read_back():
    uses = [LoraUse("oil v1.2", 0.25), LoraUse("ink", -1.0)]
    assert written_loras(uses) == written_loras(reversed(uses)) == "ink:-1,oil v1.2:0.25"
    assert read_loras("ink:-1,oil v1.2:0.25") == tuple(sorted(uses))
    assert tags("ink:-1,oil v1.2:0.25") == "<lora:ink:-1> <lora:oil v1.2:0.25>"
    assert (written_loras([]), read_loras(None), tags(None)) == (None, (), "")


def test_latents_are_of_another_kind_for_every_set_weight_and_file(family):
    plain = family()
    other_file = plain.model_copy(
        update={"loras": {**plain.loras, "ink": plain.lora("ink").model_copy(update={"sha256": "0" * 64})}}
    )
    sets = [(plain, None), (plain, "ink:1"), (plain, "ink:0.5"), (plain, "ink:1,oil v1.2:1"), (other_file, "ink:1")]
    for final in (False, True):
        kinds = {kind_of(f, f.level("exact"), 64, 64, 20, "Euler", final, loras) for f, loras in sets}
        assert len(kinds) == len(sets)


def test_a_file_is_looked_at_before_it_is_used(family, tmp_path):
    lora = family().lora("ink").model_copy(update={"path": str(tmp_path / "ink.safetensors")})
    with pytest.raises(LoraDamaged, match="no such file"):
        lora.checked()
    save_file({"a.lora_A.weight": np.zeros((2, 2), np.float32)}, tmp_path / "ink.safetensors")
    assert lora.checked() == tmp_path / "ink.safetensors"
    with pytest.raises(LoraDamaged, match="SHA-256"):
        lora.model_copy(update={"sha256": "0" * 64}).checked()
    (tmp_path / "ink.safetensors").write_bytes((tmp_path / "ink.safetensors").read_bytes()[:-1])
    with pytest.raises(LoraDamaged, match="damaged"):
        lora.checked()
