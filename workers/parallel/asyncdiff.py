"""AsyncDiff: a denoiser's parts work side by side, each on what the one before it said a step ago.

Chen et al., NeurIPS 2024, arXiv:2406.06911. Serially ε = ε_n ∘ … ∘ ε_1 (x_t). Hidden states change little from step to
step, so that after `warm_up` steps in full, on every rank, component k takes what component k − 1 answered at the step
before (§3.2), and all n components of a step run at once, a rank each. The prediction of a step is the last
component's; every rank gets it and steps its own sampler.

With `stride` 2 (§3.3) components run at every second step. One rank more runs the last component for the first step of
each pair, while the others run theirs with the time of the second, whose prediction is then made of what they said.

Components are runs of blocks, by index, in the order in which the denoiser calls them: no name of a model is asked for,
so fine-tunes and all denoisers made of blocks (UNets and transformers) are cut alike. What stands outside blocks
(embeddings, first and last layers) is small, and runs on every rank. Between ranks goes what others need of a
component: the output of its last block, and what down blocks keep for up blocks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from core.errors import OutOfRange
from workers.parallel.mode import checked
from workers.parallel.ranks import Pending, Rank
from workers.pipelines.compiling import sharing_weights
from workers.pipelines.rows import Batch, Tensors
from workers.pipelines.samplers import times_left


class AsyncDiff:
    """Takes a turn: one step; it computes one component of it, or with `stride` 2 one for two steps.

    Args:
        warm_up: steps in full at the beginning.
        cuts: index of the first block of each component but the first; None for as many blocks each.

    Raises:
        OutOfRange: a stride, a number of ranks or cuts that the denoiser cannot be drawn with.
    """

    def __init__(
        self, adapter: Any, rank: Rank, warm_up: int = 1, stride: int = 1, cuts: Sequence[int] | None = None
    ) -> None:
        self.rank, self.warm_up = rank, checked("warm_up", warm_up, 1)
        self.stride = checked("stride", stride, 1, min(2, rank.world))
        self.net = sharing_weights(adapter.denoiser_net)
        self.adapter = adapter.with_net(self.net)
        self.components = rank.world - (self.stride - 1)
        blocks = blocks_of(self.net)
        bounds = [0, *(even_cuts(len(blocks), self.components) if cuts is None else cuts), len(blocks)]
        if len(bounds) != self.components + 1 or sorted(set(bounds)) != bounds:
            raise OutOfRange(
                f"{len(blocks)} blocks cannot be cut at {bounds[1:-1]} into {self.components} components.",
                field="ranks",
            )
        self.own = min(rank.rank, self.components - 1)  # the extra rank has the last component, too
        self.blocks = [
            _Block(block, component)
            for component, (first, end) in enumerate(pairwise(bounds))
            for block in blocks[first:end]
        ]
        self.told = [_told(self.net, self.blocks, component) for component in range(self.components)]
        self._coming: list[tuple[_Block, int, Pending[Tensor]]] = []
        self._turns = 0

    @torch.inference_mode()
    def turn(self, batch: Batch) -> None:
        self.adapter.advance(batch, batch.combined(self._predicted(batch)))
        self._turns += 1

    def _predicted(self, batch: Batch) -> Tensor:
        """Outputs [m, …] of the halves at this step."""
        latents, times, conditioning = batch.halves()
        since = self._turns - self.warm_up
        if since < 0:
            return self._forward(latents, times, conditioning, lambda block: True)
        self._hear()
        if since % self.stride:  # the second step of a pair: all has been computed
            return self._forward(latents, times, conditioning, lambda block: False)
        ahead = times_left(batch.rows[0].sampler)[1:2]
        if self.stride == 2 and self.rank.rank < self.components and ahead:
            times = torch.full_like(times, ahead[0])
        prediction = self._forward(latents, times, conditioning, lambda block: block.component == self.own)
        if batch.rows[0].sampler.remaining > 1:  # else nobody would hear it
            self._tell()
        return self._from_last(prediction)

    def _forward(self, latents: Tensor, times: Tensor, conditioning: Tensors, runs: Callable[[_Block], bool]) -> Tensor:
        for block in self.blocks:
            block.runs = runs(block)
        answer: Tensor = self.adapter.predict(latents, times, conditioning)
        return answer

    def _tell(self) -> None:
        """Own outputs to all others, and ask for theirs; the extra rank's are no others' input."""
        for source in range(self.components):
            for block in self.told[source]:
                for index, value in enumerate(block.outputs):
                    if value is None:  # text that a last block of SD3 has no use for
                        continue
                    if source == self.rank.rank:
                        for other in range(self.rank.world):
                            if other != source:
                                self.rank.send(value, other)
                    else:
                        self._coming.append((block, index, self.rank.receive(value, source)))

    def _hear(self) -> None:
        """What others answered a step ago replaces what is known of their blocks."""
        for block, index, coming in self._coming:
            block.outputs[index] = coming.wait()
        self._coming = []

    def _from_last(self, prediction: Tensor) -> Tensor:
        """The prediction of the last rank, on every rank."""
        last = self.rank.world - 1
        if self.rank.rank != last:
            return self.rank.receive(prediction, last).wait()
        for other in range(last):
            self.rank.send(prediction, other)
        return prediction


class _Block:
    """A block that runs, or answers what was answered last, its own or what its rank told."""

    def __init__(self, module: nn.Module, component: int) -> None:
        self.module, self.component, self.runs = module, component, True
        self.outputs: list[Tensor] = []
        self._shape: Any = None
        self._forward = module.forward
        module.forward = self._run_or_recall

    def _run_or_recall(self, *arguments: Any, **named: Any) -> Any:
        if self.runs:
            self.outputs, self._shape = pytree.tree_flatten(self._forward(*arguments, **named))
        return pytree.tree_unflatten(self.outputs, self._shape)


def blocks_of(net: nn.Module) -> list[nn.Module]:
    """The blocks of a denoiser in the order in which it calls them: those of the lists that are not in a block."""
    if isinstance(net, UNet2DConditionModel):
        unet: Any = net
        middle = [] if unet.mid_block is None else [unet.mid_block]
        return [*unet.down_blocks, *middle, *unet.up_blocks]
    lists: list[Any] = [child for name, child in net.named_children() if name.endswith("blocks")]
    return [block for some in lists for block in some]


def even_cuts(blocks: int, components: int) -> list[int]:
    """Cuts into components of as many blocks each, more or less."""
    return [round(component * blocks / components) for component in range(1, components)]


def _told(net: nn.Module, blocks: Sequence[_Block], component: int) -> list[_Block]:
    """The blocks of a component whose outputs others need."""
    own = [block for block in blocks if block.component == component]
    keep: Any = net.down_blocks if isinstance(net, UNet2DConditionModel) else ()
    return [block for block in own if block is own[-1] or any(block.module is one for one in keep)]
