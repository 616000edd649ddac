"""Denoisers with weights of eight bits, by torchao: half the memory, and on newer GPUs faster products."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from core.errors import BadFamily
from core.families import Model
from workers.pipelines.weights import in_eight_bits

FLOAT8_SINCE = (8, 9)  # compute capability of the first GPUs with float8 products (Ada, Hopper)


def quantize(net: torch.nn.Module, model: Model, device: torch.device) -> None:
    """Quantise linear layers of the denoiser's transformer blocks in place, as the model's `quantization` says.

    Raises:
        BadFamily: torchao is not installed, or the device has no float8 products.
    """
    if model.quantization is None:
        return
    field = f"models.{model.id}.quantization"
    if model.quantization == "fp8" and not has_float8(device):
        raise BadFamily(f"Model {model.id!r} is in fp8, which {device} can't multiply; use int8 or w8a8.", field=field)
    try:
        from torchao.quantization import quantize_
    except ImportError:
        raise BadFamily(
            f"Model {model.id!r} is quantised ({model.quantization}), which needs torchao: "
            "pip install 'argus[quantized]'.",
            field=field,
        ) from None
    quantize_(net, _config(model.quantization), filter_fn=_in_eight_bits)


def has_float8(device: torch.device) -> bool:
    """Whether the device multiplies float8 matrices."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= FLOAT8_SINCE


def _config(name: str) -> Any:
    from torchao import quantization as ao

    configs: dict[str, Callable[[], Any]] = {
        "int8": lambda: ao.Int8WeightOnlyConfig(version=2),
        "w8a8": lambda: ao.Int8DynamicActivationInt8WeightConfig(version=2),
        "fp8": lambda: ao.Float8DynamicActivationFloat8WeightConfig(granularity=ao.PerRow()),
    }
    return configs[name]()


def _in_eight_bits(module: torch.nn.Module, name: str) -> bool:
    return isinstance(module, torch.nn.Linear) and in_eight_bits(f"{name}.weight", tuple(module.weight.shape))
