"""Training one network for so many seconds: the learning rate follows the share of time that is over, not of steps."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from families.embedded.recipe import STARTED

WARM_UP = 60  # steps
COOL_DOWN = 0.5  # the last share of the time, over which the rate falls to zero
CLIP = 1.0
REPORT_EVERY = 6.0  # seconds


def say(*words: object) -> None:
    """A line of the log, with the seconds since the start."""
    print(f"[{time.monotonic() - STARTED:6.1f}]", *words, flush=True)


class Stage:
    """One network in training: itself in bfloat16 on a GPU, weights and their moving average in float32.

    Args:
        name: for the log.
        network: on its device; it is trained in place.
        loss: one batch's loss, a function of the network.
        seconds: wall clock.
        rate: the highest learning rate of AdamW.
        batch: samples of one loss, for the log.
    """

    def __init__(
        self,
        name: str,
        network: nn.Module,
        loss: Callable[[nn.Module], Tensor],
        seconds: float,
        rate: float,
        batch: int,
    ):
        self.name, self.loss, self.seconds, self.rate, self.batch = name, loss, seconds, rate, batch
        self.on_gpu = next(network.parameters()).device.type == "cuda"
        network.train()
        self.average = copy.deepcopy(network).eval()
        kind = torch.bfloat16 if self.on_gpu else torch.float32
        self.network = nn.Module.to(network, kind)  # diffusers' own `to` warns
        self.half: list[Tensor] = [p for p in self.network.parameters() if p.requires_grad]
        self.full: list[Tensor] = [p.detach().float().clone().requires_grad_() for p in self.half]
        pairs = zip(self.average.parameters(), self.network.parameters(), strict=True)
        self.followers: list[Tensor] = [follower for follower, parameter in pairs if parameter.requires_grad]
        for weight in self.full:
            weight.grad = torch.zeros_like(weight)
        self.optimizer = torch.optim.AdamW(self.full, lr=rate, betas=(0.9, 0.98), weight_decay=0.01, fused=self.on_gpu)
        self.step = 0

    def train(self) -> nn.Module:
        """Learn until the time is over; returns the average, in float32."""
        torch.backends.cudnn.benchmark = True
        started = reported = time.monotonic()
        losses: list[Tensor] = []
        while (elapsed := time.monotonic() - started) < self.seconds:
            losses.append(self.learn(elapsed / self.seconds))
            if self.on_gpu and self.step % 8 == 0:
                torch.cuda.synchronize()  # else the clock runs ahead of the GPU
            if time.monotonic() - reported > REPORT_EVERY:
                self._report(losses, time.monotonic() - reported)
                reported, losses = time.monotonic(), []
        self._report(losses, time.monotonic() - reported)
        say(f"{self.name}: {self.step} steps, {self.step * self.batch} samples, {time.monotonic() - started:.1f} s")
        torch.backends.cudnn.benchmark = False
        return self.average.requires_grad_(False)

    def learn(self, share: float) -> Tensor:
        """One step of gradient descent, when so much of the time is over; returns the loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * min(1.0, (self.step + 1) / WARM_UP, max(0.0, 1 - share) / COOL_DOWN)
        loss = self.loss(self.network)
        loss.backward()
        self._descend()
        self.step += 1
        return loss.detach().float()

    def _descend(self) -> None:
        """Gradients to float32, a step there, the weights back; a step whose gradient overflowed is left out."""
        gradients = [weight.grad for weight in self.full if weight.grad is not None]
        torch._foreach_copy_(gradients, [p.grad for p in self.half if p.grad is not None])
        for parameter in self.half:
            parameter.grad = None
        norm = nn.utils.clip_grad_norm_(self.full, CLIP, foreach=True)
        if self.on_gpu:  # what the fused optimiser looks at
            self.optimizer.found_inf = (~torch.isfinite(norm)).float()  # type: ignore[attr-defined]
        self.optimizer.step()
        with torch.no_grad():
            torch._foreach_copy_(self.half, self.full)
            self._follow()

    def _follow(self) -> None:
        """The average remembers about the last tenth of the run, at most 250 steps."""
        share = max(10 / (self.step + 10), 0.004)
        torch._foreach_lerp_(self.followers, [weight.detach() for weight in self.full], share)

    def _report(self, losses: list[Tensor], seconds: float) -> None:
        if not losses:
            return
        memory = f", {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB" if self.on_gpu else ""
        mean, rate = float(torch.stack(losses).mean()), len(losses) * self.batch / max(seconds, 1e-6)
        say(f"{self.name}: step {self.step}, loss {mean:.4f}, {rate:.0f}/s{memory}")
