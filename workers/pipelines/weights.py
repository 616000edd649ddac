"""What weights take on a device, read from the headers of their files: nothing is loaded."""

from __future__ import annotations

import json
from collections.abc import Iterable
from math import prod
from pathlib import Path

import torch

FLOATING = ("F64", "F32", "F16", "BF16", "F8_E4M3", "F8_E5M2")
BYTES = {"I64": 8, "I32": 4, "I16": 2, "I8": 1, "U8": 1, "BOOL": 1}


def megabytes(files: Iterable[Path], dtype: torch.dtype) -> float:
    """MB of the tensors in safetensors files, once those of floating point have this dtype."""
    return sum(_bytes(file, dtype) for file in files) / 1e6


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


def _bytes(file: Path, dtype: torch.dtype) -> int:
    """A safetensors file begins with the length of its header (8 bytes, little endian) and the header, JSON."""
    with file.open("rb") as opened:
        header = json.loads(opened.read(int.from_bytes(opened.read(8), "little")))
    tensors = [entry for name, entry in header.items() if name != "__metadata__"]
    return sum(prod(entry["shape"]) * _width(entry["dtype"], dtype) for entry in tensors)


def _width(stored: str, dtype: torch.dtype) -> int:
    return dtype.itemsize if stored in FLOATING else BYTES.get(stored, 8)
