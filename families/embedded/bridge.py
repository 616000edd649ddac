"""From a source, a sketch or a grey picture, to the picture that belongs to it: `large`, taught to see a second latent
beside the noisy one. Its weights are an update of low rank (Hu et al. 2021, arXiv:2106.09685) and a wider first
convolution.

    member, bridge = load_bridge(), VariancePreserving()             # workers/kinds/bridges.py
    source = member.codec.encode(sketch(pictures))                   # x_T, (B, C, h, w)
    predict = denoiser(member, bridge, member.text.tokens(prompts))
    latents = dbim(predict, bridge, source, dbim_times(bridge, 11))  # workers/kinds/ddbm.py
    pictures = member.codec.decode(latents)

A bridge is at x_t = a·x_T + b·x₀ + c·ε (Zhou et al. 2023, arXiv:2309.16948, eq. 8). Without its source, and divided by
b + c, that is (1 − σ)·x₀ + σ·ε at σ = c/(b + c): what `large` has learned to denoise. So the network begins as `large`,
learns only what the source adds, and serves any bridge between such pairs, whatever its times and scaling are.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import torch
from peft import LoraConfig, PeftModel, get_peft_model, get_peft_model_state_dict
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional

from core.errors import WeightsDamaged
from core.fidelity import luminance
from families.embedded.checksums import digest, verify
from families.embedded.model import EMPTY_PROMPT, WEIGHTS, EmbeddedMember, load_member
from families.embedded.sample import Text, guided_clean

BASE = "large"
NETWORK = "diffusion_pytorch_model.safetensors"
UPDATE, TAUGHT = "adapter_model.safetensors", "base.json"  # the update, and of which network it is one
RANK = 16
LAYERS = r".*\.(conv|conv1|conv2|conv_shortcut|proj_in|proj_out|to_q|to_k|to_v|to_out\.0|net\.0\.proj|net\.2)|conv_out"
FIRST = "conv_in"
CONTRAST = 4.0  # a line is white − CONTRAST × the change of luminance
Denoiser = Callable[[Tensor, float, Tensor], Tensor]  # (x_t, t, x_T) → x̂₀, all (B, C, h, w)


class Bridge(Protocol):
    """What is asked of `workers.kinds.bridges.Bridge`."""

    def weights(self, time: float) -> tuple[float, float, float]:
        """(a, b, c) of x_t = a·x_T + b·x₀ + c·ε."""


def sketch(pictures: Tensor) -> Tensor:
    """Dark lines on white where luminance changes, (B, 3, H, W) in −1…1."""
    grey = functional.pad(luminance(pictures), (1, 1, 1, 1), mode="replicate")
    across = (grey[..., 1:-1, 2:] - grey[..., 1:-1, :-2]).square()
    down = (grey[..., 2:, 1:-1] - grey[..., :-2, 1:-1]).square()
    return (1 - CONTRAST * (across + down).sqrt()).clamp(-1, 1).expand(-1, 3, -1, -1)


def grey(pictures: Tensor) -> Tensor:
    """Luminance in all three channels, (B, 3, H, W) in −1…1."""
    return luminance(pictures).expand(-1, 3, -1, -1)


SOURCES = {"sketch": sketch, "grey": grey}  # what the weights have seen


def denoiser(member: EmbeddedMember, bridge: Bridge, text: Text, guidance: float = 1.0) -> Denoiser:
    """What a bridge's samplers ask for.

    Args:
        text: token states (B, T, 384) of the prompts and their mask (B, T).
        guidance: towards the prompt, away from the empty one; but for 1 each denoising runs twice as many rows.
    """
    empty = member.text.tokens([EMPTY_PROMPT])

    def clean(x: Tensor, time: float, source: Tensor) -> Tensor:
        a, b, c = bridge.weights(time)
        noisy, sigma = ((x - a * source) / (b + c), c / (b + c)) if b + c > 0 else (torch.zeros_like(x), 1.0)
        return guided_clean(member.denoiser, beside(noisy, source), sigma, text, empty, guidance)

    return clean


def beside(noisy: Tensor, source: Tensor) -> Tensor:
    """The network's input (B, 2·C, h, w)."""
    return torch.cat([noisy, source], 1)


def load_bridge(folder: Path = WEIGHTS / "bridge", device: str = "cpu") -> EmbeddedMember:
    """`large` beside the folder, with the update merged: as fast as `large`. Its denoiser takes what `beside` answers.

    Raises `core.errors.WeightsDamaged` for a file that is not as `checksums.json` says, and for another `large`.
    """
    verify(folder)
    member, taught = load_member(folder.parent / BASE), json.loads((folder / TAUGHT).read_text())
    if (found := digest(folder.parent / BASE / NETWORK)) != taught["sha256"]:
        raise WeightsDamaged(
            f"{folder}: an update of the {BASE} whose SHA-256 is {taught['sha256']}, but {BASE} is {found}. "
            "Train it again: python -m families.embedded.recipe.bridge."
        )
    adapted: Any = PeftModel.from_pretrained(widened(member.denoiser), folder)
    member.name, member.guided = folder.name, False
    member.denoiser = adapted.merge_and_unload().eval().requires_grad_(False)
    return member.to(device)


def save_bridge(adapted: Any, base: Path, folder: Path) -> None:
    """Write the update in half precision, with the checksum of the network that it changes."""
    folder.mkdir(parents=True, exist_ok=True)
    update = {name: weight.half().contiguous() for name, weight in get_peft_model_state_dict(adapted).items()}
    save_file(update, folder / UPDATE)
    adapted.peft_config["default"].save_pretrained(folder)
    (folder / TAUGHT).write_text(json.dumps({"member": base.name, "sha256": digest(base / NETWORK)}) + "\n")


def adapted(large: Any, rank: int = RANK) -> Any:
    """`large` with room for a source: what is to be learned can be trained, and changes nothing yet."""
    config = LoraConfig(r=rank, lora_alpha=rank, target_modules=LAYERS, modules_to_save=[FIRST])
    return get_peft_model(widened(large), config)


def widened(large: Any) -> Any:
    """`large` with twice the input channels; it does not look at the second half yet."""
    wide = type(large).from_config({**large.config, "in_channels": 2 * large.config.in_channels})
    state = large.state_dict()
    first = state[f"{FIRST}.weight"]
    wide.load_state_dict({**state, f"{FIRST}.weight": torch.cat([first, torch.zeros_like(first)], 1)})
    return wide
