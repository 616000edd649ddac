"""DistriFusion: a UNet's latent in patches of rows, a rank each (Li et al., CVPR 2024, arXiv:2402.19481).

Neighbouring steps look alike, so that what a patch has to know of the others may be a step old (displaced patch
parallelism, §4.2). In the first `warm_up` steps every layer waits for the others' activations of the same step. After
that it takes those of the step before, and what it gathers now is awaited at the same layer of the next step, behind
all that is computed meanwhile. Of each layer that looks beyond a patch:

- 3×3 convolutions take the rows beside the patch from its neighbours; the first convolution has the whole latent.
- Self-attention takes fresh own keys and values, and those of the others.
- GroupNorm takes moments over all patches, E ≈ mean of all then + (own now − own then), of x and of x² (§4.2, corrected
  asynchronous GroupNorm); where that makes the variance negative, the patch's own.
- Cross-attention's keys and values are of the prompt, and computed once.

The patches of the prediction are gathered at the end of each step, and every rank steps its own sampler. With
`split_guidance` half of the ranks compute the conditional, half the unconditional prediction (§5.1).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from torch.nn import functional

from core.errors import OutOfRange
from workers.parallel.mode import checked
from workers.parallel.patches import WideAttention, attentions, remembered, rows_of
from workers.parallel.ranks import Rank
from workers.pipelines.compiling import sharing_weights
from workers.pipelines.rows import Batch


class DistriFusion:
    """Takes a turn: one step, of one patch.

    Raises:
        OutOfRange: the denoiser is no UNet, the ranks are odd where guidance is split, or a patch is not whole.
    """

    def __init__(self, adapter: Any, rank: Rank, warm_up: int = 4, split_guidance: bool = False) -> None:
        if not isinstance(adapter.denoiser_net, UNet2DConditionModel):
            raise OutOfRange("distrifusion cuts UNets into patches, and this denoiser is none.", field="parallel")
        if split_guidance and rank.world % 2:
            raise OutOfRange(
                f"Guidance is split between two halves of the ranks, which are {rank.world}.", field="ranks"
            )
        self.rank, self.warm_up, self.split = rank, checked("warm_up", warm_up, 1), split_guidance
        self.patches = rank.world // 2 if split_guidance else rank.world
        self.company = rank.part(self.patches) if split_guidance else rank
        self.net: Any = sharing_weights(adapter.denoiser_net)
        self.adapter = adapter.with_net(self.net)
        self.latents, self.rows = torch.empty(0), slice(0)  # the whole, and the rows of the own patch
        self.synchronous, self.last, self._turns = True, False, 0
        self._attention = WideAttention(self._widened() if self.patches > 1 else {})
        if self.patches > 1:
            self._look_beyond()

    @torch.inference_mode()
    def turn(self, batch: Batch) -> None:
        if self.split and len(batch.guided) < len(batch.rows):
            raise OutOfRange("There is no guidance to split in a request without.", field="guidance")
        self.synchronous, self.last = self._turns < self.warm_up, batch.rows[0].sampler.remaining == 1
        self.adapter.advance(batch, batch.combined(self._predicted(batch)))
        self._turns += 1

    def _predicted(self, batch: Batch) -> Tensor:
        """Outputs [m, …] of the halves at this step, from all patches."""
        latents, times, conditioning = batch.halves()
        rows = rows_of(latents.shape[2], self.patches, 2 ** (len(self.net.down_blocks) - 1))
        mine, half = slice(None), len(batch.rows)
        if self.split:
            mine = slice(0, half) if self.rank.rank < self.patches else slice(half, None)
        self.latents, self.rows = latents[mine], rows[self.company.rank]
        with self._attention:
            own = self.adapter.predict(
                self.latents[:, :, self.rows], times[mine], {name: value[mine] for name, value in conditioning.items()}
            )
        parts = self.rank.gather(own).wait()
        halves = [torch.cat(parts[first : first + self.patches], 2) for first in range(0, len(parts), self.patches)]
        return torch.cat(halves)

    def _widened(self) -> dict[nn.Module, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]]:
        return {attention: _Remote(self) for attention in attentions(self.net, "attn1")}

    def _look_beyond(self) -> None:
        """Replace what every layer computes that looks beyond the patch."""
        for module in self.net.modules():
            if isinstance(module, nn.GroupNorm):
                module.forward = _Moments(self, module)  # type: ignore[assignment]
            elif isinstance(module, nn.Conv2d) and module.kernel_size != (1, 1):
                if (module.kernel_size, module.padding, module.dilation) != ((3, 3), (1, 1), (1, 1)):
                    raise OutOfRange(f"distrifusion has no halo for {module}.", field="parallel")
                whole = module is self.net.conv_in
                module.forward = _Whole(self, module) if whole else _Halo(self, module)  # type: ignore[assignment]
        for attention in attentions(self.net, "attn2"):
            remembered(attention.to_k)
            remembered(attention.to_v)


class _Layer:
    """A layer that looks beyond its patch, of which it keeps what the others told."""

    def __init__(self, mode: DistriFusion) -> None:
        self.mode, self.place = mode, mode.company.rank
        self._before: Callable[[], list[Tensor]] = list

    def gathered(self, own: Tensor) -> list[Tensor]:
        """Of all patches: of this step as long as steps are synchronous, then of the step before."""
        mode = self.mode
        if mode.synchronous:
            parts = mode.company.gather(own).wait()
            self._before = lambda: parts
            return parts
        then = self._before
        if not mode.last:  # nobody would hear it
            self._before = mode.company.gather(own).wait
        return then()


class _Halo(_Layer):
    """A 3×3 convolution over a patch [m, C, h, w] and the rows beside it, zeros at the picture's edge."""

    def __init__(self, mode: DistriFusion, conv: nn.Conv2d) -> None:
        super().__init__(mode)
        self.conv = conv

    def __call__(self, patch: Tensor) -> Tensor:
        edges = self.gathered(torch.cat([patch[:, :, :1], patch[:, :, -1:]], 2))
        none = torch.zeros_like(patch[:, :, :1])
        above = edges[self.place - 1][:, :, 1:] if self.place else none
        below = edges[self.place + 1][:, :, :1] if self.place + 1 < len(edges) else none
        return self.over(torch.cat([above, patch, below], 2))

    def over(self, padded: Tensor) -> Tensor:
        return functional.conv2d(padded, self.conv.weight, self.conv.bias, self.conv.stride, (0, 1))


class _Whole(_Halo):
    """The first convolution: every rank has the whole latent."""

    def __call__(self, patch: Tensor) -> Tensor:
        rows, whole = self.mode.rows, functional.pad(self.mode.latents, (0, 0, 1, 1))
        return self.over(whole[:, :, rows.start : rows.stop + 2].to(patch.dtype))


class _Moments(_Layer):
    """GroupNorm of a patch [m, C, …] by the moments of all patches."""

    def __init__(self, mode: DistriFusion, norm: nn.GroupNorm) -> None:
        super().__init__(mode)
        self.norm = norm

    def __call__(self, patch: Tensor) -> Tensor:
        groups = patch.reshape(len(patch), self.norm.num_groups, -1)
        own = torch.stack([groups.mean(-1), groups.pow(2).mean(-1)])
        parts = self.gathered(own)
        mean, square = torch.stack(parts).mean(0) + (own - parts[self.place])
        variance, of_patch = square - mean**2, own[1] - own[0] ** 2
        variance = torch.where(variance < 0, of_patch, variance)
        normal = (groups - mean[..., None]) * (variance + self.norm.eps).rsqrt()[..., None]
        by_channel = (-1, *[1] * (patch.dim() - 2))
        answer: Tensor = normal.view_as(patch) * self.norm.weight.view(by_channel) + self.norm.bias.view(by_channel)
        return answer


class _Remote(_Layer):
    """Keys and values [m, heads, tokens, width] of all patches, the own ones fresh."""

    def __call__(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        own = torch.stack([key, value])
        parts = [own if place == self.place else part for place, part in enumerate(self.gathered(own))]
        keys, values = torch.cat(parts, 3)
        return keys, values
