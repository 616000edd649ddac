"""Training that may be stopped at any step and goes on as if it had not been."""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

WARM_UP = 60  # steps
CLIP = 1.0
FORGOTTEN = 0.005  # share of the average that each step replaces, once there are enough
Loss = Callable[[Any, int, torch.Generator], Tensor]  # (network, step, randomness of this step)


class Training:
    """What can be trained of one network, by AdamW with a cosine's fall of the learning rate, and a moving average.

    Args:
        network: on the CPU; trained in place.
        loss: one batch's loss.
        steps: in all.
        rate: the highest learning rate.
        seed: with the step's number, of all randomness of a step.
    """

    def __init__(self, network: nn.Module, loss: Loss, steps: int, rate: float, seed: int) -> None:
        self.network, self.loss, self.steps, self.rate, self.seed = network.train(), loss, steps, rate, seed
        self.average = copy.deepcopy(network).eval()
        self.weights = {name: weight for name, weight in network.named_parameters() if weight.requires_grad}
        every = dict(self.average.named_parameters())
        self.followers = {name: every[name] for name in self.weights}
        self.optimizer = torch.optim.AdamW(self.weights.values(), lr=rate, betas=(0.9, 0.98), weight_decay=0.01)
        self.step = 0

    @property
    def trained(self) -> int:
        """How many parameters."""
        return sum(weight.numel() for weight in self.weights.values())

    def learn(self) -> float:
        """One step; returns the loss."""
        fall = 0.5 * (1 + math.cos(math.pi * min(1.0, self.step / self.steps)))
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * min((self.step + 1) / WARM_UP, fall)
        rng = torch.Generator().manual_seed(self.seed * 1_000_000 + self.step)
        loss = self.loss(self.network, self.step, rng)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        nn.utils.clip_grad_norm_(self.weights.values(), CLIP)
        self.optimizer.step()
        self._follow()
        self.step += 1
        return float(loss.detach())

    @torch.no_grad()
    def _follow(self) -> None:
        share = max(10 / (self.step + 10), FORGOTTEN)
        torch._foreach_lerp_(list(self.followers.values()), list(self.weights.values()), share)

    def save(self, path: Path) -> None:
        """Write the checkpoint, or leave the one before."""
        state = {"step": self.step, "optimizer": self.optimizer.state_dict()}
        state |= {"weights": self.weights, "average": self.followers}
        beside = path.with_suffix(".new")
        torch.save(state, beside)
        os.replace(beside, path)

    @torch.no_grad()
    def resume(self, path: Path) -> None:
        """Go on from a checkpoint, where there is one."""
        if not path.exists():
            return
        state = torch.load(path, weights_only=True)
        for mine, kept in ((self.weights, state["weights"]), (self.followers, state["average"])):
            for name, weight in mine.items():
                weight.copy_(kept[name])
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]
