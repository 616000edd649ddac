"""ParaTAA: all steps of a request solved together (Tang et al., ICML 2024, arXiv:2402.09970).

The steps x_{j+1} = a_j·x_j + b_j·ε(x_j, t_j) are a triangular system of equations for the whole path x_1 … x_T. An
iteration evaluates ε at every state of a window of the path at once, rows of one batch, and rolls the sampler through
the window with these predictions: y_front = x_front, y_{j+1} = a_j·y_j + b_j·ε_j (§3.1, order w). The residuals
R_j = y_j − x_j are then driven to zero by triangular Anderson acceleration (§3.2, Theorem 3.2):

    x_j ← x_j + R_j − (ΔX + ΔR)_j·γ_j,    γ_j = argmin ‖R_{≤j} − ΔR_{≤j}·γ‖² (+ ridge),

with ΔX, ΔR the differences between the last iterations. γ_j looks at states up to j alone, as the system is triangular.
The first state behind the front takes the plain step, which is exact, so that T iterations are enough, whatever
happens (§3.3). States whose own equation holds to `tolerance`, in shares of what their step adds, are behind the front
then, and the window slides. A tolerance of 0 ends where serial steps end.

Sequential steps are traded for more forwards: for a request in a hurry while devices idle. Several ranks share the rows
of the window.
"""

from __future__ import annotations

import copy
from collections import deque
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from core.errors import OutOfRange
from workers.parallel.mode import checked
from workers.parallel.ranks import Alone, Rank
from workers.pipelines.rows import Batch, Row

RIDGE = 1e-6  # against the mean of the Gram matrix's diagonal


class ParaTAA:
    """Takes a turn: one iteration, one forward of `window` rows.

    Args:
        window: most states evaluated at once; None for all.
        history: differences kept for the acceleration; 0 is plain (Picard) iteration.
        tolerance: root mean square of a state's residual against what its step adds.
    """

    def __init__(
        self,
        adapter: Any,
        rank: Rank | None = None,
        window: int | None = None,
        history: int = 3,
        tolerance: float = 0.05,
    ) -> None:
        self.adapter, self.rank, self.tolerance = adapter, rank or Alone(), tolerance
        self.window = None if window is None else checked("window", window, 1)
        self.iterations = 0
        self._path = torch.empty(0)  # x_0 … x_T, [T + 1, …]
        self._differences: deque[tuple[Tensor, Tensor]] = deque(maxlen=checked("history", history, 0))
        self._last: tuple[int, Tensor, Tensor] | None = None  # end of the last window, its path and residuals

    @torch.inference_mode()
    def turn(self, batch: Batch) -> None:
        """Raises `OutOfRange` where the rows are not one whose sampler is linear, all of whose steps are whole."""
        row, front = self._only(batch), batch.rows[0].sampler.index
        if not len(self._path):
            self._path = batch.latents.repeat(len(row.sampler) + 1, *[1] * (batch.latents.dim() - 1))
        stop = len(row.sampler) if self.window is None else min(front + self.window, len(row.sampler))
        predictions = self._predictions(batch, front, stop)
        rolled, plain = self._rolled(row, front, predictions)
        front_after = min(stop, 1 + self._converged(front, plain, predictions, row))
        self._path[front + 1 : stop + 1] = self._accelerated(front, stop, rolled)
        self._path[front + 1 : front_after + 1] = rolled[1 : front_after - front + 1]
        self._path[stop + 1 :] = self._path[stop]  # what is not in the window yet starts from its end
        row.sampler.index = front_after
        batch.latents[0] = self._path[front_after]
        self.iterations += 1

    @staticmethod
    def _only(batch: Batch) -> Row:
        row = batch.rows[0]
        whole = row.reuse is None and row.cache_context is None and row.half is None and row.kept is None
        if len(batch.rows) > 1 or not row.sampler.linear or not whole:
            raise OutOfRange(
                "parataa solves the steps of one request with a linear sampler (DDIM, Euler, flow matching), computed "
                "in full at one size, without a mask.",
                field="parallel",
            )
        return row

    def _predictions(self, batch: Batch, front: int, stop: int) -> Tensor:
        """ε at states front … stop − 1 [w, …]; each rank evaluates its share."""
        share = -(-(stop - front) // self.rank.world)
        steps = [min(front + self.rank.rank * share + n, stop - 1) for n in range(share)]
        copies = batch.select([0] * share)
        rows = [replace(batch.rows[0], sampler=_at(batch.rows[0].sampler, step)) for step in steps]
        own = self.adapter.denoise(Batch(rows, self._path[steps], copies.conditioning, copies.negative))
        return torch.cat(self.rank.gather(own).wait())[: stop - front]

    def _rolled(self, row: Row, front: int, predictions: Tensor) -> tuple[Tensor, Tensor]:
        """The sampler rolled through the window, y [w + 1, …], and its step from each x_j alone [w, …]."""
        rolled, plain = [self._path[front]], []
        for n, prediction in enumerate(predictions):
            a, b = self._weights(row, front + n)
            rolled.append(a * rolled[-1] + b * prediction)
            plain.append(a * self._path[front + n] + b * prediction)
        return torch.stack(rolled), torch.stack(plain)

    def _weights(self, row: Row, step: int) -> tuple[Tensor, Tensor]:
        table = row.sampler.table
        assert table is not None
        return table.latent_weight[step].to(self._path), table.prediction_weight[step].to(self._path)

    def _converged(self, front: int, plain: Tensor, predictions: Tensor, row: Row) -> int:
        """The last state up to which every equation x_{j+1} = a_j·x_j + b_j·ε_j holds."""
        off = _size(self._path[front + 1 : front + 1 + len(plain)] - plain)
        steps = range(front, front + len(plain))
        added = _size(predictions) * torch.stack([self._weights(row, step)[1].abs() for step in steps])
        holds = off <= self.tolerance * added
        return front + int(holds.cumprod(0).sum())

    def _accelerated(self, front: int, stop: int, rolled: Tensor) -> Tensor:
        """States front + 1 … stop after one step of triangular Anderson acceleration."""
        states = self._path[front : stop + 1]
        residuals = torch.zeros_like(self._path)
        residuals[front : stop + 1] = rolled - states
        self._remember(front, stop, residuals)
        if not self._differences:
            return rolled[1:]
        of_states, of_residuals = (
            torch.stack([pair[n][front + 1 : stop + 1].flatten(1) for pair in self._differences], -1) for n in (0, 1)
        )
        own = residuals[front + 1 : stop + 1].flatten(1)
        gamma = _least_squares(of_residuals, own)
        step = ((of_states + of_residuals) @ gamma[..., None])[..., 0]
        return rolled[1:] - step.view_as(rolled[1:])

    def _remember(self, front: int, stop: int, residuals: Tensor) -> None:
        """Keep what changed since the last iteration, of the states that were in both windows."""
        if self._last is not None and self._differences.maxlen:
            end, path, before = self._last
            changes = torch.zeros_like(path), torch.zeros_like(path)
            both = slice(front + 1, end + 1)
            for change, now, then in zip(changes, (self._path, residuals), (path, before), strict=True):
                change[both] = now[both] - then[both]
            self._differences.append(changes)
        self._last = (stop, self._path.clone(), residuals)


def _least_squares(differences: Tensor, residuals: Tensor) -> Tensor:
    """γ [w, m]: for each state the least squares over it and those before; differences [w, n, m], residuals [w, n]."""
    gram = (differences.mT @ differences).double().cumsum(0)
    moment = (differences.mT @ residuals[..., None]).double().cumsum(0)
    mean = gram.diagonal(dim1=-2, dim2=-1).mean(-1)[:, None, None]
    eye = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    ridge = (RIDGE * mean + torch.finfo(torch.float32).tiny) * eye
    gamma: Tensor = torch.linalg.solve(gram + ridge, moment)[..., 0]
    return gamma.to(residuals)


def _size(values: Tensor) -> Tensor:
    """Root mean square of each [n, …]."""
    return values.flatten(1).pow(2).mean(1).sqrt()


def _at(sampler: Any, step: int) -> Any:
    """A linear sampler at another step of its schedule."""
    moved = copy.copy(sampler)
    moved.index = step
    return moved
