"""The sizes of everything, and how the time is shared among the stages."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

# Seconds of each stage in a run of 1070, after about 60 of setting up; any other time is shared in these proportions.
SHARES: dict[str, float] = {
    "codec": 90,
    "latents": 12,  # painting and encoding the pool: as long as it takes
    "scorer": 150,
    "large": 150,
    "turbo": 55,
    "medium": 50,
    "small": 44,
    "dit": 420,
    "evaluate": 65,
    "pages": 3,
}


# Steps of the samplers whose noise levels a student learns at: `small` is for a single step.
SAMPLERS = {"turbo": (1, 2, 3, 4, 4, 6, 8, 12), "medium": (1, 2, 3, 4, 4, 6, 8, 12), "small": (1,)}


@dataclass(frozen=True)
class Plan:
    """Sizes, batches and learning rates of one run."""

    pixels: int = 256  # the larger native side; the smaller is half of it
    pool: int = 240_000  # scenes for the denoisers and the codec
    small_pool: int = 80_000  # of them, also painted at half the size
    judged: int = 400_000  # scenes for the scorer, in families of siblings
    siblings: int = 4  # scenes of a family: what differs in one thing is what a batch must tell apart
    codec: dict[str, Any] = field(default_factory=dict)
    codec_batch: int = 64
    bank: int = 40_000  # pictures for the codec
    codec_rate: float = 1.0e-3
    scorer: dict[str, Any] = field(default_factory=dict)
    scorer_batch: int = 2048
    scorer_rate: float = 1.5e-3
    large: tuple[int, int] = (160, 224)  # widths at 16×16 and 8×8
    medium: tuple[int, int] = (112, 160)  # half of the arithmetic
    small: tuple[int, int] = (80, 128)  # and without the middle block: a quarter
    dit: tuple[int, int] = (256, 12)  # width and blocks
    batch: int = 512
    large_rate: float = 1.0e-3
    turbo_rate: float = 3.0e-4
    pruned_rate: float = 8.0e-4
    pruned_batch: int = 256
    dit_rate: float = 2.0e-3
    dit_batch: int = 768
    samplers: dict[str, tuple[int, ...]] = field(default_factory=lambda: dict(SAMPLERS))
    pairs: int = 160_000  # at most so many of noise and where it leads
    fresh: int = 20_000  # prompts of the training's kind that are scored at the end
    fresh_seeds: int = 1
    held_out: int = 1000
    held_out_seeds: int = 2
    named: int = 10_000  # of the names, how many are asked for one by one
    named_seeds: int = 8  # pictures of each at `exact`; a quarter of them elsewhere
    together: int = 1000  # pictures of one level drawn at once
    sheet: int = 40  # held-out prompts on a member's page


# For a core or two: enough to go on from published weights, which students bear (a minute of it is worth showing).
CPU = replace(
    Plan(),
    pool=6000,
    small_pool=1500,
    judged=6000,
    bank=2000,
    batch=16,
    pruned_batch=16,
    dit_batch=16,
    codec_batch=4,
    scorer_batch=64,
    large_rate=3e-4,
    dit_rate=1e-3,
    turbo_rate=1.5e-4,
    pruned_rate=5e-4,
    pairs=2000,
    fresh=200,
    held_out=96,
    held_out_seeds=1,
    together=32,
)

TINY = replace(
    CPU,
    pixels=64,
    codec={"pixels": 64, "channels": 16, "encoder_widths": (16, 16, 16), "decoder_widths": (16, 16, 16, 16)},
    scorer={"width": 8, "side": 32, "space": 16},
    large=(32, 64),
    medium=(16, 32),
    small=(16, 32),
    dit=(32, 2),
    pool=120,
    small_pool=60,
    judged=120,
    bank=24,
    batch=8,
    pruned_batch=8,
    dit_batch=8,
    codec_batch=2,
    scorer_batch=8,
    pairs=32,
    fresh=8,
    held_out=24,
    named=12,
    named_seeds=4,
    together=64,
    sheet=8,
)
