"""A model with LoRAs: an adapter beside the plain one, in whose denoiser and text encoders peft has put them.

peft wraps the layers that a LoRA changes, and a wrapped layer asks at every call which of its LoRAs are active. So the
layers are those of a copy of the modules with the same weights (`sharing_weights`): the plain adapter, its compiled
blocks and recorded graphs never meet a LoRA. One copy has a fixed set of LoRAs, all of them active; only how strongly
they act differs between its users, and is set before each use. It runs uncompiled and unrecorded.
"""

from __future__ import annotations

import copy
import warnings
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import logging as diffusers_log
from safetensors import safe_open
from transformers.utils import logging as transformers_log

from core.errors import LoraDamaged, LoraUnfit
from core.loras import Lora
from workers.engine.faults import is_device_failure, is_out_of_memory
from workers.pipelines.base import Adapter
from workers.pipelines.compiling import sharing_weights
from workers.pipelines.lora_layers import Layers, Strengths, adapter_name, tuned
from workers.pipelines.weights import bytes_of

TEXT_ENCODERS = ("text_encoder", "text_encoder_2", "text_encoder_3")
#: How names of tensors begin that are for them, as diffusers, kohya-ss and others write them: two architectures may
#: have a text encoder in common, and for one of them a LoRA would act in that alone.
OF_ENCODERS = ("text_encoder", "text_model", "lora_te", "te1.", "te2.")


class LoraSet:
    """A copy of an adapter with some LoRAs loaded.

    Raises:
        LoraDamaged: a file that is missing, truncated, or not the one that the family file names.
        LoraUnfit: one that is not for this model; nothing of it stays.
    """

    def __init__(self, adapter: Any, loras: Sequence[Lora]) -> None:
        self._adapter = _copy_of(adapter)
        pipe, plain = self._adapter.pipe, {id(p) for module in adapter.modules() for p in module.parameters()}
        for number, lora in enumerate(loras):
            _load(self._adapter, lora, adapter_name(number))
        pipe.set_adapters([adapter_name(number) for number in range(len(loras))])
        for module in (self._adapter.net, *_text_encoders(pipe).values()):
            module.eval().requires_grad_(False)
        self._denoiser, self._encoders = Layers([self._adapter.net]), Layers(list(_text_encoders(pipe).values()))
        own = [p for module in self._adapter.modules() for p in module.parameters() if id(p) not in plain]
        self.memory_mb = sum(map(bytes_of, own)) / 1e6
        if adapter.device.type == "cuda":
            torch.cuda.synchronize(adapter.device)  # other streams read them from here on

    def acting(self, weights: tuple[float, ...]) -> Adapter:
        """The adapter for requests that name these LoRAs with these weights, in the order in which they were loaded."""
        seen: Adapter = copy.copy(self._adapter)
        seen.strengths = Strengths(self._denoiser, self._encoders, weights)
        seen._negatives = OrderedDict()  # negative prompts are encoded with LoRAs, too
        return seen


def add_lora(adapter: Any, lora: Lora) -> None:
    """Add a LoRA to the weights of an adapter for good, as of a model that was distilled by one.

    Raises:
        LoraDamaged, LoraUnfit: as `LoraSet`, with the model's field.
    """
    name = adapter_name(0)
    try:
        _load(adapter, lora, name)
    except (LoraDamaged, LoraUnfit) as error:
        raise type(error)(error.message, field=f"models.{adapter.model.id}.lora") from error
    adapter.pipe.fuse_lora(adapter_names=[name])
    adapter.pipe.unload_lora_weights()


def _copy_of(adapter: Any) -> Any:
    """The adapter with modules of its own for denoiser and text encoders, the weights shared."""
    twin = adapter.with_net(sharing_weights(adapter.net))
    twin.pipe, twin.feature_caches = copy.copy(adapter.pipe), {}
    setattr(twin.pipe, adapter.denoiser, twin.net)
    for name, encoder in _text_encoders(adapter.pipe).items():
        setattr(twin.pipe, name, sharing_weights(encoder))
    return twin


def _text_encoders(pipe: Any) -> dict[str, torch.nn.Module]:
    found = {name: getattr(pipe, name, None) for name in TEXT_ENCODERS}
    return {name: module for name, module in found.items() if module is not None}


def _load(adapter: Any, lora: Lora, name: str) -> None:
    """Have diffusers load one into the adapter's pipeline; never a pickle, never from the network."""
    file = lora.checked()
    try:
        with _quiet():
            adapter.pipe.load_lora_weights(
                str(file.parent), weight_name=file.name, adapter_name=name, use_safetensors=True, local_files_only=True
            )
    except Exception as error:
        if is_out_of_memory(error) or is_device_failure(error):
            raise
        raise _unfit(lora, (str(error) or repr(error)).splitlines()[0][:300]) from error
    of_encoders = all(key.startswith(OF_ENCODERS) for key in _tensors(file))
    wanted = _text_encoders(adapter.pipe).values() if of_encoders else [adapter.net]
    if not any(name in layer.scaling for layer in tuned(wanted)):
        raise _unfit(lora, "none of its tensors is for a layer of this model")


def _tensors(file: Path) -> list[str]:
    with safe_open(file, framework="numpy") as opened:
        return list(opened.keys())


@contextmanager
def _quiet() -> Iterator[None]:
    """They warn of each component that a LoRA leaves as it is, and of each LoRA that is there already."""
    before = [(log, log.get_verbosity()) for log in (diffusers_log, transformers_log)]
    for log, _ in before:
        log.set_verbosity_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for log, verbosity in before:
            log.set_verbosity(verbosity)


def _unfit(lora: Lora, why: str) -> LoraUnfit:
    return LoraUnfit(f"LoRA {lora.id!r} does not fit the model: {why}.", field=f"loras.{lora.id}")
