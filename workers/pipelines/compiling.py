"""Regional compilation: of a transformer's blocks, which are all alike, one is compiled and serves for all."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch

#: Blocks of denoisers for which diffusers names none.
REPEATED = {
    "SD3Transformer2DModel": ("JointTransformerBlock",),
    "PixArtTransformer2DModel": ("BasicTransformerBlock",),
}
VERSIONS = 64  # of one block: a width and a number of tokens each, at every number of rows


def repeated_blocks(net: torch.nn.Module) -> list[torch.nn.Module]:
    """The modules of a denoiser that it has many of."""
    theirs: Any = getattr(net, "_repeated_blocks", None)
    names: Sequence[str] = theirs or REPEATED.get(type(net).__name__, ())
    return [module for module in net.modules() if type(module).__name__ in names]


def compile_blocks(net: torch.nn.Module, **options: Any) -> int:
    """Compile the repeated blocks of a denoiser in place, when they are first called; answers how many there are.

    Shapes are static: a version of its own for every number of rows is faster than one for all. Where a feature cache's
    hook stands before a block, what it calls is compiled; the hook itself decides anew at each step, and is not.
    """
    torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, VERSIONS)
    options = {"fullgraph": True, "dynamic": False, **options}
    blocks = [block for block in repeated_blocks(net) if not _hooked_inside(block)]
    for block in blocks:
        registry: Any = getattr(block, "_diffusers_hook", None)
        hooks = list(registry.hooks.values()) if registry else []
        if not hooks:
            block.compile(**options)
        for hook in hooks:
            hook.fn_ref.original_forward = torch.compile(hook.fn_ref.original_forward, **options)
    return len(blocks)


def _hooked_inside(block: torch.nn.Module) -> bool:
    return any(hasattr(part, "_diffusers_hook") for part in block.modules() if part is not block)


def sharing_weights(net: Any) -> Any:
    """A copy of the modules with the same weights: hooks on the copy are no hooks on the original."""
    shared = {id(tensor): tensor for tensor in (*net.parameters(), *net.buffers())}
    return copy.deepcopy(net, shared)
