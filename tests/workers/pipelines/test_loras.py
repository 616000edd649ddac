"""A model with LoRAs draws what diffusers' own pipeline draws with them, the plain model as if there were none."""

from __future__ import annotations

import copy
import shutil

import pytest
import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from safetensors.torch import load_file, save_file

from core.errors import LoraDamaged, LoraUnfit
from core.loras import Lora
from tests.workers.pipelines.test_agrees_with_diffusers import run, theirs
from tests.workers.toy_loras import save_lora
from tests.workers.toys import Toys, make_request
from workers.pipelines.loras import LoraSet
from workers.pipelines.rows import Batch, Start

ARCHITECTURES = ("sd15", "sdxl", "sd3", "flux")


@pytest.fixture(scope="module")
def files(toys, tmp_path_factory):
    """Two LoRAs of an architecture, for denoiser and text encoder."""
    made = {}

    def of(architecture):
        if architecture not in made:
            folder, adapter = tmp_path_factory.mktemp(architecture), toys.adapter(architecture)
            made[architecture] = [save_lora(adapter, folder / str(n), 10 * n) for n in (1, 2)]
        return made[architecture]

    return of


def lora(file, **changes) -> Lora:
    return Lora(**{"id": file.parent.name, "path": str(file), "models": ("random",), **changes})


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("weights", [(1.0, 0.0), (0.6, -0.4)])
def test_two_loras_draw_what_diffusers_draws_with_both(toys, files, tmp_path, architecture, weights):
    adapter, request = toys.adapter(architecture), make_request(guidance=4.5, steps=4)
    mine, _ = run(LoraSet(adapter, list(map(lora, files(architecture)))).acting(weights), request)
    plain, _ = run(adapter, request)
    other = Toys(tmp_path).adapter(architecture)  # with weights of its own: diffusers changes modules in place
    for name, file in zip("ab", files(architecture), strict=True):
        other.pipe.load_lora_weights(str(file.parent), weight_name=file.name, adapter_name=name)
    other.pipe.set_adapters(["a", "b"], list(weights))
    expected = theirs(other, request, output_type="latent")
    assert (mine[-1] - expected).abs().max() < 2e-5 * expected.abs().max()  # diffusers steps in float32
    assert (mine[-1] - plain[-1]).abs().max() > 1e-3 * expected.abs().max()


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_the_plain_model_stays_bit_for_bit_what_it_was(toys, files, architecture):
    adapter, request = toys.adapter(architecture), make_request(steps=3)
    before, _ = run(adapter, request)
    acting = LoraSet(adapter, list(map(lora, files(architecture)))).acting((0.8, 0.8))
    run(acting, request)
    after, _ = run(adapter, request)
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))
    assert not any(isinstance(layer, BaseTunerLayer) for module in adapter.modules() for layer in module.modules())


def test_recorded_and_cached_forwards_which_know_no_lora_are_not_taken(toys, files):
    def recorded(*_):
        raise AssertionError("drawn without the LoRA")

    adapter, request = copy.copy(toys.adapter("sd15")), make_request(steps=3)
    expected, _ = run(LoraSet(adapter, [lora(files("sd15")[0])]).acting((1.0,)), request)
    adapter.fastest, adapter.feature_caches = recorded, {"fc": recorded}
    acting = LoraSet(adapter, [lora(files("sd15")[0])]).acting((1.0,))
    assert all(torch.equal(a, b) for a, b in zip(expected, run(acting, request)[0], strict=True))
    assert acting.feature_caches == {}
    with pytest.raises(AssertionError, match="without the LoRA"):
        run(adapter, request)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_rows_that_share_a_set_and_a_forward_draw_what_each_draws_alone(toys, files, architecture):
    acting = LoraSet(toys.adapter(architecture), list(map(lora, files(architecture)))).acting((0.7, 0.3))
    requests = [make_request(prompt, seed=seed) for prompt, seed in (("a red fox", 1), ("two owls at night", 2))]
    together = Batch.of([acting.prepare(request, Start(4), 3.5) for request in requests])
    for _ in range(4):
        acting.advance(together, acting.denoise(together))
    for place, request in enumerate(requests):
        alone, _ = run(acting, request)
        assert (together.latents[place] - alone[-1]).abs().max() <= 1e-9


def test_users_of_one_set_with_other_weights_take_turns_and_do_not_meet(toys, files):
    shared, request = LoraSet(toys.adapter("sd15"), list(map(lora, files("sd15")))), make_request(steps=4)
    weights = [(1.0, 0.0), (0.2, 0.9)]
    expected = [run(shared.acting(each), request)[0][-1] for each in weights]
    assert not torch.equal(*expected)
    turns = [shared.acting(each) for each in weights]
    batches = [Batch.of([adapter.prepare(request, Start(4), request.guidance)]) for adapter in turns]
    for _ in range(4):
        for adapter, batch in zip(turns, batches, strict=True):
            adapter.advance(batch, adapter.denoise(batch))
    assert all(torch.equal(batch.latents[0], latent) for batch, latent in zip(batches, expected, strict=True))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_what_acts_is_what_the_files_have(toys, files, architecture):
    acting = LoraSet(toys.adapter(architecture), list(map(lora, files(architecture)))).acting((1.0, 1.0))
    parts = {acting.denoiser: acting.net, "text_encoder": acting.pipe.text_encoder}
    for number, file in enumerate(files(architecture)):
        for name, stored in load_file(file).items():
            part, _, path = name.partition(".")
            where = path.removesuffix("weight") + f"lora{number}.weight"
            assert torch.equal(parts[part].get_parameter(where), stored), name


def test_a_file_as_kohya_ss_writes_it_draws_what_diffusers_own_does(toys, files, tmp_path):
    stored, request = files("sd15")[0], make_request(steps=3)
    own = {".lora_A.weight": ".lora_down.weight", ".lora_B.weight": ".lora_up.weight"}
    begins = {"unet.": "lora_unet_", "text_encoder.": "lora_te_text_model_"}
    theirs = {}
    for name, tensor in load_file(stored).items():
        (end,), (begin,) = [e for e in own if name.endswith(e)], [b for b in begins if name.startswith(b)]
        layer = begins[begin] + name.removeprefix(begin).removesuffix(end).replace(".", "_")
        theirs[layer + own[end]] = tensor
        theirs[f"{layer}.alpha"] = torch.tensor(float(min(tensor.shape)))  # of as much as the rank: no scaling
    save_file(theirs, tmp_path / "kohya.safetensors")
    drawn = [
        run(LoraSet(toys.adapter("sd15"), [lora(file)]).acting((0.9,)), request)[0][-1]
        for file in (stored, tmp_path / "kohya.safetensors")
    ]
    assert (drawn[0] - drawn[1]).abs().max() <= 1e-9


def test_weights_and_memory_are_in_the_models_own_type(toys, files, tmp_path):
    half = tmp_path / "half.safetensors"
    save_file({name: tensor.half() for name, tensor in load_file(files("sdxl")[0]).items()}, half)
    found = LoraSet(toys.adapter("sdxl"), [lora(half)])
    own = [p for layer in tuned(found.acting((1.0,))) for name, p in layer.named_parameters() if "lora_" in name]
    assert {p.dtype for p in own} == {torch.float64}
    assert found.memory_mb == pytest.approx(sum(p.numel() * 8 for p in own) / 1e6)


def tuned(adapter):
    modules = [layer for module in adapter.modules() for layer in module.modules()]
    return [layer for layer in modules if isinstance(layer, BaseTunerLayer)]


def test_a_lora_of_another_architecture_is_refused_and_leaves_nothing(toys, files):
    adapter = toys.adapter("sd15")
    for other in ("sdxl", "flux"):
        with pytest.raises(LoraUnfit, match="does not fit the model"):
            LoraSet(adapter, [lora(files(other)[1])])
    assert not tuned(adapter)


def test_a_truncated_file_another_checksum_and_a_missing_one_are_told_apart(toys, files, tmp_path):
    whole, adapter = files("sd15")[0], toys.adapter("sd15")
    short = tmp_path / "short.safetensors"
    short.write_bytes(whole.read_bytes()[:-100])
    for wanted, said in (
        (lora(short), "is damaged"),
        (lora(whole, sha256="0" * 64), "has the SHA-256"),
        (lora(tmp_path / "none.safetensors"), "no such file"),
    ):
        with pytest.raises(LoraDamaged, match=said):
            LoraSet(adapter, [wanted])


def test_a_folder_with_one_file_is_that_file_and_one_with_two_is_refused(toys, files, tmp_path):
    shutil.copy(files("sd15")[0], tmp_path / "one.safetensors")
    wanted = lora(tmp_path / "one.safetensors").model_copy(update={"path": str(tmp_path)})
    assert LoraSet(toys.adapter("sd15"), [wanted]).memory_mb > 0
    shutil.copy(files("sd15")[0], tmp_path / "two.safetensors")
    with pytest.raises(LoraDamaged, match="2 files"):
        wanted.checked()
