"""Settings of workers: what they serve, on which devices, and how. Put together in `core.settings`."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings


class EngineSettings(BaseSettings):
    """What is served, and how devices are used."""

    family: str = Field("embedded", description="Family served: a file of families/ or a path to one.")
    devices: str = Field(
        "auto",
        description="Devices, comma separated (`cuda:0,cuda:1`, `cpu:0,cpu:1`). auto: every GPU, else one CPU slot.",
    )
    threads: int = Field(0, ge=0, description="torch threads a worker. 0: cores divided by CPU workers.")
    dtype: Literal["auto", "float32", "bfloat16", "float16", "float64"] = Field(
        "auto", description="Data type of the denoisers. auto: float32 on the CPU, bfloat16 on CUDA."
    )
    compile: Literal["auto", "on", "off"] = Field(
        "off",
        description="Compile the repeated blocks of diffusers denoisers (CUDA): up to a minute at each load. auto: "
        "kept for the numbers of rows where it is measured faster.",
    )
    cuda_graphs: Literal["auto", "on", "off"] = Field(
        "auto",
        description="Replay steps as CUDA graphs. auto: for the numbers of rows where it is measured faster and memory "
        "is ample.",
    )
    attention: Literal["auto", "default", "flash", "cudnn", "efficient"] = Field(
        "default",
        description="Attention back-end preferred in denoisers (CUDA). auto: measured at load; default: as PyTorch "
        "orders them.",
    )
    max_batch: int = Field(8, ge=1, description="Most rows that one denoising step carries.")
    memory_mb: int = Field(0, ge=0, description="Memory for resident models a worker. 0: 80 % of the device's.")
    lora_mb: int = Field(
        1024, ge=1, description="Memory for resident LoRAs a worker, beside its models (MB); the oldest leave first."
    )
