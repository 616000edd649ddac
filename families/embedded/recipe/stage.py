"""Training one network for so many seconds: the learning rate follows the share of time that is over, not of steps."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

from families.embedded.recipe import STARTED

WARM_UP = 60  # steps
COOL_DOWN = 0.5  # the last share of the time, over which the rate falls to zero
CLIP = 1.0
REPORT_EVERY = 6.0  # seconds


def say(*words: object) -> None:
    print(f"[{time.monotonic() - STARTED:6.1f}]", *words, flush=True)


class Stage:
    """One network in training: itself in bfloat16, weights and their moving average in float32.

    `loss(network)` is one batch's loss; `batch` is only for the report.
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
        device = next(network.parameters()).device
        self.on_gpu = device.type == "cuda"
        network.train()
        self.average = copy.deepcopy(network).eval()
        self.network = nn.Module.to(
            network, torch.bfloat16 if self.on_gpu else torch.float32
        )  # diffusers' own `to` warns
        self.half = [p for p in self.network.parameters() if p.requires_grad]
        self.full = [p.detach().float().clone().requires_grad_() for p in self.half]
        pairs = zip(self.average.parameters(), self.network.parameters(), strict=True)
        self.followers = [follower for follower, parameter in pairs if parameter.requires_grad]
        for weight in self.full:
            weight.grad = torch.zeros_like(weight)
        self.optimizer = torch.optim.AdamW(self.full, lr=rate, betas=(0.9, 0.98), weight_decay=0.01, fused=self.on_gpu)
        self.step = 0

    def train(self) -> nn.Module:
        """Learn until the time is over; returns the average, in float32."""
        torch.backends.cudnn.benchmark = True
        started = reported = time.monotonic()
        total, counted = torch.zeros((), device=self.full[0].device), 0
        while (elapsed := time.monotonic() - started) < self.seconds:
            total += self.learn(elapsed / self.seconds)
            counted += 1
            if self.on_gpu and self.step % 8 == 0:
                torch.cuda.synchronize()  # else the clock runs ahead of the GPU
            if time.monotonic() - reported > REPORT_EVERY:
                self._report(total, counted, time.monotonic() - reported)
                reported, counted = time.monotonic(), 0
                total.zero_()
        self._report(total, counted, time.monotonic() - reported)
        say(f"{self.name}: {self.step} steps, {self.step * self.batch} samples, {time.monotonic() - started:.1f} s")
        torch.backends.cudnn.benchmark = False
        return self.average.requires_grad_(False)

    def learn(self, share: float) -> Tensor:
        for group in self.optimizer.param_groups:
            group["lr"] = self.rate * min(1.0, (self.step + 1) / WARM_UP, max(0.0, 1 - share) / COOL_DOWN)
        loss = self.loss(self.network)
        loss.backward()
        torch._foreach_copy_([weight.grad for weight in self.full], [p.grad for p in self.half])
        for parameter in self.half:
            parameter.grad = None
        norm = nn.utils.clip_grad_norm_(self.full, CLIP, foreach=True)
        if self.on_gpu:  # the fused optimiser leaves out a step whose gradient overflowed
            self.optimizer.found_inf = (~torch.isfinite(norm)).float()  # type: ignore[attr-defined]
        self.optimizer.step()
        with torch.no_grad():
            torch._foreach_copy_(self.half, self.full)
            self._follow()
        self.step += 1
        return loss.detach().float()

    def _follow(self) -> None:
        """The average remembers about the last tenth of the run, at most 250 steps."""
        share = max(10 / (self.step + 10), 0.004)
        torch._foreach_lerp_(self.followers, [weight.detach() for weight in self.full], share)

    def _report(self, total: Tensor, counted: int, seconds: float) -> None:
        memory = f", {torch.cuda.max_memory_allocated() / 2**30:.1f} GiB" if self.on_gpu else ""
        rate = counted * self.batch / max(seconds, 1e-6)
        say(f"{self.name}: step {self.step}, loss {float(total) / max(1, counted):.4f}, {rate:.0f}/s{memory}")


