"""Loading diffusers pipelines by hub name or local path, and what all latent-diffusion adapters do alike."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from diffusers.utils import logging as diffusers_log
from huggingface_hub import try_to_load_from_cache
from torch import Tensor
from transformers.utils import logging as transformers_log

from core.errors import WeightsDamaged
from core.families import Model
from core.prompt_window import ENCODERS, PromptWindow, window
from workers.pipelines import weights
from workers.pipelines.base import Adapter
from workers.pipelines.configured import configured_mb
from workers.pipelines.loras import add_lora
from workers.pipelines.quantization import quantize

log = logging.getLogger(__name__)


def from_hub(kind: Any, model: Model, device: str, dtype: torch.dtype, **components: Any) -> Any:
    """The real pipeline class, by `from_pretrained`; components given as None are left out.

    A path `random:sdxl` builds that architecture with random weights on the device instead (`random_weights.py`).

    Raises:
        WeightsDamaged: nothing there, or not loadable; the message names the model and says what to do.
    """
    if model.path.startswith("random:"):
        from workers.pipelines.random_weights import build

        return build(model.path.removeprefix("random:"), device=device, dtype=dtype)
    diffusers_log.disable_progress_bar()
    transformers_log.disable_progress_bar()
    try:
        where = {"variant": model.variant, "revision": model.revision}
        return kind.from_pretrained(model.location, dtype=dtype, use_safetensors=True, **where, **components)
    except (OSError, ValueError, KeyError) as error:
        raise WeightsDamaged(
            f"Model {model.id!r} could not be loaded from {model.path!r}: {error}. "
            f"Give a local folder or a Hugging Face name in the family file, and download it once."
        ) from error


def snapshot(model: Model) -> Path | None:
    """The folder of a pipeline: its own, or where the hub's cache has it; None where it was not downloaded yet."""
    if Path(model.location).is_dir():
        return Path(model.location)
    index = try_to_load_from_cache(model.path, "model_index.json", revision=model.revision)
    return Path(index).parent if isinstance(index, str) else None


def _is_not_about_a_long_prompt(record: logging.LogRecord) -> bool:
    """The request says it (`truncated_tokens`): a line a prompt would bury the log."""
    return "truncated because" not in str(record.msg)


def _upcast(component: Path) -> bool:
    """Whether an autoencoder asks for float32 though the rest has half precision."""
    config = component / "config.json"
    return config.is_file() and bool(json.loads(config.read_text()).get("force_upcast"))


class LatentDiffusion(Adapter):
    """A diffusers pipeline with a KL autoencoder: noise and image shapes, and decoding."""

    pipeline: Any  # the diffusers class
    denoiser: str  # attribute that holds the denoiser
    without: tuple[str, ...] = ()  # components not loaded
    tile = 512  # pixels

    def load(self) -> Any:
        self.pipe = from_hub(self.pipeline, self.model, str(self.device), self.dtype, **dict.fromkeys(self.without))
        self.pipe.to(self.device)
        self.net = getattr(self.pipe, self.denoiser)
        if self.model.added_lora is not None:
            add_lora(self, self.model.added_lora)
        self.pipe.vae.to(weights.decoder_dtype(self.model, self.dtype, self.pipe.vae.config.get("force_upcast")))
        for module in self.modules():
            module.eval().requires_grad_(False)
        quantize(self.net, self.model, self.device)
        self._window = self._loaded_window()
        logging.getLogger(self.pipeline.__module__).addFilter(_is_not_about_a_long_prompt)
        return self.pipe.scheduler

    @property
    def prompt_tokens(self) -> int:
        """Tokens that the encoder with the longest window reads."""
        return self.model.prompt_tokens or ENCODERS[self.model.pipeline][1]

    def prompt_window(self) -> PromptWindow | None:
        return self._window

    def _loaded_window(self) -> PromptWindow | None:
        tokenizer = getattr(self.pipe, ENCODERS[self.model.pipeline][0], None)
        backend = getattr(tokenizer, "backend_tokenizer", None)
        return window(backend, self.prompt_tokens) if backend is not None else None

    @classmethod
    def expected_mb(cls, model: Model, dtype: torch.dtype) -> float:
        if model.path.startswith("random:"):
            from workers.pipelines.random_weights import expected_mb

            return expected_mb(model.path.removeprefix("random:"), dtype, model.quantization is not None)
        folder = snapshot(model)
        if folder is None or not any(folder.rglob("*.safetensors")):
            return configured_mb(cls, model, dtype)
        parts = [part for part in sorted(folder.iterdir()) if part.is_dir() and part.name not in cls.without]
        of_decoder = weights.decoder_dtype(model, dtype, _upcast(folder / "vae"))
        dtypes = {part: of_decoder if part.name == "vae" else dtype for part in parts}
        files = {part: weights.files_of_component(part, model.variant) for part in parts}
        eight = {part: model.quantization is not None and part.name == cls.denoiser for part in parts}
        return sum(weights.megabytes(files[part], dtypes[part], eight[part]) for part in parts)

    def modules(self) -> list[torch.nn.Module]:
        return [part for part in self.pipe.components.values() if isinstance(part, torch.nn.Module)]

    def noise_shape(self, request: Any) -> tuple[int, ...]:
        scale = self.pipe.vae_scale_factor
        return (self.net.config.in_channels, request.height // scale, request.width // scale)

    def image_of(self, latent: Tensor, size: tuple[int, int]) -> Tensor:
        vae = self.pipe.vae
        pixels: Tensor = vae.decode(self.unscaled(latent).to(vae.dtype), return_dict=False)[0]
        return pixels

    @torch.inference_mode()
    def latent_of(self, pixels: Tensor, generator: torch.Generator | None = None) -> Tensor:
        vae = self.pipe.vae
        found = vae.encode(pixels.to(self.device, vae.dtype)).latent_dist
        encoded = (found.mode() if generator is None else found.sample(generator)).to(self.state_dtype)
        zero, one = (self.unscaled(torch.full_like(encoded, value)) for value in (0.0, 1.0))
        latent: Tensor = ((encoded - zero) / (one - zero))[0]  # back through what decoding multiplies and adds
        return latent

    @contextmanager
    def tiling(self, wanted: bool) -> Iterator[None]:
        """Decode in overlapping tiles of `tile` pixels meanwhile: their seams are blended, their memory is a tile's.

        The autoencoder's own tile is as large as the images it was trained on, which saves nothing at that size.
        """
        vae = self.pipe.vae
        if not wanted or not hasattr(vae, "tile_sample_min_size"):
            yield
            return
        sizes = vae.tile_sample_min_size, vae.tile_latent_min_size
        vae.tile_sample_min_size, vae.tile_latent_min_size = self.tile, self.tile // self.pipe.vae_scale_factor
        vae.enable_tiling()
        try:
            yield
        finally:
            vae.disable_tiling()
            vae.tile_sample_min_size, vae.tile_latent_min_size = sizes

    def unscaled(self, latent: Tensor) -> Tensor:
        """From the denoiser's scale to the autoencoder's."""
        config = self.pipe.vae.config
        if config.get("latents_mean") and config.get("latents_std"):
            mean, std = (
                torch.tensor(config[name], device=latent.device, dtype=latent.dtype).view(1, -1, 1, 1)
                for name in ("latents_mean", "latents_std")
            )
            unscaled: Tensor = latent * std / config.scaling_factor + mean
        else:
            unscaled = latent / config.scaling_factor + (config.get("shift_factor") or 0.0)
        return unscaled


class UNetDiffusion(LatentDiffusion):
    """A latent-diffusion pipeline around a UNet; UNets are faster with channels last."""

    denoiser = "unet"

    def load(self) -> Any:
        scheduler = super().load()
        self.net.to(memory_format=torch.channels_last)
        return scheduler

    @property
    def distilled(self) -> bool:
        """Guidance is an input of the network (LCM), not a second half."""
        return self.net.config.time_cond_proj_dim is not None

    def guides(self, guidance: float) -> bool:
        return guidance > 1.0 and not self.distilled

    def guidance_input(self, guidance: float) -> dict[str, Tensor]:
        """The network's guidance input where it has one."""
        if not self.distilled:
            return {}
        width = self.net.config.time_cond_proj_dim
        embedded = self.pipe.get_guidance_scale_embedding(torch.tensor([guidance - 1.0]), embedding_dim=width)
        return {"guidance": embedded[0].to(self.device, self.dtype)}
