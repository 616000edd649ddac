"""PipeFusion: a transformer's layers in stages, a rank each, through which patches of its latent follow each other.

Fang et al. 2024, arXiv:2405.14430. A patch's own keys and values are fresh; of the others a layer has what it computed
last: at this step for the patches ahead in the line, at the step before for those behind (input temporal redundancy).
So a patch goes through the stages without waiting for the rest of its step, and all that ranks send each other is one
patch's hidden states, from stage to stage. In the first `warm_up` steps the whole latent is one patch.

The first rank has the latent: it embeds patches, makes predictions of what the last stage answers and steps the
sampler with them, a patch at a time. After a turn patches are still on their way: the prediction of one is awaited when
the patch is due again, and after the last step. The other ranks have no latent, only their stage's keys and values.
"""

from __future__ import annotations

import copy
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from diffusers import PixArtTransformer2DModel
from torch import Tensor

from core.errors import OutOfRange
from workers.parallel.asyncdiff import blocks_of, even_cuts
from workers.parallel.mode import checked
from workers.parallel.patches import WideAttention, rows_of
from workers.parallel.ranks import Pending, Rank
from workers.pipelines.compiling import sharing_weights
from workers.pipelines.rows import Batch

WHOLE = slice(None)


@dataclass(frozen=True)
class _OnItsWay:
    """A patch between the first stage and its prediction."""

    rows: slice
    batch: Batch
    hidden: Pending[Tensor]


class PipeFusion:
    """Takes a turn: one step, of one stage for every patch. Where that fails the rows are back at the last step that
    all their patches have had.

    Args:
        patches: of rows; None for as many as ranks.

    Raises:
        OutOfRange: a denoiser, sampler or number of patches with which it cannot be done.
    """

    def __init__(self, adapter: Any, rank: Rank, warm_up: int = 1, patches: int | None = None) -> None:
        if not isinstance(adapter.denoiser_net, PixArtTransformer2DModel):
            raise OutOfRange("pipefusion takes transformers with self-attention over image tokens.", field="parallel")
        self.rank, self.warm_up = rank, checked("warm_up", warm_up, 1)
        self.patches = checked("patches", patches or rank.world, 1)
        self.net: Any = sharing_weights(adapter.denoiser_net)
        self.adapter = adapter.with_net(self.net)
        self.rows, self._finishing = WHOLE, False
        self._on_their_way: deque[_OnItsWay] = deque()
        self._turns = 0
        self._stepped = 0  # patches that have had a step which others have not had yet
        self._whole: tuple[Tensor, int] | None = None  # latents of the last whole step, and that step
        self._hidden = torch.empty(0)  # what goes to the next stage, or has come from the last
        blocks = blocks_of(self.net)
        bounds = [0, *even_cuts(len(blocks), checked("ranks", rank.world, 1, len(blocks))), len(blocks)]
        self.stage = range(bounds[rank.rank], bounds[rank.rank + 1])
        for index, block in enumerate(blocks):
            block.forward = self._staged(index, index + 1 == len(blocks), block.forward)
        self.net.pos_embed.forward = self._embedded(self.net.pos_embed.forward)
        self._height = 0  # of the whole latent
        own: list[Any] = [blocks[index] for index in self.stage]
        self._attention = WideAttention({block.attn1: _Kept(self) for block in own})

    @torch.inference_mode()
    def turn(self, batch: Batch) -> None:
        if not all(row.sampler.linear for row in batch.rows):
            raise OutOfRange("pipefusion steps patch by patch: it needs a linear sampler.", field="sampler")
        self._height = batch.latents.shape[2]
        self._whole = self._whole or (batch.latents.clone(), batch.rows[0].sampler.index)
        try:
            self._step_all(batch)
        except Exception:
            self._go_back(batch)
            raise
        self._turns += 1

    def _step_all(self, batch: Batch) -> None:
        cut = rows_of(self._height, self.patches, self.net.config.patch_size)
        for rows in cut if self._turns >= self.warm_up else [WHOLE]:
            self._take(batch, rows)
        for row in batch.rows:
            row.sampler.index += 1
        while batch.rows[0].sampler.done and self._on_their_way:
            self._finish(batch, self._on_their_way.popleft())

    def _go_back(self, batch: Batch) -> None:
        """To the last step that all patches have had."""
        assert self._whole is not None
        latents, step = self._whole
        batch.latents.copy_(latents)
        for row in batch.rows:
            row.sampler.index = step

    def _take(self, batch: Batch, rows: slice) -> None:
        """One patch through the own stage, after the predictions that it waits for."""
        while self._on_their_way and _overlap(self._on_their_way[0].rows, rows):
            self._finish(batch, self._on_their_way.popleft())
        self.rows, part = rows, _part(batch, rows)
        with self._attention:
            prediction = self.adapter.predict(*part.halves())
        if self.rank.world == 1:
            self._step(batch, part, rows, prediction)
            return
        self.rank.send(self._hidden, (self.rank.rank + 1) % self.rank.world)
        if self.rank.rank == 0:
            self._on_their_way.append(_OnItsWay(rows, part, self.rank.receive(self._hidden, self.rank.world - 1)))

    def _finish(self, batch: Batch, patch: _OnItsWay) -> None:
        """The prediction of what the last stage answered, and the sampler's step."""
        self.rows, self._hidden, self._finishing = patch.rows, patch.hidden.wait(), True
        prediction = self.adapter.predict(*patch.batch.halves())
        self._finishing = False
        self._step(batch, patch.batch, patch.rows, prediction)

    def _step(self, batch: Batch, part: Batch, rows: slice, outputs: Tensor) -> None:
        self.adapter.advance(part, part.combined(outputs))
        batch.latents[:, :, rows] = part.latents
        self._stepped += 1
        if rows == WHOLE or self._stepped == self.patches:
            step = part.rows[0].sampler.index  # its own, a step further
            self._whole, self._stepped = (batch.latents.clone(), step), 0

    def _staged(self, index: int, is_last: bool, forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
        """A block's forward: of the own stage it runs, of others it lets hidden states [m, tokens, D] pass."""

        def run(hidden: Tensor, *arguments: Any, **named: Any) -> Tensor:
            if self._finishing:
                return self._hidden if is_last else hidden
            if index not in self.stage:
                return hidden
            if index == self.stage[0] and self.rank.rank > 0:
                hidden = self.rank.receive(hidden, self.rank.rank - 1).wait()
            self._hidden = forward(hidden, *arguments, **named)
            return self._hidden

        return run

    def _embedded(self, forward: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
        """Tokens of a patch [m, C, h, w], which know where in the whole they are."""

        def run(patch: Tensor) -> Tensor:
            if self.rows == WHOLE:
                return forward(patch)
            canvas = patch.new_zeros(*patch.shape[:2], self._height, patch.shape[3])
            canvas[:, :, self.rows] = patch
            embedded = forward(canvas)
            return embedded[:, _tokens(self.rows, embedded.shape[1], self._height)]

        return run


class _Kept:
    """One layer's keys and values [m, heads, tokens, width] of all patches, each as computed last."""

    def __init__(self, mode: PipeFusion) -> None:
        self.mode = mode
        self._both = torch.empty(0)

    def __call__(self, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor]:
        own = torch.stack([key, value])
        if self.mode.rows == WHOLE:
            self._both = own
        else:
            rows = self.mode.rows
            self._both[:, :, :, _tokens(rows, key.shape[2], rows.stop - rows.start)] = own
        keys, values = self._both
        return keys, values


def _part(batch: Batch, rows: slice) -> Batch:
    """A patch of a batch with samplers of its own, which stay at this step."""
    now = [replace(row, sampler=copy.copy(row.sampler)) for row in batch.rows]
    return Batch(now, batch.latents[:, :, rows].clone(), batch.conditioning, batch.negative)


def _overlap(one: slice, other: slice) -> bool:
    return WHOLE in (one, other) or one == other


def _tokens(rows: slice, tokens: int, height: int) -> slice:
    """The image tokens of these rows, where so many tokens are of so many rows."""
    return slice(rows.start * tokens // height, rows.stop * tokens // height)
