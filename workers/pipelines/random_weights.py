"""Pipelines of the real classes with random weights: at full width to measure speed, at toy width to test.

Images of random weights are noise; speed, memory and shapes are those of the architecture. Nothing is downloaded:
the tokenizers know letters only.
"""

from __future__ import annotations

from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import diffusers
import torch
from torch.overrides import TorchFunctionMode
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, T5Config, T5EncoderModel

from core.families import Defaults, Family, Limits, Model, Quantization, Scorer
from core.levels import Level
from workers.pipelines.letter_tokenizers import clip_tokenizer, t5_tokenizer
from workers.pipelines.weights import HALF, in_eight_bits

ARCHITECTURES = {
    "sd15": "stable-diffusion",
    "sdxl": "stable-diffusion-xl",
    "sd3": "stable-diffusion-3",
    "flux": "flux",
    "pixart-alpha": "pixart-alpha",
    "pixart-sigma": "pixart-sigma",
}
BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}
SCHEDULERS = {  # as the checkpoints ship them
    "sd15": lambda: diffusers.PNDMScheduler(skip_prk_steps=True, steps_offset=1, **BETAS),
    "sdxl": lambda: diffusers.EulerDiscreteScheduler(steps_offset=1, timestep_spacing="leading", **BETAS),
    "sd3": lambda: diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
    "flux": lambda: diffusers.FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift=3.0),
    **dict.fromkeys(("pixart-alpha", "pixart-sigma"), diffusers.DPMSolverMultistepScheduler),
}


def build(
    architecture: str,
    toy: bool = False,
    seed: int = 0,
    scheduler: Any = None,
    device: str = "cpu",
    dtype: torch.dtype = torch.float32,
    **denoiser: Any,
) -> Any:
    """A diffusers pipeline of an architecture of `ARCHITECTURES`, its weights drawn on the device in their final dtype.

    Args:
        toy: a few channels instead of the published widths.
        scheduler: instead of the one the checkpoint ships.
        denoiser: changes to the denoiser's configuration.
    """
    builders: dict[str, Any] = {"sd15": _sd15, "sdxl": _sdxl, "sd3": _sd3, "flux": _flux}
    builders |= {"pixart-alpha": partial(_pixart, False), "pixart-sigma": partial(_pixart, True)}
    on_cuda = [device] if device.startswith("cuda") else []
    scheduler = scheduler or SCHEDULERS[architecture]()  # type: ignore[no-untyped-call]  # schedulers compute on the CPU
    with torch.random.fork_rng(devices=on_cuda), torch.device(device), _Weights(dtype):
        torch.manual_seed(seed)
        pipeline = builders[architecture](toy, scheduler, denoiser)
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            torch.nn.Module.to(part, dtype)  # buffers may have a dtype of their own
    return pipeline


@lru_cache(maxsize=32)
def expected_mb(architecture: str, dtype: torch.dtype, quantized: bool = False) -> float:
    """What `build` will take in use, from the shapes alone: half-precision models keep some autoencoders in float32."""
    pipeline = build(architecture, device="meta", dtype=dtype)
    upcast = pipeline.vae if dtype in HALF and pipeline.vae.config.force_upcast else None
    parts = [part for part in pipeline.components.values() if isinstance(part, torch.nn.Module)]
    widths = {id(part): torch.float32.itemsize if part is upcast else dtype.itemsize for part in parts}
    named = [(widths[id(part)], name, tensor) for part in parts for name, tensor in part.named_parameters()]
    return (
        sum(
            tensor.numel() * (1 if quantized and in_eight_bits(name, tensor.shape) else width)
            for width, name, tensor in named
        )
        / 1e6
    )


class _Weights(TorchFunctionMode):
    """New tensors get this dtype where none is named: a large model would not fit in float32 first.

    Unlike `torch.set_default_dtype` it concerns this thread alone.
    """

    FACTORIES = (torch.empty, torch.zeros, torch.ones, torch.randn, torch.rand, torch.full)

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in self.FACTORIES and kwargs.get("dtype") is None:
            kwargs = {**kwargs, "dtype": self.dtype}
        return func(*args, **kwargs)


def _sd15(toy: bool, scheduler: Any, changes: dict[str, Any]) -> Any:
    states = 32 if toy else 768
    return diffusers.StableDiffusionPipeline(
        vae=_autoencoder(toy),
        text_encoder=_clip(toy, states),
        tokenizer=clip_tokenizer(),
        unet=_unet(
            toy,
            {
                "block_out_channels": (320, 640, 1280, 1280),
                "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
                "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
                "sample_size": 64,
                "attention_head_dim": 8,
            },
            states,
            changes,
        ),
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def _sdxl(toy: bool, scheduler: Any, changes: dict[str, Any]) -> Any:
    first, second = (32, 32) if toy else (768, 1280)
    return diffusers.StableDiffusionXLPipeline(
        vae=_autoencoder(toy, scaling_factor=0.13025),
        text_encoder=_clip(toy, first),
        text_encoder_2=_clip(toy, second, projected=True, layers=32, heads=20),
        tokenizer=clip_tokenizer(),
        tokenizer_2=clip_tokenizer(),
        unet=_unet(
            toy,
            {
                "block_out_channels": (320, 640, 1280),
                "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
                "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
                "transformer_layers_per_block": [1, 2, 10],
                "attention_head_dim": [5, 10, 20],
                "sample_size": 128,
            },
            first + second,
            {
                "addition_embed_type": "text_time",
                "addition_time_embed_dim": 8 if toy else 256,
                "projection_class_embeddings_input_dim": second + 6 * (8 if toy else 256),
                "use_linear_projection": True,
                **changes,
            },
        ),
        scheduler=scheduler,
        force_zeros_for_empty_prompt=True,
    )


def _sd3(toy: bool, scheduler: Any, changes: dict[str, Any]) -> Any:
    states = 32 if toy else 768
    wide = {
        "sample_size": 128,
        "patch_size": 2,
        "num_layers": 24,
        "attention_head_dim": 64,
        "num_attention_heads": 24,
        "caption_projection_dim": 1536,
        "pos_embed_max_size": 192,
        "joint_attention_dim": 4096,
    }
    small = {
        "sample_size": 8,
        "patch_size": 2,
        "num_layers": 1,
        "attention_head_dim": 8,
        "num_attention_heads": 4,
        "caption_projection_dim": 32,
        "pos_embed_max_size": 16,
        "joint_attention_dim": 64,
    }
    second = 32 if toy else 1280
    config = {
        **(small if toy else wide),
        "in_channels": 16,
        "out_channels": 16,
        "pooled_projection_dim": states + second,
    }
    return diffusers.StableDiffusion3Pipeline(
        transformer=diffusers.SD3Transformer2DModel(**{**config, **changes}),
        scheduler=scheduler,
        vae=_autoencoder(toy, channels=16, scaling_factor=1.5305, shift_factor=0.0609),
        text_encoder=_clip(toy, states, projected=True),
        tokenizer=clip_tokenizer(),
        text_encoder_2=_clip(toy, second, projected=True, layers=32, heads=20),
        tokenizer_2=clip_tokenizer(),
        text_encoder_3=_t5(toy, config["joint_attention_dim"]),
        tokenizer_3=t5_tokenizer(),
    )


def _flux(toy: bool, scheduler: Any, changes: dict[str, Any]) -> Any:
    wide = {"num_layers": 19, "num_single_layers": 38, "attention_head_dim": 128, "num_attention_heads": 24}
    small = {
        "num_layers": 1,
        "num_single_layers": 1,
        "attention_head_dim": 16,
        "num_attention_heads": 2,
        "axes_dims_rope": (4, 4, 8),
    }
    pooled, joint = (32, 32) if toy else (768, 4096)
    config = {
        **(small if toy else wide),
        "in_channels": 64,
        "joint_attention_dim": joint,
        "pooled_projection_dim": pooled,
    }
    return diffusers.FluxPipeline(
        transformer=diffusers.FluxTransformer2DModel(**{**config, "guidance_embeds": True, **changes}),
        scheduler=scheduler,
        vae=_autoencoder(toy, channels=16, scaling_factor=0.3611, shift_factor=0.1159),
        text_encoder=_clip(toy, pooled),
        tokenizer=clip_tokenizer(),
        text_encoder_2=_t5(toy, joint),
        tokenizer_2=t5_tokenizer(),
    )


def _pixart(sigma: bool, toy: bool, scheduler: Any, changes: dict[str, Any]) -> Any:
    states = 32 if toy else 4096
    heads, width, layers = (2, 12, 1) if toy else (16, 72, 28)
    config = {
        "num_attention_heads": heads,
        "attention_head_dim": width,
        "cross_attention_dim": heads * width,
        "num_layers": layers,
        "caption_channels": states,
        "sample_size": 8 if toy else 128,
        "interpolation_scale": 2,
        "use_additional_conditions": not sigma,
    }
    pipeline = diffusers.PixArtSigmaPipeline if sigma else diffusers.PixArtAlphaPipeline
    return pipeline(
        transformer=diffusers.PixArtTransformer2DModel(**{**config, **changes}),
        scheduler=scheduler,
        vae=_autoencoder(toy, scaling_factor=0.13025 if sigma else 0.18215),
        text_encoder=_t5(toy, states),
        tokenizer=t5_tokenizer(),
    )


def _unet(toy: bool, shape: dict[str, Any], states: int, changes: dict[str, Any]) -> Any:
    config: dict[str, Any] = {"in_channels": 4, "out_channels": 4, "layers_per_block": 2, **shape}
    if toy:
        config |= {
            "block_out_channels": (8, 16),
            "layers_per_block": 1,
            "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D"),
            "up_block_types": ("CrossAttnUpBlock2D", "UpBlock2D"),
            "attention_head_dim": 4,
            "norm_num_groups": 4,
            "sample_size": 8,
            "transformer_layers_per_block": 1,
        }
    return diffusers.UNet2DConditionModel(**{**config, "cross_attention_dim": states, **changes})


def _autoencoder(toy: bool, channels: int = 4, **config: Any) -> Any:
    widths = (8, 8, 8, 8) if toy else (128, 256, 512, 512)
    return diffusers.AutoencoderKL(
        block_out_channels=widths,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1 if toy else 2,
        norm_num_groups=4 if toy else 32,
        latent_channels=channels,
        sample_size=64 if toy else 1024,
        **config,
    )


def _clip(toy: bool, width: int, projected: bool = False, layers: int = 12, heads: int = 12) -> Any:
    tokenizer = clip_tokenizer()
    config = CLIPTextConfig(
        hidden_size=width,
        intermediate_size=64 if toy else 4 * width,
        projection_dim=width,
        num_hidden_layers=2 if toy else layers,
        num_attention_heads=4 if toy else heads,
        vocab_size=len(tokenizer) if toy else 49408,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return (CLIPTextModelWithProjection if projected else CLIPTextModel)(config).eval()  # type: ignore[no-untyped-call]


def _t5(toy: bool, width: int) -> Any:
    config = T5Config(
        d_model=width,
        d_ff=64 if toy else 10240,
        d_kv=8 if toy else 64,
        num_heads=4 if toy else 64,
        num_layers=1 if toy else 24,
        vocab_size=len(t5_tokenizer()) if toy else 32128,
        feed_forward_proj="gated-gelu",
    )
    return T5EncoderModel(config).eval()


def random_family(
    architecture: str,
    folder: Path | None = None,
    toy: bool = False,
    scheduler: Any = None,
    quantization: Quantization | None = None,
    **denoiser: Any,
) -> Family:
    """A family of one model of that architecture: levels exact, fs-10 and ac-4 of 20 steps.

    With a folder the pipeline is saved there and loaded from it; without, it is built when the model is loaded.
    """
    if folder is not None:
        build(architecture, toy, scheduler=scheduler, **denoiser).save_pretrained(folder)
    side = 64 if toy else {"sd15": 512}.get(architecture, 1024)
    path = f"random:{architecture}" if folder is None else str(folder)
    model = Model(id="random", pipeline=ARCHITECTURES[architecture], path=path, quantization=quantization)
    levels = [
        Level(id="exact", strategy="exact", model=model.id),
        Level(id="fs-10", strategy="fs", model=model.id, steps=10),
        Level(id="ac-4", strategy="ac", model=model.id, skip=4),
    ]
    return Family(
        id=f"random-{architecture}",
        title=f"{architecture}, random weights: its images are noise",
        version="random",
        reference="exact",
        defaults=Defaults(steps=20, guidance=3.5 if architecture == "flux" else 5.0, width=side, height=side),
        limits=Limits(steps=(1, 100), guidance=(0.0, 20.0), sizes=((side, side),)),
        models={model.id: model},
        levels={level.id: level for level in levels},
        scorer=Scorer(kind="hf-clip", path=""),
    )
