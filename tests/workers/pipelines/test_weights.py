"""What a model will take is known before it is loaded."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from core.families import Model
from workers.pipelines import expected_mb, load_adapter
from workers.pipelines.random_weights import build
from workers.pipelines.random_weights import expected_mb as of_random
from workers.pipelines.weights import files_of_component, megabytes


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("architecture", ["sd15", "sdxl", "sd3", "flux", "pixart-alpha", "pixart-sigma"])
def test_a_pipelines_folder_says_what_it_will_take_in_a_dtype(toys, architecture, dtype):
    model = toys.family(architecture).models["random"]
    taken = load_adapter(model, "cpu", dtype, autocast=False).memory_mb
    assert expected_mb(model, dtype) == pytest.approx(taken, rel=0.02)


@pytest.mark.parametrize("kind", ["unet", "dit"])
def test_a_member_of_the_embedded_family_counts_with_its_codec(toys, kind):
    model = toys.member(kind).models["large"]
    taken = load_adapter(model, "cpu", torch.float32).memory_mb
    assert expected_mb(model, torch.float32) == pytest.approx(taken, rel=0.05)


def test_weights_that_lie_there_twice_count_once(tmp_path: Path):
    tensor = {"w": torch.zeros(1000)}
    save_file(tensor, tmp_path / "model.safetensors")
    save_file({"w": tensor["w"].half()}, tmp_path / "model.fp16.safetensors")
    assert [file.name for file in files_of_component(tmp_path)] == ["model.safetensors"]
    assert [file.name for file in files_of_component(tmp_path, "fp16")] == ["model.fp16.safetensors"]
    assert megabytes(files_of_component(tmp_path, "fp16"), torch.float32) == pytest.approx(0.004)


def test_weights_in_parts_count_all_of_them(tmp_path: Path):
    for part in (1, 2):
        save_file({f"w{part}": torch.zeros(500)}, tmp_path / f"model-0000{part}-of-00002.safetensors")
    assert len(files_of_component(tmp_path)) == 2


def test_a_model_in_the_hubs_cache_is_found_there(toys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = Path(toys.family("sd15").models["random"].path)
    snapshot = tmp_path / "models--some--model" / "snapshots" / "0123"
    shutil.copytree(folder, snapshot)
    (tmp_path / "models--some--model" / "refs").mkdir()
    (tmp_path / "models--some--model" / "refs" / "main").write_text("0123")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    named = Model(id="m", pipeline="stable-diffusion", path="some/model")
    local = named.model_copy(update={"path": str(folder)})
    assert expected_mb(named, torch.float32) == expected_mb(local, torch.float32) > 0
    assert expected_mb(named.model_copy(update={"path": "not/downloaded"}), torch.float32) == of_random(
        "sd15", torch.float32
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("architecture", ["sd15", "sdxl", "sd3", "flux", "pixart-alpha", "pixart-sigma"])
def test_a_model_of_which_only_the_configurations_are_here_counts_as_they_say(toys, architecture, dtype, tmp_path):
    model = toys.family(architecture).models["random"]
    shutil.copytree(model.path, tmp_path / "configs", ignore=shutil.ignore_patterns("*.safetensors"))
    for quantization in (None, "int8"):
        whole = model.model_copy(update={"quantization": quantization})
        bare = whole.model_copy(update={"path": str(tmp_path / "configs")})
        assert expected_mb(bare, dtype) == pytest.approx(expected_mb(whole, dtype), rel=0.02)


def test_random_weights_say_what_they_take_and_are_drawn_in_their_dtype():
    assert of_random("sd15", torch.bfloat16) == pytest.approx(2300, rel=0.02)  # as measured on an H200
    pipeline = build("sdxl", toy=True, dtype=torch.bfloat16)
    parts = [part for part in pipeline.components.values() if isinstance(part, torch.nn.Module)]
    assert {tensor.dtype for part in parts for tensor in part.parameters()} == {torch.bfloat16}


def test_the_pool_makes_room_for_a_model_before_it_is_loaded(bench):
    from tests.workers.pencil import MODEL_MB

    seen = []

    def expected(model):
        seen.append(model.id)
        return MODEL_MB

    b = bench(models=2, memory_budget_mb=1.5 * MODEL_MB, expected_mb=expected)
    b.submit(level="sm-small", steps=1)
    b.run()
    assert "small" in seen
    assert b.engine.loaded() == ["small"]


def test_a_family_file_may_ask_for_a_decoder_in_bfloat16(toys):
    model = toys.family("sdxl").models["random"]
    half = model.model_copy(update={"decoder_dtype": "bfloat16"})
    for one, dtype in ((model, torch.float32), (half, torch.bfloat16)):
        adapter = load_adapter(one, "cpu", torch.bfloat16, autocast=False)
        assert adapter.pipe.vae.dtype == dtype
        assert expected_mb(one, torch.bfloat16) == pytest.approx(adapter.memory_mb, rel=0.02)
    assert load_adapter(half, "cpu", torch.float64).pipe.vae.dtype == torch.float64
