"""The ways to run one step at 1024 pixels: attention back-ends, compiled blocks, graphs, feature caches, eight bits."""

from __future__ import annotations

import time
from typing import Any

import torch

from bench.cuda.boxed import Findings
from bench.cuda.setup import Setup, batch_of, psnr, requests_of
from bench.cuda.steps import engine_seconds, network_seconds
from core.families import FAMILIES, Family, Quantization
from core.levels import Level
from families.embedded.codec import ConvCodec
from workers.engine.loading import fastest_forward
from workers.pipelines.attention import BACKENDS, DEFAULT
from workers.pipelines.base import Adapter
from workers.pipelines.fastest_forward import Mode
from workers.pipelines.rows import Batch, Start

CODEC = FAMILIES / "embedded" / "weights" / "codec"
SIDE = 1024
STEPS = {"flux": 28, "sdxl": 50}  # of an image, by default
GOALS_S = {"flux": 3.7}  # of an exact image
TAYLOR: dict[str, float | int | str | bool] = {
    "cache_interval": 2,
    "disable_cache_before_step": 3,
    "use_lite_mode": True,
}
TAYLOR_2, TAYLOR_3 = (
    Level(
        id=f"fc-taylor-{interval}",
        strategy="fc",
        model="random",
        cache="taylorseer",
        options={**TAYLOR, "cache_interval": interval},
    )
    for interval in (2, 3)
)
CACHES = ((TAYLOR_2, False), (TAYLOR_3, False), (TAYLOR_2, True), (TAYLOR_3, True))  # with and without compiled blocks
WARM_UP = 6  # steps, computed and predicted ones among them


def exact(found: Findings, setup: Setup, name: str) -> None:
    """One row: the network with each attention back-end; then the engine as it is, with graphs, and compiled."""
    family = setup.family(name, SIDE, STEPS[name])
    adapter = setup.adapter(family)
    recorder = setup.recorder()
    best_ms = 1000 * _by_attention(found, setup, adapter, family)
    reference = _prediction(adapter, family)
    settings: list[tuple[Mode, Mode]] = [("off", "off"), ("off", "auto"), ("auto", "auto")]
    for compiling, graphs in settings:
        began = time.perf_counter()
        adapter.fastest = fastest_forward(adapter, recorder, compiling, graphs)
        way = _measured(adapter, family) if adapter.fastest else "plain"
        prepared_s = time.perf_counter() - began
        step = _step(setup, adapter, family, name)
        best_ms = min(best_ms, step["step_ms"])
        found.figure(
            case=f"{name} {SIDE}, 1 row",
            way=way,
            **step,
            prepared_s=prepared_s,
            difference=float((_prediction(adapter, family) - reference).norm() / reference.norm()),
        )
    if setup.on_cuda and name in GOALS_S:
        image_s = STEPS[name] * best_ms / 1000
        found.expect(image_s <= GOALS_S[name], f"{name}, {STEPS[name]} steps: {image_s:.2f} s (goal {GOALS_S[name]})")
    _cached(found, setup, adapter, family)


def _step(setup: Setup, adapter: Adapter, family: Family, name: str) -> dict[str, Any]:
    """What the engine takes for a step of one row, for an image, and of memory."""
    step_ms = 1000 * engine_seconds(setup, adapter, family, 1)
    image_s = STEPS[name] * step_ms / 1000
    return {
        "attention": adapter.attention,
        "step_ms": step_ms,
        "image_s": image_s,
        "memory_mb": round(adapter.memory_mb),
    }


def _by_attention(found: Findings, setup: Setup, adapter: Adapter, family: Family) -> float:
    """Seconds of the bare network with PyTorch's own order."""
    seconds: dict[str, float] = {}
    given = batch_of(adapter, family, 1).halves()
    for name in 2 * (DEFAULT, *BACKENDS):  # in turns, the better of two: the first may meet cold kernels
        adapter.attention = name
        with torch.inference_mode():
            taken = setup.seconds(lambda: adapter.attended(*given))
        seconds[name] = min(taken, seconds.get(name, taken))
    adapter.attention = DEFAULT
    for name, s in seconds.items():
        found.figure(
            case=f"{family.id.removeprefix('random-')} {SIDE}, 1 row",
            way="bare network",
            attention=name,
            step_ms=1000 * s,
        )
    return network_seconds(setup, adapter, family, 1)


@torch.inference_mode()
def _measured(adapter: Adapter, family: Family) -> str:
    assert adapter.fastest is not None
    return adapter.fastest.measure(*batch_of(adapter, family, 1).halves())


@torch.inference_mode()
def _prediction(adapter: Adapter, family: Family) -> torch.Tensor:
    return adapter.denoise(batch_of(adapter, family, 1)).float()


def _cached(found: Findings, setup: Setup, adapter: Adapter, family: Family) -> None:
    """Whole images at levels with a feature cache, blocks as they are and compiled."""
    if not hasattr(adapter.net, "enable_cache"):
        return
    steps = family.defaults.steps
    for level, adapter.compiles in CACHES if setup.on_cuda else CACHES[:2]:
        adapter.add_feature_cache(level)
        _run(adapter, family, level, WARM_UP)
        setup.wait()
        began = time.perf_counter()
        _run(adapter, family, level, steps)
        setup.wait()
        image_s = time.perf_counter() - began
        found.figure(
            case=f"{family.id.removeprefix('random-')} {SIDE}, {level.id}, 1 row",
            way="compiled" if adapter.compiles else "plain",
            attention=adapter.attention,
            step_ms=1000 * image_s / steps,
            image_s=image_s,
        )
    adapter.feature_caches, adapter.compiles = {}, False


def _run(adapter: Adapter, family: Family, level: Level, steps: int) -> None:
    """So many steps of one row at an `fc` level."""
    (request,) = requests_of(family, 1)
    row = adapter.prepare(request, Start(steps), request.guidance)
    row.cache_context = adapter.feature_caches[level.id].context("bench")
    batch = Batch.of([row])
    while not row.sampler.done:
        adapter.advance(batch, adapter.denoise(batch))
    row.cache_context.clear()


def quantized(found: Findings, setup: Setup, name: str, quantization: Quantization) -> None:
    """One row of the same architecture in eight bits, as it is and compiled."""
    family = setup.family(name, SIDE, STEPS[name], quantization)
    adapter = setup.adapter(family)
    for compiling in ("off", "on") if setup.on_cuda else ("off",):
        adapter.fastest = fastest_forward(adapter, setup.recorder(), compiling, "auto")
        way = _measured(adapter, family)
        found.figure(case=f"{name} {SIDE}, {quantization}, 1 row", way=way, **_step(setup, adapter, family, name))


def decoders(found: Findings, setup: Setup) -> None:
    """Decoding 1024 pixels: float32, bfloat16, and bfloat16 with channels last."""
    _embedded_decoder(found, setup)
    family = setup.family("sdxl", SIDE)
    adapter: Any = setup.adapter(family)
    row = adapter.prepare(*_first(family))
    for dtype, layout in (
        (torch.float32, torch.contiguous_format),
        (torch.float32, torch.channels_last),
        (torch.bfloat16, torch.contiguous_format),
        (torch.bfloat16, torch.channels_last),
    ):
        adapter.pipe.vae.to(dtype, memory_format=layout)
        seconds = setup.seconds(lambda: adapter.image_of(row.latent[None], row.size), 3)
        found.figure(
            decoder="sdxl",
            dtype=str(dtype).removeprefix("torch."),
            layout=str(layout).removeprefix("torch."),
            decode_ms=1000 * seconds,
            decode_mb=setup.peak_mb(lambda: adapter.image_of(row.latent[None], row.size)),
        )


@torch.inference_mode()
def _embedded_decoder(found: Findings, setup: Setup) -> None:
    """The codec that ships, against its own pictures in float32."""
    codec: Any = ConvCodec.from_pretrained(CODEC, torch_dtype=torch.float32).to(setup.device)
    coarse = torch.rand((8, 3, 12, 12), generator=torch.Generator().manual_seed(1)).to(setup.device)
    smooth = 2 * torch.nn.functional.interpolate(coarse, codec.size, mode="bicubic").clamp(0, 1) - 1
    latents = codec.encode(smooth)
    exact_pictures = codec.decode(latents).numpy()
    for dtype in (torch.float32, torch.bfloat16, *([torch.float16] if setup.on_cuda else [])):
        codec.to(dtype)
        found.figure(
            decoder="embedded",
            dtype=str(dtype).removeprefix("torch."),
            layout="contiguous_format",
            decode_ms=1000 * setup.seconds(lambda: codec.draw(latents.to(codec.dtype)), 3),
            psnr_db=psnr(codec.decode(latents).numpy(), exact_pictures),
        )


def _first(family: Family) -> tuple[Any, Start, float]:
    (request,) = requests_of(family, 1)
    return request, Start(request.steps), request.guidance
