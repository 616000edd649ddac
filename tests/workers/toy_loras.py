"""LoRAs of toy pipelines, made by peft and saved as diffusers saves them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from peft.utils import get_peft_model_state_dict

from core.families import Family
from core.loras import Lora
from workers.pipelines.compiling import sharing_weights

FILE = "pytorch_lora_weights.safetensors"


def save_lora(adapter: Any, folder: Path, seed: int) -> Path:
    """A LoRA of random weights for an adapter's denoiser and its first text encoder: its file."""
    layers = {
        f"{adapter.denoiser}_lora_layers": _random(adapter.net, ["to_q", "to_k", "to_v", "to_out.0"], seed),
        "text_encoder_lora_layers": _random(adapter.pipe.text_encoder, ["q_proj", "v_proj", "out_proj"], seed + 1),
    }
    type(adapter.pipe).save_lora_weights(folder, **layers)
    return folder / FILE


def with_loras(family: Family, model: str, **files: Path) -> Family:
    """The family with LoRAs of these names and files for one of its models."""
    loras = {name: Lora(id=name, path=str(file), models=(model,)) for name, file in files.items()}
    return family.model_copy(update={"loras": loras})


def _random(module: torch.nn.Module, targets: list[str], seed: int) -> dict[str, torch.Tensor]:
    copied: Any = sharing_weights(module)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        copied.add_adapter(LoraConfig(r=2, lora_alpha=3, init_lora_weights=False, target_modules=targets), "toy")
    return dict(get_peft_model_state_dict(copied, adapter_name="toy"))
