"""Feature caches of diffusers, one state a request: what a denoiser computed at one step is reused at the next.

diffusers' hooks decide once a forward whether to compute or to reuse, and keep their state by the name of a
`cache_context`. In a shared forward one decision would count for all rows, and a batch that grew would get stale rows.
So each request takes forwards of its own, in contexts of its own, through a copy of the denoiser: the same weights in
modules of its own, which alone carry the hooks. The fused rows of other levels never meet them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol, Self

import torch
from diffusers import FirstBlockCacheConfig, TaylorSeerCacheConfig
from diffusers.hooks.hooks import StateManager
from diffusers.models.cache_utils import CacheMixin
from torch import Tensor

from core.errors import BadFamily
from core.families import Model
from core.levels import Level
from workers.pipelines.compiling import compile_blocks, sharing_weights

HALVES = ("cond", "uncond")  # a context each, as diffusers' pipelines have them

#: Those of diffusers whose whole state is kept by context. PyramidAttentionBroadcast and FasterCache count steps in the
#: hook itself, MagCache and SeaCache want a run's length or sigmas: they serve one run at a time.
CONFIGS: dict[str, Callable[..., Any]] = {
    "first-block": lambda dtype, **options: FirstBlockCacheConfig(**options),
    "taylorseer": lambda dtype, **options: TaylorSeerCacheConfig(taylor_factors_dtype=dtype, **options),
}

#: Caches for denoisers that are no `CacheMixin` although diffusers knows their blocks. First-Block Cache subtracts text
#: states too, which the last block of SD3 does not answer; TaylorSeer looks for attention by names that PixArt has not.
BY_BLOCKS = {"PixArtTransformer2DModel": ("first-block",), "SD3Transformer2DModel": ("taylorseer",)}


class Denoiser(Protocol):
    """What is wanted of an adapter: its network and how one forward of it is made."""

    net: Any
    model: Model
    dtype: torch.dtype

    def with_net(self, net: torch.nn.Module) -> Self: ...

    def predict(self, latents: Tensor, times: Tensor, conditioning: dict[str, Tensor]) -> Tensor: ...


class FeatureCache:
    """A copy of an adapter whose denoiser caches features as one `fc` level says; its blocks `compiled` when asked for.

    Raises:
        BadFamily: this cache of diffusers' is none for the denoiser (`BY_BLOCKS`; none for UNets).
    """

    def __init__(self, adapter: Denoiser, level: Level, compiled: bool = False) -> None:
        by_blocks = level.cache in BY_BLOCKS.get(type(adapter.net).__name__, ())
        if not isinstance(adapter.net, CacheMixin) and not by_blocks:
            raise BadFamily(
                f"Level {level.id!r} caches features (strategy fc), but diffusers has no {level.cache} cache for the "
                f"denoiser of model {level.model!r} (pipeline {adapter.model.pipeline!r}). Take the level out of the "
                "family file.",
                field=f"levels.{level.id}",
            )
        assert level.cache is not None
        net = sharing_weights(adapter.net)
        if by_blocks:
            net.__class__ = type(type(net).__name__, (type(net), CacheMixin), {})
        net.enable_cache(CONFIGS[level.cache](adapter.dtype, **level.options))
        self._states = _state_managers(net)
        self.adapter = adapter.with_net(net)  # a recorded forward would neither cache nor reuse
        if compiled:
            compile_blocks(net)

    def context(self, request_id: str) -> CacheContext:
        """The features of one request; nothing is cached before its first forward."""
        return CacheContext(self, request_id)

    def contexts(self) -> set[str]:
        """Names of the contexts that hold something."""
        return {name for states in self._states for name in states._state_cache}

    def drop(self, names: list[str]) -> None:
        """Let go of contexts; diffusers itself can only let go of all."""
        for states in self._states:
            for name in names:
                states._state_cache.pop(name, None)


@dataclass(frozen=True)
class CacheContext:
    """The features of one request in a cache."""

    cache: FeatureCache
    request_id: str

    def forward(self, half: str, latents: Tensor, times: Tensor, conditioning: dict[str, Tensor]) -> Tensor:
        """The adapter's forward of one row [1, …], for the conditional or the unconditional `half`."""
        adapter = self.cache.adapter
        with adapter.net.cache_context(self._name(half)):
            return adapter.predict(latents, times, conditioning)

    def clear(self) -> None:
        """The request has left: nothing of it stays."""
        self.cache.drop([self._name(half) for half in HALVES])

    def _name(self, half: str) -> str:
        return f"{self.request_id}/{half}"


def _state_managers(net: torch.nn.Module) -> list[StateManager]:
    registries: list[Any] = [m._diffusers_hook for m in net.modules() if hasattr(m, "_diffusers_hook")]
    found = [value for registry in registries for hook in registry.hooks.values() for value in vars(hook).values()]
    return list({id(value): value for value in found if isinstance(value, StateManager)}.values())
