"""LoRAs: what a family file says of each, and how requests name them (Hu et al. 2021, low-rank adaptation).

A LoRA is a small addition to a model's weights, kept in a file of its own. A request names some, each with a weight; a
row of the database has them as text, `watercolor:0.8,detail:1`, by name: the same set is always the same text.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from pydantic import BaseModel, ConfigDict, Field, field_validator
from safetensors import SafetensorError, safe_open

from core.errors import LoraDamaged
from core.settings import ROOT

MOST = 5  # of one request
LEAST_WEIGHT, MOST_WEIGHT = -5.0, 5.0
DIGITS = 4  # of a weight, after the point
NAME_CHARS = 64
NAME = re.compile(r"[\w.+()-]+(?: [\w.+()-]+)*")
SUFFIX = ".safetensors"
PICKLED = (".bin", ".ckpt", ".pkl", ".pt", ".pth")  # formats whose reading runs what is in them
#: Adapters of `workers/pipelines` whose diffusers class loads LoRAs.
PIPELINES = ("stable-diffusion", "stable-diffusion-xl", "stable-diffusion-3", "flux")


class LoraUse(NamedTuple):
    """A LoRA that a request names, and how strongly it acts."""

    name: str
    weight: float


class Lora(BaseModel):
    """A LoRA as the family file has it; `models` are those of the family that it was trained for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(max_length=NAME_CHARS)
    path: str  # a file of safetensors, or a folder with one; in the repository or absolute
    models: tuple[str, ...] = Field(min_length=1)
    weight: float = Field(default=1.0, ge=LEAST_WEIGHT, le=MOST_WEIGHT)  # where a request gives none
    words: tuple[str, ...] = ()  # that it was trained to answer to
    sha256: str | None = Field(default=None, pattern="^[0-9a-f]{64}$")

    @field_validator("id")
    @classmethod
    def _has_a_name_that_can_be_written(cls, name: str) -> str:
        if not NAME.fullmatch(name):
            raise ValueError(f"a LoRA's name has letters, digits, single spaces and . + ( ) - _, not {name!r}")
        return name

    @field_validator("path")
    @classmethod
    def _is_no_pickle(cls, path: str) -> str:
        if path.lower().endswith(PICKLED):
            raise ValueError(f"{path!r} is a pickle, which could run anything when it is read: use {SUFFIX}")
        return path

    def file(self) -> Path:
        """Its file; raises `LoraDamaged` where it is not there or a folder does not have exactly one."""
        path = ROOT / self.path  # an absolute path stays one
        files = [path] if path.is_file() else sorted(path.glob(f"*{SUFFIX}"))
        if len(files) != 1 or files[0].suffix != SUFFIX:
            there = f"has {len(files)} files {SUFFIX}" if path.is_dir() else "is no such file"
            raise LoraDamaged(f"LoRA {self.id!r}: {path} {there}; one is wanted.", field=f"loras.{self.id}.path")
        return files[0]

    def checked(self) -> Path:
        """Its file, whole and with the checksum that the family file names; raises `LoraDamaged`."""
        file = self.file()
        try:
            with safe_open(file, framework="numpy"):  # reads the header, and compares it with the file's size
                pass
        except (OSError, SafetensorError) as error:
            raise LoraDamaged(
                f"LoRA {self.id!r}: {file} is damaged: {error}. Restore it.", field=f"loras.{self.id}.path"
            ) from error
        if self.sha256 is not None and (found := _sha256(file)) != self.sha256:
            raise LoraDamaged(
                f"LoRA {self.id!r}: {file} has the SHA-256 {found}, not {self.sha256}. Restore the file.",
                field=f"loras.{self.id}.sha256",
            )
        return file


def read_loras(text: str | None) -> tuple[LoraUse, ...]:
    """Those of a row, by name."""
    parts = (part.rpartition(":") for part in (text or "").split(",") if part)
    return tuple(LoraUse(name, float(weight)) for name, _, weight in parts)


def written_loras(uses: Iterable[LoraUse]) -> str | None:
    """As a row has them; none where there are none."""
    return ",".join(f"{name}:{weight:g}" for name, weight in sorted(uses)) or None


def tags(text: str | None) -> str:
    """Those of a row as the web UI of AUTOMATIC1111 writes them into a prompt."""
    return " ".join(f"<lora:{name}:{weight:g}>" for name, weight in read_loras(text))


def _sha256(file: Path) -> str:
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
