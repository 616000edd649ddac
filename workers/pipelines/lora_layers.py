"""The layers of a network that LoRAs change, and how strongly each LoRA acts in them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from peft.tuners.tuners_utils import BaseTunerLayer


class Layers:
    """The layers of some modules that LoRAs change; used by one thread."""

    def __init__(self, modules: Sequence[torch.nn.Module]) -> None:
        self.found = tuned(modules)
        self._weights: tuple[float, ...] = ()

    def act(self, weights: tuple[float, ...]) -> None:
        """Each LoRA acts with its weight from now on."""
        if weights != self._weights:
            for layer in self.found:
                for number, weight in enumerate(weights):
                    layer.set_scale(adapter_name(number), weight)
            self._weights = weights


@dataclass(frozen=True)
class Strengths:
    """How strongly the LoRAs of an adapter act for some of its requests.

    The denoiser belongs to the loop's thread, the text encoders to the encoder's: neither sees the other's weights.
    """

    denoiser: Layers
    encoders: Layers
    weights: tuple[float, ...]

    def in_denoiser(self) -> None:
        self.denoiser.act(self.weights)

    def in_encoders(self) -> None:
        self.encoders.act(self.weights)


def tuned(modules: Iterable[torch.nn.Module]) -> list[Any]:
    """The layers that LoRAs change."""
    return [layer for module in modules for layer in module.modules() if isinstance(layer, BaseTunerLayer)]


def adapter_name(number: int) -> str:
    """As peft knows it: names of people may have dots, which modules' may not."""
    return f"lora{number}"
