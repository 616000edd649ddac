"""What weights take on a device, read from the headers of their files: nothing is loaded."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from math import prod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from core.errors import WeightsDamaged
from core.families import Model

HALF = (torch.float16, torch.bfloat16)
FLOATING = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")
BYTES = {"I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}
MULTIPLE = 16  # of rows and columns, which float8 products want


def megabytes(files: Iterable[Path], dtype: torch.dtype, quantized: bool = False) -> float:
    """MB of the tensors in safetensors files, once those of floating point have this dtype, or are quantised."""
    return sum(_bytes(file, dtype, quantized) for file in files) / 1e6


def in_eight_bits(name: str, shape: Sequence[int]) -> bool:
    """Whether a weight of this name is quantised where the model asks for it.

    Layers that modulate by the time step (`norm…`) are not: they are small, and all rows depend on them.
    """
    linear = len(shape) == 2 and not any(side % MULTIPLE for side in shape)
    return linear and "transformer_blocks." in name and not any(part.startswith("norm") for part in name.split("."))


def files_below(location: str) -> list[Path]:
    """All weight files of a folder."""
    return sorted(Path(location).rglob("*.safetensors"))


def files_of_component(folder: Path, variant: str | None = None) -> list[Path]:
    """The weight files that diffusers loads of one component: of the variant where there are some, else the plain ones.

    A folder often has the same weights several times: in half precision, or as one file and in parts.
    """
    files = sorted(folder.glob("*.safetensors"))
    special = [file for file in files if variant and f".{variant}." in file.name]
    plain = [file for file in files if file.name.count(".") == 1]
    chosen = special or plain or files
    parts = [file for file in chosen if "-of-" in file.name]
    whole = [file for file in chosen if "-of-" not in file.name]
    return whole[:1] or parts


def decoder_dtype(model: Model, dtype: torch.dtype, upcast: bool | None) -> torch.dtype:
    """That of the autoencoder: as the family file has it, else float32 where a checkpoint in half precision asks."""
    if model.decoder_dtype is not None and dtype in HALF:
        asked: torch.dtype = getattr(torch, model.decoder_dtype)
        return asked
    return torch.float32 if upcast and dtype in HALF else dtype


def bytes_of(tensor: Tensor) -> int:
    """What a tensor takes; a quantised one consists of several."""
    if not hasattr(tensor, "__tensor_flatten__"):
        return tensor.numel() * tensor.element_size()
    inner = [getattr(tensor, name) for name in tensor.__tensor_flatten__()[0]]
    return sum(bytes_of(part) for part in inner if part is not None)


def _bytes(file: Path, dtype: torch.dtype, quantized: bool) -> int:
    header = _header(file)
    tensors = {name: entry for name, entry in header.items() if name != "__metadata__"}
    eight = {name for name, entry in tensors.items() if quantized and in_eight_bits(name, entry["shape"])}
    return sum(
        prod(entry["shape"]) * (1 if name in eight else _width(entry["dtype"], dtype))
        for name, entry in tensors.items()
    )


def _header(file: Path) -> dict[str, Any]:
    """A safetensors file begins with the length of its header (8 bytes, little endian) and the header, JSON.

    Raises `WeightsDamaged` for a file that does not.
    """
    with file.open("rb") as opened:
        length = int.from_bytes(opened.read(8), "little")
        text = opened.read(min(length, file.stat().st_size))
    try:
        header: dict[str, Any] = json.loads(text)
    except ValueError as error:
        raise WeightsDamaged(f"{file} is damaged: {error}. Restore it.") from error
    return header


def _width(stored: str, dtype: torch.dtype) -> int:
    return dtype.itemsize if stored in FLOATING else BYTES.get(stored, 8)
