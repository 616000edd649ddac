"""What each part of Argus contributes."""

from __future__ import annotations

from typing import Any

from bench.scheduler.part import Part
from bench.scheduler.pooling import pooled
from bench.scheduler.setup import Setup
from bench.scheduler.tables import show_policies
from scheduler.policies import Cluster
from scheduler.policies.argus import Argus


class Blind(Argus):
    prompt_aware = False


class Early(Argus):
    late_binding = False


class Queueing(Argus):
    admission_control = False


def ablation(setup: Setup) -> dict[str, Any]:
    """What each part of Argus contributes on the Twitter hour."""
    parts: dict[str, type[Argus]] = {"argus": Argus, "without prompts": Blind, "level bound at arrival": Early}
    parts["late requests keep their place"] = Queueing
    found: dict[str, Any] = {}
    for peak in (0.95, 1.3):
        trace = setup.burst.scaled_to(peak * setup.capacity)
        work, known = setup.work(trace, setup.seed), setup.work(trace, setup.seed, true=True)
        cluster = Cluster({"a100": setup.profile}, setup.slo_s)
        rows = {name: pooled([setup.run("argus", work, kind(cluster))]) for name, kind in parts.items()}
        rows["true qualities told"] = pooled([setup.run("argus", known)])
        found[f"{peak:g}"] = rows
    return found


def show_ablation(data: dict[str, Any]) -> str:
    return "\n\n".join(
        f"Peak at {float(peak):.0%}:\n\n{show_policies({'policies': rows})}" for peak, rows in data.items()
    )


PART = Part(ablation, show_ablation, "What each part contributes", "Twitter's burst, `argus` with one part taken away.")
