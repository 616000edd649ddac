"""What a pipeline that was not downloaded yet will take: from its configurations alone, a few kilobytes each."""

from __future__ import annotations

import logging
from importlib import import_module
from typing import Any

import torch

from core.families import Model
from workers.pipelines import random_weights
from workers.pipelines.weights import decoder_dtype, in_eight_bits

log = logging.getLogger(__name__)
LIBRARIES = ("diffusers", "transformers")


def configured_mb(adapter: Any, model: Model, dtype: torch.dtype) -> float:
    """MB of the components that the adapter class loads, built without memory (on `meta`) as their files say.

    Where the hub can't be asked: those of the architecture that the adapter class is for, at its published widths.
    """
    try:
        return sum(_component_mb(adapter, model, dtype, name, kind) for name, kind in _components(adapter, model))
    except Exception as error:  # no network, no such name, a class that this version lacks: what the architecture takes
        log.info("no configuration of %s (%r): counted as its architecture", model.path, error)
    by_pipeline = {pipeline: name for name, pipeline in random_weights.ARCHITECTURES.items()}
    return random_weights.expected_mb(by_pipeline[model.pipeline], dtype, model.quantization is not None)


def _components(adapter: Any, model: Model) -> list[tuple[str, Any]]:
    """Name and class of those that hold weights and are loaded."""
    index = adapter.pipeline.load_config(model.location, revision=model.revision)
    pairs = {name: tuple(pair) for name, pair in index.items() if isinstance(pair, list | tuple) and len(pair) == 2}
    wanted = {name: pair for name, pair in pairs.items() if name not in adapter.without and pair[0] in LIBRARIES}
    kinds = [(name, _class(*pair)) for name, pair in wanted.items()]
    return [(name, kind) for name, kind in kinds if issubclass(kind, torch.nn.Module)]


def _component_mb(adapter: Any, model: Model, dtype: torch.dtype, name: str, kind: Any) -> float:
    where = {"subfolder": name, "revision": model.revision}
    with torch.device("meta"):
        if hasattr(kind, "from_config"):
            config = kind.load_config(model.location, **where)
            module = kind.from_config(config)
            dtype = decoder_dtype(model, dtype, config.get("force_upcast")) if name == "vae" else dtype
        else:
            module = kind(kind.config_class.from_pretrained(model.location, **where))
    eight = model.quantization is not None and name == adapter.denoiser
    named = [*module.named_parameters(), *module.named_buffers()]
    widths = [1 if eight and in_eight_bits(key, value.shape) else dtype.itemsize for key, value in named]
    return float(sum(width * value.numel() for width, (_, value) in zip(widths, named, strict=True))) / 1e6


def _class(library: str, name: str) -> Any:
    return getattr(import_module(library), name)
