"""What modes by patches share: the rows that a patch has, and attention that looks beyond them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from core.errors import OutOfRange

Widen = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


def rows_of(height: int, patches: int, multiple: int) -> list[slice]:
    """The rows of each patch of a latent; raises `OutOfRange` where they would not be alike, or not whole."""
    if height % (patches * multiple):
        raise OutOfRange(
            f"A latent of {height} rows cannot be cut into {patches} patches of a multiple of {multiple} rows each.",
            field="ranks",
        )
    each = height // patches
    return [slice(patch * each, (patch + 1) * each) for patch in range(patches)]


class WideAttention(TorchFunctionMode):
    """Keys and values of other patches join right before the product, whatever computes them.

    Meanwhile, in each module that is a key of `widen`, the keys and values [m, heads, tokens, width] of
    `scaled_dot_product_attention` are what its function makes of the own ones. Concerns this thread alone.
    """

    def __init__(self, widen: dict[nn.Module, Widen]) -> None:
        super().__init__()
        self._now: Widen | None = None
        for module, function in widen.items():
            module.forward = self._inside(module.forward, function)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is functional.scaled_dot_product_attention and self._now is not None:
            query, key, value = args
            return func(query, *self._now(key, value), **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _inside(self, forward: Callable[..., Any], function: Widen) -> Callable[..., Any]:
        def run(*arguments: Any, **named: Any) -> Any:
            self._now = function
            try:
                return forward(*arguments, **named)
            finally:
                self._now = None

        return run


def attentions(net: nn.Module, name: str) -> list[Any]:
    """The attentions of that name: in `attn1` image tokens look at each other, in `attn2` at the prompt."""
    found = (getattr(module, name, None) for module in net.modules())
    return [attention for attention in found if isinstance(attention, nn.Module)]


def remembered(module: nn.Module) -> None:
    """Let a module answer what it answered first: its input stays the same for the whole run."""
    forward, known = module.forward, list[torch.Tensor]()

    def once(*arguments: Any) -> Tensor:
        if not known:
            known.append(forward(*arguments))
        return known[0]

    module.forward = once
